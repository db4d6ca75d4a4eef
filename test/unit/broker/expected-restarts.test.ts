import { expect, test } from "vitest";
import { ExpectedRestarts } from "#src/server/broker/expected-restarts.js";
import { heartbeatBody, TestBroker } from "./harness.js";

const HEART_BEAT = 34;
const DELETE_TOPIC = 215;

test("each queue is taken once, and what is taken whole is let go of", () => {
  const restarts = new ExpectedRestarts();
  restarts.add("g", "T", 2);
  restarts.add("g", "T", 2);
  expect(restarts.queueCount).toBe(2);
  expect([restarts.has("g", "T", 1), restarts.has("g", "T", 2), restarts.has("h", "T", 1)]).toEqual([
    true,
    false,
    false,
  ]);
  expect([restarts.take("g", "T", 1), restarts.take("g", "T", 1), restarts.take("g", "T", 0)]).toEqual([
    true,
    false,
    true,
  ]);
  expect(restarts.queueCount).toBe(0);
});

test("past the bound the longest kept go", () => {
  const restarts = new ExpectedRestarts(10);
  restarts.add("g", "Old", 4);
  restarts.add("h", "Old", 4);
  restarts.add("g", "New", 4);
  expect(restarts.queueCount).toBeLessThanOrEqual(10);
  expect(restarts.has("g", "New", 3)).toBe(true);
  restarts.add("g", "Huge", 2_000_000_000);
  expect(restarts.queueCount).toBe(10);
  for (const topic of ["Old", "New"]) expect(restarts.has("g", topic, 0)).toBe(false);
  restarts.forgetTopic("Huge");
  expect(restarts.queueCount).toBe(0);
});

test("of topics that are made, read and deleted for ever nothing stays with the group's offsets", async () => {
  const broker = new TestBroker();
  const { consumers, groups, offsets, topics } = broker.context;
  groups.find("g");
  const names = Array.from({ length: 20 }, (_, i) => `T${i}`);
  const subscribed = names.map((topic): [string, string] => [topic, "*"]);
  expect(broker.ask(HEART_BEAT, {}, heartbeatBody("c", "g", subscribed)).code).toBe(0);
  for (const topic of names) {
    topics.createInSendMessage(topic, "TBW102", "peer", 4, 0);
    offsets.commitOffset("peer", "g", topic, 0, 3);
    expect((await broker.askLate(DELETE_TOPIC, { topic })).code).toBe(0);
    expect(consumers.groupsOf(topic).size).toBe(1);
    expect(offsets.hasOffsetReset(topic, "g", 3)).toBe(true);
  }
  expect([offsets.has("g"), offsets.groupCount]).toEqual([false, 0]);
});
