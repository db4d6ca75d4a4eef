/** Pulls that wait for messages, over sockets and with the dispatch thread behind them. */
import { afterEach, expect, test } from "vitest";
import { javaHash } from "#src/base/java-hash.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { RemoteAnswer } from "#src/remoting/types.js";
import { FakeClock } from "../unit/broker/harness.js";
import { until } from "../unit/remoting/peers.js";
import {
  ANSWER_MS,
  bodiesOf,
  closeAll,
  properties,
  pull,
  roundTrip,
  type StartedBroker,
  send,
  startBroker,
  waitingPull,
  watched,
} from "./harness.js";

afterEach(closeAll);

/** A topic with queues and no message in them. */
async function makeTopic({ broker }: StartedBroker, topic: string, queues = 4): Promise<void> {
  const made = broker.context.topics.createInSendMessage(topic, "TBW102", "", queues, 0);
  expect(made).toBeDefined();
}

test.each(["threads", "no threads"])("a pull that waits is answered by the next message (%s)", async (kind) => {
  const started = await startBroker(kind === "threads" ? {} : { disk: new MemoryDisk() });
  await makeTopic(started, "T");
  const consumer = started.client();
  const producer = started.client();
  for (let i = 0; i < 50; i++) {
    const waiting = watched(waitingPull(consumer, { queueOffset: i }));
    await roundTrip(consumer);
    expect(waiting.done).toBe(false);
    await send(producer, {}, `m${i}`);
    const answer = await waiting.answer;
    expect(answer).toMatchObject({ code: ResponseCode.SUCCESS, fields: { nextBeginOffset: String(i + 1) } });
    expect(bodiesOf(answer)).toEqual([`m${i}`]);
  }
});

test("a message wakes those who want it, and leaves the others of its queue waiting", async () => {
  const started = await startBroker();
  await makeTopic(started, "T");
  const consumer = started.client();
  const producer = started.client();
  const forA = watched(waitingPull(consumer, { subscription: "A" }));
  const forB = watched(waitingPull(consumer, { subscription: "B" }));
  const forAll = watched(waitingPull(consumer));
  const elsewhere = watched(waitingPull(consumer, { queueId: 1 }));
  await roundTrip(consumer);

  await send(producer, { properties: properties({ TAGS: "B" }) }, "for B");
  expect(bodiesOf(await forB.answer)).toEqual(["for B"]);
  expect(bodiesOf(await forAll.answer)).toEqual(["for B"]);
  await roundTrip(consumer);
  expect([forA.done, elsewhere.done]).toEqual([false, false]);

  await send(producer, { properties: properties({ TAGS: "A" }) }, "for A");
  const answer = await forA.answer;
  expect(bodiesOf(answer)).toEqual(["for A"]);
  expect(answer.fields.nextBeginOffset).toBe("2");
  await roundTrip(consumer);
  expect(elsewhere.done).toBe(false);
  await send(producer, { queueId: 1 }, "elsewhere");
  expect(bodiesOf(await elsewhere.answer)).toEqual(["elsewhere"]);
});

/** A heartbeat of group G, which subscribes to one tag of topic T. */
async function subscribe(consumer: RemotingClient, tag: string, subVersion = 1): Promise<void> {
  const subscription = { topic: "T", subString: tag, tagsSet: [tag], codeSet: [javaHash(tag)], subVersion };
  const group = {
    groupName: "G",
    consumeType: "CONSUME_PASSIVELY",
    messageModel: "CLUSTERING",
    consumeFromWhere: "CONSUME_FROM_FIRST_OFFSET",
    subscriptionDataSet: [{ ...subscription, expressionType: "TAG" }],
  };
  const body = Buffer.from(JSON.stringify({ clientID: "c", consumerDataSet: [group], producerDataSet: [] }));
  await consumer.call(RequestCode.HEART_BEAT, {}, body, ANSWER_MS);
}

