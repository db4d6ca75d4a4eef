/**
 * The client of CometMQ and of any Apache RocketMQ server, over the Remoting protocol.
 *
 *   await using producer = await Producer.start({ namesrvAddr: "127.0.0.1:9876", group: "shop" });
 *   await producer.send({ topic: "orders", body: "hello" });
 */
export type { Clock, Timer } from "../base/clock.js";
export { CometError, type ErrorCode } from "../base/errors.js";
export type { Logger } from "../base/log.js";
export { RequestCode, ResponseCode } from "../remoting/codes.js";
export type { Credentials } from "../remoting/request-signer.js";
export type { TlsClientOptions } from "../remoting/tls-options.js";
export {
  Admin,
  type GroupOptions,
  type MastersOptions,
  type QueryOptions,
  type QueueProgress,
  type TopicOptions,
} from "./admin.js";
export {
  type AllocateStrategy,
  allocateAveragely,
  allocateAveragelyByCircle,
  allocateByConsistentHash,
  allocateByMachineRoom,
} from "./allocate.js";
export {
  BrokerNotFoundError,
  ClientClosedError,
  ClientError,
  ClientErrorCode,
  ConfigError,
  ConnectError,
  ConnectionLostError,
  MessageError,
  NoNameServerError,
  NoRouteError,
  RequestTimeoutError,
  ResponseError,
  SendError,
  TimeoutError,
  TooManySendsError,
} from "./errors.js";
export type { FilterExpression } from "./heartbeat.js";
export { LitePullConsumer, type LitePullConsumerOptions, type PollOptions } from "./lite-pull-consumer.js";
export type { Message } from "./message.js";
export type { MessageQueue } from "./message-queue.js";
export type { Compression, SendOptions } from "./message-sender.js";
export type { CallOptions, ClientOptions, StartOptions } from "./options.js";
export {
  type KeyOf,
  type OnceOptions,
  ProcessedKeys,
  type ProcessedKeysOptions,
  tableStatements,
} from "./processed-keys.js";
export { Producer, type RequestOptions } from "./producer.js";
export { PushConsumer } from "./push-consumer.js";
export type {
  BatchHandler,
  ConsumeContext,
  ConsumeFrom,
  MessageHandler,
  PushConsumerOptions,
} from "./push-options.js";
export type { ReceivedMessage } from "./received-message.js";
export type { Reply } from "./reply-waiters.js";
export type { ProducerOptions } from "./sender-settings.js";
export type { SendResult, SendStatus } from "./send-request.js";
export {
  type PoppedMessage,
  type ReceiveOptions,
  SimpleConsumer,
  type SimpleConsumerOptions,
} from "./simple-consumer.js";
export {
  type PostgresClient,
  type PostgresPool,
  postgresDatabase,
  type SqlDatabase,
  type SqlDialect,
  type SqliteConnection,
  type SqlTransaction,
  sqliteDatabase,
} from "./sql-database.js";
export type { BrokerData, QueueData, TopicRoute } from "./topic-route.js";
export {
  type LocalTransaction,
  type TransactionChecker,
  TransactionProducer,
  type TransactionProducerOptions,
  type TransactionSendResult,
  type TransactionState,
} from "./transaction-producer.js";
