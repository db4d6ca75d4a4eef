import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { startHousekeeping } from "#src/server/broker/housekeeping.js";
import { TestBroker } from "./harness.js";

const PATH = "/data/store/config/consumerOffset.json";
const QUERY = 14;
const UPDATE = 15;
const RESET = 222;
const CLONE = 314;

function withTopic(config = {}, disk?: MemoryDisk): TestBroker {
  const broker = new TestBroker(config, {}, disk);
  broker.context.topics.createInSendMessage("T", "TBW102", "peer", 4, 0);
  broker.context.groups.find("g");
  return broker;
}

test("code 15 takes an offset and code 14 gives it back", () => {
  const broker = withTopic();
  const at = { consumerGroup: "g", topic: "T", queueId: 1 };
  expect(broker.ask(UPDATE, { ...at, commitOffset: 7 })).toMatchObject({ code: 0, remark: "" });
  expect(broker.ask(QUERY, at)).toMatchObject({ code: 0, fields: { offset: "7" } });
  expect(broker.ask(UPDATE, { ...at, consumerGroup: "x", commitOffset: 7 })).toMatchObject({
    code: 26,
    remark: "Group x not exist!",
  });
  expect(broker.ask(UPDATE, { ...at, topic: "X", commitOffset: 7 })).toMatchObject({
    code: 17,
    remark: "Topic X not exist!",
  });
  expect(broker.context.groups.get("x")).toBeUndefined();
});

test.each([
  [{ queueId: -1 }, 29],
  [{ queueId: 2_000_000_000 }, 29],
  [{ commitOffset: -1 }, 29],
  [{ commitOffset: "9223372036854775807" }, 29],
  [{ commitOffset: "many" }, 29],
  [{ queueId: undefined }, 29],
])("an offset like %o is refused and not kept", (wrong, code) => {
  const broker = withTopic();
  expect(broker.ask(UPDATE, { consumerGroup: "g", topic: "T", queueId: 0, commitOffset: 1, ...wrong }).code).toBe(code);
  expect(broker.context.offsets.offsetsOf("g", "T")).toBeUndefined();
});

test("a consumer may move its offset back, and the log says so", () => {
  const broker = withTopic();
  const { offsets } = broker.context;
  offsets.commitOffset("peer", "g", "T", 0, 9);
  offsets.commitOffset("peer", "g", "T", 0, 4);
  expect(offsets.queryOffset("g", "T", 0)).toBe(4);
  expect(broker.log.at("warn", /moved its offset back/)).toEqual([
    { clientHost: "peer", group: "g", topic: "T", queueId: 0, offset: 4, before: 9 },
  ]);
});

test("a group that never committed starts at 0 only while the queue's first message is fresh", () => {
  const broker = withTopic();
  const ask = (fields = {}) => broker.ask(QUERY, { consumerGroup: "g", topic: "T", queueId: 0, ...fields });
  expect(ask().code).toBe(22);
  const queue = broker.store.queue("T", 0);
  queue.times = [1, 2, 3];
  expect(ask()).toMatchObject({ code: 0, fields: { offset: "0" } });
  expect(ask({ setZeroIfNotFound: false })).toMatchObject({
    code: 22,
    remark: "Not found, do not set to zero, maybe this group boot first",
  });
  queue.inMemory = false;
  expect(ask().code).toBe(22);
  queue.inMemory = true;
  queue.minOffset = 5;
  expect(ask()).toMatchObject({ code: 22, fields: {} });
  expect(broker.ask(QUERY, { consumerGroup: "g", topic: "T", queueId: 99 }).code).toBe(22);
  expect(broker.store.queues.has("T 99")).toBe(false);
});

test("offsets are saved at the interval when something changed, and on closing", async () => {
  const disk = new MemoryDisk();
  const broker = withTopic({}, disk);
  const housekeeping = startHousekeeping(broker.context);
  const { offsets } = broker.context;
  offsets.commitOffset("peer", "g", "T", 0, 1);
  broker.clock.advance(4999);
  expect(disk.sizeOf(PATH)).toBe(-1);
  broker.clock.advance(1);
  await offsets.saver.saveIfDirty();
  const saved = disk.modifiedMs(PATH);
  expect(disk.readFile(PATH)!.toString()).toContain('"T@g":{\n\t\t\t0:1\n\t\t}');
  broker.clock.advance(60_000);
  await offsets.saver.saveIfDirty();
  expect(disk.modifiedMs(PATH)).toBe(saved);
  offsets.commitOffset("peer", "g", "T", 0, 1);
  broker.clock.advance(60_000);
  await offsets.saver.saveIfDirty();
  expect(disk.modifiedMs(PATH)).toBe(saved);
  offsets.commitOffset("peer", "g", "T", 0, 2);
  await housekeeping.close();
  const again = new TestBroker({}, {}, disk);
  expect(again.context.offsets.queryOffset("g", "T", 0)).toBe(2);
  broker.clock.advance(60_000);
});

