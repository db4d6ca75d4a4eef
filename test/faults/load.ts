/** Senders and committers on connections of their own, who write down all they do and connect again when they are cut off. */
import { encodeMessageBatch } from "#src/record/message-batch.js";
import { formatProperties } from "#src/record/properties.js";
import { RemotingClient } from "#src/remoting/client.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import type { RemoteAnswer } from "#src/remoting/types.js";
import type { Random } from "../crash/programs/random.mjs";
import { pullFields, sendFieldsV2 } from "../server/harness.js";
import { type Committed, hashOf, type History, type Sent } from "./history.js";
import { onEnd, pause } from "./scratch.js";

const RECONNECT_MS = 50;
const REFUSED_PAUSE_MS = 20;

export interface LoadOptions {
  readonly random: Random;
  readonly history: History;
  readonly topics?: readonly string[];
  readonly queueCount?: number;
  readonly connectionCount?: number;
  /** Sends under way on each connection. */
  readonly windowCount?: number;
  /** A sender waits up to so long between two sends. */
  readonly paceMs?: number;
  readonly bodyBytesMax?: number;
  /** For an answer. */
  readonly timeoutMs?: number;
  /** Part of the sends that are batches. */
  readonly batches?: number;
}

let connectionsMade = 0;
let keysMade = 0;

export class Load {
  ackedCount = 0;
  /** How often each answer but SUCCESS came. */
  readonly refusals = new Map<string, number>();
  /** When the last acknowledgement came. */
  lastAckMs = 0;
  /** Longest time that an acknowledged send took. */
  slowestMs = 0;
  #port: number;
  #stopped = false;
  readonly #options: Required<LoadOptions>;
  readonly #running: Promise<void>[];

  constructor(port: number, options: LoadOptions) {
    this.#port = port;
    this.#options = {
      topics: ["T0", "T1"],
      queueCount: 4,
      connectionCount: 3,
      windowCount: 8,
      paceMs: 6,
      bodyBytesMax: 1500,
      timeoutMs: 20_000,
      batches: 0.05,
      ...options,
    };
    this.#running = Array.from({ length: this.#options.connectionCount }, () => this.#connection());
    onEnd(() => this.stop());
  }

  /** The server is somewhere else now. */
  moveTo(port: number): void {
    this.#port = port;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  get refusedCount(): number {
    return [...this.refusals.values()].reduce((sum, count) => sum + count, 0);
  }

  async #connection(): Promise<void> {
    while (!this.#stopped) {
      const client = new RemotingClient("127.0.0.1", this.#port);
      const name = `connection ${++connectionsMade}`;
      try {
        await client.connect();
        await Promise.all(Array.from({ length: this.#options.windowCount }, () => this.#sender(client, name)));
      } catch {
        // Cut off; what was under way is written down as unknown.
      }
      await client.close();
      if (!this.#stopped) await pause(RECONNECT_MS);
    }
  }

  async #sender(client: RemotingClient, name: string): Promise<void> {
    const { random, paceMs } = this.#options;
    while (!this.#stopped && client.connected) {
      const isTaken = await this.#send(client, name);
      await pause(isTaken ? random.integer(0, paceMs) : REFUSED_PAUSE_MS);
    }
  }

  /** True when it was acknowledged. */
  async #send(client: RemotingClient, sender: string): Promise<boolean> {
    const { random, history, topics, queueCount, timeoutMs, batches } = this.#options;
    const topic = topics[random.integer(0, topics.length)]!;
    const queueId = random.integer(0, queueCount);
    const batch = random.chance(batches);
    const messages = Array.from({ length: batch ? random.integer(2, 10) : 1 }, () => this.#message());
    const invokedMs = performance.now();
    const sent = messages.map(({ key, body }): Sent => {
      const outcome = { completedMs: Number.POSITIVE_INFINITY, outcome: "unknown" as const, queueOffset: -1 };
      return { sender, queue: `${topic}/${queueId}`, key, hash: hashOf(body), invokedMs, ...outcome };
    });
    history.sent.push(...sent);
    const properties = batch ? "" : formatProperties(messages[0]!.properties);
    const fields = sendFieldsV2({ topic, queueId, batch, properties, defaultTopicQueueNums: queueCount });
    const code = batch ? RequestCode.SEND_BATCH_MESSAGE : RequestCode.SEND_MESSAGE_V2;
    const body = batch ? encodeMessageBatch(messages) : messages[0]!.body;
    const answer = await client.call(code, fields, body, timeoutMs);
    return this.#answered(sent, answer);
  }

  #answered(sent: readonly Sent[], answer: RemoteAnswer): boolean {
    const completedMs = performance.now();
    const isTaken = answer.code === ResponseCode.SUCCESS;
    for (const [i, one] of sent.entries()) {
      one.completedMs = completedMs;
      // It is in the log, and not known to be on the disk: nothing is promised.
      if (answer.code === ResponseCode.FLUSH_DISK_TIMEOUT) continue;
      one.outcome = isTaken ? "acked" : "refused";
      if (isTaken) one.queueOffset = Number(answer.fields.queueOffset) + i;
    }
    if (isTaken) {
      this.ackedCount += sent.length;
      this.lastAckMs = completedMs;
      this.slowestMs = Math.max(this.slowestMs, completedMs - sent[0]!.invokedMs);
    } else {
      const what = `${answer.code} ${answer.remark}`;
      this.refusals.set(what, (this.refusals.get(what) ?? 0) + 1);
    }
    return isTaken;
  }

  #message(): { key: string; body: Buffer; properties: [string, string][] } {
    const { random, bodyBytesMax } = this.#options;
    const number = ++keysMade;
    const body = Buffer.alloc(random.integer(1, bodyBytesMax));
    for (let at = 0; at < body.length; at++) body[at] = (number + at * 7) & 0xff;
    const key = `k${number}`;
    return { key, body, properties: [["UNIQ_KEY", key], ["TAGS", "a"]] }; // biome-ignore format: one line
  }
}

