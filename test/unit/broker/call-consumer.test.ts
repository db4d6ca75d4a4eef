/** Requests that the broker sends on to a consumer: 307, 309, 223; and resets that consumers do themselves (220). */
import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { type FastjsonMap, parseFastjson } from "#src/remoting/fastjson.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { LanguageCode } from "#src/remoting/language-code.js";
import type { Fields, RemoteAnswer } from "#src/remoting/types.js";
import { FakeConnection, heartbeatBody, TestBroker } from "./harness.js";

const HEARTBEAT = 34;
const RUNNING_INFO = 307;
const CONSUME_DIRECTLY = 309;
const CONSUMER_STATUS = 223;
const STATUS_FROM_CLIENT = 221;
const RESET = 222;
const RESET_IN_CLIENT = 220;

function member(broker: TestBroker, clientId: string, connection = new FakeConnection()): FakeConnection {
  broker.ask(HEARTBEAT, {}, heartbeatBody(clientId, "g", [["T", "*"]]), connection);
  return connection;
}

function said(body: string, extra: Partial<RemoteAnswer> = {}): RemoteAnswer {
  return { code: 0, remark: "", fields: {}, body: Buffer.from(body), ...extra };
}

test("the fields go to the consumer as they came, and its answer comes back as it is", async () => {
  const broker = new TestBroker();
  const asked: [number, Fields][] = [];
  member(broker, "c").answer = (code, fields) => {
    asked.push([code, { ...fields }]);
    return said("jstack", { code: 5, remark: "said so", fields: { extra: "1" } });
  };
  const fields = { consumerGroup: "g", clientId: "c", jstackEnable: "true", __proto__x: "y" };
  const answer = await broker.askLate(RUNNING_INFO, fields);
  expect(answer).toEqual({ code: 5, remark: "said so", fields: { extra: "1" }, body: Buffer.from("jstack") });
  expect(asked).toEqual([[RUNNING_INFO, fields]]);
});

test("a consumer that is not there, is too old, or does not answer", async () => {
  const broker = new TestBroker();
  const ask = (clientId: string) => broker.askLate(RUNNING_INFO, { consumerGroup: "g", clientId });
  expect(await ask("c")).toMatchObject({ code: 1, remark: "The Consumer <g> <c> not online" });
  const connection = member(broker, "c");
  expect(await ask("other")).toMatchObject({ code: 1, remark: "The Consumer <g> <other> not online" });
  connection.answer = () => {
    throw new CometError("COMETMQ_TIMEOUT", "no answer.");
  };
  expect(await ask("c")).toMatchObject({ code: 207 });
  expect((await ask("c")).remark).toMatch(/^consumer <g> <c> Timeout: no answer\./);
  connection.answer = () => {
    throw new CometError("COMETMQ_REMOTE", "gone.");
  };
  expect((await ask("c")).remark).toMatch(/^invoke consumer <g> <c> Exception: gone\./);
  Object.assign([...broker.context.consumers.get("g")!.members.values()][0]!, { version: 20 });
  expect((await ask("c")).remark).toMatch(/^The Consumer <c> Version <V\w+> too low to finish/);
});

test("a failure of the broker's own is answered and logged, not thrown", async () => {
  const broker = new TestBroker();
  member(broker, "c").answer = () => {
    throw new TypeError("a defect");
  };
  const answer = await broker.askLate(RUNNING_INFO, { consumerGroup: "g", clientId: "c" });
  expect(answer).toMatchObject({ code: 1, remark: "TypeError: a defect" });
  expect(broker.log.at("error", /GET_CONSUMER_RUNNING_INFO failed/)).toHaveLength(1);
});

