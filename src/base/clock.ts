/** Time as an argument: tests and simulations own it. Wall time goes only into stored fields; durations are monotonic. */
export interface Clock {
  /** Milliseconds since 1970, an integer. */
  nowMs(): number;
  /** Milliseconds of a clock that never steps; the origin means nothing. */
  monotonicMs(): number;
  /**
   * Runs `task` once after `delayMs`; the timer does not keep the process alive. `lazily` is for upkeep whose rounds nobody
   * counts: where time jumps it may run later, once for several; a function says each time whether that is so now.
   */
  schedule(delayMs: number, task: () => void, lazily?: boolean | (() => boolean)): Timer;
}

export interface Timer {
  /** It does not run then; nothing where it has run already. */
  cancel(): void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  schedule(delayMs, task) {
    if (delayMs > TIMEOUT_MS_MAX) return scheduleFar(delayMs, task);
    const handle = setTimeout(task, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Node takes what is longer for a millisecond. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

function scheduleFar(delayMs: number, task: () => void): Timer {
  let timer = systemClock.schedule(TIMEOUT_MS_MAX, () => {
    timer = systemClock.schedule(delayMs - TIMEOUT_MS_MAX, task);
  });
  return { cancel: () => timer.cancel() };
}
