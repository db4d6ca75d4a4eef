/**
 * Tells a write that a killed process has left undone from a hole in the log. What a turn of the event loop put is written
 * from its second page on, its first page last (commitlog/write-window.ts), so that none of it counts before all of it is
 * there: what a kill leaves are zeros from where the records were to begin up to the next boundary of a page, and behind
 * that whole records, the last ones of the log. Nobody was told that they are stored, and they are not to be served without
 * the others.
 */
import { CursorStep, LogCursor } from "../commitlog/log-cursor.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import { PAGE_BYTES, WINDOW_BYTES } from "../commitlog/write-window.js";

export class TornWrite {
  readonly #segments: SegmentQueue;
  readonly #cursor: LogCursor;

  constructor(segments: SegmentQueue) {
    this.#segments = segments;
    this.#cursor = new LogCursor(segments);
  }

  /**
   * Where the records end that begin at `foundOffset`, when they may be of a write that was to begin at `beginOffset`: they
   * are if no record follows. Undefined when they are not.
   */
  endOf(beginOffset: number, foundOffset: number): number | undefined {
    const segment = this.#segments.at(beginOffset);
    if (segment === undefined || this.#segments.baseOf(foundOffset) !== segment.baseOffset) return undefined;
    const begin = beginOffset - segment.baseOffset;
    const headBytes = PAGE_BYTES - (begin % PAGE_BYTES);
    if (foundOffset < beginOffset + headBytes || !segment.read(begin, headBytes).every((byte) => byte === 0)) {
      return undefined;
    }
    return this.#endOfWrite(beginOffset, foundOffset, segment.baseOffset + segment.sizeBytes);
  }

  /** A write longer than the window is one of a single batch. */
  #endOfWrite(beginOffset: number, foundOffset: number, segmentEnd: number): number | undefined {
    const cursor = this.#cursor;
    cursor.seek(foundOffset);
    let end = foundOffset;
    let [storeTimestamp, queueId, queueOffset] = [-1, -1, -1];
    let isBatch = true;
    while (cursor.next(segmentEnd) === CursorStep.RECORD) {
      const { record } = cursor;
      const isFirst = end === foundOffset;
      const follows =
        record.storeTimestamp === storeTimestamp &&
        record.queueId === queueId &&
        record.queueOffset === queueOffset + 1;
      isBatch &&= isFirst || follows;
      ({ storeTimestamp, queueId, queueOffset } = record);
      end = cursor.offset;
      if (!isBatch && end - beginOffset > WINDOW_BYTES) return undefined;
    }
    return end === foundOffset ? undefined : end;
  }
}
