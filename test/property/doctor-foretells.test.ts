/**
 * Whatever is done to the log of a store that was killed, lost its power or was closed: what the doctor says of it is what
 * opening it then does, and what a repair and opening it do together.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { systemClock } from "#src/base/clock.js";
import type { Disk } from "#src/io/disk.js";
import { PHY_OFFSET_POSITION } from "#src/record/layout.js";
import type { StoreFacts } from "#src/recovery/doctor/store-facts.js";
import { exportMessages, type ExportFilter, type ExportReport } from "#src/store/export-messages.js";
import type { MessageLine } from "#src/store/message-line.js";
import { type RepairPlan, RepairPlanner } from "#src/recovery/repair/plan.js";
import { repairStore } from "#src/recovery/repair/repair.js";
import type { MessageStore } from "#src/store/message-store.js";
import { StorePaths } from "#src/store/store-directory.js";
import { PutStatus } from "#src/store/types.js";
import { counted, crashSeed, nextTurn } from "../crash/figures.js";
import { type Random, randomFrom } from "../crash/programs/random.mjs";
import { examine, USUAL_FACTS, type Verdict } from "../unit/recovery/doctor-fixture.js";
import { PowerDisk } from "./power-disk.js";
import {
  bodyOf,
  diskOf,
  emptyPutResult,
  imageOf,
  INDEX_SIZES,
  message,
  openStore,
  putNumbered,
  QUEUE_FILE_BYTES,
  ROOT,
  segmentPath,
  TickingClock,
} from "./store-fixture.js";

const SEGMENT_BYTES = 8 * 1024;
const LATER_MS = 1_770_000_000_000;
/** The system's runs as a MemoryDisk names its own, and one before. */
const BOOTS = { killed: "memory", closed: "memory", "power cut": "an earlier run" };

const FACTS: StoreFacts = {
  places: new StorePaths(ROOT, undefined),
  segmentBytes: SEGMENT_BYTES,
  queueFileBytes: QUEUE_FILE_BYTES,
  ...USUAL_FACTS,
  indexSizes: INDEX_SIZES,
  deletedTopics: new Map(),
};

type End = "killed" | "power cut" | "closed";

interface Left {
  readonly image: Map<string, Buffer>;
  /** Where the last batch begins, and its records after it. */
  readonly batch: number[];
  readonly usedBytes: number;
}

function putBatch(store: MessageStore, random: Random, number: number): number[] {
  const queue = store.queue("batches", 0);
  const count = random.integer(2, 7);
  const bodies = Array.from({ length: count }, (_, i) => bodyOf(number + i, random.integer(1, 200)));
  const result = emptyPutResult();
  const messages = bodies.map((body, i) => message(queue, body, { KEYS: `batch${number + i}` }));
  if (store.putBatch(messages, result) !== PutStatus.PUT_OK) throw new Error("the batch was not taken");
  expect(store.publish()).toBe(true);
  const places: number[] = [];
  for (let at = result.phyOffset; at < store.maxPhyOffset; ) {
    places.push(at);
    const segment = store.disk.readFile(segmentPath(SEGMENT_BYTES, Math.floor(at / SEGMENT_BYTES)))!;
    at += segment.readInt32BE(at % SEGMENT_BYTES);
  }
  return places;
}

/** A store as it is found after its end, before anybody hurts it. */
async function lived(random: Random, end: End): Promise<Left> {
  const disk = new PowerDisk(undefined, BOOTS[end]);
  const open = () => openStore(disk, SEGMENT_BYTES, { clock: new TickingClock() });
  let store = await open();
  let batch: number[] = [];
  const steps = random.integer(1, 5);
  for (let step = 0; step < steps; step++) {
    for (let count = random.integer(0, 20); count > 0; count--)
      putNumbered(store, step * 20 + count, random.integer(0, 300));
    if (random.chance(0.6)) batch = putBatch(store, random, step * 10);
    if (random.chance(0.3)) await store.whenFlushed(store.maxPhyOffset);
    if (random.chance(0.2)) {
      await store.close();
      store = await open();
    }
  }
  await store.settled();
  const usedBytes = store.maxPhyOffset;
  if (end === "closed") await store.close();
  const image = end === "power cut" ? disk.crash(random) : disk.kill();
  if (end !== "closed") await store.close();
  return { image: new Map(image), batch, usedBytes };
}

