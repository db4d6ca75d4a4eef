/** Following a queue with `for await`, predicates, and how long the bytes of a record are good. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { javaHash } from "#src/base/java-hash.js";
import type { Backend } from "#src/io/disk.js";
import { chooseBackend } from "#src/io/file-disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import { encodeProperties } from "#src/record/properties.js";
import type { MessageStore } from "#src/store/message-store.js";
import type { TailOptions } from "#src/store/tail.js";
import { type GetResult, GetStatus, PutStatus, type RecordFilter } from "#src/store/types.js";
import { messageOf, newDirectory, newPutResult, openStore, put } from "./fixture.js";

const body = (record: Buffer): string => decodeRecord(record).body.toString();

/** Bodies until there are `count`, or the tail ends. */
async function follow(store: MessageStore, count: number, options?: TailOptions): Promise<string[]> {
  const bodies: string[] = [];
  for await (const { queueOffset, record } of store.tail(store.queue("T", 0), options)) {
    expect(decodeRecord(record).queueOffset).toBe(queueOffset);
    if (bodies.push(body(record)) === count) break;
  }
  return bodies;
}

function putAll(store: MessageStore, bodies: readonly string[]): void {
  for (const text of bodies) expect(put(store, "T", 0, text)).toBe(PutStatus.PUT_OK);
}

test.each([true, false])("gives what is there and what comes, in order and once, threads: %s", async (threads) => {
  const store = await openStore({ directory: newDirectory(), threads });
  const wanted = Array.from({ length: 300 }, (_, i) => `m${i}`);
  putAll(store, wanted.slice(0, 100));
  const followed = follow(store, 300);
  for (let from = 100; from < 300; from += 20) {
    await new Promise((resolve) => setImmediate(resolve));
    putAll(store, wanted.slice(from, from + 20));
    put(store, "T", 1, "of another queue");
  }
  expect(await followed).toEqual(wanted);
});

test("begins where it is told", async () => {
  const store = await openStore({ directory: "/s", disk: new MemoryDisk() });
  putAll(store, ["a", "b", "c"]);
  await store.settled();
  expect(await follow(store, 2, { from: 1 })).toEqual(["b", "c"]);
  expect(await follow(store, 1, { from: "first" })).toEqual(["a"]);
  expect(await follow(store, 1, { from: -5 })).toEqual(["a"]);
  const atEnd = follow(store, 1, { from: "end" });
  const ahead = follow(store, 1, { from: 5 });
  await new Promise((resolve) => setImmediate(resolve));
  putAll(store, ["d", "e", "f"]);
  expect(await atEnd).toEqual(["d"]);
  expect(await ahead).toEqual(["f"]);
});

