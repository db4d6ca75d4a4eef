/** Options that are misspelt, in JavaScript that no compiler has seen: refused by name, before anything is made. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import { ConfigError } from "#src/client/errors.js";
import { LitePullConsumer } from "#src/client/lite-pull-consumer.js";
import { ProcessedKeys } from "#src/client/processed-keys.js";
import { Producer } from "#src/client/producer.js";
import { PushConsumer } from "#src/client/push-consumer.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { TransactionProducer } from "#src/client/transaction-producer.js";
import { NameServer, Broker } from "#src/mod.js";
import { MessageStore } from "#src/store/message-store.js";
import { TestBroker } from "#src/testing/mod.js";
import { temporaryDirectory } from "../server/harness.js";

/** As plain JavaScript sees it. */
type Start = (...given: unknown[]) => Promise<unknown>;

const given = { namesrvAddr: "127.0.0.1:1", group: "G", subscriptions: { T: "*" }, onMessage() {} };
const { onMessage: _, ...pulled } = given;
const { group, namesrvAddr } = given;

async function refusal(starting: Promise<unknown>): Promise<Error & { code?: string }> {
  return starting.then(
    () => expect.fail("it started"),
    (error: Error) => error,
  );
}

const CLIENTS: [string, Start, object, string, string][] = [
  ["Producer.start", Producer.start.bind(Producer) as Start, { namesrvAddr, group }, "maxMesageSize", "maxMessageSize"],
  ["PushConsumer.start", PushConsumer.start.bind(PushConsumer) as Start, given, "ordered", "orderly"],
  [
    "LitePullConsumer.start",
    LitePullConsumer.start.bind(LitePullConsumer) as Start,
    pulled,
    "autocommit",
    "autoCommit",
  ],
  ["SimpleConsumer.start", SimpleConsumer.start.bind(SimpleConsumer) as Start, pulled, "invisibleMS", "invisibleMs"],
  ["Admin.start", Admin.start.bind(Admin) as Start, { namesrvAddr }, "nameSpace", "namespace"],
  [
    "TransactionProducer.start",
    TransactionProducer.start.bind(TransactionProducer) as Start,
    { namesrvAddr, group, checkTransaction: () => "commit" },
    "topic",
    "topics",
  ],
];

test.each(CLIENTS)("%s refuses an option that nobody would look at", async (where, start, options, slip, meant) => {
  const error = await refusal(start({ ...options, [slip]: 1 }));
  expect(error).toBeInstanceOf(ConfigError);
  expect(error.message).toMatch(`${where} has no option "${slip}"; the nearest is ${meant}.`);
  // What the second argument has may stand in it alone.
  expect((await refusal(start(options, { signl: 1 }))).message).toContain('no option "signl"; the nearest is signal.');
  expect((await refusal(start())).message).toContain(`${where} needs an object of options.`);
  const tls = { authserver: true };
  expect((await refusal(start({ ...options, tls }))).message).toContain("the nearest is authServer");
});

test("what is of another kind than an option's is named, too", async () => {
  const push = PushConsumer.start.bind(PushConsumer) as Start;
  const produce = Producer.start.bind(Producer) as Start;
  for (const [starting, why] of [
    [push({ ...given, subscriptions: ["T"] }), "subscriptions is no object of topics"],
    [push({ ...given, subscriptions: "T" }), "subscriptions is no object of topics"],
    [push({ ...given, subscriptions: { T: null } }), "The filter of T is neither tags nor { sql }"],
    [push({ ...given, onMessage: "log" }), "onMessage is no function"],
    [produce({ namesrvAddr: 9876 }), "namesrvAddr is neither text nor a list of texts"],
    [produce({ namesrvAddr: [9876] }), "namesrvAddr is neither text nor a list of texts"],
  ] as const) {
    const error = await refusal(starting);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain(why);
  }
});

test("calls that cannot be, before anything is sent", async () => {
  await using broker = await TestBroker.start({ topics: ["T"], grpc: false });
  const options = { namesrvAddr: broker.namesrvAddr, group };
  await using producer = await TransactionProducer.start({ ...options, checkTransaction: () => "commit" });
  const send = producer.sendInTransaction.bind(producer) as Start;
  expect((await refusal(send({ topic: "T", body: "x" }))).message).toContain("The transaction is no function.");
  expect(broker.messages("RMQ_SYS_TRANS_HALF_TOPIC")).toEqual([]);
  await expect((producer.reply as Start)({}, "x")).rejects.toThrow("This message asks for no reply.");
  await expect((producer.recall as Start)("T")).rejects.toThrow("This is no recall handle.");
  await using consumer = await LitePullConsumer.start({ ...options, subscriptions: { T: "*" } });
  await expect(consumer.poll({ maxCount: 0 })).rejects.toThrow("maxCount is 0");
});

test("a name that is like none is answered with all; one that is set to undefined is not given", async () => {
  const start = Admin.start as Start;
  const { message } = await refusal(start.call(Admin, { namesrvAddr, zzz: 1 }));
  expect(message).toContain('Admin.start has no option "zzz"; its options are namesrvAddr, clientId, ');
  const admin = await Admin.start({ namesrvAddr, ...{ zzz: undefined } });
  const create = admin.createTopic.bind(admin) as Start;
  expect((await refusal(create("T", { readQueueNum: 1 }))).message).toContain("the nearest is readQueueNums");
  await admin.close();
});

test("brokers, stores and name servers refuse them before they make anything", async () => {
  const directory = join(temporaryDirectory(), "none");
  const starts: [Start, object, string, string][] = [
    [Broker.start.bind(Broker) as Start, { dataDir: directory, port: 0 }, "namesrvport", "namesrvPort"],
    [MessageStore.open.bind(MessageStore) as Start, { directory }, "flushDisktype", "flushDiskType"],
    [TestBroker.start.bind(TestBroker) as Start, {}, "topic", "topics"],
    [TestBroker.start.bind(TestBroker) as Start, { topics: { T: { queue: 1 } } }, "", "queues"],
    [NameServer.start.bind(NameServer) as Start, { port: 0 }, "idleMax", "idleMsMax"],
    [ProcessedKeys.open.bind(ProcessedKeys, { dialect: "sqlite" } as never) as Start, {}, "keepDays", "keepMs"],
  ];
  for (const [start, options, slip, meant] of starts) {
    const error = await refusal(start({ ...options, ...(slip !== "" && { [slip]: 1 }) }));
    expect(error).toMatchObject({
      code: "COMETMQ_CONFIG",
      message: expect.stringContaining(`the nearest is ${meant}.`),
    });
  }
  expect(existsSync(directory)).toBe(false);
});
