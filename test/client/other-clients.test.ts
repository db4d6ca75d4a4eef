/** Transactions, lite pull and simple consumers, administration. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import { ResponseError } from "#src/client/errors.js";
import { LitePullConsumer, type LitePullConsumerOptions } from "#src/client/lite-pull-consumer.js";
import { SimpleConsumer, type SimpleConsumerOptions } from "#src/client/simple-consumer.js";
import { TransactionProducer, type TransactionState } from "#src/client/transaction-producer.js";
import { ResponseCode } from "#src/remoting/codes.js";
import { closeAll, onCloseAll } from "../server/harness.js";
import { AS_USER, consumerOf, createTopic, freshName, PATIENCE_MS, producerOf, startServer, until } from "./harness.js";

let namesrvAddr: string;

beforeAll(async () => {
  namesrvAddr = await startServer();
});
afterAll(closeAll);

async function litePullOf(options: Omit<LitePullConsumerOptions, "namesrvAddr">): Promise<LitePullConsumer> {
  const consumer = await LitePullConsumer.start({ namesrvAddr, ...AS_USER, ...options });
  onCloseAll(() => consumer.close());
  return consumer;
}

async function simpleOf(options: Omit<SimpleConsumerOptions, "namesrvAddr">): Promise<SimpleConsumer> {
  const consumer = await SimpleConsumer.start({ namesrvAddr, ...AS_USER, ...options });
  onCloseAll(() => consumer.close());
  return consumer;
}

async function adminOf(): Promise<Admin> {
  const admin = await Admin.start({ namesrvAddr, ...AS_USER });
  onCloseAll(() => admin.close());
  return admin;
}

test("transactions: committed ones are seen, others not; what the application throws comes through", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const got: string[] = [];
  await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.push(message.text()),
  });
  await using producer = await TransactionProducer.start({
    namesrvAddr,
    ...AS_USER,
    group: freshName("P"),
    checkTransaction: () => "unknown",
  });
  const sendAs = (body: string, state: TransactionState) => producer.sendInTransaction({ topic, body }, () => state);
  expect(await sendAs("kept", "commit")).toMatchObject({ status: "SEND_OK", state: "commit" });
  expect(await sendAs("dropped", "rollback")).toMatchObject({ state: "rollback" });
  const failing = producer.sendInTransaction({ topic, body: "failed" }, () => {
    throw new Error("on purpose");
  });
  await expect(failing).rejects.toThrow("on purpose");
  await sendAs("last", "commit");
  await until(() => got.includes("last"));
  expect(got.sort()).toEqual(["kept", "last"]);
});

test("lite pull: a loop over everything, where another consumer of the group left it", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 3);
  const group = freshName("G");
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const bodies = Array.from({ length: 30 }, (_, i) => String(i).padStart(2, "0"));
  await Promise.all(bodies.map((body) => producer.send({ topic, body })));
  const options = { group, subscriptions: { [topic]: "*" }, consumeFrom: "first" } as const;
  const first = await litePullOf(options);
  const got: string[] = [];
  for await (const message of first) {
    got.push(message.text());
    if (got.length === 10) break;
  }
  await first.close();
  const second = await litePullOf({ ...options, autoCommit: false });
  // The one at which the loop was left counts as not consumed.
  const again = got.pop()!;
  while (got.length < 30) got.push(...(await second.poll({ timeoutMs: PATIENCE_MS })).map((message) => message.text()));
  expect(got.slice(9)).toContain(again);
  expect(got.sort()).toEqual(bodies);
  const admin = await adminOf();
  expect(await admin.lag(group, topic)).toBe(21);
  await second.commit();
  expect(await admin.lag(group, topic)).toBe(0);
  const queue = second.assignment[0]!;
  second.seek(queue, 0);
  const [message] = await second.poll({ maxCount: 1, timeoutMs: PATIENCE_MS });
  expect(message).toMatchObject({ queue, queueOffset: 0 });
  expect(await second.poll({ timeoutMs: 0, maxCount: 100 })).toBeDefined();
});

test("lite pull: given queues, and a wait that a signal ends", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const queues = await producer.publishQueues(topic);
  for (const queue of queues) await producer.send({ topic, body: `in ${queue.queueId}` }, { queue });
  const consumer = await litePullOf({ group: freshName("G"), queues: [queues[1]!], consumeFrom: "first" });
  const messages = await consumer.poll({ timeoutMs: PATIENCE_MS });
  expect(messages.map((message) => message.text())).toEqual(["in 1"]);
  const reason = new Error("enough");
  const stop = new AbortController();
  const waiting = consumer.poll({ timeoutMs: PATIENCE_MS, signal: stop.signal });
  stop.abort(reason);
  await expect(waiting).rejects.toBe(reason);
});

test("simple: acknowledged messages are gone, others come again; a time can be changed", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const consumer = await simpleOf({ group: freshName("G"), subscriptions: { [topic]: "*" }, consumeFrom: "first" });
  const bodies = ["a", "b", "c", "d"];
  for (const body of bodies) await producer.send({ topic, body });
  const seen: string[] = [];
  while (seen.length < 4) {
    for (const popped of await consumer.receive({ waitMs: PATIENCE_MS, invisibleMs: 60_000 })) {
      seen.push(popped.message.text());
      if (popped.message.text() === "b") await popped.changeInvisible(1000);
      else await popped.ack();
    }
  }
  expect(seen.sort()).toEqual(bodies);
  for await (const popped of consumer) {
    expect(popped.message.text()).toBe("b");
    expect(popped.message.topic).toBe(topic);
    await popped.ack();
    break;
  }
  expect(await consumer.receive({ waitMs: 200 })).toEqual([]);
});

test("admin: topics, groups, messages by id, key and unique id, offsets by time", async () => {
  const admin = await adminOf();
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const group = freshName("G");
  expect(await admin.topics()).toContain(topic);
  expect(await admin.queues(topic)).toHaveLength(2);
  await admin.createGroup(group, { retryMaxTimes: 3 });
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const [queue] = await producer.publishQueues(topic);
  const results = [];
  for (let i = 0; i < 5; i++)
    results.push(await producer.send({ topic, body: `${i}`, keys: `k${i % 2}` }, { queue: queue! }));
  const third = results[2]!;
  expect((await admin.viewMessage(third.offsetMessageId))?.text()).toBe("2");
  await until(async () => (await admin.queryByKey(topic, "k0")).length === 3);
  expect((await admin.queryByKey(topic, "k0")).map((message) => message.text()).sort()).toEqual(["0", "2", "4"]);
  expect((await admin.queryByUniqueId(topic, third.messageId))?.queueOffset).toBe(2);
  expect(await admin.queryByUniqueId(topic, "0".repeat(32))).toBeUndefined();
  expect([await admin.minOffset(queue!), await admin.maxOffset(queue!)]).toEqual([0, 5]);
  await admin.commitOffset(group, queue!, 4);
  expect(await admin.lag(group, topic)).toBe(1);
  await admin.resetOffset(group, topic, 0);
  expect(await admin.lag(group, topic)).toBe(5);
  await admin.deleteGroup(group, { removeOffsets: true });
  await admin.deleteTopic(topic);
  await until(async () => !(await admin.topics()).includes(topic));
});

test("admin: a reset moves consumers that run; what a server refuses has Apache's code", async () => {
  const admin = await adminOf();
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const group = freshName("G");
  const got: string[] = [];
  const consumer = await consumerOf({
    namesrvAddr,
    group,
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.push(message.text()),
  });
  expect(await admin.consumers(group)).toEqual([consumer.clientId]);
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  for (const body of ["a", "b", "c"]) await producer.send({ topic, body });
  await until(() => got.length >= 3);
  await admin.resetOffset(group, topic, 0);
  // A pull that waits hears of it when it ends: a message in each queue ends them.
  for (const queue of await producer.publishQueues(topic))
    await producer.send({ topic, body: `d${queue.queueId}` }, { queue });
  const times = (body: string) => got.filter((one) => one === body).length;
  await until(() => ["a", "b", "c"].every((body) => times(body) === 2) && times("d0") > 0 && times("d1") > 0);
  await consumer.close();
  expect(await admin.lag(group, topic)).toBe(0);
  const refused = admin.createTopic("TBW102", {});
  await expect(refused).rejects.toThrow(ResponseError);
  const codes: number[] = [ResponseCode.INVALID_PARAMETER, ResponseCode.SYSTEM_ERROR];
  await refused.catch((error: ResponseError) => expect(codes).toContain(error.responseCode));
});

test("a transaction that nobody ended is asked for, and any producer of the group answers", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const group = freshName("P");
  const got: string[] = [];
  await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.push(message.text()),
  });
  const first = await TransactionProducer.start({ namesrvAddr, ...AS_USER, group, checkTransaction: () => "unknown" });
  for (const body of ["yes", "no"]) await first.sendInTransaction({ topic, body }, () => "unknown");
  await first.close();
  const asked: string[] = [];
  const second = await TransactionProducer.start({
    namesrvAddr,
    ...AS_USER,
    group,
    topics: [topic],
    checkTransaction: (message) => {
      asked.push(message.text());
      return message.text() === "yes" ? "commit" : "rollback";
    },
  });
  onCloseAll(() => second.close());
  await until(() => asked.includes("yes") && asked.includes("no") && got.includes("yes"), 90_000);
  expect(got).toEqual(["yes"]);
}, 120_000);

/** String.split, as Apache's tools take traces apart. */
function splitAsJava(line: string): string[] {
  const parts = line.split("\u0001");
  while (parts.at(-1) === "") parts.pop();
  return parts;
}

