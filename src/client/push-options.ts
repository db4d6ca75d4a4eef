/** How a push consumer is set up: DefaultMQPushConsumer's names and defaults. */
import { homedir } from "node:os";
import { join } from "node:path";
import type { OptionNames } from "../base/option-names.js";
import { type AllocateStrategy, allocateAveragely } from "./allocate.js";
import { CONSUMER_OPTIONS, type ConsumeTraceOptions } from "./consume-trace.js";
import { shown } from "../base/given-values.js";
import { checkFunction, positive, textIfGiven, timeMs, yesOrNo } from "./arguments.js";
import { configError } from "./errors.js";
import type { FilterExpression } from "./heartbeat.js";
import { type ClientOptions, checkGroup, checkTopic } from "./options.js";
import type { MessageQueue } from "./message-queue.js";
import type { ReceivedMessage } from "./received-message.js";

/** Where a group begins in a queue for which it has no offset. */
export type ConsumeFrom = "last" | "first" | { readonly timestamp: number | Date };

/** What a handler knows besides its messages. */
export interface ConsumeContext {
  readonly queue: MessageQueue;
  /** Aborted when the time for these messages is over, their queue went to another consumer, or the consumer closes. */
  readonly signal: AbortSignal;
  /**
   * The delay of the next attempt, should this one fail: 0 leaves it to the broker, 1 to 18 are its levels, -1 puts the
   * messages into the dead letter topic. Unordered consumption only.
   */
  delayLevelWhenNextConsume: number;
}

/** Consumed when it returns or resolves; consumed again later when it throws or rejects. */
export type MessageHandler = (message: ReceivedMessage, context: ConsumeContext) => unknown;
/** The same for several messages of one queue, which are consumed or not consumed together. */
export type BatchHandler = (messages: readonly ReceivedMessage[], context: ConsumeContext) => unknown;

/** How a push consumer is set up. `group`, `subscriptions` and one of `onMessage` and `onBatch` are needed. */
export interface PushConsumerOptions extends ClientOptions, ConsumeTraceOptions {
  readonly group: string;
  /** Topics, and what is wanted of each: `{ orders: "*", payments: "card || cash", bids: { sql: "price > 10" } }`. */
  readonly subscriptions: Readonly<Record<string, FilterExpression>>;
  /** Either this or `onBatch`. */
  readonly onMessage?: MessageHandler;
  /** Either this or `onMessage`. */
  readonly onBatch?: BatchHandler;
  /** Messages of a queue one after the other, in order, with no other consumer of the group at the same queue (false). */
  readonly orderly?: boolean;
  /** Each message to one consumer of the group, or to all of them (clustering). */
  readonly messageModel?: "clustering" | "broadcasting";
  /** Where the group begins in a queue for which it has no offset ("last"). */
  readonly consumeFrom?: ConsumeFrom;
  /** Who of the group gets which queues (`allocateAveragely`). */
  readonly allocateStrategy?: AllocateStrategy;
  /** Handlers at work at once (20). Orderly consumption has one for each queue. */
  readonly concurrency?: number;
  /** For `onBatch` (1). */
  readonly consumeMessageBatchMaxSize?: number;
  /** Attempts after the first before a message becomes a dead letter: 16, and without end where orderly. */
  readonly maxReconsumeTimes?: number;
  /** Time for a handler; then its messages count as not consumed (15 min). */
  readonly consumeTimeoutMs?: number;
  /** Before the next attempt at an ordered message (1 s). */
  readonly suspendCurrentQueueTimeMs?: number;
  /** Messages of a pull at most (32). */
  readonly pullBatchSize?: number;
  /** No pull while so many messages of a queue wait for a handler (1000). */
  readonly pullThresholdForQueue?: number;
  /** No pull while so many bytes of a queue wait for a handler (100 MiB). */
  readonly pullThresholdBytesForQueue?: number;
  /** The same for all queues of a topic that this consumer has, shared among them; then `pullThresholdForQueue` is not asked. */
  readonly pullThresholdForTopic?: number;
  /** In bytes; then `pullThresholdBytesForQueue` is not asked. */
  readonly pullThresholdBytesForTopic?: number;
  /** No pull while the newest message is so far ahead of the oldest that is not consumed (2000). */
  readonly consumeConcurrentlyMaxSpan?: number;
  /** How often offsets are saved (5 s). */
  readonly persistConsumerOffsetIntervalMs?: number;
  /** How long `close` waits for handlers at work (10 s). */
  readonly awaitTerminationMs?: number;
  /** Where offsets of broadcasting are kept (`.rocketmq_offsets` in the home directory). */
  readonly offsetsDirectory?: string;
}

export const PUSH_CONSUMER_OPTIONS: OptionNames<PushConsumerOptions> = {
  ...CONSUMER_OPTIONS,
  group: true,
  subscriptions: true,
  onMessage: true,
  onBatch: true,
  orderly: true,
  messageModel: true,
  consumeFrom: true,
  allocateStrategy: true,
  concurrency: true,
  consumeMessageBatchMaxSize: true,
  maxReconsumeTimes: true,
  consumeTimeoutMs: true,
  suspendCurrentQueueTimeMs: true,
  pullBatchSize: true,
  pullThresholdForQueue: true,
  pullThresholdBytesForQueue: true,
  pullThresholdForTopic: true,
  pullThresholdBytesForTopic: true,
  consumeConcurrentlyMaxSpan: true,
  persistConsumerOffsetIntervalMs: true,
  awaitTerminationMs: true,
  offsetsDirectory: true,
};

