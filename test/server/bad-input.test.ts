/**
 * What no client should send: each is answered with the code that Apache 5.4.0 gives for the same bytes (asked side by
 * side) and with a remark that says what is wrong, and leaves no trace. Where Apache answers with the text of a Java
 * exception, or takes what it should not, the code here is the one it has for such requests otherwise.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeMessageBatch } from "#src/record/message-batch.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { requestBytes } from "../unit/remoting/peers.js";
import {
  closeAll,
  properties,
  pulledMessages,
  pullFields,
  type StartedBroker,
  send,
  sendFields,
  sendFieldsV2,
  startBroker,
  treeOf,
} from "./harness.js";
import { expectNoTrace, expectRefusal, outcomeOf, stringFields } from "./refusals.js";

const { SYSTEM_ERROR, MESSAGE_ILLEGAL, INVALID_PARAMETER, NO_PERMISSION, TOPIC_NOT_EXIST } = ResponseCode;
const HELLO = Buffer.from("hello");
const INT64_MAX = "9223372036854775807";

let started: StartedBroker;

beforeAll(async () => {
  started = await startBroker();
  const answer = await send(started.client(), { topic: "T" }, "first");
  expect(answer.code).toBe(ResponseCode.SUCCESS);
  await started.broker.store.settled();
});

afterAll(closeAll);

function refused(bytes: Buffer, code: number, remark: RegExp): Promise<void> {
  return expectRefusal(started, bytes, code, remark);
}

function sendV2(fields: Fields, body: Uint8Array = HELLO, type: 0 | 1 = 0): Buffer {
  return requestBytes({ code: RequestCode.SEND_MESSAGE_V2, fields: stringFields(sendFieldsV2(fields)), body, type });
}

function sendV1(fields: Fields): Buffer {
  return requestBytes({ code: RequestCode.SEND_MESSAGE, fields: stringFields(sendFields(fields)), body: HELLO });
}

const ILLEGAL_TOPICS: [topic: string, remark: RegExp][] = [
  ["../../x", /^The specified topic: \.\.\/\.\.\/x, contains illegal characters/],
  ["a/b", /illegal characters/],
  ["a\\b", /illegal characters/],
  [".", /illegal characters/],
  ["..", /illegal characters/],
  ["a\0b", /illegal characters/],
  ["é", /illegal characters/],
  ["%RETRY%../x", /illegal characters/],
  [" ", /^The specified topic is blank\.$/],
  ["x".repeat(128), /longer than topic max length: 127$/],
  [`%RETRY%${"g".repeat(249)}`, /longer than topic max length: 255$/],
  ["x".repeat(1_000_000), /^The specified topic: x{400}/],
];

test.each(ILLEGAL_TOPICS.map(([topic, remark]) => ({ shown: JSON.stringify(topic.slice(0, 40)), topic, remark })))(
  "no message goes to the topic $shown",
  async ({ topic, remark }) => {
    await refused(sendV2({ topic }), INVALID_PARAMETER, remark);
    await refused(sendV2({ topic }, HELLO, 1), INVALID_PARAMETER, remark);
    await refused(sendV1({ topic }), INVALID_PARAMETER, remark);
  },
);

test("a remark quotes no more than some hundred characters of a name", async () => {
  for (const bytes of [
    sendV2({ topic: "x".repeat(1_000_000) }),
    pullBytes({ topic: "x".repeat(1_000_000) }),
    pullBytes({ consumerGroup: "x".repeat(1_000_000) }),
  ]) {
    expect((await outcomeOf(started, bytes)).remark!.length).toBeLessThan(600);
  }
});

test.each([
  ["SCHEDULE_TOPIC_XXXX", NO_PERMISSION, /^Sending message to topic\[SCHEDULE_TOPIC_XXXX\] is forbidden\.$/],
  ["RMQ_SYS_TRANS_HALF_TOPIC", NO_PERMISSION, /forbidden/],
  [undefined, SYSTEM_ERROR, /^the custom field <topic> is null$/],
])("no message goes to the topic %s", async (topic, code, remark) => {
  await refused(sendV2({ topic }), code, remark);
  await refused(sendV1({ topic }), code, remark);
});

test.each(["__proto__", "constructor", "toString", "1", "x".repeat(127)])(
  "the topic %s is one like any other",
  async (topic) => {
    const client = started.client();
    expect((await send(client, { topic }, topic)).code).toBe(ResponseCode.SUCCESS);
    await started.broker.store.settled();
    expect((await pulledMessages(client, { topic }))[0]!.body.toString()).toBe(topic);
    expect(treeOf(started.directory)).toContain(`consumequeue/${topic}/0`);
    expect(Object.getPrototypeOf({})).toBe(Object.prototype);
  },
);

test.each(["__proto__", "constructor", "1", "g".repeat(120)])("the group %s is one like any other", async (group) => {
  const client = started.client();
  const update = { consumerGroup: group, topic: "T", queueId: 0, commitOffset: 1 };
  expect((await pulledMessages(client, { consumerGroup: group })).length).toBeGreaterThan(0);
  expect((await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, update, undefined, 5000)).code).toBe(0);
  const answer = await client.call(RequestCode.QUERY_CONSUMER_OFFSET, update, undefined, 5000);
  expect(answer.fields.offset).toBe("1");
});

test.each<[Fields, number, RegExp]>([
  [{ queueId: 4 }, INVALID_PARAMETER, /^request queueId\[4\] is illegal, topic T has 4 write queues, Producer: 127/],
  [{ queueId: 2_147_483_647 }, INVALID_PARAMETER, /queueId\[2147483647\] is illegal/],
  [{ queueId: 2_147_483_648 }, SYSTEM_ERROR, /^the custom field <queueId> is not an integer of 32 bits: "2147483648"$/],
  [{ queueId: "abc" }, SYSTEM_ERROR, /<queueId> is not an integer of 32 bits: "abc"/],
  [{ queueId: "1.5" }, SYSTEM_ERROR, /<queueId>/],
  [{ queueId: "0x1" }, SYSTEM_ERROR, /<queueId>/],
  [{ queueId: " 1" }, SYSTEM_ERROR, /<queueId>/],
  [{ queueId: undefined }, SYSTEM_ERROR, /^the custom field <queueId> is null$/],
  [{ sysFlag: "abc" }, SYSTEM_ERROR, /<sysFlag> is not/],
  [{ sysFlag: 2_147_483_648 }, SYSTEM_ERROR, /<sysFlag> is not/],
  [{ sysFlag: undefined }, SYSTEM_ERROR, /<sysFlag> is null/],
  [{ sysFlag: -1 }, MESSAGE_ILLEGAL, /inner batch/],
  [{ sysFlag: 0x80 }, MESSAGE_ILLEGAL, /inner batch/],
  [{ properties: properties({ INNER_NUM: "3" }) }, MESSAGE_ILLEGAL, /inner batch/],
  [{ flag: "-2147483649" }, SYSTEM_ERROR, /<flag> is not/],
  [{ flag: undefined }, SYSTEM_ERROR, /<flag> is null/],
  [{ bornTimestamp: "abc" }, SYSTEM_ERROR, /<bornTimestamp> is not a time in ms: "abc"/],
  [{ bornTimestamp: "9223372036854775808" }, SYSTEM_ERROR, /<bornTimestamp> is not/],
  [{ bornTimestamp: INT64_MAX }, SYSTEM_ERROR, /<bornTimestamp> is not/],
  [{ bornTimestamp: undefined }, SYSTEM_ERROR, /<bornTimestamp> is null/],
  [{ reconsumeTimes: "x" }, SYSTEM_ERROR, /<reconsumeTimes> is not/],
  [{ topic: "New", defaultTopicQueueNums: "x" }, SYSTEM_ERROR, /<defaultTopicQueueNums> is not/],
  [{ topic: "New", defaultTopicQueueNums: 0 }, INVALID_PARAMETER, /defaultTopicQueueNums\[0\] is illegal/],
  [{ topic: "New", defaultTopicQueueNums: -1 }, INVALID_PARAMETER, /defaultTopicQueueNums\[-1\] is illegal/],
  [{ topic: "New", defaultTopic: "nope" }, TOPIC_NOT_EXIST, /^topic\[New\] not exist, apply first please!/],
  [{ topic: "New", sysFlag: "x" }, SYSTEM_ERROR, /<sysFlag> is not/],
  [{ topic: "New", queueId: "x" }, SYSTEM_ERROR, /<queueId> is not/],
])("a message with %o is refused", async (fields, code, remark) => {
  await refused(sendV2(fields), code, remark);
  await refused(sendV1(fields), code, remark);
});

test.each<Fields>([
  { queueId: -1 },
  { queueId: -2_147_483_648 },
  { flag: -1 },
  { flag: 2_147_483_647 },
  { bornTimestamp: -1 },
  { reconsumeTimes: 2_147_483_647 },
  { defaultTopicQueueNums: 2_147_483_647 },
  { sysFlag: -2_147_483_648 },
  { unitMode: "nonsense" },
  { producerGroup: undefined },
  { producerGroup: "../../x" },
])("a message with %o is taken, as by Apache", async (fields) => {
  expect(await outcomeOf(started, sendV2(fields))).toMatchObject({ code: ResponseCode.SUCCESS, closed: false });
});

test("what a broker owns of sysFlag does not come from a client", async () => {
  const client = started.client();
  const sent = await send(client, { topic: "Flags", sysFlag: 0x3c }, "x");
  await started.broker.store.settled();
  const [message] = await pulledMessages(client, { topic: "Flags", queueOffset: Number(sent.fields.queueOffset) });
  expect(message!.sysFlag).toBe(0);
});

const LIMITS =
  /^the message is illegal, maybe msg body or properties length not matched\. msg body length limit 4194304B/;

test("a body may have 4 MiB and not a byte more", async () => {
  const largest = Buffer.alloc(4 * 1024 * 1024, "4MiB");
  const client = started.client();
  const sent = await send(client, { topic: "Large" }, largest);
  expect(sent.code).toBe(ResponseCode.SUCCESS);
  await started.broker.store.settled();
  const [message] = await pulledMessages(client, { topic: "Large" });
  expect(message!.body.equals(largest)).toBe(true);
  await refused(sendV2({}, Buffer.concat([largest, Buffer.of(1)])), MESSAGE_ILLEGAL, LIMITS);
});

test("a message has a body", async () => {
  await refused(sendV2({}, Buffer.alloc(0)), MESSAGE_ILLEGAL, /^the message body is empty$/);
});

test("properties may have 32767 bytes with what the broker adds, and not a byte more", async () => {
  const client = started.client();
  const UNIQ_KEY = "0".repeat(32);
  const text = (length: number) => properties({ UNIQ_KEY, k: "v".repeat(length) });
  await send(client, { topic: "Properties", properties: text(1) }, "x");
  await started.broker.store.settled();
  const [small] = await pulledMessages(client, { topic: "Properties" });
  const overhead = [...small!.properties].reduce((sum, [name, value]) => sum + name.length + value.length + 2, -1);
  const most = 32767 - overhead;
  const sent = await send(client, { topic: "Properties", properties: text(most) }, "x");
  expect(sent.code).toBe(ResponseCode.SUCCESS);
  await started.broker.store.settled();
  const [large] = await pulledMessages(client, { topic: "Properties", queueOffset: Number(sent.fields.queueOffset) });
  expect(large!.properties.get("k")).toHaveLength(most);
  for (const length of [most + 1, 32_767, 32_768, 70_000, 300_000]) {
    await refused(sendV2({ topic: "New", properties: text(length) }), MESSAGE_ILLEGAL, LIMITS);
  }
});

const BATCH = encodeMessageBatch([
  { body: Buffer.from("one"), properties: [["k", "v"]] },
  { body: Buffer.from("two") },
]);

function changed(change: (body: Buffer) => void): Buffer {
  const body = Buffer.from(BATCH);
  change(body);
  return body;
}

const LIGHT = { body: HELLO, properties: [["INNER_MULTI_DISPATCH", "%LMQ%a"]] as const };
const NOT_WHOLE = /^the batch body is malformed: message \d is not whole$/;

test.each<[string, Buffer, RegExp]>([
  ["empty", Buffer.alloc(0), /^the message body is empty$/],
  ["of one byte", Buffer.of(1), NOT_WHOLE],
  ["cut by a byte", BATCH.subarray(0, -1), NOT_WHOLE],
  ["a byte too long", Buffer.concat([BATCH, Buffer.of(0)]), NOT_WHOLE],
  ["with a body of length -1", changed((body) => body.writeInt32BE(-1, 16)), NOT_WHOLE],
  ["with a body of 2 GiB", changed((body) => body.writeInt32BE(0x7fffffff, 16)), NOT_WHOLE],
  ["with properties of length -1", changed((body) => body.writeInt16BE(-1, 23)), NOT_WHOLE],
  ["with properties beyond its end", changed((body) => body.writeInt16BE(32767, 23)), NOT_WHOLE],
  ["of ones", Buffer.alloc(100, 0xff), NOT_WHOLE],
  ["of zeros", Buffer.alloc(100), NOT_WHOLE],
  ["for light queues", encodeMessageBatch([{ body: HELLO }, LIGHT]), /INNER_MULTI_DISPATCH/],
  ["over 4 MiB", encodeMessageBatch([{ body: Buffer.alloc(2 ** 21) }, { body: Buffer.alloc(2 ** 21) }]), LIMITS],
  ["of many small ones, together too large", encodeMessageBatch(Array(150_000).fill({ body: HELLO })), LIMITS],
])("a batch body %s is refused whole", async (_, body, remark) => {
  const fields = stringFields(sendFieldsV2({ batch: true }));
  await refused(requestBytes({ code: RequestCode.SEND_BATCH_MESSAGE, fields, body }), MESSAGE_ILLEGAL, remark);
  await refused(requestBytes({ code: RequestCode.SEND_MESSAGE_V2, fields, body }), MESSAGE_ILLEGAL, remark);
});

test("a batch for a retry topic is refused", async () => {
  const fields = stringFields(sendFieldsV2({ batch: true, topic: "%RETRY%G" }));
  const bytes = requestBytes({ code: RequestCode.SEND_BATCH_MESSAGE, fields, body: BATCH });
  expect(await outcomeOf(started, bytes)).toMatchObject({
    code: MESSAGE_ILLEGAL,
    remark: "batch request does not support retry group %RETRY%G",
  });
});

function pullBytes(fields: Fields): Buffer {
  return requestBytes({ code: RequestCode.PULL_MESSAGE, fields: stringFields(pullFields(fields)) });
}

test.each<[Fields, number, RegExp]>([
  [{ topic: "nope" }, TOPIC_NOT_EXIST, /^topic\[nope\] not exist/],
  [{ topic: "../../x" }, TOPIC_NOT_EXIST, /\.\.\/\.\.\/x/],
  [{ topic: undefined }, SYSTEM_ERROR, /<topic> is null/],
  [{ consumerGroup: "" }, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, /does not exist/],
  [{ consumerGroup: "../../x" }, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, /\[\.\.\/\.\.\/x\] does not exist/],
  [{ consumerGroup: "a/b" }, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, /does not exist/],
  [{ consumerGroup: "g\0" }, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, /does not exist/],
  [{ consumerGroup: "g".repeat(121) }, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, /does not exist/],
  [{ consumerGroup: undefined }, SYSTEM_ERROR, /<consumerGroup> is null/],
  [{ queueId: -1 }, INVALID_PARAMETER, /^queueId\[-1\] is illegal, topic:\[T\] topicConfig\.readQueueNums:\[4\]/],
  [{ queueId: 4 }, INVALID_PARAMETER, /^queueId\[4\] is illegal/],
  [{ queueId: 2_147_483_648 }, SYSTEM_ERROR, /<queueId> is not an integer of 32 bits: "2147483648"/],
  [{ queueId: "x", consumerGroup: "New" }, SYSTEM_ERROR, /<queueId> is not/],
  [{ queueId: undefined }, SYSTEM_ERROR, /<queueId> is null/],
  [{ queueOffset: -1 }, ResponseCode.PULL_OFFSET_MOVED, /^OFFSET_TOO_SMALL$/],
  [{ queueOffset: "-9223372036854775808" }, ResponseCode.PULL_OFFSET_MOVED, /^OFFSET_TOO_SMALL$/],
  [{ queueOffset: 99_999 }, ResponseCode.PULL_OFFSET_MOVED, /^OFFSET_OVERFLOW_BADLY$/],
  [{ queueOffset: INT64_MAX }, ResponseCode.PULL_OFFSET_MOVED, /^OFFSET_OVERFLOW_BADLY$/],
  [{ queueOffset: "9223372036854775808" }, SYSTEM_ERROR, /<queueOffset> is not an integer of 64 bits/],
  [{ queueOffset: "x" }, SYSTEM_ERROR, /<queueOffset> is not/],
  [{ queueOffset: undefined }, SYSTEM_ERROR, /<queueOffset> is null/],
  [{ maxMsgNums: 2_147_483_648 }, SYSTEM_ERROR, /<maxMsgNums> is not/],
  [{ maxMsgNums: "x" }, SYSTEM_ERROR, /<maxMsgNums> is not/],
  [{ maxMsgNums: undefined }, SYSTEM_ERROR, /<maxMsgNums> is null/],
  [{ maxMsgBytes: "x" }, SYSTEM_ERROR, /<maxMsgBytes> is not/],
  [{ sysFlag: "x" }, SYSTEM_ERROR, /<sysFlag> is not/],
  [{ sysFlag: undefined }, SYSTEM_ERROR, /<sysFlag> is null/],
  [{ commitOffset: "x" }, SYSTEM_ERROR, /<commitOffset> is not/],
  [{ suspendTimeoutMillis: "x" }, SYSTEM_ERROR, /<suspendTimeoutMillis> is not/],
  [{ subVersion: "x" }, SYSTEM_ERROR, /<subVersion> is not/],
  [{ expressionType: "SQL93" }, ResponseCode.SUBSCRIPTION_PARSE_FAILED, /SQL93/],
])("a pull with %o is answered so", async (fields, code, remark) => {
  // The group is made by whoever pulls first, whatever comes of the pull.
  await outcomeOf(started, pullBytes({}));
  await refused(pullBytes(fields), code, remark);
});

test.each<[Fields, number]>([
  [{ maxMsgNums: -1 }, 1],
  [{ maxMsgNums: 0 }, 1],
  [{ maxMsgNums: 2_147_483_647 }, 5],
  [{ maxMsgBytes: -1 }, 1],
  [{ suspendTimeoutMillis: INT64_MAX }, 5],
  [{ suspendTimeoutMillis: -5, sysFlag: -1 }, 5],
])("a pull with %o is given %i messages", async (fields, count) => {
  const client = started.client();
  const topic = "Odd";
  if (started.broker.context.topics.get(topic) === undefined) {
    for (let i = 0; i < 5; i++) await send(client, { topic }, "odd");
    await started.broker.store.settled();
  }
  expect(await pulledMessages(client, { topic, ...fields })).toHaveLength(count);
});

const UPDATE = { consumerGroup: "G", topic: "T", queueId: 0, commitOffset: 1 };

test.each<[number, Fields, number, RegExp]>([
  [
    RequestCode.UPDATE_CONSUMER_OFFSET,
    { ...UPDATE, commitOffset: -1 },
    INVALID_PARAMETER,
    /^Offset -1 is out of range/,
  ],
  [RequestCode.UPDATE_CONSUMER_OFFSET, { ...UPDATE, commitOffset: INT64_MAX }, INVALID_PARAMETER, /^Offset 92233/],
  [RequestCode.UPDATE_CONSUMER_OFFSET, { ...UPDATE, commitOffset: "x" }, INVALID_PARAMETER, /^Offset x is out of/],
  [RequestCode.UPDATE_CONSUMER_OFFSET, { ...UPDATE, queueId: -1 }, INVALID_PARAMETER, /^QueueId -1 is out of range/],
  [RequestCode.UPDATE_CONSUMER_OFFSET, { ...UPDATE, queueId: undefined }, INVALID_PARAMETER, /^QueueId null is out/],
  [RequestCode.UPDATE_CONSUMER_OFFSET, { ...UPDATE, topic: "../x" }, TOPIC_NOT_EXIST, /^Topic \.\.\/x not exist!/],
  [RequestCode.UPDATE_CONSUMER_OFFSET, { ...UPDATE, consumerGroup: "../x" }, 26, /^Group \.\.\/x not exist!/],
  [RequestCode.GET_MAX_OFFSET, { topic: "T", queueId: "x" }, SYSTEM_ERROR, /queueId/],
  [RequestCode.GET_MIN_OFFSET, { queueId: 0 }, SYSTEM_ERROR, /topic/],
  [RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, { topic: "T", queueId: 0, timestamp: "x" }, SYSTEM_ERROR, /timestamp/],
  [RequestCode.VIEW_MESSAGE_BY_ID, { offset: "x" }, SYSTEM_ERROR, /offset/],
  [RequestCode.VIEW_MESSAGE_BY_ID, { offset: 1 }, SYSTEM_ERROR, /can not find message by the offset, 1$/],
  [RequestCode.VIEW_MESSAGE_BY_ID, { offset: INT64_MAX }, SYSTEM_ERROR, /can not find message/],
  [RequestCode.QUERY_MESSAGE, { topic: "T", key: "k" }, SYSTEM_ERROR, /maxNum/],
  [RequestCode.HEART_BEAT, {}, SYSTEM_ERROR, /body/],
  [RequestCode.LOCK_BATCH_MQ, {}, SYSTEM_ERROR, /body/],
])("request %i with %o is refused", async (code, fields, expected, remark) => {
  await refused(requestBytes({ code, fields: stringFields(fields) }), expected, remark);
});

test("a heartbeat's names make neither groups nor topics that are illegal", async () => {
  const subscription = { topic: "../../y", subString: "*", tagsSet: [], codeSet: [], subVersion: 1 };
  const consumer = {
    groupName: "../../x",
    consumeType: "CONSUME_PASSIVELY",
    messageModel: "CLUSTERING",
    consumeFromWhere: "CONSUME_FROM_LAST_OFFSET",
    subscriptionDataSet: [subscription],
  };
  const body = JSON.stringify({ clientID: "c", consumerDataSet: [consumer], producerDataSet: [{ groupName: "../p" }] });
  await expectNoTrace(started, async () => {
    expect(await outcomeOf(started, requestBytes({ code: RequestCode.HEART_BEAT, body }))).toMatchObject({
      closed: false,
    });
  });
});
