/** Disks that refuse writes, file by file: dispatch waits and loses nothing, the checkpoint is late, messages go on. */
import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import type { DiskFile } from "#src/io/disk.js";
import { GetStatus, PutStatus } from "#src/store/types.js";
import {
  emptyPut,
  fill,
  input,
  Lines,
  openMemory,
  pull,
  put,
  readAll,
  RoomDisk,
  SEGMENT_BYTES,
  StoreClock,
  turns,
} from "./harness.js";

/** Refuses writes to paths that match `full`, after `writesLeft` more of them. */
class FullDisk extends RoomDisk {
  full = /^$/;
  writesLeft = 0;
  code: "COMETMQ_DISK_FULL" | "COMETMQ_HANDLES" | "COMETMQ_IO" = "COMETMQ_DISK_FULL";
  refused = 0;

  #check(path: string): void {
    if (!this.full.test(path) || this.writesLeft-- > 0) return;
    this.refused++;
    throw new CometError(this.code, `Cannot write ${path}.`);
  }

  override openFile(path: string, create: boolean): DiskFile {
    if (create && this.sizeOf(path) < 0) this.#check(path);
    const file = super.openFile(path, create);
    return {
      path,
      readAt: (target, start, length, position) => file.readAt(target, start, length, position),
      writeAt: (source, start, length, position) => {
        this.#check(path);
        file.writeAt(source, start, length, position);
      },
      sizeBytes: () => file.sizeBytes(),
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      sync: () => file.sync(),
      syncNow: () => file.syncNow(),
      close: () => file.close(),
    };
  }

  override writeAtomically(path: string, content: Uint8Array | string): void {
    this.#check(path);
    super.writeAtomically(path, content);
  }

  override createSegment(path: string, sizeBytes: number): void {
    this.#check(path);
    super.createSegment(path, sizeBytes);
  }
}

const byKey = (store: Awaited<ReturnType<typeof openMemory>>, key: string) =>
  store.lookUp.queryByKey({ topic: "T", key, kind: "K", countMax: 32 }).records.length;

test.each([0, 1, 2, 3, 5, 8, 13])(
  "queues and index are full after %i writes: dispatch pauses once, says so, and goes on where it was",
  async (writes) => {
    const clock = new StoreClock();
    const disk = new FullDisk(clock);
    const log = new Lines();
    await using store = await openMemory(disk, clock, { log });
    disk.full = /\/(consumequeue|index)\//;
    disk.writesLeft = writes;
    let count = 0;
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 30; i++) {
        put(store, "T", 0, `k${count}`);
        put(store, `U${round}`, i % 3, `k${count++}`);
      }
      await turns();
    }
    await clock.advance(5000);
    expect(disk.refused).toBeGreaterThan(3);
    expect(log.count(/cannot be read before there is room/)).toBe(1);
    expect(store.failure).toBeUndefined();
    const readable = readAll(store, "T", 0, 0);
    expect(readable.length).toBeLessThan(count);
    expect(readable).toEqual(readable.map((_, i) => [i, `k${i}`]));

    disk.full = /^$/;
    await clock.advance(1000);
    await store.settled();
    expect(log.count(/there is room again/)).toBe(1);
    expect(readAll(store, "T", 0, 0)).toEqual(Array.from({ length: count }, (_, i) => [i, `k${i}`]));
    for (let i = 0; i < count; i++) expect(byKey(store, `k${i}`)).toBe(1);
  },
);

test("while dispatch waits, some messages are taken, then DISK_FULL is answered; both end by themselves", async () => {
  const clock = new StoreClock();
  const disk = new FullDisk(clock);
  await using store = await openMemory(disk, clock, { segmentBytes: 64 * SEGMENT_BYTES });
  put(store, "T", 0, "read");
  await store.settled();
  disk.full = /\/consumequeue\//;
  const message = input(store, "T", 0, "x");
  message.body = Buffer.alloc(1024 * 1024, "x");
  message.bodyLength = message.body.length;
  const statuses: PutStatus[] = [];
  for (let i = 0; i < 20; i++) {
    statuses.push(store.put(message, emptyPut()));
    await turns();
  }
  const refusedAt = statuses.indexOf(PutStatus.DISK_FULL);
  expect(refusedAt).toBeGreaterThan(10);
  expect(new Set(statuses.slice(0, refusedAt))).toEqual(new Set([PutStatus.PUT_OK]));
  expect(new Set(statuses.slice(refusedAt))).toEqual(new Set([PutStatus.DISK_FULL]));
  expect(store.diskFull).toBe(true);
  expect(readAll(store, "T", 0, 0)).toEqual([[0, "read"]]);
  disk.full = /^$/;
  await clock.advance(1000);
  expect(put(store, "T", 0, "y").queueOffset).toBe(refusedAt + 1);
  await store.settled();
  expect(pull(store, "T", 0, refusedAt + 1).status).toBe(GetStatus.FOUND);
});