test("any offsets survive saving and loading", async () => {
  const name = fc.constantFrom("a", "__proto__", "constructor", "1", "%RETRY%g", "toString");
  const commit = fc.tuple(name, name, fc.nat(5000), fc.maxSafeInteger().map(Math.abs));
  await fc.assert(
    fc.asyncProperty(fc.array(commit), async (commits) => {
      const disk = new MemoryDisk();
      const { offsets } = new TestBroker({}, {}, disk).context;
      for (const [group, topic, queueId, offset] of commits)
        offsets.commitOffset("peer", group, topic, queueId, offset);
      await offsets.saver.save();
      const { reports, context } = new TestBroker({}, {}, disk);
      expect(reports[2]).toMatchObject({ outcome: "loaded", problems: [] });
      for (const [group, topic, queueId] of commits) {
        expect(context.offsets.queryOffset(group, topic, queueId)).toBe(offsets.queryOffset(group, topic, queueId));
      }
      expect(context.offsets.toJson()).toEqual(offsets.toJson());
    }),
  );
});

test("a file with malformed entries keeps the others and names what was left out", () => {
  const disk = new MemoryDisk();
  disk.writeAtomically(
    PATH,
    `{"offsetTable":{"T@g":{0:5,1:-1,"x":3,2:"7",3:99999999999999999999},"noGroup":{0:1},"a@b@c":{0:1},"../x@g":{0:1},"U@g":3}}`,
  );
  const { reports, context } = new TestBroker({}, {}, disk);
  expect(context.offsets.queryOffset("g", "T", 0)).toBe(5);
  expect(context.offsets.queryOffset("g", "T", 2)).toBe(7);
  expect(context.offsets.queryOffset("g", "T", 1)).toBe(-1);
  expect(context.offsets.topicsOf("g")).toEqual(["T"]);
  expect(reports[2]).toMatchObject({ outcome: "loaded", droppedCount: 7 });
});

test("a reset holds until the group reads from there, commits do not override it", () => {
  const broker = withTopic();
  const { offsets } = broker.context;
  for (let queueId = 0; queueId < 4; queueId++) broker.store.queue("T", queueId).times = [10, 20, 30];
  offsets.commitOffset("peer", "g", "T", 0, 3);
  const fields = { topic: "T", group: "g", timestamp: 20, isForce: true };
  const table = broker.json(RESET, fields).get("offsetTable") as Map<Map<string, unknown>, number>;
  expect([...table].map(([key, offset]) => [key.get("queueId"), offset])).toEqual([
    [0, 1],
    [1, 1],
    [2, 1],
    [3, 1],
  ]);
  const commit = { consumerGroup: "g", topic: "T", queueId: 0, commitOffset: 3 };
  expect(broker.ask(UPDATE, commit)).toMatchObject({ code: 0, remark: "Offset has been previously reset" });
  expect(offsets.queryOffset("g", "T", 0)).toBe(1);
  offsets.commitOffset("peer", "g", "T", 0, 3);
  expect(offsets.queryOffset("g", "T", 0)).toBe(1);
  expect(offsets.queryThenEraseResetOffset("T", "g", 0)).toBe(1);
  expect(offsets.queryThenEraseResetOffset("T", "g", 0)).toBeUndefined();
  expect(broker.ask(UPDATE, commit)).toMatchObject({ code: 0, remark: "" });
  expect(offsets.queryOffset("g", "T", 0)).toBe(3);

  expect(broker.json(RESET, { ...fields, timestamp: -1, queueId: 2 })).toBeDefined();
  expect(offsets.queryOffset("g", "T", 2)).toBe(3);
  expect(broker.ask(RESET, { ...fields, queueId: 2, offset: 9 })).toMatchObject({
    code: 1,
    remark: "Target offset 9 not in consume queue range [0-3]",
  });
  expect(broker.ask(RESET, { ...fields, group: "x" }).code).toBe(26);
  expect(broker.ask(RESET, { ...fields, queueId: 4 }).code).toBe(1);
});

test("smallest offsets over all groups leave out groups that have lost messages", () => {
  const { offsets } = new TestBroker().context;
  offsets.commitOffset("peer", "a", "T", 0, 10);
  offsets.commitOffset("peer", "b", "T", 0, 7);
  offsets.commitOffset("peer", "c", "T", 0, 2);
  offsets.commitOffset("peer", "c", "T", 1, 1);
  expect([...offsets.minOffsetInAllGroups("T", () => 5, new Set())]).toEqual([[0, 7]]);
  expect(offsets.groupsOf("T")).toEqual(["a", "b", "c"]);
});

test("code 314 copies what one group has committed to another", () => {
  const broker = withTopic();
  const { offsets } = broker.context;
  offsets.commitOffset("peer", "g", "T", 2, 5);
  offsets.commitOffset("peer", "to", "T", 0, 9);
  expect(broker.ask(CLONE, { srcGroup: "g", destGroup: "to", topic: "T", offline: true }).code).toBe(0);
  expect([...offsets.offsetsOf("to", "T")!]).toEqual([[2, 5]]);
  expect(broker.ask(CLONE, { srcGroup: "g", destGroup: "a/b", topic: "T" }).code).toBe(29);
});

test("code 314 gives offsets to no more groups than there may be", async () => {
  const broker = withTopic({ groupCountMax: 64 });
  broker.context.offsets.commitOffset("peer", "g", "T", 0, 7);
  const clone = (destGroup: string) => broker.askLate(CLONE, { srcGroup: "g", destGroup, topic: "T", offline: true });
  for (let i = 0; i < 63; i++) expect((await clone(`d${i}`)).code).toBe(0);
  expect(await clone("one-too-many")).toMatchObject({ code: 1, remark: "there are too many groups" });
  expect((await clone("d0")).code).toBe(0);
  expect(broker.context.offsets.groupCount).toBe(64);
});
