import { describe, expect, test } from "vitest";
import { NamesrvConfig, type NamesrvSettings } from "#src/server/namesrv/namesrv-config.js";
import {
  type BrokerRegistration,
  ROUTE_LIMITS,
  type RouteLimits,
  RouteTable,
} from "#src/server/namesrv/route-table.js";
import { FakeClock, FakeConnection } from "./harness.js";
import type { TopicConfig } from "#src/server/protocol/topic-config.js";

function topic(topicName: string, more: Partial<TopicConfig> = {}): [string, TopicConfig] {
  const config: TopicConfig = {
    topicName,
    readQueueNums: 4,
    writeQueueNums: 4,
    perm: 6,
    topicFilterType: "SINGLE_TAG",
    topicSysFlag: 0,
    order: false,
    attributes: new Map(),
    ...more,
  };
  return [topicName, config];
}

function broker(more: Partial<BrokerRegistration> = {}): BrokerRegistration {
  return {
    clusterName: "C",
    brokerName: "a",
    brokerId: 0,
    brokerAddr: "10.0.0.1:10911",
    haServerAddr: "10.0.0.1:10912",
    enableActingMaster: false,
    dataVersion: { stateVersion: 0, timestamp: 1, counter: 1 },
    topicConfigTable: new Map([topic("T"), topic("U")]),
    ...more,
  };
}

const version = (counter: number, stateVersion = 0) => ({ stateVersion, timestamp: 1, counter });

function tableWith(settings: Partial<NamesrvSettings> = {}, limits: Partial<RouteLimits> = {}) {
  const clock = new FakeClock();
  const config = new NamesrvConfig(settings);
  return { clock, table: new RouteTable({ clock, config, limits: { ...ROUTE_LIMITS, ...limits } }) };
}

const perms = (table: RouteTable, name: string) => table.topicRouteData(name)?.queueDatas.map((data) => data.perm);
const addrs = (table: RouteTable, name: string) =>
  table.topicRouteData(name)?.brokerDatas.map((data) => Object.fromEntries(data.brokerAddrs));

/** Every broker of the cluster table is in the broker table and has an address; no topic is left without a broker. */
function checkInvariants(table: RouteTable): void {
  const { brokerAddrTable, clusterAddrTable } = table.clusterInfo();
  const inClusters = [...clusterAddrTable.values()].flat().sort();
  expect(inClusters).toEqual([...brokerAddrTable.keys()].sort());
  for (const [name, data] of brokerAddrTable) {
    expect(clusterAddrTable.get(data.cluster)).toContain(name);
    expect(data.brokerAddrs.size).toBeGreaterThan(0);
    for (const addr of data.brokerAddrs.values()) expect(table.dataVersion(data.cluster, addr)).toBeDefined();
  }
  for (const name of table.allTopics().topicList) {
    const route = table.topicRouteData(name)!;
    expect(route.brokerDatas.map((data) => data.brokerName)).toEqual(route.queueDatas.map((data) => data.brokerName));
  }
}

