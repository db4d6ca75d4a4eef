/**
 * What no client should ask of timers, transactions and filters, and what it gets: Apache's code, a remark that says what
 * is wrong, and no trace. Handles of popped messages have a list of their own, pop-bad-input.test.ts.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
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
  startBroker,
} from "./harness.js";
import { expectRefusal, outcomeOf, stringFields } from "./refusals.js";

const { SYSTEM_ERROR, MESSAGE_ILLEGAL, ILLEGAL_OPERATION, SUBSCRIPTION_PARSE_FAILED, SUCCESS } = ResponseCode;
const HELLO = Buffer.from("hello");
const YEAR_9999_MS = "253402300799000";
const INT64_MAX = "9223372036854775807";

let started: StartedBroker;
/** Of a half message that is open. */
let half: { readonly commitLogOffset: number; readonly tranStateTableOffset: number };

beforeAll(async () => {
  started = await startBroker({ config: { recallMessageEnable: true } });
  const client = started.client();
  expect((await send(client, { topic: "T" }, "first")).code).toBe(SUCCESS);
  const given = properties({ TRAN_MSG: "true", PGROUP: "P" });
  const sent = await send(client, { sysFlag: 4, properties: given }, "half");
  expect(sent.code).toBe(SUCCESS);
  const commitLogOffset = Number.parseInt(sent.fields.msgId!.slice(-16), 16);
  half = { commitLogOffset, tranStateTableOffset: Number(sent.fields.queueOffset) };
  await started.broker.store.settled();
});
afterAll(closeAll);

function bytesOf(code: number, fields: Fields, body?: Buffer): Buffer {
  return requestBytes({ code, fields: stringFields(fields), ...(body === undefined ? {} : { body }) });
}

const timer = (given: Record<string, string>): Buffer =>
  bytesOf(RequestCode.SEND_MESSAGE, sendFields({ properties: properties(given) }), HELLO);

test.each<[Record<string, string>, RegExp]>([
  [{ TIMER_DELIVER_MS: YEAR_9999_MS }, /TIMER_DELIVER_MS is "253402300799000".*max delay/],
  [{ TIMER_DELIVER_MS: INT64_MAX }, /max delay/],
  [{ TIMER_DELIVER_MS: `${INT64_MAX}0` }, /no integer of 64 bits/],
  [{ TIMER_DELIVER_MS: "tomorrow" }, /"tomorrow", which is no integer/],
  [{ TIMER_DELIVER_MS: " " }, /no integer/],
  [{ TIMER_DELIVER_MS: "1e12" }, /no integer/],
  [{ TIMER_DELAY_MS: "NaN" }, /no integer/],
  [{ TIMER_DELAY_MS: "1.5" }, /no integer/],
  [{ TIMER_DELAY_MS: INT64_MAX }, /max delay/],
  [{ TIMER_DELAY_SEC: "9999999999" }, /max delay/],
  [{ TIMER_DELAY_SEC: "x".repeat(10_000) }, /no integer/],
  [{ TIMER_DELAY_MS: "-5", TIMER_DEL_UNIQKEY: "T+K" }, /a recall has to be ahead/],
  [{ DELAY: "soon" }, /DELAY is no integer/],
  [{ DELAY: "4294967297" }, /DELAY is no integer/],
])("a message with %o is refused", async (given, remark) => {
  await expectRefusal(started, timer(given), MESSAGE_ILLEGAL, remark);
});

test.each([{ TIMER_DELIVER_MS: "1" }, { TIMER_DELAY_MS: "-86400000" }, { TIMER_DELAY_SEC: "0" }])(
  "a message whose time is over, %o, comes at once",
  async (given) => {
    const body = JSON.stringify(given);
    const client = started.client();
    expect((await send(client, { topic: "Past", properties: properties(given) }, body)).code).toBe(SUCCESS);
    await started.broker.store.settled();
    const messages = await pulledMessages(client, { topic: "Past", queueOffset: 0 });
    expect(messages.at(-1)!.body.toString()).toBe(body);
  },
);

const RECALL = { topic: "T", producerGroup: "P" };
const handleOf = (text: string) => Buffer.from(text).toString("base64url");

