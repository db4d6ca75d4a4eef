/** Callers that wait for a place in the log to be reached: by the disk, or by dispatch. They come in order of places. */
import type { CometError } from "../base/errors.js";

interface Waiter {
  readonly position: number;
  readonly resolve: () => void;
  readonly reject: (error: CometError) => void;
}

export class PositionWaiters {
  #waiters: Waiter[] = [];

  wait(position: number): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ position, resolve, reject }));
  }

  /** `position` is reached. */
  settle(position: number): void {
    const waiters = this.#waiters;
    let count = 0;
    while (count < waiters.length && waiters[count]!.position <= position) waiters[count++]!.resolve();
    if (count > 0) this.#waiters = waiters.slice(count);
  }

  /** No place will be reached any more. */
  fail(error: CometError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }
}
