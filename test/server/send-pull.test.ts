/** Messages sent and pulled back over sockets, byte for byte, in every form that clients have for it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { javaHash } from "#src/base/java-hash.js";
import { decodeRecords } from "#src/record/decode.js";
import { encodeMessageBatch } from "#src/record/message-batch.js";
import { parseMessageId } from "#src/record/message-id.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { type FastjsonMap, parseFastjson } from "#src/remoting/fastjson.js";
import type { Fields } from "#src/remoting/types.js";
import { BareSocket, requestBytes, until } from "../unit/remoting/peers.js";
import {
  ANSWER_MS,
  bodiesOf,
  closeAll,
  PullFlag,
  properties,
  pull,
  pulledMessages,
  type StartedBroker,
  send,
  sendFields,
  sendFieldsV2,
  startBroker,
} from "./harness.js";

const { SUCCESS } = ResponseCode;

let started: StartedBroker;

beforeAll(async () => {
  started = await startBroker();
});

afterAll(closeAll);

let topicCount = 0;

/** A topic of its own for each test. */
function newTopic(): string {
  return `Topic${++topicCount}`;
}

/** The whole of a body with every byte there is in it. */
const BYTES = Buffer.from(Array.from({ length: 1000 }, (_, i) => i & 255));

const FORMS = [
  ["V2 with a JSON header", RequestCode.SEND_MESSAGE_V2, 0],
  ["V2 with a ROCKETMQ header", RequestCode.SEND_MESSAGE_V2, 1],
  ["V1 with a JSON header", RequestCode.SEND_MESSAGE, 0],
  ["V1 with a ROCKETMQ header", RequestCode.SEND_MESSAGE, 1],
] as const;

