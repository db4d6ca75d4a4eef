/** What `cometmq/testing` promises: brokers of a moment, time by hand, nothing left behind. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { PushConsumer } from "#src/client/push-consumer.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { TransactionProducer as TransactionClient } from "#src/client/transaction-producer.js";
import { TestBroker, TestClock } from "#src/testing/mod.js";
import { ANSWER_MS, bodiesOf, clientOf, closeAll, onCloseAll, properties, pull, send } from "../server/harness.js";
import { acked, bodies, pop, popped, poppedOf } from "../server/pop-harness.js";
import { TransactionProducer } from "../server/transaction-producer.js";

afterEach(closeAll);

async function started(options: Parameters<typeof TestBroker.start>[0] = {}) {
  const broker = await TestBroker.start({ topics: { T: { queues: 1 } }, ...options });
  onCloseAll(() => broker.close());
  return { broker, client: clientOf(broker.server.port) };
}

/** Moves time on, a second at a time, until clients have done what they do in response. */
async function untilMoved(broker: TestBroker, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + ANSWER_MS;
  while (!condition()) {
    if (performance.now() > deadline) expect.fail(`not in time: ${condition}`);
    await broker.advance("1s");
  }
}

const texts = (broker: TestBroker, topic: string) => broker.messages(topic).map(({ body }) => body.toString());

test("many brokers side by side share nothing", async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => started()));
  await Promise.all(all.map(({ client }, i) => send(client, {}, `message ${i}`)));
  expect(all.map(({ broker }) => texts(broker, "T"))).toEqual(all.map((_, i) => [`message ${i}`]));
  const addresses = all.flatMap(({ broker }) => [broker.namesrvAddr, broker.server.brokerAddr, broker.endpoints]);
  expect(new Set(addresses).size).toBe(60);
});

async function routeOf({ server }: TestBroker, topic: string): Promise<string> {
  const client = clientOf(server.nameServer!.port);
  const { body } = await client.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic }, undefined, ANSWER_MS);
  return body.toString();
}

test("topics are there as asked for, with their type", async () => {
  const { broker } = await started({ topics: { orders: { queues: 3, type: "FIFO" } } });
  const { topics } = broker.server.broker.context;
  const { readQueueNums, writeQueueNums, attributes } = topics.get("orders")!;
  expect([readQueueNums, writeQueueNums, attributes.get("message.type")]).toEqual([3, 3, "FIFO"]);
  expect(await routeOf(broker, "orders")).toContain(broker.server.brokerAddr);
  await expect(TestBroker.start({ topics: ["no/name"] })).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });
  expect(() => broker.createTopic("T", { queues: 100_000 })).toThrow("out of range");
});

test("a delayed message comes when its time does, by level and to the second", async () => {
  const { broker, client } = await started();
  await send(client, { properties: properties({ DELAY: "4" }) }, "level 4");
  await send(client, { properties: properties({ TIMER_DELAY_SEC: "3600" }) }, "in an hour");
  await broker.advance("29s");
  expect(texts(broker, "T")).toEqual([]);
  await broker.advance("2s");
  expect(texts(broker, "T")).toEqual(["level 4"]);
  await broker.advance("59m");
  expect(texts(broker, "T")).toEqual(["level 4"]);
  await broker.advance("1m");
  expect(texts(broker, "T")).toEqual(["level 4", "in an hour"]);
});

test("a retry comes without waiting, and after the last one the dead letter", async () => {
  const { broker, client } = await started();
  await send(client, {}, "hard");
  const sendBack = (offset: number) => {
    const fields = { group: "G", originTopic: "T", offset, delayLevel: 3, originMsgId: "M", maxReconsumeTimes: 1 };
    return client.call(RequestCode.CONSUMER_SEND_MSG_BACK, fields, undefined, ANSWER_MS);
  };
  expect((await sendBack(broker.messages("T")[0]!.phyOffset)).code).toBe(ResponseCode.SUCCESS);
  expect(broker.messages("%RETRY%G")).toEqual([]);
  await broker.advance("11s");
  expect(broker.messages("%RETRY%G").map(({ reconsumeTimes }) => reconsumeTimes)).toEqual([1]);
  await sendBack(broker.messages("%RETRY%G")[0]!.phyOffset);
  expect(texts(broker, "%DLQ%G")).toEqual(["hard"]);
});

test("a transaction is asked about when its time comes, and then committed", async () => {
  const { broker } = await started();
  const producer = await TransactionProducer.join(broker.server.port, "P", new Map([["paid", 8]]));
  onCloseAll(() => producer.close());
  await producer.sendHalf("T", "paid");
  expect(producer.asked).toEqual([]);
  for (let i = 0; i < 20 && texts(broker, "T").length === 0; i++) await broker.advance("30s");
  expect([producer.asked, texts(broker, "T")]).toEqual([["paid"], ["paid"]]);
});

