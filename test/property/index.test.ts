/**
 * The index against a naive model: a list of entries a file, chains made by looking through the list. Slots and entries
 * are few, so that chains grow long and files roll; files are closed and opened again anywhere; bytes are spoilt.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { CometError } from "#src/base/errors.js";
import { IndexDirectory } from "#src/index/index-directory.js";
import { entryPosition, INDEX_ENTRY_BYTES, indexFileBytes } from "#src/index/index-file.js";
import { indexKeyHash } from "#src/index/index-key.js";
import { IndexQuery } from "#src/index/index-query.js";
import { inspectIndexFile } from "#src/index/index-repair.js";
import { IndexWriter } from "#src/index/index-writer.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { FailingDisk } from "../unit/index/failing-disk.js";

const TIME = 1762255040133;
const KEYS = ["a", "b", "c", "AaAa", "BBBB", "long key", "ü"];
/** With topic T its hash is 0, as that of bytes that never reached the disk. */
const ZERO_KEY = "aWk_Yzz";

interface Entry {
  readonly keyHash: number;
  readonly phyOffset: number;
  readonly seconds: number;
}

interface ModelFile {
  begin: number;
  end: number;
  readonly entries: Entry[];
}

/** What Apache does, without files. */
class Model {
  readonly files: ModelFile[] = [];
  readonly #capacity: number;
  readonly #slots: number;

  constructor(maxHashSlotNum: number, maxIndexNum: number) {
    this.#slots = maxHashSlotNum;
    this.#capacity = maxIndexNum - 1;
  }

  put(keyHash: number, phyOffset: number, storeTimestamp: number): void {
    let file = this.files.at(-1);
    if (file === undefined || file.entries.length === this.#capacity) {
      const end = file?.end ?? 0;
      file = { begin: end, end, entries: [] };
      this.files.push(file);
    }
    const seconds = file.begin <= 0 ? 0 : Math.max(0, Math.trunc((storeTimestamp - file.begin) / 1000));
    if (file.entries.length === 0) file.begin = storeTimestamp;
    file.entries.push({ keyHash, phyOffset, seconds });
    file.end = storeTimestamp;
  }

  query(keyHash: number, maxCount: number, begin: number, end: number): number[] {
    const found: number[] = [];
    for (const file of [...this.files].reverse()) {
      const overlaps =
        (begin < file.begin && end > file.end) ||
        (begin >= file.begin && begin <= file.end) ||
        (end >= file.begin && end <= file.end);
      const chain = [...file.entries]
        .reverse()
        .filter((entry) => entry.keyHash % this.#slots === keyHash % this.#slots);
      for (const entry of overlaps ? chain : []) {
        if (found.length >= maxCount) break;
        const time = file.begin + entry.seconds * 1000;
        if (entry.keyHash === keyHash && time >= begin && time <= end) found.push(entry.phyOffset);
        if (time < begin) break;
      }
      if (file.begin < begin || found.length >= maxCount) break;
    }
    return found;
  }

  /** The log was cut. */
  truncate(phyOffset: number): void {
    const entries = this.files.flatMap((file) => file.entries);
    const kept = entries.filter((entry) => entry.phyOffset < phyOffset).length;
    let left = kept;
    for (const file of this.files) {
      file.entries.splice(Math.min(left, file.entries.length));
      left -= file.entries.length;
    }
    while (this.files.length > 0 && this.files.at(-1)!.entries.length === 0) this.files.pop();
    const last = this.files.at(-1);
    // Known to the second only, and the first entry's time is that of the file.
    if (last === undefined || kept === entries.length) return;
    last.end = last.begin + (last.entries.length === 1 ? 0 : last.entries.at(-1)!.seconds * 1000);
  }
}

const sizes = fc.record({
  maxHashSlotNum: fc.integer({ min: 1, max: 9 }),
  maxIndexNum: fc.integer({ min: 2, max: 12 }),
});
const hash = fc.constantFrom(...KEYS.map((key) => indexKeyHash("T", key, "K")));
const put = fc.record({
  type: fc.constant("put" as const),
  hash,
  gap: fc.nat(3),
  later: fc.integer({ min: -900, max: 5000 }),
});
const step = fc.oneof(
  { weight: 12, arbitrary: put },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("flush" as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("reopen" as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("cut" as const), back: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("expire" as const), part: fc.nat(100) }) },
);
const window = fc.tuple(fc.integer({ min: -5000, max: 200_000 }), fc.integer({ min: -5000, max: 200_000 }), fc.nat(40));

