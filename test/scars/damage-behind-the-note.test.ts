/**
 * What lies behind the last note when a store was not closed: one bad record there once cost all that followed. Now the
 * log goes on wherever an intact record follows; here are the cases in which that is easily got wrong.
 */
import { describe, expect, it } from "vitest";
import { CometError } from "#src/base/errors.js";
import type { DiskFile } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import type { MessageStore } from "#src/store/message-store.js";
import { emptyGetResult, PutStatus } from "#src/store/types.js";
import {
  bodyOf,
  diskOf,
  type DiskImage,
  emptyPutResult,
  imageOf,
  message,
  openStore,
  problemsOf,
  put,
  putNumbered,
  ROOT,
  segmentPath,
  TickingClock,
} from "../property/store-fixture.js";

const SEGMENT_BYTES = 64 * 1024;
const LATER_MS = 1_770_000_000_000;

/** The image with the log changed. */
function withLog(image: DiskImage, change: (log: Buffer) => void, segmentBytes = SEGMENT_BYTES): Map<string, Buffer> {
  const path = segmentPath(segmentBytes, 0);
  const log = Buffer.from(image.get(path)!);
  change(log);
  return new Map(image).set(path, log);
}

async function places(store: MessageStore, segmentBytes = SEGMENT_BYTES): Promise<number[]> {
  const { records, problems } = await problemsOf(store, segmentBytes);
  expect(problems).toEqual([]);
  return records.map(({ phyOffset }) => phyOffset);
}

describe("a write that was under way when the process was killed", () => {
  const PAGE_BYTES = 4096;
  const LARGE_SEGMENT_BYTES = 1024 * 1024;

  /** Images of the log: before a turn, and with all of it. */
  async function killedStore(act: (store: MessageStore) => void) {
    const disk = new MemoryDisk();
    const store = await openStore(disk, LARGE_SEGMENT_BYTES, { clock: new TickingClock() });
    for (let number = 0; number < 7; number++) putNumbered(store, number, 50);
    const before = await places(store, LARGE_SEGMENT_BYTES);
    const begin = store.maxPhyOffset;
    act(store);
    const { records } = await problemsOf(store, LARGE_SEGMENT_BYTES);
    return { image: imageOf(disk), before, begin, end: store.maxPhyOffset, written: records.slice(before.length) };
  }

  function batchOf(store: MessageStore, count: number, bodyBytes: number): void {
    const queue = store.queue("batches", 0);
    const batch = Array.from({ length: count }, (_, i) => message(queue, bodyOf(i, bodyBytes + i), { KEYS: `b${i}` }));
    expect(store.putBatch(batch, emptyPutResult())).toBe(PutStatus.PUT_OK);
  }

  const TURNS: Record<string, (store: MessageStore) => void> = {
    "messages of many queues": (store) => {
      for (let number = 7; number < 60; number++) putNumbered(store, number, 50 * (number % 13));
    },
    "a batch": (store) => batchOf(store, 40, 300),
    "a batch beyond the window": (store) => batchOf(store, 120, 4_000),
  };

  it.each(Object.keys(TURNS))("is not there at all, however far it was written: %s", async (name) => {
    const { image, before, begin, end } = await killedStore(TURNS[name]!);
    const head = begin + PAGE_BYTES - (begin % PAGE_BYTES);
    expect(end).toBeGreaterThan(head + 2 * PAGE_BYTES);
    const step = PAGE_BYTES * Math.ceil((end - head) / PAGE_BYTES / 8);
    for (let written = head; written < end + step; written += step) {
      const torn = withLog(image, (log) => log.fill(0, begin, head).fill(0, written), LARGE_SEGMENT_BYTES);
      const clock = new TickingClock(LATER_MS);
      const store = await openStore(diskOf(torn), LARGE_SEGMENT_BYTES, { clock });
      const { damages, findings, cutBytes, cutReason } = store.recovery;
      expect([written, store.maxPhyOffset, damages, findings]).toEqual([written, begin, [], expect.anything()]);
      expect(findings.filter(({ problem }) => problem !== "entry was missing")).toEqual([]);
      expect(cutBytes > 0).toBe(written > head);
      if (written >= end) expect(cutReason).toBe("torn-write");
      putNumbered(store, 7, 50);
      await store.settled();
      expect(await places(store, LARGE_SEGMENT_BYTES)).toEqual([...before, begin]);
      await store.close();
    }
  });

  it("is told from a hole that ends where no page does", async () => {
    const { image, before, begin, written } = await killedStore(TURNS["messages of many queues"]!);
    const [, , third, ...rest] = written;
    const cut = withLog(image, (log) => log.fill(0, begin, third!.phyOffset + 10), LARGE_SEGMENT_BYTES);
    const store = await openStore(diskOf(cut), LARGE_SEGMENT_BYTES, { clock: new TickingClock(LATER_MS) });
    const kept = await places(store, LARGE_SEGMENT_BYTES);
    expect(kept).toEqual([...before, ...rest.map(({ phyOffset }) => phyOffset)]);
    expect(store.recovery.damages).toEqual([{ fromOffset: begin, toOffset: rest[0]!.phyOffset }]);
    await store.close();
  });

  it("is told from a hole before more than one write can hold", async () => {
    const { image, begin, written } = await killedStore((store) => {
      for (let number = 7; number < 300; number++) putNumbered(store, number, 1_000);
    });
    const head = begin + PAGE_BYTES - (begin % PAGE_BYTES);
    const cut = withLog(image, (log) => log.fill(0, begin, head), LARGE_SEGMENT_BYTES);
    const store = await openStore(diskOf(cut), LARGE_SEGMENT_BYTES, { clock: new TickingClock(LATER_MS) });
    const found = written.find(({ phyOffset }) => phyOffset >= head)!;
    expect(store.recovery.damages).toEqual([{ fromOffset: begin, toOffset: found.phyOffset }]);
    await store.close();
  });
});

