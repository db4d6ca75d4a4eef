/**
 * A process killed while it appends: until the very last word is written, nothing of the record, or of any record of the
 * batch, is in the log. Here every write into the segment is looked at, as if it had been the last one.
 */
import { beforeEach, expect, it } from "vitest";
import type { Segment } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import { PutStatus } from "#src/store/types.js";
import { bodyOf, emptyPutResult, message, openStore, put, TickingClock } from "../property/store-fixture.js";

const SEGMENT_BYTES = 16 * 1024;

/** Calls `afterWrite` after each word that is written into a segment. */
class WatchedView extends DataView<ArrayBuffer> {
  afterWrite: (position: number) => void = () => {};

  override setInt32(position: number, value: number): void {
    super.setInt32(position, value);
    this.afterWrite(position);
  }
}

class WatchedDisk extends MemoryDisk {
  readonly views: WatchedView[] = [];
  afterWrite: (view: DataView, position: number) => void = () => {};

  override openSegment(path: string, baseOffset: number, sizeBytes: number): Segment {
    const segment = super.openSegment(path, baseOffset, sizeBytes);
    const { bytes } = segment.window(0, sizeBytes);
    const view = new WatchedView(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length);
    view.afterWrite = (position) => this.afterWrite(view, position);
    const window = { bytes, view, start: 0 };
    return new Proxy(segment, {
      get(target, name: keyof Segment) {
        if (name === "window") return () => window;
        const member = target[name];
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
  }
}

const disk = new WatchedDisk();
let store: MessageStore;

beforeEach(async () => {
  store = await openStore(disk, SEGMENT_BYTES, { clock: new TickingClock() });
  return () => store.close();
});

it("a record's size is written last", () => {
  put(store, "orders", 0, bodyOf(1, 100));
  const start = store.maxPhyOffset % SEGMENT_BYTES;
  const sizes: number[] = [];
  disk.afterWrite = (view) => sizes.push(view.getInt32(start));
  const { sizeBytes } = put(store, "orders", 0, bodyOf(2, 100));
  expect(sizes.at(-1)).toBe(sizeBytes);
  expect(sizes.length).toBeGreaterThan(10);
  expect(sizes.slice(0, -1).every((size) => size === 0)).toBe(true);
});

it("the first record's size is written last of a whole batch", () => {
  put(store, "orders", 0, bodyOf(1, 100));
  const start = store.maxPhyOffset % SEGMENT_BYTES;
  const sizes: number[] = [];
  disk.afterWrite = (view) => sizes.push(view.getInt32(start));
  const queue = store.queue("orders", 0);
  const messages = Array.from({ length: 5 }, (_, i) => message(queue, bodyOf(i, 50 * i), { KEYS: `k${i}` }));
  const result = emptyPutResult();
  expect(store.putBatch(messages, result)).toBe(PutStatus.PUT_OK);
  expect(sizes.at(-1)).toBe(store.lookUp.recordAt(result.phyOffset)?.length);
  expect(sizes.length).toBeGreaterThan(50);
  expect(sizes.slice(0, -1).every((size) => size === 0)).toBe(true);
});
