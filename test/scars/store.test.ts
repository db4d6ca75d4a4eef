/**
 * What has broken in Apache RocketMQ's store, by the numbers of its issues, done to this one. Where other tests go
 * further, docs/internals/scars.md says which.
 */
import { expect, it } from "vitest";
import type { DiskFile } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import type { MessageStore } from "#src/store/message-store.js";
import {
  diskOf,
  imageOf,
  openStore,
  problemsOf,
  putNumbered,
  QUEUE_FILE_BYTES,
  ROOT,
  TickingClock,
} from "../property/store-fixture.js";

const SEGMENT_BYTES = 64 * 1024;
const UNIT_BYTES = 20;
const clock = new TickingClock();

const open = (disk: MemoryDisk): Promise<MessageStore> => openStore(disk, SEGMENT_BYTES, { clock });

function putMany(store: MessageStore, from: number, to: number): void {
  for (let number = from; number < to; number++) putNumbered(store, number, 100);
}

/** Numbers of the messages that are found by their unique keys, of those before `count`. */
function foundKeys(store: MessageStore, count: number): number[] {
  return Array.from({ length: count }, (_, number) => number).filter((number) => {
    const topic = number % 5 === 0 ? "payments" : "orders";
    const { records } = store.lookUp.queryByKey({ topic, key: `unique${number}`, kind: "U", countMax: 5 });
    return records.some((record) => decodeRecord(record).properties.get("UNIQ_KEY") === `unique${number}`);
  });
}

const allOf = (count: number): number[] => Array.from({ length: count }, (_, number) => number);

async function expectSound(store: MessageStore, count: number): Promise<void> {
  const { records, problems } = await problemsOf(store, SEGMENT_BYTES);
  expect(problems).toEqual([]);
  expect(records.map(({ uniqueKey }) => uniqueKey)).toEqual(allOf(count).map((number) => `unique${number}`));
  expect(foundKeys(store, count)).toEqual(allOf(count));
}

/** The store after `first` messages and after `second`, each as a kill would leave it, and closed at last. */
async function twoStates(first: number, second: number) {
  const disk = new MemoryDisk();
  const store = await open(disk);
  putMany(store, 0, first);
  await store.settled();
  const early = imageOf(disk);
  putMany(store, first, second);
  await store.settled();
  const late = imageOf(disk);
  await store.close();
  return { early, late, closed: imageOf(disk) };
}

const inLog = (path: string): boolean => path.startsWith(`${ROOT}/commitlog/`);
const inQueues = (path: string): boolean => path.startsWith(`${ROOT}/consumequeue/`);

it("#405, #467, #1434: what was not dispatched before a crash is in its queue after it", async () => {
  const { early, late } = await twoStates(100, 250);
  const image = new Map([...[...early].filter(([path]) => !inLog(path)), ...[...late].filter(([path]) => inLog(path))]);
  await expectSound(await open(diskOf(image)), 250);
});

it("#495, #6609, #7355: queues that are ahead of a log that lost its tail are cut, and go on with the log", async () => {
  const { early, late } = await twoStates(100, 250);
  const image = new Map([...[...late].filter(([path]) => !inLog(path)), ...[...early].filter(([path]) => inLog(path))]);
  const store = await open(diskOf(image));
  await expectSound(store, 100);
  putMany(store, 100, 180);
  await store.settled();
  await expectSound(store, 180);
});

it.each(["empty", "full of zeros"])("#9728: a last queue file that is %s stops no start", async (kind) => {
  for (const state of ["late", "closed"] as const) {
    const image = new Map((await twoStates(100, 150))[state]);
    const directory = `${ROOT}/consumequeue/orders/1`;
    const last = [...image.keys()]
      .filter((path) => path.startsWith(directory))
      .sort()
      .at(-1)!;
    const next = Number(last.slice(-20)) + QUEUE_FILE_BYTES;
    image.set(`${directory}/${String(next).padStart(20, "0")}`, Buffer.alloc(kind === "empty" ? 0 : QUEUE_FILE_BYTES));
    const store = await open(diskOf(image));
    await expectSound(store, 150);
    putMany(store, 150, 400);
    await store.settled();
    await expectSound(store, 400);
  }
});

