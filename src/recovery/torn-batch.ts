/**
 * Tells a batch that a killed process was still writing from a hole in the log. A batch is written from its last record
 * to its first (CommitLog#appendBatch), so that none of it counts before all of it is there: what a kill leaves are zeros
 * where it begins, perhaps a record without size and magic code, and then whole records at the very end of the log, all
 * of one queue and one moment. Nobody was told that they are stored, and they are not to be served without the others.
 */
import { readInt64 } from "../base/int64.js";
import { CursorStep, LogCursor } from "../commitlog/log-cursor.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import type { Segment } from "../io/disk.js";
import {
  BLANK_BYTES_MIN,
  BORN_HOST_POSITION,
  IPV4_HOST_BYTES,
  IPV6_HOST_BYTES,
  PHY_OFFSET_POSITION,
  QUEUE_ID_POSITION,
  QUEUE_OFFSET_POSITION,
  RECORD_BYTES_MIN,
} from "../record/layout.js";

/** Pages that a power cut has taken begin and end where sectors do. */
const SECTOR_BYTES = 512;
/** The fields that are written up to the physical offset, and with it. */
const PLACE_BYTES = PHY_OFFSET_POSITION + 8 - QUEUE_ID_POSITION;
/** From the last of them to a record's end. */
const BEHIND_PLACE_BYTES_MIN = RECORD_BYTES_MIN - PHY_OFFSET_POSITION - 7;
const ZEROS = Buffer.alloc(1024 * 1024);

/** What all records of a batch have in common, of the first that is whole. */
interface BatchHead {
  readonly phyOffset: number;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly storeTimestamp: number;
}

export class TornBatch {
  readonly #segments: SegmentQueue;
  readonly #cursor: LogCursor;

  constructor(segments: SegmentQueue) {
    this.#segments = segments;
    this.#cursor = new LogCursor(segments);
  }

  /**
   * Where the records end that begin at `foundOffset`, when they may be the last of a batch begun at `beginOffset`: it is
   * one if no record follows. Undefined when they are not.
   */
  endOf(beginOffset: number, foundOffset: number): number | undefined {
    const segment = this.#segments.at(beginOffset);
    if (segment === undefined || this.#segments.baseOf(foundOffset) !== segment.baseOffset) return undefined;
    const begin = beginOffset - segment.baseOffset;
    if (firstUsed(segment, begin, begin + BLANK_BYTES_MIN) >= 0) return undefined;
    const cursor = this.#cursor;
    cursor.seek(foundOffset);
    let head: BatchHead | undefined;
    for (let count = 0; cursor.next(this.#segments.endOffset) === CursorStep.RECORD; count++) {
      head ??= this.#head();
      if (!this.#follows(head, count)) return undefined;
    }
    if (head === undefined) return undefined;
    return isBegun(segment, begin, foundOffset - segment.baseOffset, head) ? cursor.offset : undefined;
  }

  #head(): BatchHead {
    const { record } = this.#cursor;
    const { phyOffset, queueId, queueOffset, storeTimestamp } = record;
    return { phyOffset, topic: this.#topic(), queueId, queueOffset, storeTimestamp };
  }

  #topic(): string {
    const { record, bytes } = this.#cursor;
    return bytes.toString("latin1", record.topicStart, record.topicStart + record.topicLength);
  }

  #follows(head: BatchHead, count: number): boolean {
    const { record } = this.#cursor;
    return (
      record.storeTimestamp === head.storeTimestamp &&
      record.queueId === head.queueId &&
      record.queueOffset === head.queueOffset + count &&
      this.#topic() === head.topic
    );
  }
}

/**
 * Whether [begin, found) of the segment is what the writer leaves: zeros up to the record at work, of which some fields are
 * there, or none yet.
 */
function isBegun(segment: Segment, begin: number, found: number, head: BatchHead): boolean {
  const used = firstUsed(segment, begin, found);
  if (used < 0) return found % SECTOR_BYTES !== 0;
  const isJustBegun = found - used >= BEHIND_PLACE_BYTES_MIN && firstUsed(segment, used + PLACE_BYTES, found) < 0;
  if (isJustBegun) return true;
  // In front of its born host there is a field that is not zero.
  for (let at = Math.max(begin, used - BORN_HOST_POSITION); at <= used - BLANK_BYTES_MIN; at++) {
    if (at + RECORD_BYTES_MIN <= found && isRecordAtWork(segment, at, head)) return true;
  }
  return false;
}

/** It says where it lies, and its fields are those of the record before `head`. */
function isRecordAtWork(segment: Segment, at: number, head: BatchHead): boolean {
  const bytes = segment.read(at, RECORD_BYTES_MIN);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isTimely = [IPV4_HOST_BYTES, IPV6_HOST_BYTES].some((hostBytes) => {
    const storeTimestamp = readInt64(view, BORN_HOST_POSITION + hostBytes);
    return storeTimestamp === 0 || storeTimestamp === head.storeTimestamp;
  });
  return (
    isTimely &&
    readInt64(view, PHY_OFFSET_POSITION) === segment.baseOffset + at &&
    readInt64(view, QUEUE_OFFSET_POSITION) === head.queueOffset - 1 &&
    view.getInt32(QUEUE_ID_POSITION) === head.queueId
  );
}

/** Position of the first byte of [from, to) that is not zero, or -1. */
function firstUsed(segment: Segment, from: number, to: number): number {
  for (let at = from; at < to; at += ZEROS.length) {
    const bytes = segment.read(at, Math.min(ZEROS.length, to - at));
    if (bytes.compare(ZEROS, 0, bytes.length) !== 0) return at + bytes.findIndex((byte) => byte !== 0);
  }
  return -1;
}
