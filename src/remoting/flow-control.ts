/**
 * Tells senders that a server is busy instead of letting them wait without end: of requests that have waited too long, or
 * are too many, some are answered SYSTEM_BUSY and not handled, which costs a part of handling them. Apache does
 * so with the queues before its thread pools (broker/latency/BrokerFastFailure.java, and the refusal of a full queue in
 * remoting/netty/NettyRemotingAbstract.java); here what waits lies in receive buffers (see backlog.ts).
 */
import type { Socket } from "node:net";
import type { Clock, Timer } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import { Backlog } from "./backlog.js";

/** What a server allows; asked only about requests that are known to have waited, or while too many are held. */
export interface FlowLimits {
  /** A request of that code is refused after this long; undefined: it is not, however late. */
  waitMsMax(code: number): number | undefined;
  /** A request of that code is refused while more than this many are held; undefined: it is not. */
  heldCountMax(code: number): number | undefined;
  /** So many were taken, and wait for something other than their turn, that some codes are refused whoever asks. */
  readonly isFull: boolean;
  /** How many those are. */
  readonly takenCount: number;
  /** Bytes that the kernel has for this file handle and nobody has read; undefined where it cannot be asked. */
  readonly unreadBytes?: ((fd: number) => number) | undefined;
}

const SAID_AGAIN_MS = 15_000;
const SERVED_SHARE_MIN = 0.5;
/** The share of a connection, of many that flood, in a turn of the event loop (see turns.ts). */
const MODEST_COUNT = 32;

export class FlowControl {
  /** Refused since the start. */
  refusedCount = 0;
  /** Known to wait on all connections. */
  queuedCount = 0;
  readonly #limits: FlowLimits;
  readonly #clock: Clock;
  readonly #log: Logger;
  #unsaidCount = 0;
  #longestMs = 0;
  /** What late requests have of the next one to be handled. */
  #served = 0;
  #quietUntil: Timer | undefined;

  constructor(limits: FlowLimits, clock: Clock, log: Logger) {
    this.#limits = limits;
    this.#clock = clock;
    this.#log = log;
  }

  get isFull(): boolean {
    return this.#limits.isFull;
  }

  /** What the kernel has received on this socket and nobody has read, as far as it can be known. */
  unreadBytes(socket: Socket): number {
    // What it has of a TLS connection is not counted as the stream is.
    if (this.#limits.unreadBytes === undefined || "encrypted" in socket) return 0;
    const fd = (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd;
    return fd === undefined || fd < 0 ? 0 : this.#limits.unreadBytes(fd);
  }

  /**
   * Why a request of that code is not handled; undefined when it is. `ageMs` is how long it has waited, 0 where that does
   * not count or nothing is known: then what waits on other connections does not count either.
   */
  refusal(code: number, ageMs: number): string | undefined {
    const { takenCount } = this.#limits;
    const heldCount = takenCount + (ageMs > 0 ? this.queuedCount : 0);
    const waitMsMax = this.#limits.waitMsMax(code) ?? Number.POSITIVE_INFINITY;
    const heldCountMax = this.#limits.heldCountMax(code) ?? Number.POSITIVE_INFINITY;
    const isLate = ageMs > 0 && ageMs >= waitMsMax;
    if (!isLate && heldCount <= heldCountMax) return undefined;
    if (takenCount <= heldCountMax && this.#isServed(isLate ? waitMsMax / ageMs : 0)) return undefined;
    this.#count(ageMs);
    if (!isLate) return "[OVERLOAD]system busy, start flow control for a while";
    const figures = `period in queue: ${Math.round(ageMs)}ms, size of queue: ${heldCount}`;
    return `[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, ${figures}`;
  }

  /**
   * Whether a late request is handled all the same: the later, the fewer, but always some. Were all of them refused, a flood
   * that goes on regardless would leave nothing but refusals to write.
   */
  #isServed(share: number): boolean {
    this.#served += Math.max(SERVED_SHARE_MIN, share);
    if (this.#served < 1) return false;
    this.#served -= 1;
    return true;
  }

  /** Said at once, then at most every quarter minute. */
  #count(ageMs: number): void {
    this.refusedCount++;
    this.#unsaidCount++;
    this.#longestMs = Math.max(this.#longestMs, ageMs);
    if (this.#quietUntil === undefined) this.#say();
  }

  #say(): void {
    const fields = { refusedCount: this.#unsaidCount, longestWaitMs: Math.round(this.#longestMs) };
    this.#log.warn(fields, "requests are answered SYSTEM_BUSY: more come than can be handled in time");
    this.#unsaidCount = 0;
    this.#longestMs = 0;
    this.#quietUntil = this.#clock.schedule(SAID_AGAIN_MS, () => {
      this.#quietUntil = undefined;
      if (this.#unsaidCount > 0) this.#say();
    });
  }
}

/** Of one connection: which of its requests come too late to be handled. */
export class LateRequests {
  readonly #flow: FlowControl;
  readonly #clock: Clock;
  readonly #socket: Socket;
  readonly #backlog = new Backlog();
  #turnMs = 0;

  constructor(flow: FlowControl, clock: Clock, socket: Socket) {
    this.#flow = flow;
    this.#clock = clock;
    this.#socket = socket;
  }

  /** More has arrived than was handled: `remainingBytes` of what was read, and what the kernel has. */
  note(remainingBytes: number, frameCount: number): void {
    const nowMs = this.#clock.monotonicMs();
    if (!this.#backlog.isDue(nowMs)) return;
    const arrived = this.#socket.bytesRead + this.#flow.unreadBytes(this.#socket);
    const before = this.#backlog.queuedCount;
    this.#backlog.note(this.#handledBytes(remainingBytes), arrived, frameCount, nowMs);
    this.#flow.queuedCount += this.#backlog.queuedCount - before;
  }

  /** Requests are about to be handled; true when each must be looked at. */
  begin(): boolean {
    if (this.#backlog.isEmpty && !this.#flow.isFull) return false;
    this.#turnMs = this.#clock.monotonicMs();
    return true;
  }

  /** Why the request before the `remainingBytes` is not handled; undefined when it is. */
  refusal(code: number, remainingBytes: number): string | undefined {
    const before = this.#backlog.queuedCount;
    // Who asks for no more than a turn gives has not made the others wait: it is served, however late.
    const isModest = before < MODEST_COUNT;
    const ageMs = this.#backlog.ageMs(this.#handledBytes(remainingBytes), this.#turnMs);
    this.#flow.queuedCount += this.#backlog.queuedCount - before;
    return this.#flow.refusal(code, isModest ? 0 : ageMs);
  }

  /** The connection is gone. */
  end(): void {
    this.#flow.queuedCount -= this.#backlog.queuedCount;
    this.#backlog.clear();
  }

  /** Where the stream has been handled to. */
  #handledBytes(remainingBytes: number): number {
    return this.#socket.bytesRead - this.#socket.readableLength - remainingBytes;
  }
}
