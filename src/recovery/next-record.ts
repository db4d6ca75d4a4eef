/**
 * Finds where a log goes on behind bytes that are no record: a flipped bit or a lost sector in the midst of records
 * that were durable costs what it hit, not all that follows. What is found must be a record in every respect that can
 * be checked, its own place in the log included; stale bytes of a reused file do not have that.
 */
import { LogCursor } from "../commitlog/log-cursor.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import type { Segment } from "../io/disk.js";
import { MAGIC_POSITION, MAGIC_V1, MAGIC_V2 } from "../record/layout.js";
import { checkBody, RecordVerdict, RecordView } from "../record/record-view.js";
import { endsWhole } from "./whole-record.js";

const MAGIC_START = Buffer.from([0xda, 0xa3, 0x20]);
const CHUNK_BYTES = 1024 * 1024;

export class RecordSearch {
  readonly #segments: SegmentQueue;
  readonly #record = new RecordView();
  readonly #peek: LogCursor;

  constructor(segments: SegmentQueue) {
    this.#segments = segments;
    this.#peek = new LogCursor(segments);
  }

  /**
   * The first record that begins at `fromOffset` or behind, but not behind `lastOffset`, and was stored no earlier than
   * `storeTimestampMin`; undefined without one.
   */
  next(fromOffset: number, lastOffset: number, storeTimestampMin = Number.NEGATIVE_INFINITY): number | undefined {
    const { segmentBytes } = this.#segments;
    let from = fromOffset;
    while (from <= lastOffset) {
      const segment = this.#segments.at(from);
      if (segment === undefined) return undefined;
      const position = from - segment.baseOffset;
      const found = this.#search(segment, position, lastOffset - segment.baseOffset, storeTimestampMin);
      if (found >= 0) return segment.baseOffset + found;
      from = segment.baseOffset + segmentBytes;
    }
    return undefined;
  }

  /** Whether a whole record lies at `phyOffset`, its body as its CRC says. */
  isRecordAt(phyOffset: number): boolean {
    const segment = this.#segments.at(phyOffset);
    return segment !== undefined && this.#isSound(segment, phyOffset - segment.baseOffset);
  }

  /** Store time of the record that `isRecordAt` has just found. */
  get storeTimestamp(): number {
    return this.#record.storeTimestamp;
  }

  /**
   * Where to look on from what is no sound record. One whose body alone is damaged still says where it ends; inside it
   * nothing is looked for then.
   */
  behindFrame(phyOffset: number): number {
    const segment = this.#segments.at(phyOffset);
    if (segment === undefined) return phyOffset + 1;
    const verdict = this.#read(segment, phyOffset - segment.baseOffset);
    if (verdict !== RecordVerdict.RECORD || this.#record.phyOffset !== phyOffset) return phyOffset + 1;
    return phyOffset + this.#record.totalSize;
  }

  #search(segment: Segment, from: number, last: number, storeTimestampMin: number): number {
    const end = Math.min(segment.sizeBytes, last + MAGIC_POSITION + MAGIC_START.length);
    for (let start = from; start < end; start += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES + MAGIC_POSITION + MAGIC_START.length, end - start);
      const bytes = segment.read(start, length);
      for (let at = bytes.indexOf(MAGIC_START); at >= 0; at = bytes.indexOf(MAGIC_START, at + 1)) {
        const position = start + at - MAGIC_POSITION;
        if (position < from || position > last || !this.#isSound(segment, position)) continue;
        if (this.#record.storeTimestamp >= storeTimestampMin) return position;
      }
    }
    return -1;
  }

  #isSound(segment: Segment, position: number): boolean {
    if (this.#read(segment, position) !== RecordVerdict.RECORD) return false;
    const { totalSize, phyOffset } = this.#record;
    if (phyOffset !== segment.baseOffset + position || this.#record.hasNegativeLength) return false;
    // The ranges are those of bytes that begin with the record.
    const bytes = segment.read(position, totalSize);
    return checkBody(this.#record, bytes) && endsWhole(this.#record, bytes, phyOffset, this.#peek, this.#segments);
  }

  #read(segment: Segment, position: number): RecordVerdict {
    const head = segment.read(position, Math.min(MAGIC_POSITION + 4, segment.sizeBytes - position));
    if (head.length < MAGIC_POSITION + 4) return RecordVerdict.END;
    const totalSize = head.readInt32BE(0);
    const magic = head.readInt32BE(MAGIC_POSITION);
    const isOurs = magic === MAGIC_V1 || magic === MAGIC_V2;
    if (!isOurs || totalSize <= 0 || totalSize > segment.sizeBytes - position) return RecordVerdict.MALFORMED;
    const bytes = segment.read(position, totalSize);
    return this.#record.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, totalSize);
  }
}
