/**
 * Where the fault suite keeps its files, how long it runs, and what it says. Every directory and mount of a run lies below
 * one directory, which the runner (run.mjs) clears away, whatever became of the tests.
 */
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import { type Random, randomFrom } from "../crash/programs/random.mjs";

/** Without COMETMQ_FAULTS_LONG=1 each fault is tried a few times only. */
export const LONG = process.env.COMETMQ_FAULTS_LONG === "1";

const closers: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** After the test, the last one first. */
export function onEnd(close: () => Promise<void> | void): void {
  closers.push(close);
}

export function scratchDirectory(name: string): string {
  const root = process.env.COMETMQ_FAULTS_DIR ?? join(tmpdir(), "cometmq-faults");
  mkdirSync(root, { recursive: true });
  const directory = mkdtempSync(join(root, `${name}-`));
  onEnd(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  return directory;
}

/** `few` times in the short cut. */
export function times(few: number, many: number): number {
  return LONG ? many : few;
}

/**
 * Rounds from 1 on, at most so many; none begins after `seconds`, so that the whole suite keeps to its quarter of an hour
 * also on a machine that has other work. What was left out is said aloud.
 */
export function* roundsOf(what: string, count: number, seconds: number): Generator<number> {
  const endMs = performance.now() + seconds * 1000;
  for (let round = 1; round <= count; round++) {
    if (round > 1 && performance.now() > endMs) {
      skipAloud(`${what}: ${count - round + 1} of ${count} rounds`, `${seconds} s are over`);
      return;
    }
    yield round;
  }
}

/** COMETMQ_FAULTS_SEED, or one from the clock: said with the figures, and enough to have the same load again. */
export function seedOf(what: string): { seed: number; random: Random } {
  const seed = Number(process.env.COMETMQ_FAULTS_SEED ?? Date.now() % 1_000_000_007);
  process.stdout.write(`${what}: seed ${seed}\n`);
  return { seed, random: randomFrom(seed) };
}

/** A line of figures on stdout, and in the file COMETMQ_FIGURES names. */
export function say(row: string, what: string, figures: object): void {
  const line = `${JSON.stringify({ row, what, ...figures })}\n`;
  process.stdout.write(line);
  if (process.env.COMETMQ_FIGURES !== undefined) appendFileSync(process.env.COMETMQ_FIGURES, line);
}

/** Says by name what is left out, and why. */
export function skipAloud(what: string, reason: string): void {
  process.stderr.write(`skipped: ${what}: ${reason}\n`);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks every 20 ms until it holds; how long that took. */
export async function until(condition: () => unknown, what: string, patienceMs = 30_000): Promise<number> {
  const startedMs = performance.now();
  while (!(await condition())) {
    if (performance.now() - startedMs > patienceMs) throw new Error(`not within ${patienceMs} ms: ${what}`);
    await pause(20);
  }
  return performance.now() - startedMs;
}
