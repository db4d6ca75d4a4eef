import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "#src/base/clock.js";
import { assertIndexSizes, IndexDirectory } from "#src/index/index-directory.js";
import { entryPosition, indexFileBytes, slotPosition } from "#src/index/index-file.js";
import { inspectIndexFile } from "#src/index/index-repair.js";
import { IndexWriter } from "#src/index/index-writer.js";
import { FailingDisk } from "./failing-disk.js";

const TIME = 1762255040133;
const sizes = { maxHashSlotNum: 5, maxIndexNum: 11 };

let disk: FailingDisk;
beforeEach(() => {
  disk = new FailingDisk();
});

function load(): IndexDirectory {
  return IndexDirectory.load(disk, "index", sizes);
}

/** Entries at log offsets 100, 200, …, a second apart; ten to a file. */
async function fill(count: number): Promise<IndexDirectory> {
  const directory = load();
  const writer = new IndexWriter(directory, systemClock);
  for (let i = 1; i <= count; i++) writer.put(i * 3, i * 100, TIME + i * 1000);
  await writer.close();
  return directory;
}

function contents(): Buffer[] {
  return disk.list("index").map((name) => disk.readFile(`index/${name}`)!);
}

function poke(path: string, position: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  disk.openFile(path, false).writeAt(bytes, 0, 4, position);
}

describe("loading", () => {
  test("finds the files in order with their headers", async () => {
    await fill(25);
    const directory = load();
    expect(directory.problems).toEqual([]);
    expect(directory.files.map((file) => file.header.indexCount)).toEqual([11, 11, 6]);
    expect(directory.files.map((file) => file.header.endPhyOffset)).toEqual([1000, 2000, 2500]);
    expect(directory.totalBytes).toBe(3 * indexFileBytes(sizes));
    expect(disk.openCount).toBe(0);
  });

  test("reports what is foreign and touches nothing", async () => {
    await fill(3);
    disk.writeAtomically("index/20200101000000000", Buffer.alloc(7));
    disk.writeAtomically("index/notes.txt", "hello");
    disk.makeDirectory("index/20210101000000000");
    const before = disk.list("index");
    const directory = load();
    expect(directory.files.length).toBe(1);
    expect(directory.problems.map(({ path, kind }) => [path, kind])).toEqual([
      ["index/20200101000000000", "size"],
      ["index/20210101000000000", "foreign"],
      ["index/notes.txt", "foreign"],
    ]);
    expect(directory.deleteExpired(10 ** 9)).toBe(0);
    expect(disk.list("index")).toEqual(before);
    expect(() => assertIndexSizes(directory)).toThrow("7 bytes, expected 280");
  });

  test("of a missing directory finds nothing and makes nothing", () => {
    expect(load().files).toEqual([]);
    expect(() => assertIndexSizes(load())).not.toThrow();
    expect(disk.isDirectory("index")).toBe(false);
  });
});

test("a file that was being made when the process was killed is no obstacle", async () => {
  await fill(10);
  disk.writeAtomically("index/80000101000000000", "");
  const directory = load();
  expect(directory.problems.map(({ kind }) => kind)).toEqual(["empty"]);
  expect(() => assertIndexSizes(directory)).not.toThrow();
  directory.truncateAfter(10 ** 6);
  expect(disk.list("index")).toEqual([directory.last!.name]);

  // It had its length and no header yet: it goes on from the file before all the same.
  disk.openFile("index/80000101000000000", true).truncate(indexFileBytes(sizes));
  const again = load();
  expect(again.problems).toEqual([]);
  again.truncateAfter(10 ** 6);
  expect(again.last!.name).toBe("80000101000000000");
  expect(load().last!.header).toMatchObject({ beginPhyOffset: 1000, endPhyOffset: 1000, endTimestamp: TIME + 10_000 });
});

test("a new file never takes a name that is there", () => {
  const directory = load();
  const now = new Date(2026, 0, 2, 3, 4, 5, 6).getTime();
  disk.writeAtomically("index/20260102030405006", "other");
  disk.writeAtomically("index/20260102030405007", "other");
  expect(directory.append(now).name).toBe("20260102030405008");
  expect(disk.readFile("index/20260102030405006")!.toString()).toBe("other");
});

test("files go when all they point at is gone; the last one stays", async () => {
  const directory = await fill(25);
  expect(directory.deleteExpired(1000)).toBe(0);
  expect(directory.deleteExpired(1001)).toBe(1);
  expect(disk.list("index").length).toBe(2);
  expect(directory.deleteExpired(10 ** 9)).toBe(1);
  expect(directory.deleteExpired(10 ** 9)).toBe(0);
  expect(disk.list("index")).toEqual([directory.last!.name]);
});

test("Apache's way after a crash drops every file past the checkpoint", async () => {
  await fill(25);
  const directory = load();
  expect(directory.discardAfter(TIME + 20_000)).toBe(1);
  expect(directory.files.map((file) => file.header.endPhyOffset)).toEqual([1000, 2000]);
  expect(disk.list("index").length).toBe(2);
  expect(load().discardAfter(0)).toBe(2);
  expect(disk.list("index")).toEqual([]);
});

