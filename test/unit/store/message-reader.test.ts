import { rmSync } from "node:fs";
import { expect, test } from "vitest";
import type { SegmentQueue } from "#src/commitlog/segment-queue.js";
import { QueueProgress } from "#src/dispatch/shared-progress.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import { MessageReader } from "#src/store/message-reader.js";
import { QueueUnits } from "#src/store/queue-units.js";
import { emptyGetResult, GetStatus } from "#src/store/types.js";
import { newDirectory, openStore, put } from "./fixture.js";

test("a unit that gives its record less bytes than any has points at none", () => {
  const disk = new MemoryDisk();
  disk.createSegment("/0", 4096);
  const segment = disk.openSegment("/0", 0, 4096);
  const segments = { at: () => segment } as Partial<SegmentQueue> as SegmentQueue;
  const reader = new MessageReader(segments, new QueueUnits(new QueueProgress()));
  for (const sizeBytes of [-1, 0, 1, 2, 3, 4, 90]) {
    segment.whole!.view.setInt32(0, sizeBytes);
    expect(reader.recordAt(0, sizeBytes)).toBeUndefined();
  }
  segment.whole!.view.setInt32(0, 91);
  expect(reader.recordAt(0, 91)).toHaveLength(91);
});

test("where a file of the queue is gone readers are led to the next one, as with Apache, and a tail does not stand still", async () => {
  const directory = newDirectory();
  const store = await openStore({ directory, queueFileBytes: 400 });
  for (let i = 0; i < 50; i++) put(store, "T", 0, `m${i}`);
  await store.settled();
  rmSync(`${directory}/consumequeue/T/0/00000000000000000400`);
  const queue = store.queue("T", 0);
  const result = emptyGetResult();
  const get = (offset: number) => store.get(queue, offset, { maxCount: 32, maxBytes: 1 << 20 }, undefined, result);
  expect([get(25), result.nextBeginOffset]).toEqual([GetStatus.OFFSET_FOUND_NULL, 40]);
  expect([get(10), result.records.length, result.nextBeginOffset]).toEqual([GetStatus.FOUND, 10, 20]);
  const told: number[] = [];
  for await (const { queueOffset } of store.tail(queue, { from: 15 })) if (told.push(queueOffset) === 10) break;
  expect(told).toEqual([15, 16, 17, 18, 19, 40, 41, 42, 43, 44]);
});

test("a filter may read, and put, before it answers", async () => {
  const store = await openStore({ directory: newDirectory() });
  const numbers = Array.from({ length: 40 }, (_, i) => i);
  for (const i of numbers) for (const topic of ["Mine", "Other"]) put(store, topic, 0, `${topic}${i}`);
  await store.settled();
  const [mine, other] = [store.queue("Mine", 0), store.queue("Other", 0)];
  const limits = { maxCount: 64, maxBytes: 1 << 20 };
  let isFailing = false;
  const filter = {
    steps: 0,
    matchesRecord() {
      if (isFailing) throw new Error("no answer");
      put(store, "Mine", 0, "later");
      return store.get(other, 20, limits, undefined, emptyGetResult()) === GetStatus.FOUND;
    },
  };
  const result = emptyGetResult();
  expect(store.get(mine, 0, limits, filter, result)).toBe(GetStatus.FOUND);
  const bodies = result.records.map((record) => decodeRecord(record).body.toString());
  expect(bodies).toEqual(numbers.map((i) => `Mine${i}`));
  isFailing = true;
  expect(() => store.get(mine, 0, limits, filter, result)).toThrow("no answer");
  expect(store.get(other, 0, limits, undefined, result)).toBe(GetStatus.FOUND);
  expect(result.queueOffsets).toEqual(numbers);
});
