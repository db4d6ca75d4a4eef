/**
 * What broke for users of timers: stuck, lost, early or repeated messages after truncation, restart, retention, a step of
 * the clock. One test each, named after what broke.
 */
import { afterEach, expect, test, vi } from "vitest";
import { PutStatus } from "#src/store/types.js";
import { imageOf } from "../property/store-fixture.js";
import { HeldDisk } from "../server/held-disk.js";
import { HOUR_MS, KillDisk, ROOT, TIMER_TOPIC, TimerBroker } from "../unit/broker/timer-harness.js";

const DAY_MS = 24 * HOUR_MS;
const WHEEL = `${ROOT}/timerwheel`;
const LOG = `${ROOT}/timerlog/00000000000000000000`;
const CHECK = `${ROOT}/config/timercheck`;

let timers: TimerBroker;
afterEach(() => timers.close());

const warnings = (message: RegExp) => timers.broker.log.at("warn", message);
const errors = () => timers.broker.log.at("error", /./);

/** Bodies 0.., due one second after the other from `fromMs` on. */
function fill(count: number, fromMs: number, first = 0): string[] {
  const bodies = Array.from({ length: count }, (_, i) => String(first + i));
  bodies.forEach((body, i) => {
    timers.wait({ TIMER_DELAY_MS: String(fromMs + i * 1000) }, body);
  });
  return bodies;
}

test.each([
  ["the wheel", [WHEEL]],
  ["the wheel and the checkpoint", [WHEEL, CHECK]],
  ["wheel, log and checkpoint", [WHEEL, LOG, CHECK]],
  ["the log", [LOG]],
])("the wheel could not be made again from its log (#9735): %s gone, every message comes", async (_, paths) => {
  timers = await TimerBroker.open();
  const bodies = fill(30, 60_000);
  await timers.advance(5000);
  await timers.broker.close();
  for (const path of paths) timers.disk.remove(path);
  timers.clock.dropTasks();
  await timers.start();
  await timers.advance(100_000);
  expect([...new Set(timers.delivered())].sort()).toEqual(bodies.sort());
  if (paths.length === 1 && paths[0] === WHEEL) expect(timers.delivered()).toHaveLength(30);
});

test("a damaged wheel stopped the broker, or led nowhere", async () => {
  timers = await TimerBroker.open();
  const bodies = fill(30, 60_000);
  await timers.advance(5000);
  await timers.broker.close();
  const wheel = timers.disk.readFile(WHEEL)!;
  for (let at = 0; at < wheel.length; at += 32) if (wheel.readInt32BE(at + 4) !== 0) wheel.writeBigInt64BE(4n, at + 16);
  timers.disk.writeAtomically(WHEEL, wheel);
  timers.clock.dropTasks();
  await timers.start();
  await timers.advance(100_000);
  expect(timers.delivered()).toEqual(bodies);
  expect(warnings(/made anew/).length).toBeGreaterThan(0);
});

test("timer files that are no such files stopped the broker: they are put aside, and every message comes", async () => {
  timers = await TimerBroker.open();
  const bodies = fill(10, 60_000);
  await timers.advance(5000);
  await timers.broker.close();
  timers.disk.writeAtomically(LOG, Buffer.alloc(77, 1));
  timers.disk.writeAtomically(WHEEL, Buffer.alloc(99, 1));
  timers.disk.writeAtomically(CHECK, Buffer.alloc(4096, 0xff));
  timers.clock.dropTasks();
  await timers.start();
  await timers.advance(100_000);
  expect(timers.delivered()).toEqual(bodies);
});

test("timers kept pointing into a log that was cut off (#7480, #10668): what lies there now is not delivered for them", async () => {
  timers = await TimerBroker.open();
  const kept = fill(5, 60_000);
  await timers.advance(3000);
  const before = imageOf(timers.disk, ROOT);
  fill(20, 60_000, 100);
  await timers.advance(3000);
  // A power cut: the log has lost what the timer files had already.
  const after = imageOf(timers.disk, ROOT);
  await timers.close();
  const disk = new KillDisk(timers.clock);
  for (const [path, bytes] of before) disk.writeAtomically(path, bytes);
  for (const [path, bytes] of after) if (path.includes("timer")) disk.writeAtomically(path, bytes);
  timers = await TimerBroker.open({ disk });
  for (let i = 0; i < 20; i++) timers.send({}, `not delayed ${i}`, "Other");
  const fresh = fill(5, 90_000, 200);
  await timers.advance(200_000);
  expect(timers.delivered()).toEqual([...kept, ...fresh]);
  expect(errors()).toEqual([]);
});

