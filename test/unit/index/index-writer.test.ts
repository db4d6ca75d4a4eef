import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "#src/base/clock.js";
import { CometError } from "#src/base/errors.js";
import { IndexDirectory } from "#src/index/index-directory.js";
import { DEFAULT_INDEX_SIZES, entryPosition, slotPosition } from "#src/index/index-file.js";
import { type IndexKind, indexKeyHash } from "#src/index/index-key.js";
import { IndexQuery } from "#src/index/index-query.js";
import { IndexWriter } from "#src/index/index-writer.js";
import { FileDisk } from "#src/io/file-disk.js";
import { FailingDisk } from "./failing-disk.js";

const TIME = 1762255040133;
const sizes = { maxHashSlotNum: 11, maxIndexNum: 6 };
const stoppedClock: Clock = { ...systemClock, nowMs: () => new Date(2026, 0, 2, 3, 4, 5, 6).getTime() };

let disk: FailingDisk;
let directory: IndexDirectory;
let writer: IndexWriter;
beforeEach(() => {
  disk = new FailingDisk();
  directory = IndexDirectory.load(disk, "index", sizes);
  writer = new IndexWriter(directory, stoppedClock);
});

function putRecord(
  properties: string | Buffer,
  phyOffset = 0,
  sysFlag = 0,
  storeTimestamp = TIME,
  topic = "Topic",
): number {
  const topicBytes = Buffer.from(topic);
  const record = Buffer.concat([
    Buffer.from("before"),
    topicBytes,
    Buffer.from("ab"),
    Buffer.from(properties),
    Buffer.from("after"),
  ]);
  const propertiesStart = 6 + topicBytes.length + 2;
  const propertiesEnd = record.length - 5;
  return writer.putRecord(
    record,
    6,
    6 + topicBytes.length,
    propertiesStart,
    propertiesEnd,
    phyOffset,
    storeTimestamp,
    sysFlag,
  );
}

function find(key: string, kind: IndexKind = "K", topic = "Topic"): number[] {
  const found = new IndexQuery(disk, "index", sizes).query({ topic, key, kind, countMax: 64 });
  expect(found.problems).toEqual([]);
  return found.phyOffsets;
}

describe("what a record is indexed under", () => {
  test("its unique key, every one of its keys, and its tags", () => {
    expect(putRecord("UNIQ_KEY\x01u1\x02WAIT\x01true\x02KEYS\x01k1  k2 \x02TAGS\x01t1\x02", 77)).toBe(4);
    writer.flush();
    expect(find("u1", "U")).toEqual([77]);
    expect(find("k1")).toEqual([77]);
    expect(find("k2")).toEqual([77]);
    expect(find("t1", "T")).toEqual([77]);
    expect(find("T#t1")).toEqual([77]);
    expect(directory.last!.header.indexCount).toBe(5);
  });

  test("nothing without such properties", () => {
    const none = [
      "",
      "\x02",
      "WAIT\x01true\x02",
      "KEYS\x02",
      "KEYS\x01\x02",
      "KEYS\x01  \x02",
      "KEY\x01a\x02KEYSX\x01a\x02XKEYS\x01a\x02",
    ];
    for (const properties of none) expect(putRecord(properties)).toBe(0);
    expect(putRecord("keys\x01a\x02TAGS=a\x02UNIQ_KEY")).toBe(0);
  });

  test("the last of equal names, its value up to the next 0x02 or the end", () => {
    expect(putRecord("TAGS\x01a\x02TAGS\x01b\x01c\x02", 5)).toBe(1);
    expect(putRecord("TAGS\x01d\x02\x02KEYS\x01e", 6)).toBe(2);
    expect(putRecord("TAGS\x01f\x02TAGS\x01\x02", 7)).toBe(1);
    writer.flush();
    expect([find("a", "T"), find("b\x01c", "T"), find("d", "T"), find("e"), find("f", "T")]).toEqual([
      [],
      [5],
      [6],
      [6],
      [7],
    ]);
  });

  test("one that is not ASCII", () => {
    expect(putRecord("UNIQ_KEY\x01ü\x02KEYS\x01schlüssel 键😀\x02TAGS\x01täg\x02", 9, 0, TIME, "Thema-ü")).toBe(4);
    writer.flush();
    expect(find("ü", "U", "Thema-ü")).toEqual([9]);
    expect(find("schlüssel", "K", "Thema-ü")).toEqual([9]);
    expect(find("键😀", "K", "Thema-ü")).toEqual([9]);
    expect(find("täg", "T", "Thema-ü")).toEqual([9]);
  });

  test("a prepared and a committed transaction, not one rolled back", () => {
    expect(putRecord("KEYS\x01a\x02", 1, 0x4)).toBe(1);
    expect(putRecord("KEYS\x01a\x02", 2, 0x8)).toBe(1);
    expect(putRecord("KEYS\x01a\x02", 3, 0xc)).toBe(0);
    expect(putRecord("KEYS\x01a\x02", 4, 0x3f3)).toBe(1);
    writer.flush();
    expect(find("a")).toEqual([4, 2, 1]);
  });
});

