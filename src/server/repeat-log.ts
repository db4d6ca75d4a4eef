/**
 * A log that clients can not fill a disk with: what is warned of, or fails, at the pace of somebody's requests is said a
 * number of times a minute, for each text, and then counted. What is told for information goes through.
 */
import type { Clock } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import { LineBound, LINES_MAX } from "../remoting/line-bound.js";

/** Texts are the program's own; those that have a name in them are few. */
const TEXTS_MAX = 1024;

type Level = "warn" | "error";

export class RepeatLog implements Logger {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #bounds = new Map<string, LineBound>();

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
    if (this.#isToSay("warn", message)) this.#log.warn(fields, message);
  }

  error(fields: object, message: string): void {
    if (this.#isToSay("error", message)) this.#log.error(fields, message);
  }

  #isToSay(level: Level, message: string): boolean {
    let bound = this.#bounds.get(message);
    if (bound === undefined) {
      if (this.#bounds.size >= TEXTS_MAX) this.#bounds.clear();
      bound = new LineBound(this.#clock, (unsaidCount) => this.#sayRest(level, message, unsaidCount));
      this.#bounds.set(message, bound);
    }
    return bound.take();
  }

  #sayRest(level: Level, message: string, unsaidCount: number): void {
    this.#log[level]({ unsaidCount }, `beyond the ${LINES_MAX} of a minute that the log has: ${message}`);
  }
}
