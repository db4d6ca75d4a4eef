/**
 * The log of what anybody can bring about by opening connections: warnings past a number in a minute are counted instead
 * of written, for whoever reaches a port could fill a disk with them. Everything else goes through.
 */
import type { Clock } from "../base/clock.js";
import type { Logger } from "../base/log.js";

const WINDOW_MS = 60_000;
const LINES_MAX = 100;

export class StrangerLog implements Logger {
  readonly #log: Logger;
  readonly #clock: Clock;
  #beganMs = Number.NEGATIVE_INFINITY;
  #saidCount = 0;
  #unsaidCount = 0;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  debug(fields: object, message: string): void {
    this.#log.debug(fields, message);
  }

  info(fields: object, message: string): void {
    this.#log.info(fields, message);
  }

  warn(fields: object, message: string): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#beganMs >= WINDOW_MS) {
      this.#beganMs = nowMs;
      this.#saidCount = 0;
    }
    if (this.#saidCount++ < LINES_MAX) this.#log.warn(fields, message);
    else if (this.#unsaidCount++ === 0) this.#clock.schedule(WINDOW_MS, () => this.#sayRest());
  }

  error(fields: object, message: string): void {
    this.#log.error(fields, message);
  }

  #sayRest(): void {
    const fields = { unsaidCount: this.#unsaidCount };
    this.#unsaidCount = 0;
    this.#log.warn(fields, `clients were cut off beyond the ${LINES_MAX} of a minute that the log names`);
  }
}
