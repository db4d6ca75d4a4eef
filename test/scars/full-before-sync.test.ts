/**
 * A disk that is full before the oldest segment's queue entries were ever synced: retention waited for the sync of all
 * that is dispatched, dispatch for room, and neither ended by itself. What is in the files of queues and index is synced
 * now, and the oldest segments go. A crash in the midst of it gives no offset out again.
 */
import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import type { DiskFile, DiskSpace, Segment } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import { PutStatus } from "#src/store/types.js";
import {
  emptyPut,
  input,
  Lines,
  openMemory,
  put,
  readAll,
  SEGMENT_BYTES,
  StoreClock,
  turns,
} from "../unit/store/harness.js";

const BLOCK_BYTES = 512;

/** Files of blocks, of which there are `limitBytes`; it knows what of queues and index a power cut would leave. */
class SmallDisk extends MemoryDisk {
  limitBytes = Number.POSITIVE_INFINITY;
  readonly #blocks = new Map<string, Set<number>>();
  readonly #durable = new Map<string, Buffer>();
  /** Other files get blocks all the same. */
  full = /./;
  /** These get none. */
  refused = /^$/;
  onDiscard: () => void = () => {};

  usedBytes = 0;

  #take(path: string, from: number, length: number): void {
    const blocks = this.#blocks.get(path) ?? new Set();
    this.#blocks.set(path, blocks);
    for (let block = Math.floor(from / BLOCK_BYTES); block * BLOCK_BYTES < from + length; block++) {
      if (blocks.has(block)) continue;
      const isFull = this.full.test(path) && this.usedBytes + BLOCK_BYTES > this.limitBytes;
      if (isFull || this.refused.test(path)) throw new CometError("COMETMQ_DISK_FULL", `${path}: full.`);
      blocks.add(block);
      this.usedBytes += BLOCK_BYTES;
    }
  }

  override openFile(path: string, create: boolean): DiskFile {
    const file = super.openFile(path, create);
    const keep = () => this.#durable.set(path, this.readFile(path)!);
    return {
      path,
      readAt: (target, start, length, position) => file.readAt(target, start, length, position),
      writeAt: (source, start, length, position) => {
        this.#take(path, position, length);
        file.writeAt(source, start, length, position);
      },
      sizeBytes: () => file.sizeBytes(),
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      sync: async () => void keep(),
      syncNow: keep,
      close: () => file.close(),
    };
  }

  override writeAtomically(path: string, content: Uint8Array | string): void {
    // Beside what is there, until it takes its place.
    this.#take(`${path}.tmp`, 0, content.length);
    this.#free(path);
    this.#blocks.set(path, this.#blocks.get(`${path}.tmp`)!);
    this.#blocks.delete(`${path}.tmp`);
    super.writeAtomically(path, content);
    this.#durable.set(path, Buffer.from(content as string));
  }

  override createSegment(path: string, sizeBytes: number): void {
    if (this.usedBytes + sizeBytes > this.limitBytes) throw new CometError("COMETMQ_DISK_FULL", `${path}: full.`);
    super.createSegment(path, sizeBytes);
    this.usedBytes += sizeBytes;
  }

  override remove(path: string): void {
    if (path.startsWith("/s/commitlog/")) this.usedBytes -= this.sizeOf(path);
    super.remove(path);
    this.#free(path);
    this.#durable.delete(path);
  }

  #free(path: string): void {
    this.usedBytes -= (this.#blocks.get(path)?.size ?? 0) * BLOCK_BYTES;
    this.#blocks.delete(path);
  }

  override async discard(path: string, _segment?: Segment): Promise<void> {
    this.onDiscard();
    await super.discard(path);
    this.onDiscard();
  }

  override space(): DiskSpace {
    const totalBytes = Math.min(this.limitBytes, 2 ** 40);
    return { totalBytes, freeBytes: Math.max(0, totalBytes - this.usedBytes) };
  }

  /** What a crash now would leave, on a disk with room; a power cut also takes what was not synced. */
  crashed(how: "process" | "system"): MemoryDisk {
    const disk = new (class extends MemoryDisk {
      override bootId(): string {
        return how === "process" ? super.bootId() : "another";
      }
    })();
    const copy = (directory: string): void => {
      for (const name of this.list(directory)) {
        const path = `${directory}/${name}`;
        if (this.isDirectory(path)) copy(path);
        else disk.writeAtomically(path, this.#left(path, how));
      }
    };
    disk.makeDirectory("/s");
    copy("/s");
    return disk;
  }

  #left(path: string, how: "process" | "system"): Buffer {
    const whole = this.readFile(path)!;
    if (how === "process" || !/\/(consumequeue|index)\//.test(path)) return whole;
    return Buffer.concat([this.#durable.get(path) ?? Buffer.alloc(0), Buffer.alloc(whole.length)], whole.length);
  }
}

type Put = ReturnType<typeof put> & { readonly queueId: number; readonly key: string };
const QUEUES = 4;
/** All of it in one file. */
const INDEX_SIZES = { maxHashSlotNum: 64, maxIndexNum: 4001 };

/** All that was put and lies in the log is read, and nobody gets an offset that somebody had. */
function check(store: MessageStore, puts: readonly Put[]): void {
  const first = store.minPhyOffset;
  const inLog = puts.filter(({ phyOffset }) => phyOffset >= first);
  for (const one of [inLog[0]!, inLog.at(-1)!]) {
    const { records } = store.lookUp.queryByKey({ topic: "T", key: one.key, kind: "K", countMax: 9 });
    expect([one.key, records.length]).toEqual([one.key, 1]);
  }
  for (let queueId = 0; queueId < QUEUES; queueId++) {
    const all = puts.filter((one) => one.queueId === queueId);
    const kept = all.filter(({ phyOffset }) => phyOffset >= first).map(({ queueOffset }) => queueOffset);
    expect(readAll(store, "T", queueId, store.minOffset(store.queue("T", queueId))).map(([offset]) => offset)).toEqual(
      kept,
    );
    expect(put(store, "T", queueId, "next").queueOffset).toBe(all.length);
  }
  expect(put(store, "once", 0, "next").queueOffset).toBe(1);
}

interface Note {
  readonly position: number;
  readonly counts: Record<string, number>;
}

/** What queues and index hold of the log before the place noted, as the note should say. */
function expectNoted(disk: MemoryDisk, puts: readonly Put[]): void {
  const { position, counts } = JSON.parse(disk.readFile("/s/dispatch.checkpoint")!.toString()) as Note;
  const written = puts.filter(({ phyOffset }) => phyOffset < position).length;
  expect(written).toBeLessThan(puts.length);
  const unitCount = 1 + written;
  expect(counts).toEqual({ queueCount: QUEUES + 1, unitCount, firstUnitSum: 0, indexEntryCount: 3 * unitCount });
}

test.each([
  [/./, 0, /^$/],
  [/\/consumequeue\//, 1500, /^$/],
  [/\/index\//, 4000, /^$/],
  [/./, 0, /\/index\//],
])("no room for %s after %i bytes, nor for %s before: the oldest segments make it", async (full, left, refused) => {
  const clock = new StoreClock();
  const disk = new SmallDisk(clock);
  disk.full = full;
  const log = new Lines();
  await using store = await openMemory(disk, clock, { log, indexSizes: INDEX_SIZES });
  const puts: Put[] = [];
  const putOne = (): PutStatus => {
    const queueId = puts.length % QUEUES;
    const key = `m${puts.length}`;
    const result = emptyPut();
    const status = store.put(input(store, "T", queueId, key), result);
    if (status === PutStatus.PUT_OK) puts.push({ ...result, queueId, key });
    return status;
  };
  put(store, "once", 0, "first");
  await store.settled();
  disk.refused = refused;
  while (store.maxPhyOffset < 3.3 * SEGMENT_BYTES) expect(putOne()).toBe(PutStatus.PUT_OK);
  await turns();
  disk.limitBytes = disk.usedBytes + left;
  let status = putOne();
  for (; status === PutStatus.PUT_OK; status = putOne()) if (puts.length % 10 === 0) await turns();
  expect(status).toBe(PutStatus.DISK_FULL);
  await turns();
  expect(log.count(/cannot be read before there is room/)).toBe(1);
  const images: [MemoryDisk, Put[]][] = [];
  disk.onDiscard = () => {
    disk.refused = /^$/;
    for (const how of ["process", "system"] as const) images.push([disk.crashed(how), [...puts]]);
  };

  await clock.advance(12_000);
  expect(store.minPhyOffset).toBeGreaterThan(0);
  expect(log.count(/there is room again/)).toBe(1);
  expect(putOne()).toBe(PutStatus.PUT_OK);
  await store.indexed();
  check(store, puts);
  expect(images.length).toBeGreaterThanOrEqual(4);
  if (!full.test("checkpoint")) expectNoted(...images[0]!);
  for (const [image, then] of images.slice(0, 4)) {
    await using again = await openMemory(image, clock, { indexSizes: INDEX_SIZES });
    expect(again.recovery.aborted).toBe(true);
    check(again, then);
  }
});

test("dispatch that stands inside the oldest segment keeps it, for nobody has read what it has not come to: a little room ends it", async () => {
  const clock = new StoreClock();
  const disk = new SmallDisk(clock);
  disk.refused = /\/consumequeue\//;
  await using store = await openMemory(disk, clock, { indexSizes: INDEX_SIZES });
  const puts = Array.from({ length: 100 }, (_, i) => put(store, "T", 0, `m${i}`));
  expect(store.maxPhyOffset).toBeGreaterThan(SEGMENT_BYTES);
  await turns();
  disk.limitBytes = disk.usedBytes;
  await clock.advance(60_000);
  expect([store.minPhyOffset, store.diskFull, store.dispatchedPosition]).toEqual([0, true, 0]);
  expect(readAll(store, "T", 0, 0)).toEqual([]);
  disk.refused = /^$/;
  disk.limitBytes += 8 * BLOCK_BYTES;
  await clock.advance(2000);
  // Retention may have gone on already: what it left is read, and no offset is given out again.
  const kept = puts.filter(({ phyOffset }) => phyOffset >= store.minPhyOffset).map(({ queueOffset }) => queueOffset);
  expect(store.dispatchedPosition).toBe(store.maxPhyOffset);
  expect(readAll(store, "T", 0, store.minOffset(store.queue("T", 0))).map(([offset]) => offset)).toEqual(kept);
  await clock.advance(12_000);
  expect(store.minPhyOffset).toBeGreaterThan(0);
  expect(put(store, "T", 0, "next").queueOffset).toBe(puts.length);
});