test("trace: what was sent and consumed is in the trace topic", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const group = freshName("G");
  const enableMsgTrace = true;
  const seen: string[] = [];
  const consumer = await consumerOf({
    namesrvAddr,
    group,
    enableMsgTrace,
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void seen.push(message.messageId),
  });
  const producer = await TransactionProducer.start({
    namesrvAddr,
    ...AS_USER,
    group: freshName("P"),
    enableMsgTrace,
    checkTransaction: () => "unknown",
  });
  const { messageId } = await producer.send({ topic, body: "x", tags: "A", keys: ["k1", "k2"] });
  const ended = await producer.sendInTransaction({ topic, body: "y" }, () => "commit");
  await until(() => seen.includes(messageId) && seen.includes(ended.messageId));
  await producer.close();
  await consumer.close();
  const admin = await adminOf();
  const linesOf = async (id: string) => {
    const traces = await admin.queryByKey("RMQ_SYS_TRACE_TOPIC", id);
    const lines = traces.flatMap((trace) => trace.text().split("\u0002")).map(splitAsJava);
    return lines.filter((line) => line.includes(id));
  };
  await until(async () => (await linesOf(messageId)).length === 3);
  const byType = new Map((await linesOf(messageId)).map((line) => [line[0], line]));
  const pub = byType.get("Pub")!;
  expect(pub).toHaveLength(14);
  expect([pub[4], pub[5], pub[6], pub[7], pub[13]]).toEqual([topic, messageId, "A", "k1 k2", "true"]);
  const [before, after] = [byType.get("SubBefore")!, byType.get("SubAfter")!];
  expect([before[3], before[5], before[6]]).toEqual([group, messageId, "0"]);
  expect([after[1], after[4], after[6], after[8]]).toEqual([before[4], "true", "0", group]);
  // A message with neither keys nor tags: Java's split would drop an empty text at the end, and its tools count the rest.
  await until(async () => (await linesOf(ended.messageId)).length === 4);
  const lengths = new Map((await linesOf(ended.messageId)).map((line) => [line[0], line.length]));
  expect(lengths).toEqual(new Map(Object.entries({ Pub: 14, EndTransaction: 13, SubBefore: 8, SubAfter: 9 })));
  const end = (await linesOf(ended.messageId)).find(([type]) => type === "EndTransaction")!;
  expect([end[4], end[9], end[11], end[12]]).toEqual([topic, "2", "COMMIT_MESSAGE", "false"]);
});

