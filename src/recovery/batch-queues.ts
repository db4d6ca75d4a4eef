/** The batch consume queues of a store, as recovery handles them beside the ordinary ones. */
import { BatchConsumeQueue } from "../consumequeue/batch-consume-queue.js";
import { listQueues } from "../consumequeue/queue-directory.js";
import type { QueueContext, RecoveryMode } from "../consumequeue/queue-files.js";
import { BatchDispatch } from "../dispatch/batch-dispatch.js";
import type { Disk } from "../io/disk.js";

export interface BatchQueueOptions {
  readonly context: QueueContext;
  /** The store's `batchconsumequeue` directory. */
  readonly root: string;
  /** Topics known to have such queues; those that have a directory in `root` come on top. */
  readonly topics: ReadonlySet<string>;
}

export class BatchQueues {
  /** Puts records into these queues; undefined when no topic has any. */
  readonly dispatch: BatchDispatch | undefined;
  readonly foreignPaths: string[];
  readonly #queues: BatchConsumeQueue[] = [];

  /** Lists them, changing nothing. */
  constructor(disk: Disk, { context, root, topics }: BatchQueueOptions) {
    const listing = listQueues(disk, root);
    this.foreignPaths = [...listing.unknown];
    for (const { topic, queueId, directory } of listing.queues) {
      const queue = new BatchConsumeQueue(context, directory, topic, queueId);
      for (const name of queue.load()) this.foreignPaths.push(`${directory}/${name}`);
      this.#queues.push(queue);
    }
    const all = new Set([...topics, ...this.#queues.map(({ topic }) => topic)]);
    this.dispatch = all.size === 0 ? undefined : new BatchDispatch(context, root, all);
  }

  /** Finds the queues' ends; true when units were found behind one. */
  recover(mode: RecoveryMode): boolean {
    let staleTail = false;
    for (const queue of this.#queues) {
      if (queue.recover(mode).staleTail) staleTail = true;
      this.dispatch?.adopt(queue);
    }
    return staleTail;
  }

  /** Where the last record begins that any of them has, or -1. */
  get maxPhyOffset(): number {
    return this.#queues.reduce((max, queue) => Math.max(max, queue.maxPhyOffset), -1);
  }

  /** Units that point at `phyOffset` or beyond go. */
  truncateAfter(phyOffset: number): void {
    for (const queue of this.#queues) queue.truncateAfter(phyOffset);
  }

  /** The log has its first byte at `firstOffset` and ends at `endOffset`. */
  finish(firstOffset: number, endOffset: number): void {
    for (const queue of this.dispatch?.queues ?? []) {
      queue.truncateAfter(endOffset);
      queue.correctMinOffset(firstOffset);
    }
  }
}
