/**
 * Cuts what comes in into frames. A frame that lies whole in a chunk is handed on where it lies; a begin of one is copied,
 * and so is what was not read yet when its owner has to wait, for chunks are good only until they were handled.
 */
import { workOf } from "../remoting/turns.js";
import { FRAME_BYTES_MAX, FRAME_HEADER_BYTES } from "./frames.js";

const NO_BYTES = Buffer.alloc(0);

/** Takes one frame; its payload is good until this returns. False ends the reading. */
export type TakeFrame = (
  type: number,
  flags: number,
  streamId: number,
  bytes: Buffer,
  start: number,
  end: number,
) => boolean;

export class FrameReader {
  readonly #take: TakeFrame;
  /** Unread from `#at` on. */
  #bytes: Buffer = NO_BYTES;
  #at = 0;
  #isKept = false;
  /** A frame whose end is not in `#bytes`; it comes before them. */
  #begun: Buffer | undefined;
  #tooLong = false;

  constructor(take: TakeFrame) {
    this.#take = take;
  }

  /** There is more to read than the begin of a frame. */
  get hasBytes(): boolean {
    return this.#at < this.#bytes.length;
  }

  push(chunk: Buffer): void {
    const had = this.hasBytes;
    this.#bytes = had ? Buffer.concat([this.#bytes.subarray(this.#at), chunk]) : chunk;
    this.#at = 0;
    this.#isKept = had;
  }

  /** Copies what is unread, once; the chunk may be used for something else then. */
  keep(): void {
    if (this.#isKept) return;
    this.#bytes = this.hasBytes ? Buffer.from(this.#bytes.subarray(this.#at)) : NO_BYTES;
    this.#at = 0;
    this.#isKept = true;
  }

  /** Forgets what is unread. */
  drop(): void {
    this.#bytes = NO_BYTES;
    this.#at = 0;
    this.#begun = undefined;
  }

  /** Hands frames on until they were `workMax`, or no whole one is left; the work done, -1 for a frame that is too long. */
  read(workMax: number): number {
    let work = 0;
    while (work < workMax) {
      const frame = this.#begun === undefined ? undefined : this.#completed();
      const bytes = frame ?? this.#bytes;
      const at = frame === undefined ? this.#at : 0;
      const end = frame === undefined ? this.#endOfNext() : frame.length;
      if (this.#tooLong) return -1;
      if (end === 0) break;
      if (frame === undefined) this.#at = end;
      work += workOf(end - at);
      if (!this.#one(bytes, at, end)) break;
    }
    return work;
  }

  /** Where the next frame ends; 0 when that is not here, and what is here of it has begun. */
  #endOfNext(): number {
    const bytes = this.#bytes;
    const at = this.#at;
    const byteCount = bytes.length - at;
    if (this.#begun !== undefined || byteCount === 0) return 0;
    if (byteCount >= FRAME_HEADER_BYTES) {
      const length = this.#lengthAt(bytes, at);
      if (FRAME_HEADER_BYTES + length <= byteCount) return at + FRAME_HEADER_BYTES + length;
    }
    this.#begun = Buffer.from(bytes.subarray(at));
    this.#at = bytes.length;
    return 0;
  }

  /** The frame that began in an earlier chunk, once it is whole. */
  #completed(): Buffer | undefined {
    if (!this.#fillTo(FRAME_HEADER_BYTES)) return undefined;
    if (!this.#fillTo(FRAME_HEADER_BYTES + this.#lengthAt(this.#begun!, 0))) return undefined;
    const frame = this.#begun;
    this.#begun = undefined;
    return frame;
  }

  #fillTo(byteCount: number): boolean {
    const begun = this.#begun!;
    if (begun.length >= byteCount) return true;
    const end = Math.min(this.#bytes.length, this.#at + byteCount - begun.length);
    if (end === this.#at) return false;
    const filled = Buffer.concat([begun, this.#bytes.subarray(this.#at, end)]);
    this.#begun = filled;
    this.#at = end;
    return filled.length >= byteCount;
  }

  #lengthAt(bytes: Buffer, at: number): number {
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    if (length > FRAME_BYTES_MAX) this.#tooLong = true;
    return length;
  }

  #one(bytes: Buffer, at: number, end: number): boolean {
    const streamId =
      (((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!) >>> 0;
    return this.#take(bytes[at + 3]!, bytes[at + 4]!, streamId, bytes, at + FRAME_HEADER_BYTES, end);
  }
}
