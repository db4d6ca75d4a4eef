/**
 * When the dispatch thread is woken: a sleeping thread is dear to wake, so it is done for every turn only while somebody
 * waits for a message that dispatch alone can show, and else now and then.
 */
import type { Clock } from "../base/clock.js";
import type { Dispatch } from "../dispatch/dispatch.js";
import type { DispatchWaits } from "./dispatch-waits.js";
import type { StoreQueue } from "./store-queue.js";

/** Without anybody waiting for messages the dispatcher is woken after so many bytes, or so much time. */
const WAKE_BYTES = 8 * 1024 * 1024;
const WAKE_MS = 10;
/** How long a reader of a queue's very end may be held up while dispatch does what is left. */
const CATCH_UP_MS = 5;

export class DispatchWakes {
  readonly #dispatch: Dispatch;
  readonly #waits: DispatchWaits;
  readonly #clock: Clock;
  #wokenAt: number;
  #timerSet = false;
  /** Behind the last message that somebody may wait for, and behind the last of them that dispatch alone can show. */
  #loudEnd = Number.POSITIVE_INFINITY;
  #newsEnd = Number.POSITIVE_INFINITY;

  constructor(dispatch: Dispatch, waits: DispatchWaits, clock: Clock, appendPosition: number) {
    this.#dispatch = dispatch;
    this.#waits = waits;
    this.#clock = clock;
    this.#wokenAt = appendPosition;
  }

  /** What lies before `position` of the log was appended, and somebody may wait for it; `isShown`: he can read it. */
  hasNews(position: number, isShown: boolean): void {
    this.#loudEnd = position;
    if (!isShown) this.#newsEnd = position;
  }

  /** What lies before `position` may be dispatched. */
  confirm(position: number): void {
    this.#dispatch.progress.confirmed = position;
    if (position - this.#wokenAt >= WAKE_BYTES) this.#now();
  }

  /** At the end of a turn in which something was confirmed. */
  soon(): void {
    if ((this.#waits.isInterested && this.#newsEnd > this.#wokenAt) || !this.#dispatch.threaded) {
      this.#now();
      return;
    }
    if (this.#timerSet) return;
    this.#timerSet = true;
    this.#clock.schedule(WAKE_MS, () => {
      this.#timerSet = false;
      this.#now();
    });
  }

  /** Somebody begins to wait: what dispatch alone can show, and has not yet, is wanted now. */
  ifBehind(): void {
    const { progress } = this.#dispatch;
    if (progress.dispatched < Math.min(progress.confirmed, this.#newsEnd)) this.#dispatch.wake();
  }

  #now(): void {
    this.#wokenAt = this.#dispatch.progress.confirmed;
    this.#newsEnd = Math.min(this.#newsEnd, this.#wokenAt);
    this.#dispatch.wake();
  }

  /**
   * Waits, for some milliseconds at most, until what was put before this call can be read through its queue and, where no
   * queue is named, is in its files; quiet ones are only waited for by who names one. False when it took too long.
   */
  catchUp(queue: StoreQueue | undefined): boolean {
    const { progress } = this.#dispatch;
    const news = queue === undefined ? this.#loudEnd : this.#newsEnd;
    const wanted = queue?.quiet ? progress.confirmed : Math.min(progress.confirmed, news);
    if (progress.dispatched >= wanted) return true;
    this.#dispatch.wake();
    return progress.awaitDispatched(wanted, CATCH_UP_MS);
  }
}
