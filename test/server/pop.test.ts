/** Pop consumption over sockets, with a clock of the test's own: who gets what, for how long, and what comes again. */
import { afterEach, expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Broker } from "#src/server/broker/broker.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { PutStatus } from "#src/store/types.js";
import { FakeClock } from "../unit/broker/harness.js";
import { until } from "../unit/remoting/peers.js";
import {
  ANSWER_MS,
  clientOf,
  closeAll,
  properties,
  roundTrip,
  type StartedBroker,
  startBroker,
  watched,
} from "./harness.js";
import { HeldDisk } from "./held-disk.js";
import {
  ack,
  acked,
  batchAck,
  bodies,
  changeInvisibleTime,
  committed,
  extended,
  INVISIBLE_MS,
  makeTopic,
  notification,
  pop,
  popped,
  poppedOf,
  sendMessages,
  TOPIC,
} from "./pop-harness.js";

afterEach(closeAll);

const RETRY = `%RETRY%G_${TOPIC}`;

async function start(config: Partial<BrokerConfig> = {}, queues = 1) {
  const clock = new FakeClock();
  const lasting = { serverChannelMaxIdleTimeSeconds: 0, channelExpiredTimeout: 2 ** 31 - 1 };
  const started = await startBroker({ disk: new MemoryDisk(), clock, config: { ...lasting, ...config } });
  makeTopic(started, TOPIC, queues);
  return { ...started, clock, started, consumer: started.client(), producer: started.client() };
}

const connect = (broker: Broker) => clientOf(broker.port);

/** A message comes again once its new retry topic is on the disk. */
async function topicsSaved({ broker }: StartedBroker): Promise<void> {
  expect(await broker.context.topics.saver.saveIfDirty()).toBeUndefined();
}

test("what is popped is nobody else's until it is acknowledged, and the offset follows what is", async () => {
  const { started, consumer, producer } = await start();
  await sendMessages(producer, ["a", "b", "c"]);
  const first = await popped(consumer, { maxMsgNums: 2 });
  const second = await popped(consumer);
  expect([bodies(first), bodies(second), bodies(await popped(consumer))]).toEqual([["a", "b"], ["c"], []]);
  expect(committed(started)).toBe(0);
  await acked(consumer, second[0]!, first[1]!);
  expect(committed(started)).toBe(0);
  await acked(consumer, first[0]!);
  expect(committed(started)).toBe(3);
});

test("a message that is not acknowledged comes again from the retry topic, tried once more", async () => {
  const { clock, started, consumer, producer } = await start();
  await sendMessages(producer, ["a", "b"], { properties: properties({ TAGS: "x", UNIQ_KEY: "k" }) });
  const first = await popped(consumer);
  await acked(consumer, first[0]!);
  clock.advance(INVISIBLE_MS - 1);
  expect(await popped(consumer)).toEqual([]);
  clock.advance(1);
  await topicsSaved(started);
  const [again, ...others] = await popped(consumer);
  expect(others).toEqual([]);
  expect(again).toMatchObject({ body: "b", topic: RETRY, message: { topic: TOPIC, reconsumeTimes: 1 } });
  expect(again!.message.properties.get("1ST_POP_TIME")).toBe(first[0]!.handle.split(" ")[1]);
  expect(again!.message.properties.get("ORIGIN_GROUP")).toBe("G");
  expect(again!.message.properties.get("TAGS")).toBe("x");
  await acked(consumer, again!);
  clock.advance(10 * INVISIBLE_MS);
  expect(await popped(consumer)).toEqual([]);
  expect([committed(started), committed(started, RETRY)]).toEqual([2, 1]);
});

test("an extension makes a new handle, from which the time counts, and the old one is worth nothing", async () => {
  const { clock, started, consumer, producer } = await start();
  await sendMessages(producer, ["a"]);
  const [first] = await popped(consumer);
  clock.advance(INVISIBLE_MS - 1);
  const longer = await extended(consumer, first!, 5 * INVISIBLE_MS);
  clock.advance(5 * INVISIBLE_MS - 1);
  expect(await popped(consumer)).toEqual([]);
  expect((await ack(consumer, first!)).code).toBe(ResponseCode.NO_MESSAGE);
  expect((await changeInvisibleTime(consumer, first!, 1)).code).toBe(ResponseCode.NO_MESSAGE);
  const shorter = await extended(consumer, longer, 1000);
  clock.advance(1000);
  await topicsSaved(started);
  const [again] = await popped(consumer);
  expect(again).toMatchObject({ body: "a", topic: RETRY });
  expect((await ack(consumer, shorter)).code).toBe(ResponseCode.NO_MESSAGE);
  await acked(consumer, again!);
});

