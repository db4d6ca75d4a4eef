/** The library as its users start it: plain options, real files, everything in one process. */
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { Broker, type BrokerOptions } from "#src/mod.js";
import { RequestCode } from "#src/remoting/codes.js";
import { until } from "../unit/remoting/peers.js";
import { ANSWER_MS, bodiesOf, clientOf, closeAll, onCloseAll, pull, send, temporaryDirectory } from "./harness.js";

afterEach(closeAll);

const SMALL = { mappedFileSizeCommitLog: 16 * 1024 * 1024, mappedFileSizeTimerLog: 1024 * 1024 };

async function started(options: Partial<BrokerOptions> = {}): Promise<Broker> {
  const dataDir = join(temporaryDirectory(), "store");
  const broker = await Broker.start({ dataDir, port: 0, config: SMALL, ...options });
  onCloseAll(() => broker.close());
  return broker;
}

test("name server, broker and gRPC serve, and what was stored is there after a restart", async () => {
  const dataDir = join(temporaryDirectory(), "store");
  {
    await using broker = await Broker.start({ dataDir, port: 0, config: SMALL });
    expect(broker.endpoints).toBe(`127.0.0.1:${broker.grpcPort}`);
    expect((await send(clientOf(broker.port), {}, "kept")).code).toBe(0);
    const route = { topic: "T" };
    const namesrv = clientOf(Number(broker.namesrvAddr.split(":")[1]));
    const answer = await namesrv.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, route, undefined, ANSWER_MS);
    expect(answer.body.toString()).toContain(`"${broker.brokerAddr}"`);
  }
  const again = await started({ dataDir, namesrvPort: false, grpcPort: false });
  expect([again.nameServer, again.endpoints, again.namesrvAddr]).toEqual([undefined, undefined, ""]);
  expect(bodiesOf(await pull(clientOf(again.port)))).toEqual(["kept"]);
});

test("wrong options are refused by name, and nothing of a failed start goes on", async () => {
  await expect(started({ config: { flushDiskType: "NEVER" as "ASYNC_FLUSH" } })).rejects.toThrow("flushDiskType=NEVER");
  await expect(started({ config: { sendBuffer: 1 } as object })).rejects.toThrow("sendBuffer is no property");
  for (const slip of [undefined, {}, { dataDir: 7 }, { dataDir: "" }])
    await expect(Broker.start(slip as never)).rejects.toThrow("Broker.start needs dataDir");
  const misspelt = Broker.start({ datadir: "./data" } as never);
  await expect(misspelt).rejects.toThrow('no option "datadir"; the nearest is dataDir');
  await expect(started({ port: 70_000 })).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });
  const first = await started();
  const servers = () => process.getActiveResourcesInfo().filter((name) => name === "TCPServerWrap").length;
  const before = servers();
  const dataDir = join(temporaryDirectory(), "store");
  const taken = { dataDir, config: SMALL, grpcPort: first.grpcPort!, namesrvPort: 0 };
  await expect(started(taken)).rejects.toMatchObject({ code: "COMETMQ_LISTEN" });
  const nowhere = started({ dataDir, namesrvPort: false, config: { ...SMALL, namesrvAddr: "nowhere:port" } });
  await expect(nowhere).rejects.toMatchObject({ code: "COMETMQ_CONFIG" });
  await until(() => servers() === before, "every port to be let go");
  // The store is free again.
  await started({ dataDir });
});

test("a broker without a name server here registers with those that are named", async () => {
  const first = await started();
  const { namesrvAddr } = first;
  const second = await started({ namesrvPort: false, config: { ...SMALL, namesrvAddr, brokerName: "broker-b" } });
  expect(second.namesrvAddr).toBe(namesrvAddr);
  const namesrv = clientOf(first.nameServer!.port);
  const cluster = await namesrv.call(RequestCode.GET_BROKER_CLUSTER_INFO, {}, undefined, ANSWER_MS);
  expect(cluster.body.toString()).toContain(second.brokerAddr);
});
