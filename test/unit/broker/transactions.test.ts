/** Transactions: what is stored of them, who is asked about them, how they end. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { encodeProperties } from "#src/record/properties.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { emptyMessage, emptyPutResult } from "#src/server/broker/message-copy.js";
import { PutStatus } from "#src/store/types.js";
import { StoreBroker, type StoreBrokerOptions } from "./store-broker.js";
import {
  answer,
  CHECK_INTERVAL_MS,
  COMMIT,
  end,
  GIVEN_UP,
  HALF,
  joinProducer,
  nextCheck,
  OP,
  progress,
  questionsTo,
  ROLLBACK,
  sendHalf,
  UNKNOWN,
} from "./transaction-fixture.js";

let broker: StoreBroker;

async function start(options: StoreBrokerOptions = {}): Promise<StoreBroker> {
  broker = await StoreBroker.open(options);
  broker.schedule.start();
  broker.transactions.start();
  return broker;
}

beforeEach(() => start());
afterEach(() => broker.close());

/** Everything that consumers of T can see. */
function delivered(): string[] {
  return [0, 1, 2, 3].flatMap((queueId) => broker.bodies("T", queueId));
}

describe("a half message", () => {
  test("is in the half queue, not where it belongs, and says where that is", async () => {
    const sent = broker.send({ TRAN_MSG: "true", PGROUP: "P", UNIQ_KEY: "U", TAGS: "A" }, { sysFlag: 5 });
    await broker.settle();
    expect(sent).toMatchObject({ code: 0, fields: { queueId: "1", queueOffset: "0", transactionId: "U" } });
    expect(delivered()).toEqual([]);
    const [half] = broker.messages(HALF);
    expect(half).toMatchObject({ queueId: 0, sysFlag: 1, flag: 7, msgId: sent.fields["msgId"] });
    expect(Object.fromEntries(half!.properties)).toMatchObject({
      TRAN_MSG: "true",
      PGROUP: "P",
      UNIQ_KEY: "U",
      TAGS: "A",
      __transactionId__: "U",
      REAL_TOPIC: "T",
      REAL_QID: "1",
    });
  });

  test("does not believe its sender in what brokers write", async () => {
    const forged = {
      REAL_TOPIC: "../x",
      REAL_QID: "9",
      TRANSACTION_CHECK_TIMES: "14",
      TRAN_PREPARED_QUEUE_OFFSET: "0",
    };
    sendHalf(broker, "other");
    end(broker, sendHalf(broker, "forged", { ...forged, __transactionId__: "x", UNIQ_KEY: "U" }), ROLLBACK);
    await broker.settle();
    const { properties } = broker.messages(HALF)[1]!;
    expect(Object.fromEntries(properties)).toMatchObject({ REAL_TOPIC: "T", REAL_QID: "1", __transactionId__: "U" });
    expect([properties.has("TRANSACTION_CHECK_TIMES"), properties.has("TRAN_PREPARED_QUEUE_OFFSET")]).toEqual([
      false,
      false,
    ]);
    // The other one's transaction has not ended with it.
    const producer = joinProducer(broker);
    await nextCheck(broker);
    expect(questionsTo(producer).map(({ message }) => message.body.toString())).toEqual(["other"]);
  });

  test("is its sender's group's when it names none, and is refused without any", async () => {
    const sent = broker.send({ TRAN_MSG: "true" }, { producerGroup: "Q" });
    await broker.settle();
    expect(sent.code).toBe(0);
    expect(broker.messages(HALF)[0]!.properties.get("PGROUP")).toBe("Q");
    expect(broker.send({ TRAN_MSG: "true" }, { producerGroup: "a\u0002b" })).toMatchObject({
      code: ResponseCode.INVALID_PARAMETER,
      remark: expect.stringContaining("group"),
    });
  });

  test("is refused where transactions are not wanted, and when it is to be delivered later", async () => {
    expect(broker.send({ TRAN_MSG: "true", PGROUP: "P", DELAY: "1" }).code).toBe(ResponseCode.MESSAGE_ILLEGAL);
    await broker.close();
    await start({ config: { rejectTransactionMessage: true } });
    expect(broker.send({ TRAN_MSG: "true", PGROUP: "P" })).toMatchObject({
      code: ResponseCode.NO_PERMISSION,
      remark: expect.stringContaining("sending transaction message is forbidden"),
    });
    expect(broker.send({ TRAN_MSG: "false" }).code).toBe(0);
    await broker.settle();
    expect(broker.messages(HALF)).toEqual([]);
  });
});

