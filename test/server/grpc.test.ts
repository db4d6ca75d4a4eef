/** The gRPC endpoint as clients meet it: what it answers, what the broker then has, and what stays behind. */
import net from "node:net";
import type { ClientHttp2Session } from "node:http2";
import { afterEach, expect, test } from "vitest";
import { decodeRecord } from "#src/record/decode.js";
import { RequestCode } from "#src/remoting/codes.js";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import type { StartedEndpoint } from "./grpc-client.js";
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
import { ANSWER_MS, closeAll, pulledMessages } from "./harness.js";

afterEach(closeAll);

function addTopic({ broker }: StartedEndpoint, name: string, messageType: string, queues = 1): void {
  const topicFilterType = "SINGLE_TAG" as const;
  broker.context.topics.update(
    {
      topicName: name,
      readQueueNums: queues,
      writeQueueNums: queues,
      perm: 6,
      topicFilterType,
      topicSysFlag: 0,
      order: false,
    },
    new Map([["+message.type", messageType]]),
  );
}

async function withTopic(messageType = "NORMAL", queues = 1) {
  const started = await startEndpoint();
  addTopic(started, "T", messageType, queues);
  return { ...started, session: connectTo(started.endpoint) };
}

const producerSettings = { clientType: ClientType.PRODUCER, publishing: { topics: [TOPIC] } };
const consumerSettings = {
  clientType: ClientType.PUSH_CONSUMER,
  subscription: { group: GROUP, subscriptions: [{ topic: TOPIC, expression: { type: 1, expression: "a || b" } }] },
};

/** What lies in a queue once `count` messages have been dispatched to it. */
async function stored({ broker, client }: Pick<StartedEndpoint, "broker" | "client">, count: number, queueId = 0) {
  const queue = broker.store.queue("T", queueId);
  await eventually(() => broker.store.maxOffset(queue) >= count);
  return pulledMessages(client(), { queueId });
}

/** Until the condition holds; the test's own time limit ends it otherwise. */
async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("a route names the address asked for, the queues and the types they take", async () => {
  const { session } = await withTopic("FIFO", 3);
  const endpoints = { scheme: 3, addresses: [{ host: "mq.example", port: 18081 }] };
  const route = await call(session, "QueryRoute", { topic: TOPIC, endpoints });
  expect(route.status.code).toBe(20000);
  expect(route.messageQueues.map(({ id }: { id: number }) => id)).toEqual([0, 1, 2]);
  const [queue] = route.messageQueues;
  expect([...queue.acceptMessageTypes]).toEqual([2]);
  expect(queue.broker.endpoints.addresses[0]).toMatchObject({ host: "mq.example", port: 18081 });
  expect((await call(session, "QueryRoute", { topic: { name: "absent" }, endpoints })).status.code).toBe(40402);
  expect((await call(session, "QueryRoute", { topic: { name: "a b" }, endpoints })).status.code).toBe(40002);
  expect((await call(session, "QueryRoute", { topic: { name: "TBW102" }, endpoints })).status.code).toBe(40002);
  const anonymous = await call(session, "QueryRoute", { topic: TOPIC, endpoints }, { "x-mq-client-id": "" });
  expect(anonymous.status.code).toBe(40017);
});

test("what is sent is what a Remoting client gets", async () => {
  const started = await withTopic();
  const { session } = started;
  const sent = message({
    userProperties: { colour: "blue", ключ: "знач" },
    systemProperties: { tag: "A", keys: ["k1", "k2"], traceContext: "trace" },
  });
  const answer = await call(session, "SendMessage", { messages: [sent] });
  const id = sent.systemProperties.messageId;
  expect(answer.status.code).toBe(20000);
  expect(answer.entries[0]).toMatchObject({ messageId: id, transactionId: id, offset: 0 });
  const [got] = await stored(started, 1);
  expect(got).toMatchObject({ bornTimestamp: 1_795_000_000_000, reconsumeTimes: 0 });
  expect(got!.body.toString()).toBe("hello");
  expect(Object.fromEntries(got!.properties)).toMatchObject({
    UNIQ_KEY: id,
    TAGS: "A",
    KEYS: "k1 k2",
    colour: "blue",
    ключ: "знач",
    PGROUP: "T",
    TRACE_CONTEXT: "trace",
    __BORNHOST: "somewhere",
  });
});

