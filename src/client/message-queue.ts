/** One queue of a topic at one broker (common/message/MessageQueue.java). */
export interface MessageQueue {
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
}

/** A text by which equal queues are equal. */
export function queueKey({ topic, brokerName, queueId }: MessageQueue): string {
  return `${topic}\n${brokerName}\n${queueId}`;
}

/** By topic, broker, queue id, in Java's order: every consumer of a group must come to the same one. */
export function compareQueues(a: MessageQueue, b: MessageQueue): number {
  return compareTexts(a.topic, b.topic) || compareTexts(a.brokerName, b.brokerName) || a.queueId - b.queueId;
}

/** By UTF-16 units. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
