/** Brokers and name servers in processes of their own, as the command starts them. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterEach, expect, test, vi } from "vitest";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { NO_DATA_VERSION } from "#src/server/protocol/data-version.js";
import { writeRegisterBrokerBody } from "#src/server/protocol/register-broker-body.js";
import { FakeClock } from "../unit/broker/harness.js";
import { consumerOf, producerOf } from "../client/harness.js";
import { COMMAND, portOf, run } from "./command.js";
import { ANSWER_MS, clientOf, closeAll, send, startBroker, startNameServer, temporaryDirectory } from "./harness.js";

afterEach(closeAll);

/** Broker addresses of a topic, or the code that says there are none. */
async function routeOf(namesrv: RemotingClient, topic: string): Promise<unknown> {
  const answer = await namesrv.call(
    RequestCode.GET_ROUTEINFO_BY_TOPIC,
    { topic, acceptStandardJsonOnly: true },
    undefined,
    ANSWER_MS,
  );
  if (answer.code !== ResponseCode.SUCCESS) return answer.code;
  const { brokerDatas } = JSON.parse(answer.body.toString()) as { brokerDatas: { brokerAddrs: object }[] };
  return brokerDatas.flatMap(({ brokerAddrs }) => Object.values(brokerAddrs));
}

async function untilRoute(namesrv: RemotingClient, topic: string, expected: unknown): Promise<void> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const route = await routeOf(namesrv, topic);
    if (JSON.stringify(route) === JSON.stringify(expected)) return;
    if (performance.now() > deadline) expect(route).toEqual(expected);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("two name servers: both know the broker, one may die, and the broker takes leave of the other", async () => {
  const directory = temporaryDirectory();
  const [first, second] = await Promise.all([
    run("namesrv", "--namesrv-port", "0"),
    run("namesrv", "--namesrv-port", "0"),
  ]);
  const addresses = [first, second].map(({ ready }) => ready.get("namesrv")!);
  const broker = await run(
    "broker",
    "--namesrv",
    addresses.join(";"),
    "--broker-port",
    "0",
    "--data",
    join(directory, "store"),
  );
  expect(broker.ready.get("namesrv")).toBe(addresses.join(";"));
  const address = broker.ready.get("broker")!;
  const [namesrv1, namesrv2] = addresses.map((text) => clientOf(portOf(text))) as [RemotingClient, RemotingClient];
  const client = clientOf(portOf(address));

  // As soon as it says that it is ready, both know it.
  expect(await routeOf(namesrv1, "TBW102")).toEqual([address]);
  expect(await routeOf(namesrv2, "TBW102")).toEqual([address]);
  expect(await routeOf(namesrv1, "Made")).toBe(ResponseCode.TOPIC_NOT_EXIST);
  expect((await send(client, { topic: "Made" }, "x")).code).toBe(ResponseCode.SUCCESS);
  await untilRoute(namesrv1, "Made", [address]);
  await untilRoute(namesrv2, "Made", [address]);

  first.child.kill("SIGKILL");
  expect(await first.exit).toBe("SIGKILL");
  expect((await send(client, { topic: "Later" }, "x")).code).toBe(ResponseCode.SUCCESS);
  await untilRoute(namesrv2, "Later", [address]);

  broker.child.kill("SIGTERM");
  expect(await broker.exit).toBe(0);
  expect(await routeOf(namesrv2, "Made")).toBe(ResponseCode.TOPIC_NOT_EXIST);
  second.child.kill("SIGTERM");
  expect(await second.exit).toBe(0);
  expect(second.stderr).toBe("");
});

test("each of two name servers dies in its turn: clients go on, routes come back, the log says each loss once", async () => {
  const servers = await Promise.all([0, 1].map(() => run("namesrv", "--namesrv-port", "0")));
  const addresses = servers.map(({ ready }) => ready.get("namesrv")!);
  const namesrvAddr = addresses.join(";");
  const data = join(temporaryDirectory(), "store");
  const broker = await run("broker", "--namesrv", namesrvAddr, "--broker-port", "0", "--data", data);
  const address = broker.ready.get("broker")!;
  const lossOf = (namesrv: string) =>
    broker.stderr.split("\n").filter((line) => line.includes(`"namesrv":"${namesrv}"`) && line.includes("failed"))
      .length;

  const shared = { namesrvAddr, pollNameServerIntervalMs: 100 };
  const producer = await producerOf({ ...shared, group: "P" });
  const got = new Set<string>();
  const sent: string[] = [];
  const sendOne = async (topic: string, body: string) => {
    sent.push(body);
    expect(await producer.send({ topic, body })).toMatchObject({ status: "SEND_OK" });
  };
  await sendOne("Known", "before");
  await consumerOf({
    ...shared,
    group: "G",
    subscriptions: { Known: "*" },
    consumeFrom: "first",
    onMessage: (message) => void got.add(message.text()),
  });

  for (const [index, namesrv] of addresses.entries()) {
    const other = clientOf(portOf(addresses[1 - index]!));
    servers[index]!.child.kill("SIGKILL");
    await servers[index]!.exit;
    await sendOne("Known", `${namesrv} is dead`);
    expect(await producer.send({ topic: `New${index}`, body: "x" })).toMatchObject({ status: "SEND_OK" });
    await untilRoute(other, `New${index}`, [address]);
    await vi.waitFor(() => expect(lossOf(namesrv)).toBe(1), ANSWER_MS);
    servers[index] = await run("namesrv", "--namesrv-port", String(portOf(namesrv)));
    const reborn = clientOf(portOf(namesrv));
    for (const topic of ["Known", "New0"]) await untilRoute(reborn, topic, [address]);
    await sendOne("Known", `${namesrv} is back`);
  }
  await vi.waitFor(() => expect([...got].sort()).toEqual(sent.sort()), ANSWER_MS);
  expect(addresses.map(lossOf)).toEqual([1, 1]);
}, 60_000);

