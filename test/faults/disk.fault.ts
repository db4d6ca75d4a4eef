/** Real file systems that are filled up, become read-only, or lose what was not synced. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkLost, emptyHistory, type History, type Sent } from "./history.js";
import { type FileSystem, Image, type Spell } from "./images.js";
import { Committer, Load } from "./load.js";
import { pause, roundsOf, say, scratchDirectory, seedOf, skipAloud, times, until } from "./scratch.js";
import { Server } from "./server.js";
import { Shim, type Sync } from "./shim.js";
import { apacheSees, doctorFindings, readAll, verifyAll } from "./verify.js";

const KIB = 1024;
/** Acknowledged so long before a power cut, a message is on the disk also without synchronous flush: 500 ms and a sync. */
const ASYNC_LOSS_MS = 3000;
const RESUME_MS_MAX = 5000;
/** The oldest messages are to stay, also where that leaves no room. */
const KEEP_ALL = { cleanFileForciblyEnable: false, diskMaxUsedSpaceRatio: 100, diskSpaceWarningLevelRatio: 100 };

/** `--cuts N`: that many of each kind, and nothing else need be run. */
const CUTS_ASKED = process.env.COMETMQ_CUTS === undefined ? undefined : Number(process.env.COMETMQ_CUTS);

test.each(["ASYNC_FLUSH", "SYNC_FLUSH"].slice(0, times(1, 2)))("a full disk, %s", async (flushDiskType) => {
  // Its messages alone must not fill it: see the pace of the load. What nobody writes takes no room.
  const image = Image.make("ext4", 1500);
  if (typeof image === "string") return skipAloud("a full disk", image);
  const { seed, random } = seedOf(`full disk, ${flushDiskType}`);
  const directory = join(image.directory, "server");
  const history = emptyHistory();
  const server = await Server.start({ directory, config: { flushDiskType, ...KEEP_ALL } });
  let slowestResumeMs = 0;
  let points = 0;
  // 24 senders of 2.5 KB every 4.5 ms: at most 13 MB a second, for 40 s and what the last round takes.
  const load = new Load(server.port, { random, history, bodyBytesMax: 4000, paceMs: 10 });
  const withWhatItSaid = (reason: Error): never => {
    const refusals = [...load.refusals].map(([what, count]) => `${count} × ${what}`);
    const what = `${reason.message} (round ${points}, ${load.ackedCount} acknowledged, ${image.freeBytes} bytes free)`;
    throw new Error([what, ...refusals, server.stderr].join("\n"));
  };
  await until(() => load.ackedCount > 100, "acknowledgements");
  const early = { ...emptyHistory(), sent: history.sent.filter(({ outcome }) => outcome === "acked") };
  // They are in their queues: of what dispatch had not come to before the disk was full nobody can read.
  await readAll(server.port, early);
  expect(checkLost(early, "all")).toEqual([]);
  for (const point of roundsOf("full disk", times(3, 20), 40)) {
    points = point;
    const taken = load.ackedCount;
    await until(() => load.ackedCount > taken + 20, "acknowledgements").catch(withWhatItSaid);
    const before = load.refusedCount;
    image.fill(point === 1 ? 0 : random.integer(0, 2500 * KIB));
    await until(() => load.refusedCount > before, "a refusal for want of room", 60_000).catch(withWhatItSaid);
    const readers = { ...emptyHistory(), sent: early.sent };
    await readAll(server.port, readers);
    expect(checkLost(readers, "all").slice(0, 5)).toEqual([]);
    const refused = load.ackedCount;
    image.empty();
    const resumedMs = await until(() => load.ackedCount > refused, "acknowledgements again").catch(withWhatItSaid);
    slowestResumeMs = Math.max(slowestResumeMs, resumedMs);
    await pause(random.integer(100, 600));
  }
  await load.stop();
  const refusals = [...load.refusals.keys()];
  expect(refusals.filter((refusal) => !/disk is full|disk full/.test(refusal))).toEqual([]);
  const figures = await verifyAll(server, history);
  expect(slowestResumeMs).toBeLessThan(RESUME_MS_MAX);
  say("C9", `full disk, ${flushDiskType}`, { points, ...figures, slowestResumeMs: Math.round(slowestResumeMs), seed });
});

