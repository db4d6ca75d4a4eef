/**
 * A broker that is killed while timers wait and are delivered: the next one delivers all of them, none before its time,
 * none that was recalled, and only those of the last moments twice.
 */
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { decodeRecords, type MessageExt } from "#src/record/decode.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode } from "#src/remoting/codes.js";
import {
  ANSWER_MS,
  clientOf,
  closeAll,
  onCloseAll,
  properties,
  pull,
  send,
  temporaryDirectory,
} from "../server/harness.js";
import { killServer, startServer, untilTaken } from "./server-process.js";

const COUNT = 2000;
const RECALL_EVERY = 20;

afterEach(closeAll);

/** All of queue 0 of topic T, once there are `enough`. */
async function read(client: RemotingClient, enough: (messages: MessageExt[]) => boolean): Promise<MessageExt[]> {
  const messages: MessageExt[] = [];
  while (!enough(messages)) {
    const answer = await pull(client, { queueOffset: messages.length, maxMsgNums: 1000 });
    messages.push(...decodeRecords(answer.body));
    if (answer.body.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return messages;
}

test("every timer comes at least once, none early, none that was recalled", async () => {
  const directory = path.join(temporaryDirectory(), "data");
  const first = await startServer(directory, onCloseAll);
  const producer = clientOf(first.port);
  await producer.call(RequestCode.UPDATE_BROKER_CONFIG, {}, Buffer.from("recallMessageEnable=true\n"), ANSWER_MS);
  const dueMs = new Map<string, number>();
  const answers = Array.from({ length: COUNT }, (_, i) => {
    const delayMs = 1500 + ((i * 7919) % 2500);
    const fields = { properties: properties({ TIMER_DELAY_MS: String(delayMs), UNIQ_KEY: `K${i}` }) };
    return untilTaken(() => {
      dueMs.set(`m${i}`, Date.now() + delayMs);
      return send(producer, fields, `m${i}`);
    });
  });
  const recalled = new Set<string>();
  for (const [i, { code, fields }] of (await Promise.all(answers)).entries()) {
    expect(code).toBe(0);
    if (i % RECALL_EVERY !== 0) continue;
    const recall = { topic: "T", producerGroup: "P", recallHandle: fields["recallHandle"]! };
    if ((await producer.call(RequestCode.RECALL_MESSAGE, recall, undefined, ANSWER_MS)).code === 0)
      recalled.add(`m${i}`);
  }
  const before = await read(clientOf(first.port), (messages) => messages.length >= COUNT / 4);
  await killServer(first.server);
  expect(recalled.size).toBeGreaterThan(0);

  const second = await startServer(directory, onCloseAll);
  const expected = [...dueMs.keys()].filter((body) => !recalled.has(body)).sort();
  const bodies = new Set<string>();
  const messages = await read(clientOf(second.port), (found) => {
    for (const { body } of found.slice(-1000)) bodies.add(body.toString());
    return bodies.size >= expected.length;
  });
  expect([...bodies].sort()).toEqual(expected);
  for (const { body, storeTimestamp } of messages) {
    expect(storeTimestamp).toBeGreaterThanOrEqual(dueMs.get(body.toString())!);
  }
  expect(messages.length).toBeLessThanOrEqual(expected.length + before.length + COUNT / 2);
  await killServer(second.server);
});
