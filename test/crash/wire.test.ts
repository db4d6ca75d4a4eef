/**
 * The same over the wire: a server that is killed under the load of several connections, started again on its directory,
 * and pulled empty. Every message it has acknowledged is in its queue at the offset of its acknowledgement, and a
 * committed offset that was on the disk is there again.
 *
 *   COMETMQ_CRASH_ROUNDS=100   more rounds       COMETMQ_CRASH_SEED=n   the same load and, nearly, the same moments
 */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { decodeRecords, type MessageExt } from "#src/record/decode.js";
import { encodeMessageBatch } from "#src/record/message-batch.js";
import { formatProperties } from "#src/record/properties.js";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { ANSWER_MS, clientOf, closeAll, pullFields, sendFieldsV2 } from "../server/harness.js";
import { Child, crashRounds, pause } from "./children.js";
import { crashSeed } from "./figures.js";
import { type Random, randomFrom } from "./programs/random.mjs";

const COMETMQ = join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const CONNECTIONS = 3;
const IN_FLIGHT = 24;
const QUEUES = 4;
const TOPICS = ["T0", "T1"];
const GROUP = "G";
const FLUSH_OFFSETS_MS = 100;
/** Bounds what one round adds. */
const MESSAGES_MAX = 6000;

afterEach(closeAll);

interface Acknowledged {
  readonly queueOffset: number;
  readonly key: string;
  readonly bodyHash: string;
}

class History {
  /** By topic and queue. */
  readonly queues = new Map<string, Acknowledged[]>();
  count = 0;
  serial = 0;
  committed = -1;
  /** Asked for last, acknowledged or not. */
  committing = -1;

  add(topic: string, queueId: number, one: Acknowledged): void {
    const queue = this.queues.get(`${topic}/${queueId}`);
    if (queue === undefined) this.queues.set(`${topic}/${queueId}`, [one]);
    else queue.push(one);
    this.count++;
  }
}

function hashOf(body: Uint8Array): string {
  return createHash("sha1").update(body).digest("hex");
}

async function startServer(directory: string, flushDiskType: string): Promise<{ server: Child; port: number }> {
  const config = join(directory, "broker.conf");
  writeFileSync(
    config,
    `flushDiskType=${flushDiskType}
mappedFileSizeCommitLog=1048576
mappedFileSizeConsumeQueue=40000
maxHashSlotNum=1000
maxIndexNum=4000
flushConsumerOffsetInterval=${FLUSH_OFFSETS_MS}
`,
  );
  const store = join(directory, "store");
  const args = [
    "start",
    "-c",
    config,
    "--data",
    store,
    "--namesrv-port",
    "0",
    "--broker-port",
    "0",
    "--grpc-port",
    "0",
  ];
  const server = new Child([COMETMQ, ...args], { CI: "true" });
  const line = await server.line("ready", 60_000);
  const port = Number(/\bbroker=\S+:(\d+)/.exec(line)?.[1]);
  expect(port).toBeGreaterThan(0);
  return { server, port };
}

/** One message or a batch of them; its acknowledgement goes into the history. */
async function send(client: RemotingClient, random: Random, history: History, to?: string): Promise<void> {
  const topic = to ?? TOPICS[random.integer(0, TOPICS.length)]!;
  const queueId = random.integer(0, QUEUES);
  const isBatch = random.chance(0.05);
  const messages = Array.from({ length: isBatch ? random.integer(2, 12) : 1 }, () => {
    const body = Buffer.alloc(random.integer(1, random.chance(0.02) ? 200_000 : 1500));
    for (let at = 0; at < body.length; at++) body[at] = (history.serial + at * 7) & 0xff;
    return { body, key: `u${history.serial++}` };
  });
  const properties = ({ key }: { key: string }): [string, string][] => [
    ["UNIQ_KEY", key],
    ["TAGS", "a"],
  ];
  const body = isBatch
    ? encodeMessageBatch(messages.map((one) => ({ body: one.body.subarray(0, 2000), properties: properties(one) })))
    : messages[0]!.body;
  const fields = {
    topic,
    queueId,
    batch: isBatch,
    properties: isBatch ? "" : formatProperties(properties(messages[0]!)),
  };
  const code = isBatch ? RequestCode.SEND_BATCH_MESSAGE : RequestCode.SEND_MESSAGE_V2;
  const answer = await client.call(code, sendFieldsV2(fields), body, ANSWER_MS);
  expect([answer.code, answer.remark]).toEqual([ResponseCode.SUCCESS, ""]);
  const first = Number(answer.fields.queueOffset);
  for (const [i, one] of messages.entries()) {
    const sent = isBatch ? one.body.subarray(0, 2000) : one.body;
    history.add(topic, queueId, { queueOffset: first + i, key: one.key, bodyHash: hashOf(sent) });
  }
}

/** Sends as fast as the answers come until the connection is lost. */
async function load(client: RemotingClient, random: Random, history: History, until: number): Promise<void> {
  const one = async (): Promise<void> => {
    while (history.serial < until) await send(client, random, history);
  };
  const lost = await Promise.allSettled(Array.from({ length: IN_FLIGHT }, one));
  for (const result of lost) {
    if (result.status === "fulfilled") continue;
    // The kill; anything else is a failure of its own.
    expect((result.reason as { code?: string }).code).toMatch(/^COMETMQ_(REMOTE|CONNECT)$/);
  }
}