test("messages of one request lie in order in one queue, each with its own result", async () => {
  const started = await withTopic("NORMAL", 1);
  const bodies = ["a", "b", "c"];
  const messages = bodies.map((body) => message({ body: Buffer.from(body) }));
  const answer = await call(started.session, "SendMessage", { messages });
  expect(answer.status.code).toBe(20000);
  expect(answer.entries.map(({ offset }: { offset: number }) => offset)).toEqual([0, 1, 2]);
  const got = await stored(started, 3);
  expect(got.map(({ body }) => body.toString())).toEqual(bodies);
  expect(got.map(({ properties }) => properties.get("UNIQ_KEY"))).toEqual(
    answer.entries.map(({ messageId }: { messageId: string }) => messageId),
  );
});

test("a message group stays in its queue, also in batches", async () => {
  const started = await withTopic("FIFO", 8);
  const { session } = started;
  const one = (body: string) =>
    message({ body: Buffer.from(body), systemProperties: { messageType: 2, messageGroup: "key0" } });
  await call(session, "SendMessage", { messages: [one("1")] });
  await call(session, "SendMessage", { messages: [one("2"), one("3")] });
  const messages = await stored(started, 3, 5);
  expect(messages.map(({ body }) => body.toString())).toEqual(["1", "2", "3"]);
});

const day = 86_400_000;
const REFUSED: readonly (readonly [number, string, object, object?])[] = [
  [40016, "no message", {}, { messages: [] }],
  [41302, "an empty body", { body: Buffer.alloc(0) }],
  [41301, "a body too large", { body: Buffer.alloc(4_194_305) }],
  [40002, "an illegal topic", { topic: { name: "a/b" } }],
  [40014, "an unknown topic", { topic: { name: "absent" } }],
  [40004, "a tag with a bar", { systemProperties: { tag: "a|b" } }],
  [40004, "a blank tag", { systemProperties: { tag: "  " } }],
  [40004, "a tag with a control character", { systemProperties: { tag: "a\u0001" } }],
  [40005, "a blank key", { systemProperties: { keys: ["ok", " "] } }],
  [40005, "a key with a control character", { systemProperties: { keys: ["a\nb"] } }],
  [40006, "a message group too long", { systemProperties: { messageGroup: "g".repeat(64) } }],
  [40006, "a blank message group", { systemProperties: { messageGroup: " " } }],
  [40007, "a property of the system's", { userProperties: { KEYS: "x" } }],
  [40007, "a property name with a control character", { userProperties: { "a\u0002": "x" } }],
  [40007, "a property value with a control character", { userProperties: { a: "x\u0001" } }],
  [
    43101,
    "too many properties",
    { userProperties: Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`p${i}`, "v"])) },
  ],
  [43101, "properties too large", { userProperties: { big: "v".repeat(16_384) } }],
  [40009, "no message id", { systemProperties: { messageId: " " } }],
  [
    40012,
    "a delay too long",
    { systemProperties: { deliveryTimestamp: { seconds: (Date.now() + day) / 1000 + 60, nanos: 0 } } },
  ],
  [
    40000,
    "a recovery too late",
    { systemProperties: { messageType: 4, orphanedTransactionRecoveryDuration: { seconds: 3601, nanos: 0 } } },
  ],
  [40014, "a FIFO message", { systemProperties: { messageGroup: "g" } }],
  [40014, "a transaction", { systemProperties: { messageType: 4 } }],
  [40014, "a priority", { systemProperties: { priority: 3 } }],
];

test("what may not be sent is refused with its own code, and nothing is stored", async () => {
  const { session, broker } = await withTopic();
  for (const [code, what, changes, request] of REFUSED) {
    const answer = await call(session, "SendMessage", request ?? { messages: [message(changes)] });
    expect(answer.status, what).toMatchObject({ code });
  }
  expect(broker.store.maxPhyOffset).toBe(0);
});

