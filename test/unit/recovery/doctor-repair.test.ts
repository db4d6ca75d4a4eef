/** Repairs: planned before done, every byte kept, and what was sound is served as before. */
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { segmentName } from "#src/commitlog/segment-queue.js";
import { FileDisk } from "#src/io/file-disk.js";
import { ReadOnlyDisk } from "#src/io/read-only-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import { RECORD_BYTES_MIN } from "#src/record/layout.js";
import { encodeFiller, fillerBytesMin, fillerLengths, QUARANTINE_TOPIC } from "#src/recovery/quarantine.js";
import { planRebuild } from "#src/recovery/repair/plan.js";
import { repairStore } from "#src/recovery/repair/repair.js";
import { int32, int64, SEGMENT_BYTES, SmallStore, type Stored, tickingClock } from "./doctor-fixture.js";

const COUNT = 60;
let store: SmallStore;

beforeEach(async () => {
  store = await SmallStore.make(COUNT);
});

const line = ({ topic, queueId, queueOffset, body }: Stored) => `${topic}/${queueId}/${queueOffset} ${body}`;
const sound = (lost: readonly Stored[]) => store.messages.filter((message) => !lost.includes(message));

/** All files below a directory with their content. */
function snapshot(directory: string): Map<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(directory.length), readFileSync(path, "base64")];
    }),
  );
}

/** Served after a repair: everything sound, at its offset; offsets of lost messages give another one's body. */
async function expectServed(lost: readonly Stored[]): Promise<void> {
  const { codes } = store.examine();
  expect(codes).toEqual([]);
  const served = await store.served();
  for (const message of sound(lost)) expect(served).toContain(line(message));
  for (const message of lost) expect(served).not.toContain(line(message));
  expect(served.filter((text) => text.endsWith("nothing"))).toEqual([]);
}

test("a sound store needs none", async () => {
  const before = snapshot(store.directory);
  const { plan } = await store.repair();
  expect(plan).toEqual({ actions: [], skipped: [], refusal: undefined });
  const added = [...snapshot(store.directory)].filter(([path, content]) => before.get(path) !== content);
  expect(added.map(([path]) => path)).toEqual([expect.stringMatching(/^\/lost\+found\/repair-.*\/plan\.json$/)]);
});

test("two repairs within a second keep what each has taken out", async () => {
  const stopped = { ...systemClock, nowMs: () => 1_700_000_000_000 };
  const plan = planRebuild([{ topic: "Orders", queueId: 0 }], true);
  const options = { disk: new FileDisk("file"), clock: stopped, facts: store.facts, segmentBytes: SEGMENT_BYTES, plan };
  const places = [(await repairStore(options)).lostDirectory, (await repairStore(options)).lostDirectory];
  expect(new Set(places).size).toBe(2);
  for (const place of places) expect(readdirSync(place).sort()).toEqual(["consumequeue", "index", "plan.json"]);
  await expectServed([]);
});