/** Commits ever higher offsets of one queue, and asks now and then where the group stands. */
export class Committer {
  readonly #history: History;
  readonly #group: string;
  readonly #topic: string;
  readonly #running: Promise<void>;
  #port: number;
  #stopped = false;
  #next = 0;

  constructor(port: number, history: History, group: string, topic: string) {
    this.#port = port;
    this.#history = history;
    this.#group = group;
    this.#topic = topic;
    this.#running = this.#run();
    onEnd(() => this.stop());
  }

  moveTo(port: number): void {
    this.#port = port;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const client = new RemotingClient("127.0.0.1", this.#port);
      try {
        // The group comes into being with its first pull.
        const pull = pullFields({ consumerGroup: this.#group, topic: this.#topic });
        await client.call(RequestCode.PULL_MESSAGE, pull, undefined, 20_000);
        while (!this.#stopped) {
          await this.#observe(client);
          await this.#commit(client);
          await pause(5);
        }
      } catch {
        await pause(RECONNECT_MS);
      }
      await client.close();
    }
  }

  get #fields() {
    return { consumerGroup: this.#group, topic: this.#topic, queueId: 0 };
  }

  async #commit(client: RemotingClient): Promise<void> {
    const commit: Committed = {
      group: this.#group,
      queue: `${this.#topic}/0`,
      offset: this.#next++,
      invokedMs: performance.now(),
      completedMs: Number.POSITIVE_INFINITY,
      outcome: "unknown",
    };
    this.#history.committed.push(commit);
    const fields = { ...this.#fields, commitOffset: commit.offset };
    const answer = await client.call(RequestCode.UPDATE_CONSUMER_OFFSET, fields, undefined, 20_000);
    commit.completedMs = performance.now();
    if (answer.code === ResponseCode.SUCCESS) commit.outcome = "acked";
  }

  async #observe(client: RemotingClient): Promise<void> {
    const invokedMs = performance.now();
    const fields = { ...this.#fields, setZeroIfNotFound: false };
    const answer = await client.call(RequestCode.QUERY_CONSUMER_OFFSET, fields, undefined, 20_000);
    if (answer.code !== ResponseCode.SUCCESS && answer.code !== ResponseCode.QUERY_NOT_FOUND) return;
    const offset = answer.code === ResponseCode.SUCCESS ? Number(answer.fields.offset) : -1;
    const times = { invokedMs, completedMs: performance.now() };
    this.#history.observed.push({ group: this.#group, queue: `${this.#topic}/0`, offset, ...times });
  }
}
