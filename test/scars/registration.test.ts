/**
 * Registrations that broke brokers: 60,000 topics in one frame of more than 16 MiB, which no name server takes
 * (apache/rocketmq#5296); and, once they were split, changes of topics that the name server passed over, because it
 * knew the version already from the part before. Brokers that registered all their topics anew for each group that
 * joined, for each has a retry topic (#3407). A broker that never heard from the name server of its own process which
 * topics are ordered.
 */
import { afterEach, expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { FRAME_BYTES_MAX } from "#src/remoting/frame-decoder.js";
import { RemotingServer } from "#src/remoting/server.js";
import type { Processor } from "#src/remoting/types.js";
import { Registration } from "#src/server/broker/registration.js";
import { readRegisterBrokerBody } from "#src/server/protocol/register-broker-body.js";
import { TestBroker as TestServer } from "#src/testing/mod.js";
import { FakeClock, heartbeatBody, TestBroker } from "../unit/broker/harness.js";
import { until } from "../unit/remoting/peers.js";
import { ANSWER_MS, clientOf, closeAll, onCloseAll, startBroker, startNameServer } from "../server/harness.js";

afterEach(closeAll);

/** Takes registrations, and keeps how long they were and what versions and topics they told. */
async function listener() {
  const told: { bytes: number; counter: number; topics: string[] }[] = [];
  const processors = new Map<number, Processor>([
    [
      RequestCode.REGISTER_BROKER,
      ({ header, body }, connection) => {
        const { dataVersion, topicConfigTable } = readRegisterBrokerBody(body, false, header.version);
        told.push({ bytes: body.length, counter: dataVersion.counter, topics: [...topicConfigTable.keys()] });
        connection.writer.response(header.opaque, header.serializeType, ResponseCode.SUCCESS, "");
      },
    ],
  ]);
  const server = new RemotingServer({ processors });
  await server.listen();
  onCloseAll(() => server.close(0));
  return { told, port: server.port };
}

test("60,000 topics are registered in parts that fit into a frame, each of its own version", async () => {
  const clock = new FakeClock();
  const { told, port } = await listener();
  const config = { namesrvAddr: `127.0.0.1:${port}`, topicCountMax: 100_000 };
  const { broker } = await startBroker({ clock, config });
  const { topics } = broker.context;
  const before = told.length;
  for (let i = 0; i < 60_000; i++) topics.createInSendMessage(`${"Topic".repeat(14)}${i}`, "TBW102", "", 8, 0);
  clock.advance(100);
  await until(() => told.at(-1)!.counter === topics.dataVersion.counter, "the last part");
  const parts = told.slice(before);
  expect(parts.length).toBeGreaterThan(6);
  expect(parts.reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThan(FRAME_BYTES_MAX);
  for (const { bytes } of parts) expect(bytes).toBeLessThan(FRAME_BYTES_MAX / 2);
  expect(new Set(parts.map(({ counter }) => counter)).size).toBe(parts.length);
  expect(new Set(parts.flatMap(({ topics: names }) => names)).size).toBe(topics.size);
}, 30_000);

test("a topic that changes is told anew, in whichever part it is", async () => {
  const clock = new FakeClock();
  const namesrv = await startNameServer();
  const config = { namesrvAddr: `127.0.0.1:${namesrv.port}`, enableSplitRegistration: true, splitRegistrationSize: 4 };
  const { broker, client } = await startBroker({ clock, config });
  const admin = client();
  const names = Array.from({ length: 9 }, (_, i) => `T${i}`);
  const routes = clientOf(namesrv.port);
  for (const queues of [1, 3]) {
    for (const topic of names) {
      const fields = { topic, readQueueNums: queues, writeQueueNums: queues, perm: 6, topicFilterType: "SINGLE_TAG" };
      const made = await admin.call(RequestCode.UPDATE_AND_CREATE_TOPIC, fields, undefined, ANSWER_MS);
      expect(made.code).toBe(ResponseCode.SUCCESS);
    }
    clock.advance(100);
    const version = broker.context.topics.dataVersion;
    const known = () => namesrv.routeTable.dataVersion("DefaultCluster", broker.address);
    await until(() => known()?.counter === version.counter, "the last part");
    for (const topic of names) {
      const fields = { topic, acceptStandardJsonOnly: true };
      const route = await routes.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, fields, undefined, ANSWER_MS);
      const { queueDatas } = JSON.parse(route.body.toString()) as { queueDatas: { readQueueNums: number }[] };
      expect([topic, queueDatas.map(({ readQueueNums }) => readQueueNums)]).toEqual([topic, [queues]]);
    }
  }
});

test("a broker that is closed to writers says so of every topic", async () => {
  const clock = new FakeClock();
  const namesrv = await startNameServer();
  const { client } = await startBroker({ clock, config: { namesrvAddr: `127.0.0.1:${namesrv.port}` } });
  const routes = clientOf(namesrv.port);
  const permOf = async () => {
    const fields = { topic: "TBW102", acceptStandardJsonOnly: true };
    const route = await routes.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, fields, undefined, ANSWER_MS);
    return (JSON.parse(route.body.toString()) as { queueDatas: { perm: number }[] }).queueDatas[0]!.perm;
  };
  expect(await permOf()).toBe(7);
  for (const [permission, perm] of [
    [4, 4],
    [6, 7],
  ] as const) {
    const body = Buffer.from(`brokerPermission=${permission}`);
    const changed = await client().call(RequestCode.UPDATE_BROKER_CONFIG, {}, body, ANSWER_MS);
    expect(changed.code).toBe(ResponseCode.SUCCESS);
    clock.advance(100);
    for (let tries = 0; (await permOf()) !== perm && tries < 1000; tries++) await new Promise((r) => setTimeout(r, 5));
    expect(await permOf()).toBe(perm);
  }
});