function expectAnswers(disk: MemoryDisk, layout: IndexDirectory["sizes"], model: Model, windows: number[][]): void {
  const query = new IndexQuery(disk, "index", layout);
  for (const key of KEYS) {
    const keyHash = indexKeyHash("T", key, "K");
    for (const [begin, end, max] of [[-TIME, Infinity, 1000], ...windows] as [number, number, number][]) {
      const found = query.query({
        topic: "T",
        key,
        kind: "K",
        countMax: max,
        beginMs: TIME + begin,
        endMs: TIME + end,
      });
      expect(found.problems).toEqual([]);
      expect(found.phyOffsets).toEqual(model.query(keyHash, max, TIME + begin, TIME + end));
    }
  }
  query.close();
}

test("whatever happens, the answers are the model's", async () => {
  await fc.assert(
    fc.asyncProperty(
      sizes,
      fc.array(step, { maxLength: 120 }),
      fc.array(window, { maxLength: 4 }),
      async (layout, steps, windows) => {
        const disk = new MemoryDisk();
        const model = new Model(layout.maxHashSlotNum, layout.maxIndexNum);
        let directory = IndexDirectory.load(disk, "index", layout);
        let writer = new IndexWriter(directory, systemClock);
        let phyOffset = 0;
        let time = TIME;
        for (const one of steps) {
          if (one.type === "put") {
            phyOffset += one.gap * 100;
            time += one.later;
            writer.put(one.hash, phyOffset, time);
            model.put(one.hash, phyOffset, time);
            continue;
          }
          writer.flush();
          if (one.type === "flush") expectAnswers(disk, layout, model, windows);
          if (one.type === "expire") {
            const before = Math.floor((phyOffset * one.part) / 100);
            const removed = directory.deleteExpired(before);
            for (let i = 0; i < removed; i++)
              expect(model.files.shift()!.entries.every((entry) => entry.phyOffset < before)).toBe(true);
          }
          if (one.type !== "reopen" && one.type !== "cut") continue;
          await writer.close();
          directory = IndexDirectory.load(disk, "index", layout);
          expect(directory.problems).toEqual([]);
          if (one.type === "cut") {
            directory.truncateAfter(phyOffset - one.back * 50);
            model.truncate(phyOffset - one.back * 50);
            for (const file of directory.files) expect(inspectIndexFile(file)).toBe("");
          }
          writer = new IndexWriter(directory, systemClock);
        }
        await writer.close();
        expectAnswers(disk, layout, model, windows);
        expect(disk.list("index").length).toBe(model.files.length);
      },
    ),
    { numRuns: 300 },
  );
});

/** An index of `count` entries at offsets 10, 20, …, a second apart. */
async function build(layout: IndexDirectory["sizes"], hashes: number[]): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const writer = new IndexWriter(IndexDirectory.load(disk, "index", layout), systemClock);
  hashes.forEach((keyHash, i) => {
    writer.put(keyHash, (i + 1) * 10, TIME + i * 1000);
  });
  await writer.close();
  return disk;
}

const spoilt = fc.array(fc.tuple(fc.nat(10_000), fc.oneof(fc.constantFrom(0, 0xff, 0x80, 1), fc.nat(255))), {
  minLength: 1,
  maxLength: 12,
});

