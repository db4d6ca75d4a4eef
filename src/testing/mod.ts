/** Brokers for tests: `cometmq/testing`. */
export { TestBroker, type TestBrokerOptions, type TestTopic } from "./test-broker.js";
export { TestClock } from "./test-clock.js";
export type { MessageExt } from "../record/decode.js";
