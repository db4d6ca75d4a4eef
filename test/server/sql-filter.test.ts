/** Consumers that filter by SQL92 over sockets: with the pull, by heartbeat, waiting, across a restart, and wrongly. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { Fields, RemoteAnswer } from "#src/remoting/types.js";
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
  temporaryDirectory,
  waitingPull,
  watched,
} from "./harness.js";

afterEach(closeAll);

const SQL = { expressionType: "SQL92" };

function heartbeat(client: RemotingClient, subString: string, subVersion: number): Promise<RemoteAnswer> {
  const subscription = { topic: "T", subString, expressionType: "SQL92", subVersion, tagsSet: [], codeSet: [] };
  const group = {
    groupName: "G",
    consumeType: "CONSUME_PASSIVELY",
    messageModel: "CLUSTERING",
    consumeFromWhere: "CONSUME_FROM_LAST_OFFSET",
    subscriptionDataSet: [subscription],
  };
  const body = { clientID: "c", consumerDataSet: [group], producerDataSet: [] };
  return client.call(RequestCode.HEART_BEAT, {}, Buffer.from(JSON.stringify(body)), ANSWER_MS);
}

/** A pull of a consumer whose heartbeat says what it wants. */
const toldPull = (client: RemotingClient, fields: Fields = {}) =>
  pull(client, { sysFlag: 0, subscription: undefined, subVersion: 1, ...fields });

async function sendNumbered({ broker }: StartedBroker, producer: RemotingClient, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await send(producer, { properties: properties({ a: String(i % 10), KEYS: `k${i}` }) }, `m${i}`);
  }
  await broker.store.settled();
}

test("a pull brings its expression, and is given what matches; where it reads on is behind what does not", async () => {
  const started = await startBroker();
  const client = started.client();
  await sendNumbered(started, client, 30);
  const answer = await pull(client, { ...SQL, subscription: "a between 3 and 4 or KEYS = 'k29'" });
  expect(answer).toMatchObject({ code: ResponseCode.SUCCESS, fields: { nextBeginOffset: "30" } });
  expect(bodiesOf(answer)).toEqual(["m3", "m4", "m13", "m14", "m23", "m24", "m29"]);
  const none = await pull(client, { ...SQL, subscription: "a > 9" });
  expect(none).toMatchObject({ code: ResponseCode.PULL_RETRY_IMMEDIATELY, fields: { nextBeginOffset: "30" } });
});

test("what a heartbeat says counts, its newest version first", async () => {
  const started = await startBroker();
  const client = started.client();
  await sendNumbered(started, client, 10);
  await heartbeat(client, "a = 1", 1);
  expect(bodiesOf(await toldPull(client))).toEqual(["m1"]);
  await heartbeat(client, "a = 2", 2);
  expect(bodiesOf(await toldPull(client, { subVersion: 2 }))).toEqual(["m2"]);
  await heartbeat(client, "a = 3", 1);
  expect(bodiesOf(await toldPull(client, { subVersion: 2 }))).toEqual(["m2"]);
  expect(await toldPull(client, { subVersion: 3 })).toMatchObject({ code: ResponseCode.SUBSCRIPTION_NOT_LATEST });
});

test("a heartbeat with an expression that is none leaves the group without a filter, until there is a better one", async () => {
  const started = await startBroker();
  const client = started.client();
  await sendNumbered(started, client, 10);
  const broken: [string, RegExp][] = [
    ["a >", /breaks off at character 3/],
    [`a = '${"x".repeat(1 << 20)}'`, /too long/],
  ];
  for (const [expression, problem] of broken) {
    await heartbeat(client, expression, 1);
    const refused = await toldPull(client);
    expect(refused.code).toBe(ResponseCode.FILTER_DATA_NOT_EXIST);
    expect(refused.remark).toMatch(problem);
  }
  const kept = started.broker.context.consumers.findSubscription("G", "T")!;
  expect(kept.subString.length).toBeLessThan(100);
  await heartbeat(client, "a = 5", 2);
  expect(bodiesOf(await toldPull(client, { subVersion: 2 }))).toEqual(["m5"]);
});