describe("the end of a transaction", () => {
  test("a commit delivers the message as it was sent", async () => {
    const half = sendHalf(broker, "paid", { TAGS: "A", UNIQ_KEY: "U", own: "x" }, { sysFlag: 5, flag: 3 });
    expect(end(broker, half, COMMIT).code).toBe(0);
    await broker.settle();
    const [message] = broker.messages("T", 1);
    const [stored] = broker.messages(HALF);
    expect(message).toMatchObject({
      sysFlag: COMMIT | 1,
      flag: 3,
      queueOffset: 0,
      bornTimestamp: stored!.bornTimestamp,
    });
    expect(message!.body.toString()).toBe("paid");
    expect(message!.preparedTransactionOffset).toBe(half.commitLogOffset);
    const expected = Object.fromEntries(stored!.properties);
    delete expected["REAL_TOPIC"];
    delete expected["REAL_QID"];
    expect(Object.fromEntries(message!.properties)).toEqual(expected);
  });

  test("a rollback delivers nothing, and nobody is asked about either", async () => {
    const producer = joinProducer(broker);
    end(broker, sendHalf(broker, "in"), COMMIT);
    end(broker, sendHalf(broker, "out"), ROLLBACK);
    await nextCheck(broker);
    await nextCheck(broker);
    expect(delivered()).toEqual(["in"]);
    expect(questionsTo(producer)).toEqual([]);
    expect(progress(broker)).toEqual([2, 1]);
  });

  test("one op record names what ended in one turn, as Apache writes it", async () => {
    const halves = Array.from({ length: 3 }, () => sendHalf(broker));
    end(broker, halves[1]!, ROLLBACK);
    end(broker, halves[0]!, COMMIT);
    await broker.settle();
    end(broker, halves[2]!, COMMIT);
    await broker.settle();
    expect(broker.messages(OP).map(({ body }) => body.toString())).toEqual(["1,0,", "2,"]);
    expect(broker.messages(OP)[0]).toMatchObject({ sysFlag: 0, flag: 0, bornHost: "127.0.0.1:24100" });
    expect(Object.fromEntries(broker.messages(OP)[0]!.properties)).toEqual({ WAIT: "true", TAGS: "d" });
  });

  test("an op record is not larger than transactionOpMsgMaxSize and one offset", async () => {
    await broker.close();
    await start({ config: { transactionOpMsgMaxSize: 10 } });
    for (const half of Array.from({ length: 12 }, () => sendHalf(broker))) end(broker, half, ROLLBACK);
    await broker.settle();
    expect(broker.messages(OP).map(({ body }) => body.toString())).toEqual(["0,1,2,3,4,", "5,6,7,8,9,", "10,11,"]);
  });

  test("the second word changes nothing, and says so where it is another", async () => {
    const [a, b] = [sendHalf(broker, "a"), sendHalf(broker, "b")];
    end(broker, a, COMMIT);
    end(broker, b, ROLLBACK);
    expect(end(broker, a, COMMIT)).toMatchObject({ code: 0, remark: "The transaction was ended before" });
    expect(end(broker, a, ROLLBACK)).toMatchObject({
      code: 1,
      remark: expect.stringContaining("was committed before"),
    });
    expect(end(broker, b, COMMIT)).toMatchObject({
      code: 1,
      remark: expect.stringContaining("was rolled back before"),
    });
    await broker.settle();
    expect(delivered()).toEqual(["a"]);
    expect(broker.messages(OP).map(({ body }) => body.toString())).toEqual(["0,1,"]);
  });

  test("goes on where its topic was deleted meanwhile, as with Apache", async () => {
    const half = sendHalf(broker, "late");
    broker.broker.context.topics.delete("T");
    expect(end(broker, half, COMMIT).code).toBe(0);
    await broker.settle();
    expect(delivered()).toEqual(["late"]);
  });

  test("is answered once it is on the disk, in synchronous flush", async () => {
    await broker.close();
    await start({ config: { flushDiskType: "SYNC_FLUSH" }, store: { flushDiskType: "SYNC_FLUSH" } });
    const properties = { TRAN_MSG: "true", PGROUP: "P", WAIT: "false" };
    broker.send(properties);
    await broker.store.whenFlushed(broker.store.maxPhyOffset);
    await broker.settle();
    const { phyOffset: commitLogOffset } = broker.messages(HALF)[0]!;
    const fields = {
      producerGroup: "P",
      tranStateTableOffset: 0,
      commitLogOffset,
      commitOrRollback: COMMIT,
      msgId: "M",
    };
    const ended = broker.broker.askLate(RequestCode.END_TRANSACTION, fields);
    expect(broker.store.flushedPosition).toBeLessThan(broker.store.maxPhyOffset);
    expect((await ended).code).toBe(0);
    expect(broker.store.flushedPosition).toBe(broker.store.maxPhyOffset);
  });

  test("what the store can not take now is not ended, and can be ended later", async () => {
    const half = sendHalf(broker, "later");
    const { put } = broker.store;
    broker.store.put = () => PutStatus.DISK_FULL;
    expect(end(broker, half, COMMIT).code).toBe(ResponseCode.SERVICE_NOT_AVAILABLE);
    expect(end(broker, sendHalfBefore(), ROLLBACK).code).toBe(0);
    await broker.settle();
    broker.store.put = put;
    expect(end(broker, half, COMMIT).code).toBe(0);
    await broker.advance(100);
    expect(delivered()).toEqual(["later"]);
    expect(broker.messages(OP).map(({ body }) => body.toString())).toEqual(["1,0,"]);

    function sendHalfBefore() {
      broker.store.put = put;
      const other = sendHalf(broker, "other");
      broker.store.put = () => PutStatus.DISK_FULL;
      return other;
    }
  });
});

