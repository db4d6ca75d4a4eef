import { describe, expect, it } from "vitest";
import { BLOCK_UNITS } from "#src/consumequeue/block-pool.js";
import type { Boundary } from "#src/consumequeue/offset-by-time.js";
import { UnitBatch } from "#src/consumequeue/unit.js";
import { appendUnits, DIRECTORY, Fixture, phyOf, phyOffsets, SIZE, WatchedDisk } from "./queue-fixture.js";

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => phyOf(from + i));

describe("reading", () => {
  it("gives units from any offset, over files and blocks", () => {
    const fixture = new Fixture(BLOCK_UNITS + 10);
    const queue = fixture.queue();
    appendUnits(queue, 0, 2000);
    queue.flush();
    const reader = fixture.reader();
    const batch = new UnitBatch(1000);
    for (const [from, count] of [
      [0, 1],
      [0, 1000],
      [400, 32],
      [407, 4],
      [417, 2],
      [1999, 5],
      [10, 3],
      [1500, 1000],
    ]) {
      expect(reader.read(from!, count!, 2000, batch)).toBe(Math.min(count!, 2000 - from!));
      expect(batch.firstOffset).toBe(from);
      expect(phyOffsets(batch)).toEqual(range(from!, Math.min(2000, from! + count!)));
    }
    expect(batch.sizeBytes[0]).toBe(SIZE);
    expect([batch.tagsCodeHigh[0], batch.tagsCodeLow[0]]).toEqual([0, 1500]);
  });

  it("stops at the max offset it is given, and at its batch's capacity", () => {
    const fixture = new Fixture(100);
    const queue = fixture.queue();
    appendUnits(queue, 0, 50);
    queue.flush();
    const reader = fixture.reader();
    const batch = new UnitBatch(8);
    expect(reader.read(10, 100, 50, batch)).toBe(8);
    expect(reader.read(10, 100, 13, batch)).toBe(3);
    expect(reader.read(13, 100, 13, batch)).toBe(0);
    expect(reader.read(20, 100, 13, batch)).toBe(0);
    expect([batch.count, batch.firstOffset]).toEqual([0, 20]);
  });

  it("reads from a growing file only what is new", () => {
    const watched = new WatchedDisk();
    const fixture = new Fixture(100, watched.asDisk());
    const queue = fixture.queue();
    const reader = fixture.reader();
    const batch = new UnitBatch(8);
    for (let k = 0; k < 250; k++) {
      appendUnits(queue, k, k + 1);
      queue.flush();
      const before = watched.reads;
      expect(reader.read(k, 8, k + 1, batch)).toBe(1);
      expect(batch.phyOffset[0]).toBe(phyOf(k));
      expect(watched.reads - before).toBe(1);
      reader.read(k, 8, k + 1, batch);
      expect(watched.reads - before).toBe(1);
    }
  });

  it("never hands out a unit that was not yet written when its block was read", () => {
    const fixture = new Fixture(1000);
    const queue = fixture.queue();
    appendUnits(queue, 0, 10);
    queue.flush();
    const reader = fixture.reader();
    const batch = new UnitBatch(100);
    reader.read(5, 100, 10, batch);
    appendUnits(queue, 10, 60);
    queue.flush();
    reader.read(7, 100, 60, batch);
    expect(phyOffsets(batch)).toEqual(range(7, 60));
  });

  it("shares few blocks among many readers", () => {
    const fixture = new Fixture(10, undefined, 4, 2);
    const readers = Array.from({ length: 20 }, (_, i) => {
      const queue = fixture.queue(`/s/T/${i}`);
      for (let k = 0; k < 30; k++) queue.append(i * 10_000 + k * 10, 10, 0, k);
      queue.flush();
      return fixture.reader(`/s/T/${i}`);
    });
    const batch = new UnitBatch(4);
    for (let k = 0; k + 4 <= 30; k += 3) {
      for (let i = 0; i < 20; i++) {
        readers[i]!.read(k, 4, 30, batch);
        expect(phyOffsets(batch)).toEqual([0, 1, 2, 3].map((d) => i * 10_000 + (k + d) * 10));
      }
    }
  });

  it("gives nothing where files were deleted, and forgets when told", () => {
    const fixture = new Fixture(4);
    const queue = fixture.queue();
    appendUnits(queue, 0, 10);
    queue.flush();
    const reader = fixture.reader();
    const batch = new UnitBatch(20);
    reader.read(0, 20, 10, batch);
    expect(fixture.cache.openCount).toBe(3);
    reader.closeBelow(9);
    expect(fixture.cache.openCount).toBe(1);
    queue.deleteExpired(phyOf(9));
    expect(reader.read(2, 20, 10, batch)).toBe(0);
    expect(reader.read(8, 20, 10, batch)).toBe(2);
    queue.destroy();
    reader.invalidate();
    queue.append(77, 10, 0, 0);
    queue.flush();
    expect(reader.read(0, 20, 1, batch)).toBe(1);
    expect(batch.phyOffset[0]).toBe(77);
  });

  it("reads nothing any more once it is retired, whatever comes to lie in its directory", () => {
    const fixture = new Fixture(4);
    const queue = fixture.queue();
    appendUnits(queue, 0, 3);
    queue.flush();
    const reader = fixture.reader();
    const batch = new UnitBatch(20);
    expect(reader.read(0, 20, 3, batch)).toBe(3);
    reader.retire();
    expect(fixture.cache.openCount).toBe(0);
    expect([reader.read(0, 20, 3, batch), batch.count]).toEqual([0, 0]);
    expect(fixture.cache.openCount).toBe(0);
  });
});

