/**
 * One TCP connection that speaks Remoting, at either end: reads frames, has requests handled, hands answers to their
 * callers and sends what was written.
 *
 * The frames of a received chunk are handled before anything is sent, so a batch of requests costs one system call for
 * its answers; a connection that has had its share of a turn goes on in the next one (see turns.ts). Two rules bound the
 * memory of a peer that sends faster than it reads: past `outputPauseBytes` of unsent output it is not read any more,
 * past `outputBytesMax` it is cut off. While a write waits for the kernel, later output gathers in the writer, so at
 * most two buffers belong to a connection.
 */
import type { Socket } from "node:net";
import { assert } from "../base/assert.js";
import type { Clock, Timer } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { addressText, hostBytes, hostText } from "./address.js";
import type { AssemblyBudget } from "./assembly-budget.js";
import type { BufferPool } from "./buffer-pool.js";
import { ResponseCode } from "./codes.js";
import { nextConnectionId } from "./connection-id.js";
import { beginsAsProxyHeader, type ClientAddress } from "./proxy-header.js";
import { answerFailed } from "./failed-request.js";
import { type FlowControl, LateRequests } from "./flow-control.js";
import { FrameDecoder, FrameVerdict, strangerAt, TLS_HANDSHAKE } from "./frame-decoder.js";
import { FrameWriter } from "./frame-writer.js";
import type { HeaderView } from "./header-view.js";
import { PendingCalls } from "./pending-calls.js";
import type { ReceiveBuffer } from "./receive-buffer.js";
import { ReceivedRequest } from "./received-request.js";
import { refusalText, strangerAnswer } from "./strangers.js";
import type { OutputBudget, OutputHolder } from "./output-budget.js";
import type { ProxyEntrance } from "./proxy-entrance.js";
import type { TlsEntrance } from "./tls-entrance.js";
import { type Turns, workOf } from "./turns.js";
import type { Connection, Fields, Processor, RemoteAnswer, SerializeType, StrangerRefusal } from "./types.js";

/** A batch of answers that grows past this is sent before the rest of the chunk is handled. */
const FLUSH_BYTES = 262144;

/** How long a connection that is closed in good order may take to send its last bytes. */
const LINGER_MS = 5000;

const UNKNOWN_CODES_LOGGED_MAX = 256;

/** What all connections of a server, or of a client, have in common. */
export interface ConnectionSettings {
  /** What this end is: "broker", "client". */
  readonly name: string;
  readonly processors: ReadonlyMap<number, Processor>;
  readonly clock: Clock;
  readonly log: Logger;
  /** For what is said of strangers; `log` without it. */
  readonly strangerLog?: Logger | undefined;
  readonly frameBytesMax: number;
  readonly outputPauseBytes: number;
  readonly outputBytesMax: number;
  /** Of the requests that this end sends. */
  readonly serializeType: SerializeType;
  readonly pool: BufferPool;
  /** Shared by plain connections; undefined for those that read into buffers of their own. */
  readonly receiveBuffer: ReceiveBuffer | undefined;
  readonly budget: AssemblyBudget;
  /** Shared by the connections of a server. */
  readonly outputBudget?: OutputBudget | undefined;
  readonly turns: Turns;
  /** Without it every request is handled, however late. */
  readonly flow?: FlowControl | undefined;
  /** Headers are handled one at a time, so one view does for all. */
  readonly header: HeaderView;
  /** Request codes that the log has named. */
  readonly unknownCodes: Set<number>;
  /** What the sender of a code that nobody serves is told instead of that, if anything; with NO_PERMISSION. */
  readonly strangerRefusal?: StrangerRefusal | undefined;
  /** Where TLS clients go; undefined at ends that are secure already, or never will be. */
  readonly entrance?: TlsEntrance | undefined;
  /**
   * Called before anything is sent: what the answers tell has to be so by then. When it is false it is not, and the
   * connection is cut instead.
   */
  readonly beforeSend?: (() => boolean) | undefined;
  /** Where clients go whom a proxy speaks for; undefined where that can not be, or has been said. */
  readonly proxyEntrance?: ProxyEntrance | undefined;
  readonly onClosed: (connection: RemotingConnection) => void;
  /** Sees each answer before those who wait for one; see `AnswerTaker`. */
  readonly onAnswer?: AnswerTaker | undefined;
}

