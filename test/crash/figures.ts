/**
 * What a test has tried, said on stdout and, for `npm run test:crash`, in the file COMETMQ_FIGURES names: one JSON line
 * each. COMETMQ_CRASH_FULL=1 asks for all cases, and not for the share that every change can afford.
 */
import { appendFileSync } from "node:fs";

export const FULL = process.env.COMETMQ_CRASH_FULL === "1";

/** COMETMQ_CRASH_SEED, or one from the clock; a failing test names it. */
export function crashSeed(): number {
  return Number(process.env.COMETMQ_CRASH_SEED ?? Date.now() % 1_000_000_007);
}

export interface Figure {
  readonly what: string;
  readonly cases: number;
  readonly secs: number;
  readonly seed?: number;
}

export function noteFigure({ what, cases, secs, seed }: Figure): void {
  const figure = { what, cases, secs: Math.round(secs * 10) / 10, ...(seed === undefined ? {} : { seed }) };
  process.stdout.write(`${JSON.stringify(figure)}\n`);
  if (process.env.COMETMQ_FIGURES !== undefined)
    appendFileSync(process.env.COMETMQ_FIGURES, `${JSON.stringify(figure)}\n`);
}

/** Runs `act`, then notes how many cases it says it was. */
export async function counted(what: string, act: () => Promise<number>, seed?: number): Promise<void> {
  const startedMs = performance.now();
  const cases = await act();
  noteFigure({ what, cases, secs: (performance.now() - startedMs) / 1000, ...(seed === undefined ? {} : { seed }) });
}

/**
 * Lets go of what a case has left. V8 collects array buffers in the turns of the event loop, and a test over memory
 * disks would have none: ten thousand cases later that is gigabytes.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

let passed = 0;

/** A turn now and then: what `nextTurn` is for costs too much where a case takes a millisecond. */
export async function nowAndThen(): Promise<void> {
  if (++passed % 16 === 0) await nextTurn();
}
