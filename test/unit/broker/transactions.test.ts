/** Transactions: what is stored of them, and how they end. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { crc32 } from "#src/base/crc32.js";
import { decodeRecord } from "#src/record/decode.js";
import { encodeMessageBatch } from "#src/record/message-batch.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { EndedHalves } from "#src/server/broker/transaction/ended-halves.js";
import { OperationLog } from "#src/server/broker/transaction/operation-log.js";
import { PutStatus } from "#src/store/types.js";
import type { StoreBroker, StoreBrokerOptions } from "./store-broker.js";
import {
  answer,
  COMMIT,
  delivered,
  end,
  HALF,
  joinProducer,
  nextCheck,
  OP,
  openBroker,
  progress,
  putHalf,
  questionsTo,
  ROLLBACK,
  sendHalf,
  UNKNOWN,
} from "./transaction-fixture.js";

let broker: StoreBroker;

async function start(options: StoreBrokerOptions = {}): Promise<StoreBroker> {
  broker = await openBroker(options);
  return broker;
}

beforeEach(() => start());
afterEach(() => broker.close());

describe("a half message", () => {
  test("is in the half queue, not where it belongs, and says where that is", async () => {
    const sent = broker.send({ TRAN_MSG: "true", PGROUP: "P", UNIQ_KEY: "U", TAGS: "A" }, { sysFlag: 5 });
    await broker.settle();
    expect(sent).toMatchObject({ code: 0, fields: { queueId: "1", queueOffset: "0", transactionId: "U" } });
    expect(delivered(broker)).toEqual([]);
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

  test("is refused in a batch, whose messages would be shown at once", async () => {
    const refused = { code: ResponseCode.MESSAGE_ILLEGAL, remark: expect.stringContaining("of a transaction") };
    const body = encodeMessageBatch([{ flag: 0, body: Buffer.from("a"), properties: new Map() }]).toString("ascii");
    expect(broker.send({}, { sysFlag: 0, batch: true }, body).code).toBe(0);
    for (const sysFlag of [4, 8, 12]) {
      const fields = { sysFlag, batch: true };
      expect(broker.send({ TRAN_MSG: "true", PGROUP: "P" }, fields, body)).toMatchObject(refused);
    }
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

  test.each([
    [{ DELAY: "1" }],
    [{ TIMER_DELAY_MS: "1" }],
    [{ TIMER_DELAY_SEC: "1" }],
    [{ TIMER_DELIVER_MS: "2500000000000" }],
    [{ TIMER_DELAY_MS: "soon" }],
  ])("is refused when it is to be delivered later: %o", async (later) => {
    const { code, remark } = broker.send({ TRAN_MSG: "true", PGROUP: "P", ...later });
    expect(code).toBe(ResponseCode.MESSAGE_ILLEGAL);
    expect(remark).toMatch(/can not be delayed|"soon", which is no integer/);
    await broker.settle();
    expect([broker.messages(HALF), broker.messages("rmq_sys_wheel_timer")]).toEqual([[], []]);
  });

  test("whose time is over is one like any other", async () => {
    end(broker, sendHalf(broker, "late", { TIMER_DELIVER_MS: "1" }), COMMIT);
    await broker.settle();
    expect(delivered(broker)).toEqual(["late"]);
  });

  test("is not committed into a topic with batch queues, and stays open", async () => {
    const sent = sendHalf(broker, "of Apache's store");
    const topic = broker.broker.context.topics.get("T")!;
    topic.attributes = new Map([["queue.type", "BatchCQ"]]);
    expect(end(broker, sent, COMMIT)).toMatchObject({
      code: ResponseCode.SYSTEM_ERROR,
      remark: expect.stringContaining("BatchCQ"),
    });
    topic.attributes = new Map();
    expect(end(broker, sent, COMMIT).code).toBe(0);
    await broker.settle();
    expect(delivered(broker)).toEqual(["of Apache's store"]);
  });

  test("is refused where transactions are not wanted", async () => {
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

  test("a commit has the body's CRC, near its half message and far from it", async () => {
    const body = "b".repeat(1024);
    const near = sendHalf(broker, body);
    const far = sendHalf(broker, body);
    end(broker, near, COMMIT);
    for (let i = 0; i < 5; i++) broker.send({}, {}, "x".repeat(1024 * 1024));
    end(broker, far, COMMIT);
    await broker.settle();
    const bodyCrc = crc32(Buffer.from(body)) & 0x7fffffff;
    const committed = [0, 1, 2, 3].flatMap((queueId) => broker.messages("T", queueId)).filter(({ sysFlag }) => sysFlag);
    expect(committed.map((message) => message.body.toString())).toEqual([body, body]);
    expect(committed.map((message) => message.bodyCrc)).toEqual([bodyCrc, bodyCrc]);
  });

  test("a commit does not hide that its body was damaged after it was put", async () => {
    const half = sendHalf(broker, "body");
    const { body, bodyCrc } = decodeRecord(broker.store.lookUp.recordAt(half.commitLogOffset)!, 0);
    body[0]! ^= 1;
    end(broker, half, COMMIT);
    await broker.settle();
    const [message] = [0, 1, 2, 3].flatMap((queueId) => broker.messages("T", queueId));
    expect(message).toMatchObject({ bodyCrc, body: Buffer.from("cody") });
  });

  test("a rollback delivers nothing, and nobody is asked about either", async () => {
    const producer = joinProducer(broker);
    end(broker, sendHalf(broker, "in"), COMMIT);
    end(broker, sendHalf(broker, "out"), ROLLBACK);
    await nextCheck(broker);
    await nextCheck(broker);
    expect(delivered(broker)).toEqual(["in"]);
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
    expect(delivered(broker)).toEqual(["a"]);
    expect(broker.messages(OP).map(({ body }) => body.toString())).toEqual(["0,1,"]);
  });

  test("goes on where its topic was deleted meanwhile, as with Apache", async () => {
    const half = sendHalf(broker, "late");
    broker.broker.context.topics.delete("T");
    expect(end(broker, half, COMMIT).code).toBe(0);
    await broker.settle();
    expect(delivered(broker)).toEqual(["late"]);
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
    expect(delivered(broker)).toEqual(["later"]);
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
    expect(delivered(broker)).toEqual([]);
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
      const half = putHalf(broker, properties);
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

test("an op record is needed until what was put back is done with, though dispatch has yet to come to that", () => {
  const { store } = broker;
  const operations = new OperationLog(broker.broker.context, store, store.queue(HALF, 0), new EndedHalves());
  operations.putBack(7);
  operations.add(3);
  operations.flush();
  expect([operations.doneOffset(7), operations.doneOffset(8)]).toEqual([0, 1]);
});
