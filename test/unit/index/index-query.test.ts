import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { IndexDirectory } from "#src/index/index-directory.js";
import { entryPosition, slotPosition } from "#src/index/index-file.js";
import { indexKeyHash } from "#src/index/index-key.js";
import { IndexQuery, type IndexQueryResult } from "#src/index/index-query.js";
import { IndexWriter } from "#src/index/index-writer.js";
import { FailingDisk } from "./failing-disk.js";

const TIME = 1762255040133;
const sizes = { maxHashSlotNum: 4, maxIndexNum: 1001 };
const HASH = indexKeyHash("Topic", "key", "K");
const SLOT = HASH % sizes.maxHashSlotNum;

let disk: FailingDisk;
let writer: IndexWriter;
let query: IndexQuery;
beforeEach(() => {
  disk = new FailingDisk();
  writer = new IndexWriter(IndexDirectory.load(disk, "index", sizes), systemClock);
  query = new IndexQuery(disk, "index", sizes);
});

const KEY = { topic: "Topic", key: "key", kind: "K" } as const;

function look(countMax = 64, beginMs = 0, endMs = Infinity, maxPhyOffset?: number): IndexQueryResult {
  return query.query({ ...KEY, countMax, beginMs, endMs }, maxPhyOffset);
}

/** Entries 1 to `count` of the key, a second apart. */
function fill(count: number): string {
  for (let i = 1; i <= count; i++) writer.put(HASH, i, TIME + i * 1000);
  writer.flush();
  return `index/${disk.list("index").at(-1)}`;
}

function poke(path: string, position: number, ...values: number[]): void {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => {
    bytes.writeInt32BE(value, i * 4);
  });
  const file = disk.openFile(path, false);
  file.writeAt(bytes, 0, bytes.length, position);
  file.close();
}

test("an index that is not there answers with nothing", () => {
  expect(look()).toEqual({
    phyOffsets: [],
    indexLastUpdateTimestamp: 0,
    indexLastUpdatePhyOffset: 0,
    isCutShort: false,
    problems: [],
  });
});

test("newest first, so many as asked for, across files", () => {
  fill(2500);
  expect(disk.list("index").length).toBe(3);
  const wanted = Array.from({ length: 2500 }, (_, i) => 2500 - i);
  expect(look(3000).phyOffsets).toEqual(wanted);
  expect(look(2500).phyOffsets).toEqual(wanted);
  expect(look(1234).phyOffsets).toEqual(wanted.slice(0, 1234));
  expect(look(1).phyOffsets).toEqual([2500]);
  expect(look(0).phyOffsets).toEqual([]);
  expect(look(-1).phyOffsets).toEqual([]);
  expect(look(1)).toMatchObject({ indexLastUpdateTimestamp: TIME + 2500_000, indexLastUpdatePhyOffset: 2500 });
});

test("times are those of the entries: whole seconds from the file's first", () => {
  writer.put(HASH, 1, TIME);
  writer.put(HASH, 2, TIME + 1999);
  writer.put(HASH, 3, TIME + 2000);
  writer.put(HASH, 4, TIME + 9500);
  writer.flush();
  expect(look(64, TIME, TIME + 1000).phyOffsets).toEqual([2, 1]);
  expect(look(64, TIME + 1999, TIME + 2000).phyOffsets).toEqual([3]);
  expect(look(64, TIME + 9500, TIME + 9500).phyOffsets).toEqual([]);
  expect(look(64, TIME + 9000, TIME + 9000).phyOffsets).toEqual([4]);
  expect(look(64, TIME + 9501, Infinity).phyOffsets).toEqual([]);
  expect(look(64, 0, TIME - 1).phyOffsets).toEqual([]);
  expect(look(64, Infinity, 0).phyOffsets).toEqual([]);
});

test("a window that ends before a file does still looks into older files", () => {
  fill(2500);
  expect(look(3000, TIME + 10_000, TIME + 12_000).phyOffsets).toEqual([12, 11, 10]);
  const beyond = look(3000, TIME + 2400_000, Infinity).phyOffsets;
  expect(beyond[0]).toBe(2500);
  expect(beyond.at(-1)).toBe(2400);
});

test("hashes that collide are all returned, others of the slot are not", () => {
  writer.put(indexKeyHash("Topic", "AaAa", "K"), 1, TIME);
  writer.put(indexKeyHash("Topic", "BBBB", "K"), 2, TIME);
  writer.put(indexKeyHash("Topic", "AaAa", "K") + sizes.maxHashSlotNum, 3, TIME);
  writer.flush();
  expect(query.query({ topic: "Topic", key: "AaBB", kind: "K", countMax: 64 }).phyOffsets).toEqual([2, 1]);
});

test("offsets at the log's end and past it are left out and do not count", () => {
  fill(10);
  expect(look(3, 0, Infinity, 5).phyOffsets).toEqual([4, 3, 2]);
});

test("foreign files and files of another size are passed over", () => {
  fill(3);
  disk.writeAtomically("index/29991231235959999", "short");
  disk.writeAtomically("index/readme", "x");
  expect(look()).toMatchObject({ phyOffsets: [3, 2, 1], problems: [] });
});

