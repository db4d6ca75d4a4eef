/** How much a push consumer takes, who gets which queue, and how it stops. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { allocateAveragelyByCircle, allocateByConsistentHash } from "#src/client/allocate.js";
import type { PushConsumerOptions } from "#src/client/push-options.js";
import { closeAll } from "../server/harness.js";
import { consumerOf, createTopic, freshName, producerOf, startServer, until } from "./harness.js";

let namesrvAddr: string;

beforeAll(async () => {
  namesrvAddr = await startServer();
});
afterAll(closeAll);

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

test("flow control: what waits for handlers is bounded, in messages and in bytes, and nothing is lost", async () => {
  const producer = await producerOf({ namesrvAddr, group: freshName("P"), compressMsgBodyOverHowmuch: 1_000_000 });
  const eight: Partial<PushConsumerOptions>[] = [
    { pullThresholdForQueue: 8 },
    { pullThresholdBytesForQueue: 8 * 1000 },
    { pullThresholdForTopic: 8 },
  ];
  for (const limits of eight) {
    const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
    const bodies = Array.from({ length: 100 }, (_, i) => String(i).padStart(1000, "0"));
    await producer.sendBatch(bodies.map((body) => ({ topic, body })));
    const hold = gate();
    const got: string[] = [];
    const consumer = await consumerOf({
      namesrvAddr,
      group: freshName("G"),
      subscriptions: { [topic]: "*" },
      consumeFrom: "first",
      pullBatchSize: 4,
      concurrency: 2,
      ...limits,
      onMessage: async (message) => {
        await hold.opened;
        got.push(message.text());
      },
    });
    const held = () => [...consumer.processQueues].reduce((sum, { count }) => sum + count, 0);
    await until(() => held() >= 8);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(held()).toBe(8);
    hold.open();
    await until(() => got.length >= 100);
    expect(got.sort()).toEqual(bodies);
  }
});

test("a suspended consumer takes nothing; subscriptions can come and go", async () => {
  const [first, second] = [freshName("T"), freshName("T")];
  for (const topic of [first, second]) await createTopic({ namesrvAddr }, topic, 1);
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const got: string[] = [];
  const consumer = await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [first]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.push(message.text()),
  });
  await consumer.subscribe(second, "A");
  await producer.send({ topic: second, body: "wanted", tags: "A" });
  await producer.send({ topic: second, body: "not wanted", tags: "B" });
  await until(() => got.includes("wanted"));
  await consumer.unsubscribe(second);
  expect(consumer.assignment.map(({ topic }) => topic)).not.toContain(second);
  consumer.suspend();
  // A pull that waits at the broker brings one more answer.
  await producer.send({ topic: first, body: "1" });
  await until(() => got.includes("1"));
  await producer.send({ topic: first, body: "2" });
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(got).not.toContain("2");
  consumer.resume();
  await until(() => got.includes("2"));
  expect(got).toEqual(["wanted", "1", "2"]);
});

test("consumers of a group share the queues by their strategy, and anew when one goes", async () => {
  for (const allocateStrategy of [allocateAveragelyByCircle, allocateByConsistentHash(100)]) {
    const topic = await createTopic({ namesrvAddr }, freshName("T"), 8);
    const shared = { namesrvAddr, group: freshName("G"), subscriptions: { [topic]: "*" }, allocateStrategy } as const;
    const start = (clientId: string) => consumerOf({ ...shared, clientId, onMessage() {} });
    const a = await start("client-a");
    const b = await start("client-b");
    const idsOf = ({ assignment }: typeof a) =>
      assignment
        .filter((queue) => queue.topic === topic)
        .map(({ queueId }) => queueId)
        .sort();
    await until(() => idsOf(a).length + idsOf(b).length === 8 && idsOf(b).length > 0);
    expect([...idsOf(a), ...idsOf(b)].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    if (allocateStrategy === allocateAveragelyByCircle) expect(idsOf(a)).toEqual([0, 2, 4, 6]);
    await a.close();
    await until(() => idsOf(b).length === 8);
    await b.close();
  }
});

test("close waits for handlers at work, and no longer than it was told to", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const group = freshName("G");
  const shared = { namesrvAddr, group, subscriptions: { [topic]: "*" }, consumeFrom: "first" } as const;
  await producer.send({ topic, body: "patient" });
  const hold = gate();
  const events: string[] = [];
  const first = await consumerOf({
    ...shared,
    onMessage: async () => {
      events.push("begun");
      await hold.opened;
      events.push("done");
    },
  });
  await until(() => events.length > 0);
  const closing = first.close().then(() => events.push("closed"));
  setTimeout(hold.open, 50);
  await closing;
  expect(events).toEqual(["begun", "done", "closed"]);

  await producer.send({ topic, body: "stuck" });
  const got: string[] = [];
  const second = await consumerOf({
    ...shared,
    awaitTerminationMs: 50,
    onMessage: (message, { signal }) => {
      got.push(message.text());
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  });
  await until(() => got.length > 0);
  await second.close();
  // What was not done is somebody else's, and what was done is not.
  await consumerOf({ ...shared, onMessage: (message) => void got.push(`again ${message.text()}`) });
  await until(() => got.length >= 2);
  expect(got).toEqual(["stuck", "again stuck"]);
});
