/** Who waits for a message can read it before dispatch has come to it, and nobody sees a queue's end move back. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { javaHash } from "#src/base/java-hash.js";
import { UnitBatch } from "#src/consumequeue/unit.js";
import { QueueProgress } from "#src/dispatch/shared-progress.js";
import { encodeProperties } from "#src/record/properties.js";
import { decodeRecord } from "#src/record/decode.js";
import { QueueUnits } from "#src/store/queue-units.js";
import type { StoreQueue } from "#src/store/store-queue.js";
import type { MessageStore } from "#src/store/message-store.js";
import { emptyGetResult, type GetResult, GetStatus, type QueueHandle, type TagFilter } from "#src/store/types.js";
import { HandClock } from "../remoting/peers.js";
import { bodiesIn, messageOf, newDirectory, newPutResult, openStore, put } from "./fixture.js";

function get(store: MessageStore, queue: QueueHandle, offset: number, filter?: TagFilter): GetResult {
  const result = emptyGetResult();
  store.get(queue, offset, { maxCount: 32, maxBytes: 1 << 20 }, filter, result);
  return result;
}

/** Nothing wakes dispatch but an append that has to: its clock stands still. */
async function openStill(options: { flushDiskType?: "SYNC_FLUSH" } = {}): Promise<MessageStore> {
  const store = await openStore({ directory: newDirectory(), threads: true, clock: new HandClock(), ...options });
  // What was appended so far is behind dispatch, and it sleeps.
  put(store, "OTHER", 0, "first");
  await store.settled();
  store.setInterest(true);
  return store;
}

test("a message is there at the end of the turn that put it, with its tag, and who listens hears of it", async () => {
  const store = await openStill();
  const queue = store.queue("T", 0);
  const heard: QueueHandle[] = [];
  store.onArrival((grown) => heard.push(grown));
  const properties = encodeProperties([["TAGS", "red"]]);
  const message = { ...messageOf(store, "T", 0, "a"), properties, propertiesLength: properties.length };
  store.put(message, newPutResult());
  put(store, "T", 0, "b");
  expect(store.maxOffset(queue)).toBe(2);
  expect(heard).toEqual([]);
  await Promise.resolve();
  expect(heard).toEqual([queue, queue]);
  expect(get(store, queue, 0).queueOffsets).toEqual([0, 1]);
  expect(get(store, queue, 0, new Set([javaHash("red")])).queueOffsets).toEqual([0]);
  expect(get(store, queue, 2).status).toBe(GetStatus.OFFSET_OVERFLOW_ONE);
  expect(store.lookUp.messageAt(queue, 1)).toEqual(get(store, queue, 1).records[0]);
  expect(bodiesIn(store, "T", 0)).toEqual(["a", "b"]);
  await store.settled();
  expect(bodiesIn(store, "T", 0)).toEqual(["a", "b"]);
  store.setInterest(false);
});

test("what searches the files of queues finds it after a catch-up", async () => {
  const store = await openStill();
  const queue = store.queue("T", 0);
  for (let count = 1; count < 50; count++) {
    put(store, "T", 0, "a");
    await Promise.resolve();
    // A call waits some milliseconds at the most, which a busy machine may need more than once.
    for (let i = 0; i < 1000 && !store.catchUp(); i++);
    expect(store.lookUp.offsetByTime(queue, Number.MAX_SAFE_INTEGER, "LOWER")).toBe(count);
  }
  store.setInterest(false);
});

test("with SYNC_FLUSH nothing is shown before it is durable", async () => {
  const store = await openStill({ flushDiskType: "SYNC_FLUSH" });
  const queue = store.queue("T", 0);
  const result = newPutResult();
  put(store, "T", 0, "a", result);
  await Promise.resolve();
  expect(store.flushedPosition).toBeLessThanOrEqual(result.phyOffset);
  expect(store.maxOffset(queue)).toBe(0);
  await store.settled();
  expect(store.flushedPosition).toBeGreaterThan(result.phyOffset);
  expect(bodiesIn(store, "T", 0)).toEqual(["a"]);
  store.setInterest(false);
});

