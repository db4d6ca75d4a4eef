/**
 * The server's end of an HTTP/2 connection (RFC 9113): its frames, its streams and its windows. All frames of a chunk that
 * its share of the turn allows (intake.ts) are handled before one write answers them.
 *
 * Bounds: streams at a time and the bytes of their headers, bytes of a block of headers, floods (flood-guard.ts). A peer
 * that does not read is not read either, once so many bytes wait for its socket; data waits in its streams.
 */
import type { Socket } from "node:net";
import type { Timer } from "../base/clock.js";
import type { OutputHolder } from "../remoting/output-budget.js";
import { ClosedStreams } from "./closed-streams.js";
import type { ConnectionSettings } from "./connection-settings.js";
import { FloodGuard } from "./flood-guard.js";
import { type FrameProblem, frameProblem } from "./frame-rules.js";
import { ErrorCode, Flag, FrameType, Setting, STREAM_ID_MAX, WINDOW_BYTES_MAX } from "./frames.js";
import type { Headers } from "./headers.js";
import { HEADER_LIST_BYTES_MAX, HpackDecoder } from "./hpack.js";
import { Intake } from "./intake.js";
import { Output } from "./output.js";
import { ReceiveWindows, STREAM_WINDOW_BYTES } from "./receive-windows.js";
import { Sender } from "./sender.js";
import { settingsPayload } from "./settings.js";
import { Stream } from "./stream.js";
import { UnreadOutput } from "./unread-output.js";

const BLOCK_BYTES_MAX = 131_072;
const HEADERS_HELD_BYTES_MAX = 67_108_864;
const LINGER_MS = 1000;
/** How long a peer that is told to open no more streams may take to know it. */
const DRAIN_MS = 1000;
const DRAIN_PING = Buffer.from("draining", "latin1");
const SETTINGS_WEIGHT = 10;
const DEPENDS_ON_ITSELF: FrameProblem = [ErrorCode.PROTOCOL_ERROR, "a stream depends on itself"];

/** A block of headers that goes on in frames to come. */
interface OpenBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly parts: Buffer[];
  bytes: number;
}

export class Connection implements OutputHolder {
  readonly #socket: Socket;
  readonly #settings: ConnectionSettings;
  readonly #intake: Intake;
  readonly #output: Output;
  readonly #guard: FloodGuard;
  readonly #decoder = new HpackDecoder();
  readonly #windows: ReceiveWindows;
  readonly #sender: Sender;
  readonly #unread: UnreadOutput;
  readonly #streams = new Map<number, Stream>();
  readonly #closedStreams = new ClosedStreams();
  #hasSettings = false;
  #block: OpenBlock | undefined;
  #lastStreamId = 0;
  #headersHeldBytes = 0;
  /** What the peer was told last, which may only get smaller. */
  #goAwayStreamId = STREAM_ID_MAX;
  #draining = false;
  /** Streams that are opened now are refused. */
  #refuses = false;
  #closed = false;
  #gone = false;
  #drain: Timer | undefined;
  #linger: Timer | undefined;
  #onPong: (() => void) | undefined;

