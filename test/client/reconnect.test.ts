/** Connections that end or go silent, brokers and name servers that are dead, in front of whatever server there is. */
import { createServer } from "node:net";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { allocateByMachineRoom } from "#src/client/allocate.js";
import { TimeoutError } from "#src/client/errors.js";
import { SimpleConsumer } from "#src/client/simple-consumer.js";
import { closeAll, onCloseAll } from "../server/harness.js";
import { AS_USER, consumerOf, createTopic, freshName, PATIENCE_MS, producerOf, startServer, until } from "./harness.js";
import { startRelayedNameServer } from "./relay.js";

let namesrvAddr: string;

beforeAll(async () => {
  namesrvAddr = await startServer();
});
afterAll(closeAll);

async function silentServer(): Promise<string> {
  const server = createServer((socket) => void socket.on("error", () => {}).resume()).listen(0, "127.0.0.1");
  await once(server, "listening");
  onCloseAll(() => void server.close());
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

test("connections that are cut: nothing is lost, on either side", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const { address, relays } = await startRelayedNameServer(namesrvAddr);
  const got = new Set<string>();
  await consumerOf({
    namesrvAddr: address,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.add(message.text()),
  });
  const producer = await producerOf({ namesrvAddr: address, group: freshName("P"), sendMsgTimeout: PATIENCE_MS });
  const sends: Promise<unknown>[] = [];
  for (let i = 0; i < 60; i++) {
    sends.push(producer.send({ topic, body: String(i) }));
    if (i % 20 !== 10) continue;
    await sends.at(-1);
    for (const relay of relays.values()) relay.cut();
  }
  await Promise.all(sends);
  await until(() => got.size === 60);
});

const LONG = process.env.COMETMQ_CLIENT_SUITE === undefined && "it takes seconds; npm run test:client has it";
if (LONG !== false) process.stdout.write(`skipped: a connection that goes silent (${LONG})\n`);

test.skipIf(LONG)("a connection that goes silent is given up for another one, by producers and consumers", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const { address, relays } = await startRelayedNameServer(namesrvAddr);
  const got = new Set<string>();
  const shared = { namesrvAddr: address, requestTimeoutMs: 1000, heartbeatBrokerIntervalMs: 1000 } as const;
  await consumerOf({
    ...shared,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.add(message.text()),
  });
  const producer = await producerOf({ ...shared, group: freshName("P"), retryTimesWhenSendFailed: 0 });
  await producer.send({ topic, body: "before" });
  await until(() => got.has("before"));
  for (const relay of relays.values()) relay.mute();
  await expect(producer.send({ topic, body: "into silence" })).rejects.toThrow(TimeoutError);
  expect((await producer.send({ topic, body: "after" })).status).toBe("SEND_OK");
  // By its heartbeats the consumer notices, long before the pulls that wait would.
  await until(() => got.has("after"), 12_000);
});

test("a dead broker among the masters: retried at the other, then spared", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const { address } = await startRelayedNameServer(namesrvAddr, "127.0.0.1:1");
  const producer = await producerOf({ namesrvAddr: address, group: freshName("P") });
  const brokers = new Set<string>();
  for (let i = 0; i < 12; i++) brokers.add((await producer.send({ topic, body: String(i) })).queue.brokerName);
  expect(brokers.size).toBe(1);
  expect(brokers).not.toContain("a-dead-one");
  const single = await producerOf({
    namesrvAddr: address,
    group: freshName("P"),
    retryTimesWhenSendFailed: 0,
    sendLatencyFaultEnable: false,
  });
  const ends = await Promise.allSettled(Array.from({ length: 12 }, () => single.send({ topic, body: "x" })));
  expect(ends.filter(({ status }) => status === "rejected").length).toBeGreaterThan(0);
});

test("of several name servers one is dead, one hangs: a send has its time all the same", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const hanging = await silentServer();
  for (const namesrvAddrs of [
    ["127.0.0.1:1", namesrvAddr],
    [hanging, namesrvAddr],
    [namesrvAddr, hanging],
  ]) {
    const producer = await producerOf({
      namesrvAddr: namesrvAddrs,
      group: freshName("P"),
      requestTimeoutMs: 1500,
      sendMsgTimeout: 1500,
    });
    expect((await producer.send({ topic, body: "x" })).status).toBe("SEND_OK");
  }
});

test("a receive that waits for a route ends with its signal, and so does a subscription", async () => {
  const hanging = await silentServer();
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const options = { namesrvAddr, ...AS_USER, group: freshName("G"), subscriptions: { [topic]: "*" } };
  await using simple = await SimpleConsumer.start({ ...options, subscriptions: { [freshName("T")]: "*" } });
  const reason = new Error("enough");
  await expect(simple.receive({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const consumer = await consumerOf({ ...options, group: freshName("G"), onMessage() {} });
  await expect(consumer.subscribe("T2", "*", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(consumer.assignment.map((queue) => queue.topic)).not.toContain("T2");
  const starting = producerOf({ namesrvAddr: hanging, group: freshName("P") });
  const stop = new AbortController();
  const queues = (await starting).publishQueues("T", { signal: stop.signal });
  stop.abort(reason);
  await expect(queues).rejects.toBe(reason);
});

test("by machine room: brokers without a room are left alone", async () => {
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 4);
  const consumer = await consumerOf({
    namesrvAddr,
    group: freshName("G"),
    subscriptions: { [topic]: "*" },
    allocateStrategy: allocateByMachineRoom(["here"]),
    onMessage() {},
  });
  expect(consumer.assignment.filter((queue) => queue.topic === topic)).toEqual([]);
});
