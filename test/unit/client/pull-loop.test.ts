/** The loop that pulls one queue, as long as the queue is not dropped. */
import { expect, test } from "vitest";
import { silentLogger } from "#src/base/log.js";
import type { ClientInstance } from "#src/client/client-instance.js";
import { subscriptionOf } from "#src/client/heartbeat.js";
import type { OffsetStore } from "#src/client/offset-store.js";
import { ProcessQueue } from "#src/client/process-queue.js";
import { PullLoop, type PullLoopOwner, type PullLoopSettings } from "#src/client/pull-loop.js";
import { HandClock } from "../remoting/peers.js";

test("a topic that is unsubscribed and subscribed again before its queues were given back is pulled again", async () => {
  const clock = new HandClock();
  const subscription = subscriptionOf("T", "*", 1);
  let subscribed = false;
  let pulls = 0;
  const instance = {
    clock,
    settings: { clock, log: silentLogger },
    routes: { readableAddressOf: () => "127.0.0.1:1" },
    callAddress: () => {
      pulls++;
      return new Promise(() => {});
    },
  } as unknown as ClientInstance;
  const settings = { pullThresholdForQueue: 1, pullThresholdBytesForQueue: 1 } as PullLoopSettings;
  const owner = {
    subscription: () => (subscribed ? subscription : undefined),
    isPaused: () => false,
  } as unknown as PullLoopOwner;
  const loop = new PullLoop(instance, settings, {} as OffsetStore, owner);
  const queue = new ProcessQueue({ topic: "T", brokerName: "b", queueId: 0 }, 0, clock);
  void loop.follow(queue);
  await Promise.resolve();
  expect(pulls).toBe(0);
  subscribed = true;
  clock.advance(1000);
  for (let i = 0; i < 8; i++) await Promise.resolve();
  expect(pulls).toBe(1);
  queue.drop();
});