export interface PushSettings {
  readonly group: string;
  readonly handler: BatchHandler;
  readonly orderly: boolean;
  readonly broadcasting: boolean;
  readonly consumeFrom: ConsumeFrom;
  readonly strategy: AllocateStrategy;
  readonly concurrency: number;
  readonly batchSizeMax: number;
  /** Undefined where nobody set it. */
  readonly maxReconsumeTimes: number | undefined;
  readonly consumeTimeoutMs: number;
  readonly suspendMs: number;
  readonly pullBatchSize: number;
  readonly pullThresholdForQueue: number;
  readonly pullThresholdBytesForQueue: number;
  readonly pullThresholdForTopic: number | undefined;
  readonly pullThresholdBytesForTopic: number | undefined;
  readonly spanMax: number;
  readonly persistIntervalMs: number;
  readonly awaitTerminationMs: number;
  readonly offsetsDirectory: string;
}

export function pushSettings(options: PushConsumerOptions): PushSettings {
  const { onMessage, onBatch, maxReconsumeTimes, messageModel = "clustering" } = options;
  const { pullThresholdForTopic: forTopic, pullThresholdBytesForTopic: bytesForTopic } = options;
  if ((onMessage === undefined) === (onBatch === undefined))
    throw configError("Give onMessage or onBatch, one of them.");
  checkFunction("onMessage", onMessage);
  checkFunction("onBatch", onBatch);
  if (messageModel !== "clustering" && messageModel !== "broadcasting")
    throw configError(`messageModel is ${shown(messageModel)}, neither clustering nor broadcasting.`);
  const handler: BatchHandler =
    onBatch ??
    (async (messages, context) => {
      for (const message of messages) await onMessage!(message, context);
    });
  const batchSizeMax = onBatch === undefined ? 1 : options.consumeMessageBatchMaxSize;
  return {
    group: checkGroup(options.group, options),
    handler,
    orderly: yesOrNo("orderly", options.orderly, false),
    broadcasting: messageModel === "broadcasting",
    consumeFrom: checkedFrom(options.consumeFrom ?? "last"),
    strategy: checkedStrategy(options.allocateStrategy),
    concurrency: positive("concurrency", options.concurrency, 20),
    batchSizeMax: positive("consumeMessageBatchMaxSize", batchSizeMax, 1),
    maxReconsumeTimes: maxReconsumeTimes && positive("maxReconsumeTimes", maxReconsumeTimes, 0, 0),
    consumeTimeoutMs: positive("consumeTimeoutMs", options.consumeTimeoutMs, 900_000),
    suspendMs: positive("suspendCurrentQueueTimeMs", options.suspendCurrentQueueTimeMs, 1000),
    pullBatchSize: positive("pullBatchSize", options.pullBatchSize, 32),
    pullThresholdForQueue: positive("pullThresholdForQueue", options.pullThresholdForQueue, 1000),
    pullThresholdBytesForQueue: positive(
      "pullThresholdBytesForQueue",
      options.pullThresholdBytesForQueue,
      100 * 1024 * 1024,
    ),
    pullThresholdForTopic: forTopic && positive("pullThresholdForTopic", forTopic, 1),
    pullThresholdBytesForTopic: bytesForTopic && positive("pullThresholdBytesForTopic", bytesForTopic, 1),
    spanMax: positive("consumeConcurrentlyMaxSpan", options.consumeConcurrentlyMaxSpan, 2000),
    persistIntervalMs: positive("persistConsumerOffsetIntervalMs", options.persistConsumerOffsetIntervalMs, 5000),
    awaitTerminationMs: positive("awaitTerminationMs", options.awaitTerminationMs, 10_000, 0),
    offsetsDirectory: textIfGiven("offsetsDirectory", options.offsetsDirectory) ?? join(homedir(), ".rocketmq_offsets"),
  };
}

export function checkedSubscriptions(
  subscriptions: Readonly<Record<string, FilterExpression>>,
  settings: { readonly namespace?: string | undefined },
): Map<string, FilterExpression> {
  // The indices of a list would be topics.
  if (typeof subscriptions !== "object" || subscriptions === null || Array.isArray(subscriptions))
    throw configError('subscriptions is no object of topics: { orders: "*" }.');
  const entries = Object.entries(subscriptions);
  if (entries.length === 0) throw configError("subscriptions names no topic.");
  return new Map(entries.map(([topic, filter]) => [checkTopic(topic, settings), filter]));
}

export function checkedFrom(from: ConsumeFrom): ConsumeFrom {
  if (from === "last" || from === "first") return from;
  if (typeof from === "object" && from !== null) return { timestamp: timeMs("consumeFrom.timestamp", from.timestamp) };
  throw configError(`consumeFrom is ${shown(from)}, not "last", "first" or { timestamp }.`);
}

export function checkedStrategy(strategy: AllocateStrategy = allocateAveragely): AllocateStrategy {
  if (typeof strategy?.allocate !== "function" || typeof strategy.name !== "string")
    throw configError(`allocateStrategy is ${shown(strategy)}, no object with name and allocate.`);
  return strategy;
}

/** As heartbeats say it. */
export function consumeFromWhere(from: ConsumeFrom): string {
  if (from === "last") return "CONSUME_FROM_LAST_OFFSET";
  return from === "first" ? "CONSUME_FROM_FIRST_OFFSET" : "CONSUME_FROM_TIMESTAMP";
}
