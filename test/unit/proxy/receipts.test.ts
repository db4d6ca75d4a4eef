import { expect, test } from "vitest";
import { encodeRecord } from "#src/record/encode.js";
import { poppedMessages } from "#src/server/proxy/pop-result.js";
import {
  checkNotExpired,
  decodeReceiptHandle,
  encodeReceiptHandle,
  realTopic,
} from "#src/server/proxy/receipt-handle.js";
import { TransactionTable } from "#src/server/proxy/transaction-table.js";
import { defaultBrokerConfig } from "#src/server/broker/broker-config.js";
import { FakeClock } from "../broker/harness.js";

const HANDLE = "5 1700000000000 60000 3 0 broker-a 2 7 4096";

test("a handle says what it was made of", () => {
  const handle = decodeReceiptHandle(HANDLE);
  expect(handle).toMatchObject({ startOffset: 5, reviveQueueId: 3, queueId: 2, offset: 7, phyOffset: 4096 });
  expect(encodeReceiptHandle(handle)).toBe(HANDLE);
  expect(decodeReceiptHandle("5 1 2 3 0 b 2 7").phyOffset).toBe(-1);
});

test.each(["", "1 2 3", "x 1 2 3 0 b 2 7", "5 1 2 3 0 b 2 7 y", "1 ".repeat(5000)])("%j is no handle", (text) => {
  expect(() => decodeReceiptHandle(text)).toThrow(expect.objectContaining({ code: 40013 }));
});

test("a handle is good until its message is visible again", () => {
  const handle = decodeReceiptHandle(HANDLE);
  expect(() => checkNotExpired(handle, 1_700_000_059_999)).not.toThrow();
  expect(() => checkNotExpired(handle, 1_700_000_060_000)).toThrow(expect.objectContaining({ code: 40013 }));
});

test.each([
  ["0", "T"],
  ["1", "%RETRY%G_T"],
  ["2", "%RETRY%G+T"],
])("a handle of kind %s belongs to %s", (kind, topic) => {
  expect(realTopic(decodeReceiptHandle(`5 1 2 3 ${kind} b 2 7`), "T", "G")).toBe(topic);
});

function record(topic: string, queueOffset: number): Buffer {
  return encodeRecord({ topic, queueId: 1, queueOffset, phyOffset: 1000 + queueOffset, body: Buffer.from("b") });
}

function popAnswer(records: readonly Buffer[], fields: Record<string, string>) {
  const all = { popTime: "100", invisibleTime: "60000", reviveQid: "4", ...fields };
  return { code: 0, remark: "", fields: all, body: Buffer.concat(records) };
}

test("handles begin with the start of their queue's pop", () => {
  const answer = popAnswer([record("T", 8), record("T", 9)], { startOffsetInfo: "0 1 8", msgOffsetInfo: "0 1 8,9" });
  const handles = poppedMessages(answer, "broker-a", false).map(({ handle }) => handle);
  expect(handles).toEqual(["8 100 60000 4 0 broker-a 1 8 1008", "8 100 60000 4 0 broker-a 1 9 1009"]);
});

test("an ordered pop says how often each message was tried", () => {
  const fields = { startOffsetInfo: "0 1 8", orderCountInfo: "0 qo1%8 2;0 qo1%9 0;0 1 1" };
  const answer = popAnswer([record("T", 8), record("T", 9), record("T", 10)], fields);
  const counts = (fifo: boolean) => poppedMessages(answer, "b", fifo).map(({ reconsumeTimes }) => reconsumeTimes);
  expect(counts(true)).toEqual([2, 0, 1]);
  expect(counts(false)).toEqual([0, 0, 0]);
});

test("an open transaction is known for half a minute, and once", () => {
  const clock = new FakeClock();
  const table = new TransactionTable(defaultBrokerConfig(), clock);
  table.add("G", "1", { queueOffset: 1, phyOffset: 10 });
  table.add("G", "2", { queueOffset: 2, phyOffset: 20 });
  expect(table.take("G", "1")).toMatchObject({ queueOffset: 1, phyOffset: 10 });
  expect(table.take("G", "1")).toBeUndefined();
  clock.advance(30_001);
  expect(table.take("G", "2")).toBeUndefined();
  expect(table.size).toBe(0);
});
