/**
 * An alarm for a time of the wall clock. Timers go by the clock that never steps: where the wall clock is set, or the
 * machine slept, the alarm rings at once, and whoever is rung looks anew at what is due.
 */
import type { Clock, Timer } from "../../base/clock.js";

/** How often the clocks are compared while something is waited for. */
const LOOK_MS = 100;
/** The clocks are read one after the other, and the wall's to the millisecond. */
const STEP_MS_MIN = 20;
/** Node's timers end at 24 days. */
const SLEEP_MS_MAX = 86_400_000;

/** `stepMs` is by how much the wall clock was set since the last time, 0 where it runs straight. */
export type Ring = (stepMs: number) => void;

export class WallAlarm {
  readonly #clock: Clock;
  readonly #ring: Ring;
  #timer: Timer | undefined;
  #guard: Timer | undefined;
  /** The wall's time less the other clock's, as of the last ring that told of a step. */
  #apartMs: number;

  constructor(clock: Clock, ring: Ring) {
    this.#clock = clock;
    this.#ring = ring;
    this.#apartMs = apartMs(clock);
  }

  /** In place of what it was set to; it rings once. After a day it rings in any case. */
  set(delayMs: number): void {
    this.cancel();
    const waitMs = this.#stepMs() === 0 ? Math.min(SLEEP_MS_MAX, Math.max(0, Math.ceil(delayMs))) : 0;
    this.#timer = this.#clock.schedule(waitMs, () => this.#due());
    if (waitMs > LOOK_MS) this.#watch();
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#guard?.cancel();
  }

  #watch(): void {
    const look = (): void => {
      if (this.#stepMs() === 0) this.#watch();
      else this.#due();
    };
    this.#guard = this.#clock.schedule(LOOK_MS, look, true);
  }

  #stepMs(): number {
    const stepMs = apartMs(this.#clock) - this.#apartMs;
    return Math.abs(stepMs) < STEP_MS_MIN ? 0 : stepMs;
  }

  #due(): void {
    this.cancel();
    const stepMs = this.#stepMs();
    this.#apartMs += stepMs;
    this.#ring(stepMs);
  }
}

function apartMs(clock: Clock): number {
  return clock.nowMs() - clock.monotonicMs();
}
