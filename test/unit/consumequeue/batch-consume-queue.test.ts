import { describe, expect, it } from "vitest";
import { BatchConsumeQueue } from "#src/consumequeue/batch-consume-queue.js";
import { BatchConsumeQueueReader } from "#src/consumequeue/batch-consume-queue-reader.js";
import { BATCH_UNIT_BYTES } from "#src/consumequeue/batch-unit.js";
import { FileCache } from "#src/consumequeue/file-cache.js";
import { QueueContext } from "#src/consumequeue/queue-files.js";
import { MemoryDisk } from "#src/io/memory-disk.js";

const FILE_BYTES = 4 * BATCH_UNIT_BYTES;
const DIRECTORY = "/s/batchconsumequeue/T/0";

function setup() {
  const disk = new MemoryDisk();
  const cache = new FileCache(disk, 4);
  const sizeOption = "mapperFileSizeBatchConsumeQueue";
  const context = new QueueContext({ disk, cache, fileBytes: FILE_BYTES, unitBytes: BATCH_UNIT_BYTES, sizeOption });
  const open = (): BatchConsumeQueue => {
    const queue = new BatchConsumeQueue(context, DIRECTORY, "T", 0);
    queue.load();
    return queue;
  };
  return { disk, open, reader: new BatchConsumeQueueReader(disk, cache, DIRECTORY, FILE_BYTES) };
}

/** Unit k: records of 100 bytes at 1000 + 100k, three messages each, stored at 10k. */
const entry = (k: number) => ({
  phyOffset: 1000 + 100 * k,
  sizeBytes: 100,
  tagsCode: -k,
  storeTimestamp: 10 * k,
  baseOffset: 3 * k,
  count: 3,
});

function filled(units: number) {
  const made = setup();
  const queue = made.open();
  for (let k = 0; k < units; k++) expect(queue.append(entry(k))).toBe("appended");
  queue.flush();
  return { ...made, queue };
}

describe("batch consume queue", () => {
  it("is written as Apache writes it", () => {
    const { disk } = filled(2);
    expect(disk.readFile(`${DIRECTORY}/${"0".repeat(20)}`)!.toString("hex", 46, 92)).toBe(
      "000000000000044c" +
        "00000064" +
        "ffffffffffffffff" +
        "000000000000000a" +
        "0000000000000003" +
        "0003" +
        "ffffffff" +
        "00000000",
    );
  });

  it("finds units by the offset of any of their messages", () => {
    const { queue, reader } = filled(10);
    expect([queue.minOffset, queue.maxOffset, queue.flushedOffset, queue.maxPhyOffset]).toEqual([0, 30, 30, 1900]);
    for (let offset = 0; offset < 30; offset++) {
      const found = reader.read(offset, 4, 30);
      expect(found[0]!.queueOffset).toBe(offset - (offset % 3));
      expect(found).toHaveLength(Math.min(4, 10 - Math.floor(offset / 3)));
    }
    expect(reader.read(30, 4, 30)).toEqual([]);
    expect(reader.read(0, 9, 12).map((unit) => unit.queueOffset)).toEqual([0, 3, 6, 9]);
    expect(reader.read(7, 1, 30)[0]).toEqual({
      queueOffset: 6,
      count: 3,
      phyOffset: 1200,
      sizeBytes: 100,
      tagsCodeHigh: -1,
      tagsCodeLow: -2,
      storeTimestamp: 20,
      compactedOffset: -1,
    });
  });

  it("follows a queue that grows and loses files", () => {
    const { queue, reader } = filled(3);
    expect(reader.read(0, 99, 9)).toHaveLength(3);
    for (let k = 3; k < 10; k++) queue.append(entry(k));
    queue.flush();
    expect(reader.read(0, 99, 30)).toHaveLength(10);
    expect(queue.deleteExpired(1500)).toBe(1);
    expect([queue.minOffset, queue.maxOffset]).toEqual([15, 30]);
    expect(reader.read(0, 99, 30)).toEqual([]);
    expect(reader.read(15, 99, 30)).toHaveLength(5);
  });

  it("skips what it has and refuses what no unit can hold", () => {
    const { queue } = filled(3);
    expect(queue.append(entry(2))).toBe("known");
    for (const wrong of [{ baseOffset: -1 }, { count: 0 }, { count: 32768 }]) {
      expect(queue.append({ ...entry(3), ...wrong })).toBe("invalid");
    }
    expect(queue.maxOffset).toBe(9);
  });

  it("comes back after a close and a crash, and is cut with the log", () => {
    for (const mode of ["abnormal", "normal", "trusted"] as const) {
      for (const units of [0, 1, 4, 5, 8, 10]) {
        const queue = filled(units).open();
        queue.recover(mode);
        expect([queue.minOffset, queue.maxOffset]).toEqual([units === 0 ? -1 : 0, 3 * units]);
      }
    }
    for (let keep = 0; keep <= 10; keep++) {
      const { open } = filled(10);
      const queue = open();
      queue.recover("normal");
      queue.truncateAfter(1000 + 100 * keep);
      expect([queue.maxOffset, queue.maxPhyOffset]).toEqual([3 * keep, keep === 0 ? -1 : 900 + 100 * keep]);
      const again = open();
      again.recover("normal");
      expect(again.maxOffset).toBe(3 * keep);
      expect(again.append(entry(keep))).toBe("appended");
    }
  });

  it("has min behind all units of the first file that point before the log", () => {
    const { queue } = filled(10);
    const mins = [0, 1000, 1001, 1250, 1400, 5000].map((minPhyOffset) => {
      queue.correctMinOffset(minPhyOffset);
      return queue.minOffset;
    });
    expect(mins).toEqual([0, 0, 3, 9, 12, 12]);
  });

  it("answers for times as Apache does", () => {
    const { reader } = filled(6);
    const bounds = { minOffset: 0, maxOffset: 18, minPhyOffset: 0 };
    const at = (time: number) => [
      reader.offsetByTime(time, "LOWER", bounds),
      reader.offsetByTime(time, "UPPER", bounds),
    ];
    expect(at(-5)).toEqual([0, 0]);
    expect(at(0)).toEqual([0, 0]);
    expect(at(10)).toEqual([3, 3]);
    expect(at(11)).toEqual([6, 0]);
    expect(at(30)).toEqual([9, 9]);
    expect(at(35)).toEqual([9, 9]);
    expect(at(50)).toEqual([15, 15]);
    expect(at(99)).toEqual([15, 15]);
  });
});