describe("registration", () => {
  test("a broker's topics have a route to it, others have none", () => {
    const { table } = tableWith();
    expect(table.register(broker(), new FakeConnection())).toEqual({});
    expect(table.topicRouteData("T")).toEqual({
      queueDatas: [{ brokerName: "a", readQueueNums: 4, writeQueueNums: 4, perm: 6, topicSysFlag: 0 }],
      brokerDatas: [
        {
          cluster: "C",
          brokerName: "a",
          brokerAddrs: new Map([[0, "10.0.0.1:10911"]]),
          zoneName: undefined,
          enableActingMaster: false,
        },
      ],
      topicQueueMappingByBroker: undefined,
    });
    expect(table.topicRouteData("nobody's")).toBeUndefined();
    checkInvariants(table);
  });

  test("names that every object has are ordinary names", () => {
    const { table } = tableWith();
    const names = ["__proto__", "constructor", "toString", "1", "hasOwnProperty"];
    for (const name of names) {
      const registration = broker({
        clusterName: name,
        brokerName: name,
        brokerAddr: name,
        topicConfigTable: new Map([topic(name), topic(`${name}.2`)]),
      });
      expect(table.topicRouteData(name)).toBeUndefined();
      expect(table.register(registration, new FakeConnection())).toEqual({});
      expect(addrs(table, name)).toEqual([{ 0: name }]);
    }
    expect([...table.clusterInfo().clusterAddrTable.keys()]).toEqual(names);
    checkInvariants(table);
  });

  test("topics are taken over when the version changed, and only then", () => {
    const { table } = tableWith();
    const connection = new FakeConnection();
    table.register(broker(), connection);
    const changed = new Map([topic("T", { readQueueNums: 8, writeQueueNums: 8 }), topic("V")]);
    table.register(broker({ topicConfigTable: changed }), connection);
    expect(table.topicRouteData("T")!.queueDatas[0]!.readQueueNums).toBe(4);
    expect(table.topicRouteData("V")).toBeDefined();
    table.register(broker({ topicConfigTable: changed, dataVersion: version(2) }), connection);
    expect(table.topicRouteData("T")!.queueDatas[0]!.readQueueNums).toBe(8);
    expect(table.topicRouteData("U")).toBeDefined();
  });

  test("topics no longer told are deleted where that is configured", () => {
    const { table } = tableWith({ deleteTopicWithBrokerRegistration: true });
    const connection = new FakeConnection();
    table.register(broker(), connection);
    table.register(
      broker({ topicConfigTable: new Map([topic("T"), topic("V")]), dataVersion: version(2) }),
      connection,
    );
    expect(table.allTopics().topicList).toEqual(["T", "V"]);
    checkInvariants(table);
  });

  test("a single topic of a broker that is not registered is refused and leaves no trace", () => {
    const { table } = tableWith();
    const one = broker({ topicConfigTable: new Map([topic("T")]) });
    expect(table.register(one, new FakeConnection()).refused).toContain("single topic");
    expect(table.clusterInfo()).toEqual({ brokerAddrTable: new Map(), clusterAddrTable: new Map() });
    table.register(broker(), new FakeConnection());
    expect(table.register({ ...one, dataVersion: version(2) }, new FakeConnection())).toEqual({});
  });

  test("a slave is told its master, and its topics do not count", () => {
    const { table } = tableWith();
    table.register(broker(), new FakeConnection());
    const slave = broker({
      brokerId: 1,
      brokerAddr: "10.0.0.2:10911",
      topicConfigTable: new Map([topic("S"), topic("S2")]),
    });
    expect(table.register(slave, new FakeConnection())).toEqual({
      haServerAddr: "10.0.0.1:10912",
      masterAddr: "10.0.0.1:10911",
    });
    expect(table.topicRouteData("S")).toBeUndefined();
    expect(addrs(table, "T")).toEqual([{ 0: "10.0.0.1:10911", 1: "10.0.0.2:10911" }]);
    checkInvariants(table);
  });

  test("a lone slave that becomes master keeps its address once, with its topics", () => {
    const { table } = tableWith();
    const connection = new FakeConnection();
    table.register(broker({ brokerId: 1 }), connection);
    table.register(broker({ brokerId: 0, dataVersion: version(2) }), connection);
    expect(addrs(table, "T")).toEqual([{ 0: "10.0.0.1:10911" }]);
    checkInvariants(table);
    connection.close();
    expect(table.clusterInfo().brokerAddrTable.size).toBe(0);
  });

  test("the same address under another broker name replaces the old name", () => {
    const { table } = tableWith();
    table.register(broker(), new FakeConnection());
    table.register(broker({ brokerName: "b" }), new FakeConnection());
    expect([...table.clusterInfo().brokerAddrTable.keys()]).toEqual(["b"]);
    expect(table.topicRouteData("T")!.queueDatas.map((data) => data.brokerName)).toEqual(["b"]);
    checkInvariants(table);
  });

  test("another address for a known id wins unless the known one is of a newer state", () => {
    const { table } = tableWith();
    table.register(broker({ dataVersion: version(1, 5) }), new FakeConnection());
    const other = broker({ brokerAddr: "10.0.0.9:1", dataVersion: version(9, 4) });
    expect(table.register(other, new FakeConnection())).toEqual({});
    expect(addrs(table, "T")).toEqual([{ 0: "10.0.0.1:10911" }]);
    expect(table.dataVersion("C", "10.0.0.9:1")).toBeUndefined();
    table.register({ ...other, dataVersion: version(1, 5) }, new FakeConnection());
    expect(addrs(table, "T")).toEqual([{ 0: "10.0.0.9:1" }]);
    expect(table.dataVersion("C", "10.0.0.1:10911")).toBeUndefined();
    checkInvariants(table);
  });

  test("a broker name stays in its cluster", () => {
    const { table } = tableWith();
    table.register(broker(), new FakeConnection());
    expect(table.register(broker({ clusterName: "D" }), new FakeConnection()).refused).toContain("cluster C");
    checkInvariants(table);
  });

  test("counts and lengths are bounded", () => {
    const limits = { clustersMax: 2, brokerNamesMax: 3, brokersPerNameMax: 2, topicEntriesMax: 5, nameCharsMax: 8 };
    const { table } = tableWith({}, { ...limits, queueNumsMax: 16 });
    const at = (more: Partial<BrokerRegistration>) =>
      table.register(broker({ brokerAddr: "x:1", haServerAddr: "", ...more }), new FakeConnection());
    expect(at({ brokerName: "123456789" }).refused).toContain("too long");
    expect(at({ clusterName: "" }).refused).toContain("empty");
    expect(at({ brokerId: -1 }).refused).toContain("brokerId");
    expect(at({ brokerId: 1.5 }).refused).toContain("brokerId");
    expect(at({})).toEqual({});
    expect(at({ brokerId: 1, brokerAddr: "x:2" }).refused).toBeUndefined();
    expect(at({ brokerId: 2, brokerAddr: "x:3" }).refused).toContain("too many ids");
    expect(at({ brokerName: "b", clusterName: "D", brokerAddr: "x:4" })).toEqual({});
    expect(at({ brokerName: "c", clusterName: "E", brokerAddr: "x:5" }).refused).toContain("too many clusters");
    const odd = [
      topic("V"),
      topic("W"),
      topic("123456789"),
      topic(""),
      topic("many", { writeQueueNums: 17 }),
      topic("none", { readQueueNums: -1 }),
    ];
    expect(at({ brokerName: "c", clusterName: "D", brokerAddr: "x:6", topicConfigTable: new Map(odd) })).toEqual({});
    expect(at({ brokerName: "d", clusterName: "D", brokerAddr: "x:7" }).refused).toContain("too many brokers");
    expect(table.allTopics().topicList).toEqual(["T", "U", "V"]);
    checkInvariants(table);
  });
});

