/**
 * A clock that stands still until its test moves it. Brokers of a test take it for all they do by time: delays, retries,
 * transaction checks, timers, expiries. Sockets go on as ever.
 */
import { shown } from "../base/given-values.js";
import type { Clock, Timer } from "../base/clock.js";

/** An even moment of 2026: what is stored looks like it. */
const BEGIN_MS = 1_767_268_800_000;
/** Turns of the event loop after what is due at a time: a request made there and its answer have gone through by then. */
const TURNS = 2;

interface Task {
  readonly atMs: number;
  readonly run: () => void;
  readonly lazily: boolean | (() => boolean);
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export class TestClock implements Clock {
  readonly #beginMs: number;
  #elapsedMs = 0;
  readonly #tasks = new Set<Task>();
  #advancing: Promise<void> = Promise.resolve();

  /** Begins at `nowMs`, milliseconds since 1970. */
  constructor(nowMs: number = BEGIN_MS) {
    this.#beginMs = nowMs;
  }

  nowMs(): number {
    return this.#beginMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  schedule(delayMs: number, run: () => void, lazily: boolean | (() => boolean) = false): Timer {
    const task = { atMs: this.#elapsedMs + Math.max(0, Math.ceil(delayMs)), run, lazily };
    this.#tasks.add(task);
    return { cancel: () => this.#tasks.delete(task) };
  }

  /**
   * Moves time on by milliseconds or by `"10s"`, `"5m"`, `"2h"`, `"1d"`, from one due time to the next, and does in order what
   * falls due on the way. Resolves when that is done and what it wrote to sockets is on its way.
   */
  advance(by: number | string): Promise<void> {
    const ms = typeof by === "number" ? by : millisecondsOf(by);
    if (!(ms >= 0)) throw new RangeError(`The clock goes forward only, not by ${by}.`);
    this.#advancing = this.#advancing.then(() => this.#advance(this.#elapsedMs + ms));
    return this.#advancing;
  }

  async #advance(endMs: number): Promise<void> {
    // What the test did last may be on its way still.
    await turns();
    for (let atMs = this.#nextMs(endMs); atMs !== undefined; atMs = this.#nextMs(endMs)) {
      this.#elapsedMs = Math.max(this.#elapsedMs, atMs);
      this.#runDue();
      await turns();
    }
    this.#elapsedMs = endMs;
    this.#runDue();
    await turns();
  }

  /** What is due by now, the earliest first, then what was set first; not what it sets itself, which has its turn later. */
  #runDue(): void {
    const due = [...this.#tasks].filter(({ atMs }) => atMs <= this.#elapsedMs).sort((a, b) => a.atMs - b.atMs);
    for (const task of due) if (this.#tasks.delete(task)) task.run();
  }

  /** When the next is due that time stops for, `endMs` at the latest. */
  #nextMs(endMs: number): number | undefined {
    let nextMs: number | undefined;
    for (const { atMs, lazily } of this.#tasks) {
      if (atMs > endMs || (nextMs !== undefined && atMs >= nextMs)) continue;
      if (!(typeof lazily === "function" ? lazily() : lazily)) nextMs = atMs;
    }
    return nextMs;
  }
}

export function millisecondsOf(text: string): number {
  const [, count, unit] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text) ?? [];
  if (count === undefined) throw new RangeError(`${shown(text)} is no time: write 500ms, 10s, 5m, 2h or 1d.`);
  return Number(count) * UNITS[unit!]!;
}

async function turns(): Promise<void> {
  for (let i = 0; i < TURNS; i++) await new Promise((resolve) => setImmediate(resolve));
}