test("files that go are let go of, and few stay open", () => {
  fill(15_000);
  expect(disk.list("index").length).toBe(15);
  const openByWriter = disk.openCount;
  expect(look(20_000).phyOffsets.length).toBe(15_000);
  expect(disk.openCount - openByWriter).toBe(8);
  for (const name of disk.list("index").slice(0, 10)) disk.remove(`index/${name}`);
  expect(look(20_000).phyOffsets.length).toBe(5000);
  expect(disk.openCount - openByWriter).toBe(5);
  query.close();
  expect(disk.openCount).toBe(openByWriter);
  expect(look(20_000).phyOffsets.length).toBe(5000);
});

test("a frequent key is read in blocks", () => {
  fill(1000);
  disk.readCount = 0;
  expect(look(1000).phyOffsets.length).toBe(1000);
  expect(disk.readCount).toBeLessThan(8);
});

test("a walk that is too long is cut short, and says so", () => {
  fill(1000);
  const impatient = new IndexQuery(disk, "index", sizes, { visitedEntriesMax: 100 });
  const found = impatient.query({ topic: "Topic", key: "key", kind: "K", countMax: 1000 });
  expect(found.phyOffsets.length).toBe(100);
  expect(found.isCutShort).toBe(true);
  expect(impatient.query({ topic: "Topic", key: "key", kind: "K", countMax: 100 }).isCutShort).toBe(false);
});

test("in steps, the answers are the same, and none visits more than it may", () => {
  fill(2500);
  const stepEntries = 50;
  const patient = new IndexQuery(disk, "index", sizes, { stepEntries });
  const asked = [
    [3000, 0, Infinity],
    [1200, 0, Infinity],
    [3, TIME + 10_000, TIME + 12_000],
    [3000, TIME + 900_000, TIME + 1_100_000],
    [0, 0, Infinity],
  ] as const;
  for (const [countMax, beginMs, endMs] of asked) {
    const steps = patient.querySteps({ ...KEY, countMax, beginMs, endMs });
    let stepCount = 1;
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) stepCount++;
    expect(step.value).toEqual(look(countMax, beginMs, endMs));
    expect(stepCount).toBeGreaterThanOrEqual(Math.floor(step.value.phyOffsets.length / stepEntries));
  }
  patient.close();
});

test("files may go and come between two steps, and two searches may take turns", () => {
  fill(2500);
  const openByWriter = disk.openCount;
  const patient = new IndexQuery(disk, "index", sizes, { stepEntries: 50 });
  const all = look(3000).phyOffsets;
  query.close();
  const searches = [3000, 700].map((countMax) => patient.querySteps({ ...KEY, countMax }));
  const [first, second] = searches.map(() => [] as number[]);
  let removed = false;
  for (let open = searches.length; open > 0; ) {
    for (const [i, search] of searches.entries()) {
      const step = search.next();
      if (step.done !== true || step.value === undefined) continue;
      [first, second][i]!.push(...step.value.phyOffsets);
      open--;
      if (removed) continue;
      // The shorter search has ended; the longer one is in the middle file.
      disk.remove(`index/${disk.list("index")[0]!}`);
      patient.close();
      removed = true;
    }
  }
  expect(second).toEqual(all.slice(0, 700));
  expect(first).toEqual(all.slice(0, 1500));
  expect(disk.openCount).toBe(openByWriter);
});

describe("a damaged file", () => {
  test("whose slot points past the end answers with nothing and says why", () => {
    const path = fill(3);
    for (const value of [5, 1001, 2 ** 31 - 1, -1, -(2 ** 31)]) {
      poke(path, slotPosition(SLOT), value);
      const found = look();
      expect(found.phyOffsets).toEqual([]);
      expect(found.problems).toEqual([{ path, kind: "slot", detail: `slot ${SLOT} points at entry ${value}` }]);
    }
  });

  test("whose chain runs in a circle or forwards ends there", () => {
    const path = fill(5);
    for (const value of [3, 4, 5, 999, 2 ** 31 - 1, -1]) {
      poke(path, entryPosition(sizes, 3) + 16, value);
      const found = look();
      expect(found.phyOffsets).toEqual([5, 4, 3]);
      expect(found.problems).toEqual([{ path, kind: "entry", detail: `entry 3 points at entry ${value}` }]);
    }
  });

  test("whose entry has an impossible time ends there", () => {
    const path = fill(5);
    poke(path, entryPosition(sizes, 3) + 12, -1);
    expect(look()).toMatchObject({ phyOffsets: [5, 4], problems: [{ kind: "entry" }] });
  });

  test("whose entry points nowhere in the log is passed over", () => {
    const path = fill(5);
    poke(path, entryPosition(sizes, 3) + 4, -1);
    poke(path, entryPosition(sizes, 4) + 4, 2 ** 30);
    expect(look().phyOffsets).toEqual([5, 2, 1]);
  });

  test("whose header counts too much is read no further than it goes", () => {
    const path = fill(5);
    poke(path, 36, 2 ** 31 - 1);
    poke(path, slotPosition(SLOT), 1001);
    const found = look();
    expect(found.phyOffsets).toEqual([]);
    expect(found.problems.map(({ kind }) => kind)).toEqual(["header", "entry"]);
  });

  test("that became shorter is told", () => {
    const path = fill(5);
    expect(look().phyOffsets.length).toBe(5);
    const file = disk.openFile(path, false);
    file.truncate(entryPosition(sizes, 4));
    expect(look()).toMatchObject({ phyOffsets: [], problems: [{ kind: "entry", detail: "entry 5 is not readable" }] });
  });
});