describe("an end that makes no sense", () => {
  test.each([
    ["an unknown transaction", { commitLogOffset: 7 }, "Find prepared transaction message failed"],
    ["a negative place", { commitLogOffset: -1 }, "Find prepared transaction message failed"],
    ["a place behind the log", { commitLogOffset: 2 ** 50 }, "Find prepared transaction message failed"],
    ["a place that is no number", { commitLogOffset: "x" }, "<commitLogOffset> is not an integer"],
    ["a place that is no long", { commitLogOffset: "99999999999999999999" }, "<commitLogOffset> is not an integer"],
    ["the wrong offset", { tranStateTableOffset: 1 }, "The transaction state table offset wrong"],
    ["a negative offset", { tranStateTableOffset: -1 }, "The transaction state table offset wrong"],
    ["the wrong group", { producerGroup: "Q" }, "The producer group wrong"],
    ["no group", { producerGroup: undefined }, "<producerGroup> is null"],
    ["no message id", { msgId: undefined }, "<msgId> is null"],
    ["no decision", { commitOrRollback: undefined }, "<commitOrRollback> is null"],
    ["another decision", { commitOrRollback: 4 }, "commitOrRollback field wrong"],
  ])("%s", async (_, fields, remark) => {
    const half = sendHalf(broker);
    const answered = end(broker, half, COMMIT, fields);
    expect(answered).toMatchObject({ code: ResponseCode.SYSTEM_ERROR, remark: expect.stringContaining(remark) });
    await broker.settle();
    expect(delivered()).toEqual([]);
    expect(broker.messages(OP)).toEqual([]);
    expect(end(broker, half, COMMIT).code).toBe(0);
  });

  test("a message of another topic is no half message, whatever its properties say", async () => {
    const forged = { PGROUP: "P", REAL_TOPIC: "T", REAL_QID: "0" };
    const message = await broker.sent(forged);
    const place = { commitLogOffset: message.phyOffset, tranStateTableOffset: message.queueOffset };
    expect(end(broker, place, COMMIT)).toMatchObject({ code: 1, remark: "Find prepared transaction message failed" });
  });

  test("a half message that belongs nowhere, or into a system topic, is delivered nowhere", async () => {
    for (const topic of ["../../etc", OP, "a/b"]) {
      const properties = { PGROUP: "P", REAL_TOPIC: topic, REAL_QID: "0" };
      const half = putHalf(properties);
      expect(end(broker, half, COMMIT).remark).toBe("the prepared message does not say where it belongs");
    }
    await broker.settle();
    expect(broker.messages(OP)).toEqual([]);
  });

  test("one that is not known yet changes nothing", async () => {
    const half = sendHalf(broker);
    expect(end(broker, half, UNKNOWN).code).toBe(0);
    expect(end(broker, half, COMMIT).code).toBe(0);
  });

  test("after the time that the producer itself named it has to be asked", async () => {
    const half = sendHalf(broker, "slow", { CHECK_IMMUNITY_TIME_IN_SECONDS: "10" });
    await broker.advance(10_001);
    expect(end(broker, half, COMMIT).code).toBe(ResponseCode.ILLEGAL_OPERATION);
    expect(answer(broker, half, COMMIT).code).toBe(0);
  });
});

