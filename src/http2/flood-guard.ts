/**
 * Tells floods of frames from use, for HTTP/2 lets a peer cause work with frames that ask for nothing. Three counts:
 * streams that come to nothing because the peer resets them (CVE-2023-44487); those that this end resets for a fault of
 * the peer's (CVE-2025-8671), of both of which it has a supply that grows slowly; and frames in a row that neither ask nor
 * carry anything.
 */
import type { Clock } from "../base/clock.js";

/** As nghttp2 has it. */
const FAULTS_MAX = 1000;
const FAULTS_PER_SECOND = 33;
/**
 * A client resets every call whose time runs out, so one that has as many as it may, and tries each of them again, resets
 * several times as many when the server stands still for some seconds: all at once, as the server sees it.
 */
const ROUNDS_OF_CANCELS = 4;
/** Apache's clients give a call so long. */
const CALL_SECONDS = 3;
/** Flow control and probes of the bandwidth go with data, a few frames each; nobody means more than that without any. */
const IDLE_FRAMES_MAX = 10_000;

/** So many things at once, and as many more as grow in time. */
class Supply {
  readonly #clock: Clock;
  readonly #max: number;
  readonly #perSecond: number;
  #left: number;
  #tookMs: number;

  constructor(clock: Clock, max: number, perSecond: number) {
    this.#clock = clock;
    this.#max = max;
    this.#perSecond = perSecond;
    this.#left = max;
    this.#tookMs = clock.monotonicMs();
  }

  /** False when there was none left. */
  take(): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#left = Math.min(this.#max, this.#left + ((nowMs - this.#tookMs) * this.#perSecond) / 1000) - 1;
    this.#tookMs = nowMs;
    return this.#left >= 0;
  }
}

export class FloodGuard {
  readonly #faults: Supply;
  readonly #cancels: Supply;
  #idleFrames = 0;

  /** For a peer that may have `streamsMax` streams at a time. */
  constructor(clock: Clock, streamsMax: number) {
    this.#faults = new Supply(clock, FAULTS_MAX, FAULTS_PER_SECOND);
    const cancelsMax = Math.max(FAULTS_MAX, ROUNDS_OF_CANCELS * streamsMax);
    this.#cancels = new Supply(clock, cancelsMax, Math.max(FAULTS_PER_SECOND, streamsMax / CALL_SECONDS));
  }

  /** A frame of use came or went. */
  used(): void {
    this.#idleFrames = 0;
  }

  /** False when there were too many. */
  idleFrame(weight = 1): boolean {
    this.#idleFrames += weight;
    return this.#idleFrames <= IDLE_FRAMES_MAX;
  }

  /** The peer did with a stream what it may not. False when it did so too often. */
  fault(): boolean {
    return this.#faults.take();
  }

  /** The peer reset a stream. False when there were too many. */
  cancel(): boolean {
    return this.#cancels.take();
  }
}
