import { describe, expect, it } from "vitest";
import type { ConsumeQueue } from "#src/consumequeue/consume-queue.js";
import { UnitBatch } from "#src/consumequeue/unit.js";
import { appendUnits, DIRECTORY, Fixture, phyOf, phyOffsets, SIZE, WatchedDisk } from "./queue-fixture.js";

const FILE = (base: number): string => String(base).padStart(20, "0");

function all(fixture: Fixture, queue: ConsumeQueue, from = 0): number[] {
  const batch = new UnitBatch(100);
  fixture.reader().read(from, 100, queue.flushedOffset, batch);
  return phyOffsets(batch);
}

function filled(unitsPerFile: number, units: number): Fixture {
  const fixture = new Fixture(unitsPerFile);
  const queue = fixture.queue();
  appendUnits(queue, 0, units);
  queue.flush();
  return fixture;
}

describe("appending", () => {
  it("shows units after a flush, over several files", () => {
    const fixture = new Fixture(4);
    const queue = fixture.queue();
    appendUnits(queue, 0, 10);
    expect([queue.maxOffset, queue.flushedOffset, queue.pendingCount, queue.maxPhyOffset]).toEqual([10, 0, 10, 2000]);
    expect(fixture.disk.list(DIRECTORY)).toEqual([]);
    queue.flush();
    expect([queue.maxOffset, queue.flushedOffset, queue.pendingCount]).toEqual([10, 10, 0]);
    expect(fixture.disk.list(DIRECTORY)).toEqual([FILE(0), FILE(80), FILE(160)]);
    expect(fixture.bytes(FILE(160)).length).toBe(80);
    expect(all(fixture, queue)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(phyOf));
  });

  it("skips what it has, and keeps what is there", () => {
    const queue = filled(4, 6).reopened("normal");
    expect(queue.append(phyOf(5), SIZE, 0, 5)).toBe("known");
    expect(queue.append(phyOf(2), SIZE, 0, 2)).toBe("known");
    expect(queue.append(phyOf(6), SIZE, 0, 4)).toBe("behind");
    expect(queue.append(phyOf(6), SIZE, 0, 7)).toBe("gap");
    expect([queue.maxOffset, queue.maxPhyOffset]).toEqual([6, phyOf(6)]);
    expect(queue.append(phyOf(6), SIZE, 0, 6)).toBe("appended");
  });

  it("closes a gap with blank units when told to", () => {
    const fixture = filled(4, 2);
    const queue = fixture.reopened("normal");
    queue.fillTo(6);
    expect(queue.append(phyOf(6), SIZE, 0, 6)).toBe("appended");
    queue.flush();
    expect(all(fixture, queue)).toEqual([phyOf(0), phyOf(1), 0, 0, 0, 0, phyOf(6)]);
    expect(fixture.reopened("normal").maxPhyOffset).toBe(phyOf(7));
  });

  it("fills up the first file of a queue that begins later", () => {
    const fixture = new Fixture(4);
    const queue = fixture.queue();
    expect(queue.append(phyOf(10), SIZE, 0, 10)).toBe("appended");
    queue.flush();
    expect([queue.minOffset, queue.maxOffset]).toEqual([10, 11]);
    expect(fixture.disk.list(DIRECTORY)).toEqual([FILE(160)]);
    const blank = "00000000000000007fffffff0000000000000000";
    expect(fixture.bytes(FILE(160)).toString("hex", 0, 40)).toBe(blank + blank);
    const again = fixture.reopened("normal");
    again.correctMinOffset(0);
    expect([again.minOffset, again.maxOffset, again.maxPhyOffset]).toEqual([10, 11, phyOf(11)]);
    again.correctMinOffset(phyOf(10) + 1);
    expect(again.minOffset).toBe(11);
  });

  it("begins at a file's first unit without filling", () => {
    const fixture = new Fixture(4);
    const queue = fixture.queue();
    queue.append(phyOf(8), SIZE, 0, 8);
    queue.flush();
    expect(all(fixture, queue, 8)).toEqual([phyOf(8)]);
    expect(fixture.disk.list(DIRECTORY)).toEqual([FILE(160)]);
  });

  it("finishes a fill that a crash cut short, and does not take its blanks for records", () => {
    const fixture = new Fixture(4);
    const queue = fixture.queue();
    queue.append(phyOf(11), SIZE, 0, 11);
    const again = fixture.reopened("abnormal");
    expect([again.maxOffset, again.maxPhyOffset]).toEqual([11, -1]);
    expect(again.append(phyOf(11), SIZE, 0, 11)).toBe("appended");
    again.flush();
    expect(all(fixture, again, 8)).toEqual([0, 0, 0, phyOf(11)]);
    again.fillTo(14);
    const third = fixture.reopened("abnormal");
    expect([third.maxOffset, third.maxPhyOffset]).toEqual([14, phyOf(12)]);
  });

  it("writes out by itself when very much waits", () => {
    const fixture = new Fixture(300_000);
    const queue = fixture.queue();
    appendUnits(queue, 0, 5000);
    expect(queue.flushedOffset).toBe(Math.floor(32768 / 20) * 3);
    queue.flush();
    const batch = new UnitBatch(5000);
    fixture.reader().read(0, 5000, queue.flushedOffset, batch);
    expect(phyOffsets(batch)).toEqual(Array.from({ length: 5000 }, (_, k) => phyOf(k)));
  });

  it("goes on waiting on a full disk, and comes through later", () => {
    for (const failAfter of [0, 1, 2, 3]) {
      const watched = new WatchedDisk();
      const fixture = new Fixture(4, watched.asDisk());
      const queue = fixture.queue();
      appendUnits(queue, 0, 7);
      watched.failWith = "COMETMQ_DISK_FULL";
      watched.failAfter = failAfter;
      expect(() => queue.flush()).toThrow(expect.objectContaining({ code: "COMETMQ_DISK_FULL" }));
      expect([queue.maxOffset, queue.flushedOffset, queue.pendingCount]).toEqual([7, 0, 7]);
      watched.failWith = undefined;
      expect(queue.append(phyOf(7), SIZE, 0, 7)).toBe("appended");
      queue.flush();
      expect(all(fixture, queue)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map(phyOf));
      expect(fixture.bytes(FILE(80)).length).toBe(80);
    }
  });

  it("fills anew after a fill failed", () => {
    const watched = new WatchedDisk();
    const fixture = new Fixture(4, watched.asDisk());
    const queue = fixture.queue();
    for (const failAfter of [0, 1]) {
      watched.failWith = "COMETMQ_DISK_FULL";
      watched.failAfter = failAfter;
      expect(() => queue.append(phyOf(6), SIZE, 0, 6)).toThrow();
    }
    watched.failWith = undefined;
    expect(queue.append(phyOf(6), SIZE, 0, 6)).toBe("appended");
    queue.flush();
    expect(all(fixture, queue, 4)).toEqual([0, 0, phyOf(6)]);
  });

  it("syncs the files written since the last time", async () => {
    const watched = new WatchedDisk();
    const fixture = new Fixture(4, watched.asDisk());
    const queue = fixture.queue();
    appendUnits(queue, 0, 6);
    queue.flush();
    await queue.sync();
    expect(watched.syncs).toEqual([`${DIRECTORY}/${FILE(0)}`, `${DIRECTORY}/${FILE(80)}`]);
    await queue.sync();
    appendUnits(queue, 6, 7);
    queue.flush();
    queue.syncNow();
    expect(watched.syncs.slice(2)).toEqual([`${DIRECTORY}/${FILE(80)}`]);
  });
});

