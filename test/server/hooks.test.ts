/** Hooks of a program that embeds a broker: what they see, what they refuse, and that nothing escapes them. */
import { afterEach, expect, test } from "vitest";
import type { BrokerHooks, ConsumeDone, ConsumeSeen, RequestSeen, SendDone, SendSeen } from "#src/mod.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { TestBroker } from "#src/testing/mod.js";
import { FakeLog } from "../unit/broker/harness.js";
import { call, connectTo } from "./grpc-client.js";
import {
  ANSWER_MS,
  bodiesOf,
  clientOf,
  closeAll,
  onCloseAll,
  properties,
  pull,
  roundTrip,
  send,
  sendFieldsV2,
  waitingPull,
} from "./harness.js";
import { popped } from "./pop-harness.js";

afterEach(closeAll);

async function started(hooks: BrokerHooks, options: Parameters<typeof TestBroker.start>[0] = {}) {
  const log = new FakeLog();
  const broker = await TestBroker.start({ topics: { T: { queues: 1 } }, hooks, log, ...options });
  onCloseAll(() => broker.close());
  return { broker, log, client: clientOf(broker.server.port) };
}

/** Keeps what the hooks are shown. */
class Seen implements BrokerHooks {
  readonly sends: SendSeen[] = [];
  readonly sent: [SendSeen, SendDone][] = [];
  readonly consumes: ConsumeSeen[] = [];
  readonly consumed: [ConsumeSeen, ConsumeDone, bodies: string[]][] = [];
  readonly onSend = (send: SendSeen): undefined => void this.sends.push({ ...send, body: Buffer.from(send.body) });
  readonly onSent = (send: SendSeen, done: SendDone): void => void this.sent.push([send, done]);
  readonly onConsume = (consume: ConsumeSeen): undefined => void this.consumes.push(consume);
  readonly onConsumed = (consume: ConsumeSeen, done: ConsumeDone): void => {
    this.consumed.push([consume, done, done.messages.map(({ body }) => body.toString())]);
  };
}

test("sends are seen before and after, whichever code they come by, one-way and refused ones too", async () => {
  const seen = new Seen();
  const { client, broker } = await started(seen);
  const given = properties({ KEYS: "k", TAGS: "a" });
  const answer = await send(client, { properties: given }, "one");
  await client.oneway(RequestCode.SEND_MESSAGE_V2, sendFieldsV2(), Buffer.from("two"));
  await roundTrip(client);
  expect((await send(client, {}, "")).code).toBe(ResponseCode.MESSAGE_ILLEGAL);
  const first = { topic: "T", producerGroup: "P", queueId: 0, isBatch: false };
  expect(seen.sends[0]).toMatchObject({ ...first, code: RequestCode.SEND_MESSAGE_V2 });
  expect(seen.sends[0]!.client).toMatch(/^127\.0\.0\.1:\d+$/);
  expect(Object.fromEntries(seen.sends[0]!.properties)).toEqual({ KEYS: "k", TAGS: "a" });
  expect(seen.sent.map(([{ body }, { code }]) => [body.toString(), code])).toEqual([
    ["one", ResponseCode.SUCCESS],
    ["two", ResponseCode.SUCCESS],
    ["", ResponseCode.MESSAGE_ILLEGAL],
  ]);
  expect(seen.sent[0]![1]).toMatchObject({ msgId: answer.fields["msgId"], queueId: 0, queueOffset: 0, remark: "" });
  expect(broker.messages("T").length).toBe(2);
});

test("pulls and pops are seen with what they got, a long poll when it is over", async () => {
  const seen = new Seen();
  const { client, broker } = await started(seen, { config: { brokerName: "broker-t" } });
  const waiting = waitingPull(client);
  await roundTrip(client);
  expect([seen.consumes.length, seen.consumed.length]).toEqual([1, 0]);
  await broker.advance(700);
  await send(client, {}, "x");
  expect(bodiesOf(await waiting)).toEqual(["x"]);
  expect((await popped(client)).length).toBe(1);
  expect(seen.consumes.map(({ code, topic, consumerGroup }) => [code, topic, consumerGroup])).toEqual([
    [RequestCode.PULL_MESSAGE, "T", "G"],
    [RequestCode.POP_MESSAGE, "T", "G"],
  ]);
  expect(seen.consumed.map(([, { code }, bodies]) => [code, bodies])).toEqual([
    [0, ["x"]],
    [0, ["x"]],
  ]);
  expect(seen.consumed[0]![1].elapsedMs).toBe(700);
  expect(seen.consumed[0]![1].bodyBytes).toBeGreaterThan(90);
});

