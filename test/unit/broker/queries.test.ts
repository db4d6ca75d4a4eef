import { expect, test } from "vitest";
import { decodeProperties } from "#src/record/properties.js";
import { MAGIC_V1 } from "#src/record/layout.js";
import type { KeyQuery, KeyQueryResult } from "#src/server/broker/store-port.js";
import { TestBroker } from "./harness.js";

const QUERY = 12;
const VIEW = 33;

/** One record as the log holds it. */
function record(phyOffset: number, topic: string, properties: string, body = "body"): Buffer {
  const topicBytes = Buffer.from(topic);
  const propertyBytes = Buffer.from(properties);
  const bytes = Buffer.alloc(91 + body.length + topicBytes.length + propertyBytes.length);
  bytes.writeInt32BE(bytes.length, 0);
  bytes.writeInt32BE(MAGIC_V1, 4);
  bytes.writeBigInt64BE(BigInt(phyOffset), 28);
  bytes.writeInt32BE(body.length, 84);
  bytes.write(body, 88);
  let at = 88 + body.length;
  bytes.writeInt8(topicBytes.length, at);
  topicBytes.copy(bytes, at + 1);
  at += 1 + topicBytes.length;
  bytes.writeInt16BE(propertyBytes.length, at);
  propertyBytes.copy(bytes, at + 2);
  return bytes;
}

const properties = (uniqueKey: string, keys = "", tags = "") =>
  [`UNIQ_KEY\u0001${uniqueKey}\u0002`, keys && `KEYS\u0001${keys}\u0002`, tags && `TAGS\u0001${tags}\u0002`].join("");

/** A broker whose index finds `candidates`, newest first. */
function indexOf(candidates: readonly Buffer[]): { broker: TestBroker; asked: KeyQuery[] } {
  const broker = new TestBroker();
  const asked: KeyQuery[] = [];
  broker.store.queryByKey = async (query): Promise<KeyQueryResult> => {
    asked.push(query);
    const records = candidates.slice(0, query.countMax);
    return { records, indexLastUpdateTimestamp: 77, indexLastUpdatePhyOffset: 88 };
  };
  return { broker, asked };
}

function query(broker: TestBroker, fields: Record<string, string | number | boolean> = {}) {
  const defaults = { topic: "T", key: "k", maxNum: 32, beginTimestamp: 0, endTimestamp: "9223372036854775807" };
  return broker.askLate(QUERY, { ...defaults, ...fields });
}

test("messages that have the key come oldest first, one record after the other; collisions stay out", async () => {
  const mine = record(100, "T", properties("u1", "k other"));
  const unique = record(300, "T", properties("k"));
  const collisions = [record(400, "T", properties("u2", "kk")), record(200, "Other", properties("u3", "k"))];
  const { broker, asked } = indexOf([collisions[0]!, unique, collisions[1]!, mine]);
  const answer = await query(broker);
  expect(answer).toMatchObject({
    code: 0,
    fields: { indexLastUpdateTimestamp: "77", indexLastUpdatePhyoffset: "88" },
  });
  expect(answer.body).toEqual(Buffer.concat([mine, unique]));
  expect(asked[0]).toMatchObject({ topic: "T", key: "k", kind: "K", countMax: 32, beginMs: 0 });
  expect(asked[0]!.endMs).toBeGreaterThan(9e18);
});

test("a unique key is looked for as one, whatever the count asked for", async () => {
  const unique = record(300, "T", properties("k"));
  const { broker, asked } = indexOf([record(400, "T", properties("u2", "k")), unique]);
  expect((await query(broker, { _UNIQUE_KEY_QUERY: true, maxNum: 1 })).body).toEqual(unique);
  expect(asked[0]).toMatchObject({ kind: "U", countMax: 32 });
  expect((await query(broker, { indexType: "U" })).body).toEqual(unique);
  const tagged = record(500, "T", properties("u5", "", "k"));
  expect((await query(indexOf([unique, tagged]).broker, { indexType: "T" })).body).toEqual(tagged);
});