test("a filter by heartbeat holds while the pull waits", async () => {
  const started = await startBroker();
  await makeTopic(started, "T");
  const consumer = started.client();
  await subscribe(consumer, "A");
  const waiting = watched(waitingPull(consumer, { sysFlag: 2, subscription: undefined, subVersion: 1 }));
  const producer = started.client();
  await send(producer, { properties: properties({ TAGS: "B" }) }, "B");
  await started.broker.store.settled();
  await roundTrip(consumer);
  expect(waiting.done).toBe(false);
  await send(producer, { properties: properties({ TAGS: "A" }) }, "A");
  expect(bodiesOf(await waiting.answer)).toEqual(["A"]);
});

test("a group that subscribes to another tag while its pull waits misses none of that tag's messages", async () => {
  const started = await startBroker();
  await makeTopic(started, "T");
  const consumer = started.client();
  await subscribe(consumer, "A");
  const waiting = watched(waitingPull(consumer, { sysFlag: 2, subscription: undefined, subVersion: 1 }));
  await roundTrip(consumer);
  await subscribe(consumer, "B", 2);
  const producer = started.client();
  await send(producer, { properties: properties({ TAGS: "B" }) }, "B");
  await started.broker.store.settled();
  await send(producer, { properties: properties({ TAGS: "A" }) }, "A");
  const answer = await waiting.answer;
  expect(bodiesOf(answer)).toEqual(["B"]);
  expect(answer.fields.nextBeginOffset).toBe("1");
});

test("what forbids a pull, or sends its group elsewhere, does so to one that waits already", async () => {
  const started = await startBroker();
  await makeTopic(started, "T");
  const { config, groups, topics } = started.broker.context;
  const consumer = started.client();
  const admin = started.client();
  await subscribe(consumer, "A");
  const topic = topics.get("T")!;
  const group = groups.get("G")!;
  const reset = { topic: "T", group: "G", timestamp: -1, isForce: true, offset: 0, queueId: 0 };
  const setBroker = (brokerPermission: number) => Object.assign(config, { brokerPermission });
  const changes: [ResponseCode, () => unknown, () => unknown][] = [
    [ResponseCode.NO_PERMISSION, () => setBroker(2), () => setBroker(6)],
    [ResponseCode.NO_PERMISSION, () => topic.assign({ perm: 2 }), () => topic.assign({ perm: 6 })],
    [
      ResponseCode.NO_PERMISSION,
      () => Object.assign(group, { consumeEnable: false }),
      () => Object.assign(group, { consumeEnable: true }),
    ],
    [
      ResponseCode.NO_PERMISSION,
      () => groups.setReadForbidden("G", "T", true),
      () => groups.setReadForbidden("G", "T", false),
    ],
    [
      ResponseCode.PULL_OFFSET_MOVED,
      () => admin.call(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, reset, undefined, ANSWER_MS),
      () => undefined,
    ],
  ];
  for (const [queueOffset, [code, change, undo]] of changes.entries()) {
    const fields = { sysFlag: 2, subscription: undefined, subVersion: 1, queueOffset };
    const waiting = waitingPull(consumer, fields);
    await roundTrip(consumer);
    await change();
    await send(admin, { properties: properties({ TAGS: "A" }) }, "not for them");
    const answer = await waiting;
    expect([queueOffset, answer.code, bodiesOf(answer)]).toEqual([queueOffset, code, []]);
    await undo();
  }
});

test("many wait in many queues, and each is answered once with its own message", async () => {
  const started = await startBroker();
  const TOPICS = 25;
  const QUEUES = 8;
  const CONSUMERS = 10;
  const consumers = Array.from({ length: CONSUMERS }, () => started.client());
  const waiting: { key: string; answer: Promise<RemoteAnswer> }[] = [];
  for (let t = 0; t < TOPICS; t++) {
    await makeTopic(started, `T${t}`, QUEUES);
    for (let queueId = 0; queueId < QUEUES; queueId++) {
      const consumer = consumers[(t * QUEUES + queueId) % CONSUMERS]!;
      waiting.push({ key: `T${t}/${queueId}`, answer: waitingPull(consumer, { topic: `T${t}`, queueId }) });
    }
  }
  await Promise.all(consumers.map(roundTrip));
  const producer = started.client();
  const sends = waiting.map(({ key }) => {
    const [topic, queueId] = key.split("/") as [string, string];
    return send(producer, { topic, queueId: Number(queueId) }, key);
  });
  for (const answer of await Promise.all(sends)) expect(answer.code).toBe(ResponseCode.SUCCESS);
  for (const { key, answer } of waiting) expect(bodiesOf(await answer)).toEqual([key]);
});