describe("a damaged record becomes a filler", () => {
  test.each([
    ["in the middle of its queue", 25],
    ["the first of the log", 0],
  ])("%s", async (_, index) => {
    const victim = store.messages[index]!;
    const before = readFileSync(store.segmentPath(victim.phyOffset)).subarray(
      victim.phyOffset % SEGMENT_BYTES,
      (victim.phyOffset % SEGMENT_BYTES) + victim.sizeBytes,
    );
    store.damage(victim.phyOffset + 90, Uint8Array.of(0, 0));
    const { plan, report } = await store.repair();
    expect(plan.actions.map(({ kind }) => kind)).toEqual(["fill", "rebuild-queues", "write-checkpoint"]);
    await expectServed([victim]);

    const filler = decodeRecord(
      readFileSync(store.segmentPath(victim.phyOffset)).subarray(victim.phyOffset % SEGMENT_BYTES),
    );
    expect(filler).toMatchObject({ topic: QUARANTINE_TOPIC, storeSize: victim.sizeBytes, phyOffset: victim.phyOffset });
    const kept = readFileSync(
      join(report.lostDirectory, "commitlog", `${String(victim.phyOffset).padStart(20, "0")}-${victim.sizeBytes}`),
    );
    expect(kept.length).toBe(victim.sizeBytes);
    expect(kept.subarray(0, 90)).toEqual(before.subarray(0, 90));
    expect(kept.subarray(92)).toEqual(before.subarray(92));
    expect([...kept.subarray(90, 92)]).toEqual([0, 0]);
  });

  test("but not the last of the log: it is cut off, as a start does", async () => {
    const victim = store.messages.at(-1)!;
    store.damage(victim.phyOffset + 90, Uint8Array.of(0, 0));
    const { plan, report } = await store.repair();
    const kinds = ["cut-tail", "rebuild-queues", "rebuild-index", "write-checkpoint"];
    expect(plan.actions.map(({ kind }) => kind)).toEqual(kinds);
    const name = `${String(victim.phyOffset).padStart(20, "0")}-${victim.sizeBytes}`;
    expect(readFileSync(join(report.lostDirectory, "commitlog", name)).length).toBe(victim.sizeBytes);
    await expectServed([victim]);
    expect(store.examine().codes).toEqual([]);
  });

  test("many, with headers gone, over segments", async () => {
    const victims = [3, 4, 5, 20, 31, 32, 50].map((index) => store.messages[index]!);
    for (const { phyOffset } of victims) store.damage(phyOffset, int32(0));
    await store.repair();
    await expectServed(victims);
  });

  test("the queue keeps its length: no offset is given out twice", async () => {
    const victim = store.lastOf("Orders", 0);
    store.damage(victim.phyOffset + 90, Uint8Array.of(0));
    await store.repair();
    const { notes } = store.examine();
    expect(notes).toContain("queue.lost-message");
    await store.grow(6);
    const next = store.messages.slice(COUNT).find(({ topic, queueId }) => topic === "Orders" && queueId === 0)!;
    expect(next.queueOffset).toBe(victim.queueOffset + 1);
    await expectServed([victim]);
  });
});

describe("the files of the log", () => {
  test("a hole is bridged", async () => {
    rmSync(store.segmentPath(SEGMENT_BYTES));
    const lost = store.messages.filter(({ phyOffset }) => Math.floor(phyOffset / SEGMENT_BYTES) === 1);
    const { plan } = await store.repair();
    expect(plan.actions.map(({ kind }) => kind)).toEqual([
      "make-segments",
      "rebuild-queues",
      "rebuild-index",
      "write-checkpoint",
    ]);
    await expectServed(lost);
  });

  test("the rest of a segment becomes a blank", async () => {
    const { phyOffset } = store.messages[25]!;
    store.damage(phyOffset, new Uint8Array(2 * SEGMENT_BYTES - phyOffset).fill(7));
    const lost = store.messages.filter((m) => m.phyOffset >= phyOffset && m.phyOffset < 2 * SEGMENT_BYTES);
    await store.repair();
    await expectServed(lost);
  });

  test("lengths are mended, what is too much is kept", async () => {
    writeFileSync(store.segmentPath(0), Buffer.concat([readFileSync(store.segmentPath(0)), Buffer.from("more")]));
    truncateSync(store.segmentPath(SEGMENT_BYTES), 1000);
    const { report } = await store.repair();
    const lost = store.messages.filter(
      ({ phyOffset, sizeBytes }) => phyOffset + sizeBytes > SEGMENT_BYTES + 1000 && phyOffset < 2 * SEGMENT_BYTES,
    );
    await expectServed(lost);
    expect(
      readFileSync(join(report.lostDirectory, "commitlog", `${String(SEGMENT_BYTES).padStart(20, "0")}-4`), "utf8"),
    ).toBe("more");
  });

  test("segments of no use that lie apart behind the log's end: told, refused, and kept in lost+found", async () => {
    const next = SEGMENT_BYTES * store.examine().report.segmentCount;
    const apart = [next + SEGMENT_BYTES, next + 2 * SEGMENT_BYTES];
    for (const base of apart) writeFileSync(store.segmentPath(base), new Uint8Array(SEGMENT_BYTES));
    expect(store.examine().codes).toEqual(["log.hole", "log.hole"]);
    await expect(store.open()).rejects.toMatchObject({ code: "COMETMQ_STORE_CORRUPT" });
    const { report } = await store.repair();
    const kept = readdirSync(report.lostDirectory, { recursive: true }).map(String);
    for (const base of apart) expect(kept.some((path) => path.endsWith(segmentName(base)))).toBe(true);
    await expectServed([]);
  });

  test("a torn tail is cut", async () => {
    const { endOffset } = store.examine().report;
    store.damage(endOffset, Buffer.alloc(50, 3));
    const { plan, report } = await store.repair();
    expect(plan.actions.map(({ kind }) => kind)).toEqual(["cut-tail", "write-checkpoint"]);
    await expectServed([]);
    expect(readdirSync(join(report.lostDirectory, "commitlog"))).toEqual([`${String(endOffset).padStart(20, "0")}-50`]);
  });

  test("what nobody can mend is left alone and told", async () => {
    writeFileSync(join(store.directory, "commitlog", "notes"), "x");
    writeFileSync(join(store.directory, "commitlog", "00000000000000000007"), new Uint8Array(SEGMENT_BYTES));
    const { plan } = await store.repair();
    expect(plan.actions).toEqual([]);
    expect(plan.skipped.map(({ code }) => code)).toEqual(["log.foreign", "log.misaligned"]);
    expect(plan.refusal).toContain("00000000000000000007");
  });
});

