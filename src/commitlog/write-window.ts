/**
 * Records on their way into a segment. They are put together in a buffer that stays in the processor's cache, and reach the
 * file by one write for all that a turn of the event loop brought: much less work for the kernel than a page fault for every
 * page of a map. Readers have the file mapped; they see a record when it is written, and are told of it after that.
 */
import type { Segment } from "../io/disk.js";

/** So many bytes are written even if the turn is not over; more of them at once are one record or batch. */
export const WINDOW_BYTES = 256 * 1024;
/** A process that is killed leaves a write undone at the boundary of a page, never within one. */
export const PAGE_BYTES = 4096;

export class WriteWindow {
  bytes: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(this.bytes.buffer, 0, 0);
  #segment: Segment | undefined;
  /** Where `bytes[0]` lies in the segment, and how many bytes from there on are not written yet. */
  #start = 0;
  #length = 0;

  /** False when what is here has to be published first. */
  hasRoom(length: number): boolean {
    return this.#length === 0 || this.#length + length <= WINDOW_BYTES;
  }

  /**
   * Where in `bytes` the next `length` bytes go, for which there is room. They lie at `position` of the segment, just behind
   * the last ones where there are any, and count when they are `added`.
   */
  reserve(segment: Segment, position: number, length: number): number {
    if (this.#length === 0) {
      this.#segment = segment;
      this.#start = position;
      if (length > this.bytes.length) this.#grow(length);
    }
    return this.#length;
  }

  added(length: number): void {
    this.#length += length;
  }

  /**
   * Writes what was added since the last call, all of it or nothing: its beginning, which lies in one page, comes last, and
   * a log ends where no record begins. Throws as the disk does; then nothing of it is in the log, nor kept here.
   */
  publish(): void {
    const length = this.#length;
    if (length === 0) return;
    this.#length = 0;
    const head = Math.min(length, PAGE_BYTES - (this.#start % PAGE_BYTES));
    if (head < length) this.#segment!.write(this.bytes, head, length - head, this.#start + head);
    this.#segment!.write(this.bytes, 0, head, this.#start);
  }

  #grow(bytesMin: number): void {
    this.bytes = Buffer.allocUnsafeSlow(Math.max(WINDOW_BYTES, bytesMin));
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }
}
