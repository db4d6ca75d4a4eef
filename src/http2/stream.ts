/**
 * One stream of a connection: the request as it comes in, and the answer that waits for the peer's windows. It is closed
 * when both sides have ended it, or one has reset it, or the connection is gone; its listener is told so once.
 */
import { type ErrorCode, FRAME_BYTES_MAX } from "./frames.js";
import type { Headers } from "./headers.js";

export interface StreamListener {
  /** A piece of the request's body, good until this returns, or of the last one until `requestEnded` does. */
  received(bytes: Buffer, isLast: boolean): void;
  /** The request is whole; at once after its last piece, if that says that it is. */
  requestEnded(): void;
  /** Once; nothing comes in or goes out any more. */
  closed(): void;
}

/** The connection, as its streams see it. */
export interface StreamOwner {
  sendHeaders(stream: Stream, block: Buffer): void;
  /** Sends all of it now; false, and nothing, where it has to wait. */
  sendWhole(stream: Stream, bytes: Buffer): boolean;
  sendData(stream: Stream, bytes: Buffer, start: number, end: number): void;
  sendEnd(stream: Stream, block: Buffer): void;
  /** The stream has so many bytes more to send. */
  waits(stream: Stream, bytes: number): void;
  resetStream(stream: Stream, code: ErrorCode): void;
}

export class Stream {
  readonly id: number;
  readonly headers: Headers;
  readonly #owner: StreamOwner;
  listener: StreamListener | undefined;
  /** The request has ended. */
  remoteEnded = false;
  /** The end of the answer has gone out, or waits behind its data. */
  localEnded = false;
  closed = false;
  /** What the peer has given to the window, less what was sent; the initial window is the connection's. */
  sendCredit = 0;
  /** Received since the peer was last told that there is room again; and of those, while it left its answer unread. */
  usedBytes = 0;
  heldBytes = 0;
  /** Of the body, by `content-length`; negative where nothing was said. */
  contentLeft: number;
  /** Answer that waits for a window. */
  queuedBytes = 0;
  readonly #queue: Buffer[] = [];
  /** Sent of the first in the queue. */
  #sent = 0;
  #trailers: Buffer | undefined;

  constructor(id: number, headers: Headers, owner: StreamOwner) {
    this.id = id;
    this.headers = headers;
    this.#owner = owner;
    this.contentLeft = headers.contentLength;
  }

  /** The block of the answer's headers. */
  respond(block: Buffer): void {
    if (!this.closed && !this.localEnded) this.#owner.sendHeaders(this, block);
  }

  /** `bytes` are the caller's again when this returns. */
  write(bytes: Buffer): void {
    if (this.closed || this.localEnded || bytes.length === 0) return;
    if (this.queuedBytes === 0 && this.#owner.sendWhole(this, bytes)) return;
    this.#queue.push(Buffer.from(bytes));
    this.queuedBytes += bytes.length;
    this.#owner.waits(this, bytes.length);
  }

  /** Ends the answer with a block of headers: of trailers, or of all there is. */
  end(block: Buffer): void {
    if (this.closed || this.localEnded) return;
    this.localEnded = true;
    if (this.queuedBytes > 0) this.#trailers = block;
    else this.#owner.sendEnd(this, block);
  }

  /** Answers how many bytes of `bytesMax` were sent; the last of them takes the end with it. */
  sendQueued(bytesMax: number): number {
    const first = this.#queue[0]!;
    const length = Math.min(bytesMax, first.length - this.#sent, FRAME_BYTES_MAX);
    this.#owner.sendData(this, first, this.#sent, this.#sent + length);
    this.#sent += length;
    this.queuedBytes -= length;
    if (this.#sent === first.length) {
      this.#queue.shift();
      this.#sent = 0;
    }
    if (this.queuedBytes === 0 && this.#trailers !== undefined) this.#owner.sendEnd(this, this.#trailers);
    return length;
  }

  reset(code: ErrorCode): void {
    if (!this.closed) this.#owner.resetStream(this, code);
  }

  /** For the connection alone, which has let go of it. */
  close(): void {
    this.closed = true;
    this.#queue.length = 0;
    this.queuedBytes = 0;
    const { listener } = this;
    this.listener = undefined;
    listener?.closed();
  }
}
