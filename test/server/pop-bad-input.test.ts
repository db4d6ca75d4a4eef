/** What no client should send about popped messages: refused with Apache's code and a remark that names what is wrong. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields } from "#src/remoting/types.js";
import { requestBytes } from "../unit/remoting/peers.js";
import { ANSWER_MS, closeAll, type StartedBroker, startBroker } from "./harness.js";
import {
  ack,
  acked,
  BROKER,
  bodies,
  changeInvisibleTime,
  GROUP,
  makeTopic,
  type Popped,
  pop,
  popFields,
  popped,
  sendMessages,
  TOPIC,
} from "./pop-harness.js";
import { expectNoTrace, expectRefusal, stringFields } from "./refusals.js";

const { SYSTEM_ERROR, MESSAGE_ILLEGAL, INVALID_PARAMETER, NO_PERMISSION, NO_MESSAGE, TOPIC_NOT_EXIST } = ResponseCode;
const { POP_MESSAGE, ACK_MESSAGE, BATCH_ACK_MESSAGE, CHANGE_MESSAGE_INVISIBLETIME, NOTIFICATION, QUERY_ASSIGNMENT } =
  RequestCode;
const INT64_MAX = "9223372036854775807";

let started: StartedBroker;
let held: Popped[];

beforeAll(async () => {
  started = await startBroker();
  makeTopic(started);
  const client = started.client();
  await sendMessages(client, ["a", "b", "c"]);
  await started.broker.store.settled();
  held = await popped(client, { maxMsgNums: 2 });
  expect(bodies(held)).toEqual(["a", "b"]);
  await started.broker.store.settled();
});

afterAll(closeAll);

function bytesOf(code: number, fields: Fields, body = Buffer.alloc(0)): Buffer {
  return requestBytes({ code, fields: stringFields(fields), body });
}

const POPS: [name: string, fields: Fields, code: number, remark: RegExp][] = [
  ["no topic", { topic: undefined }, SYSTEM_ERROR, /topic/],
  ["no group", { consumerGroup: undefined }, SYSTEM_ERROR, /consumerGroup/],
  ["no invisible time", { invisibleTime: undefined }, SYSTEM_ERROR, /invisibleTime/],
  ["a queue id that is a word", { queueId: "one" }, SYSTEM_ERROR, /queueId/],
  ["a queue that is not there", { queueId: 9 }, INVALID_PARAMETER, /queueId\[9\]/],
  ["a queue id of 64 bits", { queueId: INT64_MAX }, INVALID_PARAMETER, /queueId/],
  ["33 messages", { maxMsgNums: 33 }, INVALID_PARAMETER, /num is greater than 32/],
  ["an invisible time below nothing", { invisibleTime: -1 }, INVALID_PARAMETER, /invisibleTime/],
  ["an invisible time of ages", { invisibleTime: INT64_MAX }, INVALID_PARAMETER, /invisibleTime/],
  ["a topic that nobody made", { topic: "Nobody" }, TOPIC_NOT_EXIST, /topic\[Nobody\] not exist/],
  ["a topic above the store", { topic: "../../x" }, TOPIC_NOT_EXIST, /not exist/],
  ["a group above the store", { consumerGroup: "../../x" }, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, /not exist/],
  ["an attempt of a megabyte", { attemptId: "x".repeat(20_000), order: true }, INVALID_PARAMETER, /attemptId/],
  ["an expression of no known type", { expType: "XPATH", exp: "a" }, ResponseCode.SUBSCRIPTION_PARSE_FAILED, /XPATH/],
  ["a request from long ago", { bornTime: 1000, pollTime: 5 }, ResponseCode.POLLING_TIMEOUT, /timeout too much/],
];

test.each(POPS)("a pop of %s", async (_, fields, code, remark) => {
  const all = { ...popFields({ consumerGroup: "Unknown" }), ...fields };
  await expectNoTrace(started, () => expectRefusal(started, bytesOf(POP_MESSAGE, all), code, remark));
});

test("a topic that may not be read is not popped", async () => {
  makeTopic(started, "Closed");
  started.broker.context.topics.get("Closed")!.assign({ perm: 2 });
  const bytes = bytesOf(POP_MESSAGE, popFields({ topic: "Closed" }));
  await expectRefusal(started, bytes, NO_PERMISSION, /topic\[Closed\]/);
  await expectRefusal(started, bytesOf(NOTIFICATION, popFields({ topic: "Closed" })), NO_PERMISSION, /topic\[Closed\]/);
});

function handle(parts: Record<number, string> = {}): string {
  const all = held[0]!.handle.split(" ");
  for (const [index, text] of Object.entries(parts)) all[Number(index)] = text;
  return all.join(" ");
}

const HANDLES: [name: string, fields: () => Fields, code: number, remark: RegExp][] = [
  ["no handle", () => ({ extraInfo: undefined }), SYSTEM_ERROR, /extraInfo/],
  ["an empty one", () => ({ extraInfo: "" }), SYSTEM_ERROR, /extraInfo/],
  ["a word", () => ({ extraInfo: "handle" }), SYSTEM_ERROR, /extraInfo is no handle/],
  ["a megabyte of blanks", () => ({ extraInfo: " ".repeat(20_000) }), SYSTEM_ERROR, /extraInfo is no handle/],
  ["a pop time that is a word", () => ({ extraInfo: handle({ 1: "now" }) }), SYSTEM_ERROR, /pop time/],
  ["a pop time beyond all numbers", () => ({ extraInfo: handle({ 1: INT64_MAX }) }), SYSTEM_ERROR, /pop time/],
  ["another broker's name", () => ({ extraInfo: handle({ 1: "5", 5: "other" }) }), MESSAGE_ILLEGAL, /broker other/],
  ["a pop time to come", () => ({ extraInfo: handle({ 1: "8888888888888" }) }), NO_MESSAGE, /newer handle/],
  ["a pop time long past", () => ({ extraInfo: handle({ 1: "1000" }) }), NO_MESSAGE, /newer handle/],
  ["a message that nobody popped", () => ({ offset: 2 }), NO_MESSAGE, /never given.*T@0@2/],
  ["a message that is not there", () => ({ offset: 1000 }), NO_MESSAGE, /1000/],
  ["an offset below nothing", () => ({ offset: -1 }), NO_MESSAGE, /-1/],
  ["an offset that is a word", () => ({ offset: "first" }), SYSTEM_ERROR, /offset/],
  ["a queue that is not there", () => ({ queueId: 9 }), MESSAGE_ILLEGAL, /queueId\[9\]/],
  ["a queue below nothing", () => ({ queueId: -1 }), MESSAGE_ILLEGAL, /queueId\[-1\]/],
  ["another group's", () => ({ consumerGroup: "Other" }), NO_MESSAGE, /never given/],
  ["another topic's", () => ({ topic: "Nobody" }), TOPIC_NOT_EXIST, /Nobody/],
  ["an ordered one that was not ordered", () => ({ extraInfo: handle({ 3: "999" }) }), NO_MESSAGE, /ran out/],
];

test.each(HANDLES)("a handle: %s", async (_, fields, code, remark) => {
  const good = { consumerGroup: GROUP, topic: TOPIC, queueId: 0, extraInfo: handle(), offset: 0 };
  const all = { ...good, ...fields() };
  await expectNoTrace(started, () => expectRefusal(started, bytesOf(ACK_MESSAGE, all), code, remark));
  const change = bytesOf(CHANGE_MESSAGE_INVISIBLETIME, { ...all, invisibleTime: 1000 });
  await expectNoTrace(started, () => expectRefusal(started, change, code, remark));
});

const entry = { c: GROUP, t: TOPIC, r: "0", so: 0, q: 0, rq: 0, pt: 5, it: 1000, b: "AQ==" };
const BATCHES: [name: string, body: string, code: number, remark: RegExp][] = [
  ["nothing", "", NO_MESSAGE, /body is empty/],
  ["no JSON", "{", SYSTEM_ERROR, /BatchAckMessageRequestBody/],
  ["no list", '{"acks":1}', SYSTEM_ERROR, /acks/],
  ["an empty list", '{"acks":[]}', NO_MESSAGE, /acks is empty/],
  ["an entry that is none", '{"acks":[5]}', SYSTEM_ERROR, /acks/],
  ["too many entries", JSON.stringify({ acks: Array(5000).fill(entry) }), SYSTEM_ERROR, /more than 4096/],
  ["a mark of no topic", JSON.stringify({ acks: [{ ...entry, r: "7" }] }), SYSTEM_ERROR, /retry/],
  ["an endless set", JSON.stringify({ acks: [{ ...entry, b: "A".repeat(200_000) }] }), SYSTEM_ERROR, /bitSet/],
  ["a handle long past", JSON.stringify({ acks: [entry] }), NO_MESSAGE, /newer handle/],
];

test.each(BATCHES)("a batch of acknowledgements with %s", async (_, body, code, remark) => {
  const bytes = bytesOf(BATCH_ACK_MESSAGE, {}, Buffer.from(body));
  await expectNoTrace(started, () => expectRefusal(started, bytes, code, remark));
});

test("a request for assignments that says nothing, or for whom", async () => {
  const ask = (body: string) => bytesOf(QUERY_ASSIGNMENT, {}, Buffer.from(body));
  await expectRefusal(started, ask(""), SYSTEM_ERROR, /QueryAssignmentRequestBody/);
  await expectRefusal(started, ask("{}"), SYSTEM_ERROR, /topic/);
  await expectRefusal(started, ask('{"topic":"T","consumerGroup":"G"}'), SYSTEM_ERROR, /messageModel/);
});

test("nobody can write into the journal of leases", async () => {
  const client = started.client();
  const topic = "rmq_sys_COMETMQ_POP_LOG";
  const fields = { b: topic, a: "P", c: "TBW102", d: 4, e: 0, f: 0, g: 0, h: 0, i: "", j: 0, k: false, m: false };
  const answer = await client.call(RequestCode.SEND_MESSAGE_V2, fields, Buffer.from("x"), ANSWER_MS);
  expect(answer).toMatchObject({ code: NO_PERMISSION });
});

test("after all that the messages are whose they were", async () => {
  const client = started.client();
  expect(bodies(await popped(client))).toEqual(["c"]);
  await acked(client, held[0]!);
  expect((await changeInvisibleTime(client, held[1]!, 1000)).code).toBe(ResponseCode.SUCCESS);
  expect((await ack(client, held[1]!)).code).toBe(NO_MESSAGE);
  expect((await pop(client)).code).toBe(ResponseCode.POLLING_TIMEOUT);
  expect(held[0]!.handle).toContain(` ${BROKER} `);
});