test("records before the end are known; the one at the end may have been cut short and comes again", () => {
  expect(putRecord("KEYS\x01a b\x02", 100)).toBe(2);
  expect(putRecord("KEYS\x01a b\x02", 99)).toBe(0);
  expect(putRecord("KEYS\x01c\x02", 100)).toBe(1);
  expect(writer.endPhyOffset).toBe(100);
  writer.flush();
  expect([find("a"), find("b"), find("c")]).toEqual([[100], [100], [100]]);
});

test("nobody sees an entry before the flush, and everybody after it", () => {
  const query = new IndexQuery(disk, "index", sizes);
  const look = () => query.query({ topic: "Topic", key: "a", kind: "K", countMax: 64 }).phyOffsets;
  expect(look()).toEqual([]);
  putRecord("KEYS\x01a\x02", 1);
  expect(look()).toEqual([]);
  writer.flush();
  expect(look()).toEqual([1]);
  putRecord("KEYS\x01a\x02", 2);
  expect(look()).toEqual([1]);
  writer.flush();
  expect(look()).toEqual([2, 1]);
});

test("a flush without changes touches nothing", () => {
  writer.flush();
  expect(disk.list("index")).toEqual([]);
  putRecord("KEYS\x01a\x02");
  writer.flush();
  const { writeCount } = disk;
  writer.flush();
  expect(disk.writeCount).toBe(writeCount);
});

describe("a full file", () => {
  test("holds one entry less than its index number, and the next goes on from it", async () => {
    for (let i = 1; i <= 5; i++) writer.put(i, i * 1000, TIME + i * 7000);
    expect(directory.files.length).toBe(1);
    expect(directory.last!.isFull).toBe(true);
    // A record without keys is enough for Apache to begin the next file.
    expect(putRecord("", 6000)).toBe(0);
    expect(directory.files.map((file) => file.name)).toEqual(["20260102030405006", "20260102030405007"]);
    expect(directory.last!.header).toEqual({
      beginTimestamp: TIME + 35000,
      endTimestamp: TIME + 35000,
      beginPhyOffset: 5000,
      endPhyOffset: 5000,
      hashSlotCount: 0,
      indexCount: 1,
    });
    writer.put(6, 6000, TIME + 42999);
    writer.put(7, 7000, TIME + 43000);
    writer.put(7, 8000, TIME + 43998);
    writer.put(7, 9000, TIME + 43999);
    await writer.close();
    const bytes = disk.readFile("index/20260102030405007")!;
    // The first entry counts its seconds from the file before.
    const seconds = [1, 2, 3, 4].map((entry) => bytes.readInt32BE(entryPosition(sizes, entry) + 12));
    expect(seconds).toEqual([7, 0, 0, 1]);
    expect(bytes.readBigInt64BE(0)).toBe(BigInt(TIME + 42999));
    expect(bytes.readInt32BE(slotPosition(7))).toBe(4);
    expect(bytes.readInt32BE(entryPosition(sizes, 4) + 16)).toBe(3);
    expect(disk.openCount).toBe(0);
  });

  test("tells the checkpoint once it is synced", async () => {
    for (let i = 1; i <= 6; i++) writer.put(i, i, TIME + i);
    expect(writer.indexMsgTimestamp).toBe(0);
    await writer.sync();
    expect(writer.indexMsgTimestamp).toBe(TIME + 5);
    await writer.close();
  });

  test("is followed by a new one after a restart, too", async () => {
    for (let i = 1; i <= 5; i++) writer.put(i, i, TIME + i);
    await writer.close();
    directory = IndexDirectory.load(disk, "index", sizes);
    writer = new IndexWriter(directory, stoppedClock);
    expect(writer.endPhyOffset).toBe(5);
    writer.put(6, 6, TIME + 6);
    await writer.close();
    expect(directory.files.map((file) => file.header.indexCount)).toEqual([6, 2]);
    expect(directory.files[1]!.header.beginPhyOffset).toBe(6);
  });
});

