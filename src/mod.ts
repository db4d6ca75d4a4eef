/**
 * CometMQ as a library: brokers that run in this process. The storage engine alone is `cometmq/store`, which loads none of
 * this; brokers for tests are in `cometmq/testing`.
 */
export type { Clock, Timer } from "./base/clock.js";
export { CometError, type ErrorCode } from "./base/errors.js";
export type { Logger } from "./base/log.js";
export type { Backend, Disk } from "./io/disk.js";
export type { MessageExt } from "./record/decode.js";
export { RequestCode, ResponseCode } from "./remoting/codes.js";
export type { TlsServerOptions } from "./remoting/tls-options.js";
export { type ConfigReading, defaultBrokerConfig, readBrokerConfig } from "./server/broker/broker-config.js";
export type { BrokerConfig } from "./server/broker/broker-options.js";
export type {
  BrokerHooks,
  ConsumeDone,
  ConsumeSeen,
  Refusal,
  RequestSeen,
  SendDone,
  SendSeen,
} from "./server/broker/hooks.js";
export type { TimerAdmin } from "./server/broker/timer/timer-admin.js";
export type { TimerListOptions, WaitingMessage } from "./server/broker/timer/timer-list.js";
export { addressOfConnection, NameServer, type NameServerOptions } from "./server/namesrv/namesrv.js";
export type { NamesrvSettings } from "./server/namesrv/namesrv-config.js";
export { Standalone as Broker, type StandaloneOptions as BrokerOptions } from "./server/standalone.js";
