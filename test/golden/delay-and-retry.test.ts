/**
 * Delay levels and retries in the store of a real broker: its progress is read and written as it is, and the same
 * requests make the same records, byte for byte, that Apache made of them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { RecordVerdict, RecordView } from "#src/record/record-view.js";
import { RequestCode } from "#src/remoting/codes.js";
import { FakeClock } from "../unit/broker/harness.js";
import { StoreBroker } from "../unit/broker/store-broker.js";
import { extractStore } from "./golden-store.js";

const golden = extractStore("broker");
const root = join(golden.dir, "store");
const progressPath = join(root, "config", "delayOffset.json");
const progress = readFileSync(progressPath, "utf8");

/** Log offsets of messages that Apache's clients gave back, and of what became of them. */
const GIVEN_BACK = { retried: 857, dead: 12_905 };
const APACHE_MADE = { retried: 40_599, dead: 42_653 };
/** The one that still waits, in level 18, when the store is closed. */
const WAITING = 30_925;

let broker: StoreBroker;

beforeAll(async () => {
  broker = await StoreBroker.open({
    disk: new FileDisk("file"),
    clock: new FakeClock(),
    config: { storePathRootDir: root, traceTopicEnable: true },
    store: {
      segmentBytes: undefined,
      queueFileBytes: undefined,
      indexSizes: {
        maxHashSlotNum: Number(golden.conf.get("maxHashSlotNum")),
        maxIndexNum: Number(golden.conf.get("maxIndexNum")),
      },
      threads: false,
    },
  });
});
afterAll(() => broker.close());

/** All that a message has, but for where and when it was stored. */
function partsOf(phyOffset: number): Record<string, unknown> {
  const view = new RecordView();
  const record = broker.store.lookUp.recordAt(phyOffset)!;
  expect(view.read(new DataView(record.buffer, record.byteOffset, record.length), 0, record.length)).toBe(
    RecordVerdict.RECORD,
  );
  const text = (start: number, length: number) => record.toString("utf8", start, start + length);
  return {
    topic: text(view.topicStart, view.topicLength),
    properties: text(view.propertiesStart, view.propertiesLength),
    body: text(view.bodyStart, view.bodyLength),
    bornHost: record.toString("hex", view.bornHostStart, view.bornHostStart + view.bornHostLength),
    storeHost: record.toString("hex", view.storeHostStart, view.storeHostStart + view.storeHostLength),
    bornTimestamp: view.bornTimestamp,
    reconsumeTimes: view.reconsumeTimes,
    flag: view.flag,
    sysFlag: view.sysFlag,
    queueId: view.queueId,
    bodyCrc: view.bodyCrc,
    magic: view.magic,
  };
}

function lastOf(topic: string, queueId: number): number {
  return broker.messages(topic, queueId).at(-1)!.phyOffset;
}

test("the progress of the levels is read, and written back byte for byte", async () => {
  const { delayOffsets } = broker.broker.context;
  expect(broker.broker.reports.find(({ path }) => path === progressPath)).toMatchObject({
    outcome: "loaded",
    problems: [],
  });
  expect(Object.fromEntries(delayOffsets.entries())).toEqual({ 1: 5, 2: 1, 3: 1, 5: 1, 18: 0 });
  expect(await delayOffsets.saver.save()).toBeUndefined();
  expect(readFileSync(progressPath, "utf8")).toBe(progress);
  expect(readFileSync(`${progressPath}.bak`, "utf8")).toBe(progress);
  expect(broker.broker.ask(RequestCode.GET_ALL_DELAY_OFFSET).body.toString()).toBe(progress.replaceAll(/\s/g, ""));
});

describe("a message given back", () => {
  test("waits as Apache had it wait", async () => {
    const answer = broker.sendBack({ group: "golden-push", offset: GIVEN_BACK.retried, delayLevel: 1 });
    await broker.settle();
    expect(answer.code).toBe(0);
    expect(partsOf(lastOf("SCHEDULE_TOPIC_XXXX", 0))).toEqual(partsOf(APACHE_MADE.retried));
  });

  test("lies among the dead letters as Apache laid it there", async () => {
    const frames = readFileSync(join(import.meta.dirname, "data/frames/json.jsonl"), "utf8")
      .trim()
      .split("\n");
    const request = frames
      .map((line) => JSON.parse(line) as { name: string; hex: string })
      .find(({ name }) => name === "CONSUMER_SEND_MSG_BACK(36).request")!;
    const answer = broker.broker.askFrame(Buffer.from(request.hex, "hex"));
    await broker.settle();
    expect(answer).toMatchObject({ code: 0, remark: "", fields: {} });
    expect(partsOf(lastOf("%DLQ%golden-push", 0))).toEqual(partsOf(APACHE_MADE.dead));
  });
});

test("what waits is delivered when it is due, and nothing that Apache has delivered is again", async () => {
  const before = broker.messages("GoldenDelay", 1).length;
  const waits = partsOf(WAITING);
  const dueMs = broker.store.lookUp.storeTimestampAt(WAITING) + 2 * 3_600_000;
  broker.schedule.start();
  await broker.advance(dueMs - broker.clock.nowMs() - 1);
  expect(broker.messages("GoldenDelay", 1)).toHaveLength(before);
  await broker.advance(1);
  expect(broker.messages("GoldenDelay", 1)).toHaveLength(before + 1);
  expect(partsOf(lastOf("GoldenDelay", 1))).toEqual({ ...waits, topic: "GoldenDelay", queueId: 1 });
  expect([0, 1].map((queueId) => broker.messages("GoldenDelay", queueId).length)).toEqual([3, 4]);
  expect(broker.messages("%RETRY%golden-push", 0)).toHaveLength(5);
});