test("many messages of one turn, or more than are kept, are shown by dispatch, each once and in order", async () => {
  const store = await openStill();
  const queue = store.queue("T", 0);
  let offset = 0;
  const seen: string[] = [];
  const expected: string[] = [];
  for (let turn = 0; turn < 200; turn++) {
    for (let i = 0; i <= turn % 24; i++) {
      const body = `${turn} ${i}`;
      expected.push(body);
      put(store, "T", 0, body);
    }
    await Promise.resolve();
    // Dispatch may show more between these two.
    const max = store.maxOffset(queue);
    const { status, nextBeginOffset, records } = get(store, queue, offset);
    expect(max).toBeGreaterThanOrEqual(offset);
    if (max > offset) expect(status).toBe(GetStatus.FOUND);
    else expect([GetStatus.FOUND, GetStatus.NO_MESSAGE_IN_QUEUE, GetStatus.OFFSET_OVERFLOW_ONE]).toContain(status);
    if (status !== GetStatus.FOUND) continue;
    offset = nextBeginOffset;
    seen.push(...records.map((record) => decodeRecord(record).body.toString()));
  }
  expect(seen).toEqual(expected.slice(0, offset));
  await store.settled();
  expect(bodiesIn(store, "T", 0)).toEqual(expected);
  store.setInterest(false);
});

test("what dispatch is woken for comes without anybody's help: as many as one turn shows, and one more", async () => {
  const store = await openStill();
  const queue = store.queue("T", 0);
  const heard = new Promise<void>((resolve) => {
    store.onArrival(() => {
      if (store.maxOffset(queue) === 9) resolve();
    });
  });
  for (let i = 0; i < 9; i++) put(store, "T", 0, `${i}`);
  await heard;
  expect(bodiesIn(store, "T", 0)).toHaveLength(9);
  store.setInterest(false);
});

test("a queue's end moves on only, and every unit before it is the right one, whatever dispatch has written", () => {
  const step = fc.record({
    kind: fc.constantFrom("show", "put", "dispatch"),
    count: fc.integer({ min: 1, max: 20 }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), fc.array(step, { maxLength: 40 }), (begin, steps) => {
      const progress = new QueueProgress();
      progress.reserve(0);
      progress.setMaxOffset(0, begin);
      const written: number[] = [];
      const reader = {
        read: (from: number, maxCount: number, maxOffset: number, into: UnitBatch) => {
          into.firstOffset = from;
          into.count = 0;
          for (let at = from; at < maxOffset && into.count < maxCount; at++)
            into.add(written[at - begin]!, 100, at | 0);
          return into.count;
        },
      };
      const queue = { slot: 0, reader, fresh: undefined } as unknown as StoreQueue;
      const units = new QueueUnits(progress);
      const batch = new UnitBatch(8);
      const pending: number[] = [];
      let next = begin;
      let end = begin;
      for (const { kind, count } of steps) {
        if (kind === "dispatch") {
          written.push(...pending.splice(0, count));
          progress.setMaxOffset(0, begin + written.length);
        }
        for (let i = 0; i < count && kind !== "dispatch"; i++, next++) {
          pending.push(next * 3);
          const isShown = kind === "show" && units.show(queue, next, next * 3, 100, next | 0);
          if (isShown) expect(units.maxOffset(queue)).toBe(next + 1);
        }
        const max = units.maxOffset(queue);
        expect(max).toBeGreaterThanOrEqual(end);
        expect(max).toBeLessThanOrEqual(next);
        end = max;
        for (let offset = Math.max(begin, end - 60); offset < end; ) {
          const found = units.read(queue, offset, 8, batch);
          expect(found).toBeGreaterThan(0);
          for (let i = 0; i < found; i++, offset++) {
            expect([batch.phyOffset[i], batch.tagsCodeLow[i]]).toEqual([offset * 3, offset | 0]);
          }
        }
        expect(units.read(queue, end, 8, batch)).toBe(0);
      }
    }),
    { numRuns: 300 },
  );
});
