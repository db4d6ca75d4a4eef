import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import type { Segment } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import type { RetentionSettings } from "#src/store/retention-settings.js";
import { GetStatus } from "#src/store/types.js";
import {
  fill,
  HOUR_MS,
  input,
  emptyPut,
  Lines,
  NOON_MS,
  openMemory,
  pull,
  put,
  readAll,
  RoomDisk,
  SEGMENT_BYTES,
  StoreClock,
  turns,
} from "./harness.js";

const segmentsOf = (disk: MemoryDisk, store: MessageStore) =>
  disk.list("/s/commitlog").filter((name) => Number(name) < store.maxPhyOffset).length;

/** Offset of the first message at or behind the log's beginning. */
function firstOf(puts: { queueOffset: number; phyOffset: number }[], store: MessageStore): number {
  return puts.find(({ phyOffset }) => phyOffset >= store.minPhyOffset)?.queueOffset ?? puts.length;
}

test("expired segments go in an hour of deleteWhen, and only then", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  const retention = { fileReservedTime: 72, deleteWhen: "04;16" };
  await using store = await openMemory(disk, clock, { retention });
  const puts = fill(store, 4);
  await store.settled();
  clock.wallMs = NOON_MS + 71 * HOUR_MS;
  await clock.advance(10 * 60_000);
  expect(clock.nowMs()).toBeLessThan(NOON_MS + 72 * HOUR_MS);
  expect(segmentsOf(disk, store)).toBe(4);
  // Noon three days later: expired, but not the hour.
  clock.wallMs = NOON_MS + 73 * HOUR_MS;
  await clock.advance(60_000);
  expect(segmentsOf(disk, store)).toBe(4);
  clock.wallMs = NOON_MS + 76 * HOUR_MS;
  await clock.advance(10_000);
  expect(new Date(clock.nowMs()).getHours()).toBe(16);
  expect(segmentsOf(disk, store)).toBe(1);
  expect(store.minPhyOffset).toBe(3 * SEGMENT_BYTES);

  const first = firstOf(puts, store);
  expect(first).toBeGreaterThan(150);
  expect(store.minOffset(store.queue("T", 0))).toBe(first);
  const tooSmall = pull(store, "T", 0, first - 1);
  expect([tooSmall.status, tooSmall.nextBeginOffset]).toEqual([GetStatus.OFFSET_TOO_SMALL, first]);
  expect(readAll(store, "T", 0, first)).toEqual(
    puts.slice(first).map(({ queueOffset }) => [queueOffset, `m${queueOffset}`]),
  );
  // 20 units to a file: the one that holds the first is the oldest left.
  expect(disk.list("/s/consumequeue/T/0")[0]).toBe(String(Math.floor(first / 20) * 400).padStart(20, "0"));
  expect(store.lookUp.queryByKey({ topic: "T", key: "m0", kind: "K", countMax: 32 }).records).toEqual([]);
  expect(store.lookUp.queryByKey({ topic: "T", key: `m${first}`, kind: "K", countMax: 32 }).records.length).toBe(1);
  // 100 keys to an index file: those that only speak of deleted segments are gone.
  expect(disk.list("/s/index").length).toBeLessThan(puts.length / 100);
});

test("deleteExpired works at any hour; the segment that is written to stays, however old", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  await using store = await openMemory(disk, clock, { retention: { fileReservedTime: 1, deleteWhen: "04" } });
  fill(store, 3);
  expect(await store.deleteExpired()).toBe(0);
  clock.wallMs += 2 * HOUR_MS;
  expect(await store.deleteExpired()).toBe(2);
  expect(store.minPhyOffset).toBe(2 * SEGMENT_BYTES);
  expect(await store.deleteExpired()).toBe(0);
  expect(segmentsOf(disk, store)).toBe(1);
});

test("a pass deletes at most deleteFileBatchMax segments", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  const retention = {
    fileReservedTime: 1,
    deleteWhen: "12;13;14;15",
    deleteFileBatchMax: 2,
    cleanResourceInterval: 10_000,
  };
  await using store = await openMemory(disk, clock, { retention });
  fill(store, 8);
  await store.settled();
  clock.wallMs += HOUR_MS + 60_000;
  const left: number[] = [];
  for (let pass = 0; pass < 4; pass++) {
    await clock.advance(10_000);
    left.push(segmentsOf(disk, store));
  }
  expect(left).toEqual([6, 4, 2, 1]);
});

/** A disk on which files look as old as the test says. */
class AgedDisk extends RoomDisk {
  readonly modified = new Map<string, number>();

  override modifiedMs(path: string): number {
    return this.modified.get(path) ?? super.modifiedMs(path);
  }
}

