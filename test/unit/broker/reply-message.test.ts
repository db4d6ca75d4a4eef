/** Replies: pushed to the client that waits, stored, and answered with what became of them. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseProperties, formatProperties } from "#src/record/properties.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields, RemoteAnswer } from "#src/remoting/types.js";
import { CometError } from "#src/base/errors.js";
import { type Answered, FakeConnection } from "./harness.js";
import { StoreBroker, type StoreBrokerOptions } from "./store-broker.js";

const TOPIC = "DefaultCluster_REPLY_TOPIC";
const OK: RemoteAnswer = { code: 0, remark: "", fields: {}, body: Buffer.alloc(0) };

let broker: StoreBroker;

async function start(options: StoreBrokerOptions = {}): Promise<void> {
  broker = await StoreBroker.open(options);
}

beforeEach(() => start());
afterEach(() => broker.close());

/** A client that waits for a reply; what it is sent, and what it answers. */
function joinRequester(clientId = "C", answer: () => RemoteAnswer = () => OK) {
  const connection = new FakeConnection();
  const pushed: { code: number; fields: Fields; body: string }[] = [];
  connection.answer = (code, fields, body) => {
    pushed.push({ code, fields, body: Buffer.from(body!).toString() });
    return answer();
  };
  broker.broker.context.producers.register("P", { connection, clientId, language: 0, version: 0 });
  return { connection, pushed };
}

function reply(properties: Record<string, string>, fields: Fields = {}, body = "reply"): Promise<Answered> {
  const given = {
    producerGroup: "R",
    topic: TOPIC,
    defaultTopic: "TBW102",
    defaultTopicQueueNums: 4,
    queueId: 0,
    sysFlag: 1,
    bornTimestamp: 1_795_000_000_123,
    flag: 7,
    properties: formatProperties(Object.entries(properties)),
    reconsumeTimes: 0,
    unitMode: false,
    ...fields,
  };
  return broker.broker.askLate(RequestCode.SEND_REPLY_MESSAGE, given, body);
}

test("reaches the client that waits for it, and is stored", async () => {
  const { pushed } = joinRequester();
  joinRequester("other");
  const properties = { REPLY_TO_CLIENT: "C", CORRELATION_ID: "7", MSG_TYPE: "reply" };
  const answer = await reply(properties);
  expect(answer).toMatchObject({ code: 0, fields: { queueId: "0", queueOffset: "0", MSG_REGION: "DefaultRegion" } });
  const [{ code, fields, body } = { code: 0, fields: {} as Fields, body: "" }] = pushed;
  expect([code, body, pushed.length]).toEqual([RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, "reply", 1]);
  expect(fields).toMatchObject({ topic: TOPIC, producerGroup: "R", flag: 7, sysFlag: 1, queueId: 0 });
  expect(fields).toMatchObject({ bornTimestamp: 1_795_000_000_123, storeTimestamp: broker.clock.nowMs() });
  expect(fields["bornHost"]).toMatch(/^127\.0\.0\.1:\d+$/);
  const sent = parseProperties(String(fields["properties"]));
  const marked = { ...properties, MSG_REGION: "DefaultRegion", TRACE_ON: "true" };
  expect(Object.fromEntries(sent)).toEqual({ ...marked, PUSH_REPLY_TIME: String(broker.clock.nowMs()) });
  await broker.settle();
  const [stored] = broker.messages(TOPIC);
  expect(stored).toMatchObject({ msgId: answer.fields["msgId"], flag: 7, sysFlag: 1 });
  expect([stored!.body.toString(), Object.fromEntries(stored!.properties)]).toEqual(["reply", marked]);
});

test("is not stored where that is not wanted", async () => {
  await broker.close();
  await start({ config: { storeReplyMessageEnable: false } });
  joinRequester();
  expect(await reply({ REPLY_TO_CLIENT: "C" })).toMatchObject({ code: 0, fields: { msgId: "0", queueOffset: "0" } });
  await broker.settle();
  expect(broker.messages(TOPIC)).toEqual([]);
});

test("its sender is told when nobody gets it", async () => {
  expect(await reply({})).toMatchObject({ code: 1, remark: "reply message properties[REPLY_TO_CLIENT] is null" });
  expect(await reply({ REPLY_TO_CLIENT: "__proto__" })).toMatchObject({
    code: 1,
    remark: "push reply message fail, channel of <__proto__> not found.",
  });
  joinRequester("refuses", () => ({ ...OK, code: 1, remark: "too late" }));
  joinRequester("gone", () => {
    throw new CometError("COMETMQ_REMOTE", "the connection was closed");
  });
  const full = joinRequester("full");
  Object.assign(full.connection, { unsentBytes: 2 ** 30 });
  expect(await reply({ REPLY_TO_CLIENT: "refuses" })).toMatchObject({
    code: 1,
    remark: "push reply message to refuses fail.",
  });
  expect(await reply({ REPLY_TO_CLIENT: "gone" })).toMatchObject({
    code: 1,
    remark: "push reply message to gone fail.",
  });
  expect((await reply({ REPLY_TO_CLIENT: "full" })).code).toBe(ResponseCode.SYSTEM_BUSY);
  expect(full.pushed).toEqual([]);
});

test.each([
  ["no topic", { topic: undefined }, ResponseCode.SYSTEM_ERROR, "<topic> is null"],
  ["a topic that is none", { topic: "../x" }, ResponseCode.INVALID_PARAMETER, "illegal characters"],
  ["a system topic", { topic: "SELF_TEST_TOPIC" }, ResponseCode.NO_PERMISSION, "is forbidden"],
  ["a queue that is not there", { queueId: 8 }, ResponseCode.INVALID_PARAMETER, "queueId[8]"],
  ["a queue id that is no number", { queueId: "x" }, ResponseCode.SYSTEM_ERROR, "<queueId> is not an integer"],
  ["a flag of 64 bits", { flag: "4294967296" }, ResponseCode.SYSTEM_ERROR, "<flag> is not an integer"],
  ["no time", { bornTimestamp: undefined }, ResponseCode.SYSTEM_ERROR, "<bornTimestamp> is null"],
])("%s is refused", async (_, fields, code, remark) => {
  const { pushed } = joinRequester();
  const answer = await reply({ REPLY_TO_CLIENT: "C" }, fields);
  expect(answer).toMatchObject({ code, remark: expect.stringContaining(remark) });
  await broker.settle();
  expect([pushed, broker.messages(TOPIC)]).toEqual([[], []]);
});
