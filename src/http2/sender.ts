/**
 * The answers of a connection's streams: headers at once, data as the peer's windows and the socket let it out, each
 * stream that waits a frame in turn.
 */
import type { FloodGuard } from "./flood-guard.js";
import { ErrorCode, Flag, FRAME_BYTES_MAX, FrameType, INITIAL_WINDOW_BYTES, WINDOW_BYTES_MAX } from "./frames.js";
import type { Output } from "./output.js";
import type { ReceiveWindows } from "./receive-windows.js";
import { PeerSettings } from "./settings.js";
import type { Stream, StreamOwner } from "./stream.js";

/** Data goes into the socket as long as no more than this waits there. */
const SEND_BYTES_MAX = 262_144;
const NO_BYTES = Buffer.alloc(0);
/** A new size of 0 for the encoder's table, which has no entries anyway. */
const TABLE_SIZE_UPDATE = Buffer.from([0x20]);

export class Sender implements StreamOwner {
  readonly #output: Output;
  readonly #guard: FloodGuard;
  readonly #receiveWindows: ReceiveWindows;
  readonly #letGo: (stream: Stream, resetHere: boolean) => void;
  readonly #peer = new PeerSettings();
  /** Streams with data that their own windows let out, in the order of their turns. */
  readonly #ready = new Set<Stream>();
  #windowBytes = INITIAL_WINDOW_BYTES;
  /** Of all streams. */
  queuedBytes = 0;

  /** `letGo` is told of a stream that is done on both sides, or was reset. */
  constructor(
    output: Output,
    guard: FloodGuard,
    receiveWindows: ReceiveWindows,
    letGo: (stream: Stream, resetHere: boolean) => void,
  ) {
    this.#output = output;
    this.#guard = guard;
    this.#receiveWindows = receiveWindows;
    this.#letGo = letGo;
  }

  sendHeaders(stream: Stream, block: Buffer): void {
    this.#headersFrame(stream, Flag.END_HEADERS, block);
  }

  sendWhole(stream: Stream, bytes: Buffer): boolean {
    const { length } = bytes;
    if (this.#ready.size > 0 || length > this.#windowBytes || length > this.#windowOf(stream)) return false;
    if (this.#output.pendingBytes + length > SEND_BYTES_MAX) return false;
    for (let start = 0; start < length; start += FRAME_BYTES_MAX) {
      this.sendData(stream, bytes, start, Math.min(length, start + FRAME_BYTES_MAX));
    }
    return true;
  }

  sendData(stream: Stream, bytes: Buffer, start: number, end: number): void {
    this.#guard.used();
    stream.sendCredit -= end - start;
    this.#windowBytes -= end - start;
    this.#output.frame(FrameType.DATA, 0, stream.id, bytes, start, end);
  }

  sendEnd(stream: Stream, block: Buffer): void {
    this.#headersFrame(stream, Flag.END_HEADERS | Flag.END_STREAM, block);
    // What the peer still sends is not read.
    if (!stream.remoteEnded) this.#output.numberFrame(FrameType.RST_STREAM, stream.id, ErrorCode.NO_ERROR);
    this.#letGo(stream, !stream.remoteEnded);
  }

  waits(stream: Stream, bytes: number): void {
    this.queuedBytes += bytes;
    // Also where no window lets it out, what waits is counted at the end of the turn.
    this.#output.flush();
    if (this.#windowOf(stream) <= 0) return;
    this.#ready.add(stream);
    this.pump();
  }

  resetStream(stream: Stream, code: ErrorCode): void {
    this.#output.numberFrame(FrameType.RST_STREAM, stream.id, code);
    this.#letGo(stream, true);
  }

  /** The stream is closed; what it has queued is dropped. */
  forget(stream: Stream): void {
    if (stream.queuedBytes > 0) this.#output.flush();
    this.queuedBytes -= stream.queuedBytes;
    this.#ready.delete(stream);
  }

  /** Takes and acknowledges settings, for all the connection's streams; answers the error that one is, if any. */
  takeSettings(bytes: Buffer, start: number, end: number, streams: Iterable<Stream>): ErrorCode | undefined {
    const hadBytes = this.#peer.initialWindowBytes;
    const problem = this.#peer.take(bytes, start, end);
    if (problem !== undefined) return problem;
    this.#output.frame(FrameType.SETTINGS, Flag.ACK, 0, NO_BYTES);
    if (this.#peer.initialWindowBytes <= hadBytes || this.queuedBytes === 0) return undefined;
    for (const stream of streams) {
      if (stream.queuedBytes > 0 && this.#windowOf(stream) > 0) this.#ready.add(stream);
    }
    this.pump();
    return undefined;
  }

  /** False when the window gets too large. */
  widen(bytes: number): boolean {
    this.#windowBytes += bytes;
    if (this.#windowBytes > WINDOW_BYTES_MAX) return false;
    this.pump();
    return true;
  }

  widenStream(stream: Stream, bytes: number): boolean {
    stream.sendCredit += bytes;
    const windowBytes = this.#windowOf(stream);
    if (windowBytes > WINDOW_BYTES_MAX) return false;
    if (stream.queuedBytes > 0 && windowBytes > 0) {
      this.#ready.add(stream);
      this.pump();
    }
    return true;
  }

  pump(): void {
    for (const stream of this.#ready) {
      if (this.#windowBytes <= 0 || this.#output.pendingBytes >= SEND_BYTES_MAX) return;
      // Added again it comes last, and this loop comes to it again.
      this.#ready.delete(stream);
      const bytesMax = Math.min(this.#windowBytes, this.#windowOf(stream));
      if (bytesMax <= 0 || stream.queuedBytes === 0) continue;
      this.queuedBytes -= stream.sendQueued(bytesMax);
      this.#receiveWindows.release(stream);
      if (stream.queuedBytes > 0 && this.#windowOf(stream) > 0) this.#ready.add(stream);
    }
  }

  #windowOf(stream: Stream): number {
    return this.#peer.initialWindowBytes + stream.sendCredit;
  }

  #headersFrame(stream: Stream, flags: number, block: Buffer): void {
    if (!this.#peer.tableWasCut) {
      this.#output.frame(FrameType.HEADERS, flags, stream.id, block);
      return;
    }
    this.#peer.tableWasCut = false;
    this.#output.frame(FrameType.HEADERS, flags, stream.id, Buffer.concat([TABLE_SIZE_UPDATE, block]));
  }
}
