/**
 * A store with timers that wait changes hands between Apache's broker and ours, both ways: what one has taken the other
 * delivers at its time and once, what was recalled it does not, what was delivered does not come again.
 */
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { decodeRecords, type MessageExt } from "#src/record/decode.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import {
  ANSWER_MS,
  clientOf,
  closeAll,
  properties,
  pull,
  send,
  startBroker,
  temporaryDirectory,
} from "../server/harness.js";
import { ApacheBroker, describeHandover, sleep } from "./apache-broker.js";

/** Apache takes no more than three days unless it is told so. */
const CONFIG = { recallMessageEnable: true, timerMaxDelaySec: 40 * 86_400 };
/** A wheel's whole second, and the time that a machine with other work takes to get to it. */
const EARLY_MS = 1000;
const COUNT = 200;
const DAY_MS = 86_400_000;

afterEach(closeAll);

interface Waiting {
  readonly body: string;
  readonly dueMs: number;
}

/** Sends what is due while this broker is up, what is due in the hands of the next, and one for each way to say a time. */
async function leaveWaiting(client: RemotingClient, handoverMs: number): Promise<Waiting[]> {
  const waiting: Waiting[] = [];
  const nowMs = Date.now();
  const sendTimed = async (body: string, time: Record<string, string>, dueMs: number) => {
    const answer = await send(client, { properties: properties({ UNIQ_KEY: `K-${body}`, ...time }) }, body);
    expect(answer.code).toBe(ResponseCode.SUCCESS);
    waiting.push({ body, dueMs });
    return answer.fields["recallHandle"];
  };
  await sendTimed("soon", { TIMER_DELAY_MS: "1500" }, nowMs + 1500);
  for (let i = 0; i < COUNT; i++) {
    const dueMs = nowMs + handoverMs + ((i * 7919) % 3000);
    await sendTimed(`m${i}`, { TIMER_DELIVER_MS: String(dueMs) }, dueMs);
  }
  const seconds = Math.ceil(handoverMs / 1000) + 1;
  await sendTimed("by seconds", { TIMER_DELAY_SEC: String(seconds) }, nowMs + seconds * 1000);
  // Further than the wheel reaches: it stays.
  await sendTimed("far", { TIMER_DELAY_MS: String(30 * DAY_MS) }, nowMs + 30 * DAY_MS);
  const recallHandle = await sendTimed("recalled", { TIMER_DELAY_MS: String(handoverMs + 1000) }, nowMs);
  const recall = { topic: "T", producerGroup: "P", recallHandle: recallHandle! };
  expect((await client.call(RequestCode.RECALL_MESSAGE, recall, undefined, ANSWER_MS)).code).toBe(0);
  await received(client, (messages) => messages.length === 1);
  return waiting;
}

/** Queue 0 of topic T, once there is enough. */
async function received(client: RemotingClient, enough: (messages: MessageExt[]) => boolean): Promise<MessageExt[]> {
  for (;;) {
    const messages: MessageExt[] = [];
    for (;;) {
      const part = decodeRecords((await pull(client, { queueOffset: messages.length })).body);
      if (part.length === 0) break;
      messages.push(...part);
    }
    if (enough(messages)) return messages;
    await sleep(100);
  }
}

/** Waits for what is to come in the hands of this broker, and a little longer. */
async function expectDelivered(client: RemotingClient, waiting: Waiting[]): Promise<void> {
  const due = new Map(waiting.map(({ body, dueMs }) => [body, dueMs]));
  const expected = [...due.keys()].filter((body) => body !== "far" && body !== "recalled").sort();
  await received(client, (messages) => new Set(messages.map(({ body }) => body.toString())).size >= expected.length);
  await sleep(2500);
  const messages = await received(client, () => true);
  expect(messages.map(({ body }) => body.toString()).sort()).toEqual(expected);
  for (const { body, storeTimestamp } of messages) {
    expect(storeTimestamp).toBeGreaterThanOrEqual(due.get(body.toString())! - EARLY_MS);
  }
}

describeHandover("timers that change hands", () => {
  test("from our broker to Apache's and back, with a kill in between", async () => {
    const store = path.join(temporaryDirectory(), "store");
    const first = await startBroker({ directory: store, config: CONFIG });
    const waiting = await leaveWaiting(first.client(), 12_000);
    await first.broker.close();
    const apache = await ApacheBroker.start(store, CONFIG);
    const client = clientOf(apache.port);
    await expectDelivered(client, waiting);
    expect((await send(client, { properties: properties({ TIMER_DELAY_MS: "9000" }) }, "back")).code).toBe(0);
    const sentMs = Date.now();
    // Long enough for Apache to have filed it.
    await sleep(3000);
    client.close();
    await apache.kill();
    const second = await startBroker({ directory: store, config: CONFIG });
    const messages = await received(second.client(), (all) => all.at(-1)?.body.toString() === "back");
    expect(messages).toHaveLength(waiting.length - 1);
    expect(messages.at(-1)!.storeTimestamp).toBeGreaterThanOrEqual(sentMs + 9000 - EARLY_MS);
    // What is further ahead than the wheel still waits.
    const timers = second.broker.timerAdmin!.list({ topic: "T" });
    expect(
      timers.map(({ dueMs }) => Math.abs(dueMs - waiting.find(({ body }) => body === "far")!.dueMs) < 5000),
    ).toEqual([true]);
    expect(second.log.at("error", /./)).toEqual([]);
  });

  test("from Apache's broker to ours", async () => {
    const store = path.join(temporaryDirectory(), "store");
    const apache = await ApacheBroker.start(store, CONFIG);
    const client = clientOf(apache.port);
    const waiting = await leaveWaiting(client, 15_000);
    client.close();
    await apache.stop();
    const { broker, log } = await startBroker({ directory: store, config: CONFIG });
    await expectDelivered(clientOf(broker.port), waiting);
    expect(log.at("error", /./)).toEqual([]);
  });
});