test("a popped message that is not acknowledged comes back when its lease ends", async () => {
  const { broker, client } = await started({ config: { brokerName: "broker-t" } });
  await send(client, { properties: properties({ UNIQ_KEY: "k" }) }, "again");
  const [first] = await popped(client, { invisibleTime: 30_000 });
  expect(first!.body).toBe("again");
  expect(await popped(client)).toEqual([]);
  await broker.advance("31s");
  let again = await popped(client);
  for (let i = 0; i < 5 && again.length === 0; i++) {
    await broker.advance("5s");
    again = await popped(client);
  }
  expect(bodies(again)).toEqual(["again"]);
  await acked(client, ...again);
  await broker.advance("1h");
  expect(await popped(client)).toEqual([]);
});

test("who waits for messages is answered when time brings one, or when the wait is over", async () => {
  const { broker, client } = await started();
  await send(client, { properties: properties({ DELAY: "1" }) }, "soon");
  const answer = pop(client, { pollTime: 20_000, bornTime: broker.clock.nowMs() });
  await broker.advance("2s");
  expect(bodies(poppedOf(await answer))).toEqual(["soon"]);
  const waiting = pull(client, { queueOffset: 1, sysFlag: 6, suspendTimeoutMillis: 15_000 });
  await pull(client);
  await broker.advance("16s");
  expect((await waiting).code).toBe(ResponseCode.PULL_NOT_FOUND);
  expect(bodiesOf(await pull(client))).toEqual(["soon"]);
});

test("with cometmq/client: a retry, and a transaction that nobody ended, without waiting", async () => {
  const hooks: string[] = [];
  const { broker } = await started({
    hooks: {
      onSend: ({ topic, body }) => void hooks.push(`send ${topic} ${body}`),
      onSent: ({ topic }, { code }) => void hooks.push(`sent ${topic} ${code}`),
      onConsume: ({ consumerGroup }) => void hooks.push(`consume ${consumerGroup}`),
      onConsumed: ({ consumerGroup }, { messages }) => void hooks.push(`${consumerGroup} got ${messages.length}`),
    },
  });
  const { namesrvAddr } = broker;
  const got: [string, number][] = [];
  const consumer = await PushConsumer.start({
    namesrvAddr,
    group: "G",
    subscriptions: { T: "*" },
    consumeFrom: "first",
    onMessage: (message) => {
      got.push([message.text(), message.reconsumeTimes]);
      if (message.reconsumeTimes < 2) throw new Error("on purpose");
    },
  });
  onCloseAll(() => consumer.close());
  const checkTransaction = () => "commit" as const;
  const producer = await TransactionClient.start({ namesrvAddr, group: "P", checkTransaction });
  onCloseAll(() => producer.close());
  await producer.sendInTransaction({ topic: "T", body: "paid" }, () => "unknown");
  await untilMoved(broker, () => got.length >= 3);
  expect(got).toEqual([0, 1, 2].map((times) => ["paid", times]));
  // By the clock of the test: a check after 6 s or later, retries after 10 s and 30 s.
  expect(broker.clock.monotonicMs()).toBeGreaterThan(46_000);
  expect(hooks).toEqual(expect.arrayContaining(["send T paid", "sent T 0", "consume G", "G got 1"]));
});

test("brokers can share a clock", async () => {
  const clock = new TestClock(1_000_000_000_000);
  const pair = [await started({ clock }), await started({ clock })];
  for (const { client } of pair) await send(client, { properties: properties({ DELAY: "2" }) }, "five");
  await clock.advance("6s");
  expect(pair.map(({ broker }) => texts(broker, "T"))).toEqual([["five"], ["five"]]);
  expect(clock.nowMs()).toBe(1_000_000_006_000);
  expect(() => clock.advance("soon")).toThrow(RangeError);
  expect(() => clock.advance(-1)).toThrow(RangeError);
});

test("the clock goes from one due time to the next; upkeep runs once for all that was leapt over", async () => {
  const clock = new TestClock(0);
  const ran: string[] = [];
  const each = (name: string, everyMs: number, lazily: Parameters<TestClock["schedule"]>[2]): void => {
    const round = () => {
      ran.push(`${name} ${clock.nowMs()}`);
      clock.schedule(everyMs, round, lazily);
    };
    clock.schedule(everyMs, round, lazily);
  };
  each("upkeep", 1000, true);
  each("check", 86_400_000, false);
  let isIdle = true;
  each("asks", 40_000_000, () => isIdle);
  clock.schedule(
    10_000,
    () => void Promise.resolve().then(() => clock.schedule(5, () => ran.push(`${clock.nowMs()}`))),
  );
  await clock.advance("2d");
  expect(ran).toEqual([
    "upkeep 10000",
    "10005",
    "upkeep 86400000",
    "asks 86400000",
    "check 86400000",
    "upkeep 172800000",
    "asks 172800000",
    "check 172800000",
  ]);
  await clock.advance(500);
  await clock.advance(600);
  expect(ran.slice(8)).toEqual(["upkeep 172801100"]);
  isIdle = false;
  await clock.advance("40000s");
  expect(ran.slice(9)).toEqual(["upkeep 212800000", "asks 212800000", "upkeep 212801100"]);
});