  /** Takes a socket whose bytes are unread. */
  constructor(socket: Socket, settings: ConnectionSettings) {
    this.#socket = socket;
    this.#settings = settings;
    this.#output = new Output(socket, settings.pool, this.#sent, () => this.#unread.note(), settings.beforeSend);
    this.#guard = new FloodGuard(settings.clock, settings.streamsMax);
    this.#output.frame(
      FrameType.SETTINGS,
      0,
      0,
      settingsPayload([
        [Setting.MAX_CONCURRENT_STREAMS, settings.streamsMax],
        [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES],
        [Setting.MAX_HEADER_LIST_SIZE, HEADER_LIST_BYTES_MAX],
      ]),
    );
    this.#windows = new ReceiveWindows(this.#output);
    this.#sender = new Sender(this.#output, this.#guard, this.#windows, (stream, resetHere) =>
      this.#letGo(stream, resetHere),
    );
    this.#unread = new UnreadOutput(this.#output, this.#sender, settings.outputBudget, this);
    socket.on("error", () => {});
    socket.on("end", this.#ended);
    socket.on("close", this.#finished);
    const { turns, receiveBuffer } = settings;
    const onFault = (code: ErrorCode, reason: string) => this.#fail(code, reason);
    this.#intake = new Intake(socket, this.#output, { turns, receiveBuffer, take: this.#frame, onFault });
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Answers that the peer has not read, as far as they are known here. */
  get unreadBytes(): number {
    return this.#unread.bytes;
  }

  ping(onPong: () => void): void {
    this.#onPong = onPong;
    if (!this.#closed) this.#output.frame(FrameType.PING, 0, 0, Buffer.alloc(8));
  }

  /**
   * Takes no more streams, and closes when those that are open have ended. Streams that the peer opens before it can know
   * are taken (RFC 9113, section 6.8): the last one is named when it has answered a ping, or has had the time to.
   */
  drain(): void {
    if (this.#closed || this.#draining) return;
    this.#draining = true;
    if (!this.#hasSettings) {
      this.#endDrain();
      return;
    }
    this.#output.goAway(STREAM_ID_MAX, ErrorCode.NO_ERROR, "");
    this.#output.frame(FrameType.PING, 0, 0, DRAIN_PING);
    this.#drain = this.#settings.clock.schedule(DRAIN_MS, () => this.#endDrain());
  }

  #endDrain(): void {
    if (this.#closed || this.#refuses) return;
    this.#drain?.cancel();
    this.#refuses = true;
    this.#goAway(ErrorCode.NO_ERROR, "");
    if (this.#streams.size === 0) this.#close();
  }

  #goAway(code: ErrorCode, reason: string): void {
    this.#goAwayStreamId = Math.min(this.#goAwayStreamId, this.#lastStreamId);
    this.#output.goAway(this.#goAwayStreamId, code, reason);
  }

  destroy(): void {
    this.#unread.end();
    this.#socket.destroy();
  }

  cutOff(): void {
    this.#settings.onUnread?.();
    this.destroy();
  }

  readonly #sent = (): void => {
    this.#sender.pump();
    this.#intake.outputDrained();
  };

  readonly #frame = (
    type: number,
    flags: number,
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): boolean => {
    const problem = frameProblem(type, flags, streamId, end - start);
    if (this.#block !== undefined && (type !== FrameType.CONTINUATION || streamId !== this.#block.streamId)) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "a block of headers is not ended");
    } else if (!this.#hasSettings && (type !== FrameType.SETTINGS || (flags & Flag.ACK) !== 0)) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    } else if (problem !== undefined) {
      this.#fail(...problem);
    } else if (type === FrameType.DATA) {
      this.#dataFrame(flags, streamId, bytes, start, end);
    } else if (type === FrameType.HEADERS) {
      this.#headers(flags, streamId, bytes, start, end);
    } else if (type === FrameType.WINDOW_UPDATE) {
      this.#windowUpdate(streamId, bytes, start);
    } else {
      this.#control(type, flags, streamId, bytes, start, end);
    }
    return !this.#closed;
  };

  #control(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case FrameType.CONTINUATION:
        this.#continuation(flags, bytes, start, end);
        return;
      case FrameType.RST_STREAM:
        this.#rstStream(streamId);
        return;
      case FrameType.SETTINGS:
        this.#takeSettings(flags, bytes, start, end);
        return;
      case FrameType.PING:
        this.#ping(flags, bytes, start, end);
        return;
      case FrameType.PRIORITY:
        if (dependsOn(bytes, start) === streamId) this.#fail(...DEPENDS_ON_ITSELF);
        else this.#idleFrame();
        return;
      default:
        this.#idleFrame();
    }
  }

  #idleFrame(weight?: number): void {
    if (!this.#guard.idleFrame(weight)) this.#fail(ErrorCode.ENHANCE_YOUR_CALM, "a flood of frames");
  }

  #dataFrame(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined && streamId > this.#lastStreamId) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "data of a stream that is not open");
      return;
    }
    if (!this.#windows.take(end - start)) {
      this.#fail(ErrorCode.FLOW_CONTROL_ERROR, "more data than the window has room for");
      return;
    }
    const from = (flags & Flag.PADDED) === 0 ? start : start + 1;
    const to = (flags & Flag.PADDED) === 0 ? end : end - (bytes[start] ?? 0);
    if (to < from || from > end) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "the padding is longer than its frame");
      return;
    }
    const endStream = (flags & Flag.END_STREAM) !== 0;
    if (to > from) this.#guard.used();
    else if (!endStream) this.#idleFrame();
    if (stream !== undefined) this.#data(stream, bytes, from, to, end - start, endStream);
    else if (!this.#closed && !this.#closedStreams.wasResetHere(streamId)) this.#lateFrame(streamId);
    if (!this.#closed) this.#windows.giveBack();
  }

  /** A frame for a stream that the peer itself has ended. */
  #lateFrame(streamId: number): void {
    this.#output.numberFrame(FrameType.RST_STREAM, streamId, ErrorCode.STREAM_CLOSED);
    if (!this.#guard.fault()) this.#fail(ErrorCode.ENHANCE_YOUR_CALM, "a flood of late frames");
  }

  #data(stream: Stream, bytes: Buffer, from: number, to: number, windowBytes: number, endStream: boolean): void {
    if (this.#closed) return;
    if (stream.remoteEnded) {
      this.#fault(stream, ErrorCode.STREAM_CLOSED);
      return;
    }
    if (!this.#windows.takeFor(stream, windowBytes)) {
      this.#fault(stream, ErrorCode.FLOW_CONTROL_ERROR);
      return;
    }
    if (stream.contentLeft >= 0) {
      stream.contentLeft -= to - from;
      if (stream.contentLeft < 0 || (endStream && stream.contentLeft > 0)) {
        this.#fault(stream, ErrorCode.PROTOCOL_ERROR);
        return;
      }
    }
    if (to > from) stream.listener?.received(bytes.subarray(from, to), endStream);
    if (endStream) this.#requestEnded(stream);
    else this.#windows.giveBackTo(stream);
  }

  #requestEnded(stream: Stream): void {
    if (stream.closed) return;
    stream.remoteEnded = true;
    stream.listener?.requestEnded();
  }

  #headers(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    let from = start;
    let to = end;
    if ((flags & Flag.PADDED) !== 0) {
      to -= bytes[start] ?? 0;
      from++;
    }
    if ((flags & Flag.PRIORITY) !== 0) {
      if (from + 5 <= to && dependsOn(bytes, from) === streamId) {
        this.#fail(...DEPENDS_ON_ITSELF);
        return;
      }
      from += 5;
    }
    if (from > to) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "the padding is longer than its frame");
      return;
    }
    const endStream = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      this.#wholeBlock(streamId, endStream, bytes, from, to);
      return;
    }
    this.#block = { streamId, endStream, parts: [Buffer.from(bytes.subarray(from, to))], bytes: to - from };
  }

  #continuation(flags: number, bytes: Buffer, start: number, end: number): void {
    const block = this.#block;
    if (block === undefined) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "a continuation of nothing");
      return;
    }
    if (end === start) this.#idleFrame(SETTINGS_WEIGHT);
    else block.parts.push(Buffer.from(bytes.subarray(start, end)));
    block.bytes += end - start;
    if (block.bytes > BLOCK_BYTES_MAX) {
      this.#fail(ErrorCode.ENHANCE_YOUR_CALM, "a block of headers without end");
    } else if ((flags & Flag.END_HEADERS) !== 0) {
      this.#block = undefined;
      const whole = Buffer.concat(block.parts, block.bytes);
      this.#wholeBlock(block.streamId, block.endStream, whole, 0, whole.length);
    }
  }

  #wholeBlock(streamId: number, endStream: boolean, bytes: Buffer, start: number, end: number): void {
    const headers = this.#decoder.decode(bytes, start, end);
    if (headers === undefined) {
      this.#fail(ErrorCode.COMPRESSION_ERROR, "a block of headers can not be decoded");
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) {
      const isLast = endStream && headers.isTrailers && stream.contentLeft <= 0;
      if (stream.remoteEnded) this.#fault(stream, ErrorCode.STREAM_CLOSED);
      else if (isLast) this.#requestEnded(stream);
      else this.#fault(stream, ErrorCode.PROTOCOL_ERROR);
    } else if (streamId > this.#lastStreamId) {
      this.#lastStreamId = streamId;
      this.#open(streamId, headers, endStream);
    } else if (!this.#closedStreams.has(streamId)) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "streams are opened in the order of their numbers");
    } else if (!this.#closedStreams.wasResetHere(streamId)) {
      this.#fail(ErrorCode.STREAM_CLOSED, "headers of a stream that is closed");
    }
  }

  #open(streamId: number, headers: Headers, endStream: boolean): void {
    this.#guard.used();
    const { contentLength } = headers;
    const isBeyond = headers.isBeyond || this.#headersHeldBytes + headers.bytes > HEADERS_HELD_BYTES_MAX;
    if (this.#refuses || this.#streams.size >= this.#settings.streamsMax) {
      this.#refuse(streamId, ErrorCode.REFUSED_STREAM);
    } else if (isBeyond) {
      this.#refuse(streamId, ErrorCode.ENHANCE_YOUR_CALM);
    } else if (!headers.isRequest || Number.isNaN(contentLength) || (endStream && contentLength > 0)) {
      this.#refuse(streamId, ErrorCode.PROTOCOL_ERROR);
    } else {
      const stream = new Stream(streamId, headers, this.#sender);
      this.#streams.set(streamId, stream);
      this.#headersHeldBytes += headers.bytes;
      this.#settings.onStream(stream);
      if (endStream) this.#requestEnded(stream);
    }
  }

  #refuse(streamId: number, code: ErrorCode): void {
    this.#closedStreams.add(streamId, true);
    this.#output.numberFrame(FrameType.RST_STREAM, streamId, code);
    if (code === ErrorCode.PROTOCOL_ERROR && !this.#guard.fault()) {
      this.#fail(ErrorCode.ENHANCE_YOUR_CALM, "a flood of requests that are none");
    }
  }

  /** The peer did with the stream what it may not. */
  #fault(stream: Stream, code: ErrorCode): void {
    this.#sender.resetStream(stream, code);
    if (!this.#guard.fault()) this.#fail(ErrorCode.ENHANCE_YOUR_CALM, "a flood of streams that fail");
  }

  #rstStream(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (streamId > this.#lastStreamId) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "a reset of a stream that is not open");
    } else if (stream === undefined) {
      this.#idleFrame();
    } else {
      this.#letGo(stream, false);
      if (!this.#guard.cancel()) this.#fail(ErrorCode.ENHANCE_YOUR_CALM, "a flood of resets");
    }
  }

  #takeSettings(flags: number, bytes: Buffer, start: number, end: number): void {
    this.#idleFrame(SETTINGS_WEIGHT);
    if ((flags & Flag.ACK) !== 0 || this.#closed) return;
    this.#hasSettings = true;
    const problem = this.#sender.takeSettings(bytes, start, end, this.#streams.values());
    if (problem !== undefined) this.#fail(problem, "a setting that can not be");
  }

  #ping(flags: number, bytes: Buffer, start: number, end: number): void {
    if ((flags & Flag.ACK) === 0) {
      this.#idleFrame();
      if (!this.#closed) this.#output.frame(FrameType.PING, Flag.ACK, 0, bytes, start, end);
      return;
    }
    if (this.#draining && !this.#refuses && bytes.compare(DRAIN_PING, 0, DRAIN_PING.length, start, end) === 0) {
      this.#endDrain();
      return;
    }
    const onPong = this.#onPong;
    this.#onPong = undefined;
    if (onPong === undefined) this.#idleFrame();
    else onPong();
  }

  #windowUpdate(streamId: number, bytes: Buffer, start: number): void {
    if (streamId > this.#lastStreamId) {
      this.#fail(ErrorCode.PROTOCOL_ERROR, "a window of a stream that is not open");
      return;
    }
    this.#idleFrame();
    const credit = bytes.readUInt32BE(start) & WINDOW_BYTES_MAX;
    if (streamId === 0) {
      if (credit === 0) this.#fail(ErrorCode.PROTOCOL_ERROR, "a window that grows by nothing");
      else if (!this.#sender.widen(credit)) this.#fail(ErrorCode.FLOW_CONTROL_ERROR, "a window too large");
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    if (credit === 0) this.#fault(stream, ErrorCode.PROTOCOL_ERROR);
    else if (!this.#sender.widenStream(stream, credit)) this.#fault(stream, ErrorCode.FLOW_CONTROL_ERROR);
  }

  #letGo(stream: Stream, resetHere: boolean): void {
    if (!this.#streams.delete(stream.id)) return;
    this.#closedStreams.add(stream.id, resetHere);
    this.#headersHeldBytes -= stream.headers.bytes;
    this.#sender.forget(stream);
    stream.close();
    this.#windows.release(stream);
    if (this.#refuses && this.#streams.size === 0 && !this.#closed) this.#close();
  }

  /** Ends the connection for a fault of the peer's. */
  #fail(code: ErrorCode, reason: string): void {
    if (this.#closed) return;
    this.#goAway(code, reason);
    this.#settings.onFault(code, reason);
    this.#close();
  }

  /** What is written goes out. */
  #close(): void {
    this.#closed = true;
    this.#closeStreams();
    this.#output.finish();
    this.#drain?.cancel();
    this.#intake.close();
    this.#unread.end();
    this.#socket.end();
    this.#linger = this.#settings.clock.schedule(LINGER_MS, () => this.#socket.destroy());
  }

  #closeStreams(): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) {
      this.#sender.forget(stream);
      stream.close();
    }
  }

  /** The peer sends nothing more, so it takes no answers either. */
  readonly #ended = (): void => {
    this.#socket.destroySoon();
  };

  readonly #finished = (): void => {
    if (this.#gone) return;
    this.#gone = true;
    this.#closed = true;
    this.#drain?.cancel();
    this.#linger?.cancel();
    this.#intake.close();
    this.#closeStreams();
    this.#output.close();
    this.#unread.end();
    this.#settings.onClosed();
  };
}

function dependsOn(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) & 0x7fffffff;
}