async function commit(client: RemotingClient, history: History): Promise<void> {
  const offset = history.committing + 1;
  history.committing = offset;
  const fields = { consumerGroup: GROUP, topic: TOPICS[0], queueId: 0, commitOffset: offset };
  const answer = await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, fields, undefined, ANSWER_MS);
  expect([answer.code, answer.remark]).toEqual([ResponseCode.SUCCESS, ""]);
  history.committed = offset;
}

/** What a reader of the file would find committed, or -1. */
function committedOnDisk(directory: string): number {
  const path = join(directory, "store", "config", "consumerOffset.json");
  if (!existsSync(path)) return -1;
  const offset = new RegExp(`"${TOPICS[0]}@${GROUP}":\\{[^}]*\\b0:(\\d+)`).exec(readFileSync(path, "utf8"))?.[1];
  return offset === undefined ? -1 : Number(offset);
}

/** Commits until the server ends; resolves with an offset that was on the disk, having seen at least one get there. */
async function commitAndWatch(client: RemotingClient, directory: string, history: History): Promise<number> {
  await commit(client, history);
  const wanted = history.committed;
  const deadline = performance.now() + 30_000;
  while (committedOnDisk(directory) < wanted) {
    if (performance.now() > deadline) throw new Error(`offset ${wanted} was never saved`);
    await commit(client, history);
    await pause(5);
  }
  return committedOnDisk(directory);
}

async function keepCommitting(client: RemotingClient, history: History): Promise<void> {
  try {
    for (;;) await commit(client, history);
  } catch {
    // The server was killed.
  }
}

async function pullAll(client: RemotingClient, topic: string, queueId: number): Promise<MessageExt[]> {
  const messages: MessageExt[] = [];
  for (let queueOffset = 0; ; ) {
    const fields = pullFields({ consumerGroup: GROUP, topic, queueId, queueOffset });
    const answer = await client.call(RequestCode.PULL_MESSAGE, fields, undefined, ANSWER_MS);
    if (answer.code !== ResponseCode.SUCCESS) {
      expect([answer.code, Number(answer.fields.maxOffset)]).toEqual([ResponseCode.PULL_NOT_FOUND, messages.length]);
      return messages;
    }
    messages.push(...decodeRecords(answer.body));
    queueOffset = Number(answer.fields.nextBeginOffset);
  }
}

async function check(client: RemotingClient, history: History): Promise<void> {
  for (const [name, acknowledged] of history.queues) {
    const [topic, queueId] = name.split("/") as [string, string];
    const messages = await pullAll(client, topic, Number(queueId));
    expect(messages.map(({ queueOffset }) => queueOffset)).toEqual(messages.map((_, i) => i));
    const keys = messages.map(({ properties }) => properties.get("UNIQ_KEY"));
    expect(new Set(keys).size).toBe(keys.length);
    const wrong = acknowledged.filter(({ queueOffset, key, bodyHash }) => {
      const found = messages[queueOffset];
      return found === undefined || keys[queueOffset] !== key || hashOf(found.body) !== bodyHash;
    });
    expect(wrong.slice(0, 5), `${wrong.length} of ${acknowledged.length} in ${name}`).toEqual([]);
  }
}

async function committedOffset(client: RemotingClient): Promise<number> {
  const fields = { consumerGroup: GROUP, topic: TOPICS[0], queueId: 0 };
  const answer = await client.call(RequestCode.QUERY_CONSUMER_OFFSET, fields, undefined, ANSWER_MS);
  expect(answer.code).toBe(ResponseCode.SUCCESS);
  return Number(answer.fields.offset);
}

async function killAgainAndAgain(rounds: number): Promise<void> {
  const seed = crashSeed();
  const directory = mkdtempSync(join(tmpdir(), "cometmq-wire-"));
  const history = new History();
  let { server, port } = await startServer(directory, "ASYNC_FLUSH");
  for (let round = 0; round < rounds; round++) {
    const random = randomFrom(seed + round);
    try {
      const clients = Array.from({ length: CONNECTIONS + 1 }, () => clientOf(port));
      const until = history.serial + MESSAGES_MAX;
      // Topics come into being with their first message, the group with its first pull.
      for (const topic of TOPICS) await send(clients[0]!, random, history, topic);
      await clients[0]!.call(RequestCode.PULL_MESSAGE, pullFields({ topic: TOPICS[0] }), undefined, ANSWER_MS);
      const loads = clients.slice(1).map((client) => load(client, random, history, until));
      const saved = await commitAndWatch(clients[0]!, directory, history);
      const committing = keepCommitting(clients[0]!, history);
      await pause(random.integer(0, 500));
      await server.kill();
      await Promise.all([...loads, committing]);
      ({ server, port } = await startServer(directory, random.chance(0.5) ? "ASYNC_FLUSH" : "SYNC_FLUSH"));
      const client = clientOf(port);
      const offset = await committedOffset(client);
      expect(offset).toBeGreaterThanOrEqual(saved);
      expect(offset).toBeLessThanOrEqual(history.committing);
      history.committing = offset;
      await check(client, history);
    } catch (error) {
      throw new Error(`COMETMQ_CRASH_SEED=${seed}, round ${round}, left in ${directory}`, { cause: error });
    }
  }
  expect(history.count).toBeGreaterThan(rounds * 20);
  await closeAll();
  await server.terminate(60_000);
  rmSync(directory, { recursive: true, force: true });
}

it("a killed server has everything it acknowledged", async () => {
  await killAgainAndAgain(crashRounds(3));
}, 3_600_000);
