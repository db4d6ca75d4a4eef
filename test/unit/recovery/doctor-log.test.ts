/** The doctor and the log: whatever is wrong with it is said once, and everything behind it is still examined. */
import { copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import type { DiskFile } from "#src/io/disk.js";
import { ReadOnlyDisk } from "#src/io/read-only-disk.js";
import { int32, int64, overwrite, SEGMENT_BYTES, SmallStore, tickingClock } from "./doctor-fixture.js";

const COUNT = 60;
/** Somewhere in the second segment. */
const VICTIM = 25;
let store: SmallStore;

beforeEach(async () => {
  store = await SmallStore.make(COUNT);
});

const victim = () => store.messages[VICTIM]!;

test("a store that was closed in order has nothing to be said about it", () => {
  const { findings, report } = store.examine();
  expect(findings).toEqual([]);
  expect(report).toMatchObject({
    segmentBytes: SEGMENT_BYTES,
    beginOffset: 0,
    endOffset: store.messages.at(-1)!.phyOffset + store.messages.at(-1)!.sizeBytes,
    recordCount: COUNT,
    queueCount: 4,
    queueEntryCount: COUNT,
    indexEntryCount: 2 * COUNT,
    findingCounts: { error: 0, warning: 0, info: 0 },
  });
  expect(report.segmentCount).toBeGreaterThan(2);
  expect(report.indexFileCount).toBeGreaterThan(1);
});

describe("one bad record is one finding", () => {
  /** What is overwritten, from the record's first byte on. */
  const cases: [string, string, (sizeBytes: number) => [number, Uint8Array]][] = [
    ["a bit of the body", "log.crc", () => [90, Uint8Array.of(0)]],
    ["the CRC", "log.crc", () => [8, int32(1)]],
    ["the physical offset", "log.offset", () => [28, int64(4711)]],
    ["the magic code", "log.damage", () => [4, int32(0)]],
    ["a size too small", "log.damage", () => [0, int32(20)]],
    ["a size too large", "log.damage", () => [0, int32(400)]],
    ["a size beyond the segment", "log.damage", () => [0, int32(1 << 30)]],
    ["a negative size", "log.damage", () => [0, int32(-5)]],
    ["a size of zero", "log.damage", () => [0, int32(0)]],
    ["the body's length", "log.damage", () => [84, int32(7)]],
    ["all of it zeros", "log.damage", (sizeBytes) => [0, new Uint8Array(sizeBytes)]],
    ["all of it noise", "log.damage", (sizeBytes) => [0, new Uint8Array(sizeBytes).fill(0xa5)]],
  ];

  test.each(cases)("%s", (_, code, change) => {
    const { phyOffset, sizeBytes, topic, queueId } = victim();
    const [at, bytes] = change(sizeBytes);
    store.damage(phyOffset + at, bytes);
    const { codes, findings, report } = store.examine();
    expect(codes).toEqual([code]);
    expect(findings[0]).toMatchObject({
      path: `commitlog/${String(SEGMENT_BYTES).padStart(20, "0")}`,
      position: phyOffset - SEGMENT_BYTES,
      phyOffset,
      lengthBytes: sizeBytes,
      severity: "error",
    });
    expect(report).toMatchObject({ recordCount: COUNT - 1, queueEntryCount: COUNT - 1 });
    expect([...report.damaged]).toEqual([{ from: phyOffset, to: phyOffset + sizeBytes }]);
    expect([...report.queuesIntoDamage]).toEqual([`${topic}/${queueId}`]);
  });

  test("the first of the log", () => {
    store.damage(4, int32(0));
    const { codes, report } = store.examine();
    expect(codes).toEqual(["log.damage"]);
    expect(report.recordCount).toBe(COUNT - 1);
  });

  test("the last: the log ends in front of it, as it will for a start", () => {
    const { phyOffset, sizeBytes } = store.messages.at(-1)!;
    store.damage(phyOffset + 90, Uint8Array.of(0));
    const { codes, findings, report } = store.examine();
    expect(codes).toEqual(["log.torn", "log.shorter", "queue.beyond-log", "index.beyond-log"]);
    expect(findings[0]).toMatchObject({ phyOffset, lengthBytes: sizeBytes });
    expect(report).toMatchObject({ recordCount: COUNT - 1, endOffset: phyOffset });
  });

  test("several that follow one another are one where the first says nothing", () => {
    const next = store.messages[VICTIM + 1]!;
    store.damage(victim().phyOffset, new Uint8Array(victim().sizeBytes + next.sizeBytes));
    const { findings, report } = store.examine();
    expect(findings.map(({ code, what }) => [code, what])).toEqual([
      ["log.damage", `${victim().sizeBytes + next.sizeBytes} zeros where records were`],
    ]);
    expect(report.recordCount).toBe(COUNT - 2);
  });

  test("a record that a body quotes is not taken for one", async () => {
    const quoted = readFileSync(store.segmentPath(0)).subarray(0, store.messages[0]!.sizeBytes);
    const at = victim().phyOffset;
    store.damage(at, new Uint8Array(victim().sizeBytes).fill(0xa5));
    store.damage(at + 5, quoted.subarray(0, victim().sizeBytes - 5));
    const { codes, report } = store.examine();
    expect(codes).toEqual(["log.damage"]);
    expect([...report.damaged]).toEqual([{ from: at, to: at + victim().sizeBytes }]);
  });
});

describe("damage to the end of a segment", () => {
  test("goes on with the next segment", () => {
    const { phyOffset } = victim();
    store.damage(phyOffset, new Uint8Array(2 * SEGMENT_BYTES - phyOffset).fill(7));
    const { codes, report } = store.examine();
    const lost = store.messages.filter(
      (message) => message.phyOffset >= phyOffset && message.phyOffset < 2 * SEGMENT_BYTES,
    );
    expect(codes).toEqual(["log.damage"]);
    expect([...report.damaged]).toEqual([{ from: phyOffset, to: 2 * SEGMENT_BYTES }]);
    expect(report.recordCount).toBe(COUNT - lost.length);
  });

  test("a blank that is not there any more", () => {
    const last = store.messages.findLast(({ phyOffset }) => phyOffset < SEGMENT_BYTES)!;
    const blankAt = last.phyOffset + last.sizeBytes;
    store.damage(blankAt, new Uint8Array(8));
    const { findings, report } = store.examine();
    expect(findings).toMatchObject([{ code: "log.damage", phyOffset: blankAt, lengthBytes: SEGMENT_BYTES - blankAt }]);
    expect(report.recordCount).toBe(COUNT);
  });

  test("a blank that says another length is told, and stepped over", () => {
    const last = store.messages.findLast(({ phyOffset }) => phyOffset < SEGMENT_BYTES)!;
    store.damage(last.phyOffset + last.sizeBytes, int32(8));
    const { codes, report } = store.examine();
    expect(codes).toEqual(["log.blank"]);
    expect(report.recordCount).toBe(COUNT);
  });

  test("whole segments of zeros in the middle", () => {
    writeFileSync(store.segmentPath(SEGMENT_BYTES), new Uint8Array(SEGMENT_BYTES));
    const { findings, report } = store.examine();
    const kept = store.messages.filter(({ phyOffset }) => phyOffset < SEGMENT_BYTES || phyOffset >= 2 * SEGMENT_BYTES);
    expect(findings).toMatchObject([{ code: "log.damage", phyOffset: SEGMENT_BYTES, lengthBytes: SEGMENT_BYTES }]);
    expect(report.recordCount).toBe(kept.length);
  });
});

describe("files of the log", () => {
  test("a missing segment is a hole; missing ones at the beginning are what retention does", () => {
    rmSync(store.segmentPath(SEGMENT_BYTES));
    expect(store.examine().findings).toMatchObject([
      { code: "log.hole", phyOffset: SEGMENT_BYTES, lengthBytes: SEGMENT_BYTES },
    ]);
    rmSync(store.segmentPath(0));
    const { codes, report } = store.examine();
    expect(codes).toEqual([]);
    expect(report.beginOffset).toBe(2 * SEGMENT_BYTES);
    expect(report.recordCount).toBe(report.queueEntryCount);
  });

  test("no log at all, but queues", () => {
    rmSync(`${store.directory}/commitlog`, { recursive: true });
    expect(store.examine().codes).toContain("log.missing");
  });

  test("a segment cut short, and one too long", () => {
    truncateSync(store.segmentPath(SEGMENT_BYTES), 1000);
    truncateSync(store.segmentPath(0), SEGMENT_BYTES + 5);
    const { codes, report, findings } = store.examine();
    expect(codes).toEqual(["log.size", "log.size", "log.damage"]);
    expect(findings[1]!.what).toBe(`1000 bytes, segments have ${SEGMENT_BYTES}`);
    expect(report.recordCount).toBeLessThan(COUNT);
    expect([...report.damaged].at(-1)!.to).toBe(2 * SEGMENT_BYTES);
  });

  test("strange files, leftovers, empty segments", () => {
    const end = 10 * SEGMENT_BYTES;
    writeFileSync(`${store.directory}/commitlog/notes.txt`, "x");
    writeFileSync(`${store.segmentPath(end)}.reserving`, "");
    const next = SEGMENT_BYTES * store.examine().report.segmentCount;
    writeFileSync(store.segmentPath(next), new Uint8Array(SEGMENT_BYTES));
    const { codes, notes } = store.examine();
    expect(codes).toEqual(["log.foreign"]);
    expect(notes).toEqual(["log.empty", "log.empty"]);
  });

  test("a segment at no multiple of the size", () => {
    copyFileSync(store.segmentPath(0), `${store.directory}/commitlog/00000000000000000007`);
    expect(store.examine().codes).toEqual(["log.misaligned"]);
  });
});

describe("the log's end", () => {
  test("a torn record", () => {
    const { endOffset } = store.examine().report;
    store.damage(endOffset, Buffer.concat([int32(200), Buffer.from("daa320a7", "hex"), Buffer.alloc(30, 9)]));
    const { findings, report } = store.examine();
    expect(findings).toMatchObject([{ code: "log.torn", phyOffset: endOffset, lengthBytes: 38 }]);
    expect(report.endOffset).toBe(endOffset);
  });

  test("records of before a cut are no part of the log, and no error", async () => {
    // The log as Apache leaves it after a cut: shorter records have grown into what was there before.
    const old = readFileSync(store.segmentPath(0));
    const cutAt = store.messages[5]!.phyOffset;
    const shorter = await SmallStore.make(5);
    await shorter.grow(1, tickingClock(Date.now()));
    const { endOffset } = shorter.examine().report;
    expect(endOffset).toBeLessThan(SEGMENT_BYTES / 2);
    shorter.damage(endOffset + 3, old.subarray(endOffset + 3));
    const { codes, notes, report } = shorter.examine();
    expect(codes).toEqual([]);
    expect(notes).toEqual(["log.stale"]);
    expect(report.endOffset).toBe(endOffset);
    expect(report.recordCount).toBe(6);
    expect(cutAt).toBeLessThan(endOffset);
  });
});

test("a clock that was set back is worth a note", () => {
  const { phyOffset } = victim();
  overwrite(store.segmentPath(phyOffset), (phyOffset % SEGMENT_BYTES) + 56, int64(1_600_000_000_000));
  const { codes, notes } = store.examine();
  expect(codes).toEqual([]);
  expect(notes).toEqual(["log.time"]);
});

test("what the device does not give is told, and the rest examined", async () => {
  const large = await SmallStore.make(COUNT);
  const unreadable = large.segmentPath(SEGMENT_BYTES);
  class BadSectors extends ReadOnlyDisk {
    override openFile(path: string, create: boolean): DiskFile {
      const file = super.openFile(path, create);
      if (path !== unreadable) return file;
      file.readAt = () => {
        throw new CometError("COMETMQ_IO", "EIO");
      };
      return file;
    }
  }
  const { codes, report } = large.examine({}, new BadSectors());
  expect(codes.filter((code) => code === "log.unreadable")).toHaveLength(1);
  expect(codes).toContain("log.damage");
  expect(report.recordCount).toBe(
    large.messages.filter(({ phyOffset }) => phyOffset < SEGMENT_BYTES || phyOffset >= 2 * SEGMENT_BYTES).length,
  );
});
