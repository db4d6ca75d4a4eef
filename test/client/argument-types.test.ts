/** Arguments of other types than the declared ones, in plain JavaScript: each is refused by name, none from within. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { Admin } from "#src/client/admin.js";
import { LitePullConsumer } from "#src/client/lite-pull-consumer.js";
import { ProcessedKeys } from "#src/client/processed-keys.js";
import { Producer } from "#src/client/producer.js";
import { PushConsumer } from "#src/client/push-consumer.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { TransactionProducer } from "#src/client/transaction-producer.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { Broker } from "#src/mod.js";
import { MessageStore } from "#src/store/message-store.js";
import { emptyGetResult, type PutResult } from "#src/store/types.js";
import { TestBroker } from "#src/testing/test-broker.js";

/** As plain JavaScript sees it. */
type Call = (...given: unknown[]) => unknown;
/** What is called, with what, and what the error says. */
type Wrong = readonly [call: Call, given: readonly unknown[], says: string];

let broker: TestBroker;
let namesrvAddr: string;

beforeAll(async () => {
  broker = await TestBroker.start({ grpc: false, topics: ["T"] });
  namesrvAddr = broker.namesrvAddr;
});
afterAll(() => broker.close());

async function expectRefused(table: readonly Wrong[]): Promise<void> {
  for (const [call, given, says] of table) {
    const error: unknown = await Promise.resolve()
      .then(() => call(...given))
      .then(
        () => expect.fail(`taken, and not refused as: ${says}`),
        (reason: unknown) => reason,
      );
    expect(error, says).toBeInstanceOf(CometError);
    expect((error as CometError).message).toContain(says);
    expect((error as CometError).code).toMatch(/^COMETMQ_(CONFIG|BAD_MESSAGE)$/);
  }
}

const of = (object: object, name: string): Call => {
  const method = (object as Record<string, Call>)[name]!;
  return (...given) => method.apply(object, given);
};

const SIGNAL = { signal: 5 };
const ODD = Object.create(null) as object;

test("of a producer: nothing is sent", async () => {
  await using producer = await TransactionProducer.start({
    namesrvAddr,
    group: "P",
    checkTransaction: () => "unknown",
  });
  const message = { topic: "T", body: "x" };
  const send = of(producer, "send");
  const batch = of(producer, "sendBatch");
  const transact = of(producer, "sendInTransaction");
  const ofMessage = (name: string, value: unknown, says: string): Wrong => [
    send,
    [{ ...message, [name]: value }],
    says,
  ];
  await expectRefused([
    [send, [], "The message is undefined, no object with topic and body."],
    [send, ["T", "x"], 'The message is "T", no object'],
    [send, [{}], "undefined is no topic"],
    [send, [{ topic: ODD, body: "x" }], "an object is no topic"],
    [send, [{ topic: "T" }], "The body is undefined, neither a text nor bytes."],
    [send, [message, null], "The options of send are null, no object."],
    [send, [message, SIGNAL], "signal is 5, no AbortSignal."],
    [send, [message, { timeout: 5 }], 'send has no option "timeout"; the nearest is timeoutMs.'],
    [send, [message, { timeoutMs: "5" }], 'timeoutMs is "5", no number.'],
    [send, [message, { queue: {} }], "queue is an object, no queue"],
    [send, [message, { selectQueue: 5 }], "selectQueue is no function."],
    [of(producer, "sendOneway"), [null], "The message is null"],
    [of(producer, "request"), [message, { timeoutMs: Number.NaN }], "timeoutMs is NaN"],
    [of(producer, "publishQueues"), ["T", null], "The options of publishQueues are null"],
    [of(producer, "reply"), [{ properties: {} }, "x"], "This message asks for no reply."],
    [of(producer, "recall"), ["T", Symbol("x")], "This is no recall handle."],
    [batch, [message], "The messages are an object, no list."],
    [batch, [[message, undefined]], "The message is undefined"],
    [transact, [undefined, () => "commit"], "The message is undefined"],
    [transact, [message, () => "commit", null], "The options of sendInTransaction are null"],
    ofMessage("body", 5, "The body is 5"),
    ofMessage("tags", 5, "tags is 5: no text"),
    ofMessage("keys", 5, "keys is 5, no text"),
    ofMessage("keys", ["a", 5], "keys is a list of other things"),
    ofMessage("properties", "x", 'properties is "x", no object of texts.'),
    ofMessage("properties", { a: 5 }, 'The property "a" is 5: no text'),
    ofMessage("orderKey", 5, "orderKey is 5"),
    ofMessage("delayMs", 5n, "delayMs is 5n, not an integer"),
    ofMessage("flag", 2 ** 40, "flag is 1099511627776, no int32."),
    ofMessage("waitStoreMsgOk", "false", 'waitStoreMsgOk is "false", neither true nor false.'),
  ]);
  expect(broker.messages("T")).toEqual([]);
  expect(broker.messages("RMQ_SYS_TRANS_HALF_TOPIC")).toEqual([]);
});

