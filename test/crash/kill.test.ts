/**
 * SIGKILL under load, again and again over one store. A writer puts until it is killed at a random moment, which may be
 * while it recovers from the last time; then a checker recovers the store and holds everything against everything (see
 * programs/checker.mjs). Sometimes the checker does not close the store either, and sometimes something that is derived
 * from the log is taken away between two rounds, so that the next start, or the one after it, has to make it again.
 *
 *   COMETMQ_CRASH_ROUNDS=100   more rounds       COMETMQ_CRASH_SEED=n   the same moments again, as far as a machine can
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { chooseBackend } from "#src/io/file-disk.js";
import type { RecoveryReport } from "#src/recovery/recover.js";
import { crashRounds, pause, startProgram } from "./children.js";
import { counted, crashSeed } from "./figures.js";
import { type Random, randomFrom } from "./programs/random.mjs";

interface Checked {
  readonly ackCount: number;
  readonly recordCount: number;
  readonly recovery: RecoveryReport;
  readonly problems: string[];
}

/** Bounds what one round adds to a store that all later rounds check again. */
const MESSAGES_MAX = 15_000;
const STORE_ROUNDS_MAX = 10;
const STEP_TIMEOUT_MS = 120_000;
const BACKENDS = (["mmap-io", "koffi", "file"] as const).filter((backend) => {
  try {
    return chooseBackend(backend) === backend;
  } catch {
    return false;
  }
});

/** Takes something away that a start makes again from the log. */
function lose(store: string, random: Random): void {
  const queues = join(store, "consumequeue");
  const topics = readdirSync(queues);
  const queue = join(queues, topics[random.integer(0, topics.length)]!, "0");
  const losses = [
    () => rmSync(join(store, "dispatch.checkpoint"), { force: true }),
    () => rmSync(join(store, "index"), { recursive: true, force: true }),
    () => rmSync(queue, { recursive: true, force: true }),
    () => rmSync(join(queue, "0".repeat(20)), { force: true }),
  ];
  losses[random.integer(0, losses.length)]!();
}

async function round(directory: string, flushDiskType: string, number: number, seed: number): Promise<Checked> {
  const random = randomFrom(seed + number);
  const store = join(directory, "store");
  const backend = BACKENDS[random.integer(0, BACKENDS.length)];
  const losesSome = number > 0 && random.chance(0.2);
  if (losesSome) lose(store, random);
  const writer = startProgram("writer.mjs", {
    directory: store,
    backend,
    flushDiskType,
    seed: seed + number,
    round: number,
    ackPath: join(directory, `acks-${number}`),
    messagesMax: MESSAGES_MAX,
  });
  const whileOpening = number > 0 && random.chance(0.3);
  await writer.line(whileOpening ? "opening" : "ready", STEP_TIMEOUT_MS);
  await pause(random.integer(0, whileOpening ? 150 : 600));
  await writer.kill();
  const checker = startProgram("checker.mjs", {
    directory: store,
    backend,
    flushDiskType,
    ackPaths: Array.from({ length: number + 1 }, (_, i) => join(directory, `acks-${i}`)),
    indexStep: 1 + number * 3,
    closes: random.chance(0.6),
    mayMend: losesSome,
  });
  const checked = JSON.parse(await checker.finish(STEP_TIMEOUT_MS)) as Checked;
  // Before it has noted that it is open, a writer has changed nothing.
  if (!whileOpening) expect(checked.recovery.aborted).toBe(true);
  return checked;
}

async function killAgainAndAgain(flushDiskType: string, rounds: number): Promise<void> {
  const seed = crashSeed();
  const what = `killed under load, ${flushDiskType}, all checked`;
  const run = async () => {
    // Each store is checked whole every time: a new one now and then keeps that bearable.
    for (let done = 0; done < rounds; done += STORE_ROUNDS_MAX) {
      await killedRounds(flushDiskType, Math.min(STORE_ROUNDS_MAX, rounds - done), seed + done);
    }
    return rounds;
  };
  await counted(what, run, seed);
}

async function killedRounds(flushDiskType: string, rounds: number, seed: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-kill-"));
  let ackCount = 0;
  for (let number = 0; number < rounds; number++) {
    const checked = await round(directory, flushDiskType, number, seed);
    expect(checked.problems, `COMETMQ_CRASH_SEED=${seed}, round ${number}, left in ${directory}`).toEqual([]);
    expect(checked.recordCount).toBeGreaterThanOrEqual(checked.ackCount);
    expect(checked.ackCount).toBeGreaterThanOrEqual(ackCount);
    ackCount = checked.ackCount;
  }
  expect(ackCount).toBeGreaterThan(rounds * 20);
  rmSync(directory, { recursive: true, force: true });
}

it("loses nothing it has acknowledged, and serves nothing else, however often it is killed", async () => {
  await killAgainAndAgain("ASYNC_FLUSH", crashRounds(10));
}, 3_600_000);

it("does so in SYNC_FLUSH mode, too", async () => {
  await killAgainAndAgain("SYNC_FLUSH", crashRounds(4));
}, 3_600_000);
