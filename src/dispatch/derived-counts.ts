/**
 * What queues and index hold, in four numbers. They are noted with the position they were true at, so that a start finds
 * out that something derived from the log was lost, without reading it all: then it is made again from the log.
 */
import type { ConsumeQueue } from "../consumequeue/consume-queue.js";

export interface DerivedCounts {
  /** Queues that have entries. */
  readonly queueCount: number;
  /** Sum of the queues' max offsets. */
  readonly unitCount: number;
  /** Sum of the offsets at which the queues' files begin. */
  readonly firstUnitSum: number;
  /** Entries of the index, -1 when there is to be none. */
  readonly indexEntryCount: number;
}

export type QueueCounts = Omit<DerivedCounts, "indexEntryCount">;

const NONE: QueueCounts = { queueCount: 0, unitCount: 0, firstUnitSum: 0 };

/** What is in the queue's files, before `endOffset`. */
export function countsOf({ firstOffset, flushedOffset }: ConsumeQueue, endOffset = flushedOffset): QueueCounts {
  if (endOffset <= firstOffset) return NONE;
  return { queueCount: 1, unitCount: endOffset, firstUnitSum: firstOffset };
}

export function addCounts(a: QueueCounts, b: QueueCounts, sign: 1 | -1 = 1): QueueCounts {
  return {
    queueCount: a.queueCount + sign * b.queueCount,
    unitCount: a.unitCount + sign * b.unitCount,
    firstUnitSum: a.firstUnitSum + sign * b.firstUnitSum,
  };
}

export function countQueues(queues: Iterable<ConsumeQueue>): QueueCounts {
  let sum = NONE;
  for (const queue of queues) sum = addCounts(sum, countsOf(queue));
  return sum;
}

/** True when something of what was noted is not there any more. More than noted is no loss. */
export function lacks(found: DerivedCounts, noted: DerivedCounts): boolean {
  return (
    found.queueCount < noted.queueCount ||
    found.unitCount < noted.unitCount ||
    found.firstUnitSum > noted.firstUnitSum ||
    found.indexEntryCount < noted.indexEntryCount ||
    // An index that is wanted from now on has to be made.
    (noted.indexEntryCount < 0 && found.indexEntryCount >= 0)
  );
}
