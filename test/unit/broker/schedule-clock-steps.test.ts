/** Delay levels when the wall clock does not run straight; timers go by the monotonic one, which does. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeClock } from "./harness.js";
import { StoreBroker } from "./store-broker.js";

const LEVEL_3_MS = 10_000;
const HOUR_MS = 3_600_000;

class SteppedClock extends FakeClock {
  stepMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.stepMs;
  }
}

let broker: StoreBroker;
let clock: SteppedClock;

beforeEach(async () => {
  clock = new SteppedClock();
  broker = await StoreBroker.open({ clock });
  broker.schedule.start();
});
afterEach(() => broker.close());

test("set forward: what the new time makes due comes at once", async () => {
  broker.send({ DELAY: "17" }, {}, "waits an hour");
  broker.send({ DELAY: "18" }, {}, "waits two");
  await broker.advance(1000);
  clock.stepMs = HOUR_MS;
  // What is due soon sets the alarm anew.
  broker.send({ DELAY: "1" }, {}, "waits a second");
  await broker.advance(200);
  expect(broker.bodies("T", 1)).toEqual(["waits an hour"]);
});

test("set back: nothing comes early, and nothing waits much longer than its level says", async () => {
  broker.send({ DELAY: "3" }, {}, "before");
  await broker.advance(4000);
  clock.stepMs = -HOUR_MS;
  broker.send({ DELAY: "3" }, {}, "after");
  await broker.advance(LEVEL_3_MS - 4000 - 1);
  expect(broker.bodies("T", 1)).toEqual([]);
  await broker.advance(2 * LEVEL_3_MS);
  expect(broker.bodies("T", 1)).toEqual(["before", "after"]);
});

test("set back: all that wait wait once more, not one after the other", async () => {
  for (let i = 0; i < 20; i++) {
    broker.send({ DELAY: "3" }, {}, `m${i}`);
    await broker.advance(400);
  }
  clock.stepMs = -HOUR_MS;
  await broker.advance(2 * LEVEL_3_MS);
  expect(broker.bodies("T", 1)).toHaveLength(20);
});

test("set back by less than a level: the delays go on to be kept", async () => {
  broker.send({ DELAY: "3" }, {}, "m0");
  await broker.advance(1);
  clock.stepMs = -3;
  broker.send({ DELAY: "3" }, {}, "m1");
  await broker.advance(LEVEL_3_MS - 2);
  expect(broker.bodies("T", 1)).toEqual([]);
  await broker.advance(10);
  expect(broker.bodies("T", 1)).toEqual(["m0", "m1"]);
});

test("set back for good: messages keep their delays while the log's times stand still", async () => {
  await broker.sent();
  clock.stepMs = -HOUR_MS;
  for (let i = 0; i < 3; i++) {
    broker.send({ DELAY: "3" }, {}, `m${i}`);
    await broker.advance(LEVEL_3_MS - 1);
    expect(broker.bodies("T", 1)).not.toContain(`m${i}`);
    await broker.advance(LEVEL_3_MS + 1);
    expect(broker.bodies("T", 1)).toContain(`m${i}`);
  }
});