test("spoilt bytes never hang or throw, invent no offset, and are mended by a repair", async () => {
  await fc.assert(
    fc.asyncProperty(
      sizes,
      fc.array(hash, { minLength: 1, maxLength: 60 }),
      spoilt,
      async (layout, hashes, changes) => {
        const disk = await build(layout, hashes);
        const names = disk.list("index");
        for (const [at, value] of changes) {
          const path = `index/${names[at % names.length]}`;
          disk.openFile(path, false).writeAt(Uint8Array.of(value), 0, 1, at % indexFileBytes(layout));
        }
        const query = new IndexQuery(disk, "index", layout);
        for (const key of KEYS) {
          for (const begin of [0, TIME + 3000]) {
            const found = query.query({ topic: "T", key, kind: "K", countMax: 1000, beginMs: begin });
            expect(found.phyOffsets.length).toBeLessThanOrEqual(names.length * layout.maxIndexNum);
            for (const phyOffset of found.phyOffsets)
              expect(Number.isSafeInteger(phyOffset) && phyOffset >= 0).toBe(true);
          }
        }
        query.close();

        const directory = IndexDirectory.load(disk, "index", layout);
        directory.repairAfter(-1);
        directory.truncateAfter(hashes.length * 10 + 1);
        const again = IndexDirectory.load(disk, "index", layout);
        const writer = new IndexWriter(again, systemClock);
        expect(writer.endPhyOffset).toBeLessThanOrEqual(hashes.length * 10);
        const next = (hashes.length + 1) * 10;
        writer.put(indexKeyHash("T", "new", "K"), next, TIME + 10 ** 6);
        await writer.close();
        expect(inspectIndexFile(again.last!)).toBe("");
        expect(
          new IndexQuery(disk, "index", layout).query({ topic: "T", key: "new", kind: "K", countMax: 64 })
            .phyOffsets[0],
        ).toBe(next);
      },
    ),
    { numRuns: 500 },
  );
});

/** What recovery does: repair, cut to the log, replay what the index does not have. Then every key is there, once. */
async function expectRecovered(disk: MemoryDisk, layout: IndexDirectory["sizes"], hashes: number[]): Promise<void> {
  const directory = IndexDirectory.load(disk, "index", layout);
  directory.repairAfter(0);
  directory.truncateAfter(hashes.length * 10 + 1);
  const writer = new IndexWriter(directory, systemClock);
  const from = writer.endPhyOffset;
  hashes.forEach((keyHash, i) => {
    if ((i + 1) * 10 > from) writer.put(keyHash, (i + 1) * 10, TIME + i * 1000);
  });
  await writer.close();
  for (const file of directory.files) expect(inspectIndexFile(file)).toBe("");
  const query = new IndexQuery(disk, "index", layout);
  for (const key of [...KEYS, ZERO_KEY]) {
    const keyHash = indexKeyHash("T", key, "K");
    const wanted = hashes.flatMap((one, i) => (one === keyHash ? [(i + 1) * 10] : [])).reverse();
    expect(query.query({ topic: "T", key, kind: "K", countMax: 1000 }).phyOffsets).toEqual(wanted);
  }
}

/** Several disk sectors to a file. */
const sectors = fc.record({
  maxHashSlotNum: fc.integer({ min: 1, max: 300 }),
  maxIndexNum: fc.integer({ min: 60, max: 150 }),
});
const many = fc.array(fc.oneof({ weight: 7, arbitrary: hash }, fc.constant(0)), { minLength: 1, maxLength: 250 });

/** The files of the first `synced` entries, and of all that was written after them the sectors that `keep` says. */
async function loseSectors(
  layout: IndexDirectory["sizes"],
  hashes: number[],
  synced: number,
  keep: Iterator<boolean>,
): Promise<MemoryDisk> {
  const disk = await build(layout, hashes.slice(0, Math.min(synced, hashes.length)));
  const later = await build(layout, hashes);
  const names = disk.list("index");
  for (const [i, laterName] of later.list("index").entries()) {
    const bytes = later.readFile(`index/${laterName}`)!;
    const file = disk.openFile(`index/${names[i] ?? laterName}`, true);
    file.truncate(bytes.length);
    for (let at = 0; at < bytes.length; at += 512) {
      if (keep.next().value) file.writeAt(bytes, at, Math.min(512, bytes.length - at), at);
    }
  }
  return disk;
}