test("who waits to the end is told so when it is due, and not before", async () => {
  const clock = new FakeClock();
  const started = await startBroker({ clock });
  await makeTopic(started, "T");
  const consumer = started.client();
  const early = watched(waitingPull(consumer, { suspendTimeoutMillis: 5000 }));
  const late = watched(waitingPull(consumer, { suspendTimeoutMillis: 15_000, queueId: 1 }));
  // Nobody waits longer than five minutes.
  const longest = watched(waitingPull(consumer, { suspendTimeoutMillis: 1e15, queueId: 2 }));
  await roundTrip(consumer);
  clock.advance(4900);
  await roundTrip(consumer);
  expect(early.done).toBe(false);
  clock.advance(200);
  expect(await early.answer).toMatchObject({
    code: ResponseCode.PULL_NOT_FOUND,
    fields: { nextBeginOffset: "0", minOffset: "0", maxOffset: "0" },
  });
  expect(late.done).toBe(false);
  clock.advance(10_000);
  expect((await late.answer).code).toBe(ResponseCode.PULL_NOT_FOUND);
  expect(longest.done).toBe(false);
  clock.advance(5 * 60_000);
  // By then its connection was silent for too long.
  await longest.answer.then(
    (answer) => expect(answer.code).toBe(ResponseCode.PULL_NOT_FOUND),
    (error) => expect(error).toMatchObject({ code: "COMETMQ_REMOTE" }),
  );
});

test("a pull that asks for no wait, or one way, does not wait", async () => {
  const started = await startBroker();
  await makeTopic(started, "T");
  const consumer = started.client();
  expect((await waitingPull(consumer, { suspendTimeoutMillis: 0 })).code).toBe(ResponseCode.PULL_NOT_FOUND);
  expect((await pull(consumer, { suspendTimeoutMillis: 30_000 })).code).toBe(ResponseCode.PULL_NOT_FOUND);
});

test("without long polling the wait is a short one", async () => {
  const clock = new FakeClock();
  const started = await startBroker({ clock, config: { longPollingEnable: false, shortPollingTimeMills: 300 } });
  await makeTopic(started, "T");
  const consumer = started.client();
  const waiting = watched(waitingPull(consumer));
  await roundTrip(consumer);
  clock.advance(200);
  await roundTrip(consumer);
  expect(waiting.done).toBe(false);
  clock.advance(200);
  expect((await waiting.answer).code).toBe(ResponseCode.PULL_NOT_FOUND);
});

test("who has gone is not waited for, and nobody else suffers from it", async () => {
  const started = await startBroker();
  await makeTopic(started, "T");
  const gone: RemotingClient[] = [];
  for (let i = 0; i < 20; i++) {
    const client = started.client();
    waitingPull(client, { queueId: i % 4 }).catch(() => {});
    await roundTrip(client);
    gone.push(client);
  }
  const stays = started.client();
  const waiting = waitingPull(stays);
  await roundTrip(stays);
  await Promise.all(gone.map((client) => client.close()));
  const producer = started.client();
  for (let queueId = 0; queueId < 4; queueId++) await send(producer, { queueId }, "m");
  expect(bodiesOf(await waiting)).toEqual(["m"]);
  await until(() => started.broker.store.dispatchedPosition === started.broker.store.maxPhyOffset, "dispatch");
  expect(started.log.lines.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
});

test("a broker that closes answers who waits", async () => {
  const started = await startBroker();
  await makeTopic(started, "T");
  const consumer = started.client();
  const waiting = waitingPull(consumer);
  await roundTrip(consumer);
  await started.broker.close();
  expect((await waiting).code).toBe(ResponseCode.PULL_NOT_FOUND);
});