describe.each(FORMS)("%s", (_, code, serializeType) => {
  const fieldsOf = code === RequestCode.SEND_MESSAGE ? sendFields : sendFieldsV2;

  test("a message comes back as it was sent, with what the broker knows of it", async () => {
    const client = started.client({ serializeType });
    const topic = newTopic();
    const sent = properties({
      KEYS: "k1 k2",
      TAGS: "tag",
      UNIQ_KEY: "7F0000010000",
      umläut: 'ß \t" \\ 中 😀',
      WAIT: "true",
    });
    const fields = { topic, queueId: 2, sysFlag: 0x1 | 0x100, flag: -7, reconsumeTimes: 3, properties: sent };
    const answer = await client.call(code, fieldsOf(fields), BYTES, ANSWER_MS);
    expect(answer).toMatchObject({ code: SUCCESS, remark: "" });
    expect(answer.fields).toEqual({
      MSG_REGION: "DefaultRegion",
      TRACE_ON: "true",
      msgId: expect.stringMatching(/^[0-9A-F]{32}$/),
      queueId: "2",
      queueOffset: "0",
      transactionId: "7F0000010000",
    });
    const id = parseMessageId(answer.fields.msgId!)!;
    expect(id.storeHost).toBe(`127.0.0.1:${started.broker.port}`);

    await started.broker.store.settled();
    const pulled = await pull(client, { topic, queueId: 2 });
    expect(pulled).toMatchObject({ code: SUCCESS, remark: "FOUND" });
    expect(pulled.fields).toMatchObject({ nextBeginOffset: "1", minOffset: "0", maxOffset: "1" });
    const [message, ...others] = decodeRecords(pulled.body);
    expect(others).toEqual([]);
    expect(message!.body.equals(BYTES)).toBe(true);
    const { body: _body, bodyCrc: _crc, magic: _magic, storeSize, storeTimestamp, ...rest } = message!;
    expect(storeSize).toBe(pulled.body.length);
    expect(Math.abs(storeTimestamp - Date.now())).toBeLessThan(60_000);
    expect(rest).toEqual({
      topic,
      queueId: 2,
      flag: -7,
      sysFlag: 0x101,
      queueOffset: 0,
      phyOffset: id.phyOffset,
      bornTimestamp: 1_795_000_000_123,
      bornHost: client.connection!.localAddress,
      storeHost: id.storeHost,
      reconsumeTimes: 3,
      preparedTransactionOffset: 0,
      properties: new Map([
        ["KEYS", "k1 k2"],
        ["TAGS", "tag"],
        ["UNIQ_KEY", "7F0000010000"],
        ["umläut", 'ß \t" \\ 中 😀'],
        ["WAIT", "true"],
        ["MSG_REGION", "DefaultRegion"],
        ["TRACE_ON", "true"],
        ["CLUSTER", "DefaultCluster"],
      ]),
      msgId: answer.fields.msgId,
    });
    const viewed = await client.call(RequestCode.VIEW_MESSAGE_BY_ID, { offset: id.phyOffset }, undefined, ANSWER_MS);
    expect(viewed.body.equals(pulled.body)).toBe(true);
  });

  test("a batch becomes messages of one queue, and its id names each of them", async () => {
    const client = started.client({ serializeType });
    const topic = newTopic();
    const batch = encodeMessageBatch([
      { body: Buffer.from("one"), flag: 1, properties: [["TAGS", "a"]] },
      { body: BYTES },
      { body: Buffer.from("three"), flag: 3, properties: [["KEYS", "k"]] },
    ]);
    const asBatch = code === RequestCode.SEND_MESSAGE ? code : RequestCode.SEND_BATCH_MESSAGE;
    await client.call(code, fieldsOf({ topic }), Buffer.from("zero"), ANSWER_MS);
    const answer = await client.call(asBatch, fieldsOf({ topic, batch: true }), batch, ANSWER_MS);
    expect(answer).toMatchObject({ code: SUCCESS, fields: { queueId: "0", queueOffset: "1" } });
    await started.broker.store.settled();
    const messages = await pulledMessages(client, { topic, queueOffset: 1 });
    expect(answer.fields.msgId).toBe(messages.map(({ msgId }) => msgId).join(","));
    expect(messages.map(({ queueOffset, flag }) => [queueOffset, flag])).toEqual([
      [1, 1],
      [2, 0],
      [3, 3],
    ]);
    expect(messages.map(({ body }) => body.toString("latin1"))).toEqual(["one", BYTES.toString("latin1"), "three"]);
    expect(messages.map((message) => [...message.properties])).toEqual([[["TAGS", "a"]], [], [["KEYS", "k"]]]);
  });

  test("a one-way message is stored and not answered", async () => {
    const topic = newTopic();
    const strings = (fields: Fields) => Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, String(v)]));
    const request = (opaque: number, oneway: boolean, body: string) =>
      ({ code, opaque, oneway, type: serializeType, fields: strings(fieldsOf({ topic })), body }) as const;
    const peer = (await BareSocket.open(started.broker.port)).readFrames();
    peer.socket.write(requestBytes(request(1, true, "a"), request(2, true, "b"), request(3, false, "c")));
    await until(() => peer.frames.length > 0, "the answer");
    expect(peer.frames).toMatchObject([{ opaque: 3, code: SUCCESS, fields: { queueOffset: "2" } }]);
    peer.socket.destroy();
    await started.broker.store.settled();
    expect(bodiesOf(await pull(started.client(), { topic }))).toEqual(["a", "b", "c"]);
  });
});

test("what every broker adds is added once, also to a message that comes by again", async () => {
  const client = started.client();
  const topic = newTopic();
  await send(client, { topic, properties: properties({ UNIQ_KEY: "U", POP_CK: "0 1 2", x: "1" }) }, "x");
  await started.broker.store.settled();
  const [first] = await pulledMessages(client, { topic });
  expect([...first!.properties.keys()]).toEqual(["UNIQ_KEY", "x", "MSG_REGION", "TRACE_ON", "CLUSTER"]);
  const again = properties({ ...Object.fromEntries(first!.properties), MSG_REGION: "elsewhere", CLUSTER: "other" });
  await send(client, { topic, properties: again }, "x");
  await started.broker.store.settled();
  const answer = await pull(client, { topic, queueOffset: 1 });
  expect(decodeRecords(answer.body)[0]!.properties).toEqual(first!.properties);
  for (const name of ["MSG_REGION\u0001", "TRACE_ON\u0001", "CLUSTER\u0001", "UNIQ_KEY\u0001"]) {
    expect(answer.body.toString("latin1").split(name)).toHaveLength(2);
  }
});

