/**
 * Where a log goes on behind damage that lies behind the last note. Nobody has said how far the log was durable there, so
 * the log ends at what is no record only if no intact record follows: a flipped bit costs the records it hits. (Not so
 * after a power cut: see continuation.ts.) Two things look like records that follow and are none:
 *
 *   stale   what Apache's recovery has cut off stays on the disk behind its new end. It is older than what was written
 *           over it.
 *   begun   the last records of a write that was cut short (torn-write.ts)
 */
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import { startsUsed, STRETCH_BYTES } from "./lost-tail.js";
import { RecordSearch } from "./next-record.js";
import { TornWrite } from "./torn-write.js";

export class LiveTail {
  readonly #segments: SegmentQueue;
  readonly #search: RecordSearch;
  readonly #tornWrite: TornWrite;
  readonly #mayHaveHoles: boolean;
  /** After `next` has answered undefined: what follows is the end of a write that was cut short. */
  endsInWrite = false;

  /** `mayHaveHoles`: what was written may be missing in any length, for the system may have stopped since. */
  constructor(segments: SegmentQueue, mayHaveHoles: boolean) {
    this.#segments = segments;
    this.#search = new RecordSearch(segments);
    this.#tornWrite = new TornWrite(segments);
    this.#mayHaveHoles = mayHaveHoles;
  }

  /**
   * The first record at `fromOffset` or behind, stored no earlier than `storeTimestampMin`, with which the log goes on after
   * what is no record at `damageOffset`; undefined when it ends there. Yields after each stretch.
   */
  *next(damageOffset: number, fromOffset: number, storeTimestampMin: number): Generator<void, number | undefined> {
    this.endsInWrite = false;
    const found = yield* this.#find(fromOffset, storeTimestampMin);
    if (found === undefined) return undefined;
    const writeEnd = this.#tornWrite.endOf(damageOffset, found);
    if (writeEnd === undefined) return found;
    this.endsInWrite = (yield* this.#find(writeEnd, storeTimestampMin)) === undefined;
    return this.endsInWrite ? undefined : found;
  }

  *#find(fromOffset: number, storeTimestampMin: number): Generator<void, number | undefined> {
    const { segmentBytes, endOffset } = this.#segments;
    let from = fromOffset;
    while (from < endOffset) {
      const segment = this.#segments.at(from);
      if (segment === undefined) return undefined;
      const segmentEnd = segment.baseOffset + segmentBytes;
      const to = Math.min(from + STRETCH_BYTES, segmentEnd);
      if (startsUsed(segment, from - segment.baseOffset)) {
        const found = this.#search.next(from, to - 1, storeTimestampMin);
        if (found !== undefined) return found;
        from = to;
      } else {
        // Zeros: a log that has lost nothing has something in every stretch of that length.
        from = this.#mayHaveHoles ? to : segmentEnd;
      }
      yield;
    }
    return undefined;
  }
}