describe("cutting back", () => {
  test("at any length gives the index of a log of that length", async () => {
    for (let kept = 0; kept <= 25; kept++) {
      disk = new FailingDisk();
      await fill(kept);
      const wanted = load();
      const wantedBytes = contents();
      disk = new FailingDisk();
      await fill(25);
      const directory = load();
      directory.truncateAfter(kept * 100 + 1);
      expect(directory.files.map((file) => file.header)).toEqual(wanted.files.map((file) => file.header));
      expect(load().files.map((file) => file.header)).toEqual(wanted.files.map((file) => file.header));
      for (const file of directory.files) expect(inspectIndexFile(file)).toBe("");
      contents().forEach((bytes, i) => {
        expect(bytes.equals(wantedBytes[i]!)).toBe(true);
      });
    }
  });

  test("counts what it took away", async () => {
    const directory = await fill(25);
    expect(directory.truncateAfter(2501)).toEqual({ removedFiles: 0, removedEntries: 0 });
    expect(directory.truncateAfter(2500)).toEqual({ removedFiles: 0, removedEntries: 1 });
    expect(directory.truncateAfter(950)).toEqual({ removedFiles: 2, removedEntries: 15 });
    expect(directory.truncateAfter(0)).toEqual({ removedFiles: 1, removedEntries: 9 });
    expect(disk.list("index")).toEqual([]);
    expect(directory.truncateAfter(0)).toEqual({ removedFiles: 0, removedEntries: 0 });
  });

  test("does not write when there is nothing to cut", async () => {
    const directory = await fill(25);
    const { writeCount } = disk;
    directory.truncateAfter(10 ** 9);
    expect(disk.writeCount).toBe(writeCount);
  });

  test("reaches behind an empty last file", async () => {
    const directory = await fill(10);
    directory.append(systemClock.nowMs());
    expect(load().truncateAfter(950)).toEqual({ removedFiles: 1, removedEntries: 1 });
    expect(load().files.map((file) => file.header.indexCount)).toEqual([10]);
  });

  test("leaves an empty last file when the log has all of the one before", async () => {
    const directory = await fill(10);
    directory.append(systemClock.nowMs());
    expect(load().truncateAfter(1001)).toEqual({ removedFiles: 0, removedEntries: 0 });
    expect(load().files.map((file) => file.header.indexCount)).toEqual([11, 1]);
  });

  test("heals an end that no entry has", async () => {
    await fill(5);
    poke(load().last!.path, 24, 0x1000);
    expect(load().last!.header.endPhyOffset).toBe(2 ** 44 + 500);
    expect(load().truncateAfter(10 ** 6)).toEqual({ removedFiles: 0, removedEntries: 0 });
    expect(load().last!.header.endPhyOffset).toBe(500);
  });

  test("goes by the entries when the slots contradict them", async () => {
    await fill(9);
    poke(load().last!.path, slotPosition((9 * 3) % 5), 1);
    expect(load().truncateAfter(850)).toEqual({ removedFiles: 0, removedEntries: 1 });
    const directory = load();
    expect(directory.last!.header.endPhyOffset).toBe(800);
    expect(inspectIndexFile(directory.last!)).toBe("");
  });
});

describe("repair after a crash", () => {
  test("links entries that no slot was told of", async () => {
    await fill(9);
    const { path } = load().last!;
    const sound = disk.readFile(path)!;
    for (let slot = 0; slot < 5; slot++) poke(path, slotPosition(slot), slot === 2 ? 1 : 0);
    expect(inspectIndexFile(load().last!)).toContain("its newest is");
    expect(load().repairAfter(0)).toBe(0);
    expect(disk.readFile(path)!.equals(sound)).toBe(true);
  });

  test("keeps what comes before a page that was lost", async () => {
    await fill(9);
    const { path } = load().last!;
    const file = disk.openFile(path, false);
    file.writeAt(Buffer.alloc(40), 0, 40, entryPosition(sizes, 6));
    expect(inspectIndexFile(load().last!)).toBe("entry 6 of 9 is not in order");
    const directory = load();
    expect(directory.repairAfter(0)).toBe(4);
    expect(directory.last!.header).toMatchObject({ indexCount: 6, endPhyOffset: 500, endTimestamp: TIME + 5000 });
    expect(inspectIndexFile(load().last!)).toBe("");
    const writer = new IndexWriter(directory, systemClock);
    expect(writer.endPhyOffset).toBe(500);
  });

  test("empties the slots of a new file whose header did not reach the disk", async () => {
    await fill(13);
    const { path } = load().files[1]!;
    expect(load().files[1]!.header.indexCount).toBe(4);
    // As `append` leaves it, with the end of the file before.
    poke(path, 36, 1);
    poke(path, 32, 0);
    const before = disk.readFile(load().files[0]!.path)!;
    disk.openFile(path, false).writeAt(before.subarray(8, 16), 0, 8, 8);
    expect(load().files[1]!.header).toMatchObject({ indexCount: 1, endTimestamp: TIME + 10_000 });
    expect(inspectIndexFile(load().files[1]!)).toContain("points at entry");
    const directory = load();
    // Times of the full file are those that the checkpoint has.
    expect(directory.repairAfter(TIME + 10_000)).toBe(0);
    expect(inspectIndexFile(load().files[1]!)).toBe("");
    expect(load().files[0]!.header.indexCount).toBe(11);
  });

  test("leaves files before the checkpoint's time alone, but for a broken header", async () => {
    await fill(25);
    const first = load().files[0]!;
    poke(first.path, slotPosition(0), 0);
    expect(load().repairAfter(TIME + 20_000)).toBe(0);
    expect(inspectIndexFile(load().files[0]!)).not.toBe("");
    poke(first.path, 36, -7);
    const directory = load();
    expect(directory.problems).toMatchObject([{ kind: "header", detail: "index count -7 of at most 11" }]);
    directory.repairAfter(Infinity);
    expect(load().problems).toEqual([]);
    expect(load().files.map((file) => file.header.indexCount)).toEqual([1, 11, 6]);
  });
});