test("what is acknowledged does not come again, whatever invisible time is asked for it then", async () => {
  const { clock, consumer, producer } = await start();
  await sendMessages(producer, ["a", "b"]);
  const [a, b] = await popped(consumer);
  clock.advance(1);
  const longer = await extended(consumer, a!, INVISIBLE_MS);
  await acked(consumer, longer, b!);
  for (const message of [a!, longer, b!]) {
    const late = await changeInvisibleTime(consumer, message, 1000);
    expect(late).toMatchObject({ code: ResponseCode.NO_MESSAGE, remark: expect.stringContaining("is acknowledged") });
  }
  clock.advance(10 * INVISIBLE_MS);
  expect(await popped(consumer)).toEqual([]);
});

test("a batch acknowledges messages of several pops and of the retry topic", async () => {
  const { clock, started, consumer, producer } = await start({}, 2);
  await sendMessages(producer, ["a", "b", "c", "d"]);
  await sendMessages(producer, ["e", "f"], { queueId: 1 });
  const first = await popped(consumer, { queueId: 0, maxMsgNums: 2, invisibleTime: 1000 });
  clock.advance(1000);
  await topicsSaved(started);
  const rest = [...(await popped(consumer)), ...(await popped(consumer))];
  expect(bodies([...first, ...rest]).sort()).toEqual(["a", "a", "b", "b", "c", "d", "e", "f"]);
  expect(await batchAck(consumer, rest)).toMatchObject({ code: ResponseCode.SUCCESS });
  clock.advance(10 * INVISIBLE_MS);
  expect(await popped(consumer)).toEqual([]);
  expect([committed(started, TOPIC, 0), committed(started, TOPIC, 1), committed(started, RETRY)]).toEqual([4, 2, 2]);
});

test("a message that was tried as often as its group allows goes to the dead letters", async () => {
  const { broker, clock, consumer, producer } = await start();
  broker.context.groups.find("G")!.retryMaxTimes = 2;
  await sendMessages(producer, ["a"]);
  const seen: number[] = [];
  for (let i = 0; i < 6; i++) {
    for (const { message } of await popped(consumer)) seen.push(message.reconsumeTimes);
    clock.advance(INVISIBLE_MS);
  }
  expect(seen).toEqual([0, 1, 2]);
  const dead = await popped(consumer, { topic: "%DLQ%G", consumerGroup: "G2" });
  expect(dead).toMatchObject([{ body: "a", message: { reconsumeTimes: 3 } }]);
  expect(dead[0]!.message.properties.get("RETRY_TOPIC")).toBe(TOPIC);
});

test("a pop that waits is answered by a message, by one that comes again, or by nothing", async () => {
  const { clock, consumer, producer } = await start({}, 4);
  const waiting = watched(pop(consumer, { pollTime: 10_000 }));
  await roundTrip(consumer);
  expect(waiting.done).toBe(false);
  await sendMessages(producer, ["a"], { queueId: 2 });
  expect(bodies(poppedOf(await waiting.answer))).toEqual(["a"]);

  const retried = watched(pop(consumer, { pollTime: 2 * INVISIBLE_MS }));
  const second = watched(pop(consumer, { pollTime: 2 * INVISIBLE_MS }));
  await roundTrip(consumer);
  clock.advance(INVISIBLE_MS);
  expect(bodies(poppedOf(await retried.answer))).toEqual(["a"]);
  await roundTrip(consumer);
  expect(second.done).toBe(false);
  clock.advance(INVISIBLE_MS - 50);
  expect(await second.answer).toMatchObject({ code: ResponseCode.POLLING_TIMEOUT });
});

test("each of several pops that wait gets its share", async () => {
  const { consumer, producer } = await start();
  const waiting = [1, 2, 3].map(() => pop(consumer, { pollTime: 10_000, maxMsgNums: 1 }));
  await roundTrip(consumer);
  await sendMessages(producer, ["a", "b", "c"]);
  const got = (await Promise.all(waiting)).flatMap((answer) => bodies(poppedOf(answer)));
  expect(got.sort()).toEqual(["a", "b", "c"]);
});

