/** Finds the queue that a request names. Requests never bring a queue into being that the topic does not have. */
import type { BrokerContext } from "./context.js";
import type { QueueHandle } from "./store-port.js";
import { type Topic, topicQueue } from "./topic-config.js";

export function hasQueue(topic: Topic, queueId: number): boolean {
  return Number.isInteger(queueId) && queueId >= 0 && queueId < Math.max(topic.readQueueNums, topic.writeQueueNums);
}

export function existingQueue(context: BrokerContext, topicName: string, queueId: number): QueueHandle | undefined {
  const topic = context.topics.get(topicName);
  return topic !== undefined && hasQueue(topic, queueId) ? topicQueue(context.store, topic, queueId) : undefined;
}

/** The offset of the first message stored at or after `timestamp`; a negative time means the end of the queue. */
export function offsetAtTime({ store }: BrokerContext, topic: Topic, queueId: number, timestamp: number): number {
  const queue = topicQueue(store, topic, queueId);
  return timestamp < 0 ? store.maxOffset(queue) : store.offsetByTime(queue, timestamp, "LOWER");
}
