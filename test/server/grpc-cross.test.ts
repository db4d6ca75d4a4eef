/** One message, two protocols: what a consumer of the one has tried is counted for a consumer of the other. */
import { afterEach, expect, test } from "vitest";
import { decodeRecords } from "#src/record/decode.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { formatProperties } from "#src/record/properties.js";
import {
  call,
  ClientType,
  connectTo,
  encoded,
  gather,
  GROUP,
  message,
  open,
  startEndpoint,
  Telemetry,
  TOPIC,
} from "./grpc-client.js";
import { ANSWER_MS, closeAll, send } from "./harness.js";

afterEach(closeAll);

async function started() {
  const all = await startEndpoint({ config: { minInvisibleTimeMillsForRecv: 0 } });
  all.broker.context.topics.createInSendMessage("T", "TBW102", "", 1, 0);
  const session = connectTo(all.endpoint);
  const telemetry = new Telemetry(session);
  const subscription = { group: GROUP, subscriptions: [{ topic: TOPIC, expression: { type: 1, expression: "*" } }] };
  const settings = { clientType: ClientType.SIMPLE_CONSUMER, subscription, requestTimeout: { seconds: 3, nanos: 0 } };
  telemetry.send({ settings });
  await telemetry.next();
  return { ...all, session };
}

type Started = Awaited<ReturnType<typeof started>>;

async function receive({ session }: Started, invisibleMs = 60_000) {
  const bytes = encoded("ReceiveMessage", {
    group: GROUP,
    messageQueue: { topic: TOPIC, id: -1, broker: { name: "broker-t", id: 0 } },
    filterExpression: { type: 1, expression: "*" },
    batchSize: 8,
    invisibleDuration: { seconds: Math.floor(invisibleMs / 1000), nanos: (invisibleMs % 1000) * 1e6 },
  });
  const { messages } = await gather(open(session, "ReceiveMessage"), "ReceiveMessage", bytes);
  return messages.filter(({ message: found }) => found !== null).map(({ message: found }) => found);
}

async function pop({ client }: Started) {
  const fields = {
    consumerGroup: "G",
    topic: "T",
    queueId: -1,
    maxMsgNums: 8,
    invisibleTime: 60_000,
    pollTime: 10_000,
    bornTime: Date.now(),
    initMode: 0,
    expType: "TAG",
    exp: "*",
    order: false,
  };
  const answer = await client().call(RequestCode.POP_MESSAGE, fields, undefined, ANSWER_MS);
  expect(answer.code).toBe(ResponseCode.SUCCESS);
  return decodeRecords(answer.body);
}

test("a message by gRPC that a gRPC consumer did not end comes to a Remoting consumer as its first retry", async () => {
  const all = await started();
  const sent = message({
    userProperties: { a: "1" },
    systemProperties: { tag: "t", keys: ["k1", "k2"], traceContext: "00-aa-bb-01" },
  });
  await call(all.session, "SendMessage", { messages: [sent] });
  const [first] = await receive(all, 200);
  expect(first.systemProperties).toMatchObject({ deliveryAttempt: 1, traceContext: "00-aa-bb-01" });
  const [again] = await pop(all);
  const { messageId } = sent.systemProperties;
  expect(again).toMatchObject({ topic: "T", reconsumeTimes: 1 });
  const properties = Object.fromEntries(again!.properties);
  expect(properties).toMatchObject({ UNIQ_KEY: messageId, TAGS: "t", KEYS: "k1 k2", a: "1", __BORNHOST: "somewhere" });
  expect(properties).toMatchObject({ TRACE_CONTEXT: "00-aa-bb-01" });
});

test("a message by Remoting keeps its id, its properties and its count for gRPC consumers", async () => {
  const all = await started();
  const properties = { UNIQ_KEY: "7F00000100002A139A55000000000000", TAGS: "t", KEYS: "k1 k2", a: "1", WAIT: "true" };
  expect(
    (await send(all.client(), { properties: formatProperties(new Map(Object.entries(properties))) }, "hello")).code,
  ).toBe(ResponseCode.SUCCESS);
  const expected = { messageId: properties.UNIQ_KEY, tag: "t", keys: ["k1", "k2"], messageType: 1, queueId: 0 };
  const [first] = await receive(all, 200);
  expect(first.systemProperties).toMatchObject({ ...expected, deliveryAttempt: 1, bornHost: "127.0.0.1" });
  expect(first.userProperties).toEqual({ a: "1" });
  let again: Awaited<ReturnType<typeof receive>> = [];
  while (again.length === 0) again = await receive(all);
  expect(again[0].topic.name).toBe("T");
  expect(again[0].systemProperties).toMatchObject({ ...expected, deliveryAttempt: 2 });
});