describe("life and death", () => {
  test("a broker is forgotten with its connection, and not with one it no longer uses", () => {
    const { table } = tableWith();
    const [first, second] = [new FakeConnection(), new FakeConnection()];
    table.register(broker(), first);
    table.register(broker(), second);
    first.close();
    expect(table.topicRouteData("T")).toBeDefined();
    second.close();
    expect(table.topicRouteData("T")).toBeUndefined();
    expect(table.allTopics().topicList).toEqual([]);
    expect(table.clusterInfo().clusterAddrTable.size).toBe(0);
  });

  test("every broker of one connection goes with it", () => {
    const { table } = tableWith();
    const connection = new FakeConnection();
    table.register(broker(), connection);
    table.register(broker({ brokerName: "b", brokerAddr: "10.0.0.1:20911" }), connection);
    connection.close();
    expect(table.clusterInfo().brokerAddrTable.size).toBe(0);
  });

  test("silence beyond the heartbeat timeout ends a broker and its connection", () => {
    const { clock, table } = tableWith();
    const [usual, short] = [new FakeConnection(), new FakeConnection()];
    table.register(broker(), usual);
    table.register(broker({ brokerName: "b", brokerAddr: "b:1", heartbeatTimeoutMs: 1000 }), short);
    clock.advance(1000);
    table.scanNotActiveBroker();
    expect(table.clusterInfo().brokerAddrTable.size).toBe(2);
    clock.advance(1);
    table.scanNotActiveBroker();
    expect([...table.clusterInfo().brokerAddrTable.keys()]).toEqual(["a"]);
    expect([usual.closed, short.closed]).toEqual([false, true]);
    clock.advance(118_999);
    table.heartbeat("C", "10.0.0.1:10911");
    table.heartbeat("C", "unknown");
    clock.advance(120_000);
    table.scanNotActiveBroker();
    expect(table.topicRouteData("T")).toBeDefined();
    clock.advance(1);
    table.scanNotActiveBroker();
    expect(table.topicRouteData("T")).toBeUndefined();
    expect(usual.closed).toBe(true);
  });

  test("brokers that share a connection go together when one of them is silent", () => {
    const { clock, table } = tableWith();
    const connection = new FakeConnection();
    table.register(broker({ heartbeatTimeoutMs: 1000 }), connection);
    table.register(broker({ brokerName: "b", brokerAddr: "b:1", heartbeatTimeoutMs: 1000 }), connection);
    clock.advance(1001);
    table.scanNotActiveBroker();
    expect(table.clusterInfo()).toEqual({ brokerAddrTable: new Map(), clusterAddrTable: new Map() });
  });

  test("unregistering names the broker in full", () => {
    const { table } = tableWith();
    table.register(broker(), new FakeConnection());
    expect(table.unregister("C", "10.0.0.1:10911", "b")).toBe(false);
    expect(table.unregister("D", "10.0.0.1:10911", "a")).toBe(false);
    expect(table.unregister("C", "10.0.0.1:1", "a")).toBe(false);
    expect(table.topicRouteData("T")).toBeDefined();
    expect(table.unregister("C", "10.0.0.1:10911", "a")).toBe(true);
    expect(table.topicRouteData("T")).toBeUndefined();
  });

  test("the other brokers of a topic stay", () => {
    const { table } = tableWith();
    table.register(broker(), new FakeConnection());
    table.register(broker({ brokerName: "b", brokerAddr: "b:1" }), new FakeConnection());
    table.unregister("C", "10.0.0.1:10911", "a");
    expect(addrs(table, "T")).toEqual([{ 0: "b:1" }]);
    expect([...table.clusterInfo().clusterAddrTable]).toEqual([["C", ["b"]]]);
    checkInvariants(table);
  });
});

