/**
 * Many timers that wait: memory and the start stay within bounds, and what is due comes in the order of time. A cut of it
 * runs with all tests; `npm run test:load` runs it with a million and prints what was measured.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { decodeRecords, type MessageExt } from "#src/record/decode.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { runRequests } from "../../bench/macro/closed-loop.mjs";
import { sendSource, type Tally } from "../../bench/macro/sources.mjs";
import { killServer, startServer } from "../crash/server-process.js";
import { clientOf, closeAll, onCloseAll, properties, pull, send } from "../server/harness.js";

const FULL = process.env.COMETMQ_LOAD_FULL === "1";
const COUNT = FULL ? 1_000_000 : 10_000;
const SLOTS = 50;
const DUE_COUNT = FULL ? 20_000 : 1000;
/** Later than the start after the kill. */
const DUE_AHEAD_MS = FULL ? 6000 : 3000;
const HOUR_MS = 3_600_000;
const MEBIBYTE = 1024 * 1024;
/** More than a server has that nothing waits in. */
const WAITING_BYTES_MAX = 150 * MEBIBYTE;
const START_MS_MAX = 10_000;
const IDLE_LATE_MS_MAX = 200;

afterEach(closeAll);

function privateBytes({ pid }: ChildProcess): number {
  return Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]) * 1024;
}

/** Timers of a hundred bytes, from an hour ahead to two weeks and more, which is further than the wheel reaches. */
async function fill(port: number): Promise<void> {
  for (let i = 0; i < SLOTS; i++) {
    const delay = { TIMER_DELAY_MS: String(HOUR_MS * (1 + i * 7)) };
    const options = { topic: "Far", brokerName: "b", bodyBytes: 100, messageCount: 1, properties: delay };
    const loop = { broker: `127.0.0.1:${port}`, connections: 4, window: 64 };
    const sourceOf = (index: number, tally: Tally) => sendSource(options, index, tally);
    const tally = await runRequests({ ...loop, sourceOf }, COUNT / SLOTS, 300_000);
    expect(tally.errors).toBe(0);
  }
}

/** Timers due from `fromMs` on, put in another order than that of their times. */
async function sendDue(client: RemotingClient, fromMs: number): Promise<void> {
  const answers = Array.from({ length: DUE_COUNT }, (_, i) => {
    const dueMs = fromMs + ((i * 7919) % 2000);
    return send(client, { topic: "Due", properties: properties({ TIMER_DELIVER_MS: String(dueMs) }) }, String(dueMs));
  });
  for (const { code } of await Promise.all(answers)) expect(code).toBe(0);
}

async function received(client: RemotingClient, topic: string, count: number): Promise<MessageExt[]> {
  const messages: MessageExt[] = [];
  while (messages.length < count) {
    const { body } = await pull(client, { topic, queueOffset: messages.length, maxMsgNums: 1000 });
    messages.push(...decodeRecords(body));
    if (body.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return messages;
}

const seconds = (ms: number) => Math.round(ms / 100) / 10;
const mebibytes = (bytes: number) => Math.round((bytes / MEBIBYTE) * 10) / 10;

test.skipIf(process.platform !== "linux")(`${COUNT} timers that wait`, async () => {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-timers-"));
  onCloseAll(() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  const first = await startServer(directory, onCloseAll);
  expect((await send(clientOf(first.port), { topic: "Far", defaultTopicQueueNums: 8 }, "now")).code).toBe(0);
  const emptyBytes = privateBytes(first.server);
  const fillMs = performance.now();
  await fill(first.port);
  const filledMs = performance.now();
  const filledBytes = privateBytes(first.server);
  const dueFromMs = Date.now() + DUE_AHEAD_MS;
  await sendDue(clientOf(first.port), dueFromMs);
  await killServer(first.server);

  const startMs = performance.now();
  const second = await startServer(directory, onCloseAll);
  const startedMs = performance.now();
  const client = clientOf(second.port);
  const due = await received(client, "Due", DUE_COUNT);
  const dueMs = due.map(({ body }) => Number(body.toString()));
  expect(dueMs).toEqual([...dueMs].sort((a, b) => a - b));
  const late = due.map(({ storeTimestamp }, i) => storeTimestamp - dueMs[i]!);
  expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
  const idle: number[] = [];
  for (let i = 0; i < 5; i++) {
    const atMs = Date.now() + 300;
    await send(client, { topic: "Idle", properties: properties({ TIMER_DELIVER_MS: String(atMs) }) }, "idle");
    idle.push((await received(client, "Idle", i + 1)).at(-1)!.storeTimestamp - atMs);
  }
  const waitingBytes = privateBytes(second.server);
  const figures = {
    timers: COUNT,
    filledInSecs: seconds(filledMs - fillMs),
    emptyMiB: mebibytes(emptyBytes),
    filledMiB: mebibytes(filledBytes),
    startAfterKillSecs: seconds(startedMs - startMs),
    afterStartMiB: mebibytes(waitingBytes),
    lateMsMax: Math.max(...late),
    idleLateMs: idle,
  };
  process.stdout.write(`${JSON.stringify({ what: "timers", ...figures })}\n`);
  expect(filledBytes - emptyBytes).toBeLessThan(WAITING_BYTES_MAX);
  expect(waitingBytes - emptyBytes).toBeLessThan(WAITING_BYTES_MAX);
  if (!FULL) return;
  expect(startedMs - startMs).toBeLessThan(START_MS_MAX);
  expect(Math.max(...idle)).toBeLessThan(IDLE_LATE_MS_MAX);
});