function change(image: Map<string, Buffer>, from: number, to: number, byteAt: (at: number) => number): void {
  for (let at = from; at < to; at++) {
    const segment = image.get(segmentPath(SEGMENT_BYTES, Math.floor(at / SEGMENT_BYTES)));
    if (segment !== undefined && at % SEGMENT_BYTES < segment.length) segment[at % SEGMENT_BYTES] = byteAt(at);
  }
}

/** Bytes written over, mostly near the end, or the first part of the last batch never written. */
function hurt({ image, batch, usedBytes }: Left, random: Random): void {
  if (batch.length > 1 && random.chance(0.5)) {
    const missing = random.integer(1, batch.length);
    const upTo = batch[missing]! - (random.chance(0.5) ? 0 : random.integer(1, 60));
    change(image, batch[0]!, upTo, () => 0);
    if (random.chance(0.3)) return;
  }
  for (let count = random.integer(0, 4); count > 0; count--) {
    const from = Math.max(
      0,
      random.chance(0.6) ? usedBytes - random.integer(1, 900) : random.integer(0, usedBytes + 1),
    );
    const to = from + (random.chance(0.5) ? random.integer(1, 5) : random.integer(1, 700));
    const fill = random.integer(0, 3);
    change(image, from, to, () => (fill === 0 ? 0 : fill === 1 ? 0xff : random.integer(0, 256)));
  }
}

interface Opened {
  readonly store: MessageStore;
  readonly served: string[];
  readonly lost: string[];
}

async function opened(disk: Disk): Promise<Opened> {
  const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock(LATER_MS) });
  await store.settled();
  const served: string[] = [];
  for (const { topic, queueId } of store.allQueues()) {
    const queue = store.queue(topic, queueId);
    for (let offset = store.minOffset(queue); offset < store.maxOffset(queue); offset++) {
      const record = store.lookUp.messageAt(queue, offset);
      if (record !== undefined) served.push(record.toString("latin1"));
    }
  }
  const lost = disk.list(`${ROOT}/lost+found`).filter((name) => name.startsWith("commitlog-"));
  return { store, served: [...new Set(served)].sort(), lost };
}

function stretches(damaged: Iterable<{ from: number; to: number }>, fromOffset: number): string[] {
  return [...damaged].filter(({ from }) => from >= fromOffset).map(({ from, to }) => `${from} ${to}`);
}

/** What recovery skips, without the blanks that the doctor tells from it. */
function skipped(store: MessageStore): string[] {
  const { damages } = store.recovery;
  return damages.map(({ fromOffset, toOffset }) => `${fromOffset} ${toOffset}`);
}

function planOf({ findings, report }: Verdict): RepairPlan {
  const planner = new RepairPlanner();
  for (const finding of findings) planner.take(finding);
  return planner.finish(report);
}

async function repaired(disk: Disk, verdict: Verdict): Promise<void> {
  const plan = planOf(verdict);
  await repairStore({ disk, clock: systemClock, facts: FACTS, segmentBytes: SEGMENT_BYTES, plan });
}

function exported(disk: Disk, filter: ExportFilter = {}): { lines: MessageLine[]; report: ExportReport } {
  const lines: MessageLine[] = [];
  const clock = new TickingClock(LATER_MS);
  const messages = exportMessages({ disk, clock, facts: FACTS, filter, bodyForm: "base64" });
  for (let step = messages.next(); ; step = messages.next()) {
    if (step.done === true) return { lines, report: step.value };
    lines.push(step.value);
  }
}

