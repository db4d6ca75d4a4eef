import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { parseFastjson } from "#src/remoting/fastjson.js";
import { topicQueue } from "#src/server/broker/topic-config.js";
import { ModelStore, TestBroker } from "./harness.js";

const PATH = "/data/store/config/topics.json";
const CREATE = 17;
const CREATE_LIST = 18;
const DELETE = 215;
const ALL = 21;

function createFields(topic: string, extra: Record<string, string | number | boolean> = {}) {
  return {
    topic,
    defaultTopic: "TBW102",
    readQueueNums: 4,
    writeQueueNums: 4,
    perm: 6,
    topicFilterType: "SINGLE_TAG",
    topicSysFlag: 0,
    order: false,
    attributes: "",
    ...extra,
  };
}

test("a topic made by sending takes after TBW102, but for the inherit bit and for more queues than the client wants", () => {
  const { topics } = new TestBroker().context;
  const made = topics.createInSendMessage("T", "TBW102", "peer", 4, 0);
  expect(made).toMatchObject({ name: "T", readQueueNums: 4, writeQueueNums: 4, perm: 6, order: false });
  expect(topics.createInSendMessage("T", "TBW102", "peer", 2, 0)).toBe(made);
  expect(topics.createInSendMessage("Wide", "TBW102", "peer", 64, 0)).toMatchObject({ writeQueueNums: 8 });
  expect(topics.createInSendMessage("None", "TBW102", "peer", -3, 0)).toMatchObject({ writeQueueNums: 0 });
});

test("a topic is not made without TBW102, without its inherit bit, or with an illegal name", () => {
  const off = new TestBroker({ autoCreateTopicEnable: false }).context.topics;
  expect(off.get("TBW102")).toBeUndefined();
  expect(off.createInSendMessage("T", "TBW102", "peer", 4, 0)).toBeUndefined();
  const { topics } = new TestBroker().context;
  expect(topics.createInSendMessage("T", "SELF_TEST_TOPIC", "peer", 4, 0)).toBeUndefined();
  expect(topics.createInSendMessage("../x", "TBW102", "peer", 4, 0)).toBeUndefined();
  expect(topics.createInSendMessageBack("%RETRY%a/b", 1, 6, false, 0)).toBeUndefined();
  expect(topics.get("T")).toBeUndefined();
});

test("a broker that stops making topics takes the inherit bit from TBW102, as Apache's does", () => {
  const broker = new TestBroker();
  broker.ask(25, {}, "autoCreateTopicEnable=false");
  expect(broker.context.topics.createInSendMessage("T", "TBW102", "peer", 4, 0)).toBeUndefined();
  expect(broker.context.topics.get("TBW102")!.perm).toBe(6);
});

test("topics are bounded", () => {
  const topicCountMax = new TestBroker().context.topics.size + 3;
  const { topics } = new TestBroker({ topicCountMax }).context;
  expect(topics.createInSendMessage("A", "TBW102", "peer", 1, 0)).toBeDefined();
  while (topics.size < topicCountMax) topics.createInSendMessage(`T${topics.size}`, "TBW102", "peer", 1, 0);
  expect(topics.createInSendMessage("OneMore", "TBW102", "peer", 1, 0)).toBeUndefined();
});

test("a retry topic follows the order of its group's topics", () => {
  const { topics } = new TestBroker().context;
  const retry = topics.createInSendMessageBack("%RETRY%g", 1, 6, false, 0)!;
  const version = topics.dataVersion.counter;
  expect(topics.createInSendMessageBack("%RETRY%g", 3, 6, true, 0)).toBe(retry);
  expect(retry).toMatchObject({ order: true, readQueueNums: 1 });
  expect(topics.dataVersion.counter).toBe(version + 1);
});

