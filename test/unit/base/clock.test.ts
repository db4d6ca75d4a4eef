import { expect, test, vi } from "vitest";
import { systemClock } from "#src/base/clock.js";

const DAY_MS = 86_400_000;

test("what is to come in more than 24 days comes then, where Node's own timers would take it for now", () => {
  vi.useFakeTimers();
  try {
    const runs: string[] = [];
    systemClock.schedule(60 * DAY_MS, () => runs.push("in 60 days"));
    const cancelled = systemClock.schedule(60 * DAY_MS, () => runs.push("cancelled"));
    systemClock.schedule(Number.POSITIVE_INFINITY, () => runs.push("never"));
    vi.advanceTimersByTime(60 * DAY_MS - 1);
    expect(runs).toEqual([]);
    cancelled.cancel();
    vi.advanceTimersByTime(1);
    expect(runs).toEqual(["in 60 days"]);
  } finally {
    vi.useRealTimers();
  }
});
