/**
 * CometMQ as a library: a broker and a name server that run in this process. The storage engine alone is `cometmq/store`,
 * which loads neither of them.
 */
export type { Clock, Timer } from "./base/clock.js";
export { CometError, type ErrorCode } from "./base/errors.js";
export type { Logger } from "./base/log.js";
export { Broker, type BrokerOptions } from "./server/broker/broker.js";
export { type ConfigReading, defaultBrokerConfig, readBrokerConfig } from "./server/broker/broker-config.js";
export type { BrokerConfig } from "./server/broker/broker-options.js";
export { addressOfConnection, NameServer, type NameServerOptions } from "./server/namesrv/namesrv.js";
