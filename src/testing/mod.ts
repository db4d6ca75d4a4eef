/** Brokers for tests: `cometmq/testing`. */

export type { MessageExt } from "../record/decode.js";
export { TestBroker, type TestBrokerOptions, type TestMessage, type TestTopic } from "./test-broker.js";
export { TestClock } from "./test-clock.js";
