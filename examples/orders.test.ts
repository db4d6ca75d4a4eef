/** A broker in a vitest test: the code under test gets `broker.namesrvAddr`, the test moves the clock. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { TestBroker } from "cometmq/testing";

let broker: TestBroker;

beforeEach(async () => {
  broker = await TestBroker.start({ topics: { orders: { queues: 1 } } });
});

afterEach(() => broker.close());

const stored = (topic: string): string[] => broker.messages(topic).map(({ body }) => body.toString());

test("an order that nobody pays is taken back after half an hour", async () => {
  await broker.send("orders", "placed 7", { keys: "7" });
  await broker.send("orders", "expired 7", { keys: "7", delayMs: 30 * 60_000 });
  expect(stored("orders")).toEqual(["placed 7"]);
  await broker.advance("29m");
  expect(stored("orders")).toEqual(["placed 7"]);
  await broker.advance("1m");
  expect(stored("orders")).toEqual(["placed 7", "expired 7"]);
});

test("what the broker refuses is heard of", async () => {
  await expect(broker.send("no/topic", "x")).rejects.toThrow("no/topic");
});