test("of a start", async () => {
  const given = { namesrvAddr, group: "G", subscriptions: { T: "*" } };
  const push = (more: object): Wrong[0] => of(PushConsumer, "start").bind(null, { ...given, onMessage() {}, ...more });
  const produce = (more: object): Wrong[0] => of(Producer, "start").bind(null, { namesrvAddr, ...more });
  const lite = (more: object): Wrong[0] => of(LitePullConsumer, "start").bind(null, { ...given, ...more });
  const queues = { subscriptions: undefined, queues: [null] };
  const transact = { namesrvAddr, group: "P", checkTransaction() {}, topics: 5 };
  await expectRefused([
    [produce({ clock: {} }), [], "clock is an object without nowMs()."],
    [produce({ log: null }), [], "log is null without debug()."],
    [produce({ clientId: 5 }), [], "clientId is 5"],
    [produce({ failFast: "no" }), [], 'failFast is "no", neither true nor false.'],
    [produce({ compressLevel: "9" }), [], 'compressLevel is "9", no integer.'],
    [produce({}), [SIGNAL], "signal is 5, no AbortSignal."],
    [push({ orderly: "false" }), [], 'orderly is "false"'],
    [push({ allocateStrategy: "AVG" }), [], 'allocateStrategy is "AVG", no object with name and allocate.'],
    [push({ consumeFrom: { timestamp: "2024-01-01" } }), [], 'consumeFrom.timestamp is "2024-01-01"'],
    [push({ subscriptions: null }), [], "subscriptions is no object of topics"],
    [push({ offsetsDirectory: 5 }), [], "offsetsDirectory is 5"],
    [lite(queues), [], "One of queues is null, no queue"],
    [lite({ subscriptions: null }), [], "subscriptions is no object of topics"],
    [of(SimpleConsumer, "start"), [{ ...given, orderly: 1 }], "orderly is 1"],
    [of(TransactionProducer, "start"), [transact], "topics is 5, no list."],
    [of(ProcessedKeys, "open"), [undefined], "The database has no dialect"],
  ]);
});

test("of a consumer", async () => {
  const given = { namesrvAddr, group: "G", subscriptions: { T: "*" } };
  await using push = await PushConsumer.start({ ...given, group: "G1", onMessage() {} });
  await using lite = await LitePullConsumer.start(given);
  await using simple = await SimpleConsumer.start({ ...given, group: "G2", consumeFrom: "first" });
  await using own = await TestBroker.start({ grpc: false, topics: ["T"] });
  await using popper = await SimpleConsumer.start({ ...given, namesrvAddr: own.namesrvAddr, consumeFrom: "first" });
  await own.send("T", "x");
  const [popped] = await popper.receive();
  await expectRefused([
    [of(push, "subscribe"), [], "undefined is no topic"],
    [of(push, "subscribe"), ["T", 5], "The filter of T is neither tags nor { sql }."],
    [of(push, "subscribe"), ["T", "*", null], "The options of subscribe are null"],
    [of(push, "unsubscribe"), [ODD], "an object is no topic"],
    [of(push, "unsubscribe"), ["T", SIGNAL], "signal is 5"],
    [of(lite, "poll"), [null], "The options of poll are null"],
    [of(lite, "poll"), [5000], "The options of poll are 5000"],
    [of(lite, "poll"), [{ timeoutMs: 1n }], "timeoutMs is 1n"],
    [of(lite, "commit"), [null], "The options of commit are null"],
    [of(lite, "seek"), [undefined, 0], "queue is undefined, no queue"],
    [of(lite, "seek"), [lite.assignment[0]], "offset is NaN"],
    [() => lite.messages(SIGNAL as never).next(), [], "signal is 5"],
    [of(simple, "receive"), [null], "The options of receive are null"],
    [of(simple, "receive"), [{ waitMs: 5n }], "waitMs is 5n"],
    [() => simple.messages(null as never).next(), [], "The options of messages are null"],
    [of(popped!, "changeInvisible"), [], "invisibleMs is NaN"],
    [of(popped!, "ack"), [null], "The options of ack are null"],
  ]);
});

