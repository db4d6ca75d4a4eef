/** The gRPC endpoint of one broker among others: routes, its own certificate, `cometmq broker --grpc-port`. */
import { writeFileSync } from "node:fs";
import { connect } from "node:http2";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { X509Certificate } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { makeLoopbackCertificate } from "#src/remoting/tls-certificate.js";
import type { TopicRouteData } from "#src/server/protocol/topic-route-data.js";
import { GrpcEndpoint } from "#src/server/proxy/endpoint.js";
import { RouteCache } from "#src/server/proxy/route-cache.js";
import { FakeClock } from "../unit/broker/harness.js";
import { portOf, run } from "./command.js";
import { call, connectTo, GROUP, TOPIC } from "./grpc-client.js";
import { ANSWER_MS, clientOf, closeAll, onCloseAll, sendFields, startBroker, temporaryDirectory } from "./harness.js";
import { RequestCode } from "#src/remoting/codes.js";

afterEach(closeAll);

function queuesAt(brokerName: string, count = 2) {
  return { brokerName, readQueueNums: count, writeQueueNums: count, perm: 6, topicSysFlag: 0 };
}

function brokerAt(brokerName: string, addresses: Record<number, string>) {
  const brokerAddrs = new Map(Object.entries(addresses).map(([id, address]) => [Number(id), address]));
  return { cluster: "DefaultCluster", brokerName, brokerAddrs, enableActingMaster: false };
}

async function endpointWith(route: TopicRouteData | undefined) {
  const { broker } = await startBroker();
  const { context, processors, store } = broker;
  const topicRoute = async () => route;
  const endpoint = await GrpcEndpoint.start({ broker: context, processors, files: store.disk, port: 0, topicRoute });
  onCloseAll(() => endpoint.close());
  return { broker, endpoint, session: connectTo(endpoint) };
}

const places = (answer: { messageQueues: { broker: { name: string; id: number; endpoints: object }; id: number }[] }) =>
  answer.messageQueues.map(({ broker, id }) => [broker.name, broker.id, id]);

test("a topic's route leads to every broker of the cluster that has it, and to slaves for reading", async () => {
  const { broker, endpoint, session } = await endpointWith({
    queueDatas: [queuesAt("broker-t", 9), queuesAt("broker-u"), queuesAt("broker-without-address")],
    brokerDatas: [brokerAt("broker-u", { 0: "10.1.2.3:10911", 1: "[fe80::1]:10911" })],
  });
  broker.context.topics.createInSendMessage("T", "TBW102", "", 1, 0);
  const endpoints = { scheme: 3, addresses: [{ host: "mq.example", port: 18081 }] };
  const route = await call(session, "QueryRoute", { topic: TOPIC, endpoints });
  expect(places(route as never)).toEqual([
    ["broker-t", 0, 0],
    ["broker-u", 0, 0],
    ["broker-u", 0, 1],
    ["broker-u", 1, 0],
    ["broker-u", 1, 1],
  ]);
  const [own, master, , slave] = route.messageQueues;
  expect(own.broker.endpoints.addresses[0]).toMatchObject({ host: "mq.example", port: 18081 });
  expect(master.broker.endpoints).toMatchObject({ scheme: 1, addresses: [{ host: "10.1.2.3", port: endpoint.port }] });
  expect(slave.broker.endpoints).toMatchObject({ scheme: 2, addresses: [{ host: "fe80::1" }] });
  const { assignments } = await call(session, "QueryAssignment", { topic: TOPIC, group: GROUP, endpoints });
  expect(
    assignments.map(({ messageQueue }: never) => (messageQueue as { broker: { name: string } }).broker.name),
  ).toEqual(["broker-t", "broker-u"]);
});

test("a topic that only another broker has is found; one that no one has is not", async () => {
  const elsewhere = await endpointWith({
    queueDatas: [queuesAt("broker-u", 1)],
    brokerDatas: [brokerAt("broker-u", { 0: "10.1.2.3:10911" })],
  });
  const route = await call(elsewhere.session, "QueryRoute", { topic: TOPIC });
  expect(places(route as never)).toEqual([["broker-u", 0, 0]]);
  expect([...route.messageQueues[0].acceptMessageTypes]).toEqual([1, 2, 3, 4]);
  const nowhere = await endpointWith(undefined);
  expect((await call(nowhere.session, "QueryRoute", { topic: TOPIC })).status.code).toBe(40402);
});

test("name servers are asked once in a while, and one that fails does not hide what the broker has", async () => {
  const clock = new FakeClock();
  let asked = 0;
  const cache = new RouteCache(clock, async () => {
    asked++;
    throw new Error("no name server");
  });
  expect(await cache.get("T")).toBeUndefined();
  clock.advance(4999);
  await cache.get("T");
  expect(asked).toBe(1);
  clock.advance(1);
  await cache.get("T");
  await cache.get("U");
  expect(asked).toBe(3);
});

test("a broker alone has an endpoint when it is told to, with the certificate that it is told", async () => {
  const directory = temporaryDirectory();
  const { key, cert } = makeLoopbackCertificate(Date.now());
  writeFileSync(join(directory, "key.pem"), key);
  writeFileSync(join(directory, "cert.pem"), cert);
  const tlsConfig = join(directory, "tls.properties");
  const [keyPath, certPath] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  writeFileSync(
    tlsConfig,
    `tls.server.keyPath=${keyPath}\ntls.server.certPath=${certPath}\ntls.test.mode.enable=false\n`,
  );
  const namesrv = await run("namesrv", "--namesrv-port", "0");
  const data = join(directory, "store");
  const ports = ["--broker-port", "0", "--grpc-port", "0"];
  const address = namesrv.ready.get("namesrv")!;
  const broker = await run("broker", "--namesrv", address, "--data", data, "--tls-config", tlsConfig, ...ports);
  const client = clientOf(portOf(broker.ready.get("broker")!));
  await client.call(RequestCode.SEND_MESSAGE, sendFields(), Buffer.from("x"), ANSWER_MS);
  const port = portOf(broker.ready.get("grpc")!);
  const session = connect(`https://127.0.0.1:${port}`, { ca: cert, checkServerIdentity: () => undefined });
  onCloseAll(() => session.destroy());
  const route = await call(session, "QueryRoute", { topic: TOPIC });
  expect(route.status.code).toBe(20000);
  const shown = (session.socket as TLSSocket).getPeerX509Certificate();
  expect(shown?.fingerprint256).toBe(new X509Certificate(cert).fingerprint256);
  session.destroy();
  broker.child.kill("SIGTERM");
  expect(await broker.exit).toBe(0);
});