test("settings are answered with the server's part, and make a client of the broker", async () => {
  const { session, broker, endpoint } = await withTopic();
  broker.context.groups.update({
    ...broker.context.groups.find("G")!,
    groupName: "G",
    consumeMessageOrderly: true,
    retryMaxTimes: 4,
    groupRetryPolicy: { type: "CUSTOMIZED", customizedRetryPolicy: { next: [1500] } },
  });
  const telemetry = new Telemetry(session);
  telemetry.send({ settings: consumerSettings });
  const { settings, status } = await telemetry.next();
  expect(status.code).toBe(20000);
  expect(settings.subscription).toMatchObject({ fifo: true, receiveBatchSize: 32 });
  expect(settings.subscription.longPollingTimeout.seconds).toBe(20);
  expect(settings.backoffPolicy.maxAttempts).toBe(5);
  expect(settings.backoffPolicy.customizedBackoff.next[0]).toMatchObject({ seconds: 1, nanos: 500_000_000 });
  const group = broker.context.consumers.get("G")!;
  expect(group).toMatchObject({ consumeType: "CONSUME_PASSIVELY", messageModel: "CLUSTERING" });
  expect(group.clientIds()).toEqual(["client-1"]);
  expect(group.subscriptions.get("T")).toMatchObject({ subString: "a || b", tagsSet: ["a", "b"] });
  expect((await call(session, "Heartbeat", { group: GROUP, clientType: 2 })).status.code).toBe(20000);
  expect((await call(session, "NotifyClientTermination", { group: GROUP })).status.code).toBe(20000);
  expect(broker.context.consumers.get("G")).toBeUndefined();
  expect((await call(session, "Heartbeat", { group: GROUP, clientType: 2 })).status.code).toBe(40015);
  await telemetry.ended;
  expect(endpoint.counts.clients).toBe(0);
});

test("settings that say nothing, or something illegal, end the stream", async () => {
  const { session } = await withTopic();
  for (const settings of [{ clientType: 1 }, { publishing: { topics: [{ name: "a b" }] } }]) {
    const telemetry = new Telemetry(session);
    telemetry.send({ settings });
    expect(await telemetry.ended).toMatchObject({ httpStatus: 200, grpcStatus: 3 });
  }
  const anonymous = new Telemetry(session, { "x-mq-client-id": "" });
  anonymous.send({ settings: producerSettings });
  expect((await anonymous.next()).status.code).toBe(40017);
});

test("a producer is asked about its transaction, and then may end it", async () => {
  const started = await withTopic();
  const { session, broker, endpoint } = started;
  const telemetry = new Telemetry(session);
  telemetry.send({ settings: producerSettings });
  expect((await telemetry.next()).settings.publishing).toMatchObject({
    maxBodySize: 4_194_304,
    validateMessageType: true,
  });
  await call(session, "SendMessage", { messages: [message()] });
  const [half] = await stored(started, 1);
  const record = broker.context.store.lookAt(half!.phyOffset)!;
  const fields = { transactionId: "tx-1", tranStateTableOffset: 7, commitLogOffset: half!.phyOffset };
  broker.context.producers.availableConnection("T")!.pushOneway(RequestCode.CHECK_TRANSACTION_STATE, fields, record);
  const { recoverOrphanedTransactionCommand: asked } = await telemetry.next();
  expect(asked.transactionId).toBe("tx-1");
  expect(asked.message.systemProperties.messageId).toBe(decodeRecord(record).properties.get("UNIQ_KEY"));
  expect(endpoint.counts.transactions).toBe(1);
  const end = { topic: TOPIC, transactionId: "tx-1", messageId: "m", resolution: 1, source: 2 };
  await call(session, "EndTransaction", end);
  expect(endpoint.counts.transactions).toBe(0);
  expect((await call(session, "EndTransaction", end)).status).toMatchObject({ code: 50001 });
  expect((await call(session, "EndTransaction", { ...end, transactionId: "" })).status.code).toBe(40008);
});

test("an administrator gets a gRPC consumer's stack and its verdict on a message", async () => {
  const started = await withTopic();
  const { session, broker, client } = started;
  const telemetry = new Telemetry(session);
  telemetry.send({ settings: consumerSettings });
  await telemetry.next();
  await call(session, "SendMessage", { messages: [message()] });
  const [got] = await stored(started, 1);
  const admin = client();
  const consumer = { consumerGroup: "G", clientId: "client-1" };
  const stack = admin.call(
    RequestCode.GET_CONSUMER_RUNNING_INFO,
    { ...consumer, jstackEnable: true },
    undefined,
    ANSWER_MS,
  );
  const { printThreadStackTraceCommand } = await telemetry.next();
  const { nonce } = printThreadStackTraceCommand;
  telemetry.send({ status: { code: 20000 }, threadStackTrace: { nonce, threadStackTrace: "main at line 1" } });
  expect((await stack).body.toString()).toContain("main at line 1");
  const fields = { ...consumer, msgId: got!.msgId, topic: "T", brokerName: broker.context.config.brokerName };
  const verdict = admin.call(RequestCode.CONSUME_MESSAGE_DIRECTLY, fields, undefined, ANSWER_MS);
  const { verifyMessageCommand } = await telemetry.next();
  expect(verifyMessageCommand.message.body.toString()).toBe("hello");
  telemetry.send({ status: { code: 60000 }, verifyMessageResult: { nonce: verifyMessageCommand.nonce } });
  expect((await verdict).body.toString()).toContain("CR_LATER");
});

