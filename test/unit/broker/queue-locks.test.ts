import { expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { parseFastjson } from "#src/remoting/fastjson.js";
import { JsonConfigFile } from "#src/server/broker/json-config-file.js";
import { QueueLockTable } from "#src/server/broker/queue-locks.js";
import { TestBroker } from "./harness.js";

const LOCK = 41;
const UNLOCK = 42;

function body(clientId: string, queueIds: readonly number[], topic = "T"): string {
  const mqSet = queueIds.map((queueId) => ({ topic, brokerName: "broker-a", queueId }));
  return JSON.stringify({ clientId, consumerGroup: "g", mqSet, onlyThisBroker: false });
}

function locked(broker: TestBroker, clientId: string, queueIds: readonly number[]): unknown[] {
  const queues = broker.json(LOCK, {}, body(clientId, queueIds)).get("lockOKMQSet") as Map<string, unknown>[];
  return queues.map((queue) => queue.get("queueId"));
}

function withTopic(): TestBroker {
  const broker = new TestBroker();
  broker.context.topics.createInSendMessage("T", "TBW102", "peer", 4, 0);
  return broker;
}

test("a queue belongs to who locked it first, until it is unlocked or 60 s have passed", () => {
  const broker = withTopic();
  expect(locked(broker, "c1", [0, 1])).toEqual([0, 1]);
  expect(locked(broker, "c2", [1, 2])).toEqual([2]);
  broker.ask(UNLOCK, {}, body("c2", [1]));
  expect(locked(broker, "c2", [1])).toEqual([]);
  broker.ask(UNLOCK, {}, body("c1", [1]));
  expect(locked(broker, "c2", [1])).toEqual([1]);
  broker.clock.advance(60_000);
  expect(locked(broker, "c2", [0])).toEqual([]);
  broker.clock.advance(1);
  expect(locked(broker, "c2", [0])).toEqual([0]);
});

test("a lock is renewed by its holder", () => {
  const broker = withTopic();
  for (let i = 0; i < 5; i++) {
    expect(locked(broker, "c1", [0])).toEqual([0]);
    broker.clock.advance(40_000);
  }
  expect(locked(broker, "c2", [0])).toEqual([]);
  const { queueLocks } = broker.context;
  expect(queueLocks.isLockAllExpired("g")).toBe(false);
  broker.clock.advance(20_001);
  expect(queueLocks.isLockAllExpired("g")).toBe(true);
  queueLocks.scan();
  expect(locked(broker, "c2", [0])).toEqual([0]);
});

test("groups do not lock each other out", () => {
  const broker = withTopic();
  const queue = { topic: "T", brokerName: "broker-a", queueId: 0 };
  expect(broker.context.queueLocks.tryLock("g", [queue, queue], "c1")).toEqual([queue]);
  expect(broker.context.queueLocks.tryLock("h", [queue], "c2")).toEqual([queue]);
});

test("queues that do not exist are not locked, malformed requests are refused", () => {
  const broker = withTopic();
  expect(locked(broker, "c1", [-1, 3, 4, 2_000_000_000])).toEqual([3]);
  expect(broker.json(LOCK, {}, body("c1", [0], "Nothing")).get("lockOKMQSet")).toEqual([]);
  for (const wrong of [
    "",
    "{}",
    body("", [0]),
    body("c".repeat(2000), [0]),
    '{"clientId":"c","consumerGroup":"g","mqSet":5}',
    JSON.stringify({ clientId: "c", consumerGroup: "g", mqSet: new Array(8193).fill({}) }),
  ]) {
    expect(broker.ask(LOCK, {}, wrong).code).toBe(1);
    expect(broker.ask(UNLOCK, {}, wrong).code).toBe(1);
  }
});

async function lockedLate(broker: TestBroker, clientId: string, queueIds: readonly number[]): Promise<unknown[]> {
  const answer = await broker.askLate(LOCK, {}, body(clientId, queueIds));
  const queues = (parseFastjson(answer.body) as Map<string, Map<string, unknown>[]>).get("lockOKMQSet")!;
  return queues.map((queue) => queue.get("queueId"));
}

test("a broker that was killed keeps queues for their holders, as long as these believe in their locks", async () => {
  const disk = new MemoryDisk();
  const killed = new TestBroker({}, {}, disk);
  const { topics } = killed.context;
  topics.createInSendMessage("T", "TBW102", "peer", 4, 0);
  await topics.saver.saveIfDirty();
  expect(await lockedLate(killed, "c1", [0, 1, 2])).toEqual([0, 1, 2]);
  expect((await killed.askLate(UNLOCK, {}, body("c1", [2]))).code).toBe(0);
  expect(await lockedLate(killed, "c2", [3])).toEqual([3]);

  const broker = new TestBroker({}, {}, disk);
  expect(await lockedLate(broker, "c2", [0, 1, 2, 3])).toEqual([2, 3]);
  broker.clock.advance(20_000);
  expect(await lockedLate(broker, "c1", [0])).toEqual([0]);
  broker.clock.advance(10_000);
  expect(await lockedLate(broker, "c2", [0, 1])).toEqual([]);
  broker.clock.advance(1);
  expect(await lockedLate(broker, "c2", [0, 1])).toEqual([1]);
});

test("a queue is its holder's only once that is on the disk", async () => {
  let save = (): void => {};
  class HeldDisk extends MemoryDisk {
    override async replace(path: string, content: Uint8Array | string, keepAs?: string): Promise<void> {
      await new Promise<void>((resolve) => {
        save = resolve;
      });
      await super.replace(path, content, keepAs);
    }
  }
  const disk = new HeldDisk();
  const broker = new TestBroker({}, {}, disk);
  broker.context.topics.createInSendMessage("T", "TBW102", "peer", 4, 0);
  let answered = false;
  const locking = lockedLate(broker, "c1", [0]).finally(() => {
    answered = true;
  });
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  expect(answered).toBe(false);
  save();
  expect(await locking).toEqual([0]);
  expect(disk.readFile("/data/store/config/queueLocks.json")!.toString()).toContain('"clientId":"c1"');
  expect(locked(broker, "c1", [0])).toEqual([0]);
});

test("locks that make no sense are left out of what is loaded", () => {
  const disk = new MemoryDisk();
  const lock = '{"topic":"T","brokerName":"broker-a","queueId":0,"clientId":"c1"}';
  disk.writeAtomically(
    "/data/store/config/queueLocks.json",
    `{"lockTable":{"g":[${lock},{"topic":"../x","clientId":"c"},{"topic":"T"},5],"h":7,"a/b":[${lock}]}}`,
  );
  const { context, reports } = new TestBroker({}, {}, disk);
  expect(reports.find(({ path }) => path.endsWith("queueLocks.json"))).toMatchObject({ droppedCount: 4 });
  expect(context.queueLocks.isLockAllExpired("g")).toBe(false);
  expect(context.queueLocks.isLockAllExpired("h")).toBe(true);
});

test("there are so many locks and no more; those that are given back, expire or were loaded count", async () => {
  const disk = new MemoryDisk();
  const { clock, log } = new TestBroker();
  const queues = (topic: string, count: number) =>
    Array.from({ length: count }, (_, queueId) => ({ topic, brokerName: "broker-a", queueId }));
  const file = () => new JsonConfigFile(disk, "/locks.json");
  let table = new QueueLockTable({ clock, log, file: file(), locksMax: 5 });
  const lock = (group: string, topic: string, count: number) => table.tryLock(group, queues(topic, count), "c").length;
  expect([lock("g", "T", 3), lock("h", "T", 3), lock("g", "T", 3), lock("h", "T", 3)]).toEqual([3, 2, 3, 2]);
  expect(log.at("warn", /no more queues/)).toHaveLength(1);
  table.unlock("g", queues("T", 2), "c");
  table.unlock("g", queues("T", 2), "c");
  expect(lock("h", "T", 9)).toBe(4);
  await table.saver.save();
  table = new QueueLockTable({ clock, log, file: file(), locksMax: 5 });
  table.load();
  expect([lock("i", "T", 1), lock("h", "T", 4)]).toEqual([0, 4]);
  clock.advance(60_001);
  table.scan();
  expect(lock("i", "T", 9)).toBe(5);
});
