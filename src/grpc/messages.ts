/**
 * The messages of definition.proto and service.proto as this server reads and writes them. Received ones have every
 * field that is not optional, with its default; of optional ones and of messages `null` stands for absence. 64-bit
 * integers are numbers, exact to 2^53.
 */
import type { Code } from "./enums.js";

export interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
}

export type Duration = Timestamp;

export interface Status {
  readonly code: Code;
  readonly message: string;
}

export interface Resource {
  readonly resourceNamespace?: string;
  readonly name: string;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Endpoints {
  readonly scheme: number;
  readonly addresses: readonly Address[];
}

export interface Broker {
  readonly name: string;
  readonly id: number;
  readonly endpoints?: Endpoints | null;
}

export interface MessageQueue {
  readonly topic?: Resource | null;
  readonly id: number;
  readonly permission?: number;
  readonly broker?: Broker | null;
  readonly acceptMessageTypes?: readonly number[];
}

export interface FilterExpression {
  readonly type: number;
  readonly expression: string;
}

export interface SystemProperties {
  readonly tag?: string | null;
  readonly keys?: readonly string[];
  readonly messageId?: string;
  readonly bodyDigest?: { readonly type: number; readonly checksum: string } | null;
  readonly bodyEncoding?: number;
  readonly messageType?: number;
  readonly bornTimestamp?: Timestamp | null;
  readonly bornHost?: string;
  readonly storeTimestamp?: Timestamp | null;
  readonly storeHost?: string;
  readonly deliveryTimestamp?: Timestamp | null;
  readonly receiptHandle?: string | null;
  readonly queueId?: number;
  readonly queueOffset?: number | null;
  readonly deliveryAttempt?: number | null;
  readonly messageGroup?: string | null;
  readonly traceContext?: string | null;
  readonly orphanedTransactionRecoveryDuration?: Duration | null;
  readonly deadLetterQueue?: { readonly topic: string; readonly messageId: string } | null;
  readonly liteTopic?: string | null;
  readonly priority?: number | null;
}

export interface Message {
  readonly topic?: Resource | null;
  readonly userProperties: Record<string, string>;
  readonly systemProperties?: SystemProperties | null;
  readonly body: Buffer;
}

export interface RetryPolicy {
  readonly maxAttempts?: number;
  readonly exponentialBackoff?: {
    readonly initial: Duration;
    readonly max: Duration;
    readonly multiplier: number;
  } | null;
  readonly customizedBackoff?: { readonly next: readonly Duration[] } | null;
}

export interface Publishing {
  readonly topics: readonly Resource[];
  readonly maxBodySize?: number;
  readonly validateMessageType?: boolean;
}

export interface SubscriptionEntry {
  readonly topic?: Resource | null;
  readonly expression?: FilterExpression | null;
}

export interface Subscription {
  readonly group?: Resource | null;
  readonly subscriptions: readonly SubscriptionEntry[];
  readonly fifo?: boolean | null;
  readonly receiveBatchSize?: number | null;
  readonly longPollingTimeout?: Duration | null;
}

export interface Settings {
  readonly clientType?: number | null;
  readonly accessPoint?: Endpoints | null;
  readonly backoffPolicy?: RetryPolicy | null;
  readonly requestTimeout?: Duration | null;
  readonly publishing?: Publishing | null;
  readonly subscription?: Subscription | null;
  readonly userAgent?: object | null;
  readonly metric?: { readonly on: boolean } | null;
  readonly clientProperties?: Record<string, string>;
}

export interface TelemetryCommand {
  readonly status?: Status | null;
  readonly settings?: Settings | null;
  readonly threadStackTrace?: { readonly nonce: string; readonly threadStackTrace?: string | null } | null;
  readonly verifyMessageResult?: { readonly nonce: string } | null;
  readonly recoverOrphanedTransactionCommand?: { readonly message: Message; readonly transactionId: string } | null;
  readonly printThreadStackTraceCommand?: { readonly nonce: string } | null;
  readonly verifyMessageCommand?: { readonly nonce: string; readonly message: Message } | null;
  readonly reconnectEndpointsCommand?: { readonly nonce: string } | null;
}

export interface QueryRouteRequest {
  readonly topic: Resource | null;
  readonly endpoints: Endpoints | null;
}

export interface QueryAssignmentRequest {
  readonly topic: Resource | null;
  readonly group: Resource | null;
  readonly endpoints: Endpoints | null;
}

export interface SendMessageRequest {
  readonly messages: readonly Message[];
}

export interface SendResultEntry {
  readonly status: Status;
  readonly messageId?: string;
  readonly transactionId?: string;
  readonly offset?: number;
  readonly recallHandle?: string;
}

export interface SendMessageResponse {
  readonly status: Status;
  readonly entries?: readonly SendResultEntry[];
}

export interface HeartbeatRequest {
  readonly group: Resource | null;
  readonly clientType: number;
}

export interface NotifyClientTerminationRequest {
  readonly group: Resource | null;
}

export interface ReceiveMessageRequest {
  readonly group: Resource | null;
  readonly messageQueue: MessageQueue | null;
  readonly filterExpression: FilterExpression | null;
  readonly batchSize: number;
  readonly invisibleDuration: Duration | null;
  readonly autoRenew: boolean;
  readonly longPollingTimeout: Duration | null;
  readonly attemptId: string | null;
}

export interface AckMessageEntry {
  readonly messageId: string;
  readonly receiptHandle: string;
}

export interface AckResultEntry extends AckMessageEntry {
  readonly status: Status;
}

export interface AckMessageResponse {
  readonly status: Status;
  readonly entries?: readonly AckResultEntry[];
}

/** One of them. */
export interface ReceiveMessageResponse {
  readonly status?: Status | null;
  readonly message?: Message | null;
  readonly deliveryTimestamp?: Timestamp | null;
}

export interface AckMessageRequest {
  readonly group: Resource | null;
  readonly topic: Resource | null;
  readonly entries: readonly AckMessageEntry[];
}

export interface ChangeInvisibleDurationRequest {
  readonly group: Resource | null;
  readonly topic: Resource | null;
  readonly receiptHandle: string;
  readonly invisibleDuration: Duration | null;
  readonly messageId: string;
}

export interface ForwardMessageToDeadLetterQueueRequest {
  readonly group: Resource | null;
  readonly topic: Resource | null;
  readonly receiptHandle: string;
  readonly messageId: string;
}

export interface EndTransactionRequest {
  readonly topic: Resource | null;
  readonly messageId: string;
  readonly transactionId: string;
  readonly resolution: number;
  readonly source: number;
}

export interface RecallMessageRequest {
  readonly topic: Resource | null;
  readonly recallHandle: string;
}

export interface PullMessageRequest {
  readonly group: Resource | null;
  readonly messageQueue: MessageQueue | null;
  readonly offset: number;
  readonly batchSize: number;
  readonly filterExpression: FilterExpression | null;
  readonly longPollingTimeout: Duration | null;
}

export interface UpdateOffsetRequest {
  readonly group: Resource | null;
  readonly messageQueue: MessageQueue | null;
  readonly offset: number;
}

export interface GetOffsetRequest {
  readonly group: Resource | null;
  readonly messageQueue: MessageQueue | null;
}

export interface QueryOffsetRequest {
  readonly messageQueue: MessageQueue | null;
  readonly queryOffsetPolicy: number;
  readonly timestamp: Timestamp | null;
}

const MS = 1000;
const NANOS = 1_000_000;

export function toMs(time: Timestamp | null | undefined): number {
  return time == null ? 0 : time.seconds * MS + Math.trunc(time.nanos / NANOS);
}

export function fromMs(ms: number): Timestamp {
  const seconds = Math.floor(ms / MS);
  return { seconds, nanos: Math.round((ms - seconds * MS) * NANOS) };
}