test("an answer that can not be passed on is a failure too", async () => {
  const broker = new TestBroker();
  member(broker, "c").answer = () => said("", { fields: { ["x".repeat(40_000)]: "y" } });
  const answer = await broker.askLate(RUNNING_INFO, { consumerGroup: "g", clientId: "c" });
  expect(answer).toMatchObject({ code: 1, remark: expect.stringMatching(/A field's name has 40000 bytes/) });
});

test("a message that is not there is not sent to anybody", async () => {
  const broker = new TestBroker();
  member(broker, "c").answer = () => said("consumed");
  const ask = (msgId: string) => broker.askLate(CONSUME_DIRECTLY, { consumerGroup: "g", clientId: "c", msgId });
  for (const msgId of ["", "7F00000100005E24000000000000FFFF", "7F00000100005E24FFFFFFFFFFFFFFFF", "no id"]) {
    expect(await ask(msgId)).toMatchObject({ code: 1, remark: `can not find message by the id, ${msgId}` });
  }
  expect((await broker.askLate(CONSUME_DIRECTLY, { consumerGroup: "g", clientId: "c" })).code).toBe(1);
});

test("code 223 asks each member, or the one it names, and leaves out who says nothing sensible", async () => {
  const broker = new TestBroker();
  const table = '{"messageQueueTable":{{"brokerName":"b","queueId":0,"topic":"T"}:7}}';
  const asked: [string, number, Fields][] = [];
  for (const [clientId, body] of [
    ["good", table],
    ["garbage", "no json"],
    ["silent", undefined],
  ] as const) {
    member(broker, clientId).answer = (code, fields) => {
      asked.push([clientId, code, { ...fields }]);
      if (body === undefined) throw new CometError("COMETMQ_TIMEOUT", "silence.");
      return said(body);
    };
  }
  const ask = async (clientAddr: string) => {
    const answer = await broker.askLate(CONSUMER_STATUS, { topic: "T", group: "g", clientAddr });
    return [...((parseFastjson(answer.body) as FastjsonMap).get("consumerTable") as FastjsonMap).keys()];
  };
  expect(await ask("")).toEqual(["good"]);
  expect(asked.map(([clientId]) => clientId).sort()).toEqual(["garbage", "good", "silent"]);
  expect(asked[0]).toEqual(["good", STATUS_FROM_CLIENT, { topic: "T", group: "g" }]);
  expect(broker.log.at("warn", /did not say how far/)).toHaveLength(1);
  asked.length = 0;
  expect(await ask("good")).toEqual(["good"]);
  expect(asked).toHaveLength(1);
  expect(await ask("nobody")).toEqual([]);
  const none = await broker.askLate(CONSUMER_STATUS, { topic: "T", group: "h", clientAddr: "" });
  expect(none).toMatchObject({ code: 1, remark: "No Any Consumer online in the consumer group: [h]" });
});

test("too many at once are told so", async () => {
  const broker = new TestBroker();
  const waiting: ((answer: RemoteAnswer) => void)[] = [];
  const connection = member(broker, "c");
  connection.call = () => new Promise((resolve) => waiting.push(resolve));
  const ask = () => broker.askLate(RUNNING_INFO, { consumerGroup: "g", clientId: "c" });
  const asked = Array.from({ length: 256 }, ask);
  expect(await ask()).toMatchObject({ code: 2, remark: "256 such requests are being worked on already." });
  for (const resolve of waiting) resolve(said("there"));
  expect((await Promise.all(asked)).every(({ body }) => body.toString() === "there")).toBe(true);
  const again = ask();
  waiting.at(-1)!(said("again"));
  expect((await again).body.toString()).toBe("again");
});

test("without the reset on the broker's side every member is told the offsets by code 220", () => {
  const broker = new TestBroker({ useServerSideResetOffset: false });
  const { offsets, topics } = broker.context;
  topics.createInSendMessage("T", "TBW102", "peer", 2, 0);
  for (const queueId of [0, 1]) Object.assign(broker.store.queue("T", queueId), { times: [100, 200, 300] });
  const reset = (timestamp: number, isForce = true) => ({ topic: "T", group: "g", timestamp, isForce });
  expect(broker.ask(RESET, reset(0))).toMatchObject({ code: 1, remark: "THe consumer group <g> not exist" });
  offsets.commitOffset("peer", "g", "T", 0, 3);
  offsets.commitOffset("peer", "g", "T", 1, 1);
  const offline = { code: 206, remark: "Consumer not online, so can not reset offset, Group: g Topic: T Timestamp: 0" };
  expect(broker.ask(RESET, reset(0))).toMatchObject(offline);
  const members = [member(broker, "a"), member(broker, "b")];
  const table = (connection: FakeConnection) =>
    parseFastjson(connection.pushedBodies.at(-1)!.toString()) as FastjsonMap;
  const offsetsOf = (map: FastjsonMap) => [...(map.get("offsetTable") as FastjsonMap).values()];

  const answer = broker.ask(RESET, reset(200));
  expect(offsetsOf(parseFastjson(answer.body) as FastjsonMap)).toEqual([1, 1]);
  for (const connection of members) {
    const fields = { topic: "T", group: "g", timestamp: 200, isForce: false, queueId: -1 };
    expect(connection.pushed.at(-1)).toEqual([RESET_IN_CLIENT, fields]);
    expect(offsetsOf(table(connection))).toEqual([1, 1]);
  }
  expect([0, 1].map((queueId) => offsets.queryOffset("g", "T", queueId))).toEqual([3, 1]);
  broker.ask(RESET, reset(-1));
  expect(offsetsOf(table(members[0]!))).toEqual([3, 3]);
  broker.ask(RESET, reset(-1, false));
  expect(offsetsOf(table(members[0]!))).toEqual([3, 1]);

  const writer = new FrameWriter();
  writer.request(1, 0, RESET, false, reset(200));
  const frame = Buffer.from(writer.buffer.subarray(0, writer.length));
  const cpp = Buffer.from(frame.toString("latin1").replace('"language":"JAVA"', '"language":"CPP" '), "latin1");
  if (cpp.equals(frame)) throw new Error(`requests are in another language than ${LanguageCode.JAVA}`);
  expect(broker.askFrame(cpp).code).toBe(0);
  expect(
    [...(table(members[1]!).get("offsetTable") as FastjsonMap[])].map((entry) => Object.fromEntries(entry)),
  ).toEqual([0, 1].map((queueId) => ({ brokerName: "broker-a", queueId, topic: "T", offset: 1 })));
});