test("a notification tells of messages without leasing them", async () => {
  const { consumer, producer } = await start();
  expect((await notification(consumer)).fields.hasMsg).toBe("false");
  const waiting = watched(notification(consumer, { pollTime: 10_000 }));
  await roundTrip(consumer);
  expect(waiting.done).toBe(false);
  await sendMessages(producer, ["a"]);
  expect((await waiting.answer).fields).toMatchObject({ hasMsg: "true", pollingFull: "false" });
  expect((await notification(consumer)).fields.hasMsg).toBe("true");
  expect(bodies(await popped(consumer))).toEqual(["a"]);
  expect((await notification(consumer)).fields.hasMsg).toBe("false");
});

test("tags are passed over for good, and hold the offset of nobody", async () => {
  const { started, consumer, producer } = await start();
  for (const [body, tag] of [
    ["1", "a"],
    ["2", "b"],
    ["3", "a"],
    ["4", "c"],
  ] as const) {
    await sendMessages(producer, [body], { properties: properties({ TAGS: tag }) });
  }
  const got = await popped(consumer, { exp: "a || b" });
  expect(bodies(got)).toEqual(["1", "2", "3"]);
  await acked(consumer, ...got);
  expect(await popped(consumer, { exp: "a || b" })).toEqual([]);
  expect(committed(started)).toBe(4);
});

test("an expression chooses messages, and those of the retry topic", async () => {
  const { clock, started, consumer, producer } = await start();
  for (const [body, colour] of [
    ["1", "red"],
    ["2", "blue"],
    ["3", "red"],
  ] as const) {
    await sendMessages(producer, [body], { properties: properties({ colour }) });
  }
  const wanted = { expType: "SQL92", exp: "colour = 'red'" };
  const got = await popped(consumer, wanted);
  expect(bodies(got)).toEqual(["1", "3"]);
  await acked(consumer, got[0]!);
  clock.advance(INVISIBLE_MS);
  await topicsSaved(started);
  expect(bodies(await popped(consumer, wanted))).toEqual(["3"]);
  expect(committed(started)).toBe(3);
  expect(await pop(consumer, { expType: "SQL92", exp: "colour = " })).toMatchObject({
    code: ResponseCode.SUBSCRIPTION_PARSE_FAILED,
  });
});

test("an ordered pop holds its queue until all of it is acknowledged or its time is over", async () => {
  const { clock, started, consumer, producer } = await start();
  const ordered = { order: true, maxMsgNums: 2 };
  await sendMessages(producer, ["a", "b", "c"]);
  const first = await popped(consumer, ordered);
  expect(bodies(first)).toEqual(["a", "b"]);
  expect(first[0]!.handle).toMatch(/ 999 0 /);
  expect(await popped(consumer, ordered)).toEqual([]);
  await acked(consumer, first[0]!);
  expect(committed(started)).toBe(1);
  expect(await popped(consumer, ordered)).toEqual([]);
  clock.advance(INVISIBLE_MS);
  const answer = await pop(consumer, ordered);
  expect(answer.fields.orderCountInfo).toBe("0 qo0%1 1;0 0 0");
  const second = poppedOf(answer);
  expect(bodies(second)).toEqual(["b", "c"]);
  expect((await ack(consumer, first[1]!)).code).toBe(ResponseCode.NO_MESSAGE);
  await acked(consumer, ...second);
  expect(committed(started)).toBe(3);
  expect(await popped(consumer, ordered)).toEqual([]);
});

test("an ordered pop that waits goes on when the queue is free, by acknowledgement or by time", async () => {
  const { clock, consumer, producer } = await start();
  const ordered = { order: true, maxMsgNums: 1, pollTime: 2 * INVISIBLE_MS };
  await sendMessages(producer, ["a", "b"]);
  const first = poppedOf(await pop(consumer, ordered));
  const waiting = watched(pop(consumer, ordered));
  await roundTrip(consumer);
  expect(waiting.done).toBe(false);
  await acked(consumer, ...first);
  expect(bodies(poppedOf(await waiting.answer))).toEqual(["b"]);
  const again = watched(pop(consumer, ordered));
  await roundTrip(consumer);
  expect(again.done).toBe(false);
  clock.advance(INVISIBLE_MS);
  expect(bodies(poppedOf(await again.answer))).toEqual(["b"]);
});

test("who repeats an ordered pop under its attempt id is given the same again", async () => {
  const { consumer, producer } = await start();
  const ordered = { order: true, attemptId: "attempt-1" };
  await sendMessages(producer, ["a", "b"]);
  expect(bodies(await popped(consumer, ordered))).toEqual(["a", "b"]);
  expect(await popped(consumer, { ...ordered, attemptId: "attempt-2" })).toEqual([]);
  expect(bodies(await popped(consumer, ordered))).toEqual(["a", "b"]);
});