test.each<[name: string, recallHandle: string | undefined, code: number]>([
  ["none", undefined, SYSTEM_ERROR],
  ["no Base64", "*".repeat(40), ILLEGAL_OPERATION],
  ["of another version", handleOf("v9 T broker-t 1 K"), ILLEGAL_OPERATION],
  ["of another topic", handleOf("v1 Other broker-t 2500000000000 K"), ILLEGAL_OPERATION],
  ["of another broker", handleOf("v1 T broker-x 2500000000000 K"), ILLEGAL_OPERATION],
  ["of a time that is over", handleOf("v1 T broker-t 1000 K"), ILLEGAL_OPERATION],
  ["of a time that is none", handleOf("v1 T broker-t when K"), ILLEGAL_OPERATION],
  ["that would write a property", handleOf("v1 T broker-t 2500000000000 K\u0002TAGS\u0001x"), ILLEGAL_OPERATION],
  ["of a megabyte", "A".repeat(60_000), ILLEGAL_OPERATION],
])("a recall by a handle: %s", async (_, recallHandle, code) => {
  await expectRefusal(started, bytesOf(RequestCode.RECALL_MESSAGE, { ...RECALL, recallHandle }), code, /./);
});

test.each<[name: string, fields: () => Fields, remark: RegExp]>([
  ["unknown, beyond the log", () => ({ commitLogOffset: 1e12 }), /Find prepared transaction message failed/],
  ["unknown, below the log", () => ({ commitLogOffset: -1 }), /Find prepared transaction message failed/],
  ["of a message that is none", () => ({ commitLogOffset: 0 }), /Find prepared transaction message failed/],
  ["inside of a record", () => ({ commitLogOffset: half.commitLogOffset + 4 }), /Find prepared/],
  ["of another group", () => ({ producerGroup: "Other" }), /producer group wrong/],
  ["of another place", () => ({ tranStateTableOffset: 7 }), /table offset wrong/],
  ["neither committed nor rolled back", () => ({ commitOrRollback: 5 }), /commitOrRollback/],
  ["with a word for an offset", () => ({ commitLogOffset: "first" }), /<commitLogOffset> is not an integer/],
  ["with a word for its end", () => ({ commitOrRollback: "yes" }), /<commitOrRollback> is not an integer/],
  ["without a group", () => ({ producerGroup: undefined }), /<producerGroup> is null/],
])("the end of a transaction, %s", async (_, fields, remark) => {
  const good = { producerGroup: "P", ...half, commitOrRollback: 8, msgId: "M", fromTransactionCheck: false };
  await expectRefusal(started, bytesOf(RequestCode.END_TRANSACTION, { ...good, ...fields() }), SYSTEM_ERROR, remark);
});

const EXPRESSIONS: [name: string, type: string, expression: string, remark: RegExp][] = [
  ["of a megabyte", "SQL92", `a = '${"x".repeat(1_000_000)}'`, /has \d+ characters, at most 16384/],
  ["nested 10,000 deep", "SQL92", `${"(".repeat(8000)}a${")".repeat(8000)}`, /nested more than 256/],
  ["of 10,000 NOTs", "SQL92", `${"NOT ".repeat(4000)}a`, /nested more than 256/],
  ["that ends early", "SQL92", "a = ", /./],
  ["of a type that is none", "XPATH", "a = 1", /XPATH is neither TAG nor SQL92/],
  ["of a type that is a property of objects", "__proto__", "a", /neither TAG nor SQL92/],
  ["of no type's length", "T".repeat(100_000), "a", /neither TAG nor SQL92/],
];

test.each(EXPRESSIONS)("an expression %s is refused in a pull", async (_, expressionType, subscription, remark) => {
  const bytes = bytesOf(
    RequestCode.PULL_MESSAGE,
    pullFields({ expressionType, subscription, consumerGroup: "Filters" }),
  );
  const outcome = await outcomeOf(started, bytes);
  expect(outcome).toMatchObject({ code: SUBSCRIPTION_PARSE_FAILED, closed: false });
  expect(outcome.remark).toMatch(remark);
  expect(outcome.remark!.length).toBeLessThan(2000);
});

test.each(EXPRESSIONS)("an expression %s is refused in a pop", async (_, expType, exp, remark) => {
  const pop = { consumerGroup: "Pops", topic: "T", queueId: -1, maxMsgNums: 1, invisibleTime: 60_000, pollTime: 0 };
  const fields = { ...pop, bornTime: Date.now(), initMode: 0, order: false, expType, exp };
  const outcome = await outcomeOf(started, bytesOf(RequestCode.POP_MESSAGE, fields));
  expect(outcome).toMatchObject({ code: SUBSCRIPTION_PARSE_FAILED, closed: false });
  expect(outcome.remark).toMatch(remark);
});

test("after all that the half message is committed by who may", async () => {
  const good = { producerGroup: "P", ...half, commitOrRollback: 8, msgId: "M", fromTransactionCheck: false };
  const outcome = await outcomeOf(started, bytesOf(RequestCode.END_TRANSACTION, good));
  expect(outcome).toMatchObject({ code: SUCCESS, closed: false });
});
