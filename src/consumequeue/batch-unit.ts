/**
 * One unit of a batch consume queue: a record that holds `count` messages under consecutive queue offsets. 46 bytes,
 * big-endian (store/queue/BatchConsumeQueue, CQ_STORE_UNIT_SIZE):
 *
 *   phyOffset: i64   size: i32   tagsCode: i64   storeTimestamp: i64   baseOffset: i64   count: i16
 *   compactedOffset: i32 (-1)   reserved: i32 (0)
 *
 * A unit's place does not tell its queue offset, so units are searched for, by offset and by time alike.
 */
import { readInt64, writeInt64 } from "../base/int64.js";
import type { Boundary } from "./offset-by-time.js";

export const BATCH_UNIT_BYTES = 46;
export const BATCH_COUNT_MAX = 2 ** 15 - 1;

const SIZE_AT = 8;
const TAGS_CODE_AT = 12;
const STORE_TIMESTAMP_AT = 20;
const BASE_OFFSET_AT = 28;
const COUNT_AT = 36;
const COMPACTED_OFFSET_AT = 38;
const RESERVED_AT = 42;

export interface BatchUnit {
  /** Queue offset of the first message. */
  queueOffset: number;
  count: number;
  phyOffset: number;
  sizeBytes: number;
  tagsCodeHigh: number;
  tagsCodeLow: number;
  storeTimestamp: number;
  compactedOffset: number;
}

/** What a dispatcher knows of a record; `tagsCode` is a safe integer. */
export interface BatchEntry {
  readonly phyOffset: number;
  readonly sizeBytes: number;
  readonly tagsCode: number;
  readonly storeTimestamp: number;
  readonly baseOffset: number;
  readonly count: number;
}

export function writeBatchUnit(view: DataView, position: number, entry: BatchEntry): void {
  writeInt64(view, position, entry.phyOffset);
  view.setInt32(position + SIZE_AT, entry.sizeBytes);
  writeInt64(view, position + TAGS_CODE_AT, entry.tagsCode);
  writeInt64(view, position + STORE_TIMESTAMP_AT, entry.storeTimestamp);
  writeInt64(view, position + BASE_OFFSET_AT, entry.baseOffset);
  view.setInt16(position + COUNT_AT, entry.count);
  view.setInt32(position + COMPACTED_OFFSET_AT, -1);
  view.setInt32(position + RESERVED_AT, 0);
}

export function readBatchUnit(view: DataView, position: number): BatchUnit {
  return {
    queueOffset: batchBaseOffset(view, position),
    count: view.getInt16(position + COUNT_AT),
    phyOffset: readInt64(view, position),
    sizeBytes: view.getInt32(position + SIZE_AT),
    tagsCodeHigh: view.getInt32(position + TAGS_CODE_AT),
    tagsCodeLow: view.getInt32(position + TAGS_CODE_AT + 4),
    storeTimestamp: readInt64(view, position + STORE_TIMESTAMP_AT),
    compactedOffset: view.getInt32(position + COMPACTED_OFFSET_AT),
  };
}

export function batchBaseOffset(view: DataView, position: number): number {
  return readInt64(view, position + BASE_OFFSET_AT);
}

/** Queue offset behind the unit's last message. */
export function batchEndOffset(view: DataView, position: number): number {
  return batchBaseOffset(view, position) + view.getInt16(position + COUNT_AT);
}

/** What recovery takes for a unit. */
export function batchUnitCounts(view: DataView, position: number): boolean {
  return (
    view.getInt32(position) >= 0 &&
    view.getInt32(position + SIZE_AT) > 0 &&
    view.getInt32(position + BASE_OFFSET_AT) >= 0 &&
    view.getInt16(position + COUNT_AT) > 0
  );
}

/** Units [firstBase, endBytes) of a batch queue; `unitAt` is valid until the next call. */
export interface BatchUnits {
  readonly firstBase: number;
  readonly endBytes: number;
  readonly fileBytes: number;
  unitAt(position: number): DataView | undefined;
}

/** Position of the last unit that begins at or before `queueOffset`, or -1. */
export function findBatchUnit(units: BatchUnits, queueOffset: number): number {
  return lastUnitWhere(units, (view) => batchBaseOffset(view, 0) <= queueOffset);
}

/** Position of the last unit for which `test`, true up to some unit and false behind it, holds; or -1. */
export function lastUnitWhere(units: BatchUnits, test: (view: DataView) => boolean): number {
  let low = -1;
  let high = (units.endBytes - units.firstBase) / BATCH_UNIT_BYTES;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const view = units.unitAt(units.firstBase + middle * BATCH_UNIT_BYTES);
    if (view !== undefined && test(view)) low = middle;
    else high = middle;
  }
  return low < 0 ? -1 : units.firstBase + low * BATCH_UNIT_BYTES;
}

/**
 * Base offset of the unit for a store timestamp, or -1 (BatchConsumeQueue.getOffsetInQueueByTime). The file is the last
 * one that begins at or before the time, else the first. Apache's answers, odd ones included: from the file's last unit
 * on always that unit, and UPPER between two units is mostly none.
 */
export function batchOffsetByTime(units: BatchUnits, timestamp: number, boundary: Boundary): number {
  if (units.endBytes <= units.firstBase) return -1;
  const timeAt = (position: number): number => {
    const view = units.unitAt(position);
    return view === undefined ? -1 : readInt64(view, STORE_TIMESTAMP_AT);
  };
  let file = units.endBytes - BATCH_UNIT_BYTES;
  file -= file % units.fileBytes;
  while (file > units.firstBase && timeAt(file) > timestamp) file -= units.fileBytes;
  const last = Math.min(units.endBytes, file + units.fileBytes) - BATCH_UNIT_BYTES;
  const found = timestamp >= timeAt(last) ? last : searchTime(timeAt, file, last, timestamp, boundary);
  const view = found < 0 ? undefined : units.unitAt(found);
  return view === undefined ? -1 : batchBaseOffset(view, 0);
}

function searchTime(
  timeAt: (position: number) => number,
  file: number,
  last: number,
  timestamp: number,
  boundary: Boundary,
): number {
  let left = 0;
  let right = (last - file) / BATCH_UNIT_BYTES;
  while (left <= right) {
    const middle = (left + right) >>> 1;
    const time = timeAt(file + middle * BATCH_UNIT_BYTES);
    if (middle === right || middle === left) {
      if (time >= timestamp) return file + middle * BATCH_UNIT_BYTES;
      if (middle === right) return -1;
      left = middle + 1;
    } else if (boundary === "LOWER") {
      if (time < timestamp) left = middle + 1;
      else right = middle;
    } else if (time <= timestamp) left = middle;
    else right = middle - 1;
  }
  return -1;
}
