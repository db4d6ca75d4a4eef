/** What a client is told of its settings: its own, with what the server decides (GrpcClientSettingsManager.java). */
import { fromMs, type RetryPolicy, type Settings } from "../../grpc/messages.js";
import type { BrokerContext } from "../broker/context.js";
import { SubscriptionGroup, type SubscriptionGroupConfig } from "../broker/subscription-group-config.js";

/** Apache's CustomizedRetryPolicy: levels 3 to 18. */
const CUSTOMIZED_MS = [
  1000, 5000, 10_000, 30_000, 60_000, 120_000, 180_000, 240_000, 300_000, 360_000, 420_000, 480_000, 540_000, 600_000,
  1_200_000, 1_800_000, 3_600_000, 7_200_000,
];
const EXPONENTIAL = { initial: 5000, max: 7_200_000, multiplier: 2 };

/** Settings as sent, with the server's part filled in anew from configuration and group. */
export function mergedSettings(broker: BrokerContext, settings: Settings): Settings {
  const metric = { on: false };
  if (settings.publishing != null) return { ...producerSettings(broker, settings), metric };
  if (settings.subscription != null) return { ...consumerSettings(broker, settings), metric };
  return { ...settings, metric };
}

/** What matters of the merged settings to who receives messages, without all the rest. */
export function receiveSettings(broker: BrokerContext, settings: Settings): { fifo: boolean; maxAttempts: number } {
  const { publishing, subscription, backoffPolicy } = settings;
  if (publishing != null) {
    return { fifo: subscription?.fifo === true, maxAttempts: broker.config.grpcClientProducerMaxAttempts };
  }
  if (subscription == null) return { fifo: false, maxAttempts: backoffPolicy?.maxAttempts ?? Number.MAX_SAFE_INTEGER };
  const group = groupOf(broker, settings);
  return { fifo: group.consumeMessageOrderly, maxAttempts: group.retryMaxTimes + 1 };
}

function groupOf(broker: BrokerContext, settings: Settings): SubscriptionGroupConfig {
  const name = settings.subscription?.group?.name ?? "";
  return broker.groups.get(name) ?? new SubscriptionGroup(name);
}

function producerSettings({ config }: BrokerContext, settings: Settings): Settings {
  const backoffPolicy: RetryPolicy = {
    maxAttempts: config.grpcClientProducerMaxAttempts,
    exponentialBackoff: {
      initial: fromMs(config.grpcClientProducerBackoffInitialMillis),
      max: fromMs(config.grpcClientProducerBackoffMaxMillis),
      multiplier: config.grpcClientProducerBackoffMultiplier,
    },
  };
  const publishing = {
    topics: settings.publishing?.topics ?? [],
    maxBodySize: config.maxMessageSize,
    validateMessageType: config.enableTopicMessageTypeCheck,
  };
  return { ...settings, backoffPolicy, publishing };
}

function consumerSettings(broker: BrokerContext, settings: Settings): Settings {
  const { config } = broker;
  const group = groupOf(broker, settings);
  const subscription = {
    group: settings.subscription?.group ?? null,
    subscriptions: settings.subscription?.subscriptions ?? [],
    fifo: group.consumeMessageOrderly,
    receiveBatchSize: config.grpcClientConsumerLongPollingBatchSize,
    longPollingTimeout: fromMs(config.grpcClientConsumerMaxLongPollingTimeoutMillis),
  };
  return { ...settings, backoffPolicy: retryPolicyOf(group), subscription };
}

function retryPolicyOf(group: SubscriptionGroupConfig): RetryPolicy {
  const maxAttempts = group.retryMaxTimes + 1;
  const { type, exponentialRetryPolicy, customizedRetryPolicy } = group.groupRetryPolicy;
  if (type === "EXPONENTIAL") {
    const { initial, max, multiplier } = exponentialRetryPolicy ?? EXPONENTIAL;
    return { maxAttempts, exponentialBackoff: { initial: fromMs(initial), max: fromMs(max), multiplier } };
  }
  return { maxAttempts, customizedBackoff: { next: (customizedRetryPolicy?.next ?? CUSTOMIZED_MS).map(fromMs) } };
}

/** Milliseconds before retry number `times` of a message of `group`, from 0 (RetryPolicy#nextDelayDuration). */
export function retryDelayMs(group: SubscriptionGroupConfig, times: number): number {
  const { type, exponentialRetryPolicy, customizedRetryPolicy } = group.groupRetryPolicy;
  if (type === "EXPONENTIAL") {
    const { initial, max, multiplier } = exponentialRetryPolicy ?? EXPONENTIAL;
    return Math.min(max, initial * multiplier ** Math.min(32, Math.max(0, times)));
  }
  const next = customizedRetryPolicy?.next ?? CUSTOMIZED_MS;
  // Apache's begins with the third, as its clients count.
  return next[Math.min(next.length - 1, Math.max(0, times) + 2)] ?? CUSTOMIZED_MS[0]!;
}
