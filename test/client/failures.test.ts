/** Brokers and name servers that go and come again: on servers of our own, which a test may kill. */
import { afterEach, expect, test } from "vitest";
import { Admin } from "#src/client/admin.js";
import { ClientError, ResponseError, SendError } from "#src/client/errors.js";
import { LitePullConsumer } from "#src/client/lite-pull-consumer.js";
import { Producer } from "#src/client/producer.js";
import { ResponseCode } from "#src/remoting/codes.js";
import { closeAll, onCloseAll, startBroker, startNameServer, temporaryDirectory } from "../server/harness.js";
import { consumerOf, createTopic, freshName, PATIENCE_MS, producerOf, until } from "./harness.js";
import { scriptedServer } from "./scripted-server.js";

afterEach(closeAll);

const BROKER = { brokerIP1: "127.0.0.1" } as const;

async function startPair() {
  const nameServer = await startNameServer();
  const namesrvAddr = `127.0.0.1:${nameServer.port}`;
  const a = await startBroker({ config: { ...BROKER, namesrvAddr, brokerName: "broker-a" } });
  const b = await startBroker({ config: { ...BROKER, namesrvAddr, brokerName: "broker-b" } });
  return { namesrvAddr, a, b };
}

test("a broker dies: sends go to the other one, and what was there is consumed", async () => {
  const { namesrvAddr, a } = await startPair();
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const got = new Set<string>();
  const producer = await producerOf({ namesrvAddr, group: "P", sendMsgTimeout: PATIENCE_MS });
  await consumerOf({
    namesrvAddr,
    group: "G",
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.add(message.text()),
  });
  const queues = await producer.publishQueues(topic);
  expect(new Set(queues.map(({ brokerName }) => brokerName))).toEqual(new Set(["broker-a", "broker-b"]));
  for (const [i, queue] of queues.entries()) await producer.send({ topic, body: `before ${i}` }, { queue });
  await until(() => got.size === 4);
  await a.broker.close();
  for (let i = 0; i < 20; i++) {
    const { queue } = await producer.send({ topic, body: `after ${i}` });
    expect(queue.brokerName).toBe("broker-b");
  }
  await until(() => got.size === 24);
});

test("a broker is started again at its port: producer and consumer go on", async () => {
  const nameServer = await startNameServer();
  const namesrvAddr = `127.0.0.1:${nameServer.port}`;
  const directory = `${temporaryDirectory()}/store`;
  const first = await startBroker({ directory, config: { ...BROKER, namesrvAddr } });
  const listenPort = first.broker.port;
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 2);
  const got = new Set<string>();
  const producer = await producerOf({ namesrvAddr, group: "P", retryTimesWhenSendFailed: 0 });
  const consumer = await consumerOf({
    namesrvAddr,
    group: "G",
    subscriptions: { [topic]: "A" },
    consumeFrom: "first",
    onMessage: (message) => void got.add(message.text()),
  });
  await producer.send({ topic, body: "one", tags: "A" });
  await until(() => got.has("one"));
  await first.broker.close();
  await expect(producer.send({ topic, body: "lost", tags: "A" })).rejects.toMatchObject({ retryable: true });
  const second = await startBroker({ directory, config: { ...BROKER, namesrvAddr, listenPort } });
  await until(async () => {
    try {
      return (await producer.send({ topic, body: "two", tags: "A" })).status === "SEND_OK";
    } catch {
      return false;
    }
  });
  await until(() => got.has("two"));
  // The new broker knows the consumer by the heartbeat of its new connection.
  expect(second.broker.context.consumers.get("G")).toBeDefined();
  await until(() => consumer.assignment.length === 3);
});

test("a commit that reaches no broker says so, and the next one makes up for it", async () => {
  const nameServer = await startNameServer();
  const namesrvAddr = `127.0.0.1:${nameServer.port}`;
  const directory = `${temporaryDirectory()}/store`;
  const first = await startBroker({ directory, config: { ...BROKER, namesrvAddr } });
  const topic = await createTopic({ namesrvAddr }, freshName("T"), 1);
  const producer = await producerOf({ namesrvAddr, group: "P" });
  await producer.send({ topic, body: "one" });
  const consumer = await LitePullConsumer.start({
    namesrvAddr,
    group: "G",
    subscriptions: { [topic]: "*" },
    consumeFrom: "first",
    autoCommit: false,
  });
  onCloseAll(() => consumer.close());
  expect(await consumer.poll({ timeoutMs: PATIENCE_MS })).toHaveLength(1);
  const listenPort = first.broker.port;
  await first.broker.close();
  await expect(consumer.commit()).rejects.toBeInstanceOf(ClientError);
  await startBroker({ directory, config: { ...BROKER, namesrvAddr, listenPort } });
  await until(() =>
    consumer.commit().then(
      () => true,
      () => false,
    ),
  );
  await using admin = await Admin.start({ namesrvAddr });
  expect(await admin.lag("G", topic)).toBe(0);
});

