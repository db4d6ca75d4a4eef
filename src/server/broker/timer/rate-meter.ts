/** Events a second in the last whole interval of about a second. */
import type { Clock } from "../../../base/clock.js";

const INTERVAL_MS = 1000;
/** The clock is looked at for one event of so many. */
const LOOK_EVENTS = 16;

export class RateMeter {
  readonly #clock: Clock;
  #total = 0;
  #sinceMs: number;
  #sinceTotal = 0;
  #rate = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
  }

  add(): void {
    if (++this.#total % LOOK_EVENTS === 0) this.#roll();
  }

  #roll(): void {
    const elapsedMs = this.#clock.monotonicMs() - this.#sinceMs;
    if (elapsedMs < INTERVAL_MS) return;
    this.#rate = ((this.#total - this.#sinceTotal) * 1000) / elapsedMs;
    this.#sinceMs += elapsedMs;
    this.#sinceTotal = this.#total;
  }

  perSecond(): number {
    this.#roll();
    return this.#rate;
  }
}