test("progress is kept, asked for and found by time", async () => {
  const started = await withTopic();
  const { session } = started;
  await call(session, "SendMessage", { messages: [message(), message()] });
  await stored(started, 2);
  const messageQueue = { topic: TOPIC, id: 0 };
  expect((await call(session, "GetOffset", { group: GROUP, messageQueue })).status.code).toBe(40404);
  expect((await call(session, "UpdateOffset", { group: GROUP, messageQueue, offset: 2 })).status.code).toBe(20000);
  expect((await call(session, "GetOffset", { group: GROUP, messageQueue })).offset).toBe(2);
  expect((await call(session, "UpdateOffset", { group: GROUP, messageQueue, offset: -1 })).status.code).toBe(40019);
  expect((await call(session, "QueryOffset", { messageQueue, queryOffsetPolicy: 0 })).offset).toBe(0);
  expect((await call(session, "QueryOffset", { messageQueue, queryOffsetPolicy: 1 })).offset).toBe(2);
  const past = { messageQueue, queryOffsetPolicy: 2, timestamp: { seconds: 1, nanos: 0 } };
  expect((await call(session, "QueryOffset", past)).offset).toBe(0);
  expect((await call(session, "QueryOffset", { messageQueue, queryOffsetPolicy: 9 })).status.code).toBe(40000);
  const pull = { group: GROUP, messageQueue, offset: 1, batchSize: 8, filterExpression: { type: 1, expression: "*" } };
  const { messages } = await gather(open(session, "PullMessage"), "PullMessage", encoded("PullMessage", pull));
  expect(messages[0]!.status.code).toBe(20000);
  expect(messages[1]!.message.systemProperties.queueOffset).toBe(1);
  expect(messages.at(-1)!.nextOffset).toBe(2);
});

test("what is no request is refused as gRPC refuses it, and nothing is held for it", async () => {
  const { session, endpoint } = await withTopic();
  const send = (method: string, bytes: Buffer, headers = {}) => gather(open(session, method, headers), method, bytes);
  expect(await send("SendMessage", Buffer.from([0, 0, 0, 0, 3, 0xff, 0xff, 0xff]))).toMatchObject({ grpcStatus: 2 });
  expect(await send("SendMessage", Buffer.from([0, 0, 0, 0, 9, 1]))).toMatchObject({ grpcStatus: 13 });
  expect(await send("SendMessage", Buffer.alloc(0))).toMatchObject({ grpcStatus: 13 });
  expect(await send("SendMessage", Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]))).toMatchObject({ grpcStatus: 8 });
  expect(await send("Nothing", Buffer.alloc(5))).toMatchObject({ httpStatus: 200, grpcStatus: 12 });
  expect(await send("SendMessage", Buffer.alloc(5), { "content-type": "text/plain" })).toMatchObject({
    httpStatus: 415,
    grpcStatus: 13,
  });
  expect(await send("SendMessage", Buffer.alloc(5), { "grpc-encoding": "zstd" })).toMatchObject({ grpcStatus: 12 });
  const strange = { group: GROUP, clientType: 77 };
  expect((await call(session, "Heartbeat", strange)).status.code).toBe(40015);
  const lite = await call(session, "SyncLiteSubscription", { topic: TOPIC, group: GROUP });
  expect(lite.status).toMatchObject({ code: -12, message: expect.stringMatching(/unimplemented/) });
  expect(endpoint.counts).toMatchObject({ connections: 1, clients: 0, receipts: 0, transactions: 0 });
});

test("a client that vanishes leaves no connection behind", async () => {
  const { session, endpoint } = await withTopic();
  const telemetry = new Telemetry(session);
  telemetry.send({ settings: consumerSettings });
  await telemetry.next();
  session.destroy();
  await eventually(() => endpoint.counts.connections === 0);
});

