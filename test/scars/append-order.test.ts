/**
 * A process killed while it appends: until the very last write, nothing of what one turn of the event loop put is in the log,
 * no record and no part of a batch. The kernel leaves a write undone at the boundary of a page, if anywhere: here every write
 * is looked at as if it had been the last one, and each but the last crosses boundaries as it likes.
 */
import { beforeEach, expect, it } from "vitest";
import type { Segment } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import { PutStatus } from "#src/store/types.js";
import { bodyOf, emptyPutResult, message, openStore, put, TickingClock } from "../property/store-fixture.js";

const SEGMENT_BYTES = 1024 * 1024;
const PAGE_BYTES = 4096;

interface Write {
  position: number;
  length: number;
}

class WatchedDisk extends MemoryDisk {
  afterWrite: (segment: Segment, write: Write) => void = () => {};

  override openSegment(path: string, baseOffset: number, sizeBytes: number): Segment {
    const segment = super.openSegment(path, baseOffset, sizeBytes);
    const write: Segment["write"] = (source, start, length, position) => {
      segment.write(source, start, length, position);
      this.afterWrite(segment, { position, length });
    };
    return new Proxy(segment, {
      get(target, name: keyof Segment) {
        if (name === "write") return write;
        const member = target[name];
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
  }
}

const disk = new WatchedDisk();
let store: MessageStore;
let start: number;
let writes: Write[];
/** The first word of what the turn put, after each write. */
let sizes: number[];

beforeEach(async () => {
  store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock() });
  put(store, "orders", 0, bodyOf(1, 100));
  expect(store.publish()).toBe(true);
  start = store.maxPhyOffset % SEGMENT_BYTES;
  [writes, sizes] = [[], []];
  disk.afterWrite = (segment, write) => {
    writes.push(write);
    sizes.push(segment.whole!.view.getInt32(start));
  };
  return () => {
    disk.afterWrite = () => {};
    return store.close();
  };
});

function expectAllAtOnce(end: number): void {
  const last = writes.at(-1)!;
  expect(last.position).toBe(start);
  expect(Math.floor(start / PAGE_BYTES)).toBe(Math.floor((start + last.length - 1) / PAGE_BYTES));
  expect(sizes.slice(0, -1).every((size) => size === 0)).toBe(true);
  expect(sizes.at(-1)).toBeGreaterThan(0);
  expect(writes.reduce((sum, { length }) => sum + length, 0)).toBe(end - start);
}

it("what fits into a page is one write, when the turn ends", async () => {
  put(store, "orders", 0, bodyOf(2, 100));
  put(store, "orders", 1, bodyOf(3, 200));
  expect(writes).toEqual([]);
  await Promise.resolve();
  expect(writes).toHaveLength(1);
  expectAllAtOnce(store.maxPhyOffset % SEGMENT_BYTES);
});

it("the beginning of many records is written last", () => {
  for (let i = 0; i < 50; i++) put(store, "orders", i % 3, bodyOf(i, 100 * i));
  expect(writes).toEqual([]);
  expect(store.publish()).toBe(true);
  expect(writes).toHaveLength(2);
  expectAllAtOnce(store.maxPhyOffset % SEGMENT_BYTES);
});

it("the beginning of a batch is written last", () => {
  const queue = store.queue("orders", 0);
  const messages = Array.from({ length: 200 }, (_, i) => message(queue, bodyOf(i, 10 * i), { KEYS: `k${i}` }));
  const result = emptyPutResult();
  expect(store.putBatch(messages, result)).toBe(PutStatus.PUT_OK);
  expect(result.sizeBytes).toBeGreaterThan(192 * 1024);
  expect(store.publish()).toBe(true);
  expect(writes).toHaveLength(2);
  expect(sizes.at(-1)).toBe(store.lookUp.recordAt(result.phyOffset)?.length);
  expectAllAtOnce(store.maxPhyOffset % SEGMENT_BYTES);
});

it("a batch is not torn where the window is full: what is there goes out before it", () => {
  for (let i = 0; i < 20; i++) put(store, "orders", 0, bodyOf(i, 4000));
  const batchStart = store.maxPhyOffset;
  const queue = store.queue("orders", 0);
  const messages = Array.from({ length: 100 }, (_, i) => message(queue, bodyOf(i, 2000)));
  expect(store.putBatch(messages, emptyPutResult())).toBe(PutStatus.PUT_OK);
  expectAllAtOnce(batchStart % SEGMENT_BYTES);
  [writes, sizes] = [[], []];
  start = batchStart % SEGMENT_BYTES;
  expect(store.publish()).toBe(true);
  expectAllAtOnce(store.maxPhyOffset % SEGMENT_BYTES);
});
