import { expect, test } from "vitest";
import { startHousekeeping } from "#src/server/broker/housekeeping.js";
import { FakeConnection, heartbeatBody, TestBroker } from "./harness.js";

const HEARTBEAT = 34;
const UNREGISTER = 35;
const CONSUMERS = 38;
const NOTIFY = 40;
const CHECK = 46;

type Subscriptions = readonly (readonly [string, string, number?])[];

/** A broker, and clients that speak to it. */
class Scene {
  readonly broker = new TestBroker();

  beat(
    connection: FakeConnection,
    clientId: string,
    subscriptions: Subscriptions,
    extra: Record<string, unknown> = {},
  ) {
    const body = heartbeatBody(clientId, "g", subscriptions, extra);
    return this.broker.ask(HEARTBEAT, {}, body, connection);
  }

  /** How many notices a client has had since it was asked last. */
  notices(connection: FakeConnection): number {
    this.broker.clock.advance(0);
    const codes = connection.pushed.splice(0);
    for (const push of codes) expect(push).toEqual([NOTIFY, { consumerGroup: "g" }]);
    return codes.length;
  }

  ids(): string[] {
    const answer = this.broker.ask(CONSUMERS, { consumerGroup: "g" });
    if (answer.code !== 0) return [answer.remark];
    return (JSON.parse(answer.body.toString()) as { consumerIdList: string[] }).consumerIdList;
  }
}

test("a consumer's first heartbeat makes its group, its retry topic and its membership", () => {
  const { broker, beat, ids } = bound(new Scene());
  expect(ids()).toEqual(["no consumer for this group, g"]);
  const answer = beat(new FakeConnection(), "c1", [["T", "TagA || TagB"]]);
  expect(answer).toMatchObject({ code: 0, fields: { IS_SUPPORT_HEART_BEAT_V2: "true", IS_SUB_CHANGE: "true" } });
  expect(ids()).toEqual(["c1"]);
  expect(broker.context.groups.get("g")).toMatchObject({ retryMaxTimes: 16 });
  expect(broker.context.topics.get("%RETRY%g")).toMatchObject({ readQueueNums: 1, writeQueueNums: 1, perm: 6 });
  expect([...broker.context.consumers.groupsOf("T")]).toEqual(["g"]);
  expect(broker.context.consumers.findSubscription("g", "T")?.tagFilter).toEqual(new Set([1]));
  expect(broker.context.producers.channelsOf("CLIENT_INNER_PRODUCER")?.size).toBe(1);
});

test("every member hears of a change once, and nobody of a mere heartbeat", () => {
  const { beat, broker, notices } = bound(new Scene());
  const [first, second, third] = [new FakeConnection(), new FakeConnection(), new FakeConnection()];
  beat(first, "c1", [["T", "*"]]);
  expect(notices(first)).toBe(1);
  beat(second, "c2", [["T", "*"]]);
  beat(third, "c3", [["T", "*"]]);
  expect([notices(first), notices(second), notices(third)]).toEqual([1, 1, 1]);
  beat(first, "c1", [["T", "*", 2]]);
  beat(second, "c2", [["T", "*"]]);
  expect([notices(first), notices(second), notices(third)]).toEqual([0, 0, 0]);
  third.close();
  expect([notices(first), notices(second), notices(third)]).toEqual([1, 1, 0]);
  broker.ask(UNREGISTER, { clientID: "c2", consumerGroup: "g" }, undefined, second);
  expect([notices(first), notices(second)]).toEqual([1, 0]);
  broker.ask(UNREGISTER, { clientID: "c2", consumerGroup: "g" }, undefined, second);
  expect([notices(first), notices(second)]).toEqual([0, 0]);
});

test("nobody is told in broadcasting groups, nor where the group or the broker says so", () => {
  const broadcasting = bound(new Scene());
  const one = new FakeConnection();
  broadcasting.beat(one, "c1", [["T", "*"]], { consumer: { messageModel: "BROADCASTING" } });
  const other = new FakeConnection();
  broadcasting.beat(other, "c2", [["T", "*"]], { consumer: { messageModel: "BROADCASTING" } });
  other.close();
  expect(broadcasting.notices(one)).toBe(0);

  const quietGroup = bound(new Scene());
  const group = quietGroup.broker.context.groups.find("g")!;
  group.notifyConsumerIdsChangedEnable = false;
  quietGroup.beat(one, "c1", [["T", "*"]]);
  expect(quietGroup.notices(one)).toBe(0);

  const quietBroker = bound(new Scene());
  quietBroker.broker.ask(25, {}, "notifyConsumerIdsChangedEnable=false");
  quietBroker.beat(one, "c1", [["T", "*"]]);
  expect(quietBroker.notices(one)).toBe(0);
});