describe("a broker of this process", () => {
  const options = {
    addressFor: (name: string, connection: { localHost: string }) => `${connection.localHost}:10911/${name}`,
  };

  test("needs no connection, does not expire, and may have a single topic", () => {
    const { clock, table } = tableWith();
    expect(table.register(broker({ topicConfigTable: new Map([topic("T")]) }))).toEqual({});
    clock.advance(1e9);
    table.scanNotActiveBroker();
    expect(table.topicRouteData("T")).toBeDefined();
  });

  test("is told to each client at the address it came by; other brokers are told as they registered", () => {
    const table = new RouteTable(options);
    table.register(broker());
    table.register(broker({ brokerName: "b", brokerAddr: "b:1" }), new FakeConnection());
    const client = new FakeConnection("192.168.7.7");
    const told = (from?: FakeConnection) =>
      table.topicRouteData("T", from)!.brokerDatas.map((data) => data.brokerAddrs.get(0));
    expect(told(client)).toEqual(["192.168.7.7:10911/a", "b:1"]);
    expect(told()).toEqual(["10.0.0.1:10911", "b:1"]);
    expect(table.clusterInfo(client).brokerAddrTable.get("a")!.brokerAddrs.get(0)).toBe("192.168.7.7:10911/a");
    expect(table.brokerMemberGroup("C", "a", client).brokerAddrs.get(0)).toBe("192.168.7.7:10911/a");
    expect(table.systemTopics(client).brokerAddr).toBe("192.168.7.7:10911/a");
  });

  test("cannot be displaced or unregistered by a client", () => {
    const table = new RouteTable();
    table.register(broker());
    const client = new FakeConnection();
    expect(table.register(broker({ brokerAddr: "evil:1", dataVersion: version(9, 9) }), client).refused).toContain(
      "own",
    );
    expect(table.register(broker({ brokerName: "b" }), client).refused).toContain("own");
    expect(table.unregister("C", "10.0.0.1:10911", "a", client)).toBe(false);
    expect(addrs(table, "T")).toEqual([{ 0: "10.0.0.1:10911" }]);
    expect(table.unregister("C", "10.0.0.1:10911", "a")).toBe(true);
  });
});

