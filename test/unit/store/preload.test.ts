/** Segments that are read into memory when they are made, and how many are kept ready. */
import { expect, test } from "vitest";
import { fill, openMemory, RoomDisk, SEGMENT_BYTES, StoreClock, turns } from "./harness.js";

class PreloadDisk extends RoomDisk {
  readonly preloaded: string[] = [];

  async preload(path: string): Promise<void> {
    await Promise.resolve();
    this.preloaded.push(path.slice(path.lastIndexOf("/") + 1));
  }
}

/** More than a store keeps ready of such small ones anyhow. */
const AHEAD = 11;

const nameOf = (index: number) => String(index * SEGMENT_BYTES).padStart(20, "0");
const namesTo = (count: number) => Array.from({ length: count }, (_, index) => nameOf(index));

test("a store is open when the segments ahead are in memory, and each that is made later follows", async () => {
  const clock = new StoreClock();
  const disk = new PreloadDisk(clock);
  await using store = await openMemory(disk, clock, { warmMapedFileEnable: true, segmentsAhead: AHEAD });
  expect(disk.preloaded).toEqual(namesTo(AHEAD + 1));
  fill(store, 2);
  await store.settled();
  await turns();
  const active = Math.floor(store.maxPhyOffset / SEGMENT_BYTES);
  expect(active).toBeGreaterThan(0);
  expect(disk.preloaded).toEqual(namesTo(active + AHEAD + 1));
});

test("without the setting nothing is read", async () => {
  const clock = new StoreClock();
  const disk = new PreloadDisk(clock);
  await using store = await openMemory(disk, clock, { segmentsAhead: 1 });
  fill(store, 2);
  await store.settled();
  await turns();
  expect(disk.preloaded).toEqual([]);
  expect(disk.list("/s/commitlog")).toContain(nameOf(Math.floor(store.maxPhyOffset / SEGMENT_BYTES) + 1));
});

test.each([-1, 1.5, 65, Number.NaN])("segmentsAhead %d is refused", async (segmentsAhead) => {
  const clock = new StoreClock();
  await expect(openMemory(new RoomDisk(clock), clock, { segmentsAhead })).rejects.toMatchObject({
    code: "COMETMQ_CONFIG",
    message: expect.stringContaining("segmentsAhead"),
  });
});
