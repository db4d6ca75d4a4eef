/** `indexed()`: what was put can be found by its keys, without waiting for the pause in which the index is written. */
import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import type { MessageStore } from "#src/store/message-store.js";
import { PutStatus } from "#src/store/types.js";
import { newDirectory, newPutResult, openStore } from "./fixture.js";
import { input } from "./harness.js";

const ROUNDS = 200;

function putKey(store: MessageStore, key: string): void {
  expect(store.put(input(store, "T", 0, key), newPutResult())).toBe(PutStatus.PUT_OK);
}

function found(store: MessageStore, key: string): number {
  return store.lookUp.queryByKey("T", key, "K", 9, 0, Number.MAX_SAFE_INTEGER).records.length;
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
