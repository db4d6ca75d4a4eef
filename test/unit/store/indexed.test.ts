/** `indexed()`: what was put can be found by its keys, without waiting for the pause in which the index is written. */
import { expect, test } from "vitest";
import type { SegmentQueue } from "#src/commitlog/segment-queue.js";
import type { SharedProgress } from "#src/dispatch/shared-progress.js";
import type { IndexQuery } from "#src/index/index-query.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { LookUp } from "#src/store/look-up.js";
import type { MessageStore } from "#src/store/message-store.js";
import type { QueueUnits } from "#src/store/queue-units.js";
import type { StoreQueues } from "#src/store/store-queue.js";
import { PutStatus } from "#src/store/types.js";
import { newDirectory, newPutResult, openStore } from "./fixture.js";
import { input } from "./harness.js";

const ROUNDS = 200;

function putKey(store: MessageStore, key: string): void {
  expect(store.put(input(store, "T", 0, key), newPutResult())).toBe(PutStatus.PUT_OK);
}

function found(store: MessageStore, key: string): number {
  return store.lookUp.queryByKey({ topic: "T", key, kind: "K", countMax: 9 }).records.length;
}

test.each([
  ["on a dispatch thread", () => ({ directory: newDirectory() })],
  ["inline", () => ({ directory: "/memory", disk: new MemoryDisk() })],
])("each message, right after it was put: %s", async (_where, options) => {
  const store = await openStore(options());
  for (let round = 0; round < ROUNDS; round++) {
    putKey(store, `key${round}`);
    await store.indexed();
    expect(found(store, `key${round}`)).toBe(1);
  }
  await store.close();
});

test("several that wait at once, and one that waits when the store is closed", async () => {
  const store = await openStore({ directory: newDirectory() });
  const waiting: Promise<void>[] = [];
  for (let n = 0; n < 100; n++) {
    putKey(store, `key${n}`);
    waiting.push(store.indexed().then(() => expect(found(store, `key${n}`)).toBe(1)));
  }
  await Promise.all(waiting);
  await expect(store.indexed()).resolves.toBeUndefined();
  putKey(store, "last");
  const last = store.indexed().then(
    () => "indexed",
    (error: unknown) => (error as { code: string }).code,
  );
  await store.close();
  expect(["indexed", "COMETMQ_STORE_CLOSED"]).toContain(await last);
});

test("those who look for keys that many messages share leave the event loop to others between two steps", async () => {
  const STEPS = 20;
  let turn = 0;
  let done = false;
  const count = (): void => {
    turn++;
    if (!done) setImmediate(count);
  };
  const stepTurns: number[] = [];
  const found = { phyOffsets: [], indexLastUpdateTimestamp: 7, indexLastUpdatePhyOffset: 8 };
  const index = {
    *querySteps() {
      for (let i = 0; i < STEPS; i++) {
        yield;
        stepTurns.push(turn);
      }
      return found;
    },
  } as unknown as IndexQuery;
  const progress = { confirmed: 0 } as SharedProgress;
  const lookUp = new LookUp({} as SegmentQueue, progress, {} as StoreQueues, {} as QueueUnits, index, new Map());
  count();
  const searches = [1, 2, 3].map(() => lookUp.queryByKeyInTurns({ topic: "T", key: "k", kind: "K", countMax: 9 }));
  const results = await Promise.all(searches);
  done = true;
  const result = { records: [], indexLastUpdateTimestamp: 7, indexLastUpdatePhyOffset: 8 };
  expect(results).toEqual([result, result, result]);
  expect(stepTurns).toHaveLength(3 * STEPS);
  expect(new Set(stepTurns).size).toBe(3 * STEPS);
});
