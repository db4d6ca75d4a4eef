/** The allocation strategies, against the results of Apache's classes. */
import { expect, test } from "vitest";
import {
  type AllocateStrategy,
  allocateAveragely,
  allocateAveragelyByCircle,
  allocateByConsistentHash,
  allocateByMachineRoom,
} from "#src/client/allocate.js";
import type { MessageQueue } from "#src/client/message-queue.js";

const queuesOf = (count: number, brokerName = "b"): MessageQueue[] =>
  Array.from({ length: count }, (_, queueId) => ({ topic: "T", brokerName, queueId }));

const shares = (strategy: AllocateStrategy, queues: MessageQueue[], clients: string[]) =>
  clients.map((client) => strategy.allocate(client, queues, clients).map(({ queueId }) => queueId));

test("averagely, and by circle", () => {
  expect(shares(allocateAveragely, queuesOf(8), ["a", "b", "c"])).toEqual([
    [0, 1, 2],
    [3, 4, 5],
    [6, 7],
  ]);
  expect(shares(allocateAveragely, queuesOf(2), ["a", "b", "c"])).toEqual([[0], [1], []]);
  expect(shares(allocateAveragelyByCircle, queuesOf(5), ["a", "b", "c"])).toEqual([[0, 3], [1, 4], [2]]);
});

test("by machine room: only brokers of the rooms", () => {
  const queues = [...queuesOf(3, "r1@b"), ...queuesOf(2, "r2@b"), ...queuesOf(2, "b")];
  expect(shares(allocateByMachineRoom(["r1"]), queues, ["a", "b"])).toEqual([[0, 2], [1]]);
  expect(shares(allocateByMachineRoom(["r3"]), queues, ["a", "b"])).toEqual([[], []]);
});

test("by consistent hash: every queue has one owner, and few change when a consumer goes", () => {
  const strategy = allocateByConsistentHash();
  // As AllocateMessageQueueConsistentHash of 5.4.0 shares them.
  expect(shares(strategy, queuesOf(16), ["a", "b", "c"])).toEqual([
    [2, 4, 9, 10, 15],
    [1, 5, 6, 11, 12, 13],
    [0, 3, 7, 8, 14],
  ]);
  const queues = queuesOf(64);
  const ownersOf = (clients: string[]) =>
    queues.map((queue) => clients.filter((client) => strategy.allocate(client, queues, clients).includes(queue)));
  const before = ownersOf(["a", "b", "c", "d"]);
  const after = ownersOf(["a", "b", "c"]);
  expect(before.every((owners) => owners.length === 1)).toBe(true);
  expect(new Set(before.flat()).size).toBe(4);
  for (const [i, [owner]] of before.entries()) if (owner !== "d") expect(after[i]).toEqual([owner]);
  expect(() => allocateByConsistentHash(0)).toThrow("virtualNodes");
});
