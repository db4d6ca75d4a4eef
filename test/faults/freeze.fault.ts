/**
 * A disk that stands still for a time, and then goes on. A device that takes nothing does not reach those who write into
 * the page cache. A file system that was frozen (fsfreeze, for a snapshot) does: the kernel holds whoever writes to one of
 * its pages or files, for as long as it lasts and beyond the reach of any signal, and with in-place appends that is the
 * thread that serves everybody, from the first message on that comes. Nothing may be lost by it, or be worse afterwards.
 */
import { join } from "node:path";
import { expect, test } from "vitest";
import { emptyHistory } from "./history.js";
import { Image } from "./images.js";
import { Committer, Load } from "./load.js";
import { heartbeat, Probe } from "./probe.js";
import { pause, say, seedOf, skipAloud, times, until } from "./scratch.js";
import { Server } from "./server.js";
import { readAll, verifyAll } from "./verify.js";

const MIB = 1024 * 1024;
const STOOD_STILL_MS = times(4000, 10_000);
/** For what was asked meanwhile to be answered, and for the pace to be the old one again, on a busy machine too. */
const RESUME_MS_MAX = 5000;
const HELD_BYTES_MAX = 100 * MIB;
const SLOW_BYTES = 2_000_000;
const KEEP_ALL = { cleanFileForciblyEnable: false, diskMaxUsedSpaceRatio: 100, diskSpaceWarningLevelRatio: 100 };
const FLUSH_TYPES = ["ASYNC_FLUSH", "SYNC_FLUSH"].slice(0, times(1, 2));

async function startOn(image: Image, config: Record<string, string | number>): Promise<Server> {
  return Server.start({ directory: join(image.directory, "server"), config: { ...KEEP_ALL, ...config } });
}

/** Largest since the call. */
function watchMemory(server: Server): { stop(): number } {
  let largest = server.privateBytes;
  const timer = setInterval(() => {
    largest = Math.max(largest, server.privateBytes);
  }, 100);
  return {
    stop() {
      clearInterval(timer);
      return largest;
    },
  };
}

test("a frozen file system, under those who read", async () => {
  const image = Image.make("ext4", 200);
  if (typeof image === "string") return skipAloud("a frozen file system", image);
  const { seed, random } = seedOf("frozen, readers");
  const history = emptyHistory();
  const server = await startOn(image, {});
  const load = new Load(server.port, { random, history });
  await until(() => load.ackedCount > 500, "acknowledgements");
  await load.stop();
  const committer = new Committer(server.port, history, "G", "T0");
  const probes = [new Probe(server.port), new Probe(server.port, heartbeat)];
  // Groups that are new are answered when they are saved; and nothing is left to be synced, or to be written to queues.
  await readAll(server.port, history);
  await pause(2000);
  const frozen = image.freeze(STOOD_STILL_MS);
  await pause(STOOD_STILL_MS / 2);
  const readers = emptyHistory();
  readers.sent.push(...history.sent);
  await readAll(server.port, readers);
  const { endedMs } = await frozen;
  for (const { atMs } of readers.seen) expect(atMs).toBeLessThan(endedMs);
  expect(readers.seen.length).toBeGreaterThanOrEqual(500);
  for (const probe of probes) {
    await probe.stop();
    expect(probe.failures).toBe(0);
    expect(probe.at(0.9)).toBeLessThan(500);
    expect(probe.at(1)).toBeLessThan(STOOD_STILL_MS / 2);
  }
  await committer.stop();
  const [others, heartbeats] = probes.map(({ figures }) => figures);
  say("C10", "frozen file system, readers", { ...(await verifyAll(server, history)), others, heartbeats, seed });
});

