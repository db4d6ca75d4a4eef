/**
 * The log of what anybody can bring about by opening connections: warnings past a number in a minute are counted instead
 * of written, for whoever reaches a port could fill a disk with them. Everything else goes through.
 */
import type { Clock } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import { LineBound, LINES_MAX } from "./line-bound.js";

export class StrangerLog implements Logger {
  readonly #log: Logger;
  readonly #bound: LineBound;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#bound = new LineBound(clock, (unsaidCount) => this.#sayRest(unsaidCount));
  }

  debug(fields: object, message: string): void {
    this.#log.debug(fields, message);
  }

  info(fields: object, message: string): void {
    this.#log.info(fields, message);
  }

  warn(fields: object, message: string): void {
    if (this.#bound.take()) this.#log.warn(fields, message);
  }

  error(fields: object, message: string): void {
    this.#log.error(fields, message);
  }

  #sayRest(unsaidCount: number): void {
    this.#log.warn({ unsaidCount }, `clients were cut off beyond the ${LINES_MAX} of a minute that the log names`);
  }
}