describe("what is built from the log", () => {
  test("queues and index that were lost", async () => {
    rmSync(store.paths.consumeQueue, { recursive: true });
    rmSync(store.paths.index, { recursive: true });
    await store.repair();
    await expectServed([]);
    expect(store.examine().report.indexEntryCount).toBe(2 * COUNT);
  });

  test("a queue with wrong entries; the old one is kept", async () => {
    store.damageEntry("Payments", 0, 3, 0, int64(0));
    const { report, plan } = await store.repair();
    expect(plan.actions[0]).toMatchObject({ kind: "rebuild-queues", queues: [{ topic: "Payments", queueId: 0 }] });
    await expectServed([]);
    expect(existsSync(join(report.lostDirectory, "consumequeue/Payments/0/00000000000000000000"))).toBe(true);
    expect(existsSync(join(report.lostDirectory, "consumequeue/Orders"))).toBe(false);
  });

  test("a queue of which the log has no message any more goes on where it was", async () => {
    const old = new SmallStore();
    await old.grow(20, tickingClock(), () => "Early");
    await old.grow(COUNT);
    const { phyOffset } = old.messages.findLast(({ topic }) => topic === "Early")!;
    for (let base = 0; base <= phyOffset; base += SEGMENT_BYTES) rmSync(old.segmentPath(base));
    old.damageEntry("Early", 1, 15, 0, Uint8Array.of(1));
    const { plan } = await old.repair();
    expect(plan.actions[0]).toMatchObject({ queues: [{ topic: "Early", queueId: 1 }] });
    expect(old.examine().codes).toEqual([]);
    await old.grow(4, tickingClock(), () => "Early");
    expect(old.messages.slice(-4).map(({ queueId, queueOffset }) => [queueId, queueOffset])).toEqual([
      [0, 10],
      [1, 10],
      [0, 11],
      [1, 11],
    ]);
  });

  test("offsets that no queue can have do not fill the disk", async () => {
    const victim = store.messages[25]!;
    store.damage(victim.phyOffset + 20, int64(2 ** 40));
    const { codes } = store.examine();
    expect(codes).toEqual(["queue.impossible-offset", "queue.no-record"]);
    const { plan, report } = await store.repair();
    expect(plan.skipped.map(({ code }) => code)).toEqual(["queue.impossible-offset"]);
    expect(report.rebuilt).toMatchObject({ leftOutCount: 1, lostEntryCount: 1 });
    expect(store.examine().codes).toEqual(["queue.impossible-offset"]);
  });

  test("not even at a queue's beginning", async () => {
    const first = store.messages[0]!;
    rmSync(store.paths.consumeQueue, { recursive: true });
    store.damage(first.phyOffset + 20, int64(2 ** 40));
    await store.repair();
    const { codes } = store.examine();
    expect(codes).toEqual(["queue.entries-missing"]);
    const served = await store.served();
    for (const message of sound([first])) expect(served).toContain(line(message));
  });

  test("an index file of another length than the others have", async () => {
    const directory = store.paths.index;
    const [first] = readdirSync(directory).sort();
    truncateSync(join(directory, first!), 100);
    expect(store.examine().codes).toEqual(["index.structure"]);
    await expect(store.open()).rejects.toThrow(/100 bytes.*cometmq store repair/);
    await store.repair();
    await expectServed([]);
  });

  test("a queue with a file whose name is beyond all offsets", async () => {
    writeFileSync(join(store.paths.consumeQueue, "Orders", "0", "9".repeat(20)), "strange");
    expect(store.examine().codes).toEqual(["queue.size"]);
    await expect(store.open()).rejects.toMatchObject({ code: "COMETMQ_STORE_LAYOUT" });
    await store.repair();
    await expectServed([]);
  });

  test("asked for by name", async () => {
    rmSync(store.paths.index, { recursive: true });
    rmSync(join(store.paths.consumeQueue, "Orders"), { recursive: true });
    const common = { disk: new FileDisk("file"), clock: systemClock, facts: store.facts, segmentBytes: SEGMENT_BYTES };
    await repairStore({ ...common, plan: planRebuild([{ topic: "Orders", queueId: 0 }], false) });
    expect(store.examine().codes.toSorted()).toEqual(["index.missing", "queue.missing"]);
    await repairStore({ ...common, plan: planRebuild("all", true) });
    expect(store.examine().codes).toEqual([]);
  });

  test("checkpoints and the abort file", async () => {
    writeFileSync(store.paths.checkpoint, "nonsense");
    writeFileSync(store.paths.dispatchCheckpoint, "{}");
    writeFileSync(store.paths.abort, "1");
    const { report } = await store.repair();
    expect(existsSync(store.paths.abort)).toBe(false);
    expect(readFileSync(join(report.lostDirectory, "checkpoint"), "utf8")).toBe("nonsense");
    expect(readdirSync(report.lostDirectory).toSorted()).toEqual([
      "abort",
      "checkpoint",
      "dispatch.checkpoint",
      "plan.json",
    ]);
    await expectServed([]);
  });
});

