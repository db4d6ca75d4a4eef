import { connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { addressOfConnection, NameServer, type NameServerOptions } from "#src/server/namesrv/namesrv.js";
import { writeRegisterBrokerBody } from "#src/server/protocol/register-broker-body.js";
import type { TopicConfig } from "#src/server/protocol/topic-config.js";
import { FakeClock } from "./harness.js";

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

async function start(options: NameServerOptions = {}): Promise<NameServer> {
  const server = await NameServer.start({ port: 0, ...options });
  opened.push(server);
  return server;
}

function clientOf(server: NameServer): RemotingClient {
  const client = new RemotingClient("127.0.0.1", server.port);
  opened.push(client);
  return client;
}

const TOPIC: TopicConfig = {
  topicName: "T",
  readQueueNums: 4,
  writeQueueNums: 4,
  perm: 6,
  topicFilterType: "SINGLE_TAG",
  topicSysFlag: 0,
  order: false,
  attributes: new Map(),
};
const BROKER = {
  clusterName: "C",
  brokerName: "a",
  brokerId: 0,
  brokerAddr: "10.0.0.1:10911",
  haServerAddr: "10.0.0.1:10912",
};
const dataVersion = { stateVersion: 0, timestamp: 1, counter: 1 };
const topics = {
  dataVersion,
  topicConfigTable: new Map([
    ["T", TOPIC],
    ["U", { ...TOPIC, topicName: "U" }],
  ]),
};
const BODY = writeRegisterBrokerBody(
  { ...topics, mappingDataVersion: dataVersion, topicQueueMappingInfoMap: new Map() },
  true,
);

async function eventually(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !holds(); tries++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
}

test("over loopback: a broker registers, a client asks, the broker's connection goes and the route with it", async () => {
  const server = await start();
  const broker = clientOf(server);
  const client = clientOf(server);
  const registered = await broker.call(RequestCode.REGISTER_BROKER, { ...BROKER, compressed: true }, BODY, 5000);
  expect(registered.code).toBe(ResponseCode.SUCCESS);
  const route = () => client.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: "T" }, undefined, 5000);
  expect((await route()).body.toString()).toContain('"0":"10.0.0.1:10911"');
  await broker.close();
  await eventually(() => server.routeTable.allTopics().topicList.length === 0);
  expect((await route()).code).toBe(ResponseCode.TOPIC_NOT_EXIST);
});

test("a request that a name server does not know is REQUEST_CODE_NOT_SUPPORTED", async () => {
  const client = clientOf(await start());
  const answer = await client.call(RequestCode.SEND_MESSAGE, {}, undefined, 5000);
  expect(answer.code).toBe(ResponseCode.REQUEST_CODE_NOT_SUPPORTED);
});

test("a broker of this process needs no connection and is told at the address the client came by", async () => {
  const server = await start({ addressFor: addressOfConnection(10_911) });
  server.routeTable.register({ ...BROKER, ...topics });
  const client = clientOf(server);
  const answer = await client.call(RequestCode.GET_BROKER_CLUSTER_INFO, {}, undefined, 5000);
  expect(answer.body.toString()).toContain('{0:"127.0.0.1:10911"}');
});

test("silent brokers are looked for at the configured interval, also after it was changed", async () => {
  const clock = new FakeClock();
  const server = await start({ clock, settings: { scanNotActiveBrokerInterval: 1000 } });
  const register = () =>
    clientOf(server).call(RequestCode.REGISTER_BROKER, { ...BROKER, heartbeatTimeoutMillis: 100 }, undefined, 5000);
  await register();
  clock.advance(999);
  expect(server.routeTable.clusterInfo().brokerAddrTable.size).toBe(1);
  clock.advance(1);
  expect(server.routeTable.clusterInfo().brokerAddrTable.size).toBe(0);
  const update = Buffer.from("scanNotActiveBrokerInterval=200");
  expect((await clientOf(server).call(RequestCode.UPDATE_NAMESRV_CONFIG, {}, update, 5000)).code).toBe(
    ResponseCode.SUCCESS,
  );
  clock.advance(1000);
  await register();
  clock.advance(200);
  expect(server.routeTable.clusterInfo().brokerAddrTable.size).toBe(0);
});

test("key-value settings survive a restart", async () => {
  const disk = new MemoryDisk();
  const options = { disk, kvConfigPath: "/home/ns/kvConfig.json" };
  const first = await start(options);
  const put = { namespace: "../../etc", key: "passwd", value: "x" };
  expect((await clientOf(first).call(RequestCode.PUT_KV_CONFIG, put, undefined, 5000)).code).toBe(ResponseCode.SUCCESS);
  expect(disk.list("/home")).toEqual(["ns"]);
  const second = await start(options);
  const answer = await clientOf(second).call(RequestCode.GET_KV_CONFIG, put, undefined, 5000);
  expect(answer.fields["value"]).toBe("x");
});

test("a disk that refuses makes a put fail, and nothing has changed; one that is slow holds up nobody else", async () => {
  const disk = new MemoryDisk();
  const server = await start({ disk, kvConfigPath: "/ns/kvConfig.json" });
  const client = clientOf(server);
  const fieldsOf = (value: string) => ({ namespace: "N", key: "k", value });
  const put = (value: string) => client.call(RequestCode.PUT_KV_CONFIG, fieldsOf(value), undefined, 5000);
  const get = () => client.call(RequestCode.GET_KV_CONFIG, fieldsOf(""), undefined, 5000);
  expect((await put("v")).code).toBe(ResponseCode.SUCCESS);
  const { replace } = disk;
  disk.replace = () => Promise.reject(new CometError("COMETMQ_IO", "There is no room."));
  const remark = "The key-value file could not be written; nothing was changed.";
  expect(await put("w")).toMatchObject({ code: ResponseCode.SYSTEM_ERROR, remark });
  expect((await client.call(RequestCode.DELETE_KV_CONFIG, fieldsOf(""), undefined, 5000)).remark).toBe(remark);
  expect((await get()).fields["value"]).toBe("v");
  let letGo = () => {};
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  disk.replace = async (...args) => {
    await held;
    return replace.apply(disk, args);
  };
  const waiting = put("x");
  expect((await get()).fields["value"]).toBe("v");
  letGo();
  expect((await waiting).code).toBe(ResponseCode.SUCCESS);
  expect((await get()).fields["value"]).toBe("x");
});

test("what cannot be started says why", async () => {
  const server = await start();
  await expect(NameServer.start({ port: server.port })).rejects.toMatchObject({ code: "COMETMQ_LISTEN" });
  await expect(NameServer.start({ port: 0, kvConfigPath: "x" })).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });
  const settings = { scanNotActiveBrokerInterval: 0 };
  await expect(NameServer.start({ port: 0, settings })).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });
});

test("closing ends the connections and frees the port", async () => {
  const server = await NameServer.start({ port: 0 });
  const { port } = server;
  const socket = connect(port, "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await server.close();
  await closed;
  await start({ port });
});
