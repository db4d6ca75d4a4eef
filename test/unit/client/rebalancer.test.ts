/** Rounds of a rebalancer: one asked for at any moment of another is not forgotten; and whom the queues are shared among. */
import { expect, test } from "vitest";
import { allocateAveragely } from "#src/client/allocate.js";
import type { ClientInstance } from "#src/client/client-instance.js";
import type { MessageQueue } from "#src/client/message-queue.js";
import { Rebalancer } from "#src/client/rebalancer.js";

test.each(Array.from({ length: 12 }, (_, microtasks) => microtasks))(
  "a round asked for %i microtasks after another takes place",
  async (microtasks) => {
    let rounds = 0;
    const topics = (): string[] => {
      rounds++;
      return [];
    };
    const owner = { topics, assign: async () => true, revoke: async () => {} };
    const rebalancer = new Rebalancer({} as ClientInstance, { consumerGroup: "G", strategy: undefined }, owner);
    void rebalancer.rebalance();
    for (let i = 0; i < microtasks; i++) await Promise.resolve();
    const before = rounds;
    await rebalancer.rebalance();
    expect(rounds).toBe(before + 1);
    await rebalancer.stop();
  },
);

test("a client that a broker lists twice, for a connection that is gone, has all of its queues", async () => {
  const queues = { brokerName: "b", readQueueNums: 4, writeQueueNums: 4, perm: 6 };
  const instance = {
    clientId: "two",
    routes: { get: async () => ({ queues: [queues], brokers: [] }), readableAddressOf: () => "127.0.0.1:1" },
    callAddress: async () => ({ code: 0, body: Buffer.from('{"consumerIdList":["two","one","two","two"]}') }),
  } as unknown as ClientInstance;
  const own: number[] = [];
  const owner = {
    topics: () => ["T"],
    assign: async ({ queueId }: MessageQueue) => own.push(queueId) > 0,
    revoke: async () => {},
  };
  const rebalancer = new Rebalancer(instance, { consumerGroup: "G", strategy: allocateAveragely }, owner);
  await rebalancer.rebalance();
  expect(own).toEqual([2, 3]);
  await rebalancer.stop();
});
