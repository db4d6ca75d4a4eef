/** Messages of those who keep a log of their own on the store. */
import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { decodeRecord } from "#src/record/decode.js";
import { appendMessage, type NewMessage } from "#src/store/append-message.js";
import type { MessageStore } from "#src/store/message-store.js";
import { openStore } from "./fixture.js";

const memoryStore = (): Promise<MessageStore> =>
  openStore({ directory: "/s", disk: new MemoryDisk(), flushDiskType: "SYNC_FLUSH" });

const codeOf = (store: MessageStore, message: NewMessage): Promise<string> =>
  appendMessage(store, store.queue("T", 0), message).then(
    () => "taken",
    (error) => (error instanceof CometError ? error.code : String(error)),
  );

test("what is appended is durable, and lies there as it was given", async () => {
  const store = await memoryStore();
  const queue = store.queue("T", 0);
  const bytes = Buffer.from("..two").subarray(2);
  const one = { body: "one", properties: { KEYS: "a b", TAGS: "x", own: "y\u0001z" }, bornTimestamp: 1234 };
  const results = await Promise.all([appendMessage(store, queue, one), appendMessage(store, queue, { body: bytes })]);
  expect(results.map(({ queueOffset }) => queueOffset)).toEqual([0, 1]);
  expect(store.flushedPosition).toBe(results[1]!.phyOffset + results[1]!.sizeBytes);
  const messages = [];
  for await (const { record } of store.tail(queue)) if (messages.push(decodeRecord(record)) === 2) break;
  expect(messages.map(({ body }) => body.toString())).toEqual(["one", "two"]);
  expect(messages[0]).toMatchObject({ bornTimestamp: 1234, bornHost: "0.0.0.0:0" });
  expect([...messages[0]!.properties]).toEqual(Object.entries(one.properties));
});

test("what is not taken says why", async () => {
  const store = await memoryStore();
  for (const properties of [{ "": "v" }, { a: "" }, { "a\u0001": "v" }, { "a\u0002": "v" }, { a: "v\u0002" }]) {
    expect(await codeOf(store, { body: "x", properties })).toBe("COMETMQ_BAD_MESSAGE");
  }
  expect(await codeOf(store, { body: "x", properties: { a: "v".repeat(32_767) } })).toBe("COMETMQ_BAD_MESSAGE");
  expect(await codeOf(store, { body: Buffer.alloc(2 * 1024 * 1024) })).toBe("COMETMQ_BAD_MESSAGE");
  expect(await codeOf(store, { body: "x" })).toBe("taken");
  const deleted = store.queue("T", 0);
  await store.deleteTopics(["T"]);
  await expect(appendMessage(store, deleted, { body: "x" })).rejects.toMatchObject({ code: "COMETMQ_NOT_FOUND" });
  await store.close();
  expect(await codeOf(store, { body: "x" })).toBe("COMETMQ_STORE_CLOSED");
});
