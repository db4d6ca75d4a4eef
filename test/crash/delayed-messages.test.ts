/** A broker that is killed while it delivers delayed messages: the next one delivers all of them, none before its time. */
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { decodeRecords, type MessageExt } from "#src/record/decode.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { clientOf, closeAll, onCloseAll, properties, pull, send, temporaryDirectory } from "../server/harness.js";
import { killServer, startServer, untilTaken } from "./server-process.js";

const COUNT = 3000;
const LEVEL_MS = { 1: 1000, 2: 5000 } as const;

afterEach(closeAll);

/** Reads queue 0 of topic T from `offset` on until `enough`. */
async function read(client: RemotingClient, offset: number, enough: (messages: MessageExt[]) => boolean) {
  const messages: MessageExt[] = [];
  while (!enough(messages)) {
    const answer = await pull(client, { queueOffset: offset + messages.length, maxMsgNums: 1000 });
    messages.push(...decodeRecords(answer.body));
    if (answer.body.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return messages;
}

test("every message comes at least once, and none early", async () => {
  const directory = path.join(temporaryDirectory(), "data");
  const first = await startServer(directory, onCloseAll);
  const producer = clientOf(first.port);
  const sentMs = new Map<string, { ms: number; delayMs: number }>();
  const answers = Array.from({ length: COUNT }, (_, i) => {
    const level = i % 10 === 0 ? 2 : 1;
    return untilTaken(() => {
      sentMs.set(`m${i}`, { ms: Date.now(), delayMs: LEVEL_MS[level] });
      return send(producer, { properties: properties({ DELAY: String(level) }) }, `m${i}`);
    });
  });
  for (const { code } of await Promise.all(answers)) expect(code).toBe(0);
  await read(clientOf(first.port), 0, (messages) => messages.length >= 20);
  await killServer(first.server);

  const second = await startServer(directory, onCloseAll);
  const bodies = new Set<string>();
  const isNew = ({ body }: MessageExt) => bodies.add(body.toString());
  const messages = await read(clientOf(second.port), 0, (found) => {
    found.forEach(isNew);
    return bodies.size >= COUNT;
  });
  expect([...bodies].sort()).toEqual([...sentMs.keys()].sort());
  for (const { body, storeTimestamp } of messages) {
    const { ms, delayMs } = sentMs.get(body.toString())!;
    expect(storeTimestamp).toBeGreaterThanOrEqual(ms + delayMs);
  }
  await killServer(second.server);
});
