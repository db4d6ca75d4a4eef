/**
 * The disk refuses: by a preloaded library that lets the C library's calls fail, and by the failpoints of src/io, at the
 * Nth call of a kind. The server goes on, or turns read-only and says why, or ends and says why; what it has acknowledged
 * is there when the disk is well again.
 */
import { expect, test } from "vitest";
import { emptyHistory, type History } from "./history.js";
import { Committer, Load } from "./load.js";
import { Probe } from "./probe.js";
import { LONG, pause, roundsOf, say, scratchDirectory, seedOf, skipAloud, times, until } from "./scratch.js";
import { Server } from "./server.js";
import { type CallName, ERRNO, Shim } from "./shim.js";
import { type VerifyOptions, verifyAll } from "./verify.js";

/** Queues and index are synced every 10 s, and the checkpoint is saved after that. */
const STRUCK_MS = 15_000;
const AFTER_MS = 1500;

interface Case {
  readonly calls: readonly CallName[];
  readonly error: keyof typeof ERRNO;
  readonly path: string;
  readonly flushDiskType?: string;
  readonly count?: number;
  /** What it must come to; otherwise either will do. */
  readonly expected?: "read-only" | "goes on";
}

const CASES: readonly Case[] = [
  { calls: ["SYNC"], error: "EIO", path: "/commitlog/", flushDiskType: "SYNC_FLUSH", count: 1, expected: "read-only" },
  { calls: ["SYNC"], error: "EIO", path: "/commitlog/", flushDiskType: "ASYNC_FLUSH", expected: "read-only" },
  { calls: ["WRITE"], error: "EIO", path: "/consumequeue/", flushDiskType: "SYNC_FLUSH" },
  { calls: ["ALLOCATE", "WRITE"], error: "ENOSPC", path: ".reserving", expected: "goes on" },
  { calls: ["OPEN"], error: "EMFILE", path: "/store/", count: 20, expected: "goes on" },
  { calls: ["WRITE"], error: "EIO", path: "/config/", expected: "goes on" },
  { calls: ["WRITE"], error: "ENOSPC", path: "/consumequeue/", expected: "goes on" },
  { calls: ["SYNC"], error: "EIO", path: "/consumequeue/", flushDiskType: "SYNC_FLUSH" },
  { calls: ["WRITE"], error: "EIO", path: "/index/" },
  { calls: ["MAP"], error: "EIO", path: "/commitlog/" },
  { calls: ["RENAME"], error: "EIO", path: "/config/", expected: "goes on" },
  { calls: ["WRITE"], error: "ENOSPC", path: "/config/", expected: "goes on" },
  { calls: ["WRITE", "SYNC"], error: "EIO", path: "/checkpoint" },
  { calls: ["ALLOCATE", "WRITE"], error: "EIO", path: ".reserving" },
  { calls: ["WRITE"], error: "EIO", path: "/commitlog/", expected: "read-only" },
  // Blocks of a segment are reserved; a file system that wants others for what is written there keeps no such promise.
  { calls: ["WRITE"], error: "ENOSPC", path: "/commitlog/", flushDiskType: "SYNC_FLUSH", expected: "read-only" },
  { calls: ["OPEN"], error: "EMFILE", path: "/consumequeue/", count: 3, expected: "goes on" },
  { calls: ["OPEN", "WRITE", "SYNC", "ALLOCATE", "MAP", "RENAME", "TRUNCATE"], error: "EROFS", path: "/store/" },
];

async function hurt(server: Server, load: Load, one: Case, shim: Shim): Promise<string> {
  shim.fail({ calls: one.calls, errno: ERRNO[one.error], path: one.path, ...(one.count && { count: one.count }) });
  const startedMs = performance.now();
  while (shim.struckCount === 0 && server.running && performance.now() - startedMs < STRUCK_MS) await pause(50);
  await pause(AFTER_MS);
  const isReadOnly = /store is read-only/.test(server.stderr);
  if (isReadOnly) {
    const before = load.ackedCount;
    await pause(AFTER_MS);
    expect(load.ackedCount, "acknowledged by a store that is read-only").toBe(before);
  }
  shim.heal();
  if (!server.running) return "ended";
  if (isReadOnly) return "read-only";
  const before = load.ackedCount;
  await until(() => load.ackedCount > before, "acknowledgements once the disk is well");
  return "goes on";
}

async function restartAndVerify(
  directory: string,
  history: History,
  load: Load,
  options: VerifyOptions = {},
): Promise<object> {
  // Offsets that could not be saved are not held against it.
  history.committed.length = 0;
  history.observed.length = 0;
  const next = await Server.start({ directory });
  load.moveTo(next.port);
  const before = load.ackedCount;
  await until(() => load.ackedCount > before + 50, "acknowledgements after the restart");
  await load.stop();
  return verifyAll(next, history, options);
}