/**
 * Takes answers to requests that were written with opaques of its own, without a promise for each: true when it was one
 * of them. Header and body are good until it returns; what it writes meanwhile goes out with the rest of the batch.
 */
export type AnswerTaker = (header: HeaderView, bytes: Buffer, bodyStart: number, bodyEnd: number) => boolean;

let lastOpaque = 0;

export class RemotingConnection implements Connection, OutputHolder {
  readonly id = nextConnectionId();
  readonly remoteAddress: string;
  readonly remoteHost: Buffer;
  readonly localAddress: string;
  readonly localHost: string;
  readonly writer: FrameWriter;
  readonly #socket: Socket;
  readonly #settings: ConnectionSettings;
  readonly #client: ClientAddress | undefined;
  readonly #decoder: FrameDecoder;
  readonly #request: ReceivedRequest;
  readonly #pending: PendingCalls;
  readonly #closeCallbacks: (() => void)[] = [];
  #closed = false;
  #gone = false;
  /** Why this end closed, for those who wait for an answer. */
  #reason = "the connection was closed";
  /** Frames of a chunk are being handled: output waits for the end of the batch. */
  #inBatch = false;
  #flushScheduled = false;
  /** The buffer that the kernel has not taken whole. */
  #unsent: Buffer | undefined;
  /** Writes that were done at once and whose callbacks are still to come; they come before the unsent buffer's. */
  #doneWrites = 0;
  /** Not read until output drains. */
  #paused = false;
  /** Not read until its turn comes. */
  #waits = false;
  /** Done since its last turn. */
  #work = 0;
  /** Since a turn of its did not suffice. */
  #late: LateRequests | undefined;
  /** Requests of this turn may have to be refused. */
  #mayRefuse = false;
  #frameCount = 0;
  /** Not read any more. */
  #quiet = false;
  /** Reads into the server's receive buffer, or would if it could. */
  #shares = false;
  #linger: Timer | undefined;
  /** Grows with each sweep of the owner, back to 0 with any byte in either direction. */
  idleSweeps = 0;

