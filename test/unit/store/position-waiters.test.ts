import { expect, test } from "vitest";
import { CometError } from "#src/base/errors.js";
import { PositionWaiters } from "#src/store/position-waiters.js";

function watched(promise: Promise<void>) {
  const state = { value: "waiting" };
  promise.then(
    () => {
      state.value = "reached";
    },
    () => {
      state.value = "failed";
    },
  );
  return state;
}

test("who is served by one sync shares a promise, and waits for none but that", async () => {
  const waiters = new PositionWaiters();
  const first = waiters.waitWithOthers(100, 0);
  expect(waiters.waitWithOthers(200, 0)).toBe(first);
  // A sync has begun that reaches 250.
  const later = waiters.waitWithOthers(300, 250);
  expect(later).not.toBe(first);
  const states = [watched(first), watched(later)];
  waiters.settle(250);
  await Promise.resolve();
  expect(states.map(({ value }) => value)).toEqual(["reached", "waiting"]);
  waiters.settle(300);
  await Promise.resolve();
  expect(states[1]!.value).toBe("reached");
});

test("a place that the sync under way reaches is not held up by later ones", async () => {
  const waiters = new PositionWaiters();
  const later = watched(waiters.waitWithOthers(300, 250));
  const earlier = watched(waiters.waitWithOthers(200, 250));
  waiters.settle(250);
  await Promise.resolve();
  expect([earlier.value, later.value]).toEqual(["reached", "waiting"]);
  expect(waiters.waitWithOthers(280, 250)).not.toBe(waiters.waitWithOthers(300, 250));
});

test("a failure reaches everybody", async () => {
  const waiters = new PositionWaiters();
  const states = [waiters.wait(10), waiters.waitWithOthers(20, 0), waiters.waitWithOthers(30, 0)].map(watched);
  waiters.fail(new CometError("COMETMQ_IO", "gone"));
  await Promise.resolve();
  await Promise.resolve();
  expect(states.map(({ value }) => value)).toEqual(["failed", "failed", "failed"]);
});
