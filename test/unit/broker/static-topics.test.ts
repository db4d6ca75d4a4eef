import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { type FastjsonMap, parseFastjson } from "#src/remoting/fastjson.js";
import { Registration } from "#src/server/broker/registration.js";
import { RouteTable } from "#src/server/namesrv/route-table.js";
import { TestBroker } from "./harness.js";

const CREATE_STATIC = 513;
const ALL_TOPICS = 21;
const TOPIC_CONFIG = 351;
const DELETE_TOPIC = 215;
const CREATE_TOPIC = 17;
const PATH = "/data/store/config/topicQueueMapping.json";

interface Item {
  [name: string]: number | string;
}

function item(queueId: number, extra: Item = {}): Item {
  const offsets = { logicOffset: 0, startOffset: 0, endOffset: -1, timeOfStart: -1, timeOfEnd: -1 };
  return { gen: 0, queueId, bname: "broker-a", ...offsets, ...extra };
}

/** As Apache's tools make it: queues 0 to `count` - 1, all on this broker. */
function mapping(count: number, extra: object = {}, hosted?: Record<number, Item[]>): string {
  const own = Object.fromEntries(Array.from({ length: count }, (_, id) => [id, [item(id)]]));
  const detail = { topic: "S", scope: "__global__", totalQueues: count, bname: "broker-a", epoch: 1000, dirty: false };
  return JSON.stringify({ ...detail, currIdMap: {}, hostedQueues: hosted ?? own, ...extra });
}

function create(broker: TestBroker, queues: number, body: string, extra: Record<string, string | boolean> = {}) {
  const settings = { topic: "S", defaultTopic: "TBW102", readQueueNums: queues, writeQueueNums: queues, perm: 6 };
  const fields = { ...settings, topicFilterType: "SINGLE_TAG", topicSysFlag: 0, order: false, force: false, ...extra };
  return broker.askLate(CREATE_STATIC, fields, body);
}

test("a static topic of one broker is made, kept, told to tools and registered, and goes with the topic", async () => {
  const disk = new MemoryDisk();
  const broker = new TestBroker({}, {}, disk);
  const routes = new RouteTable({ clock: broker.clock });
  const registration = new Registration(broker.context, routes);
  await registration.start();
  expect((await create(broker, 4, mapping(4))).code).toBe(0);

  const told = routes.topicRouteData("S")!;
  expect(told.queueDatas[0]).toMatchObject({ readQueueNums: 4, writeQueueNums: 4 });
  expect(told.topicQueueMappingByBroker!.get("broker-a")).toMatchObject({
    totalQueues: 4,
    epoch: 1000,
    currIdMap: new Map([0, 1, 2, 3].map((id) => [id, id])),
  });
  const config = parseFastjson(broker.ask(TOPIC_CONFIG, { topic: "S", lo: true }).body) as FastjsonMap;
  const hosted = (config.get("mappingDetail") as FastjsonMap).get("hostedQueues") as FastjsonMap;
  expect([...hosted.keys()]).toEqual(["0", "1", "2", "3"]);
  expect(Object.fromEntries((hosted.get("3") as FastjsonMap[])[0]!)).toEqual(item(3));
  expect(broker.json(TOPIC_CONFIG, { topic: "S" }).has("mappingDetail")).toBe(false);
  expect([...(broker.json(ALL_TOPICS).get("topicQueueMappingDetailMap") as FastjsonMap).keys()]).toEqual(["S"]);

  const again = new TestBroker({}, {}, disk);
  expect(again.context.staticTopics.get("S")).toMatchObject({ totalQueues: 4, epoch: 1000 });
  expect(again.context.staticTopics.dataVersion).toEqual(broker.context.staticTopics.dataVersion);

  expect((await create(broker, 6, mapping(6, { epoch: 2000 }))).code).toBe(0);
  expect(routes.topicRouteData("S")!.topicQueueMappingByBroker!.get("broker-a")!.totalQueues).toBe(6);
  expect((await broker.askLate(DELETE_TOPIC, { topic: "S" })).code).toBe(0);
  routes.deleteTopic("S");
  expect(broker.context.staticTopics.get("S")).toBeUndefined();
  expect(disk.readFile(PATH)!.toString()).not.toContain('"S"');
  const fields = { topic: "S", readQueueNums: 1, writeQueueNums: 1, perm: 6, topicFilterType: "SINGLE_TAG" };
  expect((await broker.askLate(CREATE_TOPIC, fields)).code).toBe(0);
  expect(routes.topicRouteData("S")!.topicQueueMappingByBroker).toBeUndefined();
  await registration.close();
});

test.each([
  ["of another broker", mapping(2, { bname: "broker-b" }), /it is of the broker broker-b/],
  ["of another scope", mapping(2, { scope: "here" }), /its scope is here/],
  ["spread over brokers", mapping(2, { totalQueues: 4 }), /all on one broker/],
  ["under other numbers", mapping(2, {}, { 0: [item(1)], 1: [item(0)] }), /each under its own number/],
  ["moved", mapping(1, {}, { 0: [item(0, { endOffset: 5 }), item(0, { gen: 1, logicOffset: 5 })] }), /own number/],
  ["that begins later", mapping(1, {}, { 0: [item(0, { logicOffset: 7 })] }), /own number/],
  ["of another name", mapping(2, { topic: "Other" }), /another topic's/],
  ["that is no mapping", "[]", /not a JSON object/],
])("a static topic %s is refused, and nothing has changed", async (_what, body, remark) => {
  const broker = new TestBroker();
  const answer = await create(broker, 2, body);
  expect(answer.code).not.toBe(0);
  expect(answer.remark).toMatch(remark);
  expect(broker.context.topics.get("S")).toBeUndefined();
  expect(broker.context.staticTopics.get("S")).toBeUndefined();
});

test("an older mapping is refused unless it is forced, a smaller one always", async () => {
  const broker = new TestBroker();
  expect((await create(broker, 2, mapping(4))).remark).toMatch(/more queues than the topic/);
  expect((await create(broker, 4, mapping(4))).code).toBe(0);
  expect((await create(broker, 4, mapping(4, { epoch: 999 }))).remark).toMatch(/small epoch 999 < 1000/);
  expect((await create(broker, 4, mapping(4, { epoch: 999 }), { force: true })).code).toBe(0);
  expect((await create(broker, 4, mapping(2, { epoch: 3000 }))).remark).toMatch(/cannot lose queues/);
  expect((await create(broker, 4, mapping(4), { topic: "TBW102" })).code).toBe(29);
  expect(broker.context.topics.get("S")).toMatchObject({ writeQueueNums: 4 });
});

test("a static topic that cannot be made leaves no mapping, and one that cannot be changed has its own", async () => {
  const disk = new MemoryDisk();
  const broker = new TestBroker({}, {}, disk);
  const refused = (queues: number) => create(broker, queues, mapping(queues), { attributes: "+no.such=1" });
  expect(await refused(4)).toMatchObject({ code: 1, remark: expect.stringContaining("unsupported key") });
  expect(broker.context.staticTopics.get("S")).toBeUndefined();
  expect(broker.context.staticTopics.infos().size).toBe(0);
  expect((await create(broker, 4, mapping(4))).code).toBe(0);
  expect((await refused(6)).code).toBe(1);
  expect(broker.context.staticTopics.get("S")!.totalQueues).toBe(4);
  await broker.context.staticTopics.saver.save();
  expect(new TestBroker({}, {}, disk).context.staticTopics.get("S")!.totalQueues).toBe(4);
});