describe("offset by store timestamp", () => {
  /** Unit k was stored at times[k]; the log begins at unit `logFrom`. */
  function search(times: number[], unitsPerFile: number, logFrom = 0, minOffset = 0) {
    const fixture = new Fixture(unitsPerFile);
    const queue = fixture.queue();
    appendUnits(queue, 0, times.length);
    queue.flush();
    const reader = fixture.reader();
    const bounds = { minOffset, maxOffset: times.length, minPhyOffset: phyOf(logFrom) };
    const timeOf = (phyOffset: number): number =>
      phyOffset < phyOf(logFrom) ? -1 : (times[(phyOffset - phyOf(0)) / 100] ?? -1);
    return (time: number, boundary: Boundary): number => reader.offsetByTime(time, boundary, bounds, timeOf);
  }

  it("is the first at or after (LOWER) and the last at or before (UPPER)", () => {
    const times = [10, 10, 10, 30, 30, 50, 70, 70, 90];
    for (const unitsPerFile of [2, 3, 4, 100]) {
      const at = search(times, unitsPerFile);
      for (let time = 5; time < 95; time++) {
        const lower = times.findIndex((t) => t >= time);
        const upper = times.findLastIndex((t) => t <= time);
        expect([time, at(time, "LOWER")]).toEqual([time, lower < 0 ? times.length : lower]);
        expect([time, at(time, "UPPER")]).toEqual([time, Math.max(0, upper)]);
      }
    }
  });

  it("does not reach into the part the log has lost", () => {
    const at = search([10, 20, 30, 40, 50, 60], 100, 3, 3);
    expect([at(10, "LOWER"), at(10, "UPPER"), at(45, "LOWER"), at(45, "UPPER")]).toEqual([3, 3, 4, 3]);
    const gone = search([10, 20], 100, 2, 2);
    expect([gone(5, "LOWER"), gone(15, "UPPER")]).toEqual([2, 2]);
  });

  it("is 0 for a queue without files", () => {
    const fixture = new Fixture(4);
    const bounds = { minOffset: 0, maxOffset: 0, minPhyOffset: 0 };
    expect(fixture.reader(DIRECTORY).offsetByTime(5, "LOWER", bounds, () => 1)).toBe(0);
  });
});
