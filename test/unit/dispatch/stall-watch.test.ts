/** A thread that never ends its turn is noticed; one that rests, or a process that is stopped, is not mistaken for it. */
import { expect, test } from "vitest";
import type { SegmentMaker } from "#src/commitlog/segment-source.js";
import { DispatchLoop } from "#src/dispatch/dispatch-loop.js";
import type { Dispatcher } from "#src/dispatch/dispatcher.js";
import { type QueueProgress, SharedProgress } from "#src/dispatch/shared-progress.js";
import { REST_MAX_MS, StallWatch } from "#src/dispatch/stall-watch.js";
import { HandClock } from "../remoting/peers.js";

function start() {
  const clock = new HandClock();
  const thread = { turns: 0 };
  const told: string[] = [];
  const watch = new StallWatch(clock, () => thread.turns, {
    onSlow: (seconds) => told.push(`slow ${seconds}`),
    onStalled: (seconds) => told.push(`stalled ${seconds}`),
  });
  return { clock, thread, told, watch };
}

test("a thread that ends its turns now and then is left alone", () => {
  const { clock, thread, told } = start();
  for (let i = 0; i < 100; i++) {
    thread.turns++;
    clock.advance(9000);
  }
  expect(told).toEqual([]);
});

test("one that has nothing to do, and rests as long as it may, is not spoken of", () => {
  const { clock, thread, told } = start();
  for (let i = 0; i < 100; i++) {
    clock.advance(REST_MAX_MS);
    thread.turns++;
  }
  expect(told).toEqual([]);
});

test("one that ends none is slow after 10 s, stalled after a minute, and looked at no more", () => {
  const { clock, told } = start();
  clock.advance(9999);
  expect(told).toEqual([]);
  clock.advance(1);
  expect(told).toEqual(["slow 10"]);
  clock.advance(49_999);
  expect(told).toEqual(["slow 10"]);
  clock.advance(1);
  expect(told).toEqual(["slow 10", "stalled 60"]);
  expect(clock.scheduledCount).toBe(0);
});

test("a slow disk is told again once it was well", () => {
  const { clock, thread, told } = start();
  clock.advance(30_000);
  thread.turns++;
  clock.advance(30_000);
  expect(told).toEqual(["slow 10", "slow 10"]);
});

test("time in which nobody looks counts for nothing: the process was stopped, or the machine slept", () => {
  const tasks: (() => void)[] = [];
  const late = { nowMs: () => 0, monotonicMs: () => 0, schedule: (_: number, task: () => void) => add(task) };
  const add = (task: () => void) => {
    tasks.push(task);
    return { cancel: () => {} };
  };
  const told: string[] = [];
  const events = { onSlow: () => told.push("slow"), onStalled: () => told.push("stalled") };
  const watch = new StallWatch(late, () => 0, events);
  // Each look comes an hour late, and says no more than one that is in time.
  for (let i = 0; i < 9; i++) tasks.shift()!();
  expect(told).toEqual([]);
  watch.stop();
});

test("nothing is looked at after the end", () => {
  const { clock, told, watch } = start();
  watch.stop();
  clock.advance(100_000);
  expect(told).toEqual([]);
  expect(clock.scheduledCount).toBe(0);
});

test("a step that writes many queues is not one turn: each is, for its file may have to be made", () => {
  const progress = new SharedProgress();
  const seen: number[] = [];
  const dispatcher = {
    position: 100,
    queuesDirty: true,
    run: () => 0,
    flushIndex: () => {},
    flushQueues: (onGrown: (slot: number, maxOffset: number) => void) => {
      for (let slot = 0; slot < 5; slot++) {
        onGrown(slot, 1);
        seen.push(progress.turns);
      }
    },
  };
  const queueProgress = { setMaxOffset: () => {} };
  const maker = { readyEnd: 0, makeNext: () => false };
  const loop = new DispatchLoop(
    dispatcher as unknown as Dispatcher,
    maker as unknown as SegmentMaker,
    progress,
    queueProgress as unknown as QueueProgress,
    () => {},
  );
  loop.step(100);
  expect(new Set(seen).size).toBe(5);
});