test("a segment is as old as its file and as its last record: the younger counts", async () => {
  const clock = new StoreClock();
  const disk = new AgedDisk(clock);
  const pathOf = (i: number) => `/s/commitlog/${String(i * SEGMENT_BYTES).padStart(20, "0")}`;
  const retention = { fileReservedTime: 10 };
  await using store = await openMemory(disk, clock, { retention });
  fill(store, 3);
  await store.settled();
  // A file restored from a backup with an old date: what is in it is younger.
  disk.modified.set(pathOf(0), NOON_MS - 1000 * HOUR_MS);
  expect(await store.deleteExpired()).toBe(0);
  // And a file that was touched is younger than what is in it.
  clock.wallMs = NOON_MS + 11 * HOUR_MS;
  disk.modified.set(pathOf(1), clock.wallMs - HOUR_MS);
  expect(await store.deleteExpired()).toBe(1);
  expect(store.minPhyOffset).toBe(SEGMENT_BYTES);
  clock.wallMs += 9 * HOUR_MS;
  expect(await store.deleteExpired()).toBe(1);
});

test("above diskMaxUsedSpaceRatio expired segments go at any hour, others stay", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  await using store = await openMemory(disk, clock, { retention: { fileReservedTime: 2 } });
  fill(store, 3);
  await store.settled();
  clock.wallMs += 3 * HOUR_MS;
  fill(store, 5);
  await store.settled();
  disk.usedPercent = 75;
  await clock.advance(10_000);
  expect(segmentsOf(disk, store)).toBe(5);
  disk.usedPercent = 75.1;
  await clock.advance(10_000);
  expect(segmentsOf(disk, store)).toBe(3);
});

test("above diskSpaceCleanForciblyRatio the oldest go though they have not expired: as many as are needed", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  const log = new Lines();
  const retention: { -readonly [Name in keyof RetentionSettings]?: RetentionSettings[Name] } = {
    cleanFileForciblyEnable: false,
  };
  await using store = await openMemory(disk, clock, { retention, log });
  fill(store, 8);
  await store.settled();
  // A segment is 1/64 per cent of the device.
  disk.usedPercent = 85 + 2.5 / 64;
  await clock.advance(10_000);
  expect(segmentsOf(disk, store)).toBe(8);
  // The object that was given is looked at each time.
  retention.cleanFileForciblyEnable = true;
  await clock.advance(10_000);
  expect(segmentsOf(disk, store)).toBe(5);
  expect(log.count(/segments were deleted/)).toBe(1);
  // Whatever is asked for, the segment that is written to stays.
  disk.usedPercent = 89;
  await clock.advance(60_000);
  expect(segmentsOf(disk, store)).toBe(1);
  expect(readAll(store, "T", 0, store.minOffset(store.queue("T", 0))).length).toBe(1);
});

test("above diskSpaceWarningLevelRatio messages are refused and read; below it they are taken again by themselves", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  const log = new Lines();
  const retention = { cleanFileForciblyEnable: false };
  await using store = await openMemory(disk, clock, { log, retention });
  put(store, "T", 0, "before");
  await store.settled();
  expect(store.diskFull).toBe(false);
  disk.usedPercent = 90.5;
  await clock.advance(10_000);
  expect(store.put(input(store, "T", 0, "x"), emptyPut())).toBe(10);
  expect(store.putBatch([input(store, "T", 0, "x")], emptyPut())).toBe(10);
  expect(store.diskFull).toBe(true);
  expect(readAll(store, "T", 0, 0)).toEqual([[0, "before"]]);
  await clock.advance(60_000);
  expect(store.put(input(store, "T", 0, "x"), emptyPut())).toBe(10);
  expect(log.count(/the disk is full/)).toBe(1);
  disk.usedPercent = 89;
  await clock.advance(1000);
  expect(put(store, "T", 0, "after").queueOffset).toBe(1);
  expect(log.count(/there is space on the disk again/)).toBe(1);
  expect(store.diskFull).toBe(false);
});

test("the device is looked at every cleanResourceInterval, every second while it is full, never more often", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  await using store = await openMemory(disk, clock, { retention: { cleanResourceInterval: 10 } });
  // Commit log and root.
  disk.spaceCount = 0;
  await clock.advance(5000);
  expect(disk.spaceCount).toBe(2 * 5);
  await store.close();
  await using slow = await openMemory(disk, clock);
  disk.spaceCount = 0;
  await clock.advance(30_000);
  expect(disk.spaceCount).toBe(2 * 3);
  disk.usedPercent = 95;
  await clock.advance(10_000);
  disk.spaceCount = 0;
  await clock.advance(10_000);
  expect(disk.spaceCount).toBe(2 * 10);
  expect(slow.diskFull).toBe(true);
});

