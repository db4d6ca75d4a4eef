/**
 * Who waits for dispatch: for queues that grow, for all messages to be in their queues, or in the index. While anybody
 * does the dispatcher tells of what it has done, and the process stays.
 */
import type { CometError } from "../base/errors.js";
import type { Dispatch } from "../dispatch/dispatch.js";
import { PositionWaiters } from "./position-waiters.js";

export class DispatchWaits {
  readonly #dispatch: Dispatch;
  readonly #settled = new PositionWaiters();
  readonly #indexed = new PositionWaiters();
  #interest = 0;
  #holders = 0;
  #failure: CometError | undefined;
  #isClosing = false;

  constructor(dispatch: Dispatch) {
    this.#dispatch = dispatch;
  }

  get isInterested(): boolean {
    return this.#interest > 0;
  }

  /** Counts who wants to hear of arrivals. After turning it on, look at the queue once more before waiting. */
  setInterest(interested: boolean): void {
    this.#interest += interested ? 1 : -1;
    this.#dispatch.progress.setInterest(this.#interest > 0);
  }

  /** Counts who keeps the process, until the store is closed. */
  hold(change: 1 | -1): void {
    this.#holders += change;
    if (!this.#isClosing) this.#dispatch.holdProcess(this.#holders > 0);
  }

  settled(position: number): Promise<void> {
    if (this.#dispatch.progress.dispatched >= position) return Promise.resolve();
    return this.#wait(this.#settled, position);
  }

  indexed(position: number): Promise<void> {
    const { progress } = this.#dispatch;
    if (progress.indexed >= position) return Promise.resolve();
    progress.indexWanted = position;
    return this.#wait(this.#indexed, position);
  }

  #wait(waiters: PositionWaiters, position: number): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.setInterest(true);
    this.hold(1);
    const waiting = waiters.wait(position);
    this.#dispatch.wake();
    return waiting.finally(() => {
      this.setInterest(false);
      this.hold(-1);
    });
  }

  /** Dispatch has got further. */
  reached(): void {
    this.#settled.settle(this.#dispatch.progress.dispatched);
    this.#indexed.settle(this.#dispatch.progress.indexed);
  }

  /** It will get no further. */
  fail(error: CometError): void {
    this.#failure ??= error;
    this.#settled.fail(error);
    this.#indexed.fail(error);
  }

  /** The end is waited for by whoever closes the store: nobody else keeps the process. */
  close(): void {
    this.#isClosing = true;
  }
}
