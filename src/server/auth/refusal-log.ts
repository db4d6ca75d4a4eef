/** Says once a minute, not once a request, who is refused and why: a client that has the wrong password tries on and on. */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";

const PERIOD_MS = 60_000;
const CAUSES_MAX = 1024;

export class RefusalLog {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Refusals of this period by host and cause; the first of each is logged. */
  readonly #counts = new Map<string, number>();
  #since: number;
  #unnamed = 0;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
    this.#since = clock.monotonicMs();
  }

  add(request: string, host: string, cause: string): void {
    if (this.#clock.monotonicMs() - this.#since >= PERIOD_MS) this.#begin();
    const key = `${host} ${cause}`;
    const count = this.#counts.get(key);
    if (count !== undefined) this.#counts.set(key, count + 1);
    else if (this.#counts.size >= CAUSES_MAX) this.#unnamed++;
    else {
      this.#counts.set(key, 1);
      this.#log.warn({ request, host, cause }, "a request was refused; said once a minute for each host and cause");
    }
  }

  #begin(): void {
    let repeated = this.#unnamed;
    for (const count of this.#counts.values()) repeated += count - 1;
    if (repeated > 0) this.#log.warn({ repeated }, "as many more requests were refused since");
    this.#counts.clear();
    this.#unnamed = 0;
    this.#since = this.#clock.monotonicMs();
  }
}
