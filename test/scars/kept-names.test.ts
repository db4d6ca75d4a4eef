/** Names that are kept in tables kept the whole bodies that they were cut from: V8 cuts strings without copying them. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { parseTopicConfigLine } from "#src/server/protocol/topic-config.js";
import { FakeConnection, TestBroker } from "../unit/broker/harness.js";

const HEARTBEAT = 34;
const COUNT = 8;
const PADDING = "x".repeat(1_048_576);
const KEPT_BYTES_MAX = (COUNT * PADDING.length) / 4;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

test("a heartbeat's names do not keep its body", () => {
  const broker = new TestBroker();
  const connection = new FakeConnection();
  const beat = (name: string) => {
    const heartbeat = { clientID: `client of ${name}`, PADDING, producerDataSet: [{ groupName: name }] };
    expect(broker.ask(HEARTBEAT, {}, JSON.stringify(heartbeat), connection).code).toBe(0);
  };
  beat("producers-with-a-long-name");
  const before = heapBytes();
  for (let i = 0; i < COUNT; i++) beat(`producers-with-the-long-name-${i}`);
  expect(heapBytes() - before).toBeLessThan(KEPT_BYTES_MAX);
  expect(broker.context.producers.channelsOf("producers-with-the-long-name-1")!.size).toBe(1);
});

test("a topic's name does not keep its line of a registration", () => {
  const before = heapBytes();
  const names = Array.from({ length: COUNT }, (_, i) => {
    const line = Buffer.from(`topic-with-a-long-name-${i} 1 1 6 SINGLE_TAG {} ${PADDING}`);
    return parseTopicConfigLine(line.toString()).topicName;
  });
  expect(heapBytes() - before).toBeLessThan(KEPT_BYTES_MAX);
  expect(names[3]).toBe("topic-with-a-long-name-3");
});
