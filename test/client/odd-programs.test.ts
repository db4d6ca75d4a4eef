/** Programs that do what is allowed and hardly anybody does: nothing of theirs is lost, and nobody waits for ever. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { queueKey } from "#src/client/message-queue.js";
import { LitePullConsumer } from "#src/client/lite-pull-consumer.js";
import { Producer } from "#src/client/producer.js";
import { PushConsumer } from "#src/client/push-consumer.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { TransactionProducer } from "#src/client/transaction-producer.js";
import { CompressionType, withCompression } from "#src/record/sys-flag.js";
import { RequestCode } from "#src/remoting/codes.js";
import { TestBroker } from "#src/testing/test-broker.js";
import { freshName, memoryBroker, until } from "./harness.js";

const { broker, namesrvAddr, topicOf } = await memoryBroker();

test("selectQueue chooses none", async () => {
  const topic = topicOf(4);
  await using producer = await Producer.start({ namesrvAddr });
  const none = () => undefined as never;
  await expect(producer.send({ topic, body: "x" }, { selectQueue: none })).rejects.toThrow(/selectQueue/);
  expect(broker.messages(topic)).toEqual([]);
});

test("close waits for sends that have just begun", async () => {
  const topic = topicOf();
  const producer = await Producer.start({ namesrvAddr, maxMessageSize: 20_000 });
  await producer.send({ topic, body: "first" });
  const large = Buffer.alloc(15_000, "ab");
  const sends: Promise<unknown>[] = [
    producer.send({ topic, body: large }),
    producer.sendOneway({ topic, body: large }),
    producer.sendBatch([large, large, large].map((body) => ({ topic, body }))),
  ];
  await producer.close();
  const results = await Promise.allSettled(sends);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
  await until(() => broker.messages(topic).length === 6, 2000);
});

test("close waits for a transaction that has begun", async () => {
  const topic = topicOf();
  const producer = await TransactionProducer.start({
    namesrvAddr,
    group: freshName("P"),
    checkTransaction: () => "unknown",
  });
  let finish = (): void => {};
  const working = new Promise<void>((resolve) => {
    finish = resolve;
  });
  let begun = (): void => {};
  const began = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const sending = producer.sendInTransaction({ topic, body: "x" }, async () => {
    begun();
    await working;
    return "commit" as const;
  });
  await began;
  const closing = producer.close();
  await expect(Promise.race([closing, new Promise((resolve) => setTimeout(resolve, 50, "waits"))])).resolves.toBe(
    "waits",
  );
  finish();
  await Promise.all([sending, closing]);
  expect(broker.messages(topic).map(({ body }) => body.toString())).toEqual(["x"]);
});

test("a filter that is changed at once", async () => {
  const topic = topicOf();
  const got: string[] = [];
  await using consumer = await PushConsumer.start({
    namesrvAddr,
    clock: broker.clock,
    group: freshName("G"),
    consumeFrom: "first",
    subscriptions: { [topic]: "A" },
    onMessage: (message) => void got.push(message.text()),
  });
  await consumer.subscribe(topic, "B");
  await broker.send(topic, "a", { tags: "A" });
  await broker.send(topic, "b", { tags: "B" });
  await until(() => got.includes("b"), 3000);
});

test("a pull consumer without autoCommit looks elsewhere", async () => {
  const topic = topicOf();
  for (let i = 0; i < 5; i++) await broker.send(topic, String(i));
  const group = freshName("G");
  {
    await using consumer = await LitePullConsumer.start({
      namesrvAddr,
      group,
      subscriptions: { [topic]: "*" },
      consumeFrom: "first",
      autoCommit: false,
    });
    const [queue] = consumer.assignment;
    consumer.seek(queue!, 4);
    const [message] = await consumer.poll();
    expect(message!.text()).toBe("4");
  }
  await using consumer = await LitePullConsumer.start({
    namesrvAddr,
    group,
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    autoCommit: false,
  });
  const [message] = await consumer.poll();
  expect(message!.text()).toBe("0");
});

test("a receive without end", async () => {
  const topic = topicOf();
  await using consumer = await SimpleConsumer.start({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
  });
  const receiving = consumer.receive({ waitMs: Number.POSITIVE_INFINITY, signal: AbortSignal.timeout(3000) });
  await broker.send(topic, "x");
  const [popped] = await receiving;
  expect(popped!.message.text()).toBe("x");
  await expect(consumer.receive({ waitMs: Number.NaN })).rejects.toThrow(/waitMs/);
});

test("a body that says it is compressed and is not", async () => {
  const topic = topicOf();
  const got: string[] = [];
  await broker.send(topic, "1");
  const fields = {
    producerGroup: "P",
    topic,
    defaultTopic: "TBW102",
    defaultTopicQueueNums: 4,
    queueId: 0,
    sysFlag: withCompression(0, CompressionType.ZLIB),
    bornTimestamp: 1,
    flag: 0,
    properties: "",
    reconsumeTimes: 0,
    unitMode: false,
    batch: false,
  };
  const { RemotingClient } = await import("#src/remoting/client.js");
  const client = new RemotingClient("127.0.0.1", broker.server.port);
  await client.call(RequestCode.SEND_MESSAGE, fields, Buffer.from("plain"), 3000);
  await client.close();
  await broker.send(topic, "3");
  await using _consumer = await PushConsumer.start({
    namesrvAddr,
    group: freshName("G"),
    consumeFrom: "first",
    subscriptions: { [topic]: "*" },
    onMessage: (message) => void got.push(message.text()),
  });
  await until(() => got.length === 3, 3000);
  expect(got.sort()).toEqual(["1", "3", "plain"]);
});

test("a file of offsets that cannot be read", async () => {
  const topic = topicOf();
  const offsetsDirectory = mkdtempSync(join(tmpdir(), "cometmq-offsets-"));
  const group = freshName("G");
  const got: string[] = [];
  const options = {
    namesrvAddr,
    group,
    offsetsDirectory,
    clientId: "C",
    messageModel: "broadcasting",
    consumeFrom: "first",
    subscriptions: { [topic]: "*" },
    onMessage: (message: { text(): string }) => void got.push(message.text()),
  } as const;
  try {
    await broker.send(topic, "1");
    {
      await using _consumer = await PushConsumer.start(options);
      await until(() => got.length === 1, 3000);
    }
    const path = join(offsetsDirectory, "C", group, "offsets.json");
    const sound = readFileSync(path, "utf8");
    writeFileSync(path, sound.slice(0, 20));
    await broker.send(topic, "2");
    const starting = PushConsumer.start({ ...options, consumeFrom: "last" });
    await expect(starting).rejects.toMatchObject({ code: "COMETMQ_CONFIG", message: expect.stringContaining(path) });
    expect(readFileSync(path, "utf8")).toBe(sound.slice(0, 20));
    // What Apache's consumers put aside when they write the file.
    writeFileSync(`${path}.bak`, sound);
    await using consumer = await PushConsumer.start({ ...options, consumeFrom: "last" });
    await until(() => got.length === 2, 3000);
    expect(consumer.assignment).toHaveLength(1);
  } finally {
    rmSync(offsetsDirectory, { recursive: true });
  }
});

test("a broker that does not renew a lock for a moment: order goes on meanwhile, and soon afterwards", async () => {
  let refuses = false;
  const onRequest = ({ code }: { code: number }) =>
    refuses && code === RequestCode.LOCK_BATCH_MQ ? "not now" : undefined;
  await using own = await TestBroker.start({ grpc: false, topics: { T: { queues: 1 } }, hooks: { onRequest } });
  const got: string[] = [];
  await using _consumer = await PushConsumer.start({
    namesrvAddr: own.namesrvAddr,
    clock: own.clock,
    group: "G",
    orderly: true,
    subscriptions: { T: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.push(message.text()),
  });
  refuses = true;
  await own.advance("25s");
  await own.send("T", "1");
  await until(() => got.length === 1, 3000);
  await own.advance("10s");
  await own.send("T", "2");
  await own.advance("1s");
  expect(got).toEqual(["1"]);
  refuses = false;
  await own.advance("2s");
  await until(() => got.length === 2, 3000);
});

test("order: a queue goes to another consumer, or begins anew, when the handler at work is done", async () => {
  await using own = await TestBroker.start({ grpc: false, topics: { T: { queues: 1 } } });
  const { namesrvAddr, clock } = own;
  const opened: (() => void)[] = [];
  const got: string[] = [];
  const shared = {
    namesrvAddr,
    clock,
    group: "G",
    orderly: true,
    subscriptions: { T: "*" },
    consumeFrom: "first",
    awaitTerminationMs: 0,
  } as const;
  const work = (name: string) => async (message: { text(): string }) => {
    got.push(`${name} begins ${message.text()}`);
    await new Promise<void>((resolve) => opened.push(resolve));
    got.push(`${name} ends ${message.text()}`);
  };
  await using second = await PushConsumer.start({ ...shared, clientId: "second", onMessage: work("second") });
  await own.send("T", "1");
  await until(() => got.length === 1, 3000);

  const [queue] = second.assignment.filter(({ topic }) => topic === "T");
  await second.resetOffsets(new Map([[queueKey(queue!), 0]]));
  await own.advance("3s");
  expect(got).toEqual(["second begins 1"]);
  opened.shift()!();
  await until(() => got.length === 3, 3000);
  expect(got.slice(1)).toEqual(["second ends 1", "second begins 1"]);

  await using first = await PushConsumer.start({ ...shared, clientId: "first", onMessage: work("first") });
  await own.advance("90s");
  expect(second.assignment.filter(({ topic }) => topic === "T")).toEqual([]);
  expect(got).toHaveLength(3);
  opened.shift()!();
  await until(() => got.length >= 4, 3000);
  await own.advance("3s");
  await until(() => got.length >= 5, 3000);
  expect(got.slice(3)).toEqual(["second ends 1", "first begins 1"]);
  expect(first.assignment).toContainEqual(queue);
  opened.shift()!();
});
