/**
 * What one connection sends: frames gather in a buffer of the pool, and go to the kernel in one write when all that the
 * current turn of the event loop has to say is said. While the kernel has not taken a buffer, the next one fills.
 */
import type { Socket } from "node:net";
import type { BufferPool } from "../remoting/buffer-pool.js";
import { FRAME_HEADER_BYTES, FrameType } from "./frames.js";

const NO_BYTES = Buffer.alloc(0);

export class Output {
  readonly #socket: Socket;
  readonly #pool: BufferPool;
  readonly #onSent: () => void;
  readonly #onFlushed: () => void;
  readonly #beforeSend: (() => boolean) | undefined;
  #bytes: Buffer = NO_BYTES;
  #end = 0;
  /** The buffer that the kernel has not taken whole, and what is in it. */
  #unsent: Buffer | undefined;
  #unsentBytes = 0;
  /** By the kernel, since the connection began. */
  takenBytes = 0;
  /** Writes that were done at once and whose callbacks are still to come; they come before the unsent buffer's. */
  #doneWrites = 0;
  #scheduled = false;
  #closed = false;

  /**
   * `onSent` is called when there is room again: the kernel has taken all that there was; `onFlushed` at the end of each
   * turn that had something to send, and when the kernel has taken what it left. `beforeSend` is called before the kernel
   * is given any; false cuts the connection.
   */
  constructor(
    socket: Socket,
    pool: BufferPool,
    onSent: () => void,
    onFlushed: () => void,
    beforeSend: (() => boolean) | undefined,
  ) {
    this.#socket = socket;
    this.#pool = pool;
    this.#onSent = onSent;
    this.#onFlushed = onFlushed;
    this.#beforeSend = beforeSend;
  }

  /** Not taken by the kernel. */
  get pendingBytes(): number {
    return this.#end + (this.#unsent === undefined ? 0 : this.#socket.writableLength);
  }

  frame(type: FrameType, flags: number, streamId: number, payload: Uint8Array, start = 0, end = payload.length): void {
    const at = this.#begin(type, flags, streamId, end - start);
    const bytes = this.#bytes;
    if (end - start < 32) for (let i = start, to = at; i < end; i++, to++) bytes[to] = payload[i]!;
    else bytes.set(start === 0 && end === payload.length ? payload : payload.subarray(start, end), at);
  }

  /** A frame whose payload is one 32-bit number. */
  numberFrame(type: FrameType, streamId: number, value: number): void {
    const at = this.#begin(type, 0, streamId, 4);
    this.#bytes.writeUInt32BE(value, at);
  }

  goAway(lastStreamId: number, code: number, reason: string): void {
    const payload = Buffer.alloc(8 + reason.length);
    payload.writeUInt32BE(lastStreamId, 0);
    payload.writeUInt32BE(code, 4);
    payload.write(reason, 8, "latin1");
    this.frame(FrameType.GOAWAY, 0, 0, payload);
  }

  /** Sends what is there once this turn's promises have run, for they may add to it. */
  flush(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(this.#afterPromises);
  }

  flushNow(): void {
    const length = this.#end;
    if (length === 0 || this.#unsent !== undefined) return;
    const socket = this.#socket;
    const bytes = this.#bytes;
    this.#bytes = NO_BYTES;
    this.#end = 0;
    if (!this.#closed && this.#beforeSend?.() === false) {
      this.#closed = true;
      socket.destroy();
    }
    if (this.#closed) {
      this.#pool.give(bytes);
      return;
    }
    socket.write(bytes.subarray(0, length), this.#written);
    if (socket.writableLength === 0) {
      this.#doneWrites++;
      this.takenBytes += length;
      this.#pool.give(bytes);
    } else {
      this.#unsent = bytes;
      this.#unsentBytes = length;
    }
  }

  /** Sends what is there as the last. */
  finish(): void {
    if (this.#end > 0 && !this.#closed && this.#beforeSend?.() !== false) {
      this.#socket.write(this.#bytes.subarray(0, this.#end));
    }
    this.#bytes = NO_BYTES;
    this.close();
  }

  /** Nothing more goes out. */
  close(): void {
    this.#closed = true;
    if (this.#bytes.length > 0) this.#pool.give(this.#bytes);
    this.#bytes = NO_BYTES;
    this.#end = 0;
  }

  /** Writes the head and answers where the payload goes. */
  #begin(type: FrameType, flags: number, streamId: number, length: number): number {
    // A buffer that is full goes out before the turn has ended; where the kernel does not take it, it grows.
    if (this.#end > 0 && this.#end + FRAME_HEADER_BYTES + length > this.#bytes.length) this.flushNow();
    const start = this.#end;
    const end = start + FRAME_HEADER_BYTES + length;
    if (end > this.#bytes.length) this.#grow(end);
    const bytes = this.#bytes;
    bytes[start] = length >>> 16;
    bytes[start + 1] = length >>> 8;
    bytes[start + 2] = length;
    bytes[start + 3] = type;
    bytes[start + 4] = flags;
    bytes[start + 5] = streamId >>> 24;
    bytes[start + 6] = streamId >>> 16;
    bytes[start + 7] = streamId >>> 8;
    bytes[start + 8] = streamId;
    this.#end = end;
    if (!this.#scheduled) this.flush();
    return start + FRAME_HEADER_BYTES;
  }

  #grow(bytesMin: number): void {
    const larger = this.#pool.take(Math.max(bytesMin, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#end);
    if (this.#bytes.length > 0) this.#pool.give(this.#bytes);
    this.#bytes = larger;
  }

  readonly #afterPromises = (): void => {
    process.nextTick(this.#flushScheduled);
  };

  readonly #flushScheduled = (): void => {
    this.#scheduled = false;
    this.flushNow();
    if (this.#unsent === undefined && !this.#closed) this.#onSent();
    this.#onFlushed();
  };

  readonly #written = (error: Error | null | undefined): void => {
    if (this.#doneWrites > 0) {
      this.#doneWrites--;
      return;
    }
    const bytes = this.#unsent;
    this.#unsent = undefined;
    if (bytes === undefined) return;
    if (error || this.#closed) return;
    this.takenBytes += this.#unsentBytes;
    this.#pool.give(bytes);
    this.flushNow();
    if (this.#unsent === undefined) this.#onSent();
    this.#onFlushed();
  };
}