test.each(FLUSH_TYPES)("a frozen file system, under load, %s", async (flushDiskType) => {
  const image = Image.make("ext4", 400);
  if (typeof image === "string") return skipAloud("a frozen file system", image);
  const { seed, random } = seedOf(`frozen, ${flushDiskType}`);
  const history = emptyHistory();
  const server = await startOn(image, { flushDiskType });
  const load = new Load(server.port, { random, history });
  await until(() => load.ackedCount > 500, "acknowledgements");
  const memory = watchMemory(server);
  const before = server.privateBytes;
  const probe = new Probe(server.port, heartbeat);
  const { startedMs, endedMs } = await image.freeze(STOOD_STILL_MS);
  const answered = probe.latenciesMs.length;
  const resumedMs = await until(() => probe.latenciesMs.length > answered, "an answer to a heartbeat");
  const taken = load.ackedCount;
  const oldPaceMs = await until(() => load.ackedCount > taken + 200, "acknowledgements again");
  await load.stop();
  await probe.stop();
  const grownBytes = memory.stop() - before;
  // Nobody was cut off, given up or told anything wrong. Who has waited for the disk for 5 s hears FLUSH_DISK_TIMEOUT, as of
  // Apache: it is stored, and not known to be on the disk.
  const expected = flushDiskType === "SYNC_FLUSH" ? /busy|^10 / : /busy/;
  expect(probe.failures).toBe(0);
  expect([...load.refusals.keys()].filter((refusal) => !expected.test(refusal))).toEqual([]);
  expect(server.stderr).not.toMatch(/read-only/);
  expect(resumedMs).toBeLessThan(RESUME_MS_MAX);
  expect(oldPaceMs).toBeLessThan(RESUME_MS_MAX);
  expect(grownBytes).toBeLessThan(HELD_BYTES_MAX);
  // A page of a frozen file system takes nothing: what was acknowledged meanwhile would lie nowhere.
  const meanwhile = history.sent.filter(({ invokedMs, completedMs, outcome }) => {
    return outcome === "acked" && invokedMs > startedMs && completedMs < endedMs;
  });
  expect(meanwhile).toEqual([]);
  say("C10", `frozen file system, ${flushDiskType}`, {
    ...(await verifyAll(server, history)),
    frozenMs: Math.round(endedMs - startedMs),
    heartbeats: probe.figures,
    resumedMs: Math.round(resumedMs),
    refusals: Object.fromEntries(load.refusals),
    grownMiB: Math.round(grownBytes / MIB),
    seed,
  });
});

test.each(FLUSH_TYPES)("a device that takes nothing, then little, under load, %s", async (flushDiskType) => {
  const image = Image.make("ext4", 600);
  const reason = typeof image === "string" ? image : Image.whyNotSlow;
  if (typeof image === "string" || reason !== undefined) return skipAloud("a device that stands still", reason ?? "");
  const { seed, random } = seedOf(`device stands still, ${flushDiskType}`);
  const history = emptyHistory();
  const server = await startOn(image, { flushDiskType, mappedFileSizeCommitLog: 64 * MIB });
  const load = new Load(server.port, { random, history });
  await until(() => load.ackedCount > 500, "acknowledgements");
  const memory = watchMemory(server);
  const before = server.privateBytes;
  const probes = [new Probe(server.port), new Probe(server.port, heartbeat)];
  const { endedMs, startedMs } = await image.slowDown(1, STOOD_STILL_MS);
  await image.slowDown(SLOW_BYTES, STOOD_STILL_MS);
  const taken = load.ackedCount;
  await until(() => load.ackedCount > taken + 200, "acknowledgements again");
  await load.stop();
  const grownBytes = memory.stop() - before;
  for (const probe of probes) {
    await probe.stop();
    expect(probe.failures).toBe(0);
    expect(probe.at(0.9)).toBeLessThan(500);
    expect(probe.at(1)).toBeLessThan(STOOD_STILL_MS / 2);
  }
  // Who waits for a sync is told after 5 s that it is not known to be on the disk, as Apache tells.
  expect([...load.refusals.keys()].filter((refusal) => !/busy|^10 $/.test(refusal))).toEqual([]);
  expect(server.stderr).not.toMatch(/read-only/);
  expect(grownBytes).toBeLessThan(HELD_BYTES_MAX);
  const [others, heartbeats] = probes.map(({ figures }) => figures);
  say("C10", `device that stands still, then 2 MB/s, ${flushDiskType}`, {
    ...(await verifyAll(server, history)),
    stoodStillMs: Math.round(endedMs - startedMs),
    others,
    heartbeats,
    slowestSendMs: Math.round(load.slowestMs),
    refusals: Object.fromEntries(load.refusals),
    grownMiB: Math.round(grownBytes / MIB),
    seed,
  });
});