test("maxLogBytes bounds the log at any hour", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  await using store = await openMemory(disk, clock, { retention: { maxLogBytes: 3 * SEGMENT_BYTES } });
  fill(store, 3);
  await store.settled();
  await clock.advance(10_000);
  expect(segmentsOf(disk, store)).toBe(3);
  fill(store, 6);
  await store.settled();
  await clock.advance(10_000);
  expect(segmentsOf(disk, store)).toBe(3);
  expect(store.minPhyOffset).toBe(3 * SEGMENT_BYTES);
});

test("queues that nobody has used since the start follow as well, and empty ones begin at their end", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  const before = await openMemory(disk, clock);
  for (let queueId = 0; queueId < 250; queueId++) put(before, "many", queueId, `q${queueId}`);
  const kept = fill(before, 8, "T").length;
  await before.close();

  await using store = await openMemory(disk, clock, { retention: { fileReservedTime: 1 } });
  clock.wallMs += 2 * HOUR_MS;
  expect(store.minOffset(store.queue("many", 249))).toBe(0);
  expect(await store.deleteExpired()).toBe(7);
  for (const queueId of [0, 1, 199, 200, 201, 249]) {
    expect(store.minOffset(store.queue("many", queueId))).toBe(1);
    expect(pull(store, "many", queueId, 0).status).toBe(GetStatus.OFFSET_TOO_SMALL);
    expect(pull(store, "many", queueId, 1).status).toBe(GetStatus.OFFSET_OVERFLOW_ONE);
  }
  expect(put(store, "many", 7, "next").queueOffset).toBe(1);
  await store.settled();
  expect(readAll(store, "many", 7, 1)).toEqual([[1, "next"]]);
  expect(store.minOffset(store.queue("T", 0))).toBeGreaterThan(kept - 65);
});

test("queues of a deleted topic, and those that have their slots, are told apart", async () => {
  const clock = new StoreClock();
  await using store = await openMemory(new RoomDisk(clock), clock, { retention: { fileReservedTime: 1 } });
  put(store, "kept", 0, "old");
  fill(store, 3);
  await store.settled();
  const old = store.queue("T", 0);
  await store.deleteTopics(["T"]);
  // The slot is free, and the first that comes gets it.
  put(store, "other", 0, "a");
  put(store, "T", 0, "b");
  await store.settled();
  clock.wallMs += 2 * HOUR_MS;
  expect(await store.deleteExpired()).toBe(2);
  expect(store.minOffset(store.queue("kept", 0))).toBe(1);
  expect(store.maxOffset(old)).toBe(0);
  for (const [topic, text] of [
    ["other", "a"],
    ["T", "b"],
  ] as const) {
    expect(store.minOffset(store.queue(topic, 0))).toBe(0);
    expect(readAll(store, topic, 0, 0)).toEqual([[0, text]]);
  }
});

test("what somebody has deleted of the log while the store was closed: queues follow a moment after the start", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  const before = await openMemory(disk, clock);
  const puts = fill(before, 4);
  await before.close();
  for (const name of disk.list("/s/commitlog").slice(0, 2)) disk.remove(`/s/commitlog/${name}`);
  await using store = await openMemory(disk, clock);
  const first = firstOf(puts, store);
  expect(first).toBeGreaterThan(100);
  await clock.advance(10_000);
  expect(store.minOffset(store.queue("T", 0))).toBe(first);
  expect(disk.list("/s/consumequeue/T/0")[0]).toBe(String(Math.floor(first / 20) * 400).padStart(20, "0"));
  expect(readAll(store, "T", 0, first).length).toBe(puts.length - first);
});

/** A disk on which segments can be deleted when the test says so. */
class StubbornDisk extends RoomDisk {
  answer: () => Promise<void> = () => Promise.resolve();
  asked: string[] = [];

  override async discard(path: string, _segment?: Segment): Promise<void> {
    this.asked.push(path.slice(-8));
    await this.answer();
    await super.discard(path);
  }
}

test("a segment that cannot be deleted is the oldest again, and none behind it goes", async () => {
  const clock = new StoreClock();
  const disk = new StubbornDisk(clock);
  const log = new Lines();
  await using store = await openMemory(disk, clock, { log, retention: { fileReservedTime: 1 } });
  fill(store, 3);
  await store.settled();
  clock.wallMs += 2 * HOUR_MS;
  disk.answer = () => Promise.reject(new CometError("COMETMQ_IO", "no."));
  expect(await store.deleteExpired()).toBe(0);
  expect([disk.asked, store.minPhyOffset, log.count(/could not be deleted/)]).toEqual([["00000000"], 0, 1]);
  expect(readAll(store, "T", 0, 0)[0]).toEqual([0, "m0"]);
  disk.answer = () => Promise.resolve();
  expect(await store.deleteExpired()).toBe(2);
  expect(store.failure).toBeUndefined();
});

