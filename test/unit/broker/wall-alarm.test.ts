/** What waits for a time of the wall clock: it rings then, and at once where the clock is set. */
import { expect, test } from "vitest";
import { WallAlarm } from "#src/server/broker/wall-alarm.js";
import { SteppedClock } from "./timer-harness.js";

function made() {
  const clock = new SteppedClock();
  const rings: [number, number][] = [];
  const alarm = new WallAlarm(clock, (stepMs) => rings.push([clock.monotonicMs() - startMs, stepMs]));
  const startMs = clock.monotonicMs();
  return { clock, rings, alarm };
}

test("rings once, at the time that was set last", () => {
  const { clock, rings, alarm } = made();
  alarm.set(1000);
  alarm.set(5000.4);
  clock.advance(20_000);
  expect(rings).toEqual([[5001, 0]]);
  alarm.set(1000);
  alarm.cancel();
  clock.advance(20_000);
  expect(rings).toHaveLength(1);
});

test.each([3_600_000, -3_600_000])("the wall clock set by %i ms is noticed within 200 ms, once", (stepMs) => {
  const { clock, rings, alarm } = made();
  alarm.set(7_200_000);
  clock.advance(1000);
  clock.offsetMs += stepMs;
  clock.advance(200);
  expect(rings).toEqual([[1100, stepMs]]);
  alarm.set(300);
  clock.advance(1000);
  expect(rings.slice(1)).toEqual([[1500, 0]]);
});

test("a step before the alarm is set anew is not lost", () => {
  const { clock, rings, alarm } = made();
  alarm.set(7_200_000);
  clock.offsetMs += 3_600_000;
  alarm.set(1000);
  clock.advance(0);
  expect(rings).toEqual([[0, 3_600_000]]);
});

test("milliseconds between the clocks are no step; they add up to one", () => {
  const { clock, rings, alarm } = made();
  alarm.set(7_200_000);
  for (let i = 0; i < 20; i++) {
    clock.offsetMs += 1;
    expect(rings).toEqual([]);
    clock.advance(100);
  }
  expect(rings).toEqual([[2000, 20]]);
});

test("no sleep is longer than timers of Node go", () => {
  const { clock, rings, alarm } = made();
  alarm.set(300 * 86_400_000);
  clock.advance(86_400_000);
  expect(rings).toEqual([[86_400_000, 0]]);
});
