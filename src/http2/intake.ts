/**
 * What one connection receives: its preface, then frames, a share of them in a turn of the event loop (see turns.ts in
 * remoting). What a connection has no share left for waits here, and its socket is not read meanwhile; nor is it read
 * while so many bytes wait for it that each frame that comes in and is answered would only add to them.
 */
import type { Socket } from "node:net";
import type { ReceiveBuffer } from "../remoting/receive-buffer.js";
import type { Turns } from "../remoting/turns.js";
import { FrameReader, type TakeFrame } from "./frame-reader.js";
import { ErrorCode, PREFACE } from "./frames.js";
import type { Output } from "./output.js";

const PAUSE_BYTES = 1_048_576;
const NO_BYTES = Buffer.alloc(0);

export interface IntakeSettings {
  readonly turns: Turns;
  /** Shared by plain connections; undefined for one that reads into buffers of its own. */
  readonly receiveBuffer: ReceiveBuffer | undefined;
  readonly take: TakeFrame;
  /** What came in is no HTTP/2; closes this. */
  readonly onFault: (code: ErrorCode, reason: string) => void;
}

export class Intake {
  readonly #socket: Socket;
  readonly #output: Output;
  readonly #settings: IntakeSettings;
  readonly #reader: FrameReader;
  #preface: Buffer | undefined = NO_BYTES;
  /** Done since its last turn. */
  #work = 0;
  /** Not read until its turn comes. */
  #waits = false;
  /** Not read until output drains. */
  #paused = false;
  /** Reads into the shared buffer, or would if it could. */
  #shares = false;
  #closed = false;

  constructor(socket: Socket, output: Output, settings: IntakeSettings) {
    this.#socket = socket;
    this.#output = output;
    this.#settings = settings;
    this.#reader = new FrameReader(settings.take);
    socket.on("data", this.#received);
    socket.resume();
  }

  /** There is room in the output again. */
  outputDrained(): void {
    if (!this.#paused || this.#output.pendingBytes > PAUSE_BYTES) return;
    this.#paused = false;
    this.#goOn();
  }

  /** What is here and what still comes in is dropped, for a socket closed with unread bytes loses its last words. */
  close(): void {
    this.#closed = true;
    this.#reader.drop();
    this.#socket.resume();
  }

  readonly #received = (chunk: Buffer): void => {
    if (this.#closed) return;
    const bytes = this.#preface === undefined ? chunk : this.#afterPreface(chunk);
    if (bytes !== undefined) {
      this.#reader.push(bytes);
      if (!this.#waits && !this.#paused) this.#readFrames();
      this.#reader.keep();
    }
    if (!this.#shares && !this.#closed && !this.#paused && this.#socket.readableLength === 0) this.#share();
  };

  /** Only from here on would a pause stop the socket itself, and not its queue alone. */
  #share(): void {
    this.#shares = true;
    this.#settings.receiveBuffer?.attach(this.#socket, this.#received);
    if (!this.#waits) return;
    queueMicrotask(() => {
      if (!this.#closed) this.#socket.pause();
    });
  }

  #afterPreface(chunk: Buffer): Buffer | undefined {
    const bytes = Buffer.concat([this.#preface!, chunk]);
    const length = Math.min(bytes.length, PREFACE.length);
    if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) {
      this.#settings.onFault(ErrorCode.PROTOCOL_ERROR, "the preface is not that of HTTP/2");
      return undefined;
    }
    this.#preface = length < PREFACE.length ? bytes : undefined;
    return this.#preface === undefined ? bytes.subarray(PREFACE.length) : undefined;
  }

  #readFrames(): void {
    const { turns } = this.#settings;
    const work = this.#reader.read(turns.share - this.#work);
    if (work < 0) this.#settings.onFault(ErrorCode.FRAME_SIZE_ERROR, "a frame is longer than it may be");
    if (this.#closed) return;
    this.#work += work;
    if (this.#work >= turns.share) {
      this.#waits = true;
      this.#socket.pause();
      turns.wait(this.#myTurn);
    }
    if (this.#output.pendingBytes <= PAUSE_BYTES) return;
    this.#output.flushNow();
    if (this.#output.pendingBytes <= PAUSE_BYTES) return;
    this.#paused = true;
    this.#socket.pause();
  }

  readonly #myTurn = (): void => {
    this.#waits = false;
    this.#work = 0;
    this.#goOn();
  };

  #goOn(): void {
    if (this.#waits || this.#paused || this.#closed) return;
    if (this.#reader.hasBytes) this.#readFrames();
    if (!this.#waits && !this.#paused && !this.#closed) this.#socket.resume();
  }
}
