/** Code 36, and what clients send to retry topics by themselves: retries, dead letters, refusals. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MessageExt } from "#src/record/decode.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { FakeConnection } from "./harness.js";
import { STORE_PORT, StoreBroker, type StoreBrokerOptions } from "./store-broker.js";

const SCHEDULE = "SCHEDULE_TOPIC_XXXX";
const RETRY = "%RETRY%G";
const DLQ = "%DLQ%G";
const FOREVER_MS = 2 * 3_600_000;

let broker: StoreBroker;

async function start(options: StoreBrokerOptions = {}): Promise<void> {
  broker = await StoreBroker.open(options);
  broker.schedule.start();
}

beforeEach(() => start());
afterEach(() => broker.close());

const topic = (name: string) => broker.broker.context.topics.get(name);

/** The message that waits in a delay level. */
const waiting = (level: number): MessageExt => broker.messages(SCHEDULE, level - 1).at(-1)!;

async function sentBack(message: MessageExt, fields: Fields = {}): Promise<void> {
  const answer = broker.sendBack({ offset: message.phyOffset, ...fields });
  expect(answer).toMatchObject({ code: 0, remark: "" });
  await broker.settle();
}

describe("a message that is given back", () => {
  test("waits ten seconds at first, and comes again from the retry topic", async () => {
    const message = await broker.sent({ TAGS: "A", UNIQ_KEY: "K1", own: "x" });
    await sentBack(message);
    expect(topic(RETRY)).toMatchObject({ readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 });
    const retried = waiting(3);
    expect(Object.fromEntries(retried.properties)).toEqual({
      TAGS: "A",
      UNIQ_KEY: "K1",
      own: "x",
      MSG_REGION: "DefaultRegion",
      TRACE_ON: "true",
      CLUSTER: "DefaultCluster",
      WAIT: "false",
      DELAY: "3",
      RETRY_TOPIC: "T",
      ORIGIN_MESSAGE_ID: message.msgId,
      REAL_TOPIC: RETRY,
      REAL_QID: "0",
    });
    await broker.advance(9_999);
    expect(broker.messages(RETRY)).toEqual([]);
    await broker.advance(1);
    const [again] = broker.messages(RETRY);
    expect(again).toMatchObject({ reconsumeTimes: 1, flag: 7, bornTimestamp: message.bornTimestamp, queueId: 0 });
    expect(again!.body.toString()).toBe("body");
    expect(again!.properties).toEqual(retried.properties);
    expect(again!.storeHost).toBe(`127.0.0.1:${STORE_PORT}`);
  });

  test("waits a level longer each time, and remembers what it was at first", async () => {
    const first = await broker.sent();
    let message = first;
    for (const [tries, level] of [3, 4, 5].entries()) {
      await sentBack(message);
      expect(waiting(level).properties.get("DELAY")).toBe(String(level));
      await broker.advance(FOREVER_MS);
      message = broker.messages(RETRY).at(-1)!;
      expect(message.reconsumeTimes).toBe(tries + 1);
      expect(message.properties.get("ORIGIN_MESSAGE_ID")).toBe(first.msgId);
      expect(message.properties.get("RETRY_TOPIC")).toBe("T");
    }
  });

  test("waits as long as the client asks, the last level at the most", async () => {
    const message = await broker.sent();
    await sentBack(message, { delayLevel: 1 });
    expect(waiting(1).properties.get("DELAY")).toBe("1");
    await sentBack(message, { delayLevel: 40 });
    expect(waiting(18).properties.get("DELAY")).toBe("18");
  });

  test("goes to dead letters at once when the client says so", async () => {
    const message = await broker.sent({ TIMER_OUT_MS: "5" });
    await sentBack(message, { delayLevel: -1 });
    expect(topic(DLQ)).toMatchObject({ readQueueNums: 1, writeQueueNums: 1, perm: 6 });
    const [dead] = broker.messages(DLQ);
    expect(dead).toMatchObject({ reconsumeTimes: 1, queueId: 0 });
    expect(Object.fromEntries(dead!.properties)).toMatchObject({
      DELAY: "0",
      RETRY_TOPIC: "T",
      ORIGIN_MESSAGE_ID: message.msgId,
      TIMER_OUT_MS: "5",
    });
    expect(dead!.properties.has("REAL_TOPIC")).toBe(false);
    expect(broker.log.at("info", /dead letters/)).toMatchObject([{ group: "G", originTopic: "T" }]);
  });

  test("goes there when it was tried as often as the group, or the client, wants", async () => {
    const tried = (times: number) => broker.sent({}, { reconsumeTimes: times });
    await sentBack(await tried(15));
    expect(broker.messages(DLQ)).toHaveLength(0);
    await sentBack(await tried(16));
    expect(broker.messages(DLQ)).toHaveLength(1);
    await sentBack(await tried(1), { maxReconsumeTimes: 2 });
    expect(broker.messages(DLQ)).toHaveLength(1);
    await sentBack(await tried(2), { maxReconsumeTimes: 2 });
    expect(broker.messages(DLQ)).toHaveLength(2);

    const group = broker.broker.context.groups.get("G")!;
    group.retryMaxTimes = 1;
    await sentBack(await tried(1), { maxReconsumeTimes: undefined });
    expect(broker.messages(DLQ)).toHaveLength(3);
    await sentBack(await tried(1), { maxReconsumeTimes: 2 });
    expect(broker.messages(DLQ)).toHaveLength(3);
  });

  test("takes the queues of the retry topic in turn, and none that the topic does not have", async () => {
    const { groups } = broker.broker.context;
    groups.find("G")!.retryQueueNums = 3;
    const message = await broker.sent();
    for (let i = 0; i < 6; i++) await sentBack(message, { delayLevel: 1 });
    await broker.advance(1000);
    expect(topic(RETRY)).toMatchObject({ readQueueNums: 3, writeQueueNums: 3 });
    expect([0, 1, 2].map((queueId) => broker.messages(RETRY, queueId).length)).toEqual([2, 2, 2]);
    groups.get("G")!.retryQueueNums = 50;
    for (let i = 0; i < 6; i++) await sentBack(message, { delayLevel: 1 });
    await broker.advance(1000);
    expect([0, 1, 2].map((queueId) => broker.messages(RETRY, queueId).length)).toEqual([4, 4, 4]);
  });

  test("of a client in unit mode makes a retry topic of unit mode", async () => {
    await sentBack(await broker.sent(), { unitMode: true });
    expect(topic(RETRY)!.topicSysFlag).toBe(2);
  });

  test("is done with when the group does without retries", async () => {
    broker.broker.context.groups.find("G")!.retryQueueNums = 0;
    const message = await broker.sent();
    const { maxPhyOffset } = broker.store;
    await sentBack(message);
    expect(broker.store.maxPhyOffset).toBe(maxPhyOffset);
    expect(topic(RETRY)).toBeUndefined();
  });

  test("counts for the topics it is put into", async () => {
    const message = await broker.sent();
    await sentBack(message);
    await sentBack(message, { delayLevel: -1 });
    expect([topic(SCHEDULE)!.puts.total, topic(DLQ)!.puts.total, topic(RETRY)!.puts.total]).toEqual([1, 1, 0]);
    await broker.advance(10_000);
    expect(topic(RETRY)!.puts.total).toBe(1);
    expect(broker.broker.context.stats.groupGets("G", "T").sendBacks.total).toBe(2);
  });

  test("has no timer and no CRC that are those of the message before it", async () => {
    const message = await broker.sent({ DELAY: "1", TIMER_DELAY_MS: "8" });
    expect(message).toBeUndefined();
    await broker.advance(1000);
    await sentBack(broker.messages("T", 1)[0]!, { delayLevel: 2 });
    const { properties } = waiting(2);
    expect(properties.has("TIMER_DELAY_MS")).toBe(false);
    expect([properties.get("REAL_TOPIC"), properties.get("RETRY_TOPIC")]).toEqual([RETRY, "T"]);
  });
});