test("a wrong expression in a pull is refused with what is wrong", async () => {
  const started = await startBroker();
  const client = started.client();
  await sendNumbered(started, client, 1);
  const refusal = async (fields: Fields) => {
    const { code, remark } = await pull(client, fields);
    return [code, remark];
  };
  const { SUBSCRIPTION_PARSE_FAILED } = ResponseCode;
  expect(await refusal({ ...SQL, subscription: "a > and b" })).toEqual([
    SUBSCRIPTION_PARSE_FAILED,
    expect.stringContaining("character 3"),
  ]);
  expect(await refusal({ ...SQL, subscription: "" })).toEqual([
    SUBSCRIPTION_PARSE_FAILED,
    expect.stringContaining("is empty"),
  ]);
  expect(await refusal({ expressionType: "SQL", subscription: "a = 1" })).toEqual([
    SUBSCRIPTION_PARSE_FAILED,
    expect.stringContaining("type SQL is neither TAG nor SQL92"),
  ]);
});

test("a pull that waits is woken by a message that matches, and only by such a one", async () => {
  const started = await startBroker();
  const consumer = started.client();
  const producer = started.client();
  await send(producer, {}, "first");
  await started.broker.store.settled();
  const waiting = watched(waitingPull(consumer, { ...SQL, subscription: "a = 5", queueOffset: 1 }));
  await roundTrip(consumer);
  for (const a of ["4", "6", "x"]) await send(producer, { properties: properties({ a }) }, a);
  await started.broker.store.settled();
  await roundTrip(consumer);
  expect(waiting.done).toBe(false);
  await send(producer, { properties: properties({ a: "5" }) }, "wanted");
  const answer = await waiting.answer;
  expect(answer).toMatchObject({ code: ResponseCode.SUCCESS, fields: { nextBeginOffset: "5" } });
  expect(bodiesOf(answer)).toEqual(["wanted"]);
});

test("one pull evaluates no more than is good for the others, and says where it stopped", async () => {
  const started = await startBroker();
  const client = started.client();
  const long = { properties: properties({ a: "y".repeat(30_000) }) };
  for (let i = 0; i < 12; i++) await send(client, long, `m${i}`);
  await started.broker.store.settled();
  const subscription = Array.from({ length: 300 }, (_, i) => `a contains 'x${i}'`).join(" or ");
  let offset = 0;
  let pulls = 0;
  for (; offset < 12; pulls++) {
    const answer = await pull(client, { ...SQL, subscription, queueOffset: offset });
    expect(answer.code).toBe(ResponseCode.PULL_RETRY_IMMEDIATELY);
    expect(Number(answer.fields["nextBeginOffset"])).toBeGreaterThan(offset);
    offset = Number(answer.fields["nextBeginOffset"]);
  }
  expect(pulls).toBeGreaterThan(3);
});

test("switched off, every way of asking for a filter is told so as Apache tells it", async () => {
  const started = await startBroker({ config: { enablePropertyFilter: false } });
  const client = started.client();
  await sendNumbered(started, client, 1);
  await heartbeat(client, "a = 1", 1);
  const remark = "The broker does not support consumer to filter message by SQL92";
  const refused = { code: ResponseCode.SYSTEM_ERROR, remark };
  expect(await pull(client, { ...SQL, subscription: "a = 1" })).toMatchObject(refused);
  expect(await toldPull(client)).toMatchObject(refused);
});

test("consumerFilter.json keeps what groups filter by over a restart, in Apache's shape", async () => {
  const directory = join(temporaryDirectory(), "store");
  const first = await startBroker({ directory });
  const client = first.client();
  await sendNumbered(first, client, 10);
  await heartbeat(client, "a = 1", 7);
  await toldPull(client, { subVersion: 7 });
  await first.broker.close();
  const saved = JSON.parse(readFileSync(join(directory, "config", "consumerFilter.json"), "utf8"));
  expect(saved.filterDataByTopic.T.groupFilterData.G).toMatchObject({
    bloomFilterData: { bitNum: 112, bitPos: expect.any(Array) },
    clientVersion: 7,
    consumerGroup: "G",
    expression: "a = 1",
    expressionType: "SQL92",
    topic: "T",
  });
  const second = await startBroker({ directory });
  const data = second.broker.context.consumerFilters.get("T", "G")!;
  expect(data.deadTime).toBeGreaterThan(0);
  const again = second.client();
  await heartbeat(again, "a = 1", 7);
  expect(data.deadTime).toBe(0);
  expect(bodiesOf(await toldPull(again, { subVersion: 7 }))).toEqual(["m1"]);
});