/** A record as another broker may have left one. */
function put(topic: string, properties: Record<string, string>, body: Buffer) {
  const bytes = encodeProperties(Object.entries(properties));
  const host = Buffer.from([127, 0, 0, 1, 0, 0, 0, 9]);
  const result = emptyPutResult();
  const message = {
    ...emptyMessage(),
    queue: broker.store.queue(topic, 0),
    bornTimestamp: broker.clock.nowMs(),
    bornHost: host,
    storeHost: host,
    body,
    bodyLength: body.length,
    properties: bytes,
    propertiesLength: bytes.length,
  };
  expect(broker.store.put(message, result)).toBe(PutStatus.PUT_OK);
  return { commitLogOffset: result.phyOffset, tranStateTableOffset: result.queueOffset };
}

function putHalf(properties: Record<string, string>) {
  return put(HALF, properties, Buffer.from("foreign"));
}

describe("a question", () => {
  test("goes to a producer of the group, with the message as it was sent and where it is now", async () => {
    const other = joinProducer(broker, "Q");
    const producer = joinProducer(broker);
    sendHalf(broker, "open", { UNIQ_KEY: "U", TAGS: "A" }, { flag: 3 });
    await nextCheck(broker);
    const [question, ...more] = questionsTo(producer);
    expect([more, questionsTo(other)]).toEqual([[], []]);
    const renewed = broker.messages(HALF)[1]!;
    expect(question!.fields).toEqual({
      topic: HALF,
      tranStateTableOffset: 1,
      commitLogOffset: renewed.phyOffset,
      msgId: "U",
      transactionId: "U",
      offsetMsgId: renewed.msgId,
      bname: broker.broker.context.config.brokerName,
    });
    expect(question!.message).toMatchObject({ topic: "T", queueId: 1, flag: 3, queueOffset: 1 });
    expect(question!.message).toMatchObject({ bornHost: renewed.bornHost, phyOffset: renewed.phyOffset });
    expect(question!.message.body.toString()).toBe("open");
    expect(Object.fromEntries(question!.message.properties)).toMatchObject({
      PGROUP: "P",
      TRANSACTION_CHECK_TIMES: "1",
    });
    expect(answer(broker, question!, COMMIT).code).toBe(0);
    await nextCheck(broker);
    expect([delivered(), questionsTo(producer)]).toEqual([["open"], []]);
    expect(broker.messages("T", 1)[0]!.properties.has("TRAN_PREPARED_QUEUE_OFFSET")).toBe(false);
    expect(progress(broker)).toEqual([2, 1]);
  });

  test("is asked first when transactionTimeOut is over, by the broker's clock", async () => {
    const producer = joinProducer(broker);
    await broker.advance(CHECK_INTERVAL_MS - 6000);
    const fast = broker.clock.nowMs() + 3_600_000;
    sendHalf(broker, "fast clock", {}, { bornTimestamp: fast });
    sendHalf(broker, "slow clock", {}, { bornTimestamp: 0 });
    await nextCheck(broker, 6000);
    expect(questionsTo(producer)).toEqual([]);
    await nextCheck(broker);
    expect(questionsTo(producer).map(({ message }) => message.body.toString())).toEqual(["fast clock", "slow clock"]);
  });

  test("is asked at each interval, so often, and then the message is given up until an administrator resumes it", async () => {
    await broker.close();
    await start({ config: { transactionCheckMax: 3 } });
    const producer = joinProducer(broker);
    sendHalf(broker, "undecided");
    const times: (string | undefined)[] = [];
    for (let i = 0; i < 6; i++) {
      await nextCheck(broker);
      for (const question of questionsTo(producer)) {
        times.push(question.message.properties.get("TRANSACTION_CHECK_TIMES"));
        answer(broker, question, UNKNOWN);
      }
    }
    expect(times).toEqual(["1", "2", "3"]);
    const [lost] = broker.messages(GIVEN_UP);
    expect(lost!.body.toString()).toBe("undecided");
    expect(progress(broker)).toEqual([4, -1]);
    expect(broker.log.at("error", /given up/)).toMatchObject([{ realTopic: "T" }]);

    const resumed = broker.broker.ask(RequestCode.RESUME_CHECK_HALF_MESSAGE, { topic: "T", msgId: lost!.msgId });
    expect(resumed.code).toBe(0);
    await nextCheck(broker);
    const [question] = questionsTo(producer);
    expect(question!.message.properties.get("TRANSACTION_CHECK_TIMES")).toBe("1");
    answer(broker, question!, COMMIT);
    await broker.settle();
    expect(delivered()).toEqual(["undecided"]);
  });

  test.each(["nonsense", "", "7F00000100005E24FFFFFFFFFFFFFFFF"])(
    "nothing is resumed that was not given up: %s",
    (msgId) => {
      const answered = broker.broker.ask(RequestCode.RESUME_CHECK_HALF_MESSAGE, { topic: "T", msgId });
      expect(answered.code).toBe(ResponseCode.SYSTEM_ERROR);
    },
  );

  test("an ordinary message can not be resumed", async () => {
    const { msgId } = await broker.sent({ PGROUP: "P", REAL_TOPIC: "T", REAL_QID: "0" });
    expect(broker.broker.ask(RequestCode.RESUME_CHECK_HALF_MESSAGE, { msgId }).remark).toContain("has the id");
  });

  test("waits for a producer, and none is asked that takes nothing", async () => {
    sendHalf(broker);
    await nextCheck(broker);
    expect(broker.log.at("warn", /nobody is there/)).toMatchObject([{ group: "P", count: 1 }]);
    const producer = joinProducer(broker);
    Object.assign(producer, { unsentBytes: 2 ** 30 });
    await broker.advance(CHECK_INTERVAL_MS);
    expect(questionsTo(producer)).toEqual([]);
    Object.assign(producer, { unsentBytes: 0 });
    await broker.advance(50);
    expect(questionsTo(producer).map(({ message }) => message.properties.get("TRANSACTION_CHECK_TIMES"))).toEqual([
      "2",
    ]);
  });

  test("producers that take nothing hold up others for some seconds only", async () => {
    const stuck = joinProducer(broker);
    Object.assign(stuck, { unsentBytes: 2 ** 30 });
    const producer = joinProducer(broker, "Q");
    sendHalf(broker);
    sendHalf(broker, "other", { PGROUP: "Q" });
    await broker.advance(CHECK_INTERVAL_MS);
    await broker.advance(9000);
    expect(questionsTo(producer)).toEqual([]);
    await broker.advance(2000);
    expect([questionsTo(producer).length, questionsTo(stuck).length]).toEqual([1, 0]);
  });

  test("producers of a group are asked in turn, and closed ones are not", async () => {
    const [a, b, c] = [joinProducer(broker), joinProducer(broker), joinProducer(broker)];
    c!.close();
    for (let i = 0; i < 10; i++) sendHalf(broker);
    await nextCheck(broker);
    expect([a, b, c].map((producer) => questionsTo(producer!).length)).toEqual([5, 5, 0]);
  });

  test("is not asked before the time that the producer named, though others are", async () => {
    const producer = joinProducer(broker);
    const immune = { CHECK_IMMUNITY_TIME_IN_SECONDS: "70" };
    sendHalf(broker, "patient", immune);
    const early = sendHalf(broker, "patient, committed", immune);
    sendHalf(broker, "hasty");
    await nextCheck(broker);
    expect(questionsTo(producer).map(({ message }) => message.body.toString())).toEqual(["hasty"]);
    // It has been put back, which its producer does not know.
    expect(end(broker, early, COMMIT).code).toBe(0);
    await nextCheck(broker);
    expect(questionsTo(producer).map(({ message }) => message.body.toString())).toEqual(["hasty"]);
    await nextCheck(broker);
    const asked = questionsTo(producer);
    expect(asked.map(({ message }) => message.body.toString()).sort()).toEqual(["hasty", "patient"]);
    const { properties } = asked.find(({ message }) => message.body.toString() === "patient")!.message;
    expect(properties.get("TRANSACTION_CHECK_TIMES")).toBe("1");
    expect(properties.get("TRAN_PREPARED_QUEUE_OFFSET")).toBe("0");
    expect(delivered()).toEqual(["patient, committed"]);
  });

  test("a late end of what was asked about already ends it, and it is asked about no more", async () => {
    const producer = joinProducer(broker);
    const half = sendHalf(broker, "slow");
    await nextCheck(broker);
    const [question] = questionsTo(producer);
    expect(end(broker, half, COMMIT).code).toBe(0);
    expect(answer(broker, question!, COMMIT)).toMatchObject({ code: 0, remark: "The transaction was ended before" });
    await nextCheck(broker);
    expect([delivered(), questionsTo(producer)]).toEqual([["slow"], []]);
  });

  test("what can not be put back stays where it is", async () => {
    const producer = joinProducer(broker);
    sendHalf(broker);
    await broker.settle();
    const { put } = broker.store;
    broker.store.put = () => PutStatus.DISK_FULL;
    await nextCheck(broker);
    expect([questionsTo(producer), progress(broker)[0]]).toEqual([[], -1]);
    broker.store.put = put;
    await nextCheck(broker);
    expect(questionsTo(producer)).toHaveLength(1);
  });

  test("a half message that can not be asked about is given up in the end", async () => {
    await broker.close();
    await start({ config: { transactionCheckMax: 2 } });
    putHalf({ KEYS: "k" });
    putHalf({ PGROUP: "P", REAL_TOPIC: "T" });
    const producer = joinProducer(broker);
    for (let i = 0; i < 4; i++) await nextCheck(broker);
    expect(questionsTo(producer)).toEqual([]);
    expect(broker.messages(GIVEN_UP)).toHaveLength(2);
    expect(progress(broker)[0]).toBe(6);
  });

  test("a clock that is set back asks at once rather than never", async () => {
    const producer = joinProducer(broker);
    sendHalf(broker);
    await broker.settle();
    const { nowMs } = broker.clock;
    broker.clock.nowMs = () => nowMs.call(broker.clock) - 3_600_000;
    await nextCheck(broker);
    expect(questionsTo(producer)).toHaveLength(1);
  });
});