test("space-check-not-blocked: a deletion that hangs holds up neither the look at the disk nor messages", async () => {
  const clock = new StoreClock();
  const disk = new StubbornDisk(clock);
  const store = await openMemory(disk, clock, { retention: { fileReservedTime: 1, deleteWhen: "14" } });
  fill(store, 3);
  await store.settled();
  let goOn: () => void = () => {};
  disk.answer = () =>
    new Promise((resolve) => {
      goOn = resolve;
    });
  clock.wallMs += 2 * HOUR_MS;
  await clock.advance(10_000);
  expect(disk.asked).toEqual(["00000000"]);
  put(store, "T", 1, "during");
  disk.usedPercent = 95;
  await clock.advance(10_000);
  expect(store.diskFull).toBe(true);
  disk.usedPercent = 20;
  await clock.advance(1000);
  expect(store.diskFull).toBe(false);
  expect(disk.asked.length).toBe(1);
  put(store, "T", 1, "after");
  disk.answer = () => Promise.resolve();
  goOn();
  await turns();
  expect(segmentsOf(disk, store)).toBe(1);
  await store.close();
});

test("closing waits for the deletion under way and begins no other", async () => {
  const clock = new StoreClock();
  const disk = new StubbornDisk(clock);
  const store = await openMemory(disk, clock, { retention: { fileReservedTime: 1 } });
  fill(store, 4);
  await store.settled();
  clock.wallMs += 2 * HOUR_MS;
  let goOn: () => void = () => {};
  disk.answer = () =>
    new Promise((resolve) => {
      goOn = resolve;
    });
  const deleting = store.deleteExpired();
  await turns();
  const closing = store.close();
  await turns();
  goOn();
  await closing;
  expect(await deleting).toBe(1);
  expect(disk.asked.length).toBe(1);
  expect(disk.sizeOf("/s/abort")).toBe(-1);
});

test.each<[Partial<RetentionSettings>, string]>([
  [{ deleteWhen: "25" }, "deleteWhen"],
  [{ deleteWhen: "" }, "deleteWhen"],
  [{ fileReservedTime: -1 }, "fileReservedTime"],
  [{ cleanResourceInterval: Number.NaN }, "cleanResourceInterval"],
  [{ deleteFileBatchMax: 0 }, "deleteFileBatchMax"],
])("settings like %o are refused", async (retention, name) => {
  const opening = openMemory(new MemoryDisk(), new StoreClock(), { retention });
  await expect(opening).rejects.toMatchObject({ code: "COMETMQ_CONFIG", message: expect.stringContaining(name) });
});

/** Deleted segments go on to occupy it until `reclaim`, and longer while somebody holds them. */
class LingeringDisk extends RoomDisk {
  lingeringBytes = 0;
  isHeld = false;
  reclaimCount = 0;

  override space() {
    return { ...super.space(), lingeringBytes: this.lingeringBytes };
  }

  override async discard(path: string): Promise<void> {
    await super.discard(path);
    this.lingeringBytes += SEGMENT_BYTES;
  }

  override reclaim(): void {
    this.reclaimCount++;
    if (!this.isHeld) this.lingeringBytes = 0;
  }
}

test("what deleted segments occupy is asked back soon though the disk has space, ever less often while it is held", async () => {
  const clock = new StoreClock();
  const disk = new LingeringDisk(clock);
  await using store = await openMemory(disk, clock, { retention: { fileReservedTime: 1, deleteWhen: "04" } });
  fill(store, 4);
  await store.settled();
  clock.wallMs = NOON_MS + 2 * HOUR_MS;
  disk.isHeld = true;
  expect(await store.deleteExpired()).toBe(3);
  expect([disk.lingeringBytes, disk.reclaimCount]).toEqual([3 * SEGMENT_BYTES, 0]);
  const counts: number[] = [];
  for (let minute = 0; minute < 8; minute++) {
    await clock.advance(60_000);
    counts.push(disk.reclaimCount);
  }
  expect(counts[0]).toBe(1);
  expect(counts.at(-1)).toBe(4);
  disk.isHeld = false;
  await clock.advance(10 * 60_000);
  expect(disk.lingeringBytes).toBe(0);
  const reclaimCount = disk.reclaimCount;
  await clock.advance(10 * 60_000);
  expect(disk.reclaimCount).toBe(reclaimCount);
});