for (const one of CASES.slice(0, times(6, CASES.length))) {
  const { calls, error, path, flushDiskType = "ASYNC_FLUSH" } = one;
  const what = `${calls.join(", ")} of ${path}: ${error}${one.count === undefined ? "" : `, ${one.count} times`}`;
  test(`${what}, ${flushDiskType}`, async () => {
    const { seed, random } = seedOf(what);
    const directory = scratchDirectory("io");
    const shim = Shim.build(directory);
    if (typeof shim === "string") return skipAloud("calls that fail", shim);
    const history = emptyHistory();
    const server = await Server.start({ directory, config: { flushDiskType }, env: shim.env });
    const load = new Load(server.port, { random, history, bodyBytesMax: 8000, paceMs: 3 });
    await until(() => load.ackedCount > 200, "acknowledgements");
    // Has files of config/ written.
    const committer = new Committer(server.port, history, "G", "T0");
    const probe = new Probe(server.port);
    const outcome = await hurt(server, load, one, shim);
    expect(shim.struckCount, "calls that failed").toBeGreaterThan(0);
    await probe.stop();
    await committer.stop();
    for (const refusal of load.refusals.keys()) expect(refusal).not.toContain("\n");
    if (outcome !== "ended") expect(probe.failures).toBe(0);
    if (one.expected !== undefined) expect(outcome, server.stderr).toBe(one.expected);
    if (outcome === "ended") expect(server.stderr).not.toBe("");
    else expect(["0", "1"], server.stderr).toContain(await server.stop());
    const figures = await restartAndVerify(directory, history, load);
    say("C7", what, { flushDiskType, outcome, struck: shim.struckCount, ...figures, others: probe.figures, seed });
  });
}

const POINTS = ["disk-sync", "disk-write", "disk-open", "disk-reserve", "disk-map", "disk-rename"];

test("the Nth call of a kind fails inside src/io", async () => {
  const { seed, random } = seedOf("failpoints of src/io");
  const outcomes = new Map<string, number>();
  let runs = 0;
  for (const run of roundsOf("failpoints of src/io", times(3, 24), 50)) {
    runs = run;
    const directory = scratchDirectory("failpoint");
    const history = emptyHistory();
    const stays = random.chance(0.5) ? "+" : "";
    const error = random.chance(0.7) ? "EIO" : "ENOSPC";
    const point = POINTS[(run + seed) % POINTS.length]!;
    const COMETMQ_FAILPOINT = `${point}:${random.integer(1, point === "disk-write" ? 400 : 40)}${stays}=${error}`;
    const config = { flushDiskType: random.chance(0.5) ? "SYNC_FLUSH" : "ASYNC_FLUSH" };
    const server = await Server.start({ directory, config, env: { COMETMQ_FAILPOINT } }).catch(
      (reason: Error) => reason,
    );
    if (server instanceof Error) expect(server.message, COMETMQ_FAILPOINT).toMatch(/did not start \(1\): .*COMETMQ_/s);
    const load = new Load(server instanceof Error ? 1 : server.port, {
      random,
      history,
      bodyBytesMax: 8000,
      paceMs: 3,
    });
    let outcome = "did not start";
    if (!(server instanceof Error)) {
      await pause(2000);
      outcome = !server.running ? "ended" : /store is read-only/.test(server.stderr) ? "read-only" : "goes on";
      if (server.running) expect(["0", "1"], server.stderr).toContain(await server.stop());
      else expect(server.stderr).not.toBe("");
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    await restartAndVerify(directory, history, load, { apache: LONG && run === 1 }).catch((reason: unknown) => {
      throw new Error(`${COMETMQ_FAILPOINT}, ${config.flushDiskType}`, { cause: reason });
    });
  }
  say("C7", "the Nth call fails inside src/io", { runs, ...Object.fromEntries(outcomes), seed });
});

test.each(["/store/", "/consumequeue/"].slice(0, times(1, 2)))("a slow disk: %s", async (path) => {
  const { seed, random } = seedOf("slow disk");
  const directory = scratchDirectory("slow");
  const shim = Shim.build(directory);
  if (typeof shim === "string") return skipAloud("a slow disk", shim);
  const history = emptyHistory();
  const server = await Server.start({ directory, config: { flushDiskType: "SYNC_FLUSH" }, env: shim.env });
  const load = new Load(server.port, { random, history });
  await until(() => load.ackedCount > 200, "acknowledgements");
  const probe = new Probe(server.port);
  shim.slow(["SYNC"], 1500, path);
  await pause(times(5000, 20_000));
  const slowedSyncs = shim.slowedCount;
  const { slowestMs } = load;
  shim.slow(["WRITE"], 50, "/consumequeue/");
  await pause(3000);
  shim.heal();
  await probe.stop();
  const before = load.ackedCount;
  await until(() => load.ackedCount > before + 200, "acknowledgements at the old pace");
  await load.stop();
  expect(slowedSyncs).toBeGreaterThan(0);
  expect(probe.failures).toBe(0);
  // Nobody but those who wait for the disk is kept waiting by it; the bound allows for a busy machine.
  expect(probe.at(0.9)).toBeLessThan(500);
  const figures = await verifyAll(server, history);
  say("C10", `syncs of 1.5 s, then writes of 50 ms: ${path}`, {
    ...figures,
    slowedSyncs,
    slowestSendMs: Math.round(slowestMs),
    others: probe.figures,
    seed,
  });
});
