/** Waiting that a signal ends: all that the client waits for goes through here. */
import { setMaxListeners } from "node:events";
import type { Clock } from "../base/clock.js";
import { TimeoutError } from "./errors.js";

/** Many wait for one signal, and that is no leak: so Node does not warn of it. */
export function sharedSignal(signal: AbortSignal): AbortSignal {
  setMaxListeners(0, signal);
  return signal;
}

/** `promise`, or the signal's reason, whichever is first. What comes later of `promise` is dropped. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const aborted = () => reject(signal.reason);
    if (signal.aborted) aborted();
    else sharedSignal(signal).addEventListener("abort", aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", aborted));
  });
}

/** `promise`, or TimeoutError, which begins with `what`, after `timeoutMs`. */
export function within<T>(clock: Clock, timeoutMs: number, promise: Promise<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.schedule(timeoutMs, () => reject(new TimeoutError(`${what} within ${timeoutMs} ms.`)));
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}

/** `client` once it has started; closed, when that fails or the signal is aborted before. */
export async function orClosed<T extends { close(): Promise<void> }>(
  client: T,
  starting: Promise<void>,
  signal: AbortSignal | undefined,
): Promise<T> {
  try {
    await abortable(starting, signal);
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

/** Resolves after `delayMs`; at once, without an error, when the signal is or gets aborted. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const done = () => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.schedule(delayMs, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/** A task that runs every `intervalMs` until `stop`, never twice at a time. Its errors are the task's own to handle. */
export class Periodic {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #task: () => Promise<void> | void;
  #timer: { cancel(): void } | undefined;
  #stopped = false;

  constructor(clock: Clock, intervalMs: number, task: () => Promise<void> | void) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#task = task;
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    if (!this.#stopped) this.#timer = this.#clock.schedule(this.#intervalMs, () => void this.#run());
  }

  async #run(): Promise<void> {
    try {
      await this.#task();
    } finally {
      this.#arm();
    }
  }
}

/** Wakes those who wait for a change. */
export class Bell {
  readonly #waiting = new Set<() => void>();

  ring(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves at the next ring, after `delayMs`, or when the signal is aborted. */
  wait(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        timer.cancel();
        this.#waiting.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = clock.schedule(delayMs, done);
      this.#waiting.add(done);
      signal?.addEventListener("abort", done, { once: true });
      if (signal?.aborted) done();
    });
  }
}