describe("recovery", () => {
  it("finds the same end each way", () => {
    for (const units of [1, 3, 4, 5, 8, 19, 20, 21]) {
      for (const mode of ["abnormal", "normal", "trusted"] as const) {
        const queue = filled(4, units).reopened(mode);
        expect([queue.maxOffset, queue.maxPhyOffset]).toEqual([units, phyOf(units)]);
      }
    }
    for (const mode of ["abnormal", "normal", "trusted"] as const) {
      const queue = new Fixture(4).reopened(mode);
      expect([queue.minOffset, queue.maxOffset, queue.maxPhyOffset]).toEqual([0, 0, -1]);
    }
  });

  it("finds the end of a long file the same way each way", () => {
    for (const units of [203, 204, 205, 408, 409, 1000, 5000, 9999, 10_000, 10_001, 12_345]) {
      for (const mode of ["abnormal", "normal", "trusted"] as const) {
        const queue = filled(10_000, units).reopened(mode);
        queue.correctMinOffset(phyOf(100));
        expect([queue.minOffset, queue.maxOffset, queue.maxPhyOffset]).toEqual([100, units, phyOf(units)]);
      }
    }
  });

  it("needs one read for a queue that has hardly begun", () => {
    const watched = new WatchedDisk();
    const fixture = new Fixture(300_000, watched.asDisk());
    const queue = fixture.queue();
    appendUnits(queue, 0, 20);
    queue.flush();
    for (const mode of ["normal", "trusted"] as const) {
      const before = watched.reads;
      fixture.reopened(mode).correctMinOffset(0);
      expect(watched.reads - before).toBe(1);
    }
  });

  it("goes on where another thread has recovered it", () => {
    for (const units of [1, 4, 6, 8]) {
      const fixture = filled(4, units);
      const queue = fixture.queue();
      queue.load();
      queue.resume(units);
      expect([queue.maxOffset, queue.maxPhyOffset]).toEqual([units, phyOf(units)]);
      expect(queue.append(phyOf(units - 1), SIZE, 0, units - 1)).toBe("known");
      appendUnits(queue, units, 10);
      queue.flush();
      expect(all(fixture, queue)).toHaveLength(10);
      expect(() => queue.resume(13)).toThrow("the end lies in the files");
    }
    const fresh = new Fixture(4).queue();
    fresh.load();
    fresh.resume(0);
    expect([fresh.maxOffset, fresh.maxPhyOffset]).toEqual([0, -1]);
  });

  it("changes nothing after a clean close", () => {
    const watched = new WatchedDisk();
    const fixture = new Fixture(4, watched.asDisk());
    const queue = fixture.queue();
    appendUnits(queue, 0, 6);
    queue.flush();
    watched.failWith = "COMETMQ_IO";
    expect(fixture.reopened("normal").maxOffset).toBe(6);
    expect(fixture.reopened("trusted").maxOffset).toBe(6);
  });

  it("drops what follows a unit that does not count, and says so", () => {
    const fixture = filled(4, 10);
    fixture.cache.get(`${DIRECTORY}/${FILE(80)}`).writeAt(Buffer.alloc(20), 0, 20, 40);
    const queue = fixture.queue();
    queue.load();
    expect(queue.recover("normal")).toEqual({ staleTail: true });
    expect([queue.maxOffset, queue.maxPhyOffset]).toEqual([6, phyOf(6)]);
    expect(fixture.disk.list(DIRECTORY)).toEqual([FILE(0), FILE(80)]);
    expect(fixture.bytes(FILE(80)).subarray(40)).toEqual(Buffer.alloc(40));
    expect(queue.recover("normal")).toEqual({ staleTail: false });
  });

  it("looks at the last three files only", () => {
    const fixture = filled(4, 18);
    fixture.cache.get(`${DIRECTORY}/${FILE(80)}`).writeAt(Buffer.alloc(20), 0, 20, 40);
    expect(fixture.reopened("normal").maxOffset).toBe(18);
  });

  it("wipes stale units further behind after a crash, so that they never come up", () => {
    const fixture = filled(1000, 10);
    fixture.cache.get(`${DIRECTORY}/${FILE(0)}`).writeAt(Buffer.alloc(20, 1), 0, 20, 19_000);
    fixture.reopened("abnormal");
    expect(fixture.bytes(FILE(0)).subarray(200)).toEqual(Buffer.alloc(19_800));
  });

  it("passes over an empty last file of length 0 and takes away one without units", () => {
    const fixture = filled(4, 4);
    fixture.disk.openFile(`${DIRECTORY}/${FILE(80)}`, true).close();
    fixture.disk.writeAtomically(`${DIRECTORY}/notes.txt`, "x");
    expect(fixture.reopened("normal").maxOffset).toBe(4);
    fixture.cache.create(`${DIRECTORY}/${FILE(80)}`, 80);
    const queue = fixture.reopened("normal");
    expect([queue.maxOffset, fixture.disk.list(DIRECTORY)]).toEqual([4, [FILE(0), "notes.txt"]]);
    queue.append(phyOf(4), SIZE, 0, 4);
    queue.flush();
    expect(all(fixture, queue)).toHaveLength(5);
  });

  it("refuses files of another size or name, naming the file and the option", () => {
    const fixture = filled(4, 10);
    const other = new Fixture(5, fixture.disk);
    const layout = expect.objectContaining({ code: "COMETMQ_STORE_LAYOUT" });
    expect(() => other.queue().load()).toThrow(layout);
    expect(() => other.queue().load()).toThrow(/T\/0\/0{20} has 80 bytes, .*100.*mappedFileSizeConsumeQueue/);
    fixture.disk.openFile(`${DIRECTORY}/${FILE(81)}`, true).truncate(80);
    expect(() => fixture.queue().load()).toThrow(layout);
  });

  it("refuses a hole between files, and reports strange names", () => {
    const fixture = filled(4, 10);
    fixture.disk.writeAtomically(`${DIRECTORY}/notes.txt`, "x");
    expect(fixture.queue().load()).toEqual(["notes.txt"]);
    fixture.disk.remove(`${DIRECTORY}/${FILE(80)}`);
    expect(() => fixture.queue().load()).toThrow(/0{18}80 is missing/);
  });
});