test("topics come and go with what the last heartbeat says, newer versions replace older ones", () => {
  const { beat, broker } = bound(new Scene());
  const { consumers } = broker.context;
  const connection = new FakeConnection();
  beat(connection, "c1", [
    ["T", "A", 1],
    ["U", "*", 1],
  ]);
  beat(connection, "c1", [["T", "B", 2]]);
  expect(consumers.findSubscription("g", "T")).toMatchObject({ subString: "B", subVersion: 2 });
  expect(consumers.findSubscription("g", "U")).toBeUndefined();
  expect([...consumers.groupsOf("U")]).toEqual([]);
  beat(connection, "c1", [["T", "C", 1]]);
  expect(consumers.findSubscription("g", "T")).toMatchObject({ subString: "B" });
  connection.close();
  expect(consumers.get("g")).toBeUndefined();
  expect([...consumers.groupsOf("T")]).toEqual([]);
});

test("members that subscribe differently are named in the log, once, and again when they agree", () => {
  const { beat, broker } = bound(new Scene());
  const [first, second] = [new FakeConnection(), new FakeConnection()];
  beat(first, "c1", [
    ["T", "A || B"],
    ["%RETRY%g", "*"],
  ]);
  beat(second, "c2", [["T", "B || A"]]);
  expect(broker.log.at("warn", /subscribe differently/)).toHaveLength(0);
  for (let i = 0; i < 3; i++) {
    beat(first, "c1", [["T", "A || B"]]);
    beat(second, "c2", [["T", "*"]]);
  }
  const members = [
    { clientId: "c1", subscription: "T TAG A || B" },
    { clientId: "c2", subscription: "T TAG *" },
  ];
  expect(broker.log.at("warn", /subscribe differently/)).toEqual([{ group: "g", members }]);
  expect(broker.context.consumers.get("g")!.disagreement()).toEqual(members);
  second.close();
  expect(broker.log.at("info", /subscribe to the same again/)).toHaveLength(1);
  expect(broker.context.consumers.get("g")!.disagreement()).toEqual([]);
});

test("a heartbeat of the second version asks for subscriptions when they changed or were never told", () => {
  const { beat } = bound(new Scene());
  const wanted = (connection: FakeConnection, heartbeat: object, subscriptions: Subscriptions = [["T", "*"]]) =>
    beat(connection, "c1", subscriptions, { heartbeat }).fields.IS_SUB_CHANGE;
  const connection = new FakeConnection();
  expect(wanted(connection, { heartbeatFingerprint: 5, withoutSub: true }, [])).toBe("true");
  expect(wanted(connection, { heartbeatFingerprint: 5 })).toBe("false");
  expect(wanted(connection, { heartbeatFingerprint: 5, withoutSub: true }, [])).toBe("false");
  expect(wanted(connection, { heartbeatFingerprint: -6, withoutSub: true }, [])).toBe("true");
});

test("subscriptions that a heartbeat leaves out stay", () => {
  const { beat, broker } = bound(new Scene());
  const connection = new FakeConnection();
  beat(connection, "c1", [["T", "*"]], { heartbeat: { heartbeatFingerprint: 5 } });
  beat(connection, "c1", [], { heartbeat: { heartbeatFingerprint: 5, withoutSub: true } });
  expect(broker.context.consumers.findSubscription("g", "T")).toBeDefined();
});

test("silent clients are dropped after 120 s, and their connections closed", () => {
  const { beat, broker, ids, notices } = bound(new Scene());
  const housekeeping = startHousekeeping(broker.context);
  const [silent, alive] = [new FakeConnection(), new FakeConnection()];
  beat(silent, "c1", [["T", "*"]]);
  beat(alive, "c2", [["T", "*"]]);
  notices(alive);
  for (let i = 0; i < 4; i++) {
    broker.clock.advance(30_000);
    beat(alive, "c2", [["T", "*"]]);
  }
  expect(ids()).toEqual(["c1", "c2"]);
  broker.clock.advance(10_001);
  expect(ids()).toEqual(["c2"]);
  expect(silent.closed).toBe(true);
  expect(alive.closed).toBe(false);
  expect(notices(alive)).toBe(1);
  expect(broker.context.producers.channelsOf("CLIENT_INNER_PRODUCER")?.size).toBe(1);
  housekeeping.close();
});

