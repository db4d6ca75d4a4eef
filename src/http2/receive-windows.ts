/**
 * How much a peer may send, on the connection and on each stream (RFC 9113, section 5.2). Room that was used is given back
 * at once, for requests are taken as they come; but not to a stream whose answers the peer leaves unread: it would go on
 * asking for more of them.
 */
import { FrameType, INITIAL_WINDOW_BYTES } from "./frames.js";
import type { Output } from "./output.js";
import type { Stream } from "./stream.js";

export const STREAM_WINDOW_BYTES = 1_048_576;
const CONNECTION_WINDOW_BYTES = 8_388_608;
/** Of an answer that may be unread. */
const UNREAD_BYTES_MAX = 262_144;

export class ReceiveWindows {
  readonly #output: Output;
  /** Received since the peer was last told that there is room again. */
  #usedBytes = 0;
  /** Of those, for streams that get no room. */
  #heldBytes = 0;

  constructor(output: Output) {
    this.#output = output;
    output.numberFrame(FrameType.WINDOW_UPDATE, 0, CONNECTION_WINDOW_BYTES - INITIAL_WINDOW_BYTES);
  }

  /** False when there was no room for so much; before it is known what stream it is for. */
  take(bytes: number): boolean {
    this.#usedBytes += bytes;
    return this.#usedBytes <= CONNECTION_WINDOW_BYTES;
  }

  /** False when the stream had no room. */
  takeFor(stream: Stream, bytes: number): boolean {
    stream.usedBytes += bytes;
    if (stream.queuedBytes > UNREAD_BYTES_MAX) {
      stream.heldBytes += bytes;
      this.#heldBytes += bytes;
    }
    return stream.usedBytes <= STREAM_WINDOW_BYTES;
  }

  /** Gives room back where half of it was used. */
  giveBack(): void {
    const bytes = this.#usedBytes - this.#heldBytes;
    if (bytes < CONNECTION_WINDOW_BYTES / 2) return;
    this.#output.numberFrame(FrameType.WINDOW_UPDATE, 0, bytes);
    this.#usedBytes = this.#heldBytes;
  }

  giveBackTo(stream: Stream): void {
    if (stream.heldBytes > 0 || stream.usedBytes < STREAM_WINDOW_BYTES / 2) return;
    if (stream.closed || stream.remoteEnded) return;
    this.#output.numberFrame(FrameType.WINDOW_UPDATE, stream.id, stream.usedBytes);
    stream.usedBytes = 0;
  }

  /** The peer has read some of the stream's answer, or the stream is closed. */
  release(stream: Stream): void {
    if (stream.heldBytes === 0 || (stream.queuedBytes > UNREAD_BYTES_MAX && !stream.closed)) return;
    this.#heldBytes -= stream.heldBytes;
    stream.heldBytes = 0;
    this.giveBack();
    this.giveBackTo(stream);
  }
}