test("collisions do not hide the message behind them", async () => {
  const wanted = record(1, "T", properties("u", "k"));
  const collisions = Array.from({ length: 50 }, (_, i) => record(1000 - i, "T", properties(`c${i}`)));
  const { broker, asked } = indexOf([...collisions, wanted]);
  expect((await query(broker, { maxNum: 2 })).body).toEqual(wanted);
  expect(asked.map(({ countMax }) => countMax)).toEqual([2, 8, 32, 128]);
});

test("nothing found, and nothing sane asked", async () => {
  const { broker } = indexOf([Buffer.alloc(200), record(1, "T", properties("u")).subarray(0, 100)]);
  expect(await query(broker)).toMatchObject({
    code: 22,
    remark: "can not find message, maybe time range not correct",
    fields: { indexLastUpdateTimestamp: "77" },
  });
  expect((await query(broker, { maxNum: -5 })).code).toBe(22);
  expect((await query(broker, { maxNum: 0 })).code).toBe(22);
  expect((await query(broker, { beginTimestamp: "soon" })).code).toBe(1);
  expect(broker.ask(QUERY, { topic: "T" }).code).toBe(1);
});

test("a message sent just before is found: an index that is behind is waited for, half a second at most", async () => {
  const mine = record(300, "T", properties("u", "k"));
  const { broker } = indexOf([]);
  const indexed = broker.store.queryByKey;
  broker.store.indexed = async () => {
    broker.store.queryByKey = async (asked) => ({ ...(await indexed(asked)), records: [mine] });
  };
  expect((await query(broker)).body).toEqual(mine);

  broker.store.queryByKey = indexed;
  broker.store.indexed = () => new Promise(() => {});
  const unindexed = query(broker);
  broker.clock.advance(500);
  expect((await unindexed).code).toBe(22);

  broker.store.indexed = () => Promise.reject(new Error("the store is read-only"));
  expect((await query(broker)).code).toBe(22);
});

test("an answer stays below the frame's bound", async () => {
  const large = (phyOffset: number) => record(phyOffset, "T", properties("u", "k"), "x".repeat(3_000_000));
  const { broker } = indexOf([large(5), large(4), large(3), large(2)]);
  const answer = await query(broker);
  expect(answer.body.readBigInt64BE(28)).toBe(4n);
  expect(answer.body.length).toBeLessThan(8 * 1024 * 1024);
});

test("code 33 shows the record that begins at an offset, and nothing else", () => {
  const broker = new TestBroker();
  const whole = record(1000, "T", properties("u", "k"));
  broker.store.records.set(1000, whole);
  broker.store.records.set(1004, whole);
  broker.store.records.set(2000, Buffer.from("no record"));
  const shown = broker.ask(VIEW, { offset: 1000 });
  expect(shown).toMatchObject({ code: 0, body: whole });
  const propertiesAt = whole.length - properties("u", "k").length;
  expect(decodeProperties(shown.body, propertiesAt, whole.length).get("KEYS")).toBe("k");
  expect(broker.ask(VIEW, { offset: 1004 })).toMatchObject({
    code: 1,
    remark: "can not find message by the offset, 1004",
  });
  for (const offset of [2000, 999, -1, 114_249, "9223372036854775807"]) {
    expect(broker.ask(VIEW, { offset })).toMatchObject({ code: 1, body: Buffer.alloc(0) });
  }
  expect(broker.ask(VIEW, { offset: "x" }).code).toBe(1);
});

test("queues that do not exist answer like empty ones, and none comes into being", () => {
  const broker = new TestBroker();
  const ask = (code: number, extra = {}) => broker.ask(code, { topic: "../x", queueId: 0, ...extra });
  expect(ask(30).fields).toEqual({ offset: "0" });
  expect(ask(31).fields).toEqual({ offset: "0" });
  expect(ask(29, { timestamp: 5 }).fields).toEqual({ offset: "0" });
  expect(ask(32).fields).toEqual({ timestamp: "-1" });
  broker.context.topics.createInSendMessage("T", "TBW102", "peer", 4, 0);
  for (const queueId of [4, -1, 2_000_000_000]) expect(broker.ask(30, { topic: "T", queueId }).fields.offset).toBe("0");
  expect(broker.store.queues.size).toBe(0);
});