test("of administration", async () => {
  await using admin = await Admin.start({ namesrvAddr });
  const [queue] = await admin.queues("T");
  await expectRefused([
    [of(admin, "brokers"), [null], "The options of brokers are null"],
    [of(admin, "topics"), [SIGNAL], "signal is 5"],
    [of(admin, "topicRoute"), [], "undefined is no topic"],
    [of(admin, "createTopic"), ["T", { readQueueNums: "4" }], 'readQueueNums is "4"'],
    [of(admin, "createTopic"), ["T", {}, { brokerNames: "b" }], 'brokerNames is "b", no list.'],
    [of(admin, "createTopic"), ["T", { attributes: "x" }], 'attributes is "x", no object of texts.'],
    [of(admin, "createGroup"), ["G", { retryMaxTimes: 5n }], "retryMaxTimes is 5n"],
    [of(admin, "deleteGroup"), ["G", { removeOffsets: "no" }], 'removeOffsets is "no"'],
    [of(admin, "maxOffset"), [], "queue is undefined, no queue"],
    [of(admin, "searchOffset"), [queue, "now"], 'time is "now"'],
    [of(admin, "commitOffset"), ["G", queue, "5"], 'offset is "5"'],
    [of(admin, "resetOffset"), ["G", "T"], "time is undefined"],
    [of(admin, "viewMessage"), [5], "5 is no offset message id."],
    [of(admin, "queryByKey"), ["T"], "The key of a query is undefined"],
    [of(admin, "queryByKey"), ["T", "k", { begin: "today" }], 'begin is "today"'],
  ]);
  // Undefined is not given, and what one call takes besides is no trouble to those that it is made of.
  await admin.createTopic("T", {}, { brokerNames: ["broker-test"], timeoutMs: undefined });
  expect(await admin.queryByKey("T", "k", { maxCount: 1, begin: new Date(0) })).toEqual([]);
});

test("of brokers, in production and for tests", async () => {
  const start = (more: object): Call => of(Broker, "start").bind(null, { dataDir: "/none", port: 0, ...more });
  const test = (more: object): Call => of(TestBroker, "start").bind(null, { grpc: false, ...more });
  await expectRefused([
    [start({ namesrvPort: "9876" }), [], 'namesrvPort is "9876", no port'],
    [start({ port: {} }), [], "port is an object, no port"],
    [start({ host: ODD }), [], "host is an object"],
    [start({ clock: 5 }), [], "clock is 5 without nowMs()."],
    [start({ log: "info" }), [], 'log is "info" without debug().'],
    [start({ disk: {} }), [], "disk is an object, no Disk."],
    [test({ topics: [5] }), [], "name is 5, no topic's name."],
    [test({ topics: null }), [], "topics is null"],
    [test({ clock: 5 }), [], "clock is 5"],
    [of(broker, "createTopic"), [], "name is undefined"],
    [of(broker, "send"), ["T"], "body is undefined"],
    [of(broker, "send"), ["T", "x", { delay: 5 }], "the nearest is delayMs"],
  ]);
});

test("of a store, which goes on", async () => {
  await using store = await MessageStore.open({ directory: "/store", disk: new MemoryDisk() });
  const queue = store.queue("T", 0);
  const host = Buffer.alloc(8);
  const empty = Buffer.alloc(0);
  const message = {
    queue,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: 0,
    bornHost: host,
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from("x"),
    bodyStart: 0,
    bodyLength: 1,
    properties: empty,
    propertiesStart: 0,
    propertiesLength: 0,
  };
  const result = {} as PutResult;
  const [put, get] = [of(store, "put"), of(store, "get")];
  const limits = { maxCount: 1, maxBytes: 1 };
  await expectRefused([
    [put, [], "message is undefined, no message to append."],
    [put, ["x", result], 'message is "x"'],
    [put, [{ ...message, queue: 0 }, result], "queue is 0, no handle of store.queue()."],
    [put, [{ queue, body: message.body }, result], "bornHost is undefined, no Buffer."],
    [put, [{ ...message, flag: 5n }, result], "message is an object, with something else than a number"],
    [put, [message], "result is undefined, no object to fill in."],
    [of(store, "putBatch"), [message, result], "messages is an object, no list."],
    [of(store, "putBatch"), [[message, null], result], "message is null"],
    [get, [queue, 0, limits], "limits or result is no object"],
    [get, [undefined, 0, limits, undefined, emptyGetResult()], "queue is undefined, no handle"],
    [of(store, "maxOffset"), [null], "queue is null, no handle"],
    [() => store.tail(queue, SIGNAL as never).next(), [], "signal is 5"],
    [() => store.tail(queue, null as never).next(), [], "The options of tail are null"],
    [of(store, "queue"), [ODD, 0], "topic: an object cannot name a directory"],
  ]);
  expect(store.failure).toBeUndefined();
  expect(store.put(message, result)).toBe(0);
});
