/**
 * The doctor on the stores Apache wrote: nothing false on sound ones, the damage and nothing else on the others; and what
 * it repairs is opened by Apache, which then sees every message that was intact.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { findStore } from "#src/cli/store-facts.js";
import { FileDisk } from "#src/io/file-disk.js";
import { ReadOnlyDisk } from "#src/io/read-only-disk.js";
import { QUARANTINE_TOPIC } from "#src/recovery/quarantine.js";
import { RepairPlanner } from "#src/recovery/repair/plan.js";
import { repairStore } from "#src/recovery/repair/repair.js";
import { surveyStore } from "#src/recovery/survey.js";
import { examine, overwrite, type Verdict } from "../unit/recovery/doctor-fixture.js";
import { apacheDump, apacheReopen, describeWithApache } from "./apache.js";
import { expectedLines, extractStore, storeNames } from "./golden-store.js";

/** What is wrong with a store, and how often; what is not listed has nothing. */
const FOUND: Record<string, Record<string, number>> = {
  "abort-no-checkpoint": { abort: 1, checkpoint: 1 },
  "abort-only": { abort: 1 },
  "corrupt-middle": { "log.crc": 1 },
  "corrupt-old": { "log.crc": 1 },
  // A start ends the log in front of its last record, and cuts what points at it.
  "corrupt-tail": { "log.torn": 1, "queue.beyond-log": 1, "index.beyond-log": 1 },
  "cq-behind": { "queue.entries-missing": 2 },
  "cq-lost": { "index.missing": 1, "queue.missing": 6 },
  "cq-lost-deep": { "index.missing": 1, "queue.missing": 4 },
  crashed: { abort: 1, "log.torn": 1, "queue.entries-missing": 6, "index.missing": 1 },
  "index-lost": { "index.missing": 1 },
};

interface StoreLine {
  readonly type: "store";
  readonly minPhyOffset: number;
  readonly maxPhyOffset: number;
}
interface LogLine {
  readonly type: "log";
  readonly offset: number;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly crcOk: boolean;
}
interface QueueLine {
  readonly type: "queue";
  readonly topic: string;
  readonly queueId: number;
  readonly minOffset: number;
  readonly maxOffset: number;
}
interface MessageLine {
  readonly type: "message";
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly commitLogOffset: number;
}

const factsOf = (dir: string) => findStore(new ReadOnlyDisk(), dir, undefined).facts;

function tally(codes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const code of codes) counts[code] = (counts[code] ?? 0) + 1;
  return counts;
}

function digest(directory: string): string {
  const hash = createHash("sha256");
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    hash.update(path);
    if (entry.isFile()) hash.update(readFileSync(path));
  }
  return hash.digest("hex");
}

async function repaired(dir: string): Promise<Verdict> {
  const facts = factsOf(dir);
  const { findings, report } = examine(facts);
  const planner = new RepairPlanner();
  for (const finding of findings) planner.take(finding);
  const plan = planner.finish(report);
  expect(plan.skipped).toEqual([]);
  const { segmentBytes } = report;
  await repairStore({ disk: new FileDisk("file"), clock: systemClock, facts, segmentBytes, plan });
  return examine(factsOf(dir));
}

test("batch queues of which the log has lost all messages go with a repair, and are kept", async () => {
  const { dir } = extractStore("clean");
  const first = expectedLines<LogLine>("clean", "log").find(({ topic }) => topic === "BatchCq")!;
  const { segmentBytes } = examine(factsOf(dir)).report;
  const log = join(dir, "store", "commitlog");
  for (const name of readdirSync(log)) if (Number(name) + segmentBytes > first.offset) rmSync(join(log, name));
  expect(tally(examine(factsOf(dir)).codes)["queue.beyond-log"]).toBeGreaterThan(1);
  const { codes } = await repaired(dir);
  expect(codes).toEqual([]);
  const lost = readdirSync(join(dir, "store", "lost+found"), { recursive: true });
  expect(lost).toContainEqual(expect.stringMatching(/batchconsumequeue\/BatchCq\/0\/0{20}$/));
});

test.each(storeNames())("%s", (name) => {
  const { dir } = extractStore(name);
  const before = digest(dir);
  const { codes, report } = examine(factsOf(dir));
  expect(tally(codes)).toEqual(FOUND[name] ?? {});
  expect(digest(dir)).toBe(before);

  // Apache cuts the log at damage; where it does not, both saw the same.
  const [seen] = expectedLines<StoreLine>(name, "store");
  const log = expectedLines<LogLine>(name, "log");
  if (name === "corrupt-middle") {
    expect(report.recordCount).toBeGreaterThanOrEqual(log.length);
  } else {
    expect(report.recordCount).toBe(log.filter(({ crcOk }) => crcOk).length);
    expect(report.endOffset).toBe(seen!.maxPhyOffset);
    expect(report.beginOffset).toBe(Math.max(0, seen!.minPhyOffset));
  }
});