describe("cutting", () => {
  it("drops units that point at the end of the log or beyond", () => {
    for (let keep = 0; keep <= 10; keep++) {
      const fixture = filled(4, 10);
      const queue = fixture.reopened("normal");
      queue.truncateAfter(phyOf(keep));
      expect([queue.maxOffset, queue.maxPhyOffset]).toEqual([keep, keep === 0 ? -1 : phyOf(keep)]);
      const again = fixture.reopened("normal");
      expect([again.maxOffset, again.maxPhyOffset]).toEqual([keep, keep === 0 ? -1 : phyOf(keep)]);
      appendUnits(queue, keep, 12);
      queue.flush();
      expect(all(fixture, queue)).toEqual(Array.from({ length: 12 }, (_, k) => phyOf(k)));
    }
  });

  it("keeps a record that begins before the end, and counts units not yet flushed", () => {
    const fixture = new Fixture(4);
    const queue = fixture.queue();
    appendUnits(queue, 0, 6);
    queue.truncateAfter(phyOf(3) + 1);
    expect([queue.maxOffset, queue.flushedOffset]).toEqual([4, 4]);
  });

  it("goes on at the same offset when all that was left is cut", () => {
    const fixture = filled(4, 10);
    const queue = fixture.reopened("normal");
    queue.deleteExpired(phyOf(8));
    expect([queue.minOffset, fixture.disk.list(DIRECTORY)]).toEqual([8, [FILE(160)]]);
    queue.truncateAfter(phyOf(8));
    expect([queue.minOffset, queue.maxOffset, fixture.disk.list(DIRECTORY)]).toEqual([8, 8, []]);
    expect(queue.append(phyOf(8), SIZE, 0, 8)).toBe("appended");
    queue.flush();
    expect(all(fixture, queue, 8)).toEqual([phyOf(8)]);
  });
});

