/**
 * Pulls that found nothing and wait for a message (broker/longpolling/PullRequestHoldService.java). They are kept by
 * queue and looked at when dispatch says that the queue has grown; nothing is polled. Deadlines are kept in steps of a
 * tenth of a second, with one timer for the earliest.
 */
import type { Clock } from "../../base/clock.js";
import type { Connection } from "../../remoting/types.js";
import type { QueueHandle } from "../../store/types.js";

export interface ParkedPull {
  readonly connection: Connection;
  readonly queue: QueueHandle;
  /** Where it goes on reading: moves over messages that its filter does not want. */
  offset: number;
  readonly deadlineMs: number;
  /** Answered, or its connection is gone: it is passed over wherever it still stands. */
  done: boolean;
  /** Tries again; true when it has answered. With `last` it answers in any case. */
  readonly attempt: (pull: ParkedPull, last: boolean) => boolean;
}

/** What long polling needs of the store. */
export interface Arrivals {
  maxOffset(queue: QueueHandle): number;
  setInterest(interested: boolean): void;
}

const STEP_MS = 100;

export class LongPolling {
  readonly #clock: Clock;
  readonly #arrivals: Arrivals;
  /** By slot of the queue. */
  readonly #bySlot = new Map<number, ParkedPull[]>();
  /** By step of the deadline. */
  readonly #byStep = new Map<number, ParkedPull[]>();
  #count = 0;
  #timerStep = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, arrivals: Arrivals) {
    this.#clock = clock;
    this.#arrivals = arrivals;
  }

  /** Pulls that wait. */
  get count(): number {
    return this.#count;
  }

  park(pull: ParkedPull): void {
    listOf(this.#bySlot, pull.queue.slot).push(pull);
    const step = Math.ceil(pull.deadlineMs / STEP_MS);
    listOf(this.#byStep, step).push(pull);
    if (this.#count++ === 0) this.#arrivals.setInterest(true);
    this.#setTimer(step);
    // Between the look that found nothing and the declared interest a message may have come.
    if (this.#arrivals.maxOffset(pull.queue) > pull.offset) queueMicrotask(() => this.arrived(pull.queue));
  }

  /** The queue has grown. */
  arrived(queue: QueueHandle): void {
    const waiting = this.#bySlot.get(queue.slot);
    if (waiting === undefined) return;
    const maxOffset = this.#arrivals.maxOffset(queue);
    let kept = 0;
    for (const pull of waiting) {
      if (pull.done || (maxOffset > pull.offset && this.#attempt(pull, false))) continue;
      waiting[kept++] = pull;
    }
    if (kept === 0) this.#bySlot.delete(queue.slot);
    else waiting.length = kept;
  }

  #attempt(pull: ParkedPull, last: boolean): boolean {
    if (!pull.connection.closed && !pull.attempt(pull, last)) return false;
    pull.done = true;
    if (--this.#count === 0) this.#arrivals.setInterest(false);
    if (!pull.connection.closed) pull.connection.flush();
    return true;
  }

  #setTimer(step: number): void {
    if (step >= this.#timerStep) return;
    this.#timerStep = step;
    this.#clock.schedule(Math.max(0, step * STEP_MS - this.#clock.monotonicMs()), () => this.#expire(step));
  }

  #expire(step: number): void {
    if (step !== this.#timerStep) return;
    const now = Math.floor(this.#clock.monotonicMs() / STEP_MS);
    let next = Number.POSITIVE_INFINITY;
    for (const [due, pulls] of this.#byStep) {
      if (due > now && due !== step) {
        next = Math.min(next, due);
        continue;
      }
      this.#byStep.delete(due);
      for (const pull of pulls) {
        if (pull.done) continue;
        this.#attempt(pull, true);
        this.#forget(pull);
      }
    }
    this.#timerStep = Number.POSITIVE_INFINITY;
    if (next !== Number.POSITIVE_INFINITY) this.#setTimer(next);
  }

  #forget(pull: ParkedPull): void {
    const waiting = this.#bySlot.get(pull.queue.slot)?.filter((other) => other !== pull);
    if (waiting === undefined) return;
    if (waiting.length === 0) this.#bySlot.delete(pull.queue.slot);
    else this.#bySlot.set(pull.queue.slot, waiting);
  }

  /** Answers everybody at once: the broker is closing. */
  close(): void {
    for (const pulls of this.#byStep.values()) {
      for (const pull of pulls) if (!pull.done) this.#attempt(pull, true);
    }
    this.#byStep.clear();
    this.#bySlot.clear();
  }
}

function listOf(map: Map<number, ParkedPull[]>, key: number): ParkedPull[] {
  let list = map.get(key);
  if (list === undefined) {
    list = [];
    map.set(key, list);
  }
  return list;
}
