/**
 * Tells floods of frames from use, for HTTP/2 lets a peer cause work with frames that ask for nothing. Two counts:
 * streams that come to nothing, reset by the peer (CVE-2023-44487) or by this end for a fault of the peer's
 * (CVE-2025-8671), of which it has a supply that grows slowly; and frames in a row that neither ask nor carry anything.
 */
import type { Clock } from "../base/clock.js";

/** As nghttp2 has it. */
const RESETS_MAX = 1000;
const RESETS_PER_SECOND = 33;
/** Flow control and probes of the bandwidth go with data, a few frames each; nobody means more than that without any. */
const IDLE_FRAMES_MAX = 10_000;

export class FloodGuard {
  readonly #clock: Clock;
  #resets = RESETS_MAX;
  #resetMs: number;
  #idleFrames = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#resetMs = clock.monotonicMs();
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

  /** False when there were too many. */
  reset(): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#resets = Math.min(RESETS_MAX, this.#resets + ((nowMs - this.#resetMs) * RESETS_PER_SECOND) / 1000);
    this.#resetMs = nowMs;
    this.#resets--;
    return this.#resets >= 0;
  }
}