test.each(["clean", "multi-segment", "broker", "broker-lmq", "head-deleted", "cq-ext", "prop-crc"])(
  "what inspect says of %s is what Apache says",
  (name) => {
    const { dir } = extractStore(name);
    const facts = factsOf(dir);
    const quick = surveyStore({ disk: new ReadOnlyDisk(), clock: systemClock, facts, count: false });
    const counted = surveyStore({ disk: new ReadOnlyDisk(), clock: systemClock, facts, count: true });
    const [seen] = expectedLines<StoreLine>(name, "store");
    const logCount = expectedLines<LogLine>(name, "log").length;
    for (const { endOffset } of [quick, counted]) expect(endOffset).toBe(seen!.maxPhyOffset);
    expect(counted.recordCount).toBe(logCount);
    expect(Math.abs(quick.recordCount - logCount)).toBeLessThan(logCount * 0.2);
    const wanted = expectedLines<QueueLine>(name, "queue")
      .filter(({ maxOffset }) => maxOffset > 0)
      .map(({ topic, queueId, minOffset, maxOffset }) => `${topic} ${queueId} ${minOffset} ${maxOffset}`);
    const found = quick.queues
      .filter(({ maxOffset }) => maxOffset > 0)
      .map(({ topic, queueId, minOffset, maxOffset }) => `${topic} ${queueId} ${minOffset} ${maxOffset}`);
    expect(found.toSorted()).toEqual(wanted.toSorted());
  },
);

/** Stores to be mended, and how many messages must be there afterwards. */
const MENDED: [string, number][] = [
  ["corrupt-middle", 399],
  ["corrupt-old", 399],
  ["corrupt-tail", 199],
  ["crashed", 439],
  ["cq-behind", 240],
  ["cq-lost", 300],
  ["cq-lost-deep", 360],
  ["index-lost", 260],
  ["abort-no-checkpoint", 300],
];

test.each(MENDED)("%s is mended", async (name, count) => {
  const { dir } = extractStore(name);
  const { codes, report } = await repaired(dir);
  expect(codes).toEqual([]);
  expect(report.recordCount).toBe(count);
  expect(report.queueEntryCount).toBe(count);
  expect(report.indexEntryCount).toBeGreaterThan(count);
});

/** A store of many segments with most kinds of damage at once. */
function ravage(dir: string): void {
  const segmentBytes = 28_672;
  const segment = (index: number) => join(dir, "store", "commitlog", String(index * segmentBytes).padStart(20, "0"));
  rmSync(segment(5));
  overwrite(segment(2), 9000, Buffer.alloc(40, 0x5a));
  overwrite(segment(9), 3000, Buffer.alloc(6000, 0xa5));
  overwrite(segment(12), 20_000, Buffer.alloc(segmentBytes - 20_000));
  overwrite(segment(14), 100, Buffer.alloc(2, 0xff));
  writeFileSync(segment(17), readFileSync(segment(17)).subarray(0, 20_000));
}

describeWithApache("Apache opens what was mended", () => {
  /** Every intact record, and every message of those that are in queues, where it belongs. */
  async function expectSeen(dir: string, count: number, ways: readonly string[][]): Promise<void> {
    const lines = (await apacheDump(dir)).map((line) => JSON.parse(line) as { type: string });
    const log = lines.filter(({ type }) => type === "log") as LogLine[];
    const intact = log.filter(({ topic }) => topic !== QUARANTINE_TOPIC);
    expect(log.filter(({ crcOk }) => !crcOk)).toEqual([]);
    expect(intact.length).toBe(count);
    const messages = lines.filter(({ type }) => type === "message") as MessageLine[];
    const places = new Set(messages.map((m) => `${m.topic} ${m.queueId} ${m.queueOffset} ${m.commitLogOffset}`));
    const missing = intact.filter((r) => !places.has(`${r.topic} ${r.queueId} ${r.queueOffset} ${r.offset}`));
    expect(missing).toEqual([]);
    for (const options of ways) {
      const reopened = await apacheReopen(dir, options);
      expect(JSON.parse(reopened.at(-1)!)).toMatchObject({ stage: "ok", appended: 10, notIndexed: 0 });
    }
  }

  const wanted = new Set(["corrupt-middle", "corrupt-old", "crashed", "cq-behind", "cq-lost-deep", "index-lost"]);
  // Apache's store takes five seconds to close.
  test.concurrent.each(MENDED.filter(([name]) => wanted.has(name)))("%s", async (name, count) => {
    const { dir } = extractStore(name);
    await repaired(dir);
    await expectSeen(dir, count, [["--append", "10"]]);
  });

  test.concurrent("a store with holes, cut segments, zeros and noise", async () => {
    const { dir } = extractStore("multi-segment");
    ravage(dir);
    const before = examine(factsOf(dir));
    expect(tally(before.codes.filter((code) => code.startsWith("log.")))).toEqual({
      "log.crc": 2,
      "log.damage": 3,
      "log.hole": 1,
      "log.size": 1,
    });
    const { codes } = await repaired(dir);
    expect(codes).toEqual([]);
    const ways = [
      ["--append", "10"],
      ["--abort", "--append", "10"],
    ];
    await expectSeen(dir, before.report.recordCount, ways);
  });
});

describe("a ravaged store", () => {
  test("is mended for us as well", async () => {
    const { dir } = extractStore("multi-segment");
    ravage(dir);
    const before = examine(factsOf(dir)).report;
    const { codes, report } = await repaired(dir);
    expect(codes).toEqual([]);
    expect(report.recordCount).toBe(before.recordCount);
    expect(report.recordCount).toBeGreaterThan(1000);
  });
});