test("#3407: 500 groups that join together cost one registration", async () => {
  const clock = new FakeClock();
  const { told, port } = await listener();
  const { broker, client } = await startBroker({ clock, config: { namesrvAddr: `127.0.0.1:${port}` } });
  const consumer = client();
  const before = told.length;
  for (let i = 0; i < 500; i++) {
    const body = Buffer.from(heartbeatBody("c", `Group-${i}`, [["TBW102", "*"]]));
    await consumer.call(RequestCode.HEART_BEAT, {}, body, ANSWER_MS);
  }
  expect(told.length).toBe(before);
  clock.advance(100);
  await until(() => told.length > before, "the registration");
  expect(told.at(-1)!.topics).toEqual(expect.arrayContaining(["%RETRY%Group-0", "%RETRY%Group-499"]));
  expect(told.at(-1)!.counter).toBe(broker.context.topics.dataVersion.counter);
  await new Promise((resolve) => setImmediate(resolve));
  expect(told.length).toBe(before + 1);
});

test("a broker.conf that names the process's own name server has nobody told by connection, or refused", async () => {
  const { port, routeTable } = await startNameServer();
  const elsewhere = await listener();
  const namesrvAddr = `127.0.0.1:${port};localhost:${port};127.0.0.1:${elsewhere.port}`;
  const { context, log } = new TestBroker({ namesrvAddr, bindAddress: "0.0.0.0" });
  const registration = new Registration(context, routeTable, undefined, port);
  onCloseAll(() => registration.close());
  await registration.start();
  expect(routeTable.topicRouteData("TBW102")).toBeDefined();
  expect(elsewhere.told.length).toBe(1);
  expect(log.at("warn", /registration/)).toEqual([]);
});

test("a broker hears which topics are ordered, also from the name server of its process", async () => {
  const test = await TestServer.start({ topics: { T: { queues: 1 } } });
  onCloseAll(() => test.close());
  const broker = clientOf(test.server.port);
  const isOrdered = async () => {
    const answer = await broker.call(RequestCode.GET_TOPIC_CONFIG, { topic: "T" }, undefined, ANSWER_MS);
    return (JSON.parse(answer.body.toString()) as { order: boolean }).order;
  };
  expect(await isOrdered()).toBe(false);
  const order = { namespace: "ORDER_TOPIC_CONFIG", key: "T", value: "broker-a:1" };
  const namesrv = clientOf(test.server.nameServer!.port);
  expect((await namesrv.call(RequestCode.PUT_KV_CONFIG, order, undefined, ANSWER_MS)).code).toBe(ResponseCode.SUCCESS);
  await test.advance("30s");
  expect(await isOrdered()).toBe(true);
});

test("a refusal of a name server is said once, and that it is over", async () => {
  let refuses = true;
  const answer: Processor = ({ header }, { writer }) =>
    writer.response(header.opaque, header.serializeType, refuses ? ResponseCode.SYSTEM_ERROR : 0, "not this one");
  const server = new RemotingServer({ processors: new Map([[RequestCode.REGISTER_BROKER, answer]]) });
  await server.listen();
  onCloseAll(() => server.close(0));
  const { context, log } = new TestBroker({ namesrvAddr: `127.0.0.1:${server.port}` });
  const registration = new Registration(context, undefined);
  onCloseAll(() => registration.close());
  await registration.start();
  await registration.start();
  expect(log.at("warn", /refused the registration/)).toMatchObject([{ remark: "not this one" }]);
  refuses = false;
  await registration.start();
  expect(log.at("info", /registered again/)).toHaveLength(1);
});