test("other failures of the disk end dispatch: the store is read-only", async () => {
  const clock = new StoreClock();
  const disk = new FullDisk(clock);
  const store = await openMemory(disk, clock);
  put(store, "T", 0, "a");
  await store.settled();
  disk.full = /\/consumequeue\//;
  disk.code = "COMETMQ_IO";
  put(store, "T", 0, "b");
  await turns();
  expect(store.failure?.code).toBe("COMETMQ_STORE_READ_ONLY");
  expect(store.put(input(store, "T", 0, "c"), emptyPut())).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
  expect(readAll(store, "T", 0, 0)).toEqual([[0, "a"]]);
  expect(await store.deleteExpired().catch((error: CometError) => error.code)).toBe(0);
  await store.close();
});

test("a store that is closed while its disk is full is recovered by the next start, with every message", async () => {
  const clock = new StoreClock();
  const disk = new FullDisk(clock);
  const log = new Lines();
  const store = await openMemory(disk, clock, { log });
  fill(store, 2);
  await store.settled();
  disk.full = /\/consumequeue\//;
  const { queueOffset } = put(store, "T", 0, "last");
  await turns();
  await store.close();
  expect(log.count(/could not be closed in order/)).toBe(1);
  expect(disk.sizeOf("/s/abort")).toBeGreaterThan(0);
  disk.full = /^$/;
  await using again = await openMemory(disk, clock);
  expect(again.recovery.aborted).toBe(true);
  expect(readAll(again, "T", 0, 0).at(-1)).toEqual([queueOffset, "last"]);
});

test.each(["COMETMQ_DISK_FULL", "COMETMQ_HANDLES"] as const)(
  "checkpoints that meet %s are written later",
  async (code) => {
    const clock = new StoreClock();
    const disk = new FullDisk(clock);
    disk.code = code;
    const log = new Lines();
    const store = await openMemory(disk, clock, { log, retention: { fileReservedTime: 1 } });
    disk.full = /checkpoint$/;
    fill(store, 3);
    await store.settled();
    clock.wallMs += 7_200_000;
    await clock.advance(1000);
    // Deleting asks for a sync, and a sync notes how far it came.
    expect(await store.deleteExpired()).toBe(2);
    await turns();
    expect(log.count(/no room for the checkpoint/)).toBe(1);
    expect(store.failure).toBeUndefined();
    put(store, "T", 0, "more");
    disk.full = /^$/;
    await store.close();
    expect(disk.sizeOf("/s/abort")).toBe(-1);
    expect(JSON.parse(disk.readFile("/s/dispatch.checkpoint")!.toString())).toMatchObject({ closed: true });
  },
);

test("no room for a segment: DISK_FULL at once, tried again once a second, messages are taken when there is room", async () => {
  const clock = new StoreClock();
  const disk = new FullDisk(clock);
  await using store = await openMemory(disk, clock);
  disk.full = /\/commitlog\//;
  const message = input(store, "T", 0, "x");
  let taken = 0;
  while (store.put(message, emptyPut()) === PutStatus.PUT_OK) taken++;
  await store.settled();
  expect(store.diskFull).toBe(true);
  const { refused } = disk;
  for (let i = 0; i < 100; i++) expect(store.put(message, emptyPut())).toBe(PutStatus.DISK_FULL);
  expect(disk.refused).toBe(refused);
  await clock.advance(1000);
  expect(store.put(message, emptyPut())).toBe(PutStatus.DISK_FULL);
  expect(disk.refused).toBe(refused + 1);
  expect(readAll(store, "T", 0, 0).length).toBe(taken);
  disk.full = /^$/;
  await clock.advance(1000);
  expect(store.put(message, emptyPut())).toBe(PutStatus.PUT_OK);
  await store.settled();
  expect(readAll(store, "T", 0, 0).length).toBe(taken + 1);
  expect(store.diskFull).toBe(false);
});

test("a segment is made only where there is room for what dispatch will write of it", async () => {
  const clock = new StoreClock();
  const disk = new RoomDisk(clock);
  await using store = await openMemory(disk, clock, {
    retention: { diskSpaceWarningLevelRatio: 100, cleanFileForciblyEnable: false },
  });
  const message = input(store, "T", 0, "x");
  // A segment and a bit is left of 6400 of them.
  disk.usedPercent = 100 - 1.1 / 64;
  let status: PutStatus = PutStatus.PUT_OK;
  for (let i = 0; i < 1000 && status === PutStatus.PUT_OK; i++) status = store.put(message, emptyPut());
  expect(status).toBe(PutStatus.DISK_FULL);
  disk.usedPercent = 100 - 1.2 / 64;
  await clock.advance(1000);
  expect(store.put(message, emptyPut())).toBe(PutStatus.PUT_OK);
});
