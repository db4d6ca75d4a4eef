/**
 * Topics that were lost: one made by a send, acknowledged, and unknown after a kill, because its configuration was saved a
 * moment later; one whose configuration file was torn (apache/rocketmq#3401).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { TRANSACTION_PREPARED_TYPE } from "#src/record/sys-flag.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { FakeClock } from "../unit/broker/harness.js";
import { copyAsKilled } from "../unit/store/fixture.js";
import {
  ANSWER_MS,
  closeAll,
  properties,
  pulledMessages,
  send,
  startBroker,
  temporaryDirectory,
} from "../server/harness.js";

afterEach(closeAll);

/** The store as a kill leaves it, with all that the broker has written. */
function killed(directory: string): string {
  const copy = join(temporaryDirectory(), "store");
  copyAsKilled(directory, copy);
  return copy;
}

/** Its clock stands, so nothing is saved a moment later. */
async function startStanding() {
  const started = await startBroker({ clock: new FakeClock() });
  return { ...started, client: started.client() };
}

test("messages of a topic that a send has made are there after a kill, and so is the topic", async () => {
  const { broker, client, directory } = await startStanding();
  const sent = await send(client, { topic: "Fresh", queueId: 3 }, "kept");
  expect(sent.code).toBe(ResponseCode.SUCCESS);
  await broker.store.settled();
  const { broker: next, client: open, log } = await startBroker({ directory: killed(directory) });
  expect((await pulledMessages(open(), { topic: "Fresh", queueId: 3 })).map(({ body }) => `${body}`)).toEqual(["kept"]);
  expect(next.context.topics.get("Fresh")).toMatchObject({ readQueueNums: 8, writeQueueNums: 8, perm: 6 });
  expect(log.at("warn", /only the store knew/)).toHaveLength(1);
});

test.each<[string, Record<string, string>, number]>([
  ["for a delay level", { DELAY: "18" }, 0],
  ["for its time", { TIMER_DELAY_MS: "3600000" }, 0],
  ["for its commit", { TRAN_MSG: "true", PGROUP: "P" }, TRANSACTION_PREPARED_TYPE],
])("so is a topic all of whose messages wait %s", async (_, given, sysFlag) => {
  const { broker, client, directory } = await startStanding();
  const sent = await send(client, { topic: "Waits", queueId: 2, properties: properties(given), sysFlag }, "kept");
  expect(sent.code).toBe(ResponseCode.SUCCESS);
  await broker.store.settled();
  const { broker: next, log } = await startBroker({ directory: killed(directory) });
  expect(next.context.topics.get("Waits")).toMatchObject({ readQueueNums: 8, writeQueueNums: 8, perm: 6 });
  expect(log.at("warn", /only the store knew/)).toHaveLength(1);
});

test("a topic that was deleted while a message of it waited does not come back with a kill", async () => {
  const clock = new FakeClock();
  const { broker, client: open, directory } = await startBroker({ clock });
  const client = open();
  await send(client, { topic: "Gone", properties: properties({ DELAY: "18" }) }, "x");
  await broker.store.settled();
  clock.advance(50);
  await client.call(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: "Gone" }, undefined, ANSWER_MS);
  const { broker: next } = await startBroker({ directory: killed(directory) });
  expect(next.context.topics.get("Gone")).toBeUndefined();
});

test("a topic that was deleted does not come back with a kill", async () => {
  const { broker, client, directory } = await startStanding();
  await send(client, { topic: "Gone" }, "x");
  await broker.store.settled();
  await client.call(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: "Gone" }, undefined, ANSWER_MS);
  const { broker: next } = await startBroker({ directory: killed(directory) });
  expect(next.context.topics.get("Gone")).toBeUndefined();
});

test("a topic that somebody took out of the file after an orderly end stays out", async () => {
  const { broker, directory, client } = await startBroker();
  await send(client(), { topic: "Out" }, "x");
  await broker.store.settled();
  await broker.close();
  const file = join(directory, "config", "topics.json");
  const content = JSON.parse(readFileSync(file, "utf8"));
  delete content.topicConfigTable.Out;
  writeFileSync(file, JSON.stringify(content));
  const { broker: next } = await startBroker({ directory });
  expect(next.context.topics.get("Out")).toBeUndefined();
});

test.each([
  ["#3401: cut off in the middle", (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1)],
  ["full of zeros", (bytes: Buffer) => Buffer.alloc(bytes.length)],
])("topics.json %s, and its backup too: topics with messages are topics again", async (_, tear) => {
  const { broker, directory, client } = await startBroker();
  await send(client(), { topic: "Kept", queueId: 1 }, "x");
  await broker.store.settled();
  await broker.close();
  const file = join(directory, "config", "topics.json");
  const torn = tear(readFileSync(file));
  for (const path of [file, `${file}.bak`]) writeFileSync(path, torn);
  const { client: open } = await startBroker({ directory });
  expect(await pulledMessages(open(), { topic: "Kept", queueId: 1 })).toHaveLength(1);
});
