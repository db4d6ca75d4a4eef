/** Requests without a field that Apache has a code for other than SYSTEM_ERROR: that code, and a remark that names it. */
import { expect, test } from "vitest";
import { TestBroker } from "./harness.js";

const times = { maxNum: 1, beginTimestamp: 0, endTimestamp: 1 };

test.each([
  [12, { ...times, key: "k" }, 22, "topic"],
  [12, { ...times, topic: "T" }, 22, "key"],
  [14, { topic: "T", queueId: 0 }, 22, "consumerGroup"],
  [15, { topic: "T", queueId: 0, commitOffset: 1 }, 26, "consumerGroup"],
  [215, {}, 29, "topic"],
  [222, { topic: "T", timestamp: 0, isForce: true }, 26, "group"],
])("code %i with %o alone is answered %i", async (code, fields, answered, name) => {
  const broker = new TestBroker();
  const answer = await broker.askLate(code, fields);
  expect(answer).toMatchObject({ code: answered, remark: `The field ${name} is missing.` });
});