describe("topics", () => {
  test("wiped write permission lasts while the broker tells nothing new", () => {
    const { table } = tableWith();
    const connection = new FakeConnection();
    table.register(broker(), connection);
    expect(table.wipeWritePerm("a")).toBe(2);
    expect(table.wipeWritePerm("nobody")).toBe(0);
    expect(perms(table, "T")).toEqual([4]);
    table.register(broker(), connection);
    expect(perms(table, "T")).toEqual([4]);
    expect(table.addWritePerm("a")).toBe(2);
    expect(perms(table, "T")).toEqual([6]);
    table.wipeWritePerm("a");
    table.register(broker({ dataVersion: version(2) }), connection);
    expect(perms(table, "T")).toEqual([6]);
  });

  test("what a broker of this process changes leaves the permissions of its other topics as they were wiped", () => {
    const { table } = tableWith();
    const registration = broker();
    table.register(registration);
    table.wipeWritePerm("a");
    const config = { ...[...registration.topicConfigTable.values()][0]!, topicName: "N", perm: 6 };
    const changes = {
      clusterName: registration.clusterName,
      brokerName: "a",
      brokerAddr: registration.brokerAddr,
      dataVersion: version(2),
      topicConfigTable: new Map([["N", config]]),
      topicQueueMappingInfoMap: new Map(),
    };
    table.registerChanges(changes);
    expect([perms(table, "T"), perms(table, "N")]).toEqual([[4], [6]]);
    table.register({ ...registration, dataVersion: version(2) });
    expect(perms(table, "T")).toEqual([4]);
    table.registerChanges({ ...changes, brokerAddr: "10.0.0.9:1", topicConfigTable: new Map([["M", config]]) });
    table.registerChanges({ ...changes, brokerName: "b" });
    expect(table.dataVersion(registration.clusterName, registration.brokerAddr)).toEqual(version(2));
    expect(table.topicRouteData("M")).toBeUndefined();
  });

  test("a topic registered alone joins its brokers, unless one is unknown", () => {
    const { table } = tableWith();
    table.register(broker(), new FakeConnection());
    const data = { brokerName: "a", readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 };
    table.registerTopic("N", [data]);
    table.registerTopic("M", [data, { ...data, brokerName: "unknown" }]);
    expect(table.topicRouteData("N")!.queueDatas).toEqual([data]);
    expect(table.topicRouteData("M")).toBeUndefined();
    checkInvariants(table);
  });

  test("deleting a topic, everywhere or in one cluster", () => {
    const { table } = tableWith();
    table.register(broker(), new FakeConnection());
    table.register(broker({ clusterName: "D", brokerName: "b", brokerAddr: "b:1" }), new FakeConnection());
    table.deleteTopic("T", "D");
    table.deleteTopic("T", "unknown");
    expect(addrs(table, "T")).toEqual([{ 0: "10.0.0.1:10911" }]);
    table.deleteTopic("U");
    expect(table.topicRouteData("U")).toBeUndefined();
    expect(table.topicsOfCluster("C").topicList).toEqual(["T"]);
    expect(table.topicsOfCluster("D").topicList).toEqual([]);
    expect(table.topicsOfCluster("unknown").topicList).toEqual([]);
    checkInvariants(table);
  });

  test("unit topics are found by their flags", () => {
    const { table } = tableWith();
    const topics = [0, 1, 2, 3].map((topicSysFlag) => topic(`F${topicSysFlag}`, { topicSysFlag }));
    table.register(broker({ topicConfigTable: new Map(topics) }), new FakeConnection());
    expect(table.unitTopics().topicList).toEqual(["F1", "F3"]);
    expect(table.unitSubTopics().topicList).toEqual(["F2", "F3"]);
    expect(table.unitSubUnUnitTopics().topicList).toEqual(["F2"]);
  });

  test("system topics are the clusters and brokers, with an address to ask", () => {
    const { table } = tableWith();
    expect(table.systemTopics()).toEqual({ topicList: [], brokerAddr: undefined });
    table.register(broker(), new FakeConnection());
    expect(table.systemTopics()).toEqual({ topicList: ["C", "a"], brokerAddr: "10.0.0.1:10911" });
  });

  test("static topics' mappings are told with the route and go with the broker", () => {
    const { table } = tableWith();
    const info = (bname: string) => ({
      topic: "T",
      scope: "__global__",
      totalQueues: 2,
      bname,
      epoch: 1,
      dirty: false,
      currIdMap: new Map([[0, 1]]),
    });
    const maps = (bname: string) => ({ topicQueueMappingInfoMap: new Map([["T", info(bname)]]) });
    table.register(broker(maps("a")), new FakeConnection());
    table.register(broker({ brokerName: "b", brokerAddr: "b:1", ...maps("forged") }), new FakeConnection());
    expect(table.topicRouteData("T")!.topicQueueMappingByBroker).toEqual(new Map([["a", info("a")]]));
    table.unregister("C", "10.0.0.1:10911", "a");
    expect(table.topicRouteData("T")!.topicQueueMappingByBroker).toBeUndefined();
  });
});

