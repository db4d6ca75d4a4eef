/**
 * From a store timestamp to a queue offset: a file is chosen by the times of its first and last unit, then searched by
 * halving. The answers are Apache's, odd ones included, for consumers reset their offsets by them
 * (MappedFileQueue.getConsumeQueueMappedFileByTime, ConsumeQueue.binarySearchInQueueByTime, ConsumeQueueStore).
 *
 * LOWER is the first unit at or after the time, UPPER the last one at or before it. Between two units LOWER is therefore
 * above UPPER; behind the last one LOWER is the offset after it; before the first one both are the first.
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
  timestampAt(queueOffset: number): number;
}

export function offsetByTime(queue: TimedQueue, timestamp: number, boundary: Boundary, bounds: QueueBounds): number {
  const { minOffset, maxOffset } = bounds;
  const file = chooseFile(queue, timestamp, boundary, maxOffset);
  const found = file < 0 ? 0 : searchFile(queue, file, timestamp, boundary, bounds);
  return Math.min(Math.max(found, minOffset), maxOffset);
}

/** Offset of the chosen file's first unit, or -1. A time of 0 or less counts as unknown, which is before all times. */
function chooseFile(queue: TimedQueue, timestamp: number, boundary: Boundary, maxOffset: number): number {
  const { firstOffset, unitsPerFile } = queue;
  if (maxOffset <= firstOffset) return -1;
  const lastFile = maxOffset - 1 - ((maxOffset - 1) % unitsPerFile);
  if (boundary === "LOWER") {
    for (let file = firstOffset; file < lastFile; file += unitsPerFile) {
      if (known(queue.timestampAt(file + unitsPerFile - 1)) >= timestamp) return file;
    }
    return lastFile;
  }
  for (let file = lastFile; file >= firstOffset; file -= unitsPerFile) {
    if (known(queue.timestampAt(file)) <= timestamp) return file;
  }
  return -1;
}

function known(timestamp: number): number {
  return timestamp > 0 ? timestamp : -1;
}

function searchFile(
  queue: TimedQueue,
  file: number,
  timestamp: number,
  boundary: Boundary,
  bounds: QueueBounds,
): number {
  const floor = Math.max(file, bounds.minOffset);
  const ceiling = Math.min(bounds.maxOffset, file + queue.unitsPerFile) - 1;
  if (floor > ceiling || queue.timestampAt(ceiling) < timestamp) return boundary === "LOWER" ? ceiling + 1 : ceiling;
  if (queue.timestampAt(floor) > timestamp) return boundary === "LOWER" ? file : 0;
  let low = floor;
  let high = ceiling;
  let left = file - 1;
  let right = file - 1;
  while (high >= low) {
    const middle = Math.floor((low + high) / 2);
    let time = -1;
    if (queue.phyOffsetAt(middle) >= bounds.minPhyOffset) {
      time = queue.timestampAt(middle);
      if (time < 0) return 0;
      if (time === timestamp) return edgeOfEqual(queue, middle, boundary === "LOWER" ? floor : ceiling, timestamp);
    }
    if (time > timestamp) {
      high = middle - 1;
      right = middle;
    } else {
      low = middle + 1;
      left = middle;
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