test("one message without a time stopped all timers behind it", async () => {
  timers = await TimerBroker.open();
  expect(timers.broker.send({}, { topic: TIMER_TOPIC, queueId: 0 }).code).toBe(0);
  fill(3, 1000);
  await timers.advance(5000);
  expect(timers.delivered()).toEqual(["0", "1", "2"]);
  await timers.kill();
  expect(timers.broker.broker.context.timerMetrics.figures().offsetBehind).toBe(0);
});

test("retention deleted messages that were waiting", async () => {
  timers = await TimerBroker.open({ store: { segmentBytes: 64 * 1024, retention: { fileReservedTime: 0 } } });
  const bodies = fill(20, 60_000);
  for (let i = 0; i < 200; i++) timers.send({}, "x".repeat(1500), "Filler");
  await timers.advance(1000);
  let done = false;
  const deleting = timers.broker.store.deleteExpired().finally(() => {
    done = true;
  });
  while (!done) await timers.advance(1);
  expect(await deleting).toBeGreaterThan(2);
  expect(timers.broker.messages(TIMER_TOPIC)).toHaveLength(20);
  expect(timers.broker.messages(TIMER_TOPIC)[0]!.properties.get("TIMER_ROLL_TIMES")).toBe("1");
  await timers.restart();
  await timers.advance(100_000);
  expect(timers.delivered()).toEqual(bodies);
  expect(errors()).toEqual([]);
});

test("a log bounded in length deleted messages that were waiting: segments full of them stay", async () => {
  timers = await TimerBroker.open({ store: { segmentBytes: 64 * 1024, retention: { maxLogBytes: 128 * 1024 } } });
  const bodies = Array.from({ length: 200 }, (_, i) => `${i}`.padEnd(1500));
  const delivered = vi.spyOn(timers.broker.timers.delivery, "deliver");
  for (const body of bodies) timers.wait({ TIMER_DELAY_MS: "300000" }, body);
  for (let i = 0; i < 10; i++) await timers.advance(10_000);
  expect(timers.broker.store.minPhyOffset).toBe(0);
  expect(warnings(/full of timers/)).toHaveLength(1);
  for (let i = 0; i < 25; i++) await timers.advance(10_000);
  expect(timers.broker.store.minPhyOffset).toBeGreaterThan(0);
  expect(delivered).toHaveBeenCalledTimes(200);
  expect(errors()).toEqual([]);
});

test("a broker that was down for longer than the wheel reaches lost messages", async () => {
  timers = await TimerBroker.open();
  const bodies = fill(10, 60_000);
  timers.wait({ TIMER_DELAY_MS: String(40 * DAY_MS) }, "far");
  await timers.advance(2000);
  await timers.broker.close();
  timers.clock.offsetMs += 30 * DAY_MS;
  timers.clock.dropTasks();
  await timers.start();
  await timers.advance(10_000);
  expect(timers.delivered()).toEqual(bodies);
  for (let i = 0; i < 20; i++) {
    timers.clock.offsetMs += DAY_MS / 2;
    await timers.advance(6000);
  }
  expect(timers.delivered()).toEqual([...bodies, "far"]);
});

test("progress was saved before the messages were on the disk: a power cut then lost them", async () => {
  const disk = new HeldDisk();
  timers = await TimerBroker.open({ disk });
  fill(3, 1500);
  await timers.advance(1200);
  const saved = disk.readFile(CHECK);
  disk.held = true;
  await timers.advance(8000);
  const delivered = timers.delivered();
  const savedMeanwhile = disk.readFile(CHECK);
  disk.held = false;
  disk.letGo();
  await timers.advance(3000);
  expect(delivered).toHaveLength(3);
  expect(savedMeanwhile).toEqual(saved);
  expect(disk.readFile(CHECK)).not.toEqual(saved);
});

