/** Delay levels, from the send to the delivery, on a store in memory and a clock that the test moves. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { tagsCodeOf, UnitBatch } from "#src/consumequeue/unit.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { PutStatus } from "#src/store/types.js";
import { FakeClock } from "./harness.js";
import { StoreBroker, type StoreBrokerOptions } from "./store-broker.js";

const SCHEDULE = "SCHEDULE_TOPIC_XXXX";
const LEVEL_1_MS = 1000;
const LEVEL_3_MS = 10_000;

let broker: StoreBroker;

async function start(options: StoreBrokerOptions = {}): Promise<StoreBroker> {
  broker = await StoreBroker.open(options);
  broker.schedule.start();
  return broker;
}

beforeEach(() => start());
afterEach(() => broker.close());

describe("a message with a delay level", () => {
  test("waits in the queue of its level and says where it belongs", async () => {
    const answer = broker.send({ DELAY: "3", TAGS: "A", UNIQ_KEY: "K1" });
    await broker.settle();
    expect(answer).toMatchObject({ code: 0, fields: { queueId: "1", queueOffset: "0", transactionId: "K1" } });
    const [waiting] = broker.messages(SCHEDULE, 2);
    expect(waiting).toMatchObject({ msgId: answer.fields["msgId"], bornTimestamp: 1_795_000_000_123, flag: 7 });
    expect([...waiting!.properties].slice(0, 3)).toEqual(Object.entries({ DELAY: "3", TAGS: "A", UNIQ_KEY: "K1" }));
    expect([...waiting!.properties].slice(-2)).toEqual(Object.entries({ REAL_TOPIC: "T", REAL_QID: "1" }));
    expect(broker.messages("T", 1)).toEqual([]);

    const unit = new UnitBatch(1);
    expect(broker.store.lookUp.readUnits(broker.store.findQueue(SCHEDULE, 2)!, 0, unit)).toBe(1);
    expect(tagsCodeOf(unit.tagsCodeHigh[0]!, unit.tagsCodeLow[0]!)).toBe(waiting!.storeTimestamp + LEVEL_3_MS);
  });

  test("comes when its time has come, not before, as the message that was sent", async () => {
    broker.send({ DELAY: "3", TAGS: "A", own: "x" }, { reconsumeTimes: 2 }, "late");
    await broker.advance(LEVEL_3_MS - 1);
    expect(broker.bodies("T", 1)).toEqual([]);
    await broker.advance(1);
    const [delivered] = broker.messages("T", 1);
    const [waited] = broker.messages(SCHEDULE, 2);
    expect(delivered).toMatchObject({ topic: "T", queueId: 1, queueOffset: 0, reconsumeTimes: 2, flag: 7 });
    expect(delivered!.body.toString()).toBe("late");
    expect(delivered!.storeTimestamp).toBe(waited!.storeTimestamp + LEVEL_3_MS);
    for (const field of ["properties", "bornHost", "bornTimestamp", "storeHost", "sysFlag"] as const) {
      expect(delivered![field]).toEqual(waited![field]);
    }
  });

  test("counts as the last level when it asks for one above", async () => {
    broker.send({ DELAY: "99" });
    await broker.settle();
    expect(broker.messages(SCHEDULE, 17)[0]!.properties.get("DELAY")).toBe("18");
    expect(broker.log.at("error", /./)).toEqual([]);
  });

  test("is sent at once when the level is 0 or less, and refused when it is no number", async () => {
    expect(broker.send({ DELAY: "0" }, {}, "zero").code).toBe(0);
    expect(broker.send({ DELAY: "-1" }, {}, "minus").code).toBe(0);
    const answer = broker.send({ DELAY: "soon" });
    await broker.settle();
    expect(answer).toMatchObject({ code: ResponseCode.MESSAGE_ILLEGAL, remark: expect.stringContaining("DELAY") });
    expect(broker.bodies("T", 1)).toEqual(["zero", "minus"]);
  });

  test("does not believe a client about the place it belongs to", async () => {
    broker.send({ REAL_TOPIC: "../../etc", DELAY: "1", REAL_QID: "3", TAGS: "A" });
    await broker.advance(LEVEL_1_MS);
    expect(broker.messages("T", 1)).toHaveLength(1);
    expect(broker.messages("T", 1)[0]!.properties.get("REAL_TOPIC")).toBe("T");
  });

  test("goes by the level when it names a timer too", async () => {
    expect(broker.send({ TIMER_DELAY_SEC: "5", DELAY: "1", TIMER_DELIVER_MS: "9" }).code).toBe(0);
    await broker.settle();
    const { properties } = broker.messages(SCHEDULE, 0)[0]!;
    expect([properties.has("TIMER_DELAY_SEC"), properties.has("TIMER_DELIVER_MS")]).toEqual([false, false]);
  });

  test("is no transaction when it is tried again, and refused as one before", async () => {
    expect(broker.send({ TRAN_MSG: "true", DELAY: "3" }, { reconsumeTimes: 1 }).code).toBe(0);
    expect(broker.send({ TRAN_MSG: "true", DELAY: "3" })).toMatchObject({
      code: ResponseCode.MESSAGE_ILLEGAL,
      remark: "a message of a transaction can not be delayed",
    });
    await broker.settle();
    expect(broker.messages(SCHEDULE, 2)).toHaveLength(1);
  });

  test("is refused in a batch, which can not wait as a whole", () => {
    const answer = broker.send({ DELAY: "1" }, { batch: true });
    expect(answer).toMatchObject({ code: ResponseCode.MESSAGE_ILLEGAL, remark: "a batch can not be delayed" });
  });

  test("counts for its topic when it is delivered, and for the waiting topic before", async () => {
    const { topics } = broker.broker.context;
    broker.send({ DELAY: "1" });
    expect([topics.get(SCHEDULE)!.puts.total, topics.get("T")!.puts.total]).toEqual([1, 0]);
    await broker.advance(LEVEL_1_MS);
    expect([topics.get(SCHEDULE)!.puts.total, topics.get("T")!.puts.total]).toEqual([1, 1]);
  });
});

describe("delivery", () => {
  test("levels do not wait for one another, and each keeps its order", async () => {
    for (let i = 0; i < 5; i++) {
      for (const level of [1, 2, 3]) broker.send({ DELAY: String(level) }, {}, `${level}-${i}`);
      await broker.advance(100);
    }
    await broker.advance(LEVEL_3_MS);
    const inOrder = [1, 2, 3].flatMap((level) => [0, 1, 2, 3, 4].map((i) => `${level}-${i}`));
    expect(broker.bodies("T", 1)).toEqual(inOrder);
  });

  test("nothing runs while nothing waits, and a lone message takes one timer, not looks at intervals", async () => {
    const run = vi.fn();
    const watch = vi.fn();
    class WatchedClock extends FakeClock {
      override schedule(delayMs: number, task: () => void, lazily?: boolean | (() => boolean)) {
        return super.schedule(delayMs, () => {
          (lazily === true ? watch : run)();
          task();
        });
      }
    }
    await broker.close();
    const config = { flushDelayOffsetInterval: 1_000_000 };
    const store = { retention: { cleanResourceInterval: 1_000_000_000 } };
    await start({ clock: new WatchedClock(), config, store });
    await broker.advance(60_000);
    run.mockClear();
    await broker.advance(3_600_000);
    expect(run.mock.calls.length).toBeLessThanOrEqual(3);
    watch.mockClear();
    await broker.advance(60_000);
    const upkeep = watch.mock.calls.length;
    broker.send({ DELAY: "1" });
    await broker.settle();
    run.mockClear();
    await broker.advance(LEVEL_1_MS);
    expect(broker.messages("T", 1)).toHaveLength(1);
    // The timer of the level, a flush or two; until then the clocks are compared.
    expect(run.mock.calls.length).toBeLessThanOrEqual(4);
    watch.mockClear();
    await broker.advance(60_000);
    expect(watch.mock.calls.length).toBeLessThanOrEqual(upkeep + 1);
  });

  test("thousands due at once go out in small portions, other levels in between", async () => {
    let puts = 0;
    const portions: number[] = [];
    class WatchedClock extends FakeClock {
      override schedule(delayMs: number, task: () => void) {
        return super.schedule(delayMs, () => {
          puts = 0;
          task();
          if (puts > 0) portions.push(puts);
        });
      }
    }
    await broker.close();
    await start({ clock: new WatchedClock() });
    for (let i = 0; i < 3000; i++) broker.send({ DELAY: "2" }, {}, `a${i}`);
    await broker.advance(4000);
    broker.send({ DELAY: "1" }, { queueId: 2 }, "b");
    await broker.settle();
    const put = broker.store.put.bind(broker.store);
    let waitingWhenB = -1;
    vi.spyOn(broker.store, "put").mockImplementation((message, result) => {
      puts++;
      const status = put(message, result);
      if (message.queue.queueId === 2) waitingWhenB = 3000 - broker.broker.context.delayOffsets.get(2)!;
      return status;
    });
    await broker.advance(1000);
    expect(portions.reduce((sum, count) => sum + count)).toBe(3001);
    expect(Math.max(...portions)).toBeLessThanOrEqual(256);
    expect(portions.length).toBeGreaterThanOrEqual(12);
    expect(waitingWhenB).toBeGreaterThan(2000);
    expect(broker.bodies("T", 1)).toEqual(Array.from({ length: 3000 }, (_, i) => `a${i}`));
  });

  test("a message that falls due before it is dispatched comes as soon as it is", async () => {
    await broker.close();
    // Dispatch sees nothing before it is on the disk.
    await start({ store: { flushDiskType: "SYNC_FLUSH" } });
    broker.send({ DELAY: "1", WAIT: "false" });
    broker.clock.advance(LEVEL_1_MS);
    expect(broker.store.maxOffset(broker.store.findQueue(SCHEDULE, 0)!)).toBe(0);
    await broker.settle();
    expect(broker.messages(SCHEDULE, 0)).toHaveLength(1);
    expect(broker.messages("T", 1)).toEqual([]);
    await broker.advance(0);
    await broker.settle();
    expect(broker.messages("T", 1)).toHaveLength(1);
  });

  test("what was sent before delivery began is not forgotten", async () => {
    await broker.close();
    broker = await StoreBroker.open({ store: { flushDiskType: "SYNC_FLUSH" } });
    broker.send({ DELAY: "1", WAIT: "false" });
    broker.schedule.start();
    broker.clock.advance(0);
    await broker.settle();
    await broker.advance(LEVEL_1_MS);
    await broker.settle();
    expect(broker.messages("T", 1)).toHaveLength(1);
  });

  test("what a full disk refuses is tried again, in order, and told once", async () => {
    broker.send({ DELAY: "1" }, {}, "first");
    broker.send({ DELAY: "1" }, {}, "second");
    await broker.settle();
    const put = vi.spyOn(broker.store, "put").mockReturnValue(PutStatus.DISK_FULL);
    await broker.advance(2000);
    expect(put.mock.calls.length).toBeGreaterThan(5);
    expect(broker.broker.context.delayOffsets.get(1)).toBe(0);
    expect(broker.log.at("warn", /can not be delivered now/)).toHaveLength(1);
    put.mockRestore();
    await broker.advance(100);
    expect(broker.bodies("T", 1)).toEqual(["first", "second"]);
  });

  test("a message whose topic was deleted meanwhile is there when the topic is again", async () => {
    broker.send({ DELAY: "1" });
    await broker.settle();
    broker.broker.context.topics.delete("T");
    await broker.advance(LEVEL_1_MS);
    expect(broker.messages("T", 1)).toHaveLength(1);
  });

  test("records that say nothing usable about their place are passed over and reported", async () => {
    const queue = broker.schedule.queueOf(1);
    for (const properties of [
      "DELAY\u00011\u0002",
      "DELAY\u00011\u0002REAL_TOPIC\u0001../x\u0002REAL_QID\u00010\u0002",
      "DELAY\u00011\u0002REAL_TOPIC\u0001T\u0002REAL_QID\u0001-1\u0002",
      "DELAY\u00011\u0002REAL_TOPIC\u0001T\u0002REAL_QID\u000199999999999\u0002",
      `DELAY\u00011\u0002REAL_TOPIC\u0001${SCHEDULE}\u0002REAL_QID\u00010\u0002`,
      "DELAY\u00011\u0002REAL_TOPIC\u0001RMQ_SYS_TRANS_HALF_TOPIC\u0002REAL_QID\u00010\u0002",
    ]) {
      putRaw(queue, properties);
    }
    broker.send({ DELAY: "1" }, {}, "sound");
    await broker.advance(LEVEL_1_MS);
    expect(broker.bodies("T", 1)).toEqual(["sound"]);
    expect(broker.log.at("error", /can not be delivered/)).toHaveLength(6);
    expect(broker.broker.context.delayOffsets.get(1)).toBe(7);
  });

  test("the CRC of the waiting record does not go along, for it would be wrong", async () => {
    const properties = "DELAY\u00011\u0002REAL_TOPIC\u0001T\u0002REAL_QID\u00010\u0002__CRC32#\u00010123456789\u0002";
    putRaw(broker.schedule.queueOf(1), properties);
    broker.send({ DELAY: "1" });
    await broker.advance(LEVEL_1_MS);
    expect([...broker.messages("T", 0)[0]!.properties.keys()]).toEqual(["DELAY", "REAL_TOPIC", "REAL_QID"]);
  });
});

function putRaw(queue: ReturnType<StoreBroker["schedule"]["queueOf"]>, properties: string): void {
  const bytes = Buffer.from(properties);
  const host = Buffer.from([127, 0, 0, 1, 0, 0, 0, 9]);
  const result = { queueOffset: 0, phyOffset: 0, sizeBytes: 0, storeTimestamp: 0, count: 0 };
  const status = broker.store.put(
    {
      queue,
      flag: 0,
      sysFlag: 0,
      bornTimestamp: 0,
      bornHost: host,
      storeHost: host,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: Buffer.from("raw"),
      bodyStart: 0,
      bodyLength: 3,
      properties: bytes,
      propertiesStart: 0,
      propertiesLength: bytes.length,
    },
    result,
  );
  expect(status).toBe(PutStatus.PUT_OK);
}

describe("progress", () => {
  const path = "/data/store/config/delayOffset.json";
  let disk: MemoryDisk;

  beforeEach(async () => {
    await broker.close();
    disk = new MemoryDisk();
    await start({ disk });
  });

  const saved = (): string | undefined => disk.readFile(path)?.toString().replaceAll(/\s/g, "");

  test("is saved at intervals, in Apache's shape, and code 45 answers it", async () => {
    broker.send({ DELAY: "1" });
    broker.send({ DELAY: "18" });
    await broker.advance(9_999);
    expect(saved()).toBeUndefined();
    await broker.advance(1);
    const { timestamp } = broker.broker.context.delayOffsets.dataVersion;
    const table = (offsets: string) =>
      `{"dataVersion":{"counter":0,"stateVersion":0,"timestamp":${timestamp}},"offsetTable":{${offsets}}}`;
    expect(saved()).toBe(table("1:1,18:0"));
    expect(broker.broker.ask(RequestCode.GET_ALL_DELAY_OFFSET).body.toString()).toBe(table("1:1,18:0"));
    broker.send({ DELAY: "2" });
    await broker.advance(10_000);
    expect(saved()).toBe(table("1:1,2:1,18:0"));
    expect(disk.readFile(`${path}.bak`)!.toString().replaceAll(/\s/g, "")).toBe(table("1:1,18:0"));
    const runtime = broker.broker.json(RequestCode.GET_BROKER_RUNTIME_INFO).get("table") as Map<string, string>;
    expect([1, 2, 3, 18].map((level) => runtime.get(`scheduleMessageOffset_${level}`))).toEqual([
      "1,1",
      "1,1",
      undefined,
      "0,1",
    ]);
  });

  test("is saved only when what was delivered is on the disk", async () => {
    const { delayOffsets } = broker.broker.context;
    let flushed = () => {};
    vi.spyOn(broker.store, "whenFlushed").mockImplementation(
      () =>
        new Promise((resolve) => {
          flushed = resolve;
        }),
    );
    broker.send({ DELAY: "1" });
    await broker.advance(10_000);
    expect(delayOffsets.get(1)).toBe(1);
    expect(saved()).toBeUndefined();
    broker.send({ DELAY: "1" });
    await broker.advance(LEVEL_1_MS);
    expect(delayOffsets.get(1)).toBe(2);
    flushed();
    await broker.settle();
    expect(saved()).toContain("{1:1}");
    vi.restoreAllMocks();
    await broker.close();
    expect(saved()).toContain("{1:2}");
    await start({ disk });
  });

  test("stays where it was when the store can not tell that anything is on the disk", async () => {
    vi.spyOn(broker.store, "whenFlushed").mockRejectedValue(new Error("no"));
    broker.send({ DELAY: "1" });
    await broker.advance(20_000);
    expect(broker.messages("T", 1)).toHaveLength(1);
    expect(saved()).toBeUndefined();
    vi.restoreAllMocks();
  });

  test("a broker goes on where the last one closed: nothing again, nothing lost", async () => {
    for (let i = 0; i < 5; i++) {
      broker.send({ DELAY: "3" }, {}, `m${i}`);
      await broker.advance(1000);
    }
    await broker.advance(7000);
    expect(broker.bodies("T", 1)).toEqual(["m0", "m1", "m2"]);
    const { clock } = broker;
    await broker.close();
    clock.advance(60_000);
    await start({ disk, clock });
    await broker.advance(0);
    expect(broker.bodies("T", 1)).toEqual(["m0", "m1", "m2", "m3", "m4"]);
    expect(broker.log.at("error", /./)).toEqual([]);
  });

  test("a broker that lost its last saves delivers again rather than not at all", async () => {
    broker.send({ DELAY: "1" }, {}, "m0");
    await broker.advance(10_000);
    const before = disk.readFile(path)!;
    broker.send({ DELAY: "1" }, {}, "m1");
    broker.send({ DELAY: "2" }, {}, "m2");
    await broker.advance(6000);
    const { clock } = broker;
    await broker.close();
    disk.writeAtomically(path, before);
    await start({ disk, clock });
    await broker.advance(0);
    expect(broker.bodies("T", 1)).toEqual(["m0", "m1", "m2", "m1", "m2"]);
  });

  test("a saved offset beyond the queue, or below it, is moved inside and told", async () => {
    broker.send({ DELAY: "1" });
    await broker.advance(2000);
    const { clock } = broker;
    await broker.close();
    disk.writeAtomically(
      path,
      `{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":2},"offsetTable":{1:77,2:-3}}`,
    );
    await start({ disk, clock });
    expect(broker.broker.context.delayOffsets.get(1)).toBe(1);
    expect(broker.log.at("error", /outside of its queue/)).toMatchObject([{ level: 1, saved: 77, maxOffset: 1 }]);
    const report = broker.broker.reports.find((found) => found.path.endsWith("delayOffset.json"));
    expect(report).toMatchObject({ outcome: "loaded", droppedCount: 1 });
    broker.send({ DELAY: "1" }, {}, "next");
    await broker.advance(LEVEL_1_MS);
    expect(broker.bodies("T", 1)).toEqual(["body", "next"]);
  });

  test("the version moves on with every so many offsets", async () => {
    await broker.close();
    await start({ disk, config: { delayOffsetUpdateVersionStep: 3 } });
    for (let i = 0; i < 7; i++) broker.send({ DELAY: "1" });
    await broker.advance(LEVEL_1_MS);
    expect(broker.broker.context.delayOffsets.dataVersion.counter).toBe(2);
  });

  test("levels that the configuration has no more keep their offsets", async () => {
    broker.send({ DELAY: "18" });
    await broker.advance(10_000);
    const { clock } = broker;
    await broker.close();
    await start({ disk, clock, config: { messageDelayLevel: "1s 2s" } });
    broker.send({ DELAY: "5" }, {}, "last");
    await broker.advance(2000);
    expect(broker.bodies("T", 1)).toEqual(["last"]);
    expect(broker.messages(SCHEDULE, 1)[0]!.properties.get("DELAY")).toBe("2");
    await broker.close();
    expect(saved()).toContain("{2:1,18:0}");
    await start({ disk, clock });
  });
});