test("an aborted signal ends it with its reason: before, while it waits, and between two messages", async () => {
  const store = await openStore({ directory: "/s", disk: new MemoryDisk() });
  putAll(store, ["a", "b"]);
  await store.settled();
  const reason = new Error("enough");
  await expect(follow(store, 9, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const waiting = new AbortController();
  const waits = follow(store, 9, { signal: waiting.signal });
  await new Promise((resolve) => setImmediate(resolve));
  waiting.abort(reason);
  await expect(waits).rejects.toBe(reason);
  const between = new AbortController();
  const seen: string[] = [];
  const reading = async () => {
    for await (const { record } of store.tail(store.queue("T", 0), { signal: between.signal })) {
      seen.push(body(record));
      between.abort(reason);
    }
  };
  await expect(reading()).rejects.toBe(reason);
  expect(seen).toEqual(["a"]);
});

test("it ends when the store is closed or the topic deleted, and says why when the store has failed", async () => {
  const disk = new MemoryDisk();
  const store = await openStore({ directory: "/s", disk });
  putAll(store, ["a"]);
  const tails = [follow(store, 9), follow(store, 9, { from: "end" })];
  await new Promise((resolve) => setImmediate(resolve));
  await store.deleteTopics(["T"]);
  expect(await Promise.all(tails)).toEqual([["a"], []]);
  putAll(store, ["b"]);
  const closing = follow(store, 9);
  await new Promise((resolve) => setImmediate(resolve));
  await store.close();
  expect(await closing).toEqual(["b"]);

  const broken = new CometError("COMETMQ_IO", "The disk is broken.");
  const openSegment = disk.openSegment.bind(disk);
  disk.openSegment = (...values) => Object.assign(openSegment(...values), { sync: () => Promise.reject(broken) });
  const failing = await openStore({ directory: "/f", disk });
  putAll(failing, ["a"]);
  await failing.settled();
  const failed = follow(failing, 9);
  await expect(failing.whenFlushed(failing.maxPhyOffset)).rejects.toMatchObject({ code: "COMETMQ_STORE_READ_ONLY" });
  await expect(failed).rejects.toBe(failing.failure);
});

test("what a filter refuses, by tags or by the record, is passed over", async () => {
  const store = await openStore({ directory: "/s", disk: new MemoryDisk() });
  for (let i = 0; i < 2000; i++) {
    const properties = encodeProperties([["TAGS", i % 2 === 0 ? "even" : "odd"]]);
    const message = { ...messageOf(store, "T", 0, `m${i}`), properties, propertiesLength: properties.length };
    expect(store.put(message, newPutResult())).toBe(PutStatus.PUT_OK);
  }
  await store.settled();
  const predicate = (accepts: (record: Buffer) => boolean): RecordFilter => ({ steps: 0, matchesRecord: accepts });
  const each500th = predicate((record) => Number(body(record).slice(1)) % 500 === 0);
  const result = { records: [], queueOffsets: [] } as unknown as GetResult;
  const limits = { maxCount: 10, maxBytes: 1 << 20 };
  const queue = store.queue("T", 0);
  expect(store.get(queue, 1, limits, each500th, result)).toBe(GetStatus.FOUND);
  expect(result.queueOffsets).toEqual([500]);
  const next = result.nextBeginOffset;
  expect(next).toBeGreaterThan(800);
  expect(next).toBeLessThan(1000);
  const none = predicate(() => false);
  expect(store.get(queue, next, limits, none, result)).toBe(GetStatus.NO_MATCHED_MESSAGE);
  expect(result.nextBeginOffset).toBeGreaterThan(next + 790);
  expect(await follow(store, 4, { filter: each500th })).toEqual(["m0", "m500", "m1000", "m1500"]);
  expect(await follow(store, 2, { filter: new Set([javaHash("odd")]), from: 10 })).toEqual(["m11", "m13"]);
});

const collect = (): void => {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
};

const BACKENDS = (["mmap-io", "koffi", "file"] as const).filter((backend: Backend) => {
  try {
    return chooseBackend(backend) === backend;
  } catch {
    process.stdout.write(`${backend} is not tried: it does not load here\n`);
    return false;
  }
});

test.each(BACKENDS)("records outlive their segment and their store: %s", async (backend) => {
  const directory = newDirectory();
  const store = await openStore({
    directory,
    backend,
    segmentBytes: 64 * 1024,
    retention: { fileReservedTime: 0, cleanResourceInterval: 3_600_000 },
  });
  const wanted = Array.from({ length: 300 }, (_, i) => `m${i} ${"x".repeat(900)}`);
  putAll(store, wanted);
  await store.settled();
  const kept: Buffer[] = [];
  const texts: string[] = [];
  let deleted = 0;
  for await (const { queueOffset, record } of store.tail(store.queue("T", 0))) {
    // The segments go while they are read.
    if (queueOffset === 10) deleted = await store.deleteExpired();
    kept.push(record);
    texts.push(body(record));
    if (queueOffset === 299) break;
  }
  expect(deleted).toBeGreaterThan(2);
  expect(store.minPhyOffset).toBeGreaterThan(64 * 1024);
  // What was read in one go stays; the rest of the deleted is passed over, and nothing else.
  expect(texts.length).toBeLessThan(300);
  expect(texts.slice(0, 32)).toEqual(wanted.slice(0, 32));
  const first = wanted.indexOf(texts[32]!);
  expect(texts.slice(32)).toEqual(wanted.slice(first));
  await store.close();
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(kept.map(body)).toEqual(texts);
});
