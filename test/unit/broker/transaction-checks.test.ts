/** Questions about transactions that nobody has ended, and what another life of the broker makes of them. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { PutStatus } from "#src/store/types.js";
import type { StoreBroker, StoreBrokerOptions } from "./store-broker.js";
import {
  answer,
  CHECK_INTERVAL_MS,
  COMMIT,
  delivered,
  end,
  GIVEN_UP,
  HALF,
  joinProducer,
  nextCheck,
  OP,
  openBroker,
  progress,
  putForeign,
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
    expect([delivered(broker), questionsTo(producer)]).toEqual([["open"], []]);
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
    expect(broker.log.at("error", /given up/)).toMatchObject([{ realTopic: "T", count: 1 }]);

    const resumed = broker.broker.ask(RequestCode.RESUME_CHECK_HALF_MESSAGE, { topic: "T", msgId: lost!.msgId });
    expect(resumed.code).toBe(0);
    await nextCheck(broker);
    const [question] = questionsTo(producer);
    expect(question!.message.properties.get("TRANSACTION_CHECK_TIMES")).toBe("1");
    answer(broker, question!, COMMIT);
    await broker.settle();
    expect(delivered(broker)).toEqual(["undecided"]);
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
    expect(delivered(broker)).toEqual(["patient, committed"]);
  });

  test("a late end of what was asked about already ends it, and it is asked about no more", async () => {
    const producer = joinProducer(broker);
    const half = sendHalf(broker, "slow");
    await nextCheck(broker);
    const [question] = questionsTo(producer);
    expect(end(broker, half, COMMIT).code).toBe(0);
    expect(answer(broker, question!, COMMIT)).toMatchObject({ code: 0, remark: "The transaction was ended before" });
    await nextCheck(broker);
    expect([delivered(broker), questionsTo(producer)]).toEqual([["slow"], []]);
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

  test("many that are given up at once are told in one line for each topic", async () => {
    await broker.close();
    await start({ config: { transactionCheckMax: 1 } });
    joinProducer(broker);
    const keys = Array.from({ length: 300 }, (_, i) => `U${i}`);
    for (const UNIQ_KEY of keys) sendHalf(broker, "undecided", { UNIQ_KEY });
    for (let i = 0; i < 3; i++) await nextCheck(broker);
    expect(broker.messages(GIVEN_UP)).toHaveLength(keys.length);
    const told = { topic: GIVEN_UP, realTopic: "T", count: keys.length, uniqueKey: "U0" };
    expect(broker.log.at("error", /given up/)).toEqual([told]);
  });

  test("a half message that can not be asked about is given up in the end", async () => {
    await broker.close();
    await start({ config: { transactionCheckMax: 2 } });
    putHalf(broker, { KEYS: "k" });
    putHalf(broker, { PGROUP: "P", REAL_TOPIC: "T" });
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
    expect(delivered(broker)).toEqual(["a", "open", "late"]);
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
    putForeign(broker, OP, { TAGS: "d" }, body);
    putForeign(broker, OP, { TAGS: "e" }, Buffer.from("0,1,"));
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
    putForeign(broker, "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC", { PGROUP: "P" }, Buffer.from("x"));
    await broker.close();
    await start({ disk: shared });
    expect(broker.log.at("warn", /RocksDB/)).toHaveLength(1);
  });
});