describe("acting master", () => {
  const master = broker({ enableActingMaster: true });
  const slave = broker({ enableActingMaster: true, brokerId: 2, brokerAddr: "s:1" });

  test("when the master goes its topics are for reading, through the slave in its place", () => {
    const { table } = tableWith({ supportActingMaster: true });
    const connection = new FakeConnection();
    table.register(master, connection);
    table.register(slave, new FakeConnection());
    connection.close();
    expect(perms(table, "T")).toEqual([4]);
    expect(addrs(table, "T")).toEqual([{ 0: "s:1" }]);
    expect(Object.fromEntries(table.brokerMemberGroup("C", "a").brokerAddrs)).toEqual({ 2: "s:1" });
    table.register({ ...slave, dataVersion: version(2) }, new FakeConnection());
    expect(perms(table, "T")).toEqual([4]);
    table.register(master, new FakeConnection());
    expect(perms(table, "T")).toEqual([6]);
    expect(addrs(table, "T")).toEqual([{ 0: "10.0.0.1:10911", 2: "s:1" }]);
    checkInvariants(table);
  });

  test("the member group's own topic shows who is really there", () => {
    const { table } = tableWith({ supportActingMaster: true });
    const name = "rmq_sys_SYNC_BROKER_MEMBER_a";
    table.register(
      { ...slave, topicConfigTable: new Map([topic(name, { perm: 1 }), topic("T")]) },
      new FakeConnection(),
    );
    expect(addrs(table, name)).toEqual([{ 2: "s:1" }]);
    expect(addrs(table, "T")).toEqual([{ 0: "s:1" }]);
  });

  test("without the setting a slave stays a slave", () => {
    const { table } = tableWith();
    table.register(slave, new FakeConnection());
    expect(addrs(table, "T")).toEqual([{ 2: "s:1" }]);
  });
});
