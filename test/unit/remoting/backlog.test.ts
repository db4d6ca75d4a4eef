/** An age is never told too high: fast-check compares with a model that knows when each byte arrived. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Backlog } from "#src/remoting/backlog.js";

test("a byte has waited since the first moment by which it was there", () => {
  const backlog = new Backlog();
  expect(backlog.isEmpty).toBe(true);
  expect(backlog.ageMs(500, 10)).toBe(0);
  backlog.note(100, 1000, 1, 50);
  backlog.note(200, 3000, 2, 80);
  expect(backlog.ageMs(1000, 100)).toBe(50);
  expect(backlog.ageMs(1001, 100)).toBe(20);
  expect(backlog.ageMs(3001, 100)).toBe(0);
  expect(backlog.isEmpty).toBe(true);
});

test("what waits is counted by the size of what came last, and gone with the last of it", () => {
  const backlog = new Backlog();
  backlog.note(1000, 11_000, 10, 0);
  expect(backlog.queuedCount).toBe(100);
  backlog.ageMs(11_000, 1);
  expect(backlog.queuedCount).toBe(100);
  backlog.ageMs(11_001, 1);
  expect(backlog.queuedCount).toBe(0);
});

test("a note so soon after the last is not due", () => {
  const backlog = new Backlog();
  expect(backlog.isDue(0)).toBe(true);
  backlog.note(0, 10, 1, 0);
  expect(backlog.isDue(9)).toBe(false);
  expect(backlog.isDue(10)).toBe(true);
});

test("no age is higher than the true one, and none is lost while there are few notes", () => {
  const step = fc.record({
    arrives: fc.integer({ min: 0, max: 5000 }),
    handles: fc.double({ min: 0, max: 1, noNaN: true }),
    ms: fc.integer({ min: 10, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const backlog = new Backlog();
      const arrivals: { position: number; atMs: number }[] = [];
      let [arrived, handled, nowMs] = [0, 0, 0];
      for (const [i, { arrives, handles, ms }] of steps.entries()) {
        nowMs += ms;
        arrived += arrives;
        arrivals.push({ position: arrived, atMs: nowMs });
        backlog.note(handled, arrived, i, nowMs);
        const position = handled + Math.floor((arrived - handled) * handles);
        const isNew = position > handled;
        const age = backlog.ageMs(position, nowMs + 5);
        handled = position;
        const there = arrivals.find((one) => one.position >= position)!;
        const trueAge = nowMs + 5 - there.atMs;
        expect(age).toBeLessThanOrEqual(trueAge);
        if (steps.length < 60 && isNew && position < arrived) expect(age).toBe(trueAge);
      }
    }),
  );
});