describe("with synchronous flush", () => {
  test("the broker has the message for certain before it says so", async () => {
    await broker.close();
    await start({ store: { flushDiskType: "SYNC_FLUSH" } });
    broker.send({ WAIT: "false" });
    await broker.settle();
    const connection = new FakeConnection();
    const { phyOffset } = broker.messages("T", 1)[0]!;
    expect(() => broker.sendBack({ offset: phyOffset, delayLevel: -1 }, connection)).toThrow();
    expect(connection.writer.length).toBe(0);
    await broker.settle();
    expect(broker.messages(DLQ)).toHaveLength(1);
    expect(connection.writer.length).toBeGreaterThan(0);
  });
});

describe("refusals, in Apache's words", () => {
  test("a group that does not exist and may not be made", async () => {
    await broker.close();
    await start({ config: { autoCreateSubscriptionGroup: false } });
    expect(broker.sendBack({ offset: 0 })).toMatchObject({
      code: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
      remark:
        "subscription group not exist, G \nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.",
    });
    expect(broker.sendBack({ offset: 0, group: "../G" }).code).toBe(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST);
  });

  test("a broker, or a retry topic, that takes no messages", async () => {
    const message = await broker.sent();
    await sentBack(message);
    broker.broker.context.topics.get(RETRY)!.assign({ perm: 4 });
    expect(broker.sendBack({ offset: message.phyOffset })).toMatchObject({
      code: ResponseCode.NO_PERMISSION,
      remark: "the topic[%RETRY%G] sending message is forbidden",
    });
    await broker.close();
    await start({ config: { brokerPermission: 4 } });
    expect(broker.sendBack({ offset: 0 })).toMatchObject({
      code: ResponseCode.NO_PERMISSION,
      remark: "the broker[127.0.0.1] sending message is forbidden",
    });
  });

  test.each([-1, 1, 7, 1e15, 4_000_000])("no message at offset %d", async (offset) => {
    await broker.sent();
    expect(broker.sendBack({ offset })).toMatchObject({
      code: ResponseCode.SYSTEM_ERROR,
      remark: `look message by offset failed, ${offset}`,
    });
    expect(broker.messages(DLQ)).toEqual([]);
  });

  test.each(["group", "offset", "delayLevel"])("the field %s is missing", (name) => {
    const answer = broker.sendBack({ offset: 0, [name]: undefined });
    expect(answer).toMatchObject({ code: ResponseCode.SYSTEM_ERROR, remark: expect.stringContaining(name) });
  });

  test("a message that grew over what properties may take", async () => {
    const message = await broker.sent({ long: "x".repeat(32_600) });
    expect(broker.sendBack({ offset: message.phyOffset })).toMatchObject({ code: ResponseCode.SYSTEM_ERROR });
    await broker.settle();
    expect(broker.messages(SCHEDULE, 2)).toEqual([]);
    expect(broker.sendBack({ offset: message.phyOffset, delayLevel: -1, group: "H" }).code).toBe(1);
  });

  test("a group whose topics may not be made", async () => {
    const message = await broker.sent();
    const { context } = broker.broker;
    const full = { topicCountMax: context.topics.size };
    Object.assign(context.config, full);
    const answer = broker.sendBack({ offset: message.phyOffset });
    expect(answer).toMatchObject({ code: ResponseCode.SYSTEM_ERROR, remark: "topic[%RETRY%G] not exist" });
  });
});