test("a broker stands a fortnight at once, and goes on by its clock", async () => {
  const { broker } = await started();
  await broker.advance("14d");
  await broker.send("T", "late", { delayMs: 3000 });
  await broker.advance("2s");
  expect(texts(broker, "T")).toEqual([]);
  await broker.advance("1s");
  expect(texts(broker, "T")).toEqual(["late"]);
});

test("a year goes by from one due time to the next, not in steps", async () => {
  let tasks = 0;
  class CountingClock extends TestClock {
    override schedule(...given: Parameters<TestClock["schedule"]>) {
      tasks++;
      return super.schedule(...given);
    }
  }
  const clock = new CountingClock();
  const { broker } = await started({ clock });
  const day = 86_400_000;
  await broker.send("T", "in 300 days", { delayMs: 300 * day });
  await broker.send("T", "in 20 days", { delayMs: 20 * day });
  await broker.send("T", "in two hours", { properties: { DELAY: "18" } });
  await broker.send("T", "half", { properties: { TRAN_MSG: "true", PGROUP: "P", UNIQ_KEY: "1" } });
  const startMs = clock.nowMs();
  await broker.advance("365d");
  const stored = broker.messages("T").map(({ body, storeTimestamp }) => [`${body}`, storeTimestamp - startMs]);
  expect(stored).toEqual([
    ["in two hours", day / 12],
    ["in 20 days", 20 * day],
    ["in 300 days", 300 * day],
  ]);
  expect(broker.messages("TRANS_CHECK_MAX_TIME_TOPIC")).toHaveLength(1);
  // A step of 5 s takes millions; what is left are a look a day, rolls, and upkeep that goes along.
  expect(tasks).toBeLessThan(10_000);
  expect(await routeOf(broker, "T")).toContain(broker.server.brokerAddr);
});

test("nothing is left behind: the process ends by itself, and there is no file", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-testing-"));
  onCloseAll(() => rmSync(directory, { recursive: true }));
  const program = `
    import { connect } from "node:net";
    import { TestBroker } from ${JSON.stringify(import.meta.resolve("#src/testing/mod.js"))};
    const brokers = await Promise.all([1, 2, 3].map(() => TestBroker.start({ topics: ["T"] })));
    await brokers[0].advance("1d");
    await brokers[0].close();
    for (const broker of brokers) await broker.close();
    const socket = connect(Number(brokers[2].server.brokerAddr.split(":")[1]), "127.0.0.1");
    socket.on("error", ({ code }) => process.stdout.write(code));
  `;
  const run = promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], {
    cwd: directory,
    env: { ...process.env, HOME: directory, TMPDIR: directory },
    timeout: ANSWER_MS,
  });
  expect((await run).stdout).toBe("ECONNREFUSED");
  expect(readdirSync(directory)).toEqual([]);
});

test("a simple consumer, whose clock is another one, gets what is there, and later what it puts off", async () => {
  const { broker } = await started();
  await broker.send("T", "job");
  const options = { namesrvAddr: broker.namesrvAddr, group: "G", subscriptions: { T: "*" }, invisibleMs: 30_000 };
  const consumer = await SimpleConsumer.start({ ...options, consumeFrom: "first" });
  onCloseAll(() => consumer.close());
  const [popped] = await consumer.receive();
  expect(popped?.message.text()).toBe("job");
  await popped!.changeInvisible(60_000);
  expect(popped!.visibleAgainMs - Date.now()).toBeGreaterThan(30_000);
  await broker.advance("61s");
  const [again] = await consumer.receive();
  expect([again?.message.text(), again?.message.reconsumeTimes]).toEqual(["job", 1]);
  await again!.ack();
});

test("each entry of the package is a few files, and they share their classes", async () => {
  const root = join(import.meta.dirname, "..", "..");
  const script = `
    const entries = ["cometmq", "cometmq/store", "cometmq/client", "cometmq/testing"];
    const modules = await Promise.all(entries.map((entry) => import(entry)));
    const { TestBroker } = modules[3];
    const error = await TestBroker.start({ topics: ["no/name"] }).catch((error) => error);
    const files = entries.map((entry) => import.meta.resolve(entry));
    process.stdout.write(JSON.stringify([files, error instanceof modules[0].CometError, error.code]));`;
  const run = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], { cwd: root });
  const [files, isOfAll, code] = JSON.parse((await run).stdout) as [string[], boolean, string];
  expect([isOfAll, code]).toEqual([true, "COMETMQ_CONFIG"]);
  for (const file of files) expect(closureOf(new URL(file)).size).toBeLessThan(20);
});

/** The files that importing `file` opens, packages aside. */
function closureOf(file: URL, known = new Set<string>()): Set<string> {
  if (known.has(file.href)) return known;
  known.add(file.href);
  for (const [, path] of readFileSync(file, "utf8").matchAll(/^import [^"]*"(\.[^"]+)"/gm)) {
    closureOf(new URL(path!, file), known);
  }
  return known;
}
