/**
 * Timers in the store of a real broker: what still waits there is delivered, what was recalled is not, what was delivered
 * is not again; and the files are left as Apache writes them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { readInt64 } from "#src/base/int64.js";
import { TimerUnit, UNIT_BYTES, UnitMagic } from "#src/server/broker/timer/timer-unit.js";
import { SteppedClock, TIMER_TOPIC } from "../unit/broker/timer-harness.js";
import { StoreBroker } from "../unit/broker/store-broker.js";
import { extractStore } from "./golden-store.js";

const golden = extractStore("broker");
const root = join(golden.dir, "store");
const clock = new SteppedClock();
/** When the store was closed, just after the last message of the capture. */
const CLOSED_MS = 1_795_250_646_000;
/** TIMER_DELIVER_MS, or the time of storing and TIMER_DELAY_SEC, of what waits; timer 4 was recalled. */
const DUE_MS = { "timer 2": 1_795_254_212_424, "timer 3": 1_795_250_612_428 + 7_200_000, "timer 5": 1_795_380_212_435 };

let broker: StoreBroker;

async function start(): Promise<void> {
  clock.dropTasks();
  broker = await StoreBroker.open({
    disk: new FileDisk("file"),
    clock,
    config: { storePathRootDir: root, traceTopicEnable: true, timerFlushIntervalMs: 1000 },
    store: {
      segmentBytes: undefined,
      queueFileBytes: undefined,
      indexSizes: {
        maxHashSlotNum: Number(golden.conf.get("maxHashSlotNum")),
        maxIndexNum: Number(golden.conf.get("maxIndexNum")),
      },
      threads: false,
    },
  });
  broker.timers.start();
  await step(0);
}

beforeAll(() => {
  clock.offsetMs = CLOSED_MS - clock.nowMs();
  return start();
});
afterAll(() => broker.close());

async function step(ms: number): Promise<void> {
  for (let i = 0; i < 3; i++) await broker.advance(i === 0 ? ms : 0);
}

function delivered(): { body: string; storeTimestamp: number }[] {
  const messages = [0, 1].flatMap((queueId) => broker.messages("GoldenDelay", queueId));
  return messages
    .map(({ body, storeTimestamp }) => ({ body: body.toString(), storeTimestamp }))
    .filter(({ body, storeTimestamp }) => body.startsWith("timer") && storeTimestamp >= CLOSED_MS)
    .sort((a, b) => a.storeTimestamp - b.storeTimestamp);
}

test("what waits is known, without what was recalled", () => {
  const list = broker.timerAdmin.list({ topic: "GoldenDelay" });
  expect(list.map(({ keys, dueMs }) => [keys.replace("-", " "), dueMs])).toEqual(Object.entries(DUE_MS));
  expect(broker.broker.context.timerMetrics.countOf("GoldenDelay")).toBe(3);
  expect(broker.log.at("error", /./)).toEqual([]);
  expect(broker.log.at("warn", /./)).toEqual([]);
});

test("every one is delivered at its time, once, over restarts in between", async () => {
  const before = [0, 1].flatMap((queueId) => broker.bodies("GoldenDelay", queueId)).filter((b) => /^timer/.test(b));
  expect(before.sort()).toEqual(["timer 0", "timer 1"]);
  for (const [body, dueMs] of Object.entries(DUE_MS)) {
    clock.offsetMs += dueMs - clock.nowMs() - 6000;
    await step(5999);
    expect(delivered().map((message) => message.body)).not.toContain(body);
    await step(1);
    expect(delivered().at(-1)).toEqual({ body, storeTimestamp: dueMs });
    await step(3000);
    await broker.close();
    await start();
    await step(3000);
  }
  expect(delivered().map(({ body }) => body)).toEqual(Object.keys(DUE_MS));
  expect(broker.broker.context.timerMetrics.countOf("GoldenDelay")).toBe(0);
  expect(broker.log.at("error", /./)).toEqual([]);
});

test("what is put now is filed as Apache would, and its files say where to go on", async () => {
  const sentMs = clock.nowMs();
  const { fields } = broker.send({ TIMER_DELAY_SEC: "600", UNIQ_KEY: "NEW" }, { topic: "GoldenDelay", queueId: 0 });
  await step(5000);
  await broker.close();
  const log = readFileSync(join(root, "timerlog", "00000000000000000000"));
  expect(log).toHaveLength(102_400);
  const check = readFileSync(join(root, "config", "timercheck"));
  const [readTimeMs, end, queueOffset, masterOffset] = [0, 8, 16, 24].map((at) => Number(check.readBigInt64BE(at)));
  expect([end! % UNIT_BYTES, queueOffset, masterOffset]).toEqual([0, 37, 37]);
  // The second at hand has been read, and nothing comes into it any more.
  expect(readTimeMs).toBe(Math.floor(clock.nowMs() / 1000) * 1000 + 1000);
  expect(fields["queueOffset"]).toBe("36");

  const unit = new TimerUnit();
  const view = new DataView(log.buffer, log.byteOffset, log.length);
  expect(unit.read(view, end! - UNIT_BYTES)).toBe(true);
  const outMs = Math.floor((sentMs + 600_000 - 1) / 1000) * 1000;
  expect(unit).toMatchObject({ magic: UnitMagic.DEFAULT, prevPosition: -1, topicHash: 0xf69239da | 0 });
  expect(Math.floor(unit.timeMs / 1000) * 1000).toBe(outMs);
  expect(log.readInt32BE(end!)).toBe(0);

  const wheel = readFileSync(join(root, "timerwheel"));
  expect(wheel).toHaveLength(38_707_200);
  const at = ((outMs / 1000) % 1_209_600) * 32;
  const slot = new DataView(wheel.buffer, wheel.byteOffset + at, 32);
  const position = end! - UNIT_BYTES;
  expect([0, 8, 16].map((field) => readInt64(slot, field))).toEqual([outMs / 1000, position, position]);
  expect(slot.getInt32(24)).toBe(1);

  await start();
  expect(broker.messages(TIMER_TOPIC).at(-1)!.properties.get("TIMER_OUT_MS")).toBe(String(outMs));
});
