/** A client that is closed by its own callback: neither waits for the other, and what the callback has done counts. */
import { EventEmitter, once } from "node:events";
import { expect, test } from "vitest";
import { LitePullConsumer } from "#src/client/lite-pull-consumer.js";
import { PushConsumer } from "#src/client/push-consumer.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { TransactionProducer } from "#src/client/transaction-producer.js";
import { freshName, memoryBroker, until } from "./harness.js";

const { broker, namesrvAddr, topicOf } = await memoryBroker();

const bodies = (topic: string): string[] => broker.messages(topic).map(({ body }) => body.toString());

test("by a local transaction, also one within another client's", async () => {
  const topic = topicOf();
  const checkTransaction = () => "unknown" as const;
  const start = () => TransactionProducer.start({ namesrvAddr, group: freshName("P"), checkTransaction });
  const [producer, other] = [await start(), await start()];
  const { state } = await producer.sendInTransaction({ topic, body: "outer" }, async () => {
    const inner = await other.sendInTransaction({ topic, body: "inner" }, async () => {
      await Promise.all([producer.close(), other.close()]);
      return "commit" as const;
    });
    await other.close();
    return inner.state;
  });
  await producer.close();
  expect(state).toBe("commit");
  expect(bodies(topic)).toEqual(["inner", "outer"]);
});

test("by a check", async () => {
  const topic = topicOf();
  const producer = await TransactionProducer.start({
    namesrvAddr,
    group: freshName("P"),
    checkTransaction: async () => {
      await producer.close();
      return "commit" as const;
    },
  });
  await producer.sendInTransaction({ topic, body: "checked" }, () => "unknown");
  await broker.advance("2m");
  await until(() => bodies(topic).length === 1, 2000);
  await producer.close();
});

test.each([
  ["handler", {}],
  ["ordered handler", { orderly: true }],
])("by a %s: its message is consumed", async (_, options) => {
  const topic = topicOf();
  const group = freshName("G");
  const setUp = { namesrvAddr, group, subscriptions: { [topic]: "*" }, consumeFrom: "first" as const };
  let returned = (): void => {};
  const handled = new Promise<void>((resolve) => {
    returned = resolve;
  });
  const first = await PushConsumer.start({
    ...setUp,
    ...options,
    onMessage: async () => {
      await first.close();
      returned();
    },
  });
  await broker.send(topic, "one");
  await handled;
  await first.close();
  await broker.send(topic, "two");
  await using second = await LitePullConsumer.start(setUp);
  expect((await second.poll()).map((message) => message.text())).toEqual(["two"]);
});

test("by who hears of a handler and is not waited for: everything is done when close resolves", async () => {
  const topic = topicOf();
  const group = freshName("G");
  const setUp = { namesrvAddr, group, subscriptions: { [topic]: "*" }, consumeFrom: "first" as const };
  const heard = new EventEmitter();
  const consumer = await PushConsumer.start({ ...setUp, onMessage: () => void heard.emit("message") });
  heard.once("message", () => {
    void consumer.close().then(() => heard.emit("closed", consumer.assignment));
  });
  const closed = once(heard, "closed");
  await broker.send(topic, "one");
  await closed;
  await using second = await LitePullConsumer.start(setUp);
  expect(await second.poll({ timeoutMs: 50 })).toEqual([]);
});

test("in a loop over messages", async () => {
  const topic = topicOf();
  await broker.send(topic, "one");
  const setUp = { namesrvAddr, subscriptions: { [topic]: "*" }, consumeFrom: "first" as const };
  const lite = await LitePullConsumer.start({ ...setUp, group: freshName("G") });
  for await (const _ of lite) await lite.close();
  const simple = await SimpleConsumer.start({ ...setUp, group: freshName("G") });
  for await (const message of simple) {
    await message.ack();
    await simple.close();
  }
});

test("by a callback that other callbacks of the process outlive, or have preceded", async () => {
  const topic = topicOf();
  const checkTransaction = () => "unknown" as const;
  const start = () => TransactionProducer.start({ namesrvAddr, group: freshName("P"), checkTransaction });
  const [first, second] = [await start(), await start()];
  await first.sendInTransaction({ topic, body: "before" }, () => "commit");
  const long = second.sendInTransaction({ topic, body: "long" }, async () => {
    await first.sendInTransaction({ topic, body: "within" }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      await first.close();
      return "commit" as const;
    });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await second.close();
    return "commit" as const;
  });
  expect((await long).state).toBe("commit");
  await Promise.all([first.close(), second.close()]);
  expect(bodies(topic)).toEqual(["before", "within", "long"]);
});