test("groups that may not be made are passed over, the rest of the heartbeat counts", () => {
  const broker = new TestBroker({ autoCreateSubscriptionGroup: false });
  const connection = new FakeConnection();
  expect(broker.ask(HEARTBEAT, {}, heartbeatBody("c1", "g", [["T", "*"]]), connection).code).toBe(0);
  expect(broker.context.consumers.get("g")).toBeUndefined();
  expect(broker.context.topics.get("%RETRY%g")).toBeUndefined();
  expect(broker.context.producers.findConnection("c1")).toBe(connection);

  const open = new TestBroker();
  for (const name of ["a/b", "../x", "g".repeat(121), " "]) {
    expect(open.ask(HEARTBEAT, {}, heartbeatBody("c1", name, [])).code).toBe(0);
    expect(open.context.groups.get(name)).toBeUndefined();
  }
  const rejecting = new TestBroker({ rejectPullConsumerEnable: true });
  const active = heartbeatBody("c1", "g", [], { consumer: { consumeType: "CONSUME_ACTIVELY" } });
  rejecting.ask(HEARTBEAT, {}, active);
  expect(rejecting.context.consumers.get("g")).toBeUndefined();
});

test("versions of subscriptions are told as longs, whatever clients say", () => {
  const { beat, broker } = bound(new Scene());
  const told = (subVersion: string) => {
    const template = { topic: "T", subString: "*", subVersion: "VERSION", tagsSet: [], codeSet: [] };
    const body = heartbeatBody("c1", "g", [], { consumer: { subscriptionDataSet: [template] } });
    const { code } = broker.ask(34, {}, body.replace('"VERSION"', subVersion), new FakeConnection());
    const answer = broker.ask(203, { consumerGroup: "g" }).body.toString();
    return [code, /"subVersion":([^,}]*)/.exec(answer)?.[1]];
  };
  expect(beat(new FakeConnection(), "c1", [["T", "*"]]).code).toBe(0);
  for (const wrong of ["1e30", "1.5", "99999999999999999999"]) expect(told(wrong)).toEqual([1, "1"]);
  expect(told("9223372036854775807")).toEqual([0, "9223372036854775807"]);
});

test("what clients in other languages write is taken", () => {
  const { beat, broker } = bound(new Scene());
  const answer = beat(new FakeConnection(), "c1", [], {
    consumer: {
      consumeType: 1,
      messageModel: 1,
      consumeFromWhere: 4,
      subscriptionDataSet: [
        { topic: "T", subString: "A", subVersion: 1795250613952123456n.toString(), codeSet: ["65"] },
      ],
    },
  });
  expect(answer.code).toBe(0);
  const group = broker.context.consumers.get("g")!;
  expect(group).toMatchObject({
    consumeType: "CONSUME_PASSIVELY",
    messageModel: "CLUSTERING",
    consumeFromWhere: "CONSUME_FROM_FIRST_OFFSET",
  });
  expect(group.subscriptions.get("T")).toMatchObject({ codeSet: new Set([65]), expressionType: "TAG" });
  expect(group.subscriptions.get("T")!.subVersion).toBeGreaterThan(1.79e18);
});

test.each([
  ["no JSON", "hello"],
  ["no object", "[]"],
  ["nothing", ""],
  ["deep nesting", `{"clientID":${"[".repeat(10_000)}${"]".repeat(10_000)}}`],
  ["no client id", '{"consumerDataSet":[]}'],
  ["a consumer that is a number", '{"clientID":"c","consumerDataSet":[1]}'],
  ["an unknown consume type", heartbeatBody("c", "g", [], { consumer: { consumeType: "CONSUME_SIDEWAYS" } })],
  ["a consume type out of range", heartbeatBody("c", "g", [], { consumer: { consumeType: 17 } })],
  ["a long client id", heartbeatBody("c".repeat(2000), "g", [])],
  ["too many groups", JSON.stringify({ clientID: "c", producerDataSet: new Array(5000).fill({ groupName: "p" }) })],
  ["too many topics", heartbeatBody("c", "g", new Array(5000).fill(["T", "*"]))],
])("a heartbeat with %s is refused and changes nothing", (_, body) => {
  const broker = new TestBroker();
  expect(broker.ask(HEARTBEAT, {}, body).code).toBe(1);
  expect(broker.context.consumers.get("g")).toBeUndefined();
  expect(broker.context.groups.get("g")).toBeUndefined();
});

