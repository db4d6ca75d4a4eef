/**
 * One unit of a consume queue: where a message of this queue lies in the commit log. 20 bytes, big-endian, unit k of a
 * queue at byte 20k (store/ConsumeQueue, CQ_STORE_UNIT_SIZE):
 *
 *   phyOffset: i64   size: i32   tagsCode: i64
 *
 * Only the dispatch thread writes units. A reader is told how far they are complete and never reads beyond.
 *
 * A tags code may be any int64: the sign-extended hash of a tag, a deliver time, or an address into the extended queue
 * (near -2^63, which no double holds exactly). It is written from a safe integer, for hashes and times are all that a
 * dispatcher makes, and read as two int32 halves, which are exact for everything.
 */
import { readInt64, writeInt64 } from "../base/int64.js";

export const UNIT_BYTES = 20;
/** Size word of a blank unit (0, 2^31-1, 0): it counts for recovery and points at no message. */
export const BLANK_SIZE_BYTES = 2 ** 31 - 1;

const SIZE_AT = 8;
export const TAGS_CODE_AT = 12;
const TWO_32 = 4294967296;

/** `tagsCode` is a safe integer. */
export function writeUnit(
  view: DataView,
  position: number,
  phyOffset: number,
  sizeBytes: number,
  tagsCode: number,
): void {
  writeInt64(view, position, phyOffset);
  view.setInt32(position + SIZE_AT, sizeBytes);
  writeInt64(view, position + TAGS_CODE_AT, tagsCode);
}

export function unitSizeBytes(view: DataView, position: number): number {
  return view.getInt32(position + SIZE_AT);
}

/** What recovery takes for a unit: phyOffset >= 0 and size > 0. */
export function unitCounts(view: DataView, position: number): boolean {
  return view.getInt32(position) >= 0 && view.getInt32(position + SIZE_AT) > 0;
}

export function isBlankUnit(view: DataView, position: number): boolean {
  return (
    view.getInt32(position + SIZE_AT) === BLANK_SIZE_BYTES &&
    view.getInt32(position) === 0 &&
    view.getInt32(position + 4) === 0
  );
}

/** Exact up to 2^53 in size; ask `isExtAddress` first. */
export function tagsCodeOf(high: number, low: number): number {
  return high * TWO_32 + (low >>> 0);
}

/** True for a tags code of -2^31-1 or less: an address into the extended queue (ConsumeQueueExt.isExtAddr). */
export function isExtAddress(high: number, low: number): boolean {
  return high < -1 || (high === -1 && low >>> 0 < 2 ** 31);
}

/** The tags code is the sign-extended hash `hash` (an int32). */
export function isTagsHash(high: number, low: number, hash: number): boolean {
  return low === hash && high === hash >> 31;
}

/** Units in columns, filled by a reader; callers keep one and reuse it. */
export class UnitBatch {
  readonly capacity: number;
  /** Queue offset of entry 0. */
  firstOffset = 0;
  count = 0;
  readonly phyOffset: Float64Array;
  readonly sizeBytes: Int32Array;
  readonly tagsCodeHigh: Int32Array;
  readonly tagsCodeLow: Int32Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.phyOffset = new Float64Array(capacity);
    this.sizeBytes = new Int32Array(capacity);
    this.tagsCodeHigh = new Int32Array(capacity);
    this.tagsCodeLow = new Int32Array(capacity);
  }

  /** Where in the log the message of an entry lies; -1 for a blank unit, whose zero is no place. */
  messageOffset(entry: number): number {
    return this.sizeBytes[entry] === BLANK_SIZE_BYTES ? -1 : this.phyOffset[entry]!;
  }

  /** Adds a unit whose tags code is a hash; the caller minds the capacity. */
  add(phyOffset: number, sizeBytes: number, tagsHash: number): void {
    const entry = this.count++;
    this.phyOffset[entry] = phyOffset;
    this.sizeBytes[entry] = sizeBytes;
    this.tagsCodeHigh[entry] = tagsHash >> 31;
    this.tagsCodeLow[entry] = tagsHash;
  }

  /** Adds `count` units that lie at `view[position..]`; the caller minds the capacity. */
  take(view: DataView, position: number, count: number): void {
    let at = position;
    let entry = this.count;
    for (const end = entry + count; entry < end; entry++, at += UNIT_BYTES) {
      this.phyOffset[entry] = readInt64(view, at);
      this.sizeBytes[entry] = view.getInt32(at + SIZE_AT);
      this.tagsCodeHigh[entry] = view.getInt32(at + TAGS_CODE_AT);
      this.tagsCodeLow[entry] = view.getInt32(at + TAGS_CODE_AT + 4);
    }
    this.count = entry;
  }
}
