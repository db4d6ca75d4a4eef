import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeRecords } from "#src/record/decode.js";
import { encodeRecord } from "#src/record/encode.js";
import { readExtraInfo } from "#src/server/broker/pop/extra-info.js";
import { lazyRecords, type ProxyRecord } from "#src/server/proxy/lazy-record.js";
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

const NAMES: readonly (keyof ProxyRecord)[] = [
  "topic",
  "queueId",
  "sysFlag",
  "queueOffset",
  "phyOffset",
  "bornTimestamp",
  "bornHost",
  "storeTimestamp",
  "storeHost",
  "reconsumeTimes",
  "body",
  "properties",
  "msgId",
];
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

test("a part of a handle is a number of at most sixteen digits, or there is no handle", () => {
  const part = fc.oneof(
    fc.maxSafeInteger().map(String),
    fc.stringMatching(/^-?[0-9]{1,17}$/),
    fc.constantFrom("", "-", "+1", "1e3", "0x1", "٣", "-0", "007"),
  );
  const parts = fc.array(part, { minLength: 6, maxLength: 18 });
  fc.assert(
    fc.property(parts, (values) => {
      const text = values.join(" ");
      const isNumber = (index: number) => /^-?\d{1,16}$/.test(values[index]!);
      const numbers = [0, 1, 2, 3, 6, 7, ...(values.length > 8 ? [8] : [])];
      if (values.length < 8 || !numbers.every(isNumber)) {
        expect(() => decodeReceiptHandle(text)).toThrow(expect.objectContaining({ code: 40013 }));
        return;
      }
      const { startOffset, retrieveTime, topicType, brokerName, offset, phyOffset } = decodeReceiptHandle(text);
      const expected = [...[values[0], values[1], values[7], values[8] ?? "-1"].map(Number), values[4], values[5]];
      expect([startOffset, retrieveTime, offset, phyOffset, topicType, brokerName]).toEqual(expected);
      if (!Number.isSafeInteger(retrieveTime)) expect(() => readExtraInfo(text)).toThrow("pop time is not an integer");
    }),
  );
});

test("records are what they are for everybody, whatever is before them", () => {
  const hosts = ["10.0.0.1:10911", "[fe80::1]:9", "10.0.0.1:10912"];
  const record = fc.record({
    topic: fc.constantFrom("a", "b", "ab"),
    storeHost: fc.constantFrom(...hosts),
    bornHost: fc.constantFrom(...hosts),
    phyOffset: fc.maxSafeNat(),
    queueOffset: fc.nat(),
    body: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    properties: fc.constant(new Map([["TAGS", "A"]])),
  });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 5 }), fc.nat(60), (records, cut) => {
      const bytes = Buffer.concat(records.map((fields) => encodeRecord(fields)));
      const some = bytes.subarray(0, Math.max(0, bytes.length - cut));
      const expected = decodeRecords(some);
      const got = lazyRecords(some);
      expect(got).toHaveLength(expected.length);
      for (const [i, message] of expected.entries()) {
        for (const name of NAMES) expect([name, got[i]![name]]).toEqual([name, message[name]]);
      }
    }),
    { numRuns: 30 },
  );
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

test("transactions with long ids go sooner, the oldest first", () => {
  const table = new TransactionTable(defaultBrokerConfig(), new FakeClock(), 1000);
  const id = (i: number) => `${i}`.padEnd(398, "x");
  for (let i = 0; i < 9; i++) table.add("T", id(i), { queueOffset: i, phyOffset: i });
  expect(table.size).toBe(3);
  expect([5, 6, 7, 8].map((i) => table.take("T", id(i))?.queueOffset)).toEqual([undefined, 6, 7, 8]);
  for (let i = 0; i < 40; i++) table.add("T", String(i), { queueOffset: i, phyOffset: i });
  expect(table.size).toBe(40);
});
