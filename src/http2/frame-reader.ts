/**
 * Cuts what comes in into frames. A frame that lies whole in a chunk is handed on where it lies; what is left over is
 * copied, for chunks are good only until they were handled.
 */
import { FRAME_BYTES_MAX, FRAME_HEADER_BYTES } from "./frames.js";

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
  #rest: Buffer | undefined;

  constructor(take: TakeFrame) {
    this.#take = take;
  }

  /** False for a frame that is longer than it may be. */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (this.#rest !== undefined) {
      const rest = this.#rest;
      const needed = rest.length < FRAME_HEADER_BYTES ? FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + lengthAt(rest, 0);
      const taken = Math.min(needed - rest.length, chunk.length - at);
      const frame = taken === 0 ? rest : Buffer.concat([rest, chunk.subarray(at, at + taken)]);
      at += taken;
      this.#rest = frame;
      if (frame.length < FRAME_HEADER_BYTES) return true;
      if (lengthAt(frame, 0) > FRAME_BYTES_MAX) return false;
      if (frame.length < FRAME_HEADER_BYTES + lengthAt(frame, 0)) {
        if (at === chunk.length) return true;
        continue;
      }
      this.#rest = undefined;
      if (!this.#one(frame, 0, frame.length)) return true;
    }
    while (chunk.length - at >= FRAME_HEADER_BYTES) {
      const length = lengthAt(chunk, at);
      if (length > FRAME_BYTES_MAX) return false;
      const end = at + FRAME_HEADER_BYTES + length;
      if (end > chunk.length) break;
      if (!this.#one(chunk, at, end)) return true;
      at = end;
    }
    if (at < chunk.length) this.#rest = Buffer.from(chunk.subarray(at));
    return true;
  }

  #one(bytes: Buffer, at: number, end: number): boolean {
    const streamId =
      (((bytes[at + 5]! & 0x7f) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!) >>> 0;
    return this.#take(bytes[at + 3]!, bytes[at + 4]!, streamId, bytes, at + FRAME_HEADER_BYTES, end);
  }
}

function lengthAt(bytes: Buffer, at: number): number {
  return (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
}
