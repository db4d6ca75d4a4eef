/** Namespaces: the same names of topics and groups, and nobody sees anything of another one's. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import { LitePullConsumer } from "#src/client/lite-pull-consumer.js";
import type { ReceivedMessage } from "#src/client/received-message.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { TransactionProducer } from "#src/client/transaction-producer.js";
import { closeAll } from "../server/harness.js";
import { AS_USER, consumerOf, createTopic, freshName, PATIENCE_MS, producerOf, startServer, until } from "./harness.js";

let namesrvAddr: string;

beforeAll(async () => {
  namesrvAddr = await startServer();
});
afterAll(closeAll);

test("messages stay in their namespace, by the application's names, also when they are tried again", async () => {
  const [topic, group] = ["orders", "workers"];
  const spaces = [freshName("NS"), freshName("NS")];
  const got: ReceivedMessage[][] = [[], []];
  for (const [i, namespace] of spaces.entries()) {
    await createTopic({ namesrvAddr, namespace }, topic, 1);
    await consumerOf({
      namesrvAddr,
      namespace,
      group,
      subscriptions: { [topic]: "*" },
      consumeFrom: "first",
      onMessage: (message, context) => {
        got[i]!.push(message);
        context.delayLevelWhenNextConsume = 1;
        if (message.reconsumeTimes === 0) throw new Error("on purpose");
      },
    });
  }
  for (const [i, namespace] of spaces.entries()) {
    const producer = await producerOf({ namesrvAddr, namespace, group: "senders" });
    const { queue } = await producer.send({ topic, body: `for ${i}` });
    expect(queue.topic).toBe(`${namespace}%${topic}`);
  }
  await until(() => got.every((list) => list.length >= 2));
  const seen = got.map((list) => list.map((message) => [message.text(), message.topic, message.reconsumeTimes]));
  expect(seen).toEqual([0, 1].map((i) => [0, 1].map((times) => [`for ${i}`, topic, times])));
  expect(got[0]![1]!.queue.topic).toBe(`%RETRY%${spaces[0]}%${group}`);
});

test("transactions, pull and pop, and what an admin sees", async () => {
  const [namespace, topic] = [freshName("NS"), "payments"];
  const place = { namesrvAddr, namespace, ...AS_USER };
  await createTopic(place, topic, 2);
  const asked: string[] = [];
  await using producer = await TransactionProducer.start({
    ...place,
    group: "payers",
    checkTransaction: (message) => {
      asked.push(message.topic);
      return "commit";
    },
  });
  await producer.sendInTransaction({ topic, body: "a" }, () => "commit");
  await producer.sendInTransaction({ topic, body: "b" }, () => "unknown");
  await until(() => asked.length > 0, 90_000);
  expect(new Set(asked)).toEqual(new Set([topic]));
  const options = { subscriptions: { [topic]: "*" }, consumeFrom: "first" } as const;
  await using puller = await LitePullConsumer.start({ ...place, ...options, group: "pullers" });
  await using popper = await SimpleConsumer.start({ ...place, ...options, group: "poppers" });
  const pulled = new Set<string>();
  const popped = new Set<string>();
  while (pulled.size < 2) {
    for (const message of await puller.poll({ timeoutMs: PATIENCE_MS }))
      pulled.add(`${message.topic} ${message.text()}`);
  }
  while (popped.size < 2) {
    for (const { message, ack } of await popper.receive({ waitMs: PATIENCE_MS }).then((list) => list.map(bound))) {
      popped.add(`${message.topic} ${message.text()}`);
      await ack();
    }
  }
  expect([[...pulled].sort(), [...popped].sort()]).toEqual([
    ["payments a", "payments b"],
    ["payments a", "payments b"],
  ]);
  await using admin = await Admin.start(place);
  expect(await admin.topics()).toContain(topic);
  // Apache delivers a transaction again that it has asked for twice.
  await until(async () => {
    await puller.poll({ timeoutMs: 0 });
    await puller.commit();
    return (await admin.lag("pullers", topic)) === 0;
  });
  await using outside = await Admin.start({ namesrvAddr, ...AS_USER });
  expect(await outside.topics()).toContain(`${namespace}%${topic}`);
}, 120_000);

function bound(popped: { readonly message: ReceivedMessage; ack(): Promise<void> }) {
  return { message: popped.message, ack: () => popped.ack() };
}