test("TLS and plain text come in by one port, and strangers are told what it is", async () => {
  const { endpoint } = await withTopic();
  for (const scheme of ["http", "https"]) {
    const session = connectTo(endpoint, scheme);
    expect((await call(session, "QueryRoute", { topic: TOPIC })).status.code).toBe(20000);
  }
  const answered = (bytes: string) =>
    new Promise<string>((resolve) => {
      let text = "";
      const socket = net.connect(endpoint.port, "127.0.0.1", () => socket.write(bytes));
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("error", () => {});
      socket.on("close", () => resolve(text));
    });
  expect(await answered("GET / HTTP/1.1\r\n\r\n")).toMatch(/^HTTP\/1.1 400 .*gRPC/s);
  expect(await answered("\0\0\0\x10\0\0\0\0")).toBe("");
});

test("a deadline of centuries is none", async () => {
  const { session } = await withTopic();
  const telemetry = new Telemetry(session, { "grpc-timeout": "2562047H" });
  telemetry.send({ settings: producerSettings });
  await telemetry.next();
  telemetry.send({ settings: producerSettings });
  expect((await telemetry.next()).status.code).toBe(20000);
});

async function consumer(config: Partial<BrokerConfig> = {}, clientType: number = ClientType.SIMPLE_CONSUMER) {
  const started = await startEndpoint({ config: { enablePropertyFilter: true, ...config } });
  addTopic(started, "T", "NORMAL");
  const session = connectTo(started.endpoint);
  const telemetry = new Telemetry(session);
  const subscription = { group: GROUP, subscriptions: [{ topic: TOPIC, expression: { type: 1, expression: "*" } }] };
  telemetry.send({ settings: { clientType, subscription, requestTimeout: { seconds: 3, nanos: 0 } } });
  await telemetry.next();
  return { ...started, session, telemetry };
}

const MINUTE = { seconds: 60, nanos: 0 };

function receiveRequest(changes: object = {}) {
  const filterExpression = { type: 1, expression: "*" };
  const messageQueue = { topic: TOPIC, id: -1, broker: { name: "broker-t", id: 0 } };
  return { group: GROUP, messageQueue, filterExpression, batchSize: 8, invisibleDuration: MINUTE, ...changes };
}

async function receive(session: ClientHttp2Session, changes: object = {}, headers: Record<string, string> = {}) {
  const bytes = encoded("ReceiveMessage", receiveRequest(changes));
  const { messages } = await gather(open(session, "ReceiveMessage", headers), "ReceiveMessage", bytes);
  const status = messages.find(({ status: found }) => found !== null)!.status;
  return { status, got: messages.filter(({ message: found }) => found !== null).map(({ message: found }) => found) };
}

test("a message is received, kept, prolonged and acknowledged", async () => {
  const { session } = await consumer();
  const sent = message({ systemProperties: { tag: "A" }, userProperties: { a: "1" } });
  await call(session, "SendMessage", { messages: [sent] });
  const { status, got } = await receive(session);
  expect(status.code).toBe(20000);
  const [first] = got;
  expect(first.body.toString()).toBe("hello");
  expect(first.userProperties).toEqual({ a: "1" });
  const { messageId } = sent.systemProperties;
  expect(first.systemProperties).toMatchObject({ messageId, tag: "A", deliveryAttempt: 1, messageType: 1 });
  expect(first.systemProperties.bodyDigest).toMatchObject({ type: 2, checksum: "5D41402ABC4B2A76B9719D911017C592" });
  const { receiptHandle } = first.systemProperties;
  const one = { group: GROUP, topic: TOPIC, messageId };
  const change = await call(session, "ChangeInvisibleDuration", { ...one, receiptHandle, invisibleDuration: MINUTE });
  expect(change.status.code).toBe(20000);
  expect(change.receiptHandle).not.toBe(receiptHandle);
  const ack = (handle: string) => ({ group: GROUP, topic: TOPIC, entries: [{ messageId, receiptHandle: handle }] });
  expect((await call(session, "AckMessage", ack(change.receiptHandle))).entries[0].status.code).toBe(20000);
  const late = { ...one, receiptHandle: change.receiptHandle, invisibleDuration: MINUTE };
  expect((await call(session, "ChangeInvisibleDuration", late)).status).toMatchObject({
    code: 40013,
    message: expect.stringContaining("is acknowledged"),
  });
  expect((await call(session, "AckMessage", ack("no handle"))).status.code).toBe(40013);
  expect((await call(session, "AckMessage", { ...ack(""), entries: [] })).status.code).toBe(50001);
  const long = { ...one, receiptHandle, invisibleDuration: { seconds: 43_201, nanos: 0 } };
  expect((await call(session, "ChangeInvisibleDuration", long)).status.code).toBe(40011);
});

