/** Messages that name their time: where they wait, when they come, what is refused. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { crc32 } from "#src/base/crc32.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { FastjsonMap } from "#src/remoting/fastjson.js";
import { formatRecallHandle, parseRecallHandle, RecallHandleWriter } from "#src/server/broker/timer/recall-handle.js";
import { FakeConnection } from "./harness.js";
import { HOUR_MS, ROOT, TIMER_TOPIC, TimerBroker } from "./timer-harness.js";

let timers: TimerBroker;
beforeEach(async () => {
  timers = await TimerBroker.open();
});
afterEach(() => timers.close());

const DAY_MS = 24 * HOUR_MS;
const errors = () => timers.broker.log.at("error", /./);

describe("a message with a time", () => {
  test.each([
    ["TIMER_DELAY_MS", () => "2345", 2345],
    ["TIMER_DELAY_SEC", () => "7", 7000],
    ["TIMER_DELIVER_MS", () => String(timers.nowMs + 61_001), 61_001],
    ["TIMER_DELIVER_MS at a whole second", () => String(timers.nowMs + 60_000), 60_000],
    ["TIMER_DELAY_MS of one", () => "1", 1],
  ])("%s comes to the millisecond", async (name, value, delayMs) => {
    timers.wait({ [name.split(" ")[0]!]: value(), TAGS: "A" });
    await timers.advance(delayMs - 1);
    expect(timers.delivered()).toEqual([]);
    await timers.advance(1);
    expect(timers.delivered()).toEqual(["body"]);
    expect(errors()).toEqual([]);
  });

  test("is not delivered into a topic with batch queues, and that is told", async () => {
    timers.wait({ TIMER_DELAY_MS: "1000" });
    timers.broker.broker.context.topics.get("T")!.assign({ attributes: new Map([["queue.type", "BatchCQ"]]) });
    await timers.advance(2000);
    expect(timers.delivered()).toEqual([]);
    expect(timers.broker.log.at("error", /BatchCQ/)).toHaveLength(1);
  });

  test("stands in the timer topic as Apache puts it there, and keeps that when it comes", async () => {
    const bornMs = timers.nowMs;
    timers.wait({ TIMER_DELAY_MS: "2345", UNIQ_KEY: "K1", REAL_TOPIC: "../../etc" });
    await timers.advance(0);
    const [waiting] = timers.broker.messages(TIMER_TOPIC);
    const outMs = Math.floor((bornMs + 2345) / 1000) * 1000;
    expect(Object.fromEntries(waiting!.properties)).toMatchObject({
      TIMER_DELAY_MS: "2345",
      TIMER_OUT_MS: String(outMs),
      REAL_TOPIC: "T",
      REAL_QID: "1",
      UNIQ_KEY: "K1",
    });
    await timers.advance(2345);
    const [message] = timers.broker.messages("T", 1);
    expect(Object.fromEntries(message!.properties)).toMatchObject({
      ...Object.fromEntries(waiting!.properties),
      TIMER_ENQUEUE_MS: String(Math.floor(bornMs / 1000) * 1000),
      TIMER_DEQUEUE_MS: String(bornMs + 2345),
    });
    expect(message!.flag).toBe(7);
  });

  test("is filed one slot down when its time is a whole second, as Apache files it", async () => {
    const dueMs = Math.ceil(timers.nowMs / 1000) * 1000 + 5000;
    timers.wait({ TIMER_DELIVER_MS: String(dueMs) });
    await timers.advance(0);
    expect(timers.broker.messages(TIMER_TOPIC)[0]!.properties.get("TIMER_OUT_MS")).toBe(String(dueMs - 1000));
  });

  test("answers with where it waits, and with a handle that Apache's class reads", () => {
    const { fields } = timers.send({ TIMER_DELAY_SEC: "5", UNIQ_KEY: "K1" });
    const outMs = Math.floor((timers.nowMs + 5000 - 1) / 1000) * 1000;
    expect(fields).toMatchObject({ queueId: "1", queueOffset: "0", transactionId: "K1" });
    const text = Buffer.from(fields["recallHandle"]!, "base64").toString();
    expect(text).toBe(
      `v1 T broker-a ${outMs + 1} K1`.replace("broker-a", timers.broker.broker.context.config.brokerName),
    );
    expect(fields["recallHandle"]!.length % 4).toBe(0);
    expect(timers.send({}).fields["recallHandle"]).toBeUndefined();
  });

  test("messages come in the order of their times, whatever the order they were sent in", async () => {
    const delays = Array.from({ length: 400 }, (_, i) => ((i * 7919) % 3000) + 1);
    for (const delay of delays) timers.wait({ TIMER_DELAY_MS: String(delay) }, String(delay));
    await timers.advance(4000);
    const due = timers.delivered().map(Number);
    expect(due).toHaveLength(400);
    expect(due).toEqual([...delays].sort((a, b) => a - b));
  });

  test("one that is late goes before those that are due after it", async () => {
    for (let i = 0; i < 1200; i++) timers.wait({ TIMER_DELAY_MS: "1500" }, `later ${i}`);
    timers.wait({ TIMER_DELAY_MS: "1400" }, "sooner");
    await timers.advance(1600);
    expect(timers.delivered()[0]).toBe("sooner");
    expect(timers.delivered()).toHaveLength(1201);
  });

  test("comes after years", async () => {
    timers.wait({ TIMER_DELIVER_MS: String(timers.nowMs + 3 * 365 * DAY_MS) }, "in three years");
    await timers.advance(0);
    const step = 12 * HOUR_MS;
    for (let left = 3 * 365 * DAY_MS; left > 0; left -= step) {
      expect(timers.delivered()).toEqual([]);
      timers.clock.offsetMs += step - 5000;
      await timers.advance(5000);
    }
    expect(timers.delivered()).toEqual(["in three years"]);
    const rolled = timers.broker.messages(TIMER_TOPIC);
    expect(rolled.length).toBeGreaterThan(500);
    expect(rolled.at(-1)!.properties.get("TIMER_ROLL_TIMES")).toBe(String(rolled.length - 1));
  });

  test("keeps its millisecond when it is rolled", async () => {
    const dueMs = timers.nowMs + 3 * DAY_MS + 123;
    timers.wait({ TIMER_DELAY_MS: String(3 * DAY_MS + 123) });
    await timers.advance(0);
    timers.clock.offsetMs += 3 * DAY_MS - 10_000;
    await timers.advance(10_122);
    expect(timers.delivered()).toEqual([]);
    await timers.advance(1);
    expect(timers.delivered()).toEqual(["body"]);
    expect(timers.broker.messages(TIMER_TOPIC).at(-1)!.properties.get("TIMER_DELIVER_MS")).toBe(String(dueMs));
  });

  test("goes by TIMER_DELAY_SEC before the others, as Apache does", async () => {
    timers.wait({ TIMER_DELIVER_MS: "1", TIMER_DELAY_MS: "1000", TIMER_DELAY_SEC: "9" });
    await timers.advance(8999);
    expect(timers.delivered()).toEqual([]);
    await timers.advance(1);
    expect(timers.delivered()).toHaveLength(1);
  });

  test.each([
    ["at once", {}],
    ["after a restart", {}],
    ["at once", { TIMER_ROLL_TIMES: "1" }],
    ["after a restart", { TIMER_ROLL_TIMES: "1" }],
  ])("is due when it says, looked for %s: %j", async (when, mark) => {
    const deliverMs = timers.nowMs + 60_500;
    timers.wait({ TIMER_DELIVER_MS: String(deliverMs), TIMER_DELAY_MS: "61000", ...mark });
    timers.wait({ TIMER_DELAY_MS: "+61000" }, "signed");
    if (when === "after a restart") await timers.kill();
    await timers.advance(60_499);
    expect(timers.delivered()).toEqual([]);
    await timers.advance(1);
    // One that calls itself rolled goes by the time it says.
    expect(timers.delivered()).toEqual("TIMER_ROLL_TIMES" in mark ? ["body"] : []);
    await timers.advance(499);
    await timers.advance(1);
    expect(timers.delivered()).toEqual(["body", "signed"]);
  });

  test.each([5000, 60_000])("has the CRC of the body that it has, %d ms later", async (delayMs) => {
    timers.wait({ TIMER_DELAY_MS: String(delayMs) }, "sound body");
    await timers.advance(delayMs - 1);
    const isLong = delayMs > 10_000;
    if (isLong) {
      // As a page that comes from the disk again.
      const file = timers.disk.openFile(`${ROOT}/commitlog/${"0".repeat(20)}`, false);
      const bytes = Buffer.alloc(4096);
      file.readAt(bytes, 0, bytes.length, 0);
      file.writeAt(Buffer.from("S"), 0, 1, bytes.indexOf("sound body"));
    }
    await timers.advance(1);
    const [message] = timers.broker.messages("T", 1);
    const body = isLong ? "Sound body" : "sound body";
    expect(message!.body.toString()).toBe(body);
    expect(message!.bodyCrc).toBe(crc32(Buffer.from(body)) & 0x7fffffff);
  });

  test("goes to a topic that was deleted while it waited, and not to where nothing is delivered", async () => {
    timers.wait({ TIMER_DELAY_SEC: "5" }, "gone", "Gone");
    timers.broker.broker.context.topics.delete("Gone");
    const forge = (properties: Record<string, string>) => {
      const fields = { topic: TIMER_TOPIC, queueId: 0 };
      expect(timers.broker.send({ TIMER_OUT_MS: String(timers.nowMs + 2000), ...properties }, fields).code).toBe(0);
    };
    forge({ REAL_TOPIC: "../x", REAL_QID: "1" });
    forge({ REAL_TOPIC: TIMER_TOPIC, REAL_QID: "0" });
    forge({ REAL_TOPIC: "T", REAL_QID: "-1" });
    forge({ TIMER_OUT_MS: "soon" });
    timers.send({ TIMER_DELAY_SEC: "6" }, "sound");
    await timers.advance(6000);
    expect(timers.delivered("Gone")).toEqual(["gone"]);
    expect(timers.delivered()).toEqual(["sound"]);
    expect(errors()).toHaveLength(3);
  });

  test("nothing runs while none waits, and no file is made", async () => {
    expect(timers.disk.sizeOf(`${ROOT}/timerwheel`)).toBe(-1);
    timers.wait({ TIMER_DELAY_SEC: "1" });
    await timers.advance(3000);
    expect(timers.disk.sizeOf(`${ROOT}/timerwheel`)).toBe(38_707_200);
    expect(timers.disk.sizeOf(`${ROOT}/timerlog/00000000000000000000`)).toBe(8192);
    expect(timers.disk.sizeOf(`${ROOT}/config/timercheck`)).toBe(4096);
  });
});

describe("a time that is none", () => {
  const YEAR_9999 = "253402300799000";
  test.each([
    ["TIMER_DELIVER_MS", YEAR_9999],
    ["TIMER_DELIVER_MS", "soon"],
    ["TIMER_DELIVER_MS", "1e13"],
    ["TIMER_DELIVER_MS", "9223372036854775808"],
    ["TIMER_DELAY_MS", "9223372036854775807"],
    ["TIMER_DELAY_SEC", "9223372036854775807"],
    ["TIMER_DELAY_SEC", "0x10"],
    ["TIMER_DELAY_MS", "12.5"],
    ["TIMER_DELAY_MS", "1".repeat(10_000)],
  ])("%s=%s is refused by name, and nothing is kept", async (name, value) => {
    const before = timers.broker.store.maxPhyOffset;
    const answer = timers.send({ [name]: value });
    expect(answer.code).toBe(ResponseCode.MESSAGE_ILLEGAL);
    expect(answer.remark).toContain(`the property ${name} is`);
    expect(answer.remark.length).toBeLessThan(300);
    expect(timers.broker.store.maxPhyOffset).toBe(before);
  });

  test.each([
    ["TIMER_DELIVER_MS", "1"],
    ["TIMER_DELIVER_MS", "-5"],
    ["TIMER_DELAY_MS", "-1000"],
    ["TIMER_DELAY_SEC", "0"],
    ["TIMER_DELAY_SEC", "-9223372036854775808"],
  ])("%s=%s is over: the message comes at once", async (name, value) => {
    expect(timers.wait({ [name]: value })).toBeUndefined();
    await timers.advance(0);
    expect(timers.delivered()).toEqual(["body"]);
  });

  test("a configured bound is kept, and changed while the broker runs", async () => {
    timers.broker.broker.context.settings.update(new Map([["timerMaxDelaySec", "60"]]));
    expect(timers.send({ TIMER_DELAY_SEC: "61" }).remark).toContain("max delay 60000ms");
    expect(timers.send({ TIMER_DELAY_SEC: "60" }).code).toBe(0);
  });

  test("a batch can not wait", () => {
    const answer = timers.broker.send({ TIMER_DELAY_SEC: "1" }, { batch: true });
    expect(answer).toMatchObject({ code: ResponseCode.MESSAGE_ILLEGAL, remark: "a batch can not be delayed" });
  });

  test("too many for one moment are refused", () => {
    timers.broker.broker.context.settings.update(new Map([["timerCongestNumEachSlot", "3"]]));
    const answers = Array.from({ length: 6 }, () => timers.send({ TIMER_DELAY_SEC: "100" }).code);
    expect(answers).toEqual([0, 0, 0, 0, ResponseCode.SYSTEM_ERROR, ResponseCode.SYSTEM_ERROR]);
  });
});

describe("recall", () => {
  test("takes back the one that is meant", async () => {
    const handle = timers.wait({ TIMER_DELAY_SEC: "30", UNIQ_KEY: "K1" }, "gone");
    timers.wait({ TIMER_DELAY_SEC: "30", UNIQ_KEY: "K2" }, "kept");
    expect(timers.recall(handle)).toMatchObject({ code: 0, fields: { msgId: "K1" } });
    await timers.advance(31_000);
    expect(timers.delivered()).toEqual(["kept"]);
    expect(errors()).toEqual([]);
  });

  test("takes back one that was rolled", async () => {
    const handle = timers.wait({ TIMER_DELAY_MS: String(10 * DAY_MS) });
    await timers.advance(0);
    timers.clock.offsetMs += 3 * DAY_MS;
    await timers.advance(5000);
    expect(timers.recall(handle).code).toBe(0);
    for (let i = 0; i < 8; i++) {
      timers.clock.offsetMs += DAY_MS;
      await timers.advance(5000);
    }
    expect(timers.delivered()).toEqual([]);
    expect(timers.broker.broker.context.timerMetrics.countOf("T")).toBe(0);
  });

  test("survives a kill before the message is due", async () => {
    const handle = timers.wait({ TIMER_DELAY_SEC: "3" }, "gone");
    timers.wait({ TIMER_DELAY_SEC: "3" }, "kept");
    timers.recall(handle);
    await timers.broker.settle();
    timers.clock.offsetMs += 60_000;
    await timers.kill();
    await timers.advance(1000);
    expect(timers.delivered()).toEqual(["kept"]);
  });

  test("is Apache's no by default", async () => {
    timers.broker.broker.context.settings.update(new Map([["recallMessageEnable", "false"]]));
    const answer = timers.recall(timers.wait({ TIMER_DELAY_SEC: "30" }));
    expect(answer).toMatchObject({ code: ResponseCode.NO_PERMISSION, remark: "recall failed, operation is forbidden" });
  });

  test.each([
    ["no base64", () => "§§§", "recall handle is invalid"],
    ["empty", () => "", "recall handle is invalid"],
    ["no handle", () => Buffer.from("junk").toString("base64url"), "recall handle is invalid"],
    ["too few parts", () => Buffer.from("v1 T broker-x 1").toString("base64url"), "recall handle is invalid"],
    ["another version", () => Buffer.from("v2 T b 1 k").toString("base64url"), "recall handle is invalid"],
    [
      "control characters",
      () => Buffer.from("v1 T b 1 k\u0002X\u0001").toString("base64url"),
      "recall handle is invalid",
    ],
    ["very long", () => "A".repeat(30_000), "recall handle is invalid"],
    ["another topic", () => formatRecallHandle("U", brokerName(), timers.nowMs + 9000, "k"), "topic not match"],
    ["another broker", () => formatRecallHandle("T", "broker-x", timers.nowMs + 9000, "k"), "broker-x"],
    ["a time that is over", () => formatRecallHandle("T", brokerName(), timers.nowMs - 9000, "k"), "timestamp invalid"],
    ["no time", () => formatRecallHandle("T", brokerName(), Number.NaN, "k"), "timestamp invalid"],
  ])("with a handle that is %s is refused, and nothing is kept", async (_, handle, remark) => {
    timers.send({});
    const before = timers.broker.store.maxPhyOffset;
    const answer = timers.recall(handle());
    expect(answer.code).toBe(ResponseCode.ILLEGAL_OPERATION);
    expect(answer.remark).toContain(remark);
    expect(answer.fields["MSG_REGION"]).toBe("DefaultRegion");
    expect(timers.broker.store.maxPhyOffset).toBe(before);
  });

  test("a forged handle of another topic takes nothing back there", async () => {
    timers.wait({ TIMER_DELAY_SEC: "30", UNIQ_KEY: "K1" }, "kept");
    timers.send({}, "", "Mine");
    timers.send({}, "x", "Mine");
    const outMs = parseRecallHandle(timers.wait({ TIMER_DELAY_SEC: "30", UNIQ_KEY: "K9" }, "other"))!.timestampMs - 1;
    expect(timers.recall(formatRecallHandle("Mine", brokerName(), outMs, "K1"), "Mine").code).toBe(0);
    await timers.advance(31_000);
    expect(timers.delivered()).toEqual(["kept", "other"]);
  });

  test("of an unknown topic is Apache's answer", () => {
    const answer = timers.recall(formatRecallHandle("Nowhere", brokerName(), timers.nowMs + 9000, "k"), "Nowhere");
    expect(answer.code).toBe(ResponseCode.TOPIC_NOT_EXIST);
  });

  const brokerName = () => timers.broker.broker.context.config.brokerName;
});

describe("for operators", () => {
  test("what waits is listed in order, without what is recalled, and taken back by its id", async () => {
    timers.wait({ TIMER_DELAY_SEC: "40", UNIQ_KEY: "K3", KEYS: "order-3" });
    timers.wait({ TIMER_DELAY_SEC: "10", UNIQ_KEY: "K1" });
    timers.wait({ TIMER_DELAY_MS: String(5 * DAY_MS), UNIQ_KEY: "K4" }, "body", "U");
    timers.recall(timers.wait({ TIMER_DELAY_SEC: "20", UNIQ_KEY: "K2" }));
    await timers.advance(0);
    const list = timers.broker.timerAdmin.list();
    expect(list.map(({ uniqueKey }) => uniqueKey)).toEqual(["K1", "K3", "K4"]);
    expect(list[1]).toMatchObject({ topic: "T", queueId: 1, keys: "order-3", dueMs: timers.nowMs + 40_000 });
    expect(timers.broker.timerAdmin.list({ topic: "U" }).map(({ uniqueKey }) => uniqueKey)).toEqual(["K4"]);
    expect(timers.broker.timerAdmin.list({ countMax: 1 })).toHaveLength(1);
    expect(timers.broker.timerAdmin.cancel("T", "K3")).toBe(true);
    expect(timers.broker.timerAdmin.cancel("U", "K1")).toBe(false);
    expect(timers.broker.timerAdmin.cancel("T", "unknown")).toBe(false);
    expect(timers.broker.timerAdmin.list().map(({ uniqueKey }) => uniqueKey)).toEqual(["K1", "K4"]);
    await timers.advance(41_000);
    expect(timers.broker.messages("T", 1)).toHaveLength(1);
  });

  test("tools are told the counts", async () => {
    const { broker } = timers.broker;
    for (let i = 0; i < 3; i++) timers.wait({ TIMER_DELAY_SEC: "20" });
    timers.recall(timers.wait({ TIMER_DELAY_SEC: "20" }));
    await timers.advance(2000);
    const metrics = broker.json(RequestCode.GET_TIMER_METRICS);
    expect((metrics.get("timingCount") as Map<string, Map<string, number>>).get("T")!.get("count")).toBe(3);
    const runtime = broker.json(RequestCode.GET_BROKER_RUNTIME_INFO).get("table") as Map<string, string>;
    expect(runtime.get("timerCongestNum")).toBe("3");
    expect(runtime.get("timerOffsetBehind")).toBe("0");
    const check = broker.ask(RequestCode.GET_TIMER_CHECK_POINT);
    expect(check.body).toHaveLength(56);
    expect(check.body.readBigInt64BE(16)).toBe(5n);
    await timers.advance(20_000);
    expect(broker.context.timerMetrics.countOf("T")).toBe(0);
    // A topic that is deleted goes from the table, too, with the next save that has something new.
    const counted = () => [...(broker.json(RequestCode.GET_TIMER_METRICS).get("timingCount") as FastjsonMap).keys()];
    expect(counted()).toEqual(["T"]);
    broker.context.topics.delete("T");
    timers.wait({ TIMER_DELAY_SEC: "20" }, "body", "U");
    await timers.advance(2000);
    expect(counted()).toEqual(["U"]);
  });
});

describe("priority", () => {
  const queueOf = (properties: Record<string, string>) => timers.send(properties).fields["queueId"];

  test("chooses the queue, the last one for all that is above", () => {
    expect([0, 2, 3, 99].map((p) => queueOf({ _SYS_MSG_PRIORITY_: String(p) }))).toEqual(["0", "2", "3", "3"]);
  });

  test("is none when it is no number, and goes from a message of another kind", async () => {
    expect(queueOf({ _SYS_MSG_PRIORITY_: "high" })).toBe("1");
    expect(queueOf({ _SYS_MSG_PRIORITY_: "-1" })).toBe("1");
    expect(queueOf({ _SYS_MSG_PRIORITY_: "0", __SHARDINGKEY: "s" })).toBe("1");
    expect(queueOf({ _SYS_MSG_PRIORITY_: "0", TIMER_DELAY_SEC: "1" })).toBe("1");
    await timers.advance(1000);
    const kept = timers.broker.messages("T", 1).map(({ properties }) => properties.get("_SYS_MSG_PRIORITY_"));
    expect(kept).toEqual(["high", "-1", undefined, undefined]);
  });
});

test("without timers a message with a time is refused as Apache does", async () => {
  const { code, remark } = await offBroker();
  expect(code).toBe(ResponseCode.SYSTEM_ERROR);
  expect(remark).toBe("accurate timer message is not enabled, timerWheelEnable is false");
});

async function offBroker() {
  const { startBroker, send, properties, closeAll } = await import("../../server/harness.js");
  const { client } = await startBroker({ config: { timerWheelEnable: false } });
  const answer = await send(client(), { properties: properties({ TIMER_DELAY_SEC: "5" }) }, "x");
  await closeAll();
  return answer;
}

test("brokerStatus tells of no lag where nothing is due, however long ago something was", async () => {
  const behind = () => timers.broker.broker.context.timerMetrics.figures().readBehindMs;
  timers.wait({ TIMER_DELAY_SEC: "30" });
  await timers.advance(31_000);
  expect(timers.delivered()).toEqual(["body"]);
  timers.wait({ TIMER_DELAY_SEC: "600" });
  await timers.advance(0);
  timers.clock.offsetMs += 300_000;
  expect(behind()).toBe(0);
  timers.clock.offsetMs += 310_000;
  expect(behind()).toBeGreaterThan(8000);
  await timers.advance(5000);
  expect(timers.delivered()).toHaveLength(2);
  expect(behind()).toBeLessThan(1000);
});

test("a connection's address is the recall's born host", async () => {
  const handle = timers.wait({ TIMER_DELAY_SEC: "30" });
  const connection = new FakeConnection();
  timers.broker.broker.ask(
    RequestCode.RECALL_MESSAGE,
    { topic: "T", recallHandle: handle, producerGroup: "P\u0002X\u0001Y" },
    undefined,
    connection,
  );
  await timers.advance(0);
  const { properties, body } = timers.broker.messages(TIMER_TOPIC).at(-1)!;
  expect(properties.get("PGROUP")).toBe("PXY");
  expect(properties.get("TAGS")).toBe("_RECALL_TAG_");
  expect(body.toString()).toBe("0");
});

test("handles are written as they are formatted, topic after topic, whatever the length of the key", () => {
  const writer = new RecallHandleWriter();
  for (const topic of ["T", "orders", "T", "t\u00f6pic", "x".repeat(255)]) {
    for (const length of [1, 2, 3, 32, 500, 4]) {
      const keys = Buffer.from(`<${"K".repeat(length)}>`);
      writer.write(topic, "broker-a", 1_795_000_000_123, keys, 1, 1 + length);
      expect(writer.toString()).toBe(formatRecallHandle(topic, "broker-a", 1_795_000_000_123, "K".repeat(length)));
    }
  }
});