test("simple, orderly: a queue gives nothing more until what it gave is acknowledged", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const bodies = ["1", "2", "3", "4", "5"];
  for (const body of bodies) await producer.send({ topic, body });
  const options = {
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    orderly: true,
  } as const;
  const [consumer, other] = [await simpleOf(options), await simpleOf(options)];
  const receive = (from: SimpleConsumer, maxCount = 1) => from.receive({ maxCount, waitMs: PATIENCE_MS });
  const [first] = await receive(consumer);
  expect([first!.message.text(), first!.message.reconsumeTimes]).toEqual(["1", 0]);
  expect(await other.receive({ waitMs: 500 })).toEqual([]);
  // Given back, it is the first again, before all that follows it, and it counts.
  await first!.changeInvisible(0);
  const [again] = await receive(other);
  expect([again!.message.text(), again!.message.reconsumeTimes]).toEqual(["1", 1]);
  await again!.changeInvisible(30_000);
  expect(await consumer.receive({ waitMs: 500 })).toEqual([]);
  await again!.ack();
  const seen: string[] = [];
  while (seen.length < 4) {
    for (const popped of await receive(consumer, 2)) {
      seen.push(popped.message.text());
      await popped.ack();
    }
  }
  expect(seen).toEqual(["2", "3", "4", "5"]);
}, 120_000);

test("trace: what lite pull and simple consumers took, and what became of it", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const [pullGroup, popGroup] = [freshName("G"), freshName("G")];
  const producer = await producerOf({ namesrvAddr, group: freshName("P") });
  const { messageId } = await producer.send({ topic, body: "x", keys: "k" });
  const options = { subscriptions: { [topic]: "*" }, consumeFrom: "first", enableMsgTrace: true } as const;
  const puller = await litePullOf({ ...options, group: pullGroup });
  expect((await puller.poll({ timeoutMs: PATIENCE_MS })).map((message) => message.messageId)).toEqual([messageId]);
  const popper = await simpleOf({ ...options, group: popGroup });
  for (const end of ["back", "done"]) {
    const [popped] = await popper.receive({ waitMs: PATIENCE_MS });
    expect(popped!.message.messageId).toBe(messageId);
    if (end === "back") await popped!.changeInvisible(0);
    else await popped!.ack();
  }
  await Promise.all([puller.close(), popper.close()]);
  const admin = await adminOf();
  const linesOf = async (type: string) => {
    const traces = await admin.queryByKey("RMQ_SYS_TRACE_TOPIC", messageId);
    const lines = traces.flatMap((trace) => trace.text().split("\u0002")).map(splitAsJava);
    return lines.filter((line) => line[0] === type && line.includes(messageId));
  };
  await until(async () => (await linesOf("SubAfter")).length === 3);
  const begun = new Map((await linesOf("SubBefore")).map((line) => [line[4], line[3]]));
  const ends = (await linesOf("SubAfter")).map((line) => [line[8], begun.get(line[1]!), line[4], line[6]].join(" "));
  expect(ends.sort()).toEqual(
    [`${pullGroup} ${pullGroup} true 0`, `${popGroup} ${popGroup} false 4`, `${popGroup} ${popGroup} true 0`].sort(),
  );
}, 120_000);
