/** The broker's view of the store: who waits for dispatch, and who need not. */
import { expect, test } from "vitest";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import { BrokerStore } from "#src/server/broker/broker-store.js";
import type { MessageStore } from "#src/store/message-store.js";
import type { QueueHandle } from "#src/store/types.js";

test("whether an offset lies in the queue is known without waiting for dispatch, unless it lies behind the end", () => {
  let [readable, waits] = [5, 0];
  const store = {
    maxOffset: () => readable,
    catchUp: () => {
      waits++;
      readable = 8;
    },
  };
  const view = new BrokerStore(store as unknown as MessageStore, defaultBrokerConfig({}));
  const queue = {} as QueueHandle;
  expect([view.maxOffset(queue, 4), waits]).toEqual([5, 0]);
  expect([view.maxOffset(queue, 5), waits]).toEqual([8, 1]);
  expect([view.maxOffset(queue), waits]).toEqual([8, 2]);
});
