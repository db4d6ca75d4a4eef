/** Questions about what queues hold, asked right after an acknowledgement: dispatch runs on a thread and may be behind. */
import { expect, test } from "vitest";
import type { Fields } from "#src/remoting/types.js";
import { FakeConnection, heartbeatBody, TestBroker } from "./harness.js";

const QUEUE = { topic: "TBW102", queueId: 0 };
const GROUP = { consumerGroup: "G", group: "G", topic: "TBW102" };

interface Behind {
  readonly broker: TestBroker;
  /** Dispatch gets so far, or fails to. */
  readonly reached: () => void;
  readonly failed: () => void;
}

/** A broker with one acknowledged message that is in its queue only when dispatch has come so far. */
function behind(): Behind {
  const broker = new TestBroker();
  broker.ask(34, {}, heartbeatBody("c", "G", [["TBW102", "*"]]));
  let resolve = () => {};
  let failed = () => {};
  const settled = new Promise<void>((done, fail) => {
    resolve = done;
    failed = () => fail(new Error("dispatch has ended"));
  });
  broker.store.settled = () => settled;
  const reached = () => {
    broker.store.queue("TBW102", 0).times = [1_795_250_610_880];
    resolve();
  };
  return { broker, reached, failed };
}

const asked: [string, number, Fields, RegExp][] = [
  ["where a queue ends", 30, QUEUE, /offset":"?1/],
  ["which offset has a time", 29, { ...QUEUE, timestamp: 1_795_250_610_881 }, /offset":"?1/],
  ["when the first message came", 32, QUEUE, /1795250610880/],
  ["what a topic holds", 202, { topic: "TBW102" }, /"maxOffset":1,/],
  ["how far a group is behind", 208, GROUP, /"brokerOffset":1,/],
  ["from when to when messages are", 303, GROUP, /"maxTimeStamp":1795250610880/],
  ["how far all groups are behind", 317, {}, /"brokerOffset":1,/],
  ["what a queue's file holds", 321, { ...QUEUE, index: 0, count: 1 }, /"maxQueueIndex":1,/],
  ["to reset to the end", 222, { ...GROUP, timestamp: -1, isForce: true }, /queueId":0.*\}:1,/],
];

test.each(asked)("%s (code %i) waits for what was acknowledged", async (_what, code, fields, expected) => {
  const { broker, reached } = behind();
  if (code === 317 || code === 208) broker.context.offsets.commitOffset("test", "G", "TBW102", 0, 0);
  const connection = new FakeConnection();
  const late = broker.askLate(code, fields, undefined, connection);
  await Promise.resolve();
  expect(connection.writer.length).toBe(0);
  reached();
  const { fields: answered, body } = await late;
  expect(JSON.stringify(answered) + body.toString()).toMatch(expected);
});

test.each([
  ["that gets no further for a second", ({ broker }: Behind) => broker.clock.advance(1000)],
  ["that has ended", ({ failed }: Behind) => failed()],
])("a dispatch %s leaves nobody without an answer", async (_what, end) => {
  const state = behind();
  const late = state.broker.askLate(30, QUEUE);
  state.broker.clock.advance(999);
  end(state);
  expect((await late).fields).toEqual({ offset: "0" });
});

test("a topic that goes while the question waits answers as none", async () => {
  const { broker, reached } = behind();
  const late = broker.askLate(202, { topic: "TBW102" });
  broker.context.topics.delete("TBW102");
  reached();
  expect((await late).code).toBe(17);
});

test("with nothing to wait for the answer is there at once", () => {
  const broker = new TestBroker();
  for (const [what, code, fields] of asked.filter(([, code]) => code !== 317 && code !== 222)) {
    expect(broker.ask(code, fields).code, what).toBe(0);
  }
});