  /** `client` is whom the peer speaks for. A record's born host stays the peer, as in Apache. */
  constructor(socket: Socket, settings: ConnectionSettings, client?: ClientAddress) {
    const { remoteAddress = "0.0.0.0", remotePort = 0, localAddress = "0.0.0.0" } = socket;
    this.remoteAddress = addressText(client?.address ?? remoteAddress, client?.port ?? remotePort);
    this.remoteHost = hostBytes(remoteAddress, remotePort);
    this.localAddress = addressText(localAddress, socket.localPort ?? 0);
    this.localHost = hostText(localAddress);
    this.writer = new FrameWriter({ pool: settings.pool });
    this.#socket = socket;
    this.#settings = settings;
    this.#client = client;
    const { frameBytesMax, budget } = settings;
    this.#decoder = new FrameDecoder({ frameBytesMax, budget, onGivenUp: () => this.#refuse(FrameVerdict.NO_ROOM) });
    this.#request = new ReceivedRequest(settings.header);
    this.#pending = new PendingCalls(settings.clock, this.remoteAddress);
    socket.on("data", settings.entrance?.enforced ? this.#receivedFirst : this.#received);
    socket.on("error", this.#failed);
    socket.on("close", this.#finished);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Output that the kernel has not taken. */
  get unsentBytes(): number {
    return this.writer.length + (this.#unsent === undefined ? 0 : this.#socket.writableLength);
  }

  flush(): void {
    if (this.#inBatch || this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(this.#flushNow);
  }

  close(): void {
    if (this.#closed) return;
    this.writer.abandon();
    this.#send();
    if (this.#closed) return;
    this.#closed = true;
    const { length } = this.writer;
    if (length > 0) this.#socket.write(this.writer.detach().subarray(0, length));
    this.#socket.destroySoon();
    this.#linger = this.#settings.clock.schedule(LINGER_MS, () => this.#socket.destroy());
  }

  /** Closes at once; what is unsent is lost. */
  destroy(): void {
    this.#closed = true;
    this.#socket.destroy();
  }

  onClose(callback: () => void): void {
    if (this.#gone) callback();
    else this.#closeCallbacks.push(callback);
  }

  pushOneway(code: number, fields: Fields, body?: Uint8Array): void {
    if (this.#closed) return;
    this.writer.request(nextOpaque(), this.#settings.serializeType, code, true, fields, body);
    this.flush();
  }

  call(code: number, fields: Fields, body: Uint8Array | undefined, timeoutMs: number): Promise<RemoteAnswer> {
    if (this.#closed) return Promise.reject(this.#lost());
    const opaque = nextOpaque();
    this.writer.request(opaque, this.#settings.serializeType, code, false, fields, body);
    this.flush();
    return this.#pending.add(opaque, code, timeoutMs);
  }

  /** Stops reading for good; what is being answered can still be sent. */
  quiesce(): void {
    this.#quiet = true;
    this.#socket.pause();
  }

  /** Stands in for `#received` where clients without TLS are refused, until the first byte has been seen. */
  readonly #receivedFirst = (chunk: Buffer): void => {
    this.#socket.off("data", this.#receivedFirst);
    this.#socket.on("data", this.#received);
    if (chunk[0] === TLS_HANDSHAKE || (this.#settings.proxyEntrance !== undefined && beginsAsProxyHeader(chunk))) {
      this.#received(chunk);
      return;
    }
    const verdict = strangerAt(chunk, 0);
    this.#refuse(verdict === FrameVerdict.BAD_LENGTH ? FrameVerdict.PLAIN : verdict);
  };

  readonly #received = (chunk: Buffer): void => {
    this.idleSweeps = 0;
    if (this.#closed || this.#quiet) return;
    this.#decoder.push(chunk);
    this.#handleFrames();
    if (!this.#shares && this.#mayShare()) this.#share();
  };

  /**
   * From its first whole frame on a plain connection is known for what it is. One that is paused goes on being read, into
   * the socket's own queue, and what waits there must be handled before anything that is read past it.
   */
  #mayShare(): boolean {
    return this.#decoder.hasBegun && !this.#paused && this.#socket.readableLength === 0;
  }

  #share(): void {
    this.#shares = true;
    this.#settings.receiveBuffer?.attach(this.#socket, (chunk) => {
      this.#received(chunk);
      if (this.#decoder.hasBytes) this.#decoder.keep();
    });
    // Only now would a pause stop the socket, not its queue alone; after this tick, in which the queue asks for more.
    if (this.#waits) queueMicrotask(() => this.#socket.pause());
  }

  readonly #flushNow = (): void => {
    this.#flushScheduled = false;
    this.#send();
  };

  readonly #written = (error: Error | null | undefined): void => {
    this.idleSweeps = 0;
    if (this.#doneWrites > 0) {
      this.#doneWrites--;
      return;
    }
    const buffer = this.#unsent;
    this.#unsent = undefined;
    this.#settings.outputBudget?.end(this);
    if (error || this.#closed || buffer === undefined) return;
    this.#settings.pool.give(buffer);
    this.#send();
    if (!this.#paused || this.unsentBytes > this.#settings.outputPauseBytes) return;
    this.#paused = false;
    this.#resume();
  };

  readonly #myTurn = (): void => {
    this.#waits = false;
    this.#work = 0;
    this.#resume();
  };

  /** Goes on with what lies here, then with what comes, unless it has to wait for something else too. */
  #resume(): void {
    if (this.#paused || this.#waits) return;
    if (this.#decoder.hasBytes) this.#handleFrames();
    if (!this.#paused && !this.#waits && !this.#quiet && !this.#closed) this.#socket.resume();
  }

  #handleFrames(): void {
    const { writer } = this;
    const flushBytes = Math.min(FLUSH_BYTES, this.#settings.outputPauseBytes);
    this.#inBatch = true;
    const { flow } = this.#settings;
    if (flow?.isFull) this.#noteBacklog(flow);
    this.#mayRefuse = this.#late?.begin() === true;
    while (!this.#closed && !this.#quiet) {
      if (writer.length > flushBytes) this.#send();
      // Only a buffer that the kernel has not taken comes back to resume reading.
      if (this.#unsent !== undefined && this.unsentBytes > this.#settings.outputPauseBytes) {
        this.#paused = true;
        this.#socket.pause();
        break;
      }
      if (this.#work >= this.#settings.turns.share) {
        this.#waits = true;
        this.#socket.pause();
        if (flow !== undefined) this.#noteBacklog(flow);
        this.#settings.turns.wait(this.#myTurn);
        break;
      }
      const verdict = this.#decoder.next();
      if (verdict === FrameVerdict.FRAME) this.#handleFrame();
      else if (verdict === FrameVerdict.MORE) break;
      else this.#refuse(verdict);
    }
    this.#inBatch = false;
    this.#send();
  }

  /** More has come than it may have handled in a turn: from now on it is known since when that waits. */
  #noteBacklog(flow: FlowControl): void {
    this.#late ??= new LateRequests(flow, this.#settings.clock, this.#socket);
    this.#late.note(this.#decoder.remainingBytes, this.#frameCount);
  }

  /** Answers a request that is not to be handled; false for one that is. */
  #refuseLate({ code, opaque, serializeType, isOneway }: HeaderView): boolean {
    const remark = this.#late?.refusal(code, this.#decoder.remainingBytes);
    if (remark === undefined) return false;
    if (!isOneway) this.writer.response(opaque, serializeType, ResponseCode.SYSTEM_BUSY, remark);
    return true;
  }

  #handleFrame(): void {
    const decoder = this.#decoder;
    const { header } = this.#settings;
    this.#work += workOf(decoder.bodyEnd - decoder.headerStart);
    this.#frameCount++;
    if (!header.parse(decoder.bytes, decoder.headerStart, decoder.headerEnd, decoder.serializeType)) {
      this.#refuse(FrameVerdict.BAD_HEADER);
      return;
    }
    if (header.isResponse) {
      if (this.#settings.onAnswer?.(header, decoder.bytes, decoder.headerEnd, decoder.bodyEnd) === true) return;
      const known = this.#pending.settle(header, decoder.bytes, decoder.headerEnd, decoder.bodyEnd);
      if (!known) this.#settings.log.debug({ remote: this.remoteAddress }, "an answer that nobody waits for");
      return;
    }
    this.#request.set(decoder.bytes, decoder.headerEnd, decoder.bodyEnd);
    if (this.#mayRefuse && this.#refuseLate(header)) return;
    const { opaque } = header;
    const oneway = header.isOneway;
    if (oneway) this.writer.mute(opaque);
    const processor = this.#settings.processors.get(header.code);
    if (processor === undefined) this.#notSupported(header);
    else this.#process(processor, header);
    if (oneway) this.writer.unmute();
  }

  #process(processor: Processor, header: HeaderView): void {
    const { writer } = this;
    writer.forgetLast();
    try {
      processor(this.#request, this);
      assert(!writer.isOpen, "a processor ends the frame it begins");
    } catch (error) {
      answerFailed(this, header, error, this.#settings.log);
    }
  }

  #notSupported(header: HeaderView): void {
    const { code, opaque, serializeType } = header;
    const { unknownCodes, log, strangerRefusal } = this.#settings;
    const refusal = strangerRefusal?.(this.#request, this);
    if (refusal !== undefined) {
      this.writer.response(opaque, serializeType, ResponseCode.NO_PERMISSION, refusal);
      return;
    }
    const remark = ` request type ${code} not supported`;
    this.writer.response(opaque, serializeType, ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark);
    if (unknownCodes.has(code) || unknownCodes.size > UNKNOWN_CODES_LOGGED_MAX) return;
    unknownCodes.add(code);
    log.warn({ remote: this.remoteAddress, code }, "unknown request code; said once for each code");
  }

  /**
   * Cuts off a peer that does not speak the protocol, after what it is owed; strangers are told what this port is. A TLS
   * client, or a proxy, goes to its entrance where there is one.
   */
  #refuse(verdict: FrameVerdict): void {
    const { name, log, strangerLog, entrance, proxyEntrance } = this.#settings;
    if (verdict === FrameVerdict.TLS && entrance !== undefined && entrance.refusal === undefined) {
      this.#handOver(entrance);
      return;
    }
    if (verdict === FrameVerdict.PROXY && proxyEntrance !== undefined) {
      this.#handOver(proxyEntrance);
      return;
    }
    const port = this.#socket.localPort ?? 0;
    this.#reason = refusalText(verdict, name, port, entrance?.refusal);
    (strangerLog ?? log).warn({ remote: this.remoteAddress, local: this.localAddress }, this.#reason);
    const answer = strangerAnswer(verdict, name, port);
    if (answer !== undefined && !this.#closed) this.#socket.write(answer);
    this.close();
  }

  /** Ends this connection but not its socket, which goes on as it came: unread. */
  #handOver(entrance: TlsEntrance | ProxyEntrance): void {
    const socket = this.#socket;
    socket.off("data", this.#received);
    socket.off("error", this.#failed);
    socket.off("close", this.#finished);
    socket.pause();
    socket.unshift(this.#decoder.takeBack());
    this.#finished();
    entrance.take(socket, this.#client);
  }

  /** Gives the kernel what is written, unless an earlier buffer is still waiting for it. */
  #send(): void {
    const { writer } = this;
    const { length } = writer;
    if (length === 0) return;
    if (this.#closed) {
      writer.reset(0);
      return;
    }
    if (this.#settings.beforeSend?.() === false) {
      this.#reason = "what was to be answered could not be kept";
      writer.reset(0);
      this.destroy();
      return;
    }
    if (this.#unsent !== undefined) {
      if (this.unsentBytes > this.#settings.outputBytesMax) this.cutOff();
      else this.#settings.outputBudget?.wait(this, this.unsentBytes);
      return;
    }
    const socket = this.#socket;
    const buffer = writer.detach();
    socket.write(buffer.subarray(0, length), this.#written);
    if (socket.writableLength === 0) {
      this.#doneWrites++;
      this.#settings.pool.give(buffer);
    } else {
      this.#unsent = buffer;
      this.#settings.outputBudget?.wait(this, this.unsentBytes);
    }
  }

  /** Of a peer that does not read what it asked for. */
  cutOff(): void {
    this.#reason = "the peer does not read what is sent";
    const fields = { remote: this.remoteAddress, unsentBytes: this.unsentBytes };
    this.#settings.log.warn(fields, "a peer does not read what is sent; its connection is closed");
    this.destroy();
  }

  readonly #failed = (error: Error): void => {
    this.#reason = error.message;
    this.#settings.log.debug({ err: error, remote: this.remoteAddress }, "connection error");
  };

  readonly #finished = (): void => {
    this.#closed = true;
    this.#gone = true;
    this.#linger?.cancel();
    this.#late?.end();
    this.#settings.outputBudget?.end(this);
    this.#decoder.release();
    this.writer.reset(0);
    this.#pending.failAll(this.#lost());
    this.#settings.onClosed(this);
    for (const callback of this.#closeCallbacks) {
      try {
        callback();
      } catch (error) {
        this.#settings.log.error({ err: error, remote: this.remoteAddress }, "a close callback failed");
      }
    }
  };

  #lost(): CometError {
    return new CometError("COMETMQ_REMOTE", `${this.remoteAddress}: ${this.#reason}.`);
  }
}

function nextOpaque(): number {
  lastOpaque = (lastOpaque + 1) | 0;
  return lastOpaque;
}