/** `unharmed`: records that the opened store gives, as they were put. */
function expectExport(image: Map<string, Buffer>, unharmed: readonly string[], { report }: Verdict): void {
  const all = exported(diskOf(image));
  expect(all.report.end).toMatchObject({ endOffset: report.endOffset });
  expect(all.report.end?.ending).toEqual(report.ending);
  const places = new Set(all.lines.map(({ phyOffset }) => phyOffset));
  for (const place of places) expect(place).toBeLessThan(report.endOffset);
  for (const record of unharmed)
    expect(places).toContain(Number(Buffer.from(record, "latin1").readBigInt64BE(PHY_OFFSET_POSITION)));
  // A filter may have the walk begin further on: that changes nothing.
  for (const { topic, queueId, queueOffset, storeTime } of all.lines.slice(-3)) {
    const inQueue = all.lines.filter((line) => line.topic === topic && line.queueId === queueId);
    expect(exported(diskOf(image), { topic, queueId, fromOffset: queueOffset }).lines).toEqual(
      inQueue.filter((line) => line.queueOffset >= queueOffset),
    );
    expect(exported(diskOf(image), { fromTime: storeTime }).lines).toEqual(
      all.lines.filter((line) => line.storeTime >= storeTime),
    );
  }
}

async function foretold(seed: number, end: End): Promise<void> {
  await nextTurn();
  const random = randomFrom(seed);
  const left = await lived(random, end);
  const sound = await opened(diskOf(left.image));
  await sound.store.close();
  hurt(left, random);
  const before = imageOf(diskOf(left.image));
  const verdict = examine(FACTS, diskOf(before));
  const { report, findings } = verdict;
  const ending = report.ending;

  if (ending?.refusal !== undefined) {
    await expect(opened(diskOf(before))).rejects.toThrow(ending.refusal);
    expect(planOf(verdict)).toMatchObject({ actions: [], refusal: ending.refusal });
    return;
  }
  const { store, served, lost } = await opened(diskOf(before));
  const { recovery } = store;
  expect(report.endOffset).toBe(recovery.endOffset);
  expect(ending?.tail.cutBytes ?? 0).toBe(recovery.cutBytes);
  if (recovery.cutBytes > 0) expect(ending?.reason).toBe(recovery.cutReason);
  expect(findings.some(({ code }) => code === "log.torn" || code === "log.stale")).toBe(recovery.cutBytes > 0);
  const shorter = findings.filter(({ code }) => code === "log.shorter" || code === "checkpoint.ahead").length > 0;
  if (recovery.lostBytes > 0) expect(shorter).toBe(true);
  expect(lost.length > 0).toBe(recovery.cutBytes > 0);
  // A blank in front of a segment's end is none of the doctor's damage, and starts need not read what they trust.
  if (recovery.fromOffset === report.beginOffset) {
    expect(stretches(report.damaged, recovery.fromOffset).length > 0).toBe(skipped(store).length > 0);
    expect(report.recordCount).toBe(recovery.recordCount);
  }
  for (const { fromOffset } of recovery.damages) expect(report.damaged.contains(fromOffset)).toBe(true);
  await store.close();
  expectExport(
    before,
    served.filter((record) => sound.served.includes(record)),
    verdict,
  );

  const mended = diskOf(before);
  await repaired(mended, verdict);
  const afterRepair = await opened(mended);
  expect(afterRepair.store.recovery.cutBytes).toBe(0);
  expect(afterRepair.store.recovery.endOffset).toBe(recovery.endOffset);
  // A record whose header was changed may claim another's place, and is served in one or the other.
  const isTaken = findings.some(({ code }) => code === "queue.taken-offsets");
  const unharmed = served.filter((record) => sound.served.includes(record));
  if (!isTaken) for (const record of unharmed) expect(afterRepair.served).toContain(record);
  await afterRepair.store.close();
}

describe("the doctor says before what opening does", () => {
  it.each<End>(["killed", "power cut", "closed"])("to a store that was: %s", async (end) => {
    const numRuns = Number(process.env.COMETMQ_DOCTOR_RUNS ?? 12);
    const seed = crashSeed();
    const run = async () => {
      await fc.assert(
        fc.asyncProperty(fc.nat(), (number) => foretold(number, end)),
        { numRuns, seed },
      );
      return numRuns;
    };
    await counted(`hurt logs that the doctor foretells, ${end}`, run, seed);
  });
});
