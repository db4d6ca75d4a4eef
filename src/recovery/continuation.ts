/**
 * Whether a log goes on behind what is no record, and where: the one rule of recovery's walk and of the doctor, who
 * foretells what it will do. Up to `durableEnd` the log was durable once, and any record that follows counts; for what
 * lies behind see live-tail.ts. After a power cut nothing counts behind the first damage there, for what was written
 * before may be missing, and who wrote what is left relied on it: an op record on the message it says to be delivered.
 */
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import { BLANK_BYTES_MIN, isKnownMagic, MAGIC_POSITION } from "../record/layout.js";
import type { StoreEnd } from "./abort-file.js";
import type { CheckpointFields } from "./checkpoint.js";
import type { DispatchCheckpoint } from "./dispatch-checkpoint.js";
import { LiveTail } from "./live-tail.js";
import { RecordSearch } from "./next-record.js";

/** How far the log was durable, as far as anybody has said so. */
export interface LogBounds {
  /** By the note; 0 without one. */
  readonly notedEnd: number;
  readonly durableEnd: () => number;
  /** The store was closed in order, and the log ended there; -1 where the note does not say so. */
  readonly closedEnd: number;
}

/**
 * Why what lies behind the log's end does not belong to it: `torn` where nothing else is known, `torn-write` for what
 * a killed process was about to write, `power-cut` for what a system that stopped may have written in part.
 */
export type EndReason = "torn" | "torn-write" | "power-cut";

/** The words for what lies behind the log's end, for the log of a start and for the doctor. */
export const END_WORDS: Readonly<Record<EndReason, string>> = {
  torn: "bytes that are no record",
  "torn-write": "what a process that was killed had not written whole",
  "power-cut": "what a system that stopped may have written in part",
};

/** `noted` only where it speaks of this store. */
export function logBounds(
  segments: SegmentQueue,
  lastEnd: StoreEnd,
  noted: DispatchCheckpoint | undefined,
  { physicMsgTimestamp }: CheckpointFields,
): LogBounds {
  const aborted = lastEnd !== "closed";
  if (noted === undefined) {
    const flushedTimestamp = aborted && physicMsgTimestamp > 0 ? physicMsgTimestamp : Number.POSITIVE_INFINITY;
    return { notedEnd: 0, durableEnd: () => lastSoundSegment(segments, flushedTimestamp), closedEnd: -1 };
  }
  const { position, closed } = noted;
  return { notedEnd: position, durableEnd: () => position, closedEnd: closed && !aborted ? position : -1 };
}

export class Continuation {
  /** After `next` has answered that the log ends: why. */
  endReason: EndReason = "torn";
  readonly lastEnd: StoreEnd;
  readonly #bounds: LogBounds;
  readonly #search: RecordSearch;
  readonly #tail: LiveTail;
  #durableEnd = -1;

  constructor(segments: SegmentQueue, lastEnd: StoreEnd, bounds: LogBounds) {
    this.lastEnd = lastEnd;
    this.#bounds = bounds;
    this.#search = new RecordSearch(segments);
    this.#tail = new LiveTail(segments, lastEnd === "unknown");
  }

  /** How far the log is known to have been durable; 0 where nobody has noted it. */
  get notedEnd(): number {
    return this.#bounds.notedEnd;
  }

  /** In front of this the log goes on wherever a record follows. */
  get durableEnd(): number {
    if (this.#durableEnd < 0) this.#durableEnd = this.#bounds.durableEnd();
    return this.#durableEnd;
  }

  /**
   * The record with which the log goes on after what is no record at `damageOffset`; undefined when it ends there. The
   * times are those of the last two records in front. Yields where a longer search may be interrupted.
   */
  *next(
    damageOffset: number,
    lastStoreTimestamp: number,
    storeTimestampBefore: number,
  ): Generator<void, number | undefined> {
    const { closedEnd } = this.#bounds;
    this.endReason = "torn";
    if (damageOffset === closedEnd) return undefined;
    const { durableEnd } = this;
    const behind = this.#search.behindFrame(damageOffset);
    const found = damageOffset < durableEnd ? this.#search.next(behind, durableEnd) : undefined;
    if (found !== undefined || closedEnd >= 0) return found;
    if (this.lastEnd === "system") {
      this.endReason = "power-cut";
      return undefined;
    }
    // One that is older than the last two was not written behind them. Of one alone, no CRC says that its time is right.
    const storeTimestampMin = Math.min(lastStoreTimestamp, storeTimestampBefore);
    const from = Math.max(behind, durableEnd + 1);
    const live = yield* this.#tail.next(damageOffset, from, storeTimestampMin);
    if (this.#tail.endsInWrite) this.endReason = "torn-write";
    return live;
  }
}

/**
 * For a log of which nothing better is known: it was whole up to the last segment that begins with a record, as far as
 * records are not younger than `flushedTimestamp`. A segment is begun only when the one before is full.
 */
function lastSoundSegment(segments: SegmentQueue, flushedTimestamp: number): number {
  const search = new RecordSearch(segments);
  const { segmentBytes, firstOffset } = segments;
  for (let base = segments.endOffset - segmentBytes; base > firstOffset; base -= segmentBytes) {
    if (search.isRecordAt(base) && search.storeTimestamp <= flushedTimestamp) return base;
  }
  return firstOffset;
}

/**
 * Of a log without one record: what is there may be another format's, and is not for us to clear away. Says what is
 * strange about it.
 */
export function unknownFormat(segments: SegmentQueue): string | undefined {
  const first = segments.at(segments.firstOffset);
  const magic = first?.read(0, BLANK_BYTES_MIN).readInt32BE(MAGIC_POSITION) ?? 0;
  if (first === undefined || magic === 0 || isKnownMagic(magic)) return undefined;
  return `${first.path} begins with the unknown magic code 0x${(magic >>> 0).toString(16)}, and the log has no record.`;
}