test("names from the wire meet no prototype", () => {
  const broker = new TestBroker();
  const connection = new FakeConnection();
  for (const name of ["__proto__", "constructor", "toString"]) {
    expect(broker.ask(HEARTBEAT, {}, heartbeatBody(name, name, [[name, "*"]]), connection).code).toBe(0);
    expect(broker.json(CONSUMERS, { consumerGroup: name }).get("consumerIdList")).toEqual([name]);
    expect([
      ...(broker.json(203, { consumerGroup: name }).get("subscriptionTable") as Map<string, unknown>).keys(),
    ]).toEqual([name]);
  }
  expect(({} as Record<string, unknown>).clientId).toBeUndefined();
});

test("a producer is found by group and by client until its last group or its connection goes", () => {
  const { producers } = new TestBroker().context;
  const [one, two] = [new FakeConnection(), new FakeConnection()];
  const client = (connection: FakeConnection, clientId: string) => ({
    connection,
    clientId,
    language: 0,
    version: 493,
  });
  producers.register("p", client(one, "c1"));
  producers.register("q", client(one, "c1"));
  producers.register("p", client(two, "c2"));
  const turns = [1, 2, 3].map(() => producers.availableConnection("p"));
  expect(new Set(turns)).toEqual(new Set([one, two]));
  producers.unregister("p", one);
  expect(producers.findConnection("c1")).toBe(one);
  producers.unregister("q", one);
  expect(producers.findConnection("c1")).toBeUndefined();
  producers.register("p", client(one, "kept"));
  producers.register("q", client(one, "other"));
  producers.unregister("q", one);
  // Who goes on by another name with each group would otherwise be known by all of them.
  expect(["kept", "other"].map((clientId) => producers.findConnection(clientId))).toEqual([one, undefined]);
  producers.unregister("p", one);
  two.close();
  expect(producers.channelsOf("p")).toBeUndefined();
  expect(producers.availableConnection("p")).toBeUndefined();
  producers.register("p", client(two, "c2"));
  expect(producers.channelsOf("p")).toBeUndefined();
});

test("one connection can not fill the table of producers", () => {
  const { producers } = new TestBroker().context;
  const connection = new FakeConnection();
  for (let i = 0; i < 3000; i++) producers.register(`p${i}`, { connection, clientId: "c", language: 0, version: 0 });
  expect([...producers.groups()]).toHaveLength(1024);
});

test("code 46 takes tags, and other expressions where the broker filters and can compile them", () => {
  const check = (expressionType: string | undefined, subString: string, broker = new TestBroker()) =>
    broker.ask(
      CHECK,
      {},
      JSON.stringify({ clientId: "c", group: "g", subscriptionData: { topic: "T", expressionType, subString } }),
    );
  expect(check("TAG", "A || B").code).toBe(0);
  expect(check(undefined, "*").code).toBe(0);
  expect(check("SQL92", "a > 1", new TestBroker({ enablePropertyFilter: false }))).toMatchObject({
    code: 1,
    remark: "The broker does not support consumer to filter message by SQL92",
  });
  expect(check("SQL92", "a > 1").code).toBe(0);
  expect(check("SQL92", "a >")).toMatchObject({
    code: 23,
    remark: expect.stringContaining("breaks off at character 3"),
  });
  expect(check("XPATH", "a")).toMatchObject({ code: 23, remark: expect.stringContaining("XPATH") });
  expect(check("SQL92", `a = '${"x".repeat(1 << 20)}'`)).toMatchObject({
    code: 23,
    remark: expect.stringContaining("1048582 characters, at most 16384"),
  });
  expect(check("SQL92", `${"(".repeat(10_000)}a${")".repeat(10_000)}`).code).toBe(23);
  expect(check("SQL92", `${"(".repeat(5000)}a${")".repeat(5000)}`)).toMatchObject({
    code: 23,
    remark: expect.stringContaining("nested more than 256 deep"),
  });
  expect(new TestBroker().ask(CHECK).code).toBe(0);
});

/** The scene with its methods bound, to be taken apart. */
function bound(scene: Scene) {
  return {
    broker: scene.broker,
    beat: scene.beat.bind(scene),
    notices: scene.notices.bind(scene),
    ids: scene.ids.bind(scene),
  };
}