test("a topic is one object, found by bytes and by name, until it is deleted", () => {
  const { topics } = new TestBroker().context;
  const store = new ModelStore();
  const first = topics.createInSendMessage("T", "TBW102", "peer", 4, 0)!;
  expect(topics.getBytes(Buffer.from("xTx"), 1, 2)).toBe(first);
  const queue = topicQueue(store, first, 2);
  expect(topicQueue(store, first, 2)).toBe(queue);
  expect(queue).toMatchObject({ topic: "T", queueId: 2 });
  expect(topics.delete("T")).toBe(true);
  expect(topics.delete("T")).toBe(false);
  expect(first.queues).toHaveLength(0);
  expect(topics.createInSendMessage("T", "TBW102", "peer", 4, 0)).not.toBe(first);
});

test("topics that are made in a burst are saved together, and what is saved is loaded", async () => {
  const disk = new MemoryDisk();
  const broker = new TestBroker({}, {}, disk);
  const told: string[] = [];
  broker.context.topics.onChange = (names) => told.push(...names);
  for (const name of ["A", "B", "__proto__"]) broker.context.topics.createInSendMessage(name, "TBW102", "peer", 4, 0);
  expect(disk.sizeOf(PATH)).toBe(-1);
  broker.clock.advance(100);
  await broker.context.topics.saver.saveIfDirty();
  expect(disk.sizeOf(PATH)).toBeGreaterThan(0);
  expect(told).toEqual(["A", "B", "__proto__"]);
  const again = new TestBroker({}, {}, disk);
  const [loaded, ...others] = again.reports.map(({ outcome }) => outcome);
  expect(loaded).toBe("loaded");
  expect(new Set(others)).toEqual(new Set(["missing"]));
  expect(again.context.topics.get("__proto__")).toMatchObject({ writeQueueNums: 4 });
  expect(again.context.topics.dataVersion).toEqual(broker.context.topics.dataVersion);
});

test("entries of a file that cannot be topics are left out and named, the others stay", () => {
  const disk = new MemoryDisk();
  const entry = (topicName: string, extra = "") =>
    `"${topicName}":{"topicName":"${topicName}","readQueueNums":2,"writeQueueNums":2${extra}}`;
  const entries = [
    entry("Good"),
    entry("../../evil"),
    entry("Negative", ',"perm":6,"readQueueNums":-1'),
    entry("Huge", ',"writeQueueNums":2000000000'),
    '"NotAnObject":7',
    entry("%RETRY%g+T"),
  ];
  disk.writeAtomically(PATH, `{"dataVersion":{"counter":3},"topicConfigTable":{${entries.join(",")}}}`);
  const { context, log, reports } = new TestBroker({}, {}, disk);
  expect(context.topics.get("Good")).toMatchObject({ readQueueNums: 2 });
  expect(context.topics.get("%RETRY%g+T")).toBeDefined();
  for (const name of ["../../evil", "Negative", "Huge", "NotAnObject"]) {
    expect(context.topics.get(name)).toBeUndefined();
  }
  expect(reports[0]).toMatchObject({ outcome: "loaded", droppedCount: 4 });
  expect(reports[0]!.problems.join("\n")).toContain("../../evil");
  expect(log.at("warn", /left out/)).toHaveLength(1);
  expect(context.topics.dataVersion.counter).toBe(3);
});