it("#472, #1258, #7478: a start reads little of long queues", async () => {
  let readBytes = 0;
  class CountingDisk extends MemoryDisk {
    override openFile(path: string, create: boolean): DiskFile {
      const file = super.openFile(path, create);
      const readAt = file.readAt.bind(file);
      file.readAt = (...values) => {
        const count = readAt(...values);
        if (inQueues(path)) readBytes += count;
        return count;
      };
      return file;
    }
  }
  const disk = new CountingDisk();
  const store = await openStore(disk, 8 * 1024 * 1024, { clock });
  for (let number = 0; number < 60_000; number++) putNumbered(store, number * 3, 0);
  await store.settled();
  await store.close();
  const files = [...imageOf(disk).keys()].filter(inQueues);
  expect(files.length).toBeGreaterThan(500);
  readBytes = 0;
  const again = await openStore(disk, 8 * 1024 * 1024, { clock });
  // The two queues' last files, and the entries of the log's last four megabytes, which every start holds against it.
  expect(again.recovery.fromOffset).toBeGreaterThan(0);
  expect(readBytes).toBeLessThan((60_000 * UNIT_BYTES) / 2 + 100_000);
  await again.close();
});

it("#2830, #8239: with synchronous flush nobody sees what is not on the disk yet", async () => {
  class StuckDisk extends MemoryDisk {
    sync: () => void = () => {};
    override openSegment(path: string, baseOffset: number, sizeBytes: number) {
      const segment = super.openSegment(path, baseOffset, sizeBytes);
      segment.sync = () =>
        new Promise((resolve) => {
          this.sync = resolve;
        });
      return segment;
    }
  }
  const disk = new StuckDisk();
  const store = await openStore(disk, SEGMENT_BYTES, { flushDiskType: "SYNC_FLUSH" });
  putMany(store, 0, 9);
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  const visible = () => store.allQueues().reduce((sum, queue) => sum + store.maxOffset(queue), 0);
  expect([visible(), foundKeys(store, 9), store.dispatchedPosition]).toEqual([0, [], 0]);
  disk.sync();
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect([visible(), store.dispatchedPosition]).toEqual([9, store.maxPhyOffset]);
});

it("#3868, #8007: a crash costs no key its place in the index, the last file's neither", async () => {
  const { late } = await twoStates(300, 400);
  const before = [...late.keys()].filter((path) => path.startsWith(`${ROOT}/index/`));
  expect(before.length).toBeGreaterThan(3);
  const disk = diskOf(late);
  const store = await open(disk);
  expect(store.recovery.aborted).toBe(true);
  expect(disk.list(`${ROOT}/index`).length).toBe(before.length);
  expect(foundKeys(store, 400)).toEqual(allOf(400));
});

it("#8018: a chain of the index that leads back to itself ends a look-up", async () => {
  const { closed } = await twoStates(20, 40);
  const image = new Map(closed);
  for (const [path, content] of closed) {
    if (!path.startsWith(`${ROOT}/index/`)) continue;
    const bytes = Buffer.from(content);
    // Every entry names itself as the one before it in its slot: 40 bytes, 64 slots, then entries of 20.
    for (let at = 40 + 64 * 4 + 16, number = 0; at < bytes.length; at += 20, number++) bytes.writeInt32BE(number, at);
    image.set(path, bytes);
  }
  const store = await open(diskOf(image));
  expect(foundKeys(store, 40).length).toBeLessThanOrEqual(40);
  expect((await problemsOf(store, SEGMENT_BYTES, 1000)).records.length).toBe(40);
});

it("#7539: starts make no index files, nor do crashes", async () => {
  let disk = new MemoryDisk();
  let count = 0;
  for (let start = 0; start < 30; start++) {
    const store = await open(disk);
    putMany(store, count, count + 2);
    count += 2;
    await store.settled();
    if (start % 2 === 0) disk = diskOf(imageOf(disk));
    else await store.close();
  }
  // 60 messages have some 200 entries.
  expect(disk.list(`${ROOT}/index`).length).toBeLessThanOrEqual(2);
  await expectSound(await open(disk), count);
});

it("#4463: the index is on the disk when the store is closed", async () => {
  const { closed } = await twoStates(10, 30);
  const store = await open(diskOf(closed));
  expect(store.recovery.findings).toEqual([]);
  expect(foundKeys(store, 30)).toEqual(allOf(30));
});

it("#678: a checkpoint that is ahead of the queues costs no message", async () => {
  const { early, late, closed } = await twoStates(100, 250);
  for (const notes of [late, closed]) {
    const image = new Map([...early].filter(([path]) => inQueues(path)));
    for (const [path, bytes] of late) if (!inQueues(path)) image.set(path, bytes);
    for (const name of ["checkpoint", "dispatch.checkpoint"]) {
      const note = notes.get(`${ROOT}/${name}`);
      if (note !== undefined) image.set(`${ROOT}/${name}`, note);
    }
    await expectSound(await open(diskOf(image)), 250);
  }
});