test("planning changes nothing", () => {
  store.damage(200, int32(0));
  const before = snapshot(store.directory);
  store.examine({}, new ReadOnlyDisk());
  expect(snapshot(store.directory)).toEqual(before);
});

describe("fillers", () => {
  test.each([
    [fillerBytesMin(false), false],
    [RECORD_BYTES_MIN + QUARANTINE_TOPIC.length, false],
    [fillerBytesMin(true), true],
    [5000, true],
  ])("of %i bytes, with a whole-record CRC: %s", (length, propertyCrc) => {
    const damaged = Buffer.alloc(length, 0xab);
    const filler = encodeFiller(damaged, 4711, 1234, propertyCrc);
    const { topic, body, phyOffset, storeTimestamp, properties } = decodeRecord(filler);
    expect(filler.length).toBe(length);
    expect({ phyOffset, storeTimestamp }).toEqual({ phyOffset: 4711, storeTimestamp: 1234 });
    expect(properties.has("__CRC32#")).toBe(propertyCrc);
    expect(body.every((byte) => byte === 0xab)).toBe(true);
    expect(length > RECORD_BYTES_MIN + 40 ? topic : QUARANTINE_TOPIC).toBe(QUARANTINE_TOPIC);
  });

  test("a long stretch becomes several, each long enough", () => {
    for (const length of [92, 1024 * 1024, 1024 * 1024 + 1, 3_000_000, 5 * 1024 * 1024 + 91]) {
      const lengths = fillerLengths(length, false);
      expect(lengths.reduce((sum, part) => sum + part, 0)).toBe(length);
      expect(Math.min(...lengths)).toBeGreaterThanOrEqual(fillerBytesMin(false));
      expect(Math.max(...lengths)).toBeLessThanOrEqual(1024 * 1024);
    }
  });
});
