/**
 * From a store timestamp to a queue offset: a file is chosen by the times of its first and last unit, then searched by
 * halving. The answers are Apache's, odd ones included, for consumers reset their offsets by them
 * (MappedFileQueue.getConsumeQueueMappedFileByTime, ConsumeQueue.binarySearchInQueueByTime, ConsumeQueueStore).
 *
 * LOWER is the first unit at or after the time, UPPER the last one at or before it. Between two units LOWER is therefore
 * above UPPER; behind the last one LOWER is the offset after it; before the first one both are the first.
 *
 * A unit whose message was lost has no time. Apache gives the search up there, with the queue's first or last offset; here
 * the next unit that has one stands for it, so that one bad record does not lead consumers over sound ones.
 */
export type Boundary = "LOWER" | "UPPER";

/** The record's store timestamp, or -1 when the log does not hold it (CommitLog.pickupStoreTimestamp). */
export type StoreTimestampOf = (phyOffset: number, sizeBytes: number) => number;

export interface QueueBounds {
  readonly minOffset: number;
  readonly maxOffset: number;
  /** Where the commit log begins. */
  readonly minPhyOffset: number;
}

/** A queue as the search needs it. */
export interface TimedQueue {
  /** Offset of the first file's first unit. */
  readonly firstOffset: number;
  readonly unitsPerFile: number;
  /** -1 where there is no such unit, here and below. */
  phyOffsetAt(queueOffset: number): number;
  /** -1 where its message was lost, too. */
  timestampAt(queueOffset: number): number;
}

/** So many units without a time are passed over at most, each time. */
const UNKNOWN_MAX = 4096;

export function offsetByTime(queue: TimedQueue, timestamp: number, boundary: Boundary, bounds: QueueBounds): number {
  const { minOffset, maxOffset } = bounds;
  const file = chooseFile(queue, timestamp, boundary, bounds);
  const found = file < 0 ? 0 : searchFile(queue, file, timestamp, boundary, bounds);
  return Math.min(Math.max(found, minOffset), maxOffset);
}

/** Offset of the chosen file's first unit, or -1. A time of 0 or less counts as unknown, which is before all times. */
function chooseFile(queue: TimedQueue, timestamp: number, boundary: Boundary, bounds: QueueBounds): number {
  const { firstOffset, unitsPerFile } = queue;
  const { maxOffset, minPhyOffset } = bounds;
  if (maxOffset <= firstOffset) return -1;
  const lastFile = maxOffset - 1 - ((maxOffset - 1) % unitsPerFile);
  if (boundary === "LOWER") {
    for (let file = firstOffset; file < lastFile; file += unitsPerFile) {
      const last = lastKnown(queue, file, file + unitsPerFile - 1, minPhyOffset);
      if (known(queue.timestampAt(last)) >= timestamp) return file;
    }
    return lastFile;
  }
  for (let file = lastFile; file >= firstOffset; file -= unitsPerFile) {
    const first = firstKnown(queue, file, Math.min(file + unitsPerFile, maxOffset) - 1, minPhyOffset);
    if (known(queue.timestampAt(first)) <= timestamp) return file;
  }
  return -1;
}

function known(timestamp: number): number {
  return timestamp > 0 ? timestamp : -1;
}

function isLost(queue: TimedQueue, offset: number, minPhyOffset: number): boolean {
  return queue.timestampAt(offset) < 0 && queue.phyOffsetAt(offset) >= minPhyOffset;
}

/** The first unit from `from` to `to` whose message was not lost; `from` where there is none, or none near. */
function firstKnown(queue: TimedQueue, from: number, to: number, minPhyOffset: number): number {
  const end = Math.min(to, from + UNKNOWN_MAX);
  for (let offset = from; offset <= end; offset++) if (!isLost(queue, offset, minPhyOffset)) return offset;
  return from;
}

/** The same, from `to` backwards. */
function lastKnown(queue: TimedQueue, from: number, to: number, minPhyOffset: number): number {
  const end = Math.max(from, to - UNKNOWN_MAX);
  for (let offset = to; offset >= end; offset--) if (!isLost(queue, offset, minPhyOffset)) return offset;
  return to;
}

function searchFile(
  queue: TimedQueue,
  file: number,
  timestamp: number,
  boundary: Boundary,
  bounds: QueueBounds,
): number {
  const { minPhyOffset } = bounds;
  const floor = Math.max(file, bounds.minOffset);
  const last = Math.min(bounds.maxOffset, file + queue.unitsPerFile) - 1;
  const ceiling = lastKnown(queue, floor, last, minPhyOffset);
  if (floor > last || queue.timestampAt(ceiling) < timestamp) return boundary === "LOWER" ? last + 1 : ceiling;
  if (queue.timestampAt(floor) > timestamp) return boundary === "LOWER" ? file : 0;
  let low = floor;
  let high = ceiling;
  let left = file - 1;
  let right = file - 1;
  while (high >= low) {
    const middle = Math.floor((low + high) / 2);
    const unit = firstKnown(queue, middle, high, minPhyOffset);
    let time = -1;
    if (queue.phyOffsetAt(unit) >= minPhyOffset) {
      time = queue.timestampAt(unit);
      if (time === timestamp) return edgeOfEqual(queue, unit, boundary === "LOWER" ? floor : ceiling, timestamp);
      // All the upper half is lost, though its end was known: it has been passed over already.
      if (time < 0) {
        high = middle - 1;
        continue;
      }
    }
    if (time > timestamp) {
      high = middle - 1;
      right = unit;
    } else {
      low = unit + 1;
      left = unit;
    }
  }
  return boundary === "LOWER" ? right : left;
}

/** Walks from `from` towards `limit` over units of the same time. */
function edgeOfEqual(queue: TimedQueue, from: number, limit: number, timestamp: number): number {
  const step = limit < from ? -1 : 1;
  let edge = from;
  while (edge !== limit && queue.timestampAt(edge + step) === timestamp) edge += step;
  return edge;
}
