/** How far a queue counts as consumed by what is popped of it. */
import { expect, test } from "vitest";
import { LeaseTable } from "#src/server/broker/pop/leases.js";

test("a message that is given out again holds the offset until its copy is durable, also when leases are taken over", () => {
  const leases = new LeaseTable();
  const queue = leases.add("G", "T", 0, 0);
  queue.popOffset = 10;
  const expired = leases.lease(queue, 4, 1, 1);
  leases.release(expired);
  expect(queue.settledOffset).toBe(4);
  const adopted = leases.lease(queue, 2, 1, 1);
  queue.sort();
  expect(queue.settledOffset).toBe(2);
  leases.settle(adopted);
  expect(queue.settledOffset).toBe(4);
  expired.isSettled = true;
  expect(queue.settledOffset).toBe(10);
});