/**
 * What was acknowledged after the cut had begun, and whether it is there. Nothing of it may be missing but by the word of
 * the kernel: a sync that it ended well after the cut had begun, and before the first acknowledgement of what is missing.
 */
function ofLate(late: readonly Sent[], history: History, cut: Spell, syncs: readonly Sync[] | undefined): object {
  const lost = late.filter((one) => checkLost({ ...history, sent: [one] }, "all").length > 0);
  const falseSyncs = syncs?.filter(({ isDone, endedMs }) => isDone && endedMs > cut.startedMs);
  const firstLostMs = Math.min(...lost.map(({ completedMs }) => completedMs));
  if (lost.length > 0 && falseSyncs !== undefined) {
    expect(falseSyncs.length).toBeGreaterThan(0);
    expect(falseSyncs[0]!.endedMs).toBeLessThan(firstLostMs);
  }
  const after = (ms: number | undefined) => (ms === undefined ? null : Math.round((ms - cut.startedMs) * 10) / 10);
  return {
    cutTookMs: after(cut.endedMs),
    lateAcks: late.length,
    lateLost: lost.length,
    firstLostAfterMs: lost.length === 0 ? null : after(firstLostMs),
    syncsDoneAfterMs: falseSyncs?.map(({ beganMs, endedMs }) => [after(beganMs), after(endedMs)]),
    syncFailedAfterMs: after(syncs?.find(({ isDone }) => !isDone)?.endedMs),
  };
}

async function cutOnce(type: FileSystem, flushDiskType: string, round: number): Promise<object | undefined> {
  // XFS wants 300 MB; what nobody writes takes no room.
  const image = Image.make(type, type === "xfs" ? 400 : 200);
  if (typeof image === "string") {
    skipAloud(`power cut on ${type}`, image);
    return undefined;
  }
  const { seed, random } = seedOf(`power cut ${round}, ${type}, ${flushDiskType}`);
  const directory = join(image.directory, "server");
  const config = { flushDiskType, ...KEEP_ALL };
  const history = emptyHistory();
  const shim = Shim.build(scratchDirectory("shim"));
  if (typeof shim === "string") skipAloud("the times of syncs", shim);
  const server = await Server.start({ directory, config, ...(typeof shim !== "string" && { env: shim.env }) });
  if (typeof shim !== "string") shim.watchSyncs("commitlog");
  const load = new Load(server.port, { random, history });
  const committer = new Committer(server.port, history, "G", "T0");
  await until(() => load.ackedCount > 200, "acknowledgements");
  await pause(random.integer(0, CUTS_ASKED === undefined ? 3000 : 800));
  const cut = await image.cutPower();
  // It may see errors, or die of them; the power is gone.
  await pause(type === "xfs" ? 1500 : random.integer(0, 300));
  const endedBy = server.running ? "still running" : await server.ended;
  // A page of a map that cannot be had is the end of any process: with XFS that is documented, and nothing else is.
  expect(type === "xfs" ? ["still running", "SIGBUS"] : ["still running"], server.stderr).toContain(endedBy);
  if (server.running) server.signal("SIGKILL");
  await server.ended;
  history.killsMs.push(cut.startedMs);
  await load.stop();
  await committer.stop();
  // A sync that was under way may end well on a device that is no more; of a real one nobody would have heard.
  const late: Sent[] = [];
  for (const one of history.sent) {
    if (one.completedMs < cut.startedMs || one.outcome !== "acked") continue;
    late.push({ ...one });
    one.outcome = "unknown";
  }
  image.remount();
  const next = await Server.start({ directory, config });
  if (flushDiskType === "SYNC_FLUSH") {
    const again = new Load(next.port, { random, history });
    await until(() => again.ackedCount > 100, "acknowledgements after the cut");
    await again.stop();
    const figures = await verifyAll(next, history, { apache: CUTS_ASKED === undefined || round === 1 });
    image.unmount();
    return {
      ...figures,
      ...ofLate(late, history, cut, typeof shim === "string" ? undefined : shim.syncs()),
      endedBy,
      seed,
    };
  }
  await readAll(next.port, history);
  expect(await next.stop()).toBe("0");
  const safe = {
    ...history,
    sent: history.sent.filter(({ completedMs }) => completedMs < cut.startedMs - ASYNC_LOSS_MS),
  };
  expect(checkLost(safe, "all").slice(0, 5)).toEqual([]);
  expect(doctorFindings(directory)).toEqual([]);
  const apache = await apacheSees(directory);
  if (apache !== undefined) expect(checkLost({ ...safe, seen: apache }, "apache").slice(0, 5)).toEqual([]);
  const lost = checkLost(history, "all").length;
  image.unmount();
  return { acked: history.sent.filter(({ outcome }) => outcome === "acked").length, lost, endedBy, seed };
}