describe("a client that sends to the retry topic by itself", () => {
  const retry = (fields: Fields = {}) =>
    broker.send(
      { DELAY: "4", REAL_TOPIC: "x", REAL_QID: "9" },
      { topic: RETRY, queueId: 0, reconsumeTimes: 1, ...fields },
    );

  test("finds the topic made for it, and its message waits there", async () => {
    expect(retry()).toMatchObject({ code: 0, fields: { queueId: "0" } });
    await broker.settle();
    expect(waiting(4).properties.get("REAL_TOPIC")).toBe(RETRY);
    await broker.advance(30_000);
    expect(broker.messages(RETRY)[0]).toMatchObject({ reconsumeTimes: 1, topic: RETRY });
  });

  test("reaches the dead letters when it has tried more often than it wants itself, or than the group does", async () => {
    expect(retry({ reconsumeTimes: 17 }).code).toBe(0);
    expect(retry({ reconsumeTimes: 16 }).code).toBe(0);
    expect(retry({ reconsumeTimes: 4, maxReconsumeTimes: 3 }).code).toBe(0);
    expect(retry({ reconsumeTimes: 3, maxReconsumeTimes: 3 }).code).toBe(0);
    await broker.settle();
    expect(broker.messages(DLQ).map(({ reconsumeTimes }) => reconsumeTimes)).toEqual([17, 4]);
    expect(broker.messages(SCHEDULE, 3).map(({ reconsumeTimes }) => reconsumeTimes)).toEqual([16, 3]);
    expect(broker.messages(DLQ)[0]!.properties.get("DELAY")).toBe("-1");
    expect(topic(DLQ)!.puts.total).toBe(2);
  });

  test("reaches them at once when its group consumes in order", async () => {
    const queue = { topic: "T", brokerName: "broker-a", queueId: 0 };
    broker.broker.context.queueLocks.tryLock("G", [queue], "client");
    expect(retry({ queueId: 0 })).toMatchObject({ code: 0, fields: { queueId: "0" } });
    await broker.settle();
    expect(broker.messages(DLQ)).toHaveLength(1);
    await broker.advance(61_000);
    expect(retry().code).toBe(0);
    await broker.settle();
    expect(broker.messages(DLQ)).toHaveLength(1);
  });

  test("is refused for a group that does not exist, or a count that is none", async () => {
    expect(retry({ maxReconsumeTimes: "many" })).toMatchObject({
      code: ResponseCode.SYSTEM_ERROR,
      remark: expect.stringContaining("maxReconsumeTimes"),
    });
    await broker.close();
    await start({ config: { autoCreateSubscriptionGroup: false } });
    expect(retry()).toMatchObject({ code: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST });
  });

  test("can not send a batch there", () => {
    const answer = broker.send({}, { topic: RETRY, queueId: 0, batch: true });
    expect(answer).toMatchObject({ code: ResponseCode.MESSAGE_ILLEGAL, remark: expect.stringContaining(RETRY) });
  });
});

test.each([
  [120, 0],
  [121, 1],
])(
  "a client of version %d that wants no retries gets %d dead letters: 3.4.9 is the first to be asked",
  async (version, count) => {
    const message = await broker.sent({}, { reconsumeTimes: 2 });
    const extFields = { group: "G", offset: String(message.phyOffset), delayLevel: "0", maxReconsumeTimes: "2" };
    const header = {
      code: RequestCode.CONSUMER_SEND_MSG_BACK,
      version,
      language: "JAVA",
      opaque: 1,
      flag: 0,
      extFields,
    };
    const bytes = Buffer.from(JSON.stringify(header));
    const frame = Buffer.alloc(8 + bytes.length);
    frame.writeInt32BE(4 + bytes.length, 0);
    frame.writeInt32BE(bytes.length, 4);
    bytes.copy(frame, 8);
    expect(broker.broker.askFrame(frame).code).toBe(0);
    await broker.settle();
    expect(broker.messages(DLQ)).toHaveLength(count);
  },
);