it("does not take for messages what Apache has cut off and left behind the log's end", async () => {
  const disk = new MemoryDisk();
  const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock() });
  for (let number = 0; number < 30; number++) putNumbered(store, number, 200);
  const former = await places(store);
  await store.close();
  // Apache cuts at the 11th and writes three others, of other lengths.
  const again = new MemoryDisk();
  const other = await openStore(again, SEGMENT_BYTES, { clock: new TickingClock() });
  for (let number = 0; number < 10; number++) putNumbered(other, number, 200);
  await other.close();
  const later = await openStore(again, SEGMENT_BYTES, { clock: new TickingClock(LATER_MS - 1000) });
  for (let number = 50; number < 53; number++) putNumbered(later, number, 217);
  const wanted = await places(later);
  const end = later.maxPhyOffset;
  expect(former).not.toContain(end);
  const image = withLog(imageOf(again), (log) => imageOf(disk).get(segmentPath(SEGMENT_BYTES, 0))!.copy(log, end, end));
  for (const name of ["dispatch.checkpoint", "checkpoint"]) image.delete(`${ROOT}/${name}`);
  const opened = await openStore(diskOf(image), SEGMENT_BYTES, { clock: new TickingClock(LATER_MS) });
  expect(opened.maxPhyOffset).toBe(end);
  expect(opened.recovery.cutBytes).toBeGreaterThan(0);
  expect(await places(opened)).toEqual(wanted);
  await opened.close();
});

it("gives the queue offset of a damaged message to no other", async () => {
  const disk = new MemoryDisk();
  const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock() });
  for (let i = 0; i < 5; i++) put(store, "first", 0, bodyOf(i, 40));
  const { phyOffset } = put(store, "first", 0, bodyOf(5, 40));
  put(store, "second", 0, bodyOf(6, 40));
  expect(store.publish()).toBe(true);
  const image = withLog(imageOf(disk), (log) => {
    log[phyOffset + 95]! ^= 8;
  });
  const opened = await openStore(diskOf(image), SEGMENT_BYTES, { clock: new TickingClock(LATER_MS) });
  expect(opened.recovery.damages).toHaveLength(1);
  expect(opened.maxOffset(opened.queue("first", 0))).toBe(6);
  expect(put(opened, "first", 0, bodyOf(7, 40)).queueOffset).toBe(6);
  await opened.settled();
  expect(await places(opened)).toHaveLength(7);
  await opened.close();
});

