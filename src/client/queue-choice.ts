/** Which queue a message goes to: in turn over those of available brokers, or by a key. */
import { randomInt } from "node:crypto";
import { javaHash } from "../base/java-hash.js";
import type { LatencyFaultTolerance } from "./latency-fault.js";
import type { MessageQueue } from "./message-queue.js";

export class QueueRotation {
  readonly #faults: LatencyFaultTolerance;
  #turn = randomInt(65_536);

  constructor(faults: LatencyFaultTolerance) {
    this.#faults = faults;
  }

  /**
   * The next queue of a broker that is available, and not the one that failed last if another is; any one when all are
   * spared. `queues` is not empty.
   */
  next(queues: readonly MessageQueue[], lastBrokerName: string | undefined): MessageQueue {
    const start = this.#turn++;
    const find = (fits: (queue: MessageQueue) => boolean) => {
      for (let i = 0; i < queues.length; i++) {
        const queue = queues[(start + i) % queues.length]!;
        if (fits(queue)) return queue;
      }
      return undefined;
    };
    const other = ({ brokerName }: MessageQueue) => brokerName !== lastBrokerName;
    return (
      find((queue) => other(queue) && this.#faults.isAvailable(queue.brokerName)) ??
      find(other) ??
      queues[start % queues.length]!
    );
  }
}

/** SelectMessageQueueByHash: the same key, the same queue, for Java's producers too. */
export function queueByHash(queues: readonly MessageQueue[], key: string): MessageQueue {
  // Java's remainder keeps the sign, and its absolute value is the index.
  return queues[Math.abs(javaHash(key) % queues.length)]!;
}