describe("another life of the broker", () => {
  const disk = () => new MemoryDisk();

  test("knows what has ended, and goes on where it was", async () => {
    const shared = disk();
    await broker.close();
    await start({ disk: shared });
    const halves = ["a", "b", "open"].map((body) => sendHalf(broker, body));
    end(broker, halves[0]!, COMMIT);
    end(broker, halves[1]!, ROLLBACK);
    await nextCheck(broker);
    expect(progress(broker)).toEqual([3, 1]);
    const { clock } = broker;
    const late = sendHalf(broker, "late");
    const gone = sendHalf(broker, "gone");
    end(broker, gone, ROLLBACK);
    await broker.settle();
    await broker.close();
    await start({ disk: shared, clock });
    expect(broker.broker.context.transactionMetrics.count("T")).toBe(2);
    const producer = joinProducer(broker);
    await nextCheck(broker);
    const asked = questionsTo(producer);
    expect(asked.map(({ message }) => message.body.toString())).toEqual(["open", "late"]);
    expect(asked[0]!.message.properties.get("TRANSACTION_CHECK_TIMES")).toBe("2");
    expect(end(broker, gone, COMMIT).remark).toBe("The transaction was ended before");
    for (const question of asked) answer(broker, question, COMMIT);
    expect(end(broker, late, COMMIT).remark).toBe("The transaction was ended before");
    await nextCheck(broker);
    expect(delivered()).toEqual(["a", "open", "late"]);
  });

  test("offsets beyond the queues are told, and no half message is passed by them", async () => {
    const shared = disk();
    await broker.close();
    shared.writeAtomically(
      "/data/store/config/consumerOffset.json",
      `{"offsetTable":{"${HALF}@CID_RMQ_SYS_TRANS":{0:99},"${OP}@CID_RMQ_SYS_TRANS":{0:7}}}`,
    );
    await start({ disk: shared });
    expect(broker.log.at("error", /outside of their queue/)).toHaveLength(2);
    sendHalf(broker);
    const producer = joinProducer(broker);
    await nextCheck(broker);
    expect(questionsTo(producer)).toHaveLength(1);
  });

  test("op records that make no sense are told and end nothing", async () => {
    const shared = disk();
    await broker.close();
    await start({ disk: shared });
    for (let i = 0; i < 3; i++) sendHalf(broker, `m${i}`);
    const body = Buffer.from("x,-1,,1x,99999999999999999999999,7,2");
    put(OP, { TAGS: "d" }, body);
    put(OP, { TAGS: "e" }, Buffer.from("0,1,"));
    await broker.close();
    const { clock } = broker;
    await start({ disk: shared, clock });
    expect(broker.log.at("error", /op record makes no sense/)).toHaveLength(1);
    const producer = joinProducer(broker);
    await nextCheck(broker);
    expect(questionsTo(producer).map(({ message }) => message.body.toString())).toEqual(["m0", "m1"]);
  });

  test("transactions that Apache keeps in its RocksDB are told", async () => {
    const shared = disk();
    await broker.close();
    await start({ disk: shared });
    expect(broker.log.at("warn", /RocksDB/)).toEqual([]);
    put("RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC", { PGROUP: "P" }, Buffer.from("x"));
    await broker.close();
    await start({ disk: shared });
    expect(broker.log.at("warn", /RocksDB/)).toHaveLength(1);
  });
});
