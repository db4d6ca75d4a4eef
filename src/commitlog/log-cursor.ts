/**
 * Walks the records of a log in order, over blanks and from segment to segment. Used by dispatch, recovery and tools;
 * each has a cursor and a segment queue of its own.
 *
 * Every writer that is known leaves room for a blank behind a segment's last record. Where another did not, the few bytes
 * that are left hold neither record nor blank, whatever they are, and the log goes on in the next segment.
 */
import { BLANK_BYTES_MIN } from "../record/layout.js";
import { RecordVerdict, RecordView } from "../record/record-view.js";
import type { Segment } from "../io/disk.js";
import type { SegmentQueue } from "./segment-queue.js";

export const CursorStep = {
  /** `record` holds the next one. */
  RECORD: 1,
  /** The limit, the end of the files, or bytes never written. */
  END: 2,
  /** What lies at `offset` is neither record nor blank. */
  DAMAGED: 3,
} as const;
export type CursorStep = (typeof CursorStep)[keyof typeof CursorStep];

/** How much is read at a time where segments are not mapped; a larger record is read whole. */
const STRETCH_BYTES = 256 * 1024;

export class LogCursor {
  readonly record = new RecordView();
  readonly #segments: SegmentQueue;
  /** Log offset of the next thing to read; after RECORD, of what follows the record. */
  offset = 0;
  /** The bytes that the record's positions point into. */
  bytes: Buffer = Buffer.alloc(0);
  /** The same bytes at the same positions. */
  view: DataView = new DataView(new ArrayBuffer(0));
  /** Log offsets of the bytes at hand. */
  #from = 0;
  #to = 0;

  constructor(segments: SegmentQueue) {
    this.#segments = segments;
  }

  seek(phyOffset: number): void {
    this.offset = phyOffset;
  }

  /** The log begins at `firstOffset`: lets go of bytes before it, which would keep a deleted segment mapped. */
  forgetBefore(firstOffset: number): void {
    if (this.#to > firstOffset || this.#to === this.#from) return;
    this.bytes = Buffer.alloc(0);
    this.view = new DataView(new ArrayBuffer(0));
    this.#from = 0;
    this.#to = 0;
  }

  /** Log offset of the last record. */
  get recordOffset(): number {
    return this.#from + this.record.position;
  }

  /** Reads the next record, which must lie whole below `limit`. */
  next(limit: number): CursorStep {
    for (;;) {
      if (this.offset >= limit || !this.#reach(this.offset, BLANK_BYTES_MIN, limit)) return CursorStep.END;
      const end = Math.min(this.#to, limit) - this.#from;
      const verdict = this.record.read(this.view, this.offset - this.#from, end);
      if (verdict === RecordVerdict.RECORD) {
        this.offset += this.record.totalSize;
        return CursorStep.RECORD;
      }
      if (verdict === RecordVerdict.END) return CursorStep.END;
      if (verdict === RecordVerdict.BLANK || this.#segmentEnd - this.offset < BLANK_BYTES_MIN) {
        this.offset = this.#segmentEnd;
        continue;
      }
      if (verdict === RecordVerdict.MALFORMED || !this.#widen(limit)) return CursorStep.DAMAGED;
    }
  }

  /** Of the segment that holds `offset`. */
  get #segmentEnd(): number {
    return this.#segments.baseOf(this.offset) + this.#segments.segmentBytes;
  }

  /** The record did not fit into the bytes at hand: gets more of them, if there may be more. */
  #widen(limit: number): boolean {
    const needed = this.record.totalSize;
    if (this.offset + needed > Math.min(limit, this.#segmentEnd) || this.offset + needed <= this.#to) return false;
    return this.#reach(this.offset, needed, limit);
  }

  /**
   * Has `length` bytes from `phyOffset` on at hand, or all there are before `limit` and in the segment. Bytes beyond
   * the limit are not read: they may still be written.
   */
  #reach(phyOffset: number, length: number, limit: number): boolean {
    if (phyOffset >= this.#from && phyOffset + length <= this.#to) return true;
    const segment = this.#segments.at(phyOffset);
    if (segment === undefined) return false;
    if (segment.whole !== undefined) {
      if (this.#from !== segment.baseOffset || this.#to === this.#from) this.#adopt(segment, 0, segment.sizeBytes);
      return true;
    }
    const position = phyOffset - segment.baseOffset;
    const there = Math.min(segment.sizeBytes - position, limit - phyOffset);
    if (phyOffset >= this.#from && phyOffset + Math.min(length, there) <= this.#to) return true;
    this.#adopt(segment, position, Math.min(Math.max(length, STRETCH_BYTES), there));
    return true;
  }

  #adopt(segment: Segment, position: number, length: number): void {
    this.bytes = segment.read(position, length);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
    this.#from = segment.baseOffset + position;
    this.#to = this.#from + length;
  }
}
