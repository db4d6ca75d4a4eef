/** Queues that nobody waits for: what is put there can be read, but hurries nobody. */
import { expect, test } from "vitest";
import type { MessageStore } from "#src/store/message-store.js";
import type { QueueHandle } from "#src/store/types.js";
import { newDirectory, openStore, put } from "./fixture.js";

/** A call waits some milliseconds at the most, which a busy machine may need more than once. */
function catchUp(store: MessageStore, queue: QueueHandle, maxOffset: number): void {
  for (let i = 0; i < 1000 && store.maxOffset(queue) < maxOffset; i++) store.catchUp(queue);
  expect(store.maxOffset(queue)).toBe(maxOffset);
}

test("who asks for the end of a queue, quiet or not, is told of what was put", async () => {
  const store = await openStore({ directory: newDirectory(), threads: true });
  const loud = store.queue("T", 0);
  const quiet = store.queue("S", 0);
  quiet.quiet = true;
  put(store, "T", 0, "loud");
  for (let i = 0; i < 1000; i++) put(store, "S", 0, `quiet ${i}`);
  catchUp(store, loud, 1);
  catchUp(store, quiet, 1000);
});

test.each(["ASYNC_FLUSH", "SYNC_FLUSH"] as const)("who listens hears of it all the same: %s", async (flushDiskType) => {
  const store = await openStore({ directory: newDirectory(), threads: true, flushDiskType });
  const quiet = store.queue("S", 0);
  quiet.quiet = true;
  const heard = new Promise((resolve) => store.onArrival(resolve));
  store.setInterest(true);
  put(store, "S", 0, "quiet");
  expect(await heard).toBe(quiet);
  store.setInterest(false);
});