describe("min offset", () => {
  it("is the first unit at or behind the log's beginning", () => {
    for (const [minPhyOffset, wanted] of [
      [0, 0],
      [phyOf(0), 0],
      [phyOf(0) + 1, 1],
      [phyOf(3), 3],
      [phyOf(3) + 1, 4],
    ]) {
      const queue = filled(8, 10).reopened("normal");
      queue.correctMinOffset(minPhyOffset!);
      expect(queue.minOffset).toBe(wanted);
    }
  });

  it("is max when even the last unit lies before the log", () => {
    const queue = filled(4, 10).reopened("normal");
    queue.correctMinOffset(phyOf(9) + 1);
    expect(queue.minOffset).toBe(10);
    queue.correctMinOffset(0);
    expect(queue.minOffset).toBe(10);
  });

  it("stays when all of the first file lies before the log but later files do not", () => {
    const queue = filled(4, 10).reopened("normal");
    queue.correctMinOffset(phyOf(2));
    queue.correctMinOffset(phyOf(6));
    expect(queue.minOffset).toBe(2);
  });

  it("never goes back, and deletes whole files but the last", () => {
    const fixture = filled(4, 10);
    const queue = fixture.reopened("normal");
    expect(queue.deleteExpired(phyOf(4))).toBe(1);
    expect([queue.minOffset, fixture.disk.list(DIRECTORY)]).toEqual([4, [FILE(80), FILE(160)]]);
    queue.correctMinOffset(0);
    expect(queue.minOffset).toBe(4);
    expect(queue.deleteExpired(phyOf(100))).toBe(1);
    expect([queue.minOffset, queue.maxOffset, fixture.disk.list(DIRECTORY)]).toEqual([10, 10, [FILE(160)]]);
    expect(fixture.reopened("normal").maxOffset).toBe(10);
  });

  it("goes with the queue", () => {
    const fixture = filled(4, 10);
    const queue = fixture.reopened("normal");
    queue.correctMinOffset(phyOf(3));
    queue.destroy();
    expect([queue.minOffset, queue.maxOffset, queue.maxPhyOffset]).toEqual([0, 0, -1]);
    expect(fixture.disk.isDirectory(DIRECTORY)).toBe(false);
    expect(queue.append(phyOf(0), SIZE, 0, 0)).toBe("appended");
  });
});

it("holds few handles for many queues", () => {
  const watched = new WatchedDisk();
  const fixture = new Fixture(4, watched.asDisk(), 32, 8);
  const queues = Array.from({ length: 2000 }, (_, i) => fixture.queue(`/s/T/${i}`));
  for (let round = 0; round < 2; round++) {
    for (const queue of queues) appendUnits(queue, round * 3, round * 3 + 3);
    for (const queue of queues) queue.flush();
  }
  const readers = queues.map((queue) => fixture.reader(queue.directory));
  const batch = new UnitBatch(8);
  for (let round = 0; round < 2; round++) {
    for (const reader of readers) {
      reader.read(0, 8, 6, batch);
      expect(phyOffsets(batch)).toEqual([0, 1, 2, 3, 4, 5].map(phyOf));
    }
  }
  expect(watched.openMax).toBeLessThanOrEqual(33);
  expect(watched.openHandles).toBe(32);
});
