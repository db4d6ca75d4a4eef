/**
 * Ordered consumption across a kill: whoever holds a queue holds it in the broker that is started again, so that nobody
 * else reads messages of a key that its holder still works on; and where it goes on is what it last committed.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { ANSWER_MS, bodiesOf, clientOf, closeAll, onCloseAll, send, waitingPull } from "../server/harness.js";
import { heartbeatBody } from "../unit/broker/harness.js";
import { Child, pause } from "./children.js";

const COMETMQ = join(import.meta.dirname, "..", "..", "bin", "cometmq.mjs");
const BROKER_NAME = "broker-a";
const GROUP = "G";

afterEach(closeAll);

async function startServer(directory: string): Promise<{ server: Child; port: number }> {
  const config = join(directory, "broker.conf");
  writeFileSync(config, "flushConsumerOffsetInterval=100\n");
  const ports = ["--namesrv-port", "0", "--broker-port", "0", "--grpc-port", "0"];
  const server = new Child([COMETMQ, "start", "-c", config, "--data", join(directory, "store"), ...ports], {
    CI: "true",
  });
  const port = Number(/\bbroker=\S+:(\d+)/.exec(await server.line("ready", 60_000))?.[1]);
  return { server, port };
}

/** One consumer: every process of the group's, with the connection that it has at the time. */
class Consumer {
  readonly #clientId: string;
  #client!: RemotingClient;

  constructor(clientId: string) {
    this.#clientId = clientId;
  }

  async connect(port: number): Promise<void> {
    this.#client = clientOf(port);
    const body = Buffer.from(heartbeatBody(this.#clientId, GROUP, [["T", "*"]]));
    const answer = await this.#client.call(RequestCode.HEART_BEAT, {}, body, ANSWER_MS);
    expect(answer.code).toBe(ResponseCode.SUCCESS);
  }

  /** The queues of 0 to 3 that it holds now. */
  async lock(): Promise<number[]> {
    const mqSet = [0, 1, 2, 3].map((queueId) => ({ topic: "T", brokerName: BROKER_NAME, queueId }));
    const body = Buffer.from(JSON.stringify({ clientId: this.#clientId, consumerGroup: GROUP, mqSet }));
    const answer = await this.#client.call(RequestCode.LOCK_BATCH_MQ, {}, body, ANSWER_MS);
    const { lockOKMQSet } = JSON.parse(answer.body.toString()) as { lockOKMQSet: { queueId: number }[] };
    return lockOKMQSet.map(({ queueId }) => queueId).sort();
  }

  async unlock(queueId: number): Promise<void> {
    const mqSet = [{ topic: "T", brokerName: BROKER_NAME, queueId }];
    const body = Buffer.from(JSON.stringify({ clientId: this.#clientId, consumerGroup: GROUP, mqSet }));
    await this.#client.call(RequestCode.UNLOCK_BATCH_MQ, {}, body, ANSWER_MS);
  }

  async commit(commitOffset: number): Promise<void> {
    const fields = { consumerGroup: GROUP, topic: "T", queueId: 0, commitOffset };
    await this.#client.call(RequestCode.UPDATE_CONSUMER_OFFSET, fields, undefined, ANSWER_MS);
  }

  /** What it gets of queue 0 from where the group stands. */
  async next(): Promise<string[]> {
    const fields = { consumerGroup: GROUP, topic: "T", queueId: 0 };
    const where = await this.#client.call(RequestCode.QUERY_CONSUMER_OFFSET, fields, undefined, ANSWER_MS);
    expect(where.code).toBe(ResponseCode.SUCCESS);
    const queueOffset = Number(where.fields.offset);
    return bodiesOf(await waitingPull(this.#client, { consumerGroup: GROUP, queueOffset, maxMsgNums: 2 }));
  }
}

test("a queue stays its holder's through a kill of the broker, and its messages go on in order", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cometmq-ordered-"));
  onCloseAll(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  const offsets = join(directory, "store", "config", "consumerOffset.json");
  const first = await startServer(directory);
  const producer = clientOf(first.port);
  const names = Array.from({ length: 8 }, (_, i) => `m${i}`);
  for (const name of names) expect((await send(producer, { topic: "T" }, name)).code).toBe(ResponseCode.SUCCESS);
  const a = new Consumer("a");
  const b = new Consumer("b");
  for (const consumer of [a, b]) await consumer.connect(first.port);
  expect([await a.lock(), await b.lock()]).toEqual([[0, 1, 2, 3], []]);
  await a.unlock(3);
  expect(await b.lock()).toEqual([3]);
  expect(await a.next()).toEqual(["m0", "m1"]);
  await a.commit(2);
  // Offsets are saved at intervals, as with Apache: what is committed after this is read again.
  while (!existsSync(offsets) || !readFileSync(offsets, "utf8").includes("0:2")) await pause(20);
  expect(await a.next()).toEqual(["m2", "m3"]);

  await first.server.kill();
  const second = await startServer(directory);
  await b.connect(second.port);
  expect(await b.lock()).toEqual([3]);
  await a.connect(second.port);
  expect(await a.lock()).toEqual([0, 1, 2]);
  const read: string[] = [];
  for (let offset = 2; offset < 8; offset += 2) {
    read.push(...(await a.next()));
    await a.commit(offset + 2);
  }
  expect(read).toEqual(names.slice(2));
  expect(await b.lock()).toEqual([3]);
  await second.server.kill();
}, 60_000);