test("whenever the process is killed, recovery brings every key back", async () => {
  await fc.assert(
    fc.asyncProperty(
      sectors,
      many,
      fc.nat(40),
      fc.integer({ min: 1, max: 50 }),
      async (layout, hashes, survived, flushEvery) => {
        const disk = new FailingDisk();
        const writer = new IndexWriter(IndexDirectory.load(disk, "index", layout), systemClock);
        disk.writesLeft = survived;
        try {
          hashes.forEach((keyHash, i) => {
            writer.put(keyHash, (i + 1) * 10, TIME + i * 1000);
            if (i % flushEvery === 0) writer.flush();
          });
        } catch (error) {
          expect(error).toBeInstanceOf(CometError);
        }
        disk.writesLeft = Infinity;
        // Making a file is length and header; the failing disk tidies up between them, a killed process would not.
        await expectRecovered(disk, layout, hashes);
      },
    ),
    { numRuns: 200 },
  );
});

test("whichever sectors of the unsynced writes reached the disk, recovery brings every key back", async () => {
  await fc.assert(
    fc.asyncProperty(
      sectors,
      many,
      fc.nat(250),
      fc.infiniteStream(fc.boolean()),
      async (layout, hashes, synced, keep) => {
        const disk = await loseSectors(layout, hashes, synced, keep);
        await expectRecovered(disk, layout, hashes);
      },
    ),
    { numRuns: 600 },
  );
});

/**
 * The second of three entries lies across the sectors at 512 and 1024: with 4, 8, 12 or 16 bytes in the first one. Once
 * only the rest of an entry was there, 8 bytes in, it was taken for one whose key has hash 0.
 */
test("of an entry across two sectors either one may be lost", async () => {
  const [a, b] = ["a", "b"].map((key) => indexKeyHash("T", key, "K")) as [number, number];
  const sectorCount = 5;
  for (const maxHashSlotNum of [232, 233, 234, 235]) {
    const layout = { maxHashSlotNum, maxIndexNum: 60 };
    expect(Math.ceil(indexFileBytes(layout) / 512)).toBe(sectorCount);
    const inFirstSector = 1024 - entryPosition(layout, 2);
    expect(inFirstSector).toBe((236 - maxHashSlotNum) * 4);
    for (const hashes of [
      [81906, 239624694, a],
      [a, b, a],
      [a, 0, b],
      [0, 0, 0],
    ]) {
      for (let synced = 0; synced <= hashes.length; synced++) {
        for (let kept = 0; kept < 2 ** sectorCount; kept++) {
          const keep = Array.from({ length: sectorCount }, (_, sector) => (kept & (1 << sector)) !== 0);
          await expectRecovered(await loseSectors(layout, hashes, synced, keep.values()), layout, hashes);
        }
      }
    }
  }
});

test("a key of hash 0 is in order where nothing can be torn", async () => {
  const layout = { maxHashSlotNum: 234, maxIndexNum: 60 };
  expect(indexKeyHash("T", ZERO_KEY, "K")).toBe(0);
  const disk = await build(layout, [0, 0, 0]);
  const { files } = IndexDirectory.load(disk, "index", layout);
  expect(files.map(inspectIndexFile)).toEqual([""]);
  await expectRecovered(disk, layout, [0, 0, 0]);
});

test("entries lie where the layout says", () => {
  fc.assert(
    fc.property(sizes, fc.nat(11), (layout, number) => {
      expect(entryPosition(layout, number)).toBe(40 + 4 * layout.maxHashSlotNum + INDEX_ENTRY_BYTES * number);
    }),
  );
});
