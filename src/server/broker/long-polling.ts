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
  /** Tries again; true when it has answered. With `last` it answers in any case. */
  readonly attempt: (pull: ParkedPull, last: boolean) => boolean;
}

/** What long polling needs of the store. */
export interface Arrivals {
  maxOffset(queue: QueueHandle): number;
  setInterest(interested: boolean): void;
}

const STEP_MS = 100;
/** As many as 10,000 clients have that read 25 queues each. */
const PARKED_MAX = 262_144;

export class LongPolling {
  readonly #clock: Clock;
  readonly #arrivals: Arrivals;
  readonly #parkedMax: number;
  /** By handle. A pull that is done is in no set any more. */
  readonly #byQueue = new Map<QueueHandle, Set<ParkedPull>>();
  /** By step of the deadline. */
  readonly #byStep = new Map<number, Set<ParkedPull>>();
  readonly #byConnection = new Map<Connection, Set<ParkedPull>>();
  #count = 0;
  #timerStep = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, arrivals: Arrivals, parkedMax = PARKED_MAX) {
    this.#clock = clock;
    this.#arrivals = arrivals;
    this.#parkedMax = parkedMax;
  }

  /** Pulls that wait. */
  get count(): number {
    return this.#count;
  }

  /** False when too many wait already. */
  park(pull: ParkedPull): boolean {
    if (this.#count >= this.#parkedMax) return false;
    const step = stepOf(pull);
    addTo(this.#byQueue, pull.queue, pull);
    addTo(this.#byStep, step, pull);
    if (addTo(this.#byConnection, pull.connection, pull)) pull.connection.onClose(() => this.#lost(pull.connection));
    if (this.#count++ === 0) this.#arrivals.setInterest(true);
    this.#setTimer(step);
    // Between the look that found nothing and the declared interest a message may have come.
    if (this.#arrivals.maxOffset(pull.queue) > pull.offset) queueMicrotask(() => this.arrived(pull.queue));
    return true;
  }

  /** The queue has grown, or has gone, which leaves it with nothing. */
  arrived(queue: QueueHandle): void {
    const waiting = this.#byQueue.get(queue);
    if (waiting === undefined) return;
    const maxOffset = this.#arrivals.maxOffset(queue);
    for (const pull of waiting) if (maxOffset !== pull.offset) this.#attempt(pull, false);
  }

  #attempt(pull: ParkedPull, last: boolean): void {
    const { connection } = pull;
    if (!connection.closed && !pull.attempt(pull, last)) return;
    this.#forget(pull);
    if (!connection.closed) connection.flush();
  }

  #forget(pull: ParkedPull): void {
    removeFrom(this.#byQueue, pull.queue, pull);
    removeFrom(this.#byStep, stepOf(pull), pull);
    // The empty set stays until the connection goes, for that is when it is told of it.
    this.#byConnection.get(pull.connection)?.delete(pull);
    if (--this.#count === 0) this.#arrivals.setInterest(false);
  }

  /** Nobody is there to be answered any more. */
  #lost(connection: Connection): void {
    for (const pull of this.#byConnection.get(connection) ?? []) this.#forget(pull);
    this.#byConnection.delete(connection);
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
      for (const pull of pulls) this.#attempt(pull, true);
    }
    this.#timerStep = Number.POSITIVE_INFINITY;
    if (next !== Number.POSITIVE_INFINITY) this.#setTimer(next);
  }

  /** Answers everybody at once: the broker is closing. */
  close(): void {
    for (const pulls of this.#byStep.values()) {
      for (const pull of pulls) this.#attempt(pull, true);
    }
  }
}

function stepOf(pull: ParkedPull): number {
  return Math.ceil(pull.deadlineMs / STEP_MS);
}

/** True when it is the first under its key. */
function addTo<Key>(map: Map<Key, Set<ParkedPull>>, key: Key, pull: ParkedPull): boolean {
  const there = map.get(key);
  there?.add(pull);
  if (there === undefined) map.set(key, new Set([pull]));
  return there === undefined;
}

function removeFrom<Key>(map: Map<Key, Set<ParkedPull>>, key: Key, pull: ParkedPull): void {
  const there = map.get(key);
  there?.delete(pull);
  if (there?.size === 0) map.delete(key);
}
