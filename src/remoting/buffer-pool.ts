/**
 * Write buffers that connections borrow from their first frame until the kernel has taken it. Two sizes: nearly every
 * batch of responses fits the small one; the large one is for pulls. Larger buffers are made and dropped.
 */
import { assert, VERIFY } from "../base/assert.js";

export const SMALL_BUFFER_BYTES = 65536;
export const LARGE_BUFFER_BYTES = 1048576;

const SMALL_BUFFERS_MAX = 64;
const LARGE_BUFFERS_MAX = 8;

export class BufferPool {
  readonly #small: Buffer[] = [];
  readonly #large: Buffer[] = [];

  /** A buffer of at least `bytes`, with whatever content. */
  take(bytes: number): Buffer {
    if (bytes <= SMALL_BUFFER_BYTES) return this.#small.pop() ?? Buffer.allocUnsafeSlow(SMALL_BUFFER_BYTES);
    if (bytes <= LARGE_BUFFER_BYTES) return this.#large.pop() ?? Buffer.allocUnsafeSlow(LARGE_BUFFER_BYTES);
    return Buffer.allocUnsafeSlow(bytes);
  }

  /** Takes back a whole buffer that nobody reads any more; with COMETMQ_VERIFY=1 who still does, reads 0xdb. */
  give(buffer: Buffer): void {
    assert(buffer.byteOffset === 0, "a pooled buffer comes back whole");
    if (VERIFY) buffer.fill(0xdb);
    if (buffer.length === SMALL_BUFFER_BYTES) {
      if (this.#small.length < SMALL_BUFFERS_MAX) this.#small.push(buffer);
    } else if (buffer.length === LARGE_BUFFER_BYTES) {
      if (this.#large.length < LARGE_BUFFERS_MAX) this.#large.push(buffer);
    }
  }
}
