/** Rounds of a rebalancer: one that is asked for at any moment of another is not forgotten. */
import { expect, test } from "vitest";
import type { ClientInstance } from "#src/client/client-instance.js";
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