test("a clean restart in the middle of a second delivered what had been delivered in it", async () => {
  timers = await TimerBroker.open();
  const startMs = Math.ceil(timers.nowMs / 1000) * 1000 + 5000;
  const times = [100, 200, 200, 300, 600, 700, 900];
  for (const [i, ms] of times.entries()) timers.wait({ TIMER_DELIVER_MS: String(startMs + ms) }, String(i));
  await timers.advance(startMs + 400 - timers.nowMs);
  expect(timers.delivered()).toEqual(["0", "1", "2", "3"]);
  await timers.restart();
  await timers.advance(250);
  await timers.restart();
  await timers.advance(2000);
  expect(timers.delivered()).toEqual(["0", "1", "2", "3", "4", "5", "6"]);
});

test("another precision made the wheel unreadable, and its messages silent", async () => {
  timers = await TimerBroker.open();
  const bodies = fill(10, 60_000);
  await timers.advance(2000);
  const { disk } = timers;
  await timers.close();
  const elapsedMs = timers.clock.monotonicMs() - 1_000_000;
  timers = await TimerBroker.open({ disk, config: { timerPrecisionMs: 100 } });
  await timers.advance(elapsedMs + 80_000);
  expect(timers.delivered()).toEqual(bodies);
});

test("a clock set back an hour left new timers waiting for that hour, over restarts too", async () => {
  timers = await TimerBroker.open();
  fill(2, 1000);
  await timers.advance(5000);
  timers.clock.offsetMs -= HOUR_MS;
  timers.wait({ TIMER_DELAY_MS: "3000" }, "set back");
  await timers.advance(3000);
  expect(timers.delivered()).toEqual(["0", "1", "set back"]);
  timers.wait({ TIMER_DELAY_MS: "3000" }, "restarted");
  await timers.advance(1500);
  await timers.restart();
  await timers.advance(1500);
  expect(timers.delivered()).toEqual(["0", "1", "set back", "restarted"]);
  for (let i = 0; i < 70; i++) {
    timers.clock.offsetMs += HOUR_MS / 60;
    await timers.advance(5000);
  }
  await timers.restart();
  expect(timers.delivered()).toEqual(["0", "1", "set back", "restarted"]);
});

test("a clock set forward left what it made due waiting", async () => {
  timers = await TimerBroker.open();
  timers.wait({ TIMER_DELAY_MS: String(HOUR_MS) }, "an hour");
  await timers.advance(1000);
  timers.clock.offsetMs += HOUR_MS;
  await timers.advance(200);
  expect(timers.delivered()).toEqual(["an hour"]);
});

test("what a full disk refused was dropped after three tries", async () => {
  timers = await TimerBroker.open();
  fill(2, 1000);
  await timers.advance(0);
  const put = vi.spyOn(timers.broker.store, "put").mockReturnValue(PutStatus.DISK_FULL);
  await timers.advance(20_000);
  expect(put.mock.calls.length).toBeGreaterThan(50);
  expect(warnings(/can not be delivered now/)).toHaveLength(1);
  put.mockRestore();
  await timers.advance(100);
  expect(timers.delivered()).toEqual(["0", "1"]);
});

test("properties that could grow no more made a message undeliverable", async () => {
  timers = await TimerBroker.open();
  for (let bytes = 32_400; bytes < 32_767; bytes += 10) timers.send({ TIMER_DELAY_MS: "900", P: "x".repeat(bytes) });
  await timers.advance(1000);
  const taken = timers.broker.messages(TIMER_TOPIC).length;
  expect(taken).toBeGreaterThan(5);
  expect(timers.delivered()).toHaveLength(taken);
  expect(errors()).toEqual([]);
});

test("acknowledged in synchronous flush, delivered only once it is on the disk", async () => {
  const disk = new HeldDisk();
  timers = await TimerBroker.open({ disk, store: { flushDiskType: "SYNC_FLUSH" } });
  timers.broker.send({ TIMER_DELAY_MS: "100", WAIT: "false" });
  disk.held = true;
  timers.broker.send({ TIMER_DELAY_MS: "200", WAIT: "false" }, {}, "held");
  await timers.advance(1000);
  const early = timers.delivered();
  disk.held = false;
  disk.letGo();
  await timers.advance(1000);
  expect(early).not.toContain("held");
  expect(timers.delivered()).toEqual(["body", "held"]);
});
