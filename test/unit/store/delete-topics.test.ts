/** Deleted topics: what they had does not come back, whatever happens to the store; what they get anew is all there. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { encodeProperties } from "#src/record/properties.js";
import type { MessageStore } from "#src/store/message-store.js";
import { emptyGetResult, type GetResult, GetStatus, PutStatus, type QueueHandle } from "#src/store/types.js";
import { bodiesIn, messageOf, newDirectory, newPutResult, openStore, put } from "./fixture.js";

function putAll(store: MessageStore, topic: string, bodies: readonly string[], queueId = 0): number[] {
  return bodies.map((body) => {
    const result = newPutResult();
    expect(put(store, topic, queueId, body, result)).toBe(PutStatus.PUT_OK);
    return result.queueOffset;
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 100 && !condition(); turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(condition()).toBe(true);
}

function getFrom(store: MessageStore, queue: QueueHandle, offset: number): GetResult {
  const result = emptyGetResult();
  store.get(queue, offset, { maxCount: 10, maxBytes: 10_000 }, undefined, result);
  return result;
}

/** A store whose topic T was deleted and made again, with another topic beside it. */
async function deletedStore(directory: string): Promise<MessageStore> {
  const store = await openStore({ directory });
  putAll(store, "T", ["old 0", "old 1", "old 2"]);
  putAll(store, "T", ["old 3"], 1);
  putAll(store, "U", ["u 0", "u 1"]);
  await store.settled();
  await store.deleteTopics(["T"]);
  expect(putAll(store, "T", ["new 0", "new 1"])).toEqual([0, 1]);
  expect(putAll(store, "U", ["u 2"])).toEqual([2]);
  await store.settled();
  return store;
}

function expectNew(store: MessageStore): void {
  expect(bodiesIn(store, "T", 0)).toEqual(["new 0", "new 1"]);
  expect(bodiesIn(store, "T", 1)).toEqual([]);
  expect(bodiesIn(store, "U", 0)).toEqual(["u 0", "u 1", "u 2"]);
}

test("a topic that is made again begins at offset 0, before and after a restart", async () => {
  const directory = newDirectory();
  const store = await deletedStore(directory);
  expectNew(store);
  expect(readdirSync(join(directory, "consumequeue", "T"))).toEqual(["0"]);
  expect([...store.topics()].sort()).toEqual(["T", "U"]);
  await store.close();
  const again = await openStore({ directory });
  expectNew(again);
  expect(putAll(again, "T", ["new 2"])).toEqual([2]);
});

test("queues that are built anew from the log hold nothing of what was deleted", async () => {
  const directory = newDirectory();
  await (await deletedStore(directory)).close();
  for (const name of ["consumequeue", "index", "dispatch.checkpoint", "checkpoint"]) {
    rmSync(join(directory, name), { recursive: true });
  }
  const store = await openStore({ directory });
  expectNew(store);
  expect(store.recovery.findings).toEqual([]);
});

test("a start that reads the log again does not mend new queues with old messages", async () => {
  const directory = newDirectory();
  await (await deletedStore(directory)).close();
  writeFileSync(join(directory, "abort"), "1");
  rmSync(join(directory, "dispatch.checkpoint"));
  const store = await openStore({ directory });
  expectNew(store);
  expect(store.recovery).toMatchObject({ aborted: true, fromOffset: 0, findings: [] });
});

test("handles of a deleted topic take and have no messages, and send readers to the beginning", async () => {
  const store = await openStore({ directory: newDirectory() });
  putAll(store, "T", ["old 0", "old 1"]);
  await store.settled();
  const grown: QueueHandle[] = [];
  store.onArrival((queue) => grown.push(queue));
  const message = messageOf(store, "T", 0, "late");
  const old = message.queue;
  await store.deleteTopics(["T"]);
  expect(grown).toEqual([old]);
  putAll(store, "T", ["new 0"]);
  await store.settled();
  expect(store.put(message, newPutResult())).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
  expect(store.putBatch([message], newPutResult())).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
  for (const offset of [0, 1, 2]) {
    const nothing = { status: GetStatus.NO_MATCHED_LOGIC_QUEUE, nextBeginOffset: 0, maxOffset: 0, records: [] };
    expect(getFrom(store, old, offset)).toMatchObject(nothing);
  }
  expect([store.maxOffset(old), store.lookUp.messageTimestamp(old, 0), store.lookUp.phyOffsetOf(old, 0)]).toEqual([
    0, -1, -1,
  ]);
  expect(store.allQueues()).not.toContain(old);
  expect(bodiesIn(store, "T", 0)).toEqual(["new 0"]);
});

test("what dispatch has not seen yet when the topic goes never comes into a queue", async () => {
  const store = await openStore({ directory: newDirectory() });
  for (let round = 0; round < 5; round++) {
    putAll(
      store,
      "T",
      Array.from({ length: 400 }, (_, i) => `old ${round} ${i}`),
    );
    putAll(store, "U", [`u ${round}`]);
    await store.deleteTopics(["T"]);
    putAll(store, "T", [`new ${round}`]);
  }
  await store.settled();
  expect(bodiesIn(store, "T", 0)).toEqual(["new 4"]);
  expect(bodiesIn(store, "U", 0)).toEqual(["u 0", "u 1", "u 2", "u 3", "u 4"]);
});