test("code 17 makes a topic, changes it, and takes attributes by their signs", async () => {
  const disk = new MemoryDisk();
  const broker = new TestBroker({}, {}, disk);
  const { topics } = broker.context;
  const make = (extra: Record<string, string | number> = {}) => broker.askLate(CREATE, createFields("T", extra));
  expect((await make({ attributes: "+message.type=FIFO,+queue.type=SimpleCQ" })).code).toBe(0);
  const topic = topics.get("T")!;
  expect(Object.fromEntries(topic.attributes)).toEqual({ "message.type": "FIFO", "queue.type": "SimpleCQ" });
  const saved = parseFastjson(disk.readFile(PATH)!) as Map<string, Map<string, unknown>>;
  expect(saved.get("topicConfigTable")!.has("T")).toBe(true);

  expect((await make({ writeQueueNums: 16, attributes: "+message.type=DELAY" })).code).toBe(0);
  expect(topics.get("T")).toBe(topic);
  expect(topic).toMatchObject({ writeQueueNums: 16, readQueueNums: 4 });
  expect(topic.attributes.get("message.type")).toBe("DELAY");
  expect((await make({ attributes: "-message.type" })).code).toBe(0);
  expect(topic.attributes.has("message.type")).toBe(false);

  const before = JSON.stringify([...topic.attributes]);
  for (const attributes of [
    "+message.type=SOMETHING",
    "+queue.type=BatchCQ",
    "-nothing",
    "+unknown=1",
    "message.type=FIFO",
    "+message.type=FIFO,+message.type=DELAY",
    "+message.type=",
    "+=1",
    "+reserve.time=abc",
    "",
    ",",
  ].filter((text) => text !== "")) {
    expect([attributes, (await make({ attributes })).code]).toEqual([attributes, 1]);
  }
  expect(JSON.stringify([...topic.attributes])).toBe(before);
});

test("code 17 refuses by name what cannot be", () => {
  const broker = new TestBroker();
  const make = (topic: string, extra = {}) => broker.ask(CREATE, createFields(topic, extra));
  expect(make("bad topic!")).toMatchObject({ code: 29, remark: expect.stringContaining("illegal characters") });
  expect(make("TBW102")).toMatchObject({ code: 29, remark: "The topic[TBW102] is conflict with system topic." });
  expect(make("rmq_sys_x").code).toBe(29);
  expect(make("T", { readQueueNums: 100_000 })).toMatchObject({
    code: 29,
    remark: expect.stringMatching(/^readQueueNums/),
  });
  expect(make("T", { writeQueueNums: -1 }).code).toBe(29);
  expect(make("T", { perm: 99 }).code).toBe(29);
  expect(make("T", { attributes: "+message.type=MIXED" })).toMatchObject({ code: 29 });
  expect(make("T", { topicFilterType: "EVERY_TAG" }).code).toBe(1);
  expect(make("T", { readQueueNums: "many" }).code).toBe(1);
  expect(broker.ask(CREATE, { topic: "T" }).code).toBe(1);
  expect(broker.context.topics.get("T")).toBeUndefined();
});

test("asking for what is there already changes no version", () => {
  const broker = new TestBroker();
  broker.ask(CREATE, createFields("T"));
  const version = broker.context.topics.dataVersion;
  expect(broker.ask(CREATE, createFields("T")).code).toBe(0);
  expect(broker.context.topics.dataVersion).toEqual(version);
});

test("code 18 makes all topics of a list, or none when one has an illegal name", () => {
  const broker = new TestBroker();
  const list = (...names: string[]) =>
    JSON.stringify({
      topicConfigList: names.map((topicName) => ({ topicName, attributes: { "+message.type": "FIFO" } })),
    });
  expect(broker.ask(CREATE_LIST, {}, list("A", "b/c")).code).toBe(29);
  expect(broker.context.topics.get("A")).toBeUndefined();
  expect(broker.ask(CREATE_LIST, {}, list("A", "B")).code).toBe(0);
  expect(broker.context.topics.get("B")!.attributes.get("message.type")).toBe("FIFO");
});

