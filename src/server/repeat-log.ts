/**
 * A log that clients can not fill a disk with: what is warned of, or fails, at the pace of somebody's requests is said a
 * number of times a minute, for each text, and then counted. What is told for information goes through.
 */
import type { Clock } from "../base/clock.js";
import type { Logger } from "../base/log.js";

const WINDOW_MS = 60_000;
const LINES_MAX = 100;
/** Texts are the program's own; those that have a name in them are few. */
const TEXTS_MAX = 1024;

type Level = "warn" | "error";

interface Window {
  beganMs: number;
  saidCount: number;
  unsaidCount: number;
}

export class RepeatLog implements Logger {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #windows = new Map<string, Window>();

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
    const nowMs = this.#clock.monotonicMs();
    const window = this.#window(message, nowMs);
    if (nowMs - window.beganMs >= WINDOW_MS) {
      window.beganMs = nowMs;
      window.saidCount = 0;
    }
    if (window.saidCount++ < LINES_MAX) return true;
    if (window.unsaidCount++ === 0) this.#clock.schedule(WINDOW_MS, () => this.#sayRest(level, message, window));
    return false;
  }

  #window(message: string, nowMs: number): Window {
    let window = this.#windows.get(message);
    if (window === undefined) {
      if (this.#windows.size >= TEXTS_MAX) this.#windows.clear();
      window = { beganMs: nowMs, saidCount: 0, unsaidCount: 0 };
      this.#windows.set(message, window);
    }
    return window;
  }

  #sayRest(level: Level, message: string, window: Window): void {
    const { unsaidCount } = window;
    window.unsaidCount = 0;
    this.#log[level]({ unsaidCount }, `beyond the ${LINES_MAX} of a minute that the log has: ${message}`);
  }
}
