/** What tools ask of queues and of the broker: 303, 317, 321, 907, 316, 306, 329 and the control of cold reads. */
import { expect, test } from "vitest";
import type { FastjsonMap, FastjsonValue } from "#src/remoting/fastjson.js";
import { FakeConnection, heartbeatBody, TestBroker } from "./harness.js";

function plain(value: FastjsonValue | undefined): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([key, item]) => [typeof key === "object" ? "{}" : key, plain(item)]));
}

function brokerWithQueue(times: number[], minOffset = 0): TestBroker {
  const broker = new TestBroker();
  broker.context.topics.createInSendMessage("T", "TBW102", "peer", 1, 0);
  Object.assign(broker.store.queue("T", 0), { times, minOffset });
  return broker;
}

test("code 303 tells from when to when messages are, and how far behind the group is", () => {
  const now = new TestBroker().clock.nowMs();
  const broker = brokerWithQueue([now - 4000, now - 3000, now - 1000], 10);
  const span = (group: string) =>
    (broker.json(303, { topic: "T", group }).get("consumeTimeSpanSet") as FastjsonMap[])[0]!;
  const fresh = span("g");
  expect(fresh.get("minTimeStamp")).toBe(now - 4000);
  expect(fresh.get("maxTimeStamp")).toBe(now - 1000);
  expect(fresh.get("consumeTimeStamp")).toBe(now - 4000);
  expect(fresh.get("delayTime")).toBe(4000);
  expect(fresh.get("minTimeStampStr")).toMatch(/^\d{4}-\d\d-\d\d#\d\d:\d\d:\d\d:\d{3}$/);
  broker.context.offsets.commitOffset("peer", "g", "T", 0, 12);
  expect([span("g").get("consumeTimeStamp"), span("g").get("delayTime")]).toEqual([now - 3000, 1000]);
  broker.context.offsets.commitOffset("peer", "g", "T", 0, 13);
  expect([span("g").get("consumeTimeStamp"), span("g").get("delayTime")]).toEqual([now - 1000, 0]);
  expect(broker.ask(303, { topic: "U", group: "g" })).toMatchObject({ code: 17, remark: "topic[U] not exist" });
});

test("code 321 shows entries as they lie in the queue, and how a group filters", () => {
  const broker = brokerWithQueue([1, 2, 3, 4], 2);
  const ask = (extra: Record<string, string | number> = {}) =>
    broker.ask(321, { topic: "T", queueId: 0, index: 0, count: 3, ...extra });
  const unit = (offset: number) => ({
    eval: false,
    physicOffset: offset * 100,
    physicSize: 100,
    tagsCode: 2598920,
  });
  const body = (extra = {}) => JSON.parse(ask(extra).body.toString());
  expect(body()).toEqual({ maxQueueIndex: 6, minQueueIndex: 2, queueData: [unit(2), unit(3), unit(4)] });
  expect(body({ index: 5 }).queueData).toEqual([unit(5)]);
  expect(body({ index: 6 }).queueData).toEqual([]);
  expect(body({ consumerGroup: "g" }).filterData).toBe("g@T is not online!");
  broker.ask(34, {}, heartbeatBody("c", "g", [["T", "TagA"]]), new FakeConnection());
  expect(body({ consumerGroup: "g" })).toMatchObject({ filterData: "null", subscriptionData: { subString: "TagA" } });
  expect(ask({ index: 7 })).toMatchObject({ code: 0, remark: "Index 7 of 0@T is not exist!", body: Buffer.alloc(0) });
  expect(ask({ index: -1 })).toMatchObject({ code: 0, remark: "Index -1 of 0@T is not exist!" });
  expect(ask({ queueId: 1 })).toMatchObject({ code: 1, remark: "1@T is not exist!" });
  expect(ask({ topic: "../x" })).toMatchObject({ code: 1, remark: "0@../x is not exist!" });
  expect(ask({ count: "x" }).code).toBe(1);
  expect(body({ count: 1_000_000_000 }).queueData).toHaveLength(4);
});

test("code 317 adds up what every group has left", async () => {
  const broker = brokerWithQueue([1, 2, 3]);
  const { groups, offsets, topics } = broker.context;
  topics.createInSendMessage("Ordered", "TBW102", "peer", 1, 0)!.assign({ order: true });
  Object.assign(broker.store.queue("Ordered", 0), { times: [5, 6] });
  for (const group of ["g", "h"]) groups.find(group);
  offsets.commitOffset("peer", "g", "T", 0, 1);
  offsets.commitOffset("peer", "g", "Ordered", 0, 2);
  offsets.commitOffset("peer", "g", "Gone", 0, 2);
  offsets.commitOffset("peer", "h", "T", 0, 3);
  const stats = async (isOrder: boolean) => JSON.parse(readable(await broker.askLate(317, { isOrder })));
  const all = await stats(false);
  expect(all).toMatchObject({ brokerAddr: "127.0.0.1:24100", totalDiff: 2, totalInflightDiff: -6 });
  const ofGroup = (list: Record<string, unknown[]>[], group: string) => list.find((entry) => group in entry)![group];
  expect(ofGroup(all.consumeStatsList, "TOOLS_CONSUMER")).toEqual([]);
  expect(ofGroup(all.consumeStatsList, "g")).toHaveLength(2);
  expect(ofGroup(all.consumeStatsList, "h")).toEqual([
    {
      consumeTps: 0,
      offsetTable: { "T 0": { brokerOffset: 3, consumerOffset: 3, lastTimestamp: 3, pullOffset: 0 } },
    },
  ]);
  const ordered = await stats(true);
  expect([ordered.totalDiff, ofGroup(ordered.consumeStatsList, "g")!.length]).toEqual([0, 1]);
  broker.ask(34, {}, heartbeatBody("c", "g", [["T", "*"]]), new FakeConnection());
  expect(ofGroup((await stats(false)).consumeStatsList, "g")).toHaveLength(1);
});

/** Keys that are queues as texts. */
function readable({ body }: { body: Buffer }): string {
  return body.toString().replace(/\{"brokerName":"[^"]*","queueId":(\d+),"topic":"([^"]*)"\}:/g, '"$2 $1":');
}

test("nobody copies this broker's log", () => {
  expect(plain(new TestBroker().json(907))).toMatchObject({
    master: true,
    masterCommitLogMaxOffset: 114_249,
    haConnectionInfo: [],
    inSyncSlaveNums: 0,
  });
});

test("code 316 deletes queues of topics that the broker does not know, and no others", async () => {
  const broker = brokerWithQueue([1]);
  for (const topic of ["Unknown", "SCHEDULE_TOPIC_XXXX", "rmq_sys_x", "%LMQ%light", "T"]) broker.store.queue(topic, 0);
  expect(await broker.askLate(316)).toMatchObject({ code: 0, remark: "" });
  expect(broker.store.deletedTopics).toEqual(["Unknown"]);
});

test("limits of cold reads are kept and shown, all of a request or nothing", () => {
  const broker = new TestBroker();
  const shown = () => plain(broker.json(2003));
  const defaults = { runtimeTable: {}, cgColdReadThreshold: 3145728, globalColdReadThreshold: 104857600, globalAcc: 0 };
  expect(shown()).toEqual({ ...defaults, configTable: {} });
  expect(broker.ask(2001, {}, "g=100\nh=200\n").code).toBe(0);
  expect(shown()).toEqual({ ...defaults, configTable: { g: 100, h: 200 } });
  for (const body of ["g=1\nh=many", "g=-1", "../x=1", "g=1e9"]) expect(broker.ask(2001, {}, body).code).toBe(1);
  expect(broker.ask(2001, {}, "x".repeat(70_000)).code).toBe(1);
  expect(broker.ask(2002, {}, "g").code).toBe(0);
  expect(shown()).toEqual({ ...defaults, configTable: { h: 200 } });
  // Limits that are set again are no more of them.
  const many = Array.from({ length: 3000 }, (_, i) => `many${i}=1`).join("\n");
  expect([broker.ask(2001, {}, many).code, broker.ask(2001, {}, many).code]).toEqual([0, 0]);
});

test("reading ahead stays the operating system's affair", () => {
  const broker = new TestBroker();
  const set = (READ_AHEAD_MODE: string) => broker.ask(2004, { READ_AHEAD_MODE });
  expect(set("0")).toMatchObject({ code: 0, remark: "set commitlog readahead mode success, mode: 0" });
  expect(set("1")).toMatchObject({ code: 29, remark: expect.stringContaining("only mode 0") });
  expect(set("7")).toMatchObject({ code: 29, remark: "set commitlog readahead mode param value error" });
  expect(broker.ask(2004).code).toBe(29);
});

test("how far groups are behind in more queues than a frame has room for is not told", async () => {
  const broker = new TestBroker({ topicQueueCountMax: 65_536 });
  const { topics, groups, offsets } = broker.context;
  groups.find("g");
  for (const [topicName, queueNums] of [["A", 40] as const, ["B", 65_500] as const]) {
    const settings = { topicName, readQueueNums: queueNums, writeQueueNums: queueNums, perm: 6, topicSysFlag: 0 };
    topics.update({ ...settings, order: false, topicFilterType: "SINGLE_TAG" }, new Map());
    offsets.commitOffset("test", "g", topicName, 0, 1);
  }
  for (const fields of [{}, { topicList: "A;B" }]) {
    const answer = broker.ask(208, { consumerGroup: "g", ...fields });
    expect(answer).toMatchObject({ code: 1, remark: expect.stringMatching(/^65540 queues are asked for/) });
  }
  expect(broker.store.queues.size).toBe(0);
  expect(await broker.askLate(317, {})).toMatchObject({
    code: 1,
    remark: expect.stringMatching(/tells of 65536 queues/),
  });
  offsets.removeTopic("B");
  expect(broker.ask(208, { consumerGroup: "g" }).code).toBe(0);
});