// Of more than 16 the entries once stayed, and more than 1000 are not in the report.
it.each([17, 1001])("serves none of %i damaged messages, neither now nor after the next start", async (count) => {
  const segmentBytes = 1024 * 1024;
  const disk = new MemoryDisk();
  const store = await openStore(disk, segmentBytes, { clock: new TickingClock() });
  const damaged: number[] = [];
  const sound: number[] = [];
  for (let i = 0; i <= 2 * count; i++) {
    const { phyOffset, queueOffset } = put(store, "T", 0, bodyOf(i, 40));
    if (i % 2 === 0) sound.push(queueOffset);
    else damaged.push(phyOffset);
  }
  await store.close();
  const image = withLog(
    imageOf(disk),
    (log) => {
      for (const phyOffset of damaged) log[phyOffset + 95]! ^= 8;
    },
    segmentBytes,
  );
  const hurt = diskOf(image);
  for (const start of ["first", "second"]) {
    const opened = await openStore(hurt, segmentBytes, { clock: new TickingClock(LATER_MS) });
    if (start === "first") expect(opened.recovery.damages).toHaveLength(Math.min(count, 1000));
    const queue = opened.queue("T", 0);
    const served: number[] = [];
    const result = emptyGetResult();
    for (let offset = 0; offset < opened.maxOffset(queue); offset = result.nextBeginOffset) {
      opened.get(queue, offset, { maxCount: 32, maxBytes: 1 << 20 }, undefined, result);
      served.push(...result.queueOffsets);
    }
    expect(served).toEqual(sound);
    expect(opened.maxOffset(queue)).toBe(2 * count + 1);
    await opened.close();
  }
  // To whoever else reads the files they are blank, too.
  const units = Buffer.concat([...imageOf(hurt, `${ROOT}/consumequeue/T/0`).values()]);
  const sizes = Array.from({ length: 2 * count + 1 }, (_, i) => units.readInt32BE(i * 20 + 8));
  expect(sizes.filter((sizeBytes) => sizeBytes === 0x7fffffff)).toHaveLength(count);
});

class BootedDisk extends MemoryDisk {
  boot = "first";

  override bootId(): string {
    return this.boot;
  }
}

it.each([
  // A process that is killed leaves no hole, and the rest of a segment is not searched for nothing.
  ["the process was killed", "first", undefined, false],
  // What lies behind a hole relied on what is missing.
  ["the system has stopped", "second", undefined, false],
  ["another broker had the store", "second", "4711", true],
])("a long hole, after which %s", async (_, boot, abortText, goesOn) => {
  const segmentBytes = 32 * 1024 * 1024;
  const disk = new BootedDisk();
  const store = await openStore(disk, segmentBytes, { clock: new TickingClock() });
  const body = Buffer.alloc(500_000, "b");
  while (store.maxPhyOffset < 14 * 1024 * 1024) put(store, "big", 0, body, { KEYS: "k" });
  const written = await places(store, segmentBytes);
  const [hole, behind] = [written[4]!, written.find((at) => at > written[4]! + 9 * 1024 * 1024)!];
  const image = withLog(imageOf(disk), (log) => log.fill(0, hole, behind - 5000), segmentBytes);
  const next = new BootedDisk();
  next.boot = boot;
  next.makeDirectory(ROOT);
  for (const [path, bytes] of image) next.writeAtomically(path, bytes);
  if (abortText !== undefined) next.writeAtomically(`${ROOT}/abort`, abortText);
  const opened = await openStore(next, segmentBytes, { clock: new TickingClock(LATER_MS) });
  expect(await places(opened, segmentBytes)).toEqual(written.filter((at) => at < hole || (goesOn && at >= behind)));
  // New records would grow up to what is left there, and the next kill would find it again.
  if (boot === "second" && !goesOn) {
    expect(opened.recovery.cutBytes).toBe(written.at(-1)! + (written[1]! - written[0]!) - hole);
    const log = imageOf(next).get(segmentPath(segmentBytes, 0))!;
    expect(log.subarray(hole).equals(Buffer.alloc(segmentBytes - hole))).toBe(true);
    const [name, ...others] = next.list(`${ROOT}/lost+found`);
    expect(others).toEqual([]);
    const kept = imageOf(next).get(`${ROOT}/lost+found/${name}`)!;
    expect(kept.equals(image.get(segmentPath(segmentBytes, 0))!.subarray(hole, hole + kept.length))).toBe(true);
  }
  await opened.close();
});

