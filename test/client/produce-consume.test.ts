/** Producers and push consumers, from end to end. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Compression } from "#src/client/message-sender.js";
import { NoNameServerError, RequestTimeoutError } from "#src/client/errors.js";
import type { PushConsumer } from "#src/client/push-consumer.js";
import type { ReceivedMessage } from "#src/client/received-message.js";
import { COMPRESSED_FLAG } from "#src/record/sys-flag.js";
import { ANSWER_MS, closeAll } from "../server/harness.js";
import { consumerOf, createTopic, freshName, producerOf, startServer, until } from "./harness.js";

let namesrvAddr: string;

beforeAll(async () => {
  namesrvAddr = await startServer();
});
afterAll(closeAll);

const text = (message: ReceivedMessage) => message.text();

test("a message comes as it was sent", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"));
  const got: ReceivedMessage[] = [];
  const onMessage = (message: ReceivedMessage) => void got.push(message);
  await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage,
  });
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const properties = { colour: "red", "with space": "ä\u0001b" };
  const result = await producer.send({ topic, body: "hello", tags: "A", keys: ["k1", "k2"], properties, flag: 7 });
  expect(result.status).toBe("SEND_OK");
  expect(result.messageId).toMatch(/^[0-9A-F]{32}$|^[0-9A-F]{56}$/);
  await until(() => got.length > 0);
  const message = got[0]!;
  expect(message).toMatchObject({ topic, tags: "A", keys: ["k1", "k2"], flag: 7, reconsumeTimes: 0 });
  expect(message).toMatchObject({ queue: result.queue, queueOffset: result.queueOffset });
  expect(message.messageId).toBe(result.messageId);
  expect(message.offsetMessageId).toBe(result.offsetMessageId);
  expect(message.text()).toBe("hello");
  expect(Object.fromEntries(message.properties)).toMatchObject(properties);
});

test("every message of several consumers comes, compressed ones too, by tag and by expression", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"));
  const group = freshName("G");
  const got: string[][] = [[], [], []];
  const handlerOf = (index: number) => (message: ReceivedMessage) => void got[index]!.push(message.text());
  const shared = { namesrvAddr, consumeFrom: "first" } as const;
  await Promise.all([
    consumerOf({ ...shared, group, subscriptions: { [topic]: "A || B" }, onMessage: handlerOf(0) }),
    consumerOf({ ...shared, group, subscriptions: { [topic]: "A || B" }, onMessage: handlerOf(1) }),
    consumerOf({
      ...shared,
      group: freshName("S"),
      subscriptions: { [topic]: { sql: "n < 10" } },
      onMessage: handlerOf(2),
    }),
  ]);
  const bodies = Array.from({ length: 60 }, (_, i) => `${i} ${"x".repeat(i * 200)}`);
  const kinds: readonly Compression[] = ["zlib", "lz4", "zstd"];
  for (const [kind, compression] of kinds.entries()) {
    const producer = await producerOf({ namesrvAddr, group: freshName("P"), compression });
    const part = bodies.filter((_, i) => i % kinds.length === kind);
    await Promise.all(
      part.map((body) =>
        producer.send({
          topic,
          body,
          tags: "ABC"[Number(body.split(" ")[0]) % 3]!,
          properties: { n: body.split(" ")[0]! },
        }),
      ),
    );
  }
  const wanted = bodies.filter((_, i) => i % 3 < 2).sort();
  await until(() => got[0]!.length + got[1]!.length >= wanted.length && got[2]!.length >= 10);
  expect([...got[0]!, ...got[1]!].sort()).toEqual(wanted);
  expect(got[2]!.sort()).toEqual(bodies.slice(0, 10).sort());
});

test("a body is compressed from its size on, by each codec, and not below it", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const got = new Map<string, ReceivedMessage>();
  await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.set(message.tags!, message),
  });
  const kinds: readonly Compression[] = ["lz4", "zstd", "zlib"];
  for (const compression of kinds) {
    const options = { compression, compressMsgBodyOverHowmuch: 1000 };
    const producer = await producerOf({ namesrvAddr, group: freshName("P"), ...options });
    await producer.send({ topic, body: "z".repeat(999), tags: `${compression}-below` });
    await producer.send({ topic, body: "z".repeat(1000), tags: `${compression}-from` });
  }
  await until(() => got.size === 6);
  for (const [i, kind] of kinds.entries()) {
    const [below, from] = [got.get(`${kind}-below`)!, got.get(`${kind}-from`)!];
    expect([below.body.length, below.sysFlag & COMPRESSED_FLAG]).toEqual([999, 0]);
    expect([from.body.length, from.sysFlag & COMPRESSED_FLAG]).toEqual([1000, COMPRESSED_FLAG]);
    // 1, 2 and 3 from bit 8 on (common/compression/CompressionType.java).
    expect((from.sysFlag >> 8) & 7).toBe(i + 1);
    expect(from.storeSizeBytes).toBeLessThan(below.storeSizeBytes - 700);
  }
});

test("one-way: on its way when it resolves, and there a moment later, by order key, too", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 4);
  const got: ReceivedMessage[] = [];
  await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.push(message),
  });
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const { queue } = await producer.send({ topic, body: "0", orderKey: "k" });
  for (let i = 1; i <= 20; i++)
    expect(await producer.sendOneway({ topic, body: String(i), orderKey: "k" })).toBe(undefined);
  await until(() => got.length >= 21);
  expect(got.map(text).sort()).toEqual(Array.from({ length: 21 }, (_, i) => String(i)).sort());
  expect(new Set(got.map((message) => message.queue.queueId))).toEqual(new Set([queue.queueId]));
  const nowhere = await producerOf({ namesrvAddr: "127.0.0.1:1", group: freshName("P") });
  await expect(nowhere.sendOneway({ topic, body: "x" })).rejects.toThrow(NoNameServerError);
});

test("a batch is stored as its messages, in order; large ones in several requests", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const producer = await producerOf({ namesrvAddr, group: freshName("P"), maxMessageSize: 20_000 });
  const messages = Array.from({ length: 50 }, (_, i) => ({ topic, body: `${i}${"y".repeat(1000)}`, keys: `key${i}` }));
  const results = await producer.sendBatch(messages);
  expect(results.map(({ queueOffset }) => queueOffset)).toEqual(messages.map((_, i) => i));
  expect(new Set(results.map(({ offsetMessageId }) => offsetMessageId)).size).toBe(50);
  const got: ReceivedMessage[] = [];
  await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onBatch: (batch) => void got.push(...batch),
    consumeMessageBatchMaxSize: 8,
    concurrency: 1,
  });
  await until(() => got.length >= 50);
  expect(got.map(text)).toEqual(messages.map(({ body }) => body));
  expect(got.map(({ messageId }) => messageId)).toEqual(results.map(({ messageId }) => messageId));
});

test("ordered by key: one consumer at a queue, in order, with retries in place", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 4);
  const group = freshName("G");
  const got = new Map<string, string[]>();
  const failed = new Set<string>();
  const onMessage = (message: ReceivedMessage) => {
    if (message.text().endsWith("3") && !failed.has(message.messageId)) {
      failed.add(message.messageId);
      throw new Error("on purpose");
    }
    const key = message.orderKey!;
    got.set(key, [...(got.get(key) ?? []), message.text()]);
  };
  const shared = { namesrvAddr, group, subscriptions: { [topic]: "*" }, orderly: true, onMessage } as const;
  const options = { ...shared, consumeFrom: "first", suspendCurrentQueueTimeMs: 20 } as const;
  await Promise.all([consumerOf(options), consumerOf(options)]);
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const keys = ["a", "b", "c", "d", "e"];
  for (let i = 0; i < 10; i++) {
    const results = await Promise.all(
      keys.map((orderKey) => producer.send({ topic, body: `${orderKey}${i}`, orderKey })),
    );
    expect(results.every(({ status }) => status === "SEND_OK")).toBe(true);
  }
  const total = () => [...got.values()].reduce((sum, list) => sum + list.length, 0);
  await until(() => total() >= 50);
  for (const key of keys) expect(got.get(key)).toEqual(Array.from({ length: 10 }, (_, i) => `${key}${i}`));
  expect(failed.size).toBe(5);
});

test("what fails comes again by the retry topic, then becomes a dead letter", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const group = freshName("G");
  const attempts: number[] = [];
  await consumerOf({
    namesrvAddr,
    group,
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    maxReconsumeTimes: 1,
    onMessage: (message, context) => {
      expect(message.topic).toBe(topic);
      attempts.push(message.reconsumeTimes);
      context.delayLevelWhenNextConsume = 1;
      throw new Error("on purpose");
    },
  });
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  await producer.send({ topic, body: "bad" });
  await until(() => attempts.length >= 2);
  expect(attempts).toEqual([0, 1]);
  const dead: string[] = [];
  await until(async () => {
    await using probe = await consumerOf({
      namesrvAddr,
      group: freshName("D"),
      subscriptions: { [`%DLQ%${group}`]: "*" },
      consumeFrom: "first",
      onMessage: (message) => void dead.push(message.text()),
    });
    await until(() => dead.length > 0 || probe.assignment.length < 2, 3000).catch(() => undefined);
    return dead.length > 0;
  });
  expect(dead).toEqual(["bad"]);
});

test("delayed by level and by time", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const got: [string, number][] = [];
  await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.push([message.text(), performance.now()]),
  });
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const sent = performance.now();
  await producer.send({ topic, body: "level", delayLevel: 1 });
  await producer.send({ topic, body: "time", delayMs: 2000 });
  await producer.send({ topic, body: "now" });
  await until(() => got.length >= 3);
  expect(got.map(([body]) => body)).toEqual(["now", "level", "time"]);
  for (const [index, leastMs] of [
    [1, 500],
    [2, 1000],
  ] as const)
    expect(got[index]![1] - sent).toBeGreaterThan(leastMs);
});

test("request and reply; nobody who replies is an error that says so", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"));
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const replier = await producerOf({ namesrvAddr, group: freshName("P") });
  await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: async (message) => {
      if (message.text() !== "unanswered") await replier.reply(message, `re: ${message.text()}`);
    },
  });
  const reply = await producer.request({ topic, body: "question" }, { timeoutMs: ANSWER_MS });
  expect(reply.text()).toBe("re: question");
  await expect(producer.request({ topic, body: "unanswered" }, { timeoutMs: 300 })).rejects.toThrow(
    RequestTimeoutError,
  );
});

test("broadcasting: everybody gets everything, once, and goes on from there", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"));
  const { temporaryDirectory } = await import("../server/harness.js");
  const offsetsDirectory = temporaryDirectory();
  const group = freshName("G");
  const got: string[][] = [[], []];
  const shared = {
    namesrvAddr,
    group,
    offsetsDirectory,
    messageModel: "broadcasting",
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
  } as const;
  const consumers: PushConsumer[] = [];
  for (const [i, clientId] of ["one", "two"].entries()) {
    const onMessage = (message: ReceivedMessage) => void got[i]!.push(message.text());
    consumers.push(await consumerOf({ ...shared, clientId, onMessage }));
  }
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const bodies = Array.from({ length: 20 }, (_, i) => String(i)).sort();
  await Promise.all(bodies.map((body) => producer.send({ topic, body })));
  await until(() => got[0]!.length >= 20 && got[1]!.length >= 20);
  expect(got.map((list) => list.sort())).toEqual([bodies, bodies]);
  for (const consumer of consumers) await consumer.close();
  await producer.send({ topic, body: "meanwhile" });
  const again: string[] = [];
  await consumerOf({ ...shared, clientId: "one", onMessage: (message) => void again.push(message.text()) });
  await producer.send({ topic, body: "later" });
  await until(() => again.includes("meanwhile") && again.includes("later"));
  // It goes on where the one of its name has left off.
  expect(again.sort()).toEqual(["later", "meanwhile"]);
});

test("a consumer that closes loses nothing: what it did not finish, the next one gets", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const group = freshName("G");
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const bodies = Array.from({ length: 40 }, (_, i) => String(i));
  await Promise.all(bodies.map((body) => producer.send({ topic, body })));
  const got: string[] = [];
  const shared = { namesrvAddr, group, subscriptions: { [topic]: "*" }, consumeFrom: "first", concurrency: 2 } as const;
  const first = await consumerOf({
    ...shared,
    onMessage: async (message) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      got.push(message.text());
    },
  });
  await until(() => got.length >= 5);
  await first.close();
  const atClose = got.length;
  expect(atClose).toBeLessThan(40);
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(got.length).toBe(atClose);
  await consumerOf({ ...shared, onMessage: (message) => void got.push(message.text()) });
  await until(() => new Set(got).size === 40);
  // Two handlers can have overtaken one that was cut short in each queue.
  expect(got.length).toBeLessThanOrEqual(40 + 4);
});

test("errors are typed: no name server, no topic, an aborted wait", async () => {
  const nowhere = await producerOf({ namesrvAddr: "127.0.0.1:1", group: freshName("P") });
  await expect(nowhere.send({ topic: "T", body: "x" })).rejects.toThrow(NoNameServerError);
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const reason = new Error("enough");
  const options = { signal: AbortSignal.abort(reason) };
  await expect(producer.send({ topic: "T", body: "x" }, options)).rejects.toBe(reason);
  await expect(producer.send({ topic: "T", body: "" })).rejects.toThrow("The body is empty");
  await producer.close();
  await expect(producer.send({ topic: "T", body: "x" })).rejects.toMatchObject({ code: "COMETMQ_CLIENT_CLOSED" });
});
