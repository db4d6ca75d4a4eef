/** Brokers come, change, go silent and go, in any order: the route table's parts stay in step, and nothing is left behind. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { NamesrvConfig } from "#src/server/namesrv/namesrv-config.js";
import { RouteTable } from "#src/server/namesrv/route-table.js";
import type { TopicConfig } from "#src/server/protocol/topic-config.js";
import { FakeClock, FakeConnection } from "../unit/namesrv/harness.js";

const CONNECTIONS = 4;

const clusterName = fc.constantFrom("C", "D", "__proto__");
const brokerName = fc.constantFrom("a", "b", "constructor");
const brokerAddr = fc.constantFrom("h:1", "h:2", "h:3");
const topicName = fc.constantFrom("T", "U", "V", "__proto__");
const brokerId = fc.integer({ min: 0, max: 2 });
const connection = fc.integer({ min: -1, max: CONNECTIONS - 1 });
const counter = fc.integer({ min: 0, max: 2 });

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("register" as const),
      ...{ clusterName, brokerName, brokerAddr, brokerId, connection, counter, stateVersion: counter },
      topics: fc.uniqueArray(topicName),
      enableActingMaster: fc.constantFrom(undefined, false, true),
    }),
  },
  fc.record({ kind: fc.constant("unregister" as const), clusterName, brokerName, brokerAddr }),
  fc.record({ kind: fc.constant("close" as const), connection }),
  fc.record({ kind: fc.constant("silence" as const), ms: fc.constantFrom(1, 60_000, 121_000) }),
  fc.record({ kind: fc.constant("heartbeat" as const), clusterName, brokerAddr }),
  fc.record({
    kind: fc.constant("deleteTopic" as const),
    topicName,
    clusterName: fc.option(clusterName, { nil: undefined }),
  }),
  fc.record({ kind: fc.constant("registerTopic" as const), topicName, brokerName }),
  fc.record({ kind: fc.constant("wipe" as const), brokerName }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function topicConfig(name: string): TopicConfig {
  const queues = { readQueueNums: 4, writeQueueNums: 4 };
  const attributes = new Map<string, string>();
  return {
    topicName: name,
    ...queues,
    perm: 6,
    topicFilterType: "SINGLE_TAG",
    topicSysFlag: 0,
    order: false,
    attributes,
  };
}

class World {
  readonly clock = new FakeClock();
  readonly table: RouteTable;
  readonly connections = Array.from({ length: CONNECTIONS }, () => new FakeConnection());

  constructor(deleteTopicWithBrokerRegistration: boolean) {
    const config = new NamesrvConfig({ deleteTopicWithBrokerRegistration, supportActingMaster: true });
    this.table = new RouteTable({ clock: this.clock, config });
  }

  run(step: Step): void {
    const { table } = this;
    if (step.kind === "register") {
      const { topics, counter, stateVersion, connection, ...broker } = step;
      const dataVersion = { stateVersion, timestamp: 1, counter };
      const topicConfigTable = new Map(topics.map((name) => [name, topicConfig(name)]));
      const haServerAddr = `${broker.brokerAddr}1`;
      table.register({ ...broker, haServerAddr, dataVersion, topicConfigTable }, this.connections[connection]);
    } else if (step.kind === "unregister") {
      table.unregister(step.clusterName, step.brokerAddr, step.brokerName);
    } else if (step.kind === "close") {
      this.connections[step.connection]?.close();
      this.connections[step.connection] = new FakeConnection();
    } else if (step.kind === "silence") {
      this.clock.advance(step.ms);
      table.scanNotActiveBroker();
      this.connections.forEach((one, index) => {
        if (one.closed) this.connections[index] = new FakeConnection();
      });
    } else if (step.kind === "heartbeat") {
      table.heartbeat(step.clusterName, step.brokerAddr);
    } else if (step.kind === "deleteTopic") {
      table.deleteTopic(step.topicName, step.clusterName);
    } else if (step.kind === "registerTopic") {
      const queues = { readQueueNums: 1, writeQueueNums: 1, perm: 6, topicSysFlag: 0 };
      table.registerTopic(step.topicName, [{ brokerName: step.brokerName, ...queues }]);
    } else {
      table.wipeWritePerm(step.brokerName);
    }
  }

  check(): void {
    const { table } = this;
    const { brokerAddrTable, clusterAddrTable } = table.clusterInfo();
    const inClusters: string[] = [];
    for (const [cluster, names] of clusterAddrTable) {
      expect(names.length).toBeGreaterThan(0);
      for (const name of names) expect(brokerAddrTable.get(name)?.cluster).toBe(cluster);
      inClusters.push(...names);
    }
    expect(inClusters.sort()).toEqual([...brokerAddrTable.keys()].sort());
    const addresses: string[] = [];
    for (const data of brokerAddrTable.values()) {
      expect(data.brokerAddrs.size).toBeGreaterThan(0);
      for (const addr of data.brokerAddrs.values()) {
        expect(table.dataVersion(data.cluster, addr)).toBeDefined();
        addresses.push(`${data.cluster} ${addr}`);
      }
    }
    expect(new Set(addresses).size).toBe(addresses.length);
    for (const cluster of ["C", "D", "__proto__"]) {
      for (const addr of ["h:1", "h:2", "h:3"]) {
        expect(table.dataVersion(cluster, addr) !== undefined).toBe(addresses.includes(`${cluster} ${addr}`));
      }
    }
    for (const topic of table.allTopics().topicList) {
      const route = table.topicRouteData(topic)!;
      for (const data of route.queueDatas) expect(brokerAddrTable.has(data.brokerName)).toBe(true);
      for (const data of route.brokerDatas) expect(data.brokerAddrs.size).toBeGreaterThan(0);
    }
  }
}

test("the tables stay in step", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.boolean(), (steps, deleting) => {
      const world = new World(deleting);
      for (const one of steps) {
        world.run(one);
        world.check();
      }
      for (const one of world.connections) one.close();
      const { brokerAddrTable } = world.table.clusterInfo();
      for (const [name, data] of brokerAddrTable) {
        for (const addr of data.brokerAddrs.values()) world.table.unregister(data.cluster, addr, name);
      }
      expect(world.table.clusterInfo()).toEqual({ brokerAddrTable: new Map(), clusterAddrTable: new Map() });
      expect(world.table.allTopics().topicList).toEqual([]);
    }),
    { numRuns: 500 },
  );
});
