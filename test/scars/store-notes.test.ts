/** A note that was ahead of the log: after a power cut it made the start look behind records that were gone. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { MessageStore } from "#src/store/message-store.js";
import { INDEX_SIZES, putNumbered, QUEUE_FILE_BYTES } from "../property/store-fixture.js";

const directory = mkdtempSync(join(tmpdir(), "cometmq-notes-"));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Note {
  readonly position: number;
  readonly counts: { readonly unitCount: number };
}

function note(): Note {
  return JSON.parse(readFileSync(join(directory, "dispatch.checkpoint"), "utf8")) as Note;
}

async function until(holds: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 20_000; !holds(); ) {
    if (performance.now() > deadline) throw new Error(`the note is still ${JSON.stringify(note())}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

it("says no more than what is durable, of the log as well as of queues and index", async () => {
  const store = await MessageStore.open({
    directory,
    segmentBytes: 256 * 1024,
    queueFileBytes: QUEUE_FILE_BYTES,
    indexSizes: INDEX_SIZES,
    flushIntervalMs: 1_000_000,
    dispatchSyncIntervalMs: 1,
  });
  for (let number = 0; number < 100; number++) {
    putNumbered(store, number, 500);
    await store.settled();
  }
  // Queues and index were synced many times by now.
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(store.flushedPosition).toBe(0);
  expect(note()).toMatchObject({ position: 0, counts: { unitCount: 0 } });
  const end = store.maxPhyOffset;
  await store.whenFlushed(end);
  await until(() => note().position > 0);
  putNumbered(store, 100, 500);
  await store.whenFlushed(store.maxPhyOffset);
  await until(() => note().position === store.maxPhyOffset);
  expect(note().counts.unitCount).toBe(101);
  await store.close();
});
