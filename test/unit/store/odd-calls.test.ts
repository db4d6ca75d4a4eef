/** Calls that a stranger may make of the library: each is answered as the docs say, and none harms the store. */
import { describe, expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import { appendMessage } from "#src/store/append-message.js";
import { MessageStore } from "#src/store/message-store.js";
import type { StoreOptions } from "#src/store/options.js";
import { emptyGetResult, GetStatus, type MessageInput, PutStatus } from "#src/store/types.js";
import { messageOf, newPutResult, openStore } from "./fixture.js";

const memory = (options: Partial<StoreOptions> = {}): Promise<MessageStore> =>
  openStore({ directory: "/s", disk: new MemoryDisk(), ...options });

describe("options that no store can be opened with are refused, and nothing is made", () => {
  test.each<[string, unknown]>([
    ["segmentBytes", 0],
    ["segmentBytes", -1],
    ["segmentBytes", 100],
    ["segmentBytes", 4096.5],
    ["segmentBytes", Number.NaN],
    ["segmentBytes", 2 ** 31],
    ["segmentBytes", "65536"],
    ["queueFileBytes", 0],
    ["openFilesMax", 0],
    ["flushIntervalMs", -1],
    ["flushIntervalMs", 2 ** 31],
    ["dispatchSyncIntervalMs", Number.NaN],
    ["segmentsAhead", 65],
    ["maxMessageSize", Number.NaN],
    ["commitLogRecoverMaxNum", 0],
    ["flushDiskType", "SYNC"],
    ["recovery", "none"],
    ["directory", ""],
    ["directory", "a\0b"],
    ["commitLogDirectory", ""],
  ])("%s: %s", async (name, value) => {
    const disk = new MemoryDisk();
    const opening = MessageStore.open({ directory: "/s", disk, [name]: value } as StoreOptions);
    await expect(opening).rejects.toMatchObject({ code: "COMETMQ_CONFIG", message: expect.stringContaining(name) });
    expect(disk.list("/")).toEqual([]);
  });

  test("a backend that does not exist", async () => {
    const opening = MessageStore.open({ directory: "/s", backend: "mmap" } as unknown as StoreOptions);
    await expect(opening).rejects.toMatchObject({ code: "COMETMQ_BACKEND" });
  });
});

test("segments of odd sizes", async () => {
  for (const segmentBytes of [333, 1001, 4095, 65_537]) {
    const disk = new MemoryDisk();
    const store = await memory({ disk, segmentBytes });
    for (let i = 0; i < 40; i++) await appendMessage(store, store.queue("T", 0), { body: "x".repeat(i) });
    await store.close();
    const again = await memory({ disk, segmentBytes });
    for (let i = 0; i < 40; i++) {
      expect(decodeRecord(again.lookUp.messageAt(again.queue("T", 0), i)!).body.length).toBe(i);
    }
    await again.close();
  }
});

test("a length of queue files that is no multiple of a unit's is rounded up, as with Apache", async () => {
  const disk = new MemoryDisk();
  for (const queueFileBytes of [410, undefined]) {
    const store = await memory({ disk, queueFileBytes });
    const queue = store.queue("T", 0);
    if (queueFileBytes !== undefined) for (let i = 0; i < 50; i++) await appendMessage(store, queue, { body: `${i}` });
    await store.settled();
    const offsets = Array.from({ length: 50 }, (_, i) => i);
    const found = offsets.map((offset) => store.lookUp.messageAt(queue, offset));
    expect(found.map((record) => record && decodeRecord(record).queueOffset)).toEqual(offsets);
    expect(disk.sizeOf("/s/consumequeue/T/0/00000000000000000420")).toBe(420);
    await store.close();
  }
});

test("half of a surrogate pair names no queue: the store goes on", async () => {
  const store = await memory();
  for (const topic of ["\ud800", "a\udc00", "\udc00\ud800"]) {
    expect(() => store.queue(topic, 0)).toThrow(expect.objectContaining({ code: "COMETMQ_CONFIG" }));
  }
  const queue = store.queue("\ud83d\ude00", 0);
  await appendMessage(store, queue, { body: "x" });
  await store.settled();
  expect(decodeRecord(store.lookUp.messageAt(queue, 0)!).topic).toBe("\ud83d\ude00");
  await store.close();
});

describe("put", () => {
  const bytes = Buffer.alloc(64, 7).subarray(16, 26);

  test.each<[string, Partial<MessageInput>]>([
    ["a body that begins before its Buffer", { bodyStart: -1 }],
    ["a body that ends behind it", { bodyStart: 5, bodyLength: 6 }],
    ["a body without a length", { bodyLength: Number.NaN }],
    ["a body of less than nothing", { bodyLength: -1 }],
    ["properties that end behind their Buffer", { properties: bytes, propertiesStart: 1, propertiesLength: 10 }],
    ["properties of less than nothing", { propertiesLength: -1 }],
    ["a host that is none", { bornHost: Buffer.alloc(3) }],
    ["a store host that is none", { storeHost: Buffer.alloc(0) }],
  ])("takes no bytes that are not the message's: %s", async (_, more) => {
    const store = await memory();
    const message = { ...messageOf(store, "T", 0, ""), body: bytes, bodyStart: 0, bodyLength: bytes.length, ...more };
    expect(store.put(message, newPutResult())).toBe(PutStatus.MESSAGE_ILLEGAL);
    expect(store.putBatch([message], newPutResult())).toBe(PutStatus.MESSAGE_ILLEGAL);
    expect(store.maxPhyOffset).toBe(0);
    await store.close();
  });

  test("takes no batch of messages that get no queue offset, as with Apache", async () => {
    const store = await memory();
    const batch = [4, 0].map((sysFlag) => ({ ...messageOf(store, "T", 0, "x"), sysFlag }));
    expect(store.putBatch(batch, newPutResult())).toBe(PutStatus.MESSAGE_ILLEGAL);
    const result = newPutResult();
    expect([store.put(messageOf(store, "T", 0, "y"), result), result.queueOffset]).toEqual([PutStatus.PUT_OK, 0]);
    await store.close();
  });

  test("takes no message for the queue of another store", async () => {
    const [one, other] = [await memory(), await memory()];
    one.queue("T", 0);
    const foreign = other.queue("other", 0);
    const foreignMessage = messageOf(other, "other", 0, "x");
    expect(one.put(foreignMessage, newPutResult())).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
    expect(one.putBatch([foreignMessage], newPutResult())).toBe(PutStatus.SERVICE_NOT_AVAILABLE);
    await expect(appendMessage(one, foreign, { body: "x" })).rejects.toMatchObject({ code: "COMETMQ_NOT_FOUND" });
    await Promise.all([one.close(), other.close()]);
  });
});

test("reads nothing by a handle of another store, and by one of a deleted topic there is nothing", async () => {
  const [one, other] = [await memory(), await memory()];
  const mine = one.queue("T", 0);
  one.put(messageOf(one, "T", 0, "mine"), newPutResult());
  const foreign = other.queue("T", 0);
  await Promise.all([one.settled(), other.settled()]);
  const limits = { maxCount: 1, maxBytes: 100 };
  const result = emptyGetResult();
  const refused = { code: "COMETMQ_CONFIG", message: expect.stringContaining("queue is no handle of this store: T 0") };
  for (const offset of [-1, 0, 1]) {
    expect(() => one.get(foreign, offset, limits, undefined, result)).toThrow(expect.objectContaining(refused));
  }
  expect(() => one.minOffset(foreign)).toThrow(expect.objectContaining(refused));
  expect(() => one.maxOffset(foreign)).toThrow(expect.objectContaining(refused));
  expect(() => one.catchUp(foreign)).toThrow(expect.objectContaining(refused));
  expect(() => one.lookUp.messageAt(foreign, 0)).toThrow(expect.objectContaining(refused));
  expect(() => one.lookUp.offsetByTime(foreign, 0, "LOWER")).toThrow(expect.objectContaining(refused));
  await expect(one.whenGrown(foreign, 0)).rejects.toMatchObject(refused);
  for (const from of ["first", "end", 0] as const) {
    await expect(one.tail(foreign, { from }).next()).rejects.toMatchObject(refused);
  }
  await one.deleteTopics(["T"]);
  one.queue("Next", 0);
  expect(one.get(mine, 0, limits, undefined, result)).toBe(GetStatus.NO_MATCHED_LOGIC_QUEUE);
  expect([one.minOffset(mine), one.maxOffset(mine)]).toEqual([0, 0]);
  expect(await one.tail(mine).next()).toMatchObject({ done: true });
  await Promise.all([one.close(), other.close()]);
});

test("appendMessage takes what it can store as it is", async () => {
  const store = await memory();
  const queue = store.queue("T", 0);
  const wrong: unknown[] = [
    { body: 5 },
    { body: undefined },
    { body: new ArrayBuffer(3) },
    { body: "x", bornTimestamp: Number.NaN },
    { body: "x", bornTimestamp: 1e300 },
    { body: "x", properties: { a: 5 } },
    { body: "x", properties: { a: undefined } },
    { body: "x", properties: { a: "\ud800" } },
  ];
  for (const message of wrong) {
    await expect(appendMessage(store, queue, message as never)).rejects.toMatchObject({ code: "COMETMQ_BAD_MESSAGE" });
  }
  expect(store.maxPhyOffset).toBe(0);
  await store.close();
});

test("offsets and places that are no numbers of one", async () => {
  const store = await memory();
  const queue = store.queue("T", 0);
  await appendMessage(store, queue, { body: "x" });
  await store.settled();
  const limits = { maxCount: 1, maxBytes: 100 };
  for (const offset of [Number.NaN, 0.5, Number.POSITIVE_INFINITY]) {
    expect(() => store.get(queue, offset, limits, undefined, emptyGetResult())).toThrow(CometError);
    await expect(store.tail(queue, { from: offset }).next()).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });
    expect(store.lookUp.messageAt(queue, offset)).toBeUndefined();
    expect(store.lookUp.phyOffsetOf(queue, offset)).toBe(-1);
  }
  for (const position of [Number.NaN, Number.POSITIVE_INFINITY, store.maxPhyOffset + 1]) {
    await expect(store.whenFlushed(position)).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });
  }
  await store.whenGrown(queue, Number.NaN);
  await store.close();
});

test("who asks for what comes while the store is being closed is told at once", async () => {
  const store = await memory();
  const queue = store.queue("T", 0);
  const closing = store.close();
  await store.whenGrown(queue, 10);
  for await (const _ of store.tail(queue)) expect.unreachable();
  await closing;
});