test("a message without a unique key gets one, which the answer tells", async () => {
  const client = started.client();
  const topic = newTopic();
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push((await send(client, { topic }, "x")).fields.transactionId);
  await started.broker.store.settled();
  const messages = await pulledMessages(client, { topic });
  expect(messages.map((message) => message.properties.get("UNIQ_KEY"))).toEqual(ids);
  expect(new Set(ids).size).toBe(3);
});

test("a producer that names no queue is given them in turn", async () => {
  const client = started.client();
  const topic = newTopic();
  const queues = [];
  for (let i = 0; i < 8; i++) queues.push((await send(client, { topic, queueId: -1 }, "x")).fields.queueId);
  expect(queues.slice(0, 4).sort()).toEqual(["0", "1", "2", "3"]);
  expect(queues.slice(4)).toEqual(queues.slice(0, 4));
});

test("a pull with a filter looks no further than maxFilterMessageSize", async () => {
  const client = started.client();
  const topic = newTopic();
  for (let i = 0; i < 8; i++) await send(client, { topic, queueId: 0, properties: properties({ TAGS: "a" }) }, "x");
  const config = started.broker.context.config as { maxFilterMessageSize: number };
  while (bodiesOf(await pull(client, { topic })).length < 8);
  const next = async () => {
    const answer = await pull(client, { topic, subscription: "b", maxMsgNums: 2 });
    return [answer.code, answer.fields.nextBeginOffset];
  };
  expect(await next()).toEqual([ResponseCode.PULL_RETRY_IMMEDIATELY, "8"]);
  const before = config.maxFilterMessageSize;
  config.maxFilterMessageSize = 81;
  expect(await next()).toEqual([ResponseCode.PULL_RETRY_IMMEDIATELY, "5"]);
  // Never less than what was asked for.
  config.maxFilterMessageSize = 20;
  expect(await next()).toEqual([ResponseCode.PULL_RETRY_IMMEDIATELY, "2"]);
  config.maxFilterMessageSize = before;
});

test("pipelined messages are all answered, each with its own place, in order", async () => {
  const COUNT = 2000;
  const topic = newTopic();
  const peer = (await BareSocket.open(started.broker.port)).readFrames();
  const fields = Object.fromEntries(Object.entries(sendFieldsV2({ topic })).map(([k, v]) => [k, String(v)]));
  const requests = Array.from({ length: COUNT }, (_, i) => ({ code: 310, opaque: i, fields, body: `m${i}` }));
  peer.socket.write(requestBytes(...requests));
  await until(() => peer.frames.length === COUNT, "all answers");
  peer.socket.destroy();
  for (const [i, frame] of peer.frames.entries()) {
    if (frame.opaque !== i || frame.code !== SUCCESS || frame.fields.queueOffset !== String(i)) {
      expect({ i, frame }).toBe("the answer to request i, with its offset");
    }
  }
  await started.broker.store.settled();
  const client = started.client();
  const bodies: string[] = [];
  while (bodies.length < COUNT) {
    const found = bodiesOf(await pull(client, { topic, queueOffset: bodies.length }));
    expect(found.length).toBeGreaterThan(0);
    bodies.push(...found);
  }
  expect(bodies).toEqual(requests.map(({ body }) => body));
});