it("a power cut ends the log at the first damage behind the note, and what follows is kept", async () => {
  const disk = new BootedDisk();
  const store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock() });
  for (let i = 0; i < 9; i++) put(store, "T", 0, Buffer.from(`body ${i}`), {});
  const written = await places(store, SEGMENT_BYTES);
  const image = withLog(imageOf(disk), (log) => log.fill(0, written[4]!, written[5]!), SEGMENT_BYTES);
  const next = new BootedDisk();
  next.boot = "second";
  next.makeDirectory(ROOT);
  for (const [path, bytes] of image) next.writeAtomically(path, bytes);
  const opened = await openStore(next, SEGMENT_BYTES, { clock: new TickingClock(LATER_MS) });
  expect(opened.recovery.cutBytes).toBeGreaterThan(0);
  expect(await places(opened, SEGMENT_BYTES)).toEqual(written.slice(0, 4));
  expect(next.list(`${ROOT}/lost+found`).length).toBeGreaterThan(0);
  await opened.close();
});

class SyncFailsOnce extends MemoryDisk {
  left = 0;

  override openFile(path: string, create: boolean): DiskFile {
    const file = super.openFile(path, create);
    const sync = file.sync.bind(file);
    file.sync = () => {
      if (!path.includes("/consumequeue/") || this.left === 0) return sync();
      this.left--;
      return Promise.reject(new CometError("COMETMQ_IO", `Could not sync ${path}.`));
    };
    return file;
  }
}

it("does not open when a sync has failed that ran beside the walk, though the next ones succeed", async () => {
  const segmentBytes = 32 * 1024 * 1024;
  const disk = new SyncFailsOnce();
  const options = { clock: new TickingClock(), queueFileBytes: 20 * 100_000 };
  const store = await openStore(disk, segmentBytes, options);
  // Recovery syncs beside its walk once it has made so much.
  const body = Buffer.alloc(12_000, "b");
  let count = 0;
  while (store.maxPhyOffset < 200 * 1024 * 1024) {
    put(store, "long", count % 2, body);
    count++;
  }
  await store.close();
  for (const path of imageOf(disk, `${ROOT}/consumequeue`).keys()) disk.remove(path);
  disk.left = 1;
  await expect(openStore(disk, segmentBytes, options)).rejects.toMatchObject({ code: "COMETMQ_IO" });
  expect(disk.left).toBe(0);
  const opened = await openStore(disk, segmentBytes, options);
  const queue = opened.queue("long", 1);
  expect(opened.maxOffset(queue)).toBe(Math.floor(count / 2));
  expect(decodeRecord(opened.lookUp.messageAt(queue, opened.maxOffset(queue) - 1)!).body.equals(body)).toBe(true);
  await opened.close();
});

it("a log on a device of its own: what lies behind its end is put aside all the same", async () => {
  class TwoDevices extends BootedDisk {
    override rename(from: string, to: string): void {
      const cause = Object.assign(new Error("another device"), { code: "EXDEV" });
      if (from.startsWith(ROOT) !== to.startsWith(ROOT))
        throw new CometError("COMETMQ_IO", "Could not rename.", { cause });
      super.rename(from, to);
    }
  }
  const disk = new TwoDevices();
  const options = { clock: new TickingClock(), commitLogDirectory: "/log" };
  const store = await openStore(disk, SEGMENT_BYTES, options);
  for (let number = 0; number < 200; number++) putNumbered(store, number, 900);
  await store.settled();
  const [first, second, third] = disk.list("/log").map((name) => `/log/${name}`);
  const written = disk.readFile(second!)!;
  const last = disk.readFile(third!)!;
  disk.writeAtomically(second!, Buffer.from(written).fill(0, 20_000, 30_000));
  const next = new TwoDevices();
  next.boot = "second";
  next.makeDirectory(ROOT);
  for (const [path, bytes] of [...imageOf(disk), ...imageOf(disk, "/log")]) next.writeAtomically(path, bytes);
  const opened = await openStore(next, SEGMENT_BYTES, { ...options, clock: new TickingClock(LATER_MS) });
  const { endOffset, cutReason } = opened.recovery;
  expect(cutReason).toBe("power-cut");
  expect(next.list("/log").map((name) => `/log/${name}`)).toEqual([first, second]);
  const [begun, whole] = next.list(`${ROOT}/lost+found`).map((name) => next.readFile(`${ROOT}/lost+found/${name}`)!);
  // Each without the zeros behind its last byte.
  const end = endOffset - SEGMENT_BYTES;
  const isKept = (kept: Buffer, bytes: Buffer) =>
    Buffer.concat([kept, Buffer.alloc(bytes.length - kept.length)]).equals(bytes);
  expect(isKept(begun!, Buffer.from(written).fill(0, 20_000, 30_000).subarray(end))).toBe(true);
  expect(isKept(whole!, last)).toBe(true);
  await opened.close();
});
