/** What the thread of `Pace` is told, and the clock that it shares with the others. */

export interface PaceTask {
  /** Of `process.hrtime`, which all threads share. */
  readonly startUs: number;
  readonly beatUs: number;
  /** 0: the last beat was not heard yet. 1: it was. 2: the end. */
  readonly cell: SharedArrayBuffer;
}

/** Microseconds of a clock that all threads of a machine share. */
export function monotonicUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}
