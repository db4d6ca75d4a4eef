/**
 * Units of queues as a reader sees them: those that dispatch has written, and behind them those of the last few messages
 * that it has not come to yet. The appender knows these anyhow; kept here they save whoever waits for a message two hops
 * between threads, which at a low rate is most of its way. They lie in memory alone: the log holds what they say, and
 * dispatch writes them a little later.
 *
 * A queue's end never moves back. What was shown stays here until dispatch has written it; while there is no room for more
 * the end stands still, until dispatch has passed it.
 */
import type { UnitBatch } from "../consumequeue/unit.js";
import type { QueueProgress } from "../dispatch/shared-progress.js";
import { FRESH_UNITS_MAX, FreshUnits } from "./fresh-units.js";
import type { StoreQueue } from "./store-queue.js";

const RING_MASK = FRESH_UNITS_MAX - 1;

export class QueueUnits {
  readonly #progress: QueueProgress;

  constructor(progress: QueueProgress) {
    this.#progress = progress;
  }

  /** One past the last unit that can be read. */
  maxOffset(queue: StoreQueue): number {
    const written = this.#progress.maxOffset(queue.slot);
    const { fresh } = queue;
    return fresh !== undefined && fresh.end > written ? fresh.end : written;
  }

  /** One past the last unit that dispatch has written. */
  writtenOffset(queue: StoreQueue): number {
    return this.#progress.maxOffset(queue.slot);
  }

  /**
   * Fills `into` with units from `fromOffset` on, `maxCount` at most and its capacity. Returns the count: there may be more
   * when it is less than asked for, and there are none when it is 0.
   */
  read(queue: StoreQueue, fromOffset: number, maxCount: number, into: UnitBatch): number {
    const written = this.#progress.maxOffset(queue.slot);
    const { fresh } = queue;
    if (fresh === undefined || fromOffset < written || fromOffset >= fresh.end) {
      return queue.reader.read(fromOffset, maxCount, written, into);
    }
    into.firstOffset = fromOffset;
    into.count = 0;
    const end = Math.min(fresh.end, fromOffset + Math.min(maxCount, into.capacity));
    for (let offset = fromOffset; offset < end; offset++) {
      const at = offset & RING_MASK;
      into.add(fresh.phyOffset[at]!, fresh.sizeBytes[at]!, fresh.tagsHash[at]!);
    }
    return into.count;
  }

  /**
   * A message is confirmed: shows its unit at once. False when there is no room, or when units before it are not to be seen
   * yet: then it shows when dispatch has come to it.
   */
  show(queue: StoreQueue, queueOffset: number, phyOffset: number, sizeBytes: number, tagsHash: number): boolean {
    queue.fresh ??= new FreshUnits();
    const { fresh } = queue;
    const written = this.#progress.maxOffset(queue.slot);
    if (fresh.end !== queueOffset) {
      if (written !== queueOffset) return false;
      fresh.end = queueOffset;
    }
    if (written > fresh.first) fresh.first = Math.min(written, fresh.end);
    if (queueOffset - fresh.first >= FRESH_UNITS_MAX) return false;
    const at = queueOffset & RING_MASK;
    fresh.phyOffset[at] = phyOffset;
    fresh.sizeBytes[at] = sizeBytes;
    fresh.tagsHash[at] = tagsHash;
    fresh.end = queueOffset + 1;
    return true;
  }
}