test("times before the first or far ahead of it are cut to what an entry can say", async () => {
  writer.put(1, 1, TIME);
  writer.put(2, 2, TIME - 5000);
  writer.put(3, 3, TIME + 2 ** 31 * 1000);
  writer.put(4, 4, TIME + 1999);
  await writer.close();
  const bytes = disk.readFile(directory.last!.path)!;
  const seconds = [1, 2, 3, 4].map((entry) => bytes.readInt32BE(entryPosition(sizes, entry) + 12));
  expect(seconds).toEqual([0, 0, 2 ** 31 - 1, 1]);
});

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("a write that fails", () => {
  /** The same keys on a disk whose n-th write fails once: the same files in the end. */
  function run(failingWrite: number): { files: Map<string, string>; failures: number; writes: number } {
    const roomy = { maxHashSlotNum: 3000, maxIndexNum: 5000 };
    const failing = new FailingDisk();
    const files = IndexDirectory.load(failing, "index", roomy);
    const index = new IndexWriter(files, stoppedClock);
    let failures = 0;
    const retried = (step: () => void) => {
      for (;;) {
        try {
          return step();
        } catch (error) {
          expect(error).toBeInstanceOf(CometError);
          expect((error as CometError).code).toBe("COMETMQ_DISK_FULL");
          failures++;
          failing.writesLeft = Infinity;
        }
      }
    };
    failing.writesLeft = failingWrite;
    for (let i = 0; i < 7000; i++) {
      retried(() => index.put((i * 7919) % 65536, i, TIME + i));
      if (i % 1000 === 999) retried(() => index.flush());
    }
    retried(() => index.flush());
    const content = new Map(failing.list("index").map((name) => [name, digest(failing.readFile(`index/${name}`)!)]));
    return { files: content, failures, writes: failing.writeCount };
  }

  test("can be tried again, wherever it was", () => {
    const sound = run(Infinity);
    expect(sound.failures).toBe(0);
    expect(sound.files.size).toBe(2);
    for (let n = 0; n < sound.writes; n++) {
      const other = run(n);
      expect(other.failures).toBe(1);
      expect(other.files).toEqual(sound.files);
    }
  });

  test("is for good when it is a sync", async () => {
    writer.put(1, 1, TIME);
    disk.syncFails = true;
    await expect(writer.sync()).rejects.toThrow("Cannot sync");
    disk.syncFails = false;
    expect(() => writer.flush()).toThrow("Cannot sync");
    await expect(writer.close()).rejects.toThrow("Cannot sync");
    expect(disk.openCount).toBe(0);
  });

  test("is for good when it is the sync of a full file", async () => {
    for (let i = 1; i <= 5; i++) writer.put(i, i, TIME + i);
    disk.syncFails = true;
    writer.put(6, 6, TIME + 6);
    await new Promise(setImmediate);
    disk.syncFails = false;
    expect(() => writer.flush()).toThrow("Cannot sync");
    expect(writer.indexMsgTimestamp).toBe(0);
  });
});

test("a file of Apache's sizes is a hole but for what was written, and holds what was written", async () => {
  const scratch = mkdtempSync(join(tmpdir(), "cometmq-index-"));
  try {
    const fileDisk = new FileDisk("file");
    const path = join(scratch, "index");
    const index = new IndexWriter(IndexDirectory.load(fileDisk, path, DEFAULT_INDEX_SIZES), systemClock);
    for (let i = 0; i < 10; i++) index.put(indexKeyHash("Topic", `k${i}`, "K"), i, TIME + i);
    await index.close();
    const status = statSync(join(path, readdirSync(path)[0]!));
    expect(status.size).toBe(420_000_040);
    expect(status.blocks * 512).toBeLessThan(200_000);

    const again = new IndexWriter(IndexDirectory.load(fileDisk, path, DEFAULT_INDEX_SIZES), systemClock);
    again.put(indexKeyHash("Topic", "k3", "K"), 1000, TIME + 20);
    await again.close();
    const query = new IndexQuery(fileDisk, path, DEFAULT_INDEX_SIZES);
    expect(query.query({ topic: "Topic", key: "k3", kind: "K", countMax: 64 }).phyOffsets).toEqual([1000, 3]);
    expect(query.query({ topic: "Topic", key: "k9", kind: "K", countMax: 64 }).phyOffsets).toEqual([9]);
    query.close();
  } finally {
    rmSync(scratch, { recursive: true });
  }
});

test("few writes for many keys, and a reopened file is read in pieces", async () => {
  const roomy = { maxHashSlotNum: 500_000, maxIndexNum: 100_000 };
  const counting = new FailingDisk();
  const index = new IndexWriter(IndexDirectory.load(counting, "index", roomy), systemClock);
  for (let i = 0; i < 50_000; i++) index.put((i * 7919 * 31) % 2 ** 31, i, TIME);
  index.flush();
  expect(counting.readCount).toBe(0);
  expect(counting.writeCount).toBeLessThan(100);
  expect(counting.writtenBytes).toBeLessThan(50_000 * 20 + 2_000_040 + 200);
  index.put(5, 50_000, TIME);
  const before = counting.writtenBytes;
  index.flush();
  expect(counting.writtenBytes - before).toBe(20 + 40 + 4096 - 40);
  await index.close();

  const again = new IndexWriter(IndexDirectory.load(counting, "index", roomy), systemClock);
  counting.readCount = 0;
  for (let i = 0; i < 1000; i++) again.put(i, 60_000 + i, TIME);
  expect(counting.readCount).toBe(1);
});
