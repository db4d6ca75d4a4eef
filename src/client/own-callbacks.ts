/**
 * The application's functions that a client waits for when it is closed. One of them may close the client itself, and then
 * neither must wait for the other: who calls is known by the asynchronous context.
 */
import { AsyncLocalStorage } from "node:async_hooks";

interface Call {
  readonly owner: OwnCallbacks;
  readonly outer: Call | undefined;
  isRunning: boolean;
}

const current = new AsyncLocalStorage<Call>();
/** Of all clients. */
let runningCount = 0;

export class OwnCallbacks {
  /** What `callback` gives, or rejects with what it throws. */
  async run<T>(callback: () => T | Promise<T>): Promise<T> {
    const call: Call = { owner: this, outer: current.getStore(), isRunning: true };
    runningCount++;
    try {
      return await current.run(call, callback);
    } finally {
      call.isRunning = false;
      // Before Node 24 every promise of the process pays for a context that is in use.
      if (--runningCount === 0) current.disable();
    }
  }

  /**
   * `closing`, for who may wait for it. In a callback of the same client that is still at work a turn of the event loop
   * later, and so waits itself: resolves then.
   */
  async closed(closing: Promise<void>): Promise<void> {
    if (!this.#isInside()) return closing;
    await new Promise((resolve) => setImmediate(resolve));
    if (!this.#isInside()) await closing;
  }

  #isInside(): boolean {
    for (let call = current.getStore(); call !== undefined; call = call.outer) {
      if (call.owner === this && call.isRunning) return true;
    }
    return false;
  }
}