test("a refused request changes nothing and says why", async () => {
  const seen = new Seen();
  const { client, broker } = await started({
    onSent: seen.onSent,
    onSend: ({ topic, fields }) => (topic === "T" && fields.get("AccessKey") !== "me" ? "who are you?" : undefined),
    onConsume: ({ consumerGroup }) => (consumerGroup === "G" ? "not this group" : undefined),
  });
  const refused = await send(client, {}, "one");
  expect([refused.code, refused.remark]).toEqual([ResponseCode.NO_PERMISSION, "who are you?"]);
  expect(broker.messages("T")).toEqual([]);
  const fields = { ...sendFieldsV2(), AccessKey: "me" };
  const taken = await client.call(RequestCode.SEND_MESSAGE_V2, fields, Buffer.from("two"), ANSWER_MS);
  expect(taken.code).toBe(ResponseCode.SUCCESS);
  expect(seen.sent.map(([, { code, remark }]) => [code, remark])).toEqual([
    [ResponseCode.NO_PERMISSION, "who are you?"],
    [ResponseCode.SUCCESS, ""],
  ]);
  expect(await pull(client)).toMatchObject({ code: ResponseCode.NO_PERMISSION, remark: "not this group" });
  expect(bodiesOf(await pull(client, { consumerGroup: "H" }))).toEqual(["two"]);
});

test("onRequest sees every request and can refuse an administrator's", async () => {
  const codes: number[] = [];
  const onRequest = ({ code }: RequestSeen) => {
    codes.push(code);
    return code === RequestCode.DELETE_TOPIC_IN_BROKER ? "not from here" : undefined;
  };
  const { client, broker } = await started({ onRequest });
  await send(client, {}, "one");
  const answer = await client.call(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: "T" }, undefined, ANSWER_MS);
  expect([answer.code, answer.remark]).toEqual([ResponseCode.NO_PERMISSION, "not from here"]);
  expect(broker.messages("T").length).toBe(1);
  expect(codes).toEqual([RequestCode.SEND_MESSAGE_V2, RequestCode.DELETE_TOPIC_IN_BROKER]);
});

test("messages over gRPC pass the same hooks", async () => {
  const seen = new Seen();
  const { broker } = await started({
    onSent: seen.onSent,
    onSend: ({ body }) => (body.toString() === "no" ? "not that" : undefined),
  });
  const session = connectTo({ port: broker.server.grpcPort! });
  const message = (body: string) => ({
    topic: { name: "T" },
    systemProperties: { messageId: body, messageType: 1, bodyEncoding: 1, queueId: 0 },
    body: Buffer.from(body),
  });
  await call(session, "SendMessage", { messages: [message("yes")] });
  await call(session, "SendMessage", { messages: [message("no")] });
  expect(seen.sent.map(([{ body }, { code }]) => [body.toString(), code])).toEqual([
    ["yes", ResponseCode.SUCCESS],
    ["no", ResponseCode.NO_PERMISSION],
  ]);
  expect(broker.messages("T").map(({ body }) => body.toString())).toEqual(["yes"]);
});

test("a message that waits for the disk is told of when it is on it", async () => {
  const seen = new Seen();
  const { client } = await started(seen, { config: { flushDiskType: "SYNC_FLUSH" } });
  await Promise.all(["a", "b", "c"].map((body) => send(client, {}, body)));
  expect(seen.sent.map(([{ body }, { code, queueOffset }]) => [body.toString(), code, queueOffset])).toEqual([
    ["a", 0, 0],
    ["b", 0, 1],
    ["c", 0, 2],
  ]);
});

test("a hook that throws refuses before, and harms nothing after", async () => {
  const hooks = {
    onSend: ({ body }: SendSeen): undefined => {
      if (body.toString() === "bad") throw new Error("broken hook");
    },
    onSent: () => {
      throw new Error("broken meter");
    },
  };
  const { client, broker, log } = await started(hooks);
  expect((await send(client, {}, "good")).code).toBe(ResponseCode.SUCCESS);
  const answer = await send(client, {}, "bad");
  expect([answer.code, answer.remark]).toEqual([ResponseCode.SYSTEM_ERROR, "Error: broken hook"]);
  expect(broker.messages("T").length).toBe(1);
  expect(log.at("error", /onSent failed/).length).toBe(2);
});

test("a hook that nobody would call keeps the broker from starting; what else an object has is its own", async () => {
  const slip = { onSned: () => "no" } as BrokerHooks;
  await expect(started(slip)).rejects.toMatchObject({
    code: "COMETMQ_CONFIG",
    message: expect.stringContaining("hooks.onSned is no hook: onRequest, onSend, onSent, onConsume, onConsumed"),
  });
  const noFunction = { onSend: true } as unknown as BrokerHooks;
  await expect(started(noFunction)).rejects.toThrow("hooks.onSend is no function");
  const own = { onSend: () => "no", once: 1, tokens: [] } as BrokerHooks;
  const { client } = await started(own);
  expect((await send(client, {}, "x")).code).toBe(ResponseCode.NO_PERMISSION);
});
