/**
 * Sends that are answered only once their message is on the disk. In order of their place in the log, so one pass over
 * the front answers all that a sync has made durable; those that wait too long are told so, as Apache does, and all of
 * them are when the disk refuses a sync.
 */
import type { Clock } from "../../base/clock.js";
import type { Connection } from "../../remoting/types.js";

export type FlushOutcome = "flushed" | "timed out" | "failed";

export interface FlushWaiter {
  /** Durable when the store's flushed position has reached it. */
  readonly position: number;
  readonly connection: Connection;
  readonly deadlineMs: number;
  /** Writes the response into the connection's writer. */
  readonly answer: (outcome: FlushOutcome) => void;
}

export class FlushWaiters {
  readonly #clock: Clock;
  #waiting: FlushWaiter[] = [];
  #timerSet = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(waiter: FlushWaiter): void {
    this.#waiting.push(waiter);
    this.#setTimer();
  }

  get count(): number {
    return this.#waiting.length;
  }

  flushed(position: number): void {
    let count = 0;
    while (count < this.#waiting.length && this.#waiting[count]!.position <= position) count++;
    this.#answer(this.#waiting.slice(0, count), "flushed");
    this.#waiting = this.#waiting.slice(count);
  }

  /** Nothing that waits will ever be known to be durable. */
  failed(): void {
    this.#answer(this.#waiting, "failed");
    this.#waiting = [];
  }

  #setTimer(): void {
    const first = this.#waiting[0];
    if (this.#timerSet || first === undefined) return;
    this.#timerSet = true;
    this.#clock.schedule(Math.max(1, first.deadlineMs - this.#clock.monotonicMs()), () => {
      this.#timerSet = false;
      const now = this.#clock.monotonicMs();
      this.#answer(
        this.#waiting.filter((waiter) => waiter.deadlineMs <= now),
        "timed out",
      );
      this.#waiting = this.#waiting.filter((waiter) => waiter.deadlineMs > now);
      this.#setTimer();
    });
  }

  #answer(waiters: readonly FlushWaiter[], outcome: FlushOutcome): void {
    const touched = new Set<Connection>();
    for (const waiter of waiters) {
      if (waiter.connection.closed) continue;
      waiter.answer(outcome);
      touched.add(waiter.connection);
    }
    for (const connection of touched) connection.flush();
  }
}
