/** A disk that is slow to sync, as busy disks are by seconds, holds up nobody but those whom it concerns. */
import { spawnSync } from "node:child_process";
import { closeSync, createReadStream, openSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { FileDisk } from "#src/io/file-disk.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { heartbeatBody } from "../unit/broker/harness.js";
import { until } from "../unit/remoting/peers.js";
import {
  ANSWER_MS,
  bodiesOf,
  closeAll,
  onCloseAll,
  roundTrip,
  send,
  startBroker,
  temporaryDirectory,
  waitingPull,
  watched,
} from "./harness.js";

afterEach(closeAll);

/** What Node has by default (UV_THREADPOOL_SIZE). */
const POOL_THREADS = Number(process.env.UV_THREADPOOL_SIZE ?? 4);

/**
 * Has every thread of the pool wait for a writer that does not come: no sync of this process ends, in either of its
 * threads, until the function returned is called.
 */
async function holdSyncs(): Promise<() => Promise<void>> {
  const path = join(temporaryDirectory(), "pipe");
  expect(spawnSync("mkfifo", [path]).status).toBe(0);
  const opened = Array.from({ length: POOL_THREADS }, () => {
    const stream = createReadStream(path);
    return new Promise<void>((resolve) => stream.on("open", () => stream.destroy(undefined)).on("close", resolve));
  });
  let letGo: (() => Promise<void>) | undefined = async () => {
    letGo = undefined;
    const writer = openSync(path, "w");
    await Promise.all(opened);
    closeSync(writer);
  };
  onCloseAll(() => letGo?.());
  return letGo;
}

/** Holds all syncs as soon as the first deletion of a topic is noted. */
class NotingDisk extends FileDisk {
  readonly noted: Promise<() => Promise<void>>;
  #hasNoted = false;
  #note: (letGo: Promise<() => Promise<void>>) => void = () => {};

  constructor() {
    super();
    this.noted = new Promise((resolve) => {
      this.#note = resolve;
    });
  }

  override async replace(path: string, content: Uint8Array | string, keepAs?: string, mode?: number): Promise<void> {
    await super.replace(path, content, keepAs, mode);
    if (this.#hasNoted || !path.endsWith("deleted.topics")) return;
    this.#hasNoted = true;
    const held = holdSyncs();
    this.#note(held);
    await held;
  }
}

function topicFields(topic: string) {
  const queues = { readQueueNums: 1, writeQueueNums: 1, perm: 6 };
  return { topic, defaultTopic: "TBW102", ...queues, topicFilterType: "SINGLE_TAG", topicSysFlag: 0, order: false };
}

test("while the disk syncs nothing, consumers find their group and get messages, and only changes wait", async () => {
  const disk = new NotingDisk();
  const { broker, client } = await startBroker({ disk });
  const admin = client();
  const consumer = client();
  for (const topic of ["Doomed", "Other", "T"]) {
    const made = await admin.call(RequestCode.UPDATE_AND_CREATE_TOPIC, topicFields(topic), undefined, ANSWER_MS);
    expect(made.code).toBe(ResponseCode.SUCCESS);
  }
  for (const topic of ["Doomed", "Other"]) await send(admin, { topic }, "x");
  await broker.store.settled();

  // The deletion is noted, and has the dispatch thread sync what it has, at once.
  const deleted = watched(admin.call(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: "Doomed" }, undefined, ANSWER_MS));
  const letGo = await disk.noted;
  const forgotten = watched(admin.call(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: "Other" }, undefined, ANSWER_MS));
  await send(admin, {}, "first");
  await until(() => broker.store.dispatchedPosition === broker.store.maxPhyOffset, "dispatch");

  const late = watched(admin.call(RequestCode.UPDATE_AND_CREATE_TOPIC, topicFields("Late"), undefined, ANSWER_MS));
  const body = Buffer.from(heartbeatBody("c1", "G", [["T", "*"]]));
  expect((await consumer.call(RequestCode.HEART_BEAT, {}, body, ANSWER_MS)).code).toBe(ResponseCode.SUCCESS);
  const group = { consumerGroup: "G" };
  const members = await consumer.call(RequestCode.GET_CONSUMER_LIST_BY_GROUP, group, undefined, ANSWER_MS);
  expect(members.body.toString()).toBe('{"consumerIdList":["c1"]}');
  expect(bodiesOf(await waitingPull(consumer))).toEqual(["first"]);
  for (let i = 1; i < 20; i++) {
    const waiting = waitingPull(consumer, { queueOffset: i });
    await roundTrip(consumer);
    await send(admin, {}, `m${i}`);
    expect(bodiesOf(await waiting)).toEqual([`m${i}`]);
  }
  const refused = await send(admin, { topic: "Other" }, "y");
  expect([refused.code, refused.remark]).toEqual([
    ResponseCode.SERVICE_NOT_AVAILABLE,
    "service not available now: the store is closing, or the topic is being deleted.",
  ]);
  expect([late.done, deleted.done, forgotten.done]).toEqual([false, false, false]);

  await letGo();
  expect((await late.answer).code).toBe(ResponseCode.SUCCESS);
  expect((await deleted.answer).code).toBe(ResponseCode.SUCCESS);
  expect((await forgotten.answer).code).toBe(ResponseCode.SUCCESS);
});