test("many clients at once: each queue keeps the order of each of them", async () => {
  const CLIENTS = 8;
  const MESSAGES = 100;
  const topic = newTopic();
  await send(started.client(), { topic, queueId: 1 }, "first");
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, c) => {
      const client = started.client();
      const sends = Array.from({ length: MESSAGES }, (_, i) => send(client, { topic, queueId: 0 }, `${c}:${i}`));
      for (const answer of await Promise.all(sends)) expect(answer.code).toBe(SUCCESS);
    }),
  );
  await started.broker.store.settled();
  const client = started.client();
  const bodies: string[] = [];
  while (bodies.length < CLIENTS * MESSAGES) {
    bodies.push(...bodiesOf(await pull(client, { topic, queueOffset: bodies.length })));
  }
  for (let c = 0; c < CLIENTS; c++) {
    const own = bodies.filter((body) => body.startsWith(`${c}:`));
    expect(own).toEqual(Array.from({ length: MESSAGES }, (_, i) => `${c}:${i}`));
  }
});

describe("which messages a pull is given", () => {
  let client: RemotingClient;
  const topic = "Filtered";

  beforeAll(async () => {
    client = started.client();
    // AaAa and BBBB have the same hash in Java: a broker passes both, the consumer drops the other.
    for (const TAGS of ["A", "B", "C", "A", "AaAa", "BBBB", ""]) {
      await send(client, { topic, properties: TAGS === "" ? "" : properties({ TAGS }) }, TAGS === "" ? "none" : TAGS);
    }
    await started.broker.store.settled();
  });

  test.each<[string, string[]]>([
    ["*", ["A", "B", "C", "A", "AaAa", "BBBB", "none"]],
    ["", ["A", "B", "C", "A", "AaAa", "BBBB", "none"]],
    ["A", ["A", "A"]],
    ["A || C", ["A", "C", "A"]],
    ["A||B", ["A", "B", "A"]],
    [" C ", ["C"]],
    ["AaAa", ["AaAa", "BBBB"]],
  ])("by the subscription %j", async (subscription, bodies) => {
    const answer = await pull(client, { topic, subscription, expressionType: "TAG" });
    expect(bodiesOf(answer)).toEqual(bodies);
    expect(answer.fields.nextBeginOffset).toBe("7");
  });

  test("a subscription that nothing fits is told to go on behind what was looked at", async () => {
    const answer = await pull(client, { topic, subscription: "nothing" });
    expect(answer).toMatchObject({
      code: ResponseCode.PULL_RETRY_IMMEDIATELY,
      remark: "NO_MATCHED_MESSAGE",
      fields: { nextBeginOffset: "7" },
    });
  });

  test("by the codes of the group's heartbeat", async () => {
    const subscription = {
      topic,
      subString: "B || C",
      tagsSet: ["B", "C"],
      codeSet: [javaHash("B"), javaHash("C")],
      subVersion: 5,
      expressionType: "TAG",
    };
    const consumer = {
      groupName: "Beating",
      consumeType: "CONSUME_PASSIVELY",
      messageModel: "CLUSTERING",
      consumeFromWhere: "CONSUME_FROM_FIRST_OFFSET",
      subscriptionDataSet: [subscription],
      unitMode: false,
    };
    const fields = { topic, consumerGroup: "Beating", sysFlag: 0, subscription: undefined };
    expect((await pull(client, fields)).code).toBe(ResponseCode.SUBSCRIPTION_NOT_EXIST);
    const body = Buffer.from(JSON.stringify({ clientID: "c@1", consumerDataSet: [consumer], producerDataSet: [] }));
    expect((await client.call(RequestCode.HEART_BEAT, {}, body, ANSWER_MS)).code).toBe(SUCCESS);
    expect(bodiesOf(await pull(client, { ...fields, subVersion: 5 }))).toEqual(["B", "C"]);
    expect((await pull(client, { ...fields, subVersion: 6 })).code).toBe(ResponseCode.SUBSCRIPTION_NOT_LATEST);
    // What it brings along counts more.
    expect(bodiesOf(await pull(client, { ...fields, sysFlag: PullFlag.SUBSCRIPTION, subscription: "A" }))).toEqual([
      "A",
      "A",
    ]);
  });

  test("no more than asked for, and no more bytes either, but always one", async () => {
    expect(bodiesOf(await pull(client, { topic, maxMsgNums: 2 }))).toEqual(["A", "B"]);
    const [first, second] = await pulledMessages(client, { topic });
    const two = first!.storeSize + second!.storeSize;
    expect(bodiesOf(await pull(client, { topic, maxMsgBytes: two }))).toEqual(["A", "B"]);
    expect(bodiesOf(await pull(client, { topic, maxMsgBytes: two - 1 }))).toEqual(["A"]);
    expect(bodiesOf(await pull(client, { topic, maxMsgBytes: 1 }))).toEqual(["A"]);
  });

  test.each<[number, string, number, number]>([
    [7, "OFFSET_OVERFLOW_ONE", ResponseCode.PULL_NOT_FOUND, 7],
    [8, "OFFSET_OVERFLOW_BADLY", ResponseCode.PULL_OFFSET_MOVED, 7],
    [-1, "OFFSET_TOO_SMALL", ResponseCode.PULL_OFFSET_MOVED, 0],
  ])("none at offset %i, with %s", async (queueOffset, remark, code, next) => {
    const answer = await pull(client, { topic, queueOffset });
    expect(answer).toMatchObject({ code, remark, fields: { nextBeginOffset: String(next), maxOffset: "7" } });
    expect(answer.body).toHaveLength(0);
  });

  test("none of an empty queue", async () => {
    expect(await pull(client, { topic, queueId: 1 })).toMatchObject({ code: ResponseCode.PULL_NOT_FOUND });
    expect(await pull(client, { topic, queueId: 1, queueOffset: 5 })).toMatchObject({
      code: ResponseCode.PULL_OFFSET_MOVED,
      remark: "NO_MESSAGE_IN_QUEUE",
      fields: { nextBeginOffset: "0" },
    });
  });
});