test("a receive that can not be is refused", async () => {
  const { session } = await consumer();
  const codeOf = async (changes: object, headers?: Record<string, string>) =>
    (await receive(session, changes, headers)).status.code;
  expect(await codeOf({ invisibleDuration: { seconds: 9, nanos: 0 } })).toBe(40011);
  expect(await codeOf({ invisibleDuration: { seconds: 43_201, nanos: 0 } })).toBe(40011);
  expect(await codeOf({ filterExpression: { type: 2, expression: "" } })).toBe(40010);
  expect(await codeOf({ group: { name: "a b" } })).toBe(40003);
  expect(await codeOf({}, { "grpc-timeout": "2S" })).toBe(40018);
  expect(await codeOf({}, { "grpc-timeout": "2S", "x-mq-client-version": "5.0.2" })).toBe(40000);
  expect(await codeOf({}, { "x-mq-client-id": "unknown" })).toBe(40015);
  expect(await codeOf({}, { "x-mq-client-id": "" })).toBe(40017);
});

test("a filter is given what lies far behind what it does not let through", async () => {
  const { session } = await consumer();
  const of = (a: string) => message({ userProperties: { a } });
  for (let i = 0; i < 4; i++)
    await call(session, "SendMessage", { messages: Array.from({ length: 50 }, () => of("1")) });
  await call(session, "SendMessage", { messages: [of("9")] });
  const { got } = await receive(session, { filterExpression: { type: 2, expression: "a > 4" } });
  expect(got.map(({ userProperties }) => userProperties.a)).toEqual(["9"]);
});

test("who has gone from a long poll gets nothing, and what a gone client had comes to others", async () => {
  const { session, endpoint, broker } = await consumer(
    { invisibleTimeMillisWhenClear: 1000 },
    ClientType.PUSH_CONSUMER,
  );
  const other = connectTo(endpoint);
  const poll = open(other, "ReceiveMessage");
  poll.end(encoded("ReceiveMessage", receiveRequest()));
  await call(other, "QueryRoute", { topic: TOPIC });
  other.destroy();
  await eventually(() => endpoint.counts.connections === 1);
  await call(session, "SendMessage", { messages: [message()] });
  const { got } = await receive(session, { autoRenew: true });
  expect(got).toHaveLength(1);
  expect(endpoint.counts.receipts).toBe(1);
  for (const member of broker.context.consumers.get("G")!.members.values()) member.connection.close();
  expect(endpoint.counts).toMatchObject({ clients: 0, receipts: 0 });
  const again = new Telemetry(session);
  again.send({ settings: consumerSettings });
  await again.next();
  const { got: second } = await receive(session);
  expect(second[0].systemProperties).toMatchObject({ deliveryAttempt: 2 });
});

test("what a client does not read is given to others, and nothing is kept for it when it goes", async () => {
  const { session, endpoint } = await consumer();
  const body = Buffer.alloc(600_000, "x");
  const sent = Array.from({ length: 6 }, () => message({ body }));
  for (const one of sent) await call(session, "SendMessage", { messages: [one] });
  const idle = connectTo(endpoint);
  const stream = open(idle, "ReceiveMessage");
  stream.end(encoded("ReceiveMessage", receiveRequest()));
  await new Promise<void>((resolve) => stream.once("response", () => resolve()));
  const ids = new Set<string>();
  for (;;) {
    const { got } = await receive(session);
    for (const { systemProperties } of got) ids.add(systemProperties.messageId);
    // Two are on their way to the client that does not read: more than that is not held for one stream.
    if (ids.size >= 4) break;
  }
  expect(ids.size).toBe(4);
  idle.destroy();
  await eventually(() => endpoint.counts.connections === 1);
  expect(endpoint.counts).toMatchObject({ clients: 1, receipts: 0 });
});
