/** The commit log as a dump reads it: any stretch of bytes, and every record and blank in order. */
import { CursorStep, LogCursor } from "../../commitlog/log-cursor.js";
import type { SegmentQueue } from "../../commitlog/segment-queue.js";
import { BLANK_BYTES_MIN, MAGIC_POSITION } from "../../record/layout.js";
import { checkPropertyCrc } from "../../record/property-crc.js";
import { checkBody, RecordVerdict, RecordView } from "../../record/record-view.js";
import { type DelayLevels, deliveryTagsCode } from "../../record/tags-code.js";
import { type DumpLine, hex32 } from "./line.js";

export interface RecordLogOptions {
  readonly segments: SegmentQueue;
  /** The log's end. */
  readonly endOffset: number;
  readonly delayLevels: DelayLevels;
  /** Records are checked by their `__CRC32#`. */
  readonly propertyCrc: boolean;
}

export class RecordLog {
  readonly endOffset: number;
  readonly #segments: SegmentQueue;
  readonly #options: RecordLogOptions;
  readonly #view = new RecordView();

  constructor(options: RecordLogOptions) {
    this.#segments = options.segments;
    this.endOffset = options.endOffset;
    this.#options = options;
  }

  /**
   * `length` bytes from `phyOffset` on, all in one segment and before the log's end; undefined where there are none. Log
   * offset 0, if it is not there any more, stands for the first byte that is, as with Apache's CommitLog.getMessage.
   */
  bytesAt(phyOffset: number, length: number): Buffer | undefined {
    const from = phyOffset === 0 ? this.#segments.firstOffset : phyOffset;
    const segment = this.#segments.at(from);
    if (segment === undefined) return undefined;
    const position = from - segment.baseOffset;
    const limit = Math.min(segment.sizeBytes, this.endOffset - segment.baseOffset);
    return length < 0 || position + length > limit ? undefined : segment.read(position, length);
  }

  /** The record in `bytes[0, …)`, valid until the next call; undefined where there is no whole one. */
  decode(bytes: Buffer): RecordView | undefined {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    return this.#view.read(view, 0, bytes.length) === RecordVerdict.RECORD ? this.#view : undefined;
  }

  /** Store time of the record that begins at `phyOffset`; undefined where none does. */
  storeTimestampAt(phyOffset: number): number | undefined {
    const sizeBytes = this.bytesAt(phyOffset, 4)?.readInt32BE(0);
    const bytes = sizeBytes === undefined ? undefined : this.bytesAt(phyOffset, sizeBytes);
    return bytes === undefined ? undefined : this.decode(bytes)?.storeTimestamp;
  }

  /** From the log's first byte to its last, in order, whatever a queue says. */
  *lines(): Generator<DumpLine> {
    const { delayLevels, propertyCrc } = this.#options;
    const check = propertyCrc ? checkPropertyCrc : checkBody;
    const cursor = new LogCursor(this.#segments);
    const { record } = cursor;
    cursor.seek(this.#segments.firstOffset);
    for (;;) {
      const before = cursor.offset;
      const step = cursor.next(this.endOffset);
      yield* this.#blanks(before, step === CursorStep.RECORD ? cursor.recordOffset : cursor.offset);
      if (step === CursorStep.DAMAGED) yield { type: "log", offset: cursor.offset, bad: true };
      if (step !== CursorStep.RECORD) return;
      const { bytes } = cursor;
      yield {
        type: "log",
        offset: cursor.recordOffset,
        size: record.totalSize,
        magic: hex32(record.magic),
        topic: bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength),
        queueId: record.queueId,
        queueOffset: record.queueOffset,
        sysFlag: record.sysFlag,
        tagsCode: String(deliveryTagsCode(record, bytes, delayLevels)),
        storeTimestamp: record.storeTimestamp,
        crcOk: check(record, bytes),
      };
    }
  }

  /** What the cursor passed over between `from` and `to`. */
  *#blanks(from: number, to: number): Generator<DumpLine> {
    for (let offset = from; offset < to; ) {
      const head = this.bytesAt(offset, BLANK_BYTES_MIN);
      const next = this.#segments.baseOf(offset) + this.#segments.segmentBytes;
      if (head !== undefined) {
        const magic = hex32(head.readInt32BE(MAGIC_POSITION));
        yield { type: "blank", offset, size: head.readInt32BE(0), magic, next };
      }
      offset = next;
    }
  }
}
