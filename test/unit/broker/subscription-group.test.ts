import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { TestBroker } from "./harness.js";

const PATH = "/data/store/config/subscriptionGroup.json";
const CREATE = 200;
const CREATE_LIST = 225;
const ALL = 201;
const DELETE = 207;
const GET = 352;

test("code 200 makes a group with Apache's defaults for what it does not say, and changes it", async () => {
  const disk = new MemoryDisk();
  const broker = new TestBroker({}, {}, disk);
  const policy = { type: "EXPONENTIAL", exponentialRetryPolicy: { initial: 10, max: 1000, multiplier: 3 } };
  const body = { groupName: "g", retryMaxTimes: 3, attributes: { "+priority.factor": "50" }, groupRetryPolicy: policy };
  expect((await broker.askLate(CREATE, {}, JSON.stringify(body))).code).toBe(0);
  const group = broker.context.groups.get("g")!;
  expect(group).toMatchObject({
    retryMaxTimes: 3,
    retryQueueNums: 1,
    consumeEnable: true,
    whichBrokerWhenConsumeSlowly: 1,
    consumeTimeoutMinute: 15,
    groupRetryPolicy: policy,
  });
  expect([...group.attributes]).toEqual([["priority.factor", "50"]]);
  const changed = JSON.stringify({ groupName: "g", consumeEnable: false });
  expect((await broker.askLate(CREATE, {}, changed)).code).toBe(0);
  expect(broker.context.groups.get("g")).toBe(group);
  expect(group).toMatchObject({ consumeEnable: false, retryMaxTimes: 16 });

  const again = new TestBroker({}, {}, disk).context.groups;
  expect(again.get("g")).toMatchObject({ consumeEnable: false });
  expect([...again.get("g")!.attributes]).toEqual([["priority.factor", "50"]]);
  expect(again.dataVersion).toEqual(broker.context.groups.dataVersion);
});

test.each([
  ['{"groupName":"a/b"}', 29],
  ['{"groupName":""}', 29],
  ["{}", 29],
  ['{"groupName":"g","retryQueueNums":100000}', 29],
  ['{"groupName":"g","retryMaxTimes":"many"}', 1],
  ['{"groupName":"g","attributes":{"priority.factor":"1"}}', 1],
  ['{"groupName":"g","attributes":{"+priority.factor":"101"}}', 1],
  [`{"groupName":"g","groupRetryPolicy":{"customizedRetryPolicy":{"next":[${new Array(5000).fill(1)}]}}}`, 1],
  ["[]", 1],
])("a group like %s is refused", (body, code) => {
  const broker = new TestBroker();
  expect(broker.ask(CREATE, {}, body).code).toBe(code);
  expect(broker.context.groups.get("g")).toBeUndefined();
});

test("code 225 makes none of a list of which one's attributes are refused, and names the one", () => {
  const broker = new TestBroker({ groupCountMax: 16 });
  const { groups } = broker.context;
  const version = groups.dataVersion;
  const ask = (...groupConfigList: object[]) => broker.ask(CREATE_LIST, {}, JSON.stringify({ groupConfigList }));
  const refused = ask({ groupName: "a" }, { groupName: "b", attributes: { "+priority.factor": "101" } });
  const remark = expect.stringMatching(/^b: priority\.factor: value is not in range\(0, 100\)/);
  expect(refused).toMatchObject({ code: 1, remark });
  const many = Array.from({ length: 17 - groups.size }, (_, i) => ({ groupName: `m${i}` }));
  expect(ask(...many)).toMatchObject({ code: 1, remark: expect.stringMatching(/groupCountMax/) });
  expect([groups.get("a"), groups.get("m0"), groups.dataVersion]).toEqual([undefined, undefined, version]);
  expect(ask(...many.slice(1), { groupName: "m1", retryMaxTimes: 3 }).code).toBe(0);
  expect(groups.get("m1")!.retryMaxTimes).toBe(3);
});

test("groups are made on demand where that is allowed, system groups also where it is not", () => {
  const open = new TestBroker().context.groups;
  expect(open.find("g")).toBe(open.get("g"));
  expect(open.find("a b")).toBeUndefined();
  const { groups } = new TestBroker({ autoCreateSubscriptionGroup: false }).context;
  expect(groups.find("g")).toBeUndefined();
  expect(groups.find("CID_RMQ_SYS_x")).toBeDefined();
  const full = new TestBroker({ groupCountMax: 64 }).context.groups;
  for (let i = 0; full.size < 64; i++) full.find(`g${i}`);
  expect(full.find("OneMore")).toBeUndefined();
});

test("code 207 deletes a group, its offsets only when told", () => {
  const broker = new TestBroker();
  const { groups, offsets } = broker.context;
  for (const cleanOffset of [false, true]) {
    groups.find("g");
    offsets.commitOffset("peer", "g", "T", 0, 3);
    expect(broker.ask(DELETE, { groupName: "g", cleanOffset }).code).toBe(0);
    expect(groups.get("g")).toBeUndefined();
    expect(offsets.queryOffset("g", "T", 0)).toBe(cleanOffset ? -1 : 3);
  }
});

test("codes 201, 225 and 352 list, make and show groups", () => {
  const broker = new TestBroker();
  const list = JSON.stringify({ groupConfigList: [{ groupName: "b" }, { groupName: "a", retryMaxTimes: 1 }] });
  expect(broker.ask(CREATE_LIST, {}, list).code).toBe(0);
  expect(broker.json(GET, { group: "a" }).get("retryMaxTimes")).toBe(1);
  const page = broker.json(ALL, { groupSeq: 0, maxGroupNum: 3, dataVersion: "" });
  expect([...(page.get("subscriptionGroupTable") as Map<string, unknown>).keys()]).toHaveLength(3);
  expect(broker.ask(ALL).fields.totalGroupNum).toBe("10");
  const closed = new TestBroker({ autoCreateSubscriptionGroup: false });
  expect(closed.ask(GET, { group: "a" })).toMatchObject({ code: 26, remark: "No group in this broker" });
});

test("what Apache forbade a group stays in the file, entries that are none are left out", async () => {
  const disk = new MemoryDisk();
  disk.writeAtomically(
    PATH,
    '{"dataVersion":{"counter":2},"forbiddenTable":{"g":{"T":4},"h":{"T":"x"}},"subscriptionGroupTable":{"g":{"groupName":"g"},"../h":{"groupName":"../h"},"i":{"groupName":"j"},"k":1}}',
  );
  const { context, reports } = new TestBroker({}, {}, disk);
  expect(reports[1]).toMatchObject({ outcome: "loaded", droppedCount: 4 });
  expect(context.groups.get("g")).toBeDefined();
  await context.groups.saver.save();
  expect(disk.readFile(PATH)!.toString()).toContain('"forbiddenTable":{\n\t\t"g":{\n\t\t\t"T":4\n\t\t}\n\t}');
});