test("offsets, times and boundaries of a queue", () => {
  const broker = new TestBroker();
  broker.context.topics.createInSendMessage("T", "TBW102", "peer", 4, 0);
  Object.assign(broker.store.queue("T", 1), { minOffset: 10, times: [100, 200, 200, 300] });
  const ask = (code: number, extra = {}) => broker.ask(code, { topic: "T", queueId: 1, ...extra }).fields;
  expect(ask(30)).toEqual({ offset: "14" });
  expect(ask(31)).toEqual({ offset: "10" });
  expect(ask(32)).toEqual({ timestamp: "100" });
  expect(ask(29, { timestamp: 200 })).toEqual({ offset: "11" });
  expect(ask(29, { timestamp: 200, boundaryType: "LOWER" })).toEqual({ offset: "11" });
  expect(ask(29, { timestamp: 200, boundaryType: "upper" })).toEqual({ offset: "12" });
});

test("rates and totals are those of what was counted", () => {
  const broker = new TestBroker();
  const { stats, topics } = broker.context;
  const topic = topics.createInSendMessage("T", "TBW102", "peer", 1, 0)!;
  const gets = stats.groupGets("g", "T");
  stats.sample(topics.values());
  for (let i = 0; i < 6; i++) {
    stats.recordPut(topic, 20, 2000);
    stats.recordGet(gets, 5, 500);
    stats.recordGet(gets, 0, 0);
    broker.clock.advance(10_000);
    stats.sample(topics.values());
  }
  expect(stats.topicPutTps(topic)).toBe(2);
  expect(stats.groupGetTps("g", "T")).toBe(0.5);
  for (const ms of [1, 1, 1, 250.7]) stats.recordPutTime(ms);
  const table = broker.json(28).get("table") as Map<string, string>;
  const shown = (name: string) => table.get(name);
  expect(shown("putTps")).toBe("2.0 2.0 2.0");
  expect(shown("getTransferredTps")).toBe("0.5 0.5 0.5");
  expect(shown("getMissTps")).toBe("0.1 0.1 0.1");
  expect(shown("getTotalTps")).toBe("0.2 0.2 0.2");
  expect(shown("putMessageTimesTotal")).toBe("120");
  expect(shown("putMessageAverageSize")).toBe("100.0");
  expect(shown("putMessageEntireTimeMax")).toBe("251");
  expect(shown("putLatency99")).toBe("250.00");
  expect(shown("msgGetTotalTodayNow")).toBe("30");
  expect(shown("runtime")).toBe("[ 0 days, 0 hours, 1 minutes, 0 seconds ]");
  expect(shown("remainHowManyDataToFlush")).toBe("12.4 KiB");
  expect(shown("commitLogDiskRatio")).toBe("0.21");
  expect(shown("consumeQueueDiskRatio")).toBe("-1.0");
  broker.clock.advance(86_400_000);
  stats.sample(topics.values());
  expect((broker.json(28).get("table") as Map<string, string>).get("msgPutTotalTodayMorning")).toBe("120");
});

test("consume stats show what is asked for, and without that what the group subscribes to", () => {
  const broker = new TestBroker();
  const { offsets, topics } = broker.context;
  for (const name of ["T", "U"]) topics.createInSendMessage(name, "TBW102", "peer", 1, 0);
  broker.store.queue("T", 0).times = [5, 6, 7];
  offsets.commitOffset("peer", "g", "T", 0, 2);
  offsets.commitOffset("peer", "g", "U", 0, 0);
  offsets.commitPullOffset("g", "T", 0, 3);
  const shown = (fields = {}) => {
    const table = broker.json(208, { consumerGroup: "g", ...fields }).get("offsetTable") as Map<
      Map<string, string>,
      unknown
    >;
    return new Map(
      [...table].map(([queue, stats]) => [queue.get("topic"), Object.fromEntries(stats as Map<string, number>)]),
    );
  };
  expect(shown().get("T")).toEqual({ brokerOffset: 3, consumerOffset: 2, lastTimestamp: 6, pullOffset: 3 });
  expect([...shown().keys()]).toEqual(["T", "U"]);
  expect([...shown({ topic: "U" }).keys()]).toEqual(["U"]);
  expect([...shown({ topicList: "U;X;" }).keys()]).toEqual(["U"]);
});
