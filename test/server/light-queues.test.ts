/**
 * Messages for light queues (the property INNER_MULTI_DISPATCH) and for topics with batch queues (queue.type=BatchCQ) are
 * refused on every way in, with a word, and leave no trace: none is taken that nobody could ever read.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeMessageBatch } from "#src/record/message-batch.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { requestBytes } from "../unit/remoting/peers.js";
import { call, connectTo, message, type StartedEndpoint, startEndpoint } from "./grpc-client.js";
import { ANSWER_MS, closeAll, properties, send, sendFields, sendFieldsV2 } from "./harness.js";
import { expectNoTrace, expectRefusal, stringFields } from "./refusals.js";

const HELLO = Buffer.from("hello");
const BATCH = encodeMessageBatch([{ body: HELLO }, { body: HELLO }]);
const LIGHT = { INNER_MULTI_DISPATCH: "%LMQ%a,%LMQ%b" };
const LIGHT_REMARK = /^light message queues \(the property INNER_MULTI_DISPATCH\) are not served/;
const BATCH_TOPIC = "WithBatchQueues";
const BATCH_REMARK =
  /^topic\[WithBatchQueues\] has batch queues \(queue\.type=BatchCQ\), which this broker only reads$/;

let started: StartedEndpoint;

beforeAll(async () => {
  started = await startEndpoint({ config: { storeReplyMessageEnable: true } });
  const client = started.client();
  expect((await send(client, { topic: "T" }, "first")).code).toBe(ResponseCode.SUCCESS);
  const shape = { defaultTopic: "TBW102", readQueueNums: 2, writeQueueNums: 2, perm: 6, topicSysFlag: 0, order: false };
  const settings = { ...shape, topicFilterType: "SINGLE_TAG" };
  const batch = { ...settings, topic: BATCH_TOPIC, attributes: "+queue.type=BatchCQ" };
  const made = await client.call(RequestCode.UPDATE_AND_CREATE_TOPIC, batch, undefined, ANSWER_MS);
  expect(made).toMatchObject({ code: ResponseCode.SUCCESS });
  const retry = { ...settings, topic: "%RETRY%G" };
  expect((await client.call(RequestCode.UPDATE_AND_CREATE_TOPIC, retry, undefined, ANSWER_MS)).code).toBe(0);
  await started.broker.store.settled();
});
afterAll(closeAll);

/** By name: the kinds of messages that brokers treat in their own ways. */
const KINDS: [name: string, given: Record<string, string>, fields?: Fields][] = [
  ["a plain message", {}],
  ["half of a transaction", { TRAN_MSG: "true", PGROUP: "P" }, { sysFlag: 4 }],
  ["a timer", { TIMER_DELAY_MS: "60000" }],
  ["a timer in the past", { TIMER_DELIVER_MS: "1" }],
  ["a message of a delay level", { DELAY: "3" }],
  ["one with a priority", { _SYS_MSG_PRIORITY_: "2" }],
];

function bytesOf(code: number, fields: Fields, body: Buffer = HELLO): Buffer {
  const isV2 = code === RequestCode.SEND_MESSAGE_V2 || code === RequestCode.SEND_REPLY_MESSAGE_V2;
  const given = isV2 || code === RequestCode.SEND_BATCH_MESSAGE ? sendFieldsV2(fields) : sendFields(fields);
  return requestBytes({ code, fields: stringFields(given), body });
}

const SENDS = [RequestCode.SEND_MESSAGE, RequestCode.SEND_MESSAGE_V2];
const REPLIES = [RequestCode.SEND_REPLY_MESSAGE, RequestCode.SEND_REPLY_MESSAGE_V2];

describe.each([
  { what: "for light queues", topic: "T", extra: LIGHT, remark: LIGHT_REMARK },
  { what: "for batch queues", topic: BATCH_TOPIC, extra: {}, remark: BATCH_REMARK },
])("$what", ({ topic, extra, remark }) => {
  const refused = (bytes: Buffer) => expectRefusal(started, bytes, ResponseCode.SYSTEM_ERROR, remark);

  test.each(KINDS)("%s", async (_, given, fields = {}) => {
    for (const code of SENDS) {
      await refused(bytesOf(code, { ...fields, topic, properties: properties({ ...given, ...extra }) }));
    }
  });

  test("a batch, by either request", async () => {
    const fields = { topic, batch: true, properties: properties(extra) };
    await refused(bytesOf(RequestCode.SEND_BATCH_MESSAGE, fields, BATCH));
    await refused(bytesOf(RequestCode.SEND_MESSAGE_V2, fields, BATCH));
  });

  test("a reply", async () => {
    const given = properties({ REPLY_TO_CLIENT: "nobody", CORRELATION_ID: "1", ...extra });
    for (const code of REPLIES) await refused(bytesOf(code, { topic, properties: given }));
  });

  test("through the gRPC endpoint", async () => {
    await expectNoTrace(started, async () => {
      const given = message({ topic: { name: topic }, userProperties: extra });
      const { status } = await call(connectTo(started.endpoint), "SendMessage", { messages: [given] });
      expect(status.code).toBeGreaterThanOrEqual(40000);
      expect(status.message).toMatch(new RegExp(remark.source.replace(/^\^|\$$/g, "")));
    });
  });
});

test("one of a batch that is for light queues", async () => {
  const light = { body: HELLO, properties: Object.entries(LIGHT) as [string, string][] };
  const body = encodeMessageBatch([{ body: HELLO }, light]);
  const fields = { topic: "T", batch: true };
  await expectRefusal(
    started,
    bytesOf(RequestCode.SEND_BATCH_MESSAGE, fields, body),
    ResponseCode.MESSAGE_ILLEGAL,
    LIGHT_REMARK,
  );
});

test("what a client sends to its retry topic by itself", async () => {
  const fields = { topic: "%RETRY%G", properties: properties(LIGHT), reconsumeTimes: 1 };
  await expectRefusal(started, bytesOf(RequestCode.SEND_MESSAGE, fields), ResponseCode.SYSTEM_ERROR, LIGHT_REMARK);
});