describe("offsets", () => {
  const brokers: StartedBroker[] = [];
  afterEach(async () => {
    for (const { broker } of brokers.splice(0)) await broker.close();
  });

  async function offsetOf(client: RemotingClient, fields: Fields): Promise<string> {
    const answer = await client.call(RequestCode.QUERY_CONSUMER_OFFSET, fields, undefined, ANSWER_MS);
    return answer.code === SUCCESS ? answer.fields.offset! : `code ${answer.code}`;
  }

  test("committed along with a pull or by themselves, they outlive the broker", async () => {
    const first = await startBroker();
    brokers.push(first);
    const client = first.client();
    for (let i = 0; i < 5; i++) await send(client, { topic: "T", queueId: 1 }, `m${i}`);
    await first.broker.store.settled();
    const at = { consumerGroup: "G", topic: "T", queueId: 1 };

    await pull(client, { ...at, queueOffset: 3, commitOffset: 3 });
    const sysFlag = PullFlag.SUBSCRIPTION | PullFlag.COMMIT_OFFSET;
    expect(await offsetOf(client, at)).toBe("0");
    await pull(client, { ...at, queueOffset: 4, commitOffset: 3, sysFlag });
    expect(await offsetOf(client, at)).toBe("3");
    const update = { consumerGroup: "H", topic: "T", queueId: 0, commitOffset: 4_294_967_296_000 };
    await pull(client, { consumerGroup: "H" });
    await client.oneway(RequestCode.UPDATE_CONSUMER_OFFSET, update);
    expect(await offsetOf(client, update)).toBe("4294967296000");
    await first.broker.close();

    const saved = parseFastjson(readFileSync(join(first.directory, "config", "consumerOffset.json"))) as FastjsonMap;
    expect(saved.get("offsetTable")).toEqual(
      new Map([
        ["T@G", new Map([[1, 3]])],
        ["T@H", new Map([[0, 4_294_967_296_000]])],
      ]),
    );
    const second = await startBroker({ directory: first.directory });
    brokers.push(second);
    const again = second.client();
    expect(await offsetOf(again, at)).toBe("3");
    expect(await offsetOf(again, update)).toBe("4294967296000");
    expect(bodiesOf(await pull(again, { ...at, queueOffset: 3 }))).toEqual(["m3", "m4"]);
    // Queues go on where they were.
    expect((await send(again, { topic: "T", queueId: 1 }, "m5")).fields.queueOffset).toBe("5");
  });
});