test("a broker starts without its name servers, and registers when they come", async () => {
  const probe = await startNameServer();
  const { port } = probe;
  await probe.close();
  const clock = new FakeClock();
  const started = await startBroker({ clock, config: { namesrvAddr: `127.0.0.1:${port}` } });
  expect(started.log.at("warn", /registration with a name server failed/)).toHaveLength(1);
  await startNameServer({ port });
  const namesrv = clientOf(port);
  expect(await routeOf(namesrv, "TBW102")).toBe(ResponseCode.TOPIC_NOT_EXIST);
  clock.advance(500);
  await untilRoute(namesrv, "TBW102", [started.broker.address]);
  expect(started.log.at("warn", /registration with a name server failed/)).toHaveLength(1);
  await started.broker.close();
  expect(await routeOf(namesrv, "TBW102")).toBe(ResponseCode.TOPIC_NOT_EXIST);
});

test("a name server that comes back without its routes has them again at once", async () => {
  const first = await startNameServer();
  const { port } = first;
  const { broker } = await startBroker({ config: { namesrvAddr: `127.0.0.1:${port}` } });
  await first.close();
  await startNameServer({ port });
  const namesrv = clientOf(port);
  await untilRoute(namesrv, "TBW102", [broker.address]);
});

async function register(client: RemotingClient, brokerName: string, brokerAddr: string): Promise<void> {
  const perms = {
    perm: 6,
    topicFilterType: "SINGLE_TAG",
    topicSysFlag: 0,
    order: false,
    attributes: new Map(),
  } as const;
  const configOf = (topicName: string) =>
    [topicName, { topicName, readQueueNums: 4, writeQueueNums: 4, ...perms }] as const;
  const versions = { dataVersion: NO_DATA_VERSION, mappingDataVersion: NO_DATA_VERSION };
  const topics = {
    topicConfigTable: new Map([configOf("TBW102"), configOf(`Of-${brokerName}`)]),
    topicQueueMappingInfoMap: new Map(),
  };
  const body = writeRegisterBrokerBody({ ...versions, ...topics }, false);
  const fields = {
    clusterName: "C",
    brokerName,
    brokerId: 0,
    brokerAddr,
    haServerAddr: brokerAddr,
    compressed: false,
    bodyCrc32: crc32(body) & 0x7fffffff,
    enableActingMaster: false,
  };
  const answer = await client.call(RequestCode.REGISTER_BROKER, fields, body, ANSWER_MS);
  expect(answer).toMatchObject({ code: ResponseCode.SUCCESS, remark: "" });
}

test("a broker that says nothing for two minutes is forgotten, one that registers again is not", async () => {
  const clock = new FakeClock();
  const server = await startNameServer({ clock });
  const namesrv = clientOf(server.port);
  const silent = clientOf(server.port);
  const lively = clientOf(server.port);
  await register(silent, "silent", "10.0.0.1:10911");
  await register(lively, "lively", "10.0.0.2:10911");
  clock.advance(90_000);
  await register(lively, "lively", "10.0.0.2:10911");
  expect(await routeOf(namesrv, "Of-silent")).toEqual(["10.0.0.1:10911"]);
  clock.advance(60_000);
  expect(await routeOf(namesrv, "Of-silent")).toBe(ResponseCode.TOPIC_NOT_EXIST);
  expect(await routeOf(namesrv, "Of-lively")).toEqual(["10.0.0.2:10911"]);
  // Its connection's end says the same at once.
  await lively.close();
  await untilRoute(namesrv, "Of-lively", ResponseCode.TOPIC_NOT_EXIST);
});

test.each<[string, string[], RegExp]>([
  ["no name server", ["--data", "s"], /^cometmq: A broker alone needs --namesrv host:port.*\(COMETMQ_CONFIG\)$/],
  ["a wrong one", ["--namesrv", "nonsense", "--broker-port", "0", "--data", "s"], /"nonsense" is not host:port/],
  ["a missing file", ["-c", "broker.conf"], /^cometmq: There is no file broker\.conf\./],
])("a broker with %s says so in one line and ends", (_, args, message) => {
  const cwd = temporaryDirectory();
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, "broker", ...args], { cwd });
  expect({ status, stdout: stdout.toString() }).toEqual({ status: 2, stdout: "" });
  const lines = stderr.toString().trimEnd().split("\n");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(message);
});