const CUTS: readonly [FileSystem, string][] = [
  ["ext4", "SYNC_FLUSH"],
  ["xfs", "SYNC_FLUSH"],
  ["ext4", "ASYNC_FLUSH"],
  ["xfs", "ASYNC_FLUSH"],
];

test.each(CUTS.slice(0, times(2, CUTS.length)))("power cuts on %s, %s", async (type, flushDiskType) => {
  const seconds = CUTS_ASKED === undefined ? 35 : 1000;
  for (const round of roundsOf(`power cuts on ${type}`, CUTS_ASKED ?? times(1, 4), seconds)) {
    const figures = await cutOnce(type, flushDiskType, round);
    if (figures === undefined) return;
    say("C5", `power cut, ${type}, ${flushDiskType}`, figures);
  }
});

test.each<FileSystem>(["ext4", "xfs"])("a device of %s that becomes read-only", async (type) => {
  const image = Image.make(type, type === "xfs" ? 400 : 200);
  if (typeof image === "string") return skipAloud("a device that becomes read-only", image);
  const { seed, random } = seedOf(`read-only, ${type}`);
  const directory = join(image.directory, "server");
  const history = emptyHistory();
  const config = { flushDiskType: "SYNC_FLUSH", ...KEEP_ALL };
  const server = await Server.start({ directory, config });
  const load = new Load(server.port, { random, history });
  await until(() => load.ackedCount > 200, "acknowledgements");
  await image.turnReadOnly();
  await until(() => load.refusedCount > 0 || !server.running, "a refusal, or the end", 20_000);
  await pause(500);
  let served = 0;
  if (server.running) {
    const readers = emptyHistory();
    readers.sent.push(...history.sent.slice(0, 100));
    await readAll(server.port, readers);
    served = readers.seen.length;
  }
  const endedBy = server.running ? "still running" : await server.ended;
  // Of an XFS that has shut down nothing can be read: a page that was not touched before is a SIGBUS, a file an error.
  if (type === "ext4") expect(served).toBeGreaterThan(0);
  if (server.running) {
    expect(server.stderr).toMatch(/read-only/);
    if (served === 0) expect(server.stderr).toMatch(/EIO/);
    await server.stop(10_000);
  } else {
    expect([type, endedBy]).toEqual(["xfs", "SIGBUS"]);
  }
  await load.stop();
  image.remount();
  const next = await Server.start({ directory, config });
  say("C7", `device turns read-only, ${type}`, { ...(await verifyAll(next, history)), endedBy, served, seed });
});

test("a remount of a used device as read-only is refused by the kernel, and nothing happens", async () => {
  const image = Image.make("ext4", 100);
  if (typeof image === "string") return skipAloud("a read-only remount", image);
  const { random } = seedOf("remount");
  const history = emptyHistory();
  const server = await Server.start({ directory: join(image.directory, "server"), config: KEEP_ALL });
  const load = new Load(server.port, { random, history });
  await until(() => load.ackedCount > 100, "acknowledgements");
  expect(() => image.setReadOnly(true)).toThrow(/busy/);
  const before = load.ackedCount;
  await until(() => load.ackedCount > before + 100, "further acknowledgements");
  await load.stop();
  await verifyAll(server, history);
});
