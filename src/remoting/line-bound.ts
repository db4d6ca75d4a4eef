/** So many lines of a kind a minute, for whoever causes them could fill a disk with them: what is beyond is counted. */
import type { Clock } from "../base/clock.js";

const WINDOW_MS = 60_000;
export const LINES_MAX = 100;

export class LineBound {
  readonly #clock: Clock;
  readonly #sayRest: (unsaidCount: number) => void;
  #beganMs = Number.NEGATIVE_INFINITY;
  #saidCount = 0;
  #unsaidCount = 0;

  /** `sayRest` is called a minute after the first line that was not said. */
  constructor(clock: Clock, sayRest: (unsaidCount: number) => void) {
    this.#clock = clock;
    this.#sayRest = sayRest;
  }

  /** Whether the next line is to be said. */
  take(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#beganMs >= WINDOW_MS) {
      this.#beganMs = nowMs;
      this.#saidCount = 0;
    }
    if (this.#saidCount++ < LINES_MAX) return true;
    if (this.#unsaidCount++ === 0) this.#clock.schedule(WINDOW_MS, () => this.#tellRest());
    return false;
  }

  #tellRest(): void {
    const unsaidCount = this.#unsaidCount;
    this.#unsaidCount = 0;
    this.#sayRest(unsaidCount);
  }
}