test("too many messages that nobody acknowledges stop the pops of a queue, or of the broker", async () => {
  const { consumer, producer, broker } = await start({
    enablePopMessageThreshold: true,
    popInflightMessageThreshold: 2,
  });
  await sendMessages(producer, ["a", "b", "c", "d"]);
  const first = await popped(consumer, { maxMsgNums: 2 });
  expect(await popped(consumer)).toEqual([]);
  await acked(consumer, first[0]!);
  expect(bodies(await popped(consumer, { maxMsgNums: 1 }))).toEqual(["c"]);
  expect(broker.context.config.popLeaseCountMax).toBe(1_000_000);
});

test("where sends wait for the disk, acknowledgements do, and extensions", async () => {
  const disk = new HeldDisk();
  const started = await startBroker({ disk, config: { flushDiskType: "SYNC_FLUSH" } });
  makeTopic(started);
  const client = started.client();
  await sendMessages(client, ["a", "b"]);
  const [a, b] = await popped(client);
  disk.held = true;
  const answers = [watched(ack(client, a!)), watched(changeInvisibleTime(client, b!, 1000))];
  await until(() => disk.syncsUnderWay === 1, "the sync");
  await roundTrip(client);
  expect(answers.map(({ done }) => done)).toEqual([false, false]);
  disk.held = false;
  disk.letGo();
  for (const { answer } of answers) expect((await answer).code).toBe(ResponseCode.SUCCESS);
});

test("what can not be written is not answered as if it were", async () => {
  const { broker, consumer, producer } = await start();
  await sendMessages(producer, ["a"]);
  const [a] = await popped(consumer);
  const put = broker.store.put.bind(broker.store);
  broker.store.put = () => PutStatus.DISK_FULL;
  expect(await ack(consumer, a!)).toMatchObject({ code: ResponseCode.SYSTEM_ERROR });
  expect(await batchAck(consumer, [a!])).toMatchObject({ code: ResponseCode.SYSTEM_ERROR });
  expect(await changeInvisibleTime(consumer, a!, 1000)).toMatchObject({ code: ResponseCode.SYSTEM_ERROR });
  broker.store.put = put;
  await acked(consumer, a!);
});

test("assignments: all queues to each, or shares of them, as the group's request mode says", async () => {
  const { broker, consumer } = await start({}, 4);
  const ask = async (fields: object = {}) => {
    const body = { topic: TOPIC, consumerGroup: "G", clientId: "c1", strategyName: "AVG", messageModel: "CLUSTERING" };
    const given = Buffer.from(JSON.stringify({ ...body, ...fields }));
    const answer = await consumer.call(RequestCode.QUERY_ASSIGNMENT, {}, given, ANSWER_MS);
    expect(answer.code).toBe(ResponseCode.SUCCESS);
    const list = JSON.parse(answer.body.toString()).messageQueueAssignments;
    type One = { mode: string; messageQueue: { queueId: number; brokerName: string } };
    return (list as One[] | undefined)?.map(({ mode, messageQueue }) => `${mode} ${messageQueue.queueId}`).sort();
  };
  expect(await ask()).toBeUndefined();
  const member = (clientID: string) => ({
    clientID,
    producerDataSet: [],
    consumerDataSet: [
      { groupName: "G", consumeType: "CONSUME_PASSIVELY", messageModel: "CLUSTERING", subscriptionDataSet: [] },
    ],
  });
  for (const id of ["c1", "c2", "c3"]) {
    const body = Buffer.from(JSON.stringify(member(id)));
    await connect(broker).call(RequestCode.HEART_BEAT, {}, body, ANSWER_MS);
  }
  expect(await ask()).toEqual(["PULL 0", "PULL 1"]);
  expect(await ask({ clientId: "c3" })).toEqual(["PULL 3"]);
  expect(await ask({ strategyName: "AVG_BY_CIRCLE" })).toEqual(["PULL 0", "PULL 3"]);
  expect(await ask({ clientId: "stranger" })).toEqual([]);
  expect(await ask({ strategyName: "MY_OWN" })).toBeUndefined();
  expect(await ask({ topic: "Nobody" })).toBeUndefined();
  expect(await ask({ messageModel: "BROADCASTING" })).toHaveLength(4);
  const mode = { topic: TOPIC, consumerGroup: "G", mode: "POP" as const };
  broker.context.requestModes.set({ ...mode, popShareQueueNum: 0 });
  expect(await ask()).toEqual(["POP -1"]);
  broker.context.requestModes.set({ ...mode, popShareQueueNum: 1 });
  expect(await ask()).toEqual(["POP 0", "POP 1", "POP 2"]);
});
