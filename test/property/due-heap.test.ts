/** Timers in memory against a sorted list: whatever order they come in, and go in between. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { DueHeap } from "#src/server/broker/timer/due-heap.js";

const push = fc.record({ dueMs: fc.integer({ min: 0, max: 6 }), magic: fc.integer({ min: 1, max: 15 }) });
const pop = fc.constant(undefined);

/** Slots are read from the newest timer back: positions mostly fall. */
const steps = fc.array(fc.oneof({ weight: 3, arbitrary: push }, pop), { maxLength: 60 });

test("the first is the one that is due first, and of those due together the one that was put first", () => {
  fc.assert(
    fc.property(
      steps,
      fc.array(fc.nat(1000), { minLength: 60, maxLength: 60 }),
      fc.boolean(),
      (given, random, falls) => {
        const heap = new DueHeap();
        const model: { dueMs: number; position: number; phyOffset: number; slotMs: number; magic: number }[] = [];
        given.forEach((step, i) => {
          if (step !== undefined) {
            const place = falls ? 1000 - i : random[i]!;
            const timer = { ...step, position: place * 100 + i, phyOffset: 7 * place + i, slotMs: step.dueMs - 1 };
            heap.push(timer.dueMs, timer.position, timer.phyOffset, timer.slotMs, timer.magic);
            model.push(timer);
            model.sort((a, b) => a.dueMs - b.dueMs || a.position - b.position);
          } else if (model.length > 0) {
            heap.pop();
            model.shift();
          }
          expect(heap.size).toBe(model.length);
          expect(heap.phyOffsets()).toEqual(new Set(model.map(({ phyOffset }) => phyOffset)));
          expect(heap.minPhyOffset()).toBe(Math.min(...model.map(({ phyOffset }) => phyOffset)));
          if (model.length === 0) return;
          const { dueMs, position, phyOffset, slotMs, magic } = heap;
          expect({ dueMs, position, phyOffset, slotMs, magic }).toEqual(model[0]);
        });
      },
    ),
    { numRuns: 150 },
  );
});

test("grows, and lets go of what it had grown to", () => {
  const heap = new DueHeap();
  for (let i = 0; i < 5000; i++) heap.push(i % 2 === 0 ? 5000 - i : i, i, i, 0, 1);
  let last = -1;
  for (let left = 5000; left > 0; left--) {
    expect(heap.size).toBe(left);
    expect(heap.dueMs).toBeGreaterThanOrEqual(last);
    last = heap.dueMs;
    heap.pop();
  }
  heap.push(1, 2, 3, 4, 5);
  expect([heap.dueMs, heap.position, heap.phyOffset, heap.slotMs, heap.magic]).toEqual([1, 2, 3, 4, 5]);
});
