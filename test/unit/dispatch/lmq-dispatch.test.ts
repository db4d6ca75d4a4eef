import { expect, test } from "vitest";
import { LmqDispatch, type LmqEntry } from "#src/dispatch/lmq-dispatch.js";
import { encodeRecord } from "#src/record/encode.js";
import { RecordView } from "#src/record/record-view.js";

const dispatch = new LmqDispatch();

function entriesOf(properties: Record<string, string>, topic = "parent"): readonly LmqEntry[] {
  const bytes = encodeRecord({ topic, properties: new Map(Object.entries(properties)) });
  const record = new RecordView();
  record.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
  return dispatch.entriesOf(record, bytes);
}

const of = (names: string, offsets: string, topic?: string) =>
  entriesOf({ INNER_MULTI_DISPATCH: names, INNER_MULTI_QUEUE_OFFSET: offsets }, topic);

test("a record is entered into every light message queue that it names", () => {
  expect(of("%LMQ%a", "7")).toEqual([{ name: "%LMQ%a", queueOffset: 7 }]);
  expect(of("%LMQ%a,%LMQ%b", "0,123456")).toEqual([
    { name: "%LMQ%a", queueOffset: 0 },
    { name: "%LMQ%b", queueOffset: 123456 },
  ]);
});

test("names of other kinds have no offset and get no entry", () => {
  expect(of("other,%LMQ%b", ",5")).toEqual([{ name: "%LMQ%b", queueOffset: 5 }]);
});

test("without both properties, and as many offsets as names, there is none", () => {
  expect(entriesOf({ KEYS: "k" })).toEqual([]);
  expect(entriesOf({ INNER_MULTI_DISPATCH: "%LMQ%a" })).toEqual([]);
  expect(entriesOf({ INNER_MULTI_QUEUE_OFFSET: "1" })).toEqual([]);
  expect(of("%LMQ%a,%LMQ%b", "1")).toEqual([]);
});

test("an offset that is no number is passed over", () => {
  for (const offset of ["-1", "1.5", "x", "9999999999999999"]) expect(of("%LMQ%a", offset)).toEqual([]);
});

test("records of retry, system and schedule topics are not dispatched any further", () => {
  for (const topic of ["%RETRY%group", "rmq_sys_wheel_timer", "SCHEDULE_TOPIC_XXXX"])
    expect(of("%LMQ%a", "1", topic)).toEqual([]);
});
