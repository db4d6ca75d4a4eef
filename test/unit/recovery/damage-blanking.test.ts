import { expect, test } from "vitest";
import type { LogRanges } from "#src/consumequeue/consume-queue.js";
import { DamageBlanking } from "#src/recovery/damage-blanking.js";

test("however many damages there are, each is in one pass through the queues, and few are kept at a time", () => {
  const passes: { fromOffset: number; toOffset: number; hit: number[] }[] = [];
  const queue = {
    blankIn(ranges: LogRanges, fromOffset: number, toOffset: number): number {
      const hit = [];
      for (let at = 0; at < 100; at++) if (ranges.contains(at)) hit.push(at);
      return passes.push({ fromOffset, toOffset, hit });
    },
  };
  const blanking = new DamageBlanking({ all: [{ queue }] }, 3);
  blanking.blank();
  for (const at of [0, 10, 20, 30, 40, 50, 60]) blanking.add(at, at + 2);
  blanking.blank();
  blanking.blank();
  expect(passes).toEqual([
    { fromOffset: 0, toOffset: 22, hit: [0, 1, 10, 11, 20, 21] },
    { fromOffset: 30, toOffset: 52, hit: [30, 31, 40, 41, 50, 51] },
    { fromOffset: 60, toOffset: 62, hit: [60, 61] },
  ]);
});
