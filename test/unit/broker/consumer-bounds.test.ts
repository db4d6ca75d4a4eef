/** What clients can make the tables of consumers and producers keep. */
import { expect, test } from "vitest";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import { ConsumerTable } from "#src/server/broker/consumer-table.js";
import { ProducerTable } from "#src/server/broker/producer-table.js";
import type { SubscriptionData } from "#src/server/broker/heartbeat-data.js";
import { FakeClock, FakeConnection, FakeLog } from "./harness.js";

const LIMITS = { groupsPerConnectionMax: 3, subscriptionCharsMax: 1000, pulledCharsMax: 1000 };

function subscription(topic: string, subString: string, subVersion = 1): SubscriptionData {
  const nothing = { classFilterMode: false, tagsSet: [], codeSet: new Set<number>(), tagFilter: undefined };
  return { topic, subString, expressionType: "SQL92", subVersion, ...nothing };
}

class Scene {
  readonly log = new FakeLog();
  readonly clock = new FakeClock();
  readonly table = new ConsumerTable(defaultBrokerConfig({}), this.clock, this.log, LIMITS);

  beat(groupName: string, connection: FakeConnection, ...subscriptions: SubscriptionData[]): void {
    const client = { connection, clientId: "c", language: 0, version: 0 };
    const kinds = { consumeType: undefined, messageModel: undefined, consumeFromWhere: undefined, unitMode: false };
    this.table.register(client, { groupName, ...kinds, subscriptions }, false, false);
  }

  groups(): string[] {
    return Array.from(this.table.values(), ({ name }) => name);
  }

  shown(group: string): string | undefined {
    return this.table.findSubscription(group, "T")?.subString.slice(0, 1);
  }
}

test("a connection is a member of so many groups and no more, until it leaves one or closes", () => {
  const scene = new Scene();
  const connection = new FakeConnection();
  for (let i = 0; i < 10; i++) scene.beat(`g${i}`, connection, subscription("T", "*"));
  expect(scene.groups()).toEqual(["g0", "g1", "g2"]);
  expect(scene.log.at("warn", /too many consumer groups/)).toHaveLength(1);
  scene.table.unregister("g1", connection, false);
  scene.beat("g8", connection, subscription("T", "*"));
  scene.beat("g2", connection, subscription("T", "a"));
  scene.beat("g1", new FakeConnection());
  expect(scene.groups()).toEqual(["g0", "g2", "g8", "g1"]);
  connection.close();
  expect(scene.groups()).toEqual(["g1"]);
});

test("subscriptions without end take a bounded room, which comes back with who leaves", () => {
  const scene = new Scene();
  const [first, second, third] = [new FakeConnection(), new FakeConnection(), new FakeConnection()];
  // Kept twice: as they are, and as what this member says.
  scene.beat("a", first, subscription("T", "a".repeat(300)));
  scene.beat("b", second, subscription("T", "b".repeat(300)));
  expect([scene.shown("a"), scene.shown("b")]).toEqual(["a", undefined]);
  expect(scene.log.at("warn", /no room for more subscriptions/)).toHaveLength(1);
  // What is no longer than before has its room.
  scene.beat("a", first, subscription("T", "c".repeat(300), 2));
  expect(scene.shown("a")).toBe("c");
  // A member that goes leaves what the group has of it, and no more.
  scene.beat("a", third, subscription("T", "c"));
  first.close();
  scene.beat("b", second, subscription("T", "b".repeat(100)));
  expect([scene.shown("a"), scene.shown("b")]).toEqual(["c", "b"]);
  third.close();
  second.close();
  scene.beat("d", new FakeConnection(), subscription("T", "d".repeat(400)));
  expect(scene.shown("d")).toBe("d");
});

test("of what pulls say the oldest goes, and what is too long is not kept", () => {
  const scene = new Scene();
  for (const group of ["a", "b", "c", "d"]) scene.table.noteSubscription(group, subscription("T", group.repeat(400)));
  expect(["a", "b", "c", "d"].map((group) => scene.shown(group))).toEqual([undefined, undefined, "c", "d"]);
  scene.table.noteSubscription("c", subscription("T", "x".repeat(2000)));
  scene.table.noteSubscription("e", subscription("T", "e".repeat(400)));
  expect(["c", "d", "e"].map((group) => scene.shown(group))).toEqual([undefined, "d", "e"]);
  scene.clock.advance(600_001);
  scene.table.scan();
  for (const group of ["f", "g"]) scene.table.noteSubscription(group, subscription("T", group.repeat(400)));
  expect(["d", "e", "f", "g"].map((group) => scene.shown(group))).toEqual([undefined, undefined, "f", "g"]);
});

test("a producer of more groups than one may be of fills neither the table nor the log", () => {
  const log = new FakeLog();
  const table = new ProducerTable(defaultBrokerConfig({}), new FakeClock(), log);
  const connection = new FakeConnection();
  const client = { connection, clientId: "c", language: 0, version: 0 };
  for (let round = 0; round < 2; round++) for (let i = 0; i < 1100; i++) table.register(`g${i}`, client);
  expect([...table.groups()]).toHaveLength(1024);
  expect(log.at("warn", /too many producer groups/)).toHaveLength(1);
});