test("slots are given to others once dispatch has let go of them", async () => {
  const store = await openStore({ directory: newDirectory() });
  const slots = new Set<number>();
  for (let round = 0; round < 30; round++) {
    putAll(store, "T", [`m ${round}`]);
    slots.add(store.findQueue("T", 0)!.slot);
    await store.settled();
    expect(bodiesIn(store, "T", 0)).toEqual([`m ${round}`]);
    await store.deleteTopics(["T"]);
    // The worker's answer comes by message.
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(slots.size).toBeLessThan(15);
  expect(store.allQueues()).toEqual([]);
});

test("messages of a deleted topic are not found by key", async () => {
  const store = await openStore({ directory: newDirectory() });
  const properties = encodeProperties([["KEYS", "k"]]);
  const putKeyed = (body: string) => {
    const message = messageOf(store, "T", 0, body);
    Object.assign(message, { properties, propertiesLength: properties.length });
    expect(store.put(message, newPutResult())).toBe(PutStatus.PUT_OK);
  };
  const found = () => store.lookUp.queryByKey({ topic: "T", key: "k", kind: "K", countMax: 10 }).records.length;
  const foundAtLast = async (count: number) => {
    for (let i = 0; i < 200 && found() !== count; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(found()).toBe(count);
  };
  putKeyed("old");
  await store.settled();
  await foundAtLast(1);
  await store.deleteTopics(["T"]);
  expect(found()).toBe(0);
  putKeyed("new");
  await store.settled();
  await foundAtLast(1);
});

test("a topic without messages leaves no trace, one that is unknown neither", async () => {
  const directory = newDirectory();
  const store = await openStore({ directory });
  const queue = store.queue("Empty", 0);
  await store.deleteTopics(["Empty", "Unknown", "../x"]);
  expect(existsSync(join(directory, "deleted.topics"))).toBe(false);
  expect(store.findQueue("Empty", 0)).toBe(queue);
});

test("a deletion that the disk refuses has not happened", async () => {
  class RefusingDisk extends MemoryDisk {
    refuses = false;
    override writeAtomically(path: string, content: string | Uint8Array): void {
      if (this.refuses) throw new CometError("COMETMQ_DISK_FULL", `There is no room for ${path}.`);
      super.writeAtomically(path, content);
    }
  }
  const disk = new RefusingDisk();
  const store = await openStore({ directory: "/store", disk });
  putAll(store, "T", ["m 0"]);
  await store.settled();
  disk.refuses = true;
  await expect(store.deleteTopics(["T"])).rejects.toThrow("There is no room for /store/deleted.topics.");
  disk.refuses = false;
  expect(bodiesIn(store, "T", 0)).toEqual(["m 0"]);
  expect(putAll(store, "T", ["m 1"])).toEqual([1]);
});

/** Its list of deleted topics is written when the test says so. */
class HeldNotes extends MemoryDisk {
  readonly waiting: { write: () => void; fail: (error: Error) => void }[] = [];
  override replace(path: string, content: string | Uint8Array): Promise<void> {
    if (!path.endsWith("deleted.topics")) return super.replace(path, content);
    return new Promise((resolve, reject) => {
      this.waiting.push({ write: () => resolve(super.replace(path, content)), fail: reject });
    });
  }
}

test("while the deletion is being noted its topic is read and takes nothing, and others do not notice", async () => {
  const disk = new HeldNotes();
  const store = await openStore({ directory: "/store", disk });
  putAll(store, "T", ["old 0"]);
  await store.settled();
  const late = messageOf(store, "T", 0, "late");
  const deletion = store.deleteTopics(["T"]);
  await until(() => disk.waiting.length === 1);
  expect(store.put(late, newPutResult())).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
  expect(store.putBatch([late], newPutResult())).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
  expect(put(store, "T", 5, "to a queue that is new", newPutResult())).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
  expect(bodiesIn(store, "T", 0)).toEqual(["old 0"]);
  expect(putAll(store, "U", ["u 0"])).toEqual([0]);
  disk.waiting[0]!.fail(new CometError("COMETMQ_IO", "The disk is broken."));
  await expect(deletion).rejects.toThrow("The disk is broken.");
  expect(putAll(store, "T", ["old 1"])).toEqual([1]);
  expect(putAll(store, "T", ["five"], 5)).toEqual([0]);

  const both = [store.deleteTopics(["T"]), store.deleteTopics(["U"])];
  await until(() => disk.waiting.length === 2);
  disk.waiting[1]!.write();
  await both[0];
  expect(putAll(store, "T", ["new 0"])).toEqual([0]);
  await until(() => disk.waiting.length === 3);
  const closed = store.close();
  disk.waiting[2]!.write();
  await Promise.all([...both, closed]);
  const again = await openStore({ directory: "/store", disk });
  expect([bodiesIn(again, "T", 0), bodiesIn(again, "T", 5), bodiesIn(again, "U", 0)]).toEqual([["new 0"], [], []]);
  await expect(store.deleteTopics(["T"])).rejects.toThrow("The store was closed.");
});

test("a damaged list of deleted topics is refused: they would come back", async () => {
  const directory = newDirectory();
  await (await deletedStore(directory)).close();
  const path = join(directory, "deleted.topics");
  const sound = readFileSync(path);
  for (const text of ["", "{", "[]", '{"version":2,"topics":[]}', '{"version":1,"topics":[["T",-1]]}']) {
    writeFileSync(path, text);
    await expect(openStore({ directory })).rejects.toThrow(`${path} is no list of deleted topics.`);
  }
  writeFileSync(path, sound);
  expectNew(await openStore({ directory }));
});