test("one name server of two is dead", async () => {
  const nameServer = await startNameServer();
  const alive = `127.0.0.1:${nameServer.port}`;
  await startBroker({ config: { ...BROKER, namesrvAddr: alive } });
  const topic = await createTopic({ namesrvAddr: alive }, freshName("T"));
  for (const namesrvAddr of [`127.0.0.1:1;${alive}`, [alive, "127.0.0.1:1"]]) {
    const producer = await producerOf({ namesrvAddr, group: "P" });
    expect((await producer.send({ topic, body: "x" })).status).toBe("SEND_OK");
  }
});

test("a broker that hangs is left for another one, and spared from then on", async () => {
  const healthy = await scriptedServer([ResponseCode.SUCCESS]);
  const hanging = await scriptedServer([undefined], [healthy.address]);
  const options = { namesrvAddr: hanging.address, sendMsgMaxTimeoutPerRequest: 200 };
  const producer = await producerOf(options);
  for (let i = 0; i < 10; i++) {
    const { queue } = await producer.send({ topic: "T", body: String(i) });
    expect(queue.brokerName).toBe("b1");
  }
  expect([hanging.sends.length, healthy.sends.length]).toEqual([1, 10]);
  // Who spares nobody asks it again and again.
  const patient = await producerOf({ ...options, sendLatencyFaultEnable: false });
  for (let i = 0; i < 4; i++) await patient.send({ topic: "T", body: String(i) });
  expect(hanging.sends.length).toBeGreaterThanOrEqual(4);
});

test("answers worth it are tried again, as the same message; others are not", async () => {
  const busy = await scriptedServer([ResponseCode.SYSTEM_BUSY, ResponseCode.SYSTEM_BUSY, ResponseCode.SUCCESS]);
  const producer = await producerOf({ namesrvAddr: busy.address, group: "P" });
  expect((await producer.send({ topic: "T", body: "x" })).status).toBe("SEND_OK");
  expect(busy.sends).toHaveLength(3);
  expect(new Set(busy.sends).size).toBe(1);

  const ever = await scriptedServer([ResponseCode.SYSTEM_BUSY]);
  const patient = await producerOf({ namesrvAddr: ever.address, group: "P", retryTimesWhenSendFailed: 1 });
  const failed = await patient.send({ topic: "T", body: "x" }).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(SendError);
  expect(failed).toMatchObject({ responseCode: ResponseCode.SYSTEM_BUSY, retryable: true });
  expect(ever.sends).toHaveLength(2);

  const illegal = await scriptedServer([ResponseCode.MESSAGE_ILLEGAL]);
  await using third = await Producer.start({ namesrvAddr: illegal.address });
  const refused = await third.send({ topic: "T", body: "x" }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ResponseError);
  expect(refused).toMatchObject({ responseCode: 13, responseName: "MESSAGE_ILLEGAL", address: illegal.address });
  expect(illegal.sends).toHaveLength(1);
});

test("a send keeps its time where routes are not to be had any more", async () => {
  const busy = await scriptedServer([ResponseCode.SYSTEM_BUSY]);
  const producer = await producerOf({ namesrvAddr: busy.address, sendMsgTimeout: 300, requestTimeoutMs: 100_000 });
  await producer.publishQueues("T");
  busy.hidesRoutes = true;
  const failed = await producer.send({ topic: "T", body: "x" }).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(SendError);
  expect(busy.sends.length).toBeGreaterThan(0);
}, 30_000);

test("what a broker has is sent, though not as safely as wished, and though no other one takes it", async () => {
  const unsafe = await scriptedServer([ResponseCode.FLUSH_DISK_TIMEOUT, ResponseCode.SYSTEM_BUSY]);
  const options = { namesrvAddr: unsafe.address, group: "P", retryTimesWhenSendFailed: 1 } as const;
  const producer = await producerOf({ ...options, retryAnotherBrokerWhenNotStoreOK: true });
  expect((await producer.send({ topic: "T", body: "x" })).status).toBe("FLUSH_DISK_TIMEOUT");
  expect(unsafe.sends).toHaveLength(2);
});