test("code 18 makes none of a list of which one's attributes are refused, and names the one", () => {
  const broker = new TestBroker({ topicCountMax: 64 });
  const { topics } = broker.context;
  const version = topics.dataVersion;
  const ask = (...topicConfigList: object[]) => broker.ask(CREATE_LIST, {}, JSON.stringify({ topicConfigList }));
  const fifo = (topicName: string) => ({ topicName, attributes: { "+message.type": "FIFO" } });
  const refused = ask(fifo("A"), { topicName: "B", attributes: { "+message.type": "WRONG" } }, fifo("C"));
  expect(refused).toMatchObject({ code: 1, remark: expect.stringMatching(/^B: message\.type: value is not in set/) });
  const twice = ask(fifo("A"), { topicName: "A", attributes: { "-reserve.time": "" } });
  expect(twice).toMatchObject({ code: 1, remark: expect.stringMatching(/^A: attempt to delete .* reserve\.time\./) });
  const room = 64 - topics.size;
  const many = Array.from({ length: room + 1 }, (_, i) => fifo(`M${i}`));
  expect(ask(...many)).toMatchObject({ code: 1, remark: expect.stringMatching(/topicCountMax/) });
  expect([topics.get("A"), topics.get("M0"), topics.dataVersion]).toEqual([undefined, undefined, version]);
  expect(ask(fifo("A"), { topicName: "A", attributes: { "-message.type": "" } }).code).toBe(0);
  expect(topics.get("A")!.attributes.size).toBe(0);
  expect(ask(...many.slice(2), fifo("A")).code).toBe(0);
});

test("code 215 deletes a topic with its offsets, its queues and its POP retry topics", async () => {
  const broker = new TestBroker();
  const { offsets, topics } = broker.context;
  broker.ask(CREATE, createFields("T"));
  topics.createInSendMessageBack("%RETRY%g_T", 1, 6, false, 0);
  offsets.commitOffset("peer", "g", "T", 0, 5);
  offsets.commitOffset("peer", "g", "Other", 0, 6);
  expect((await broker.askLate(DELETE, { topic: "T" })).code).toBe(0);
  expect(topics.get("T")).toBeUndefined();
  expect(topics.get("%RETRY%g_T")).toBeUndefined();
  expect(offsets.queryOffset("g", "T", 0)).toBe(-1);
  expect(offsets.queryOffset("g", "Other", 0)).toBe(6);
  expect(broker.store.deletedTopics).toEqual(["T", "%RETRY%g_T"]);
  expect((await broker.askLate(DELETE, { topic: "../../x" })).code).toBe(0);
  expect(broker.store.deletedTopics).toHaveLength(2);
  expect((await broker.askLate(DELETE, { topic: "SCHEDULE_TOPIC_XXXX" })).code).toBe(29);
});

test("code 21 gives pages by name to clients that ask for them, from the start when the version is another", () => {
  const broker = new TestBroker();
  const { topics } = broker.context;
  const names = (fields: Record<string, string | number>) => {
    const table = broker.json(ALL, fields).get("topicConfigTable") as Map<string, unknown>;
    return [...table.keys()];
  };
  const sorted = [...topics.values()].map(({ name }) => name).sort();
  expect(names({})).toHaveLength(sorted.length);
  const dataVersion = JSON.stringify(topics.dataVersion);
  expect(names({ topicSeq: 2, maxTopicNum: 3, dataVersion })).toEqual(sorted.slice(2, 5));
  expect(names({ topicSeq: 2, maxTopicNum: 3, dataVersion: "" })).toEqual(sorted.slice(0, 3));
  expect(names({ topicSeq: 1000, maxTopicNum: 3, dataVersion })).toEqual([]);
  expect(names({ topicSeq: -5, maxTopicNum: -1, dataVersion })).toEqual([]);
  expect(broker.ask(ALL).fields.totalTopicNum).toBe(String(sorted.length));
});

test("a change that could not be saved is said so, holds, and is saved later", async () => {
  class FullDisk extends MemoryDisk {
    full = true;
    override writeAtomically(path: string, content: Uint8Array | string): void {
      if (this.full) throw new Error("no space");
      super.writeAtomically(path, content);
    }
  }
  const disk = new FullDisk();
  const broker = new TestBroker({}, {}, disk);
  const answer = await broker.askLate(CREATE, createFields("T"));
  expect(answer).toMatchObject({ code: 1, remark: expect.stringContaining("no space") });
  expect(broker.context.topics.get("T")).toBeDefined();
  disk.full = false;
  broker.clock.advance(1000);
  await broker.context.topics.saver.saveIfDirty();
  expect(disk.readFile(PATH)!.toString()).toContain('"T":{');
});
