/**
 * FIFO by message group through the whole endpoint, with consumers that retry, lose acknowledgements and crash: steps
 * drawn from a seed, on a clock that only the test moves. A message is delivered only when all before it in its group are
 * acknowledged or come with it, and never while the lease of a message of its group is with somebody else.
 */
import type { ClientHttp2Session } from "node:http2";
import { afterEach, expect, test } from "vitest";
import type { BrokerConfig } from "#src/server/broker/broker-options.js";
import { decodeReceiptHandle, nextVisibleMs } from "#src/server/proxy/receipt-handle.js";
import { FakeClock } from "../unit/broker/harness.js";
import {
  type Answer,
  call,
  connectTo,
  encoded,
  gather,
  GROUP,
  message,
  open,
  startEndpoint,
  Telemetry,
  TOPIC,
} from "./grpc-client.js";
import { closeAll } from "./harness.js";

afterEach(closeAll);

const SEEDS = [1, 2, 3];
const STEPS = 70;
const MESSAGE_GROUPS = ["red", "green", "blue", "black"];
const PER_GROUP = 12;
const INVISIBLE_MS = 10_000;

/** mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Delivered {
  readonly group: string;
  readonly index: number;
  readonly messageId: string;
  readonly attempt: number;
  readonly queueId: number;
  readonly offset: number;
  handle: string;
}

class Scenario {
  readonly clock = new FakeClock();
  readonly #random: () => number;
  readonly #sessions: ClientHttp2Session[] = [];
  /** What the servers' acknowledgements have ended: the count of each group. */
  readonly acked = new Map(MESSAGE_GROUPS.map((group) => [group, 0]));
  /** Who has the lease of a group's messages, and until when. */
  readonly #leases = new Map<string, { consumer: number; untilMs: number }>();
  /** The attempts of what each queue gave out last: the server counts on from there. */
  readonly #attempts = new Map<number, Map<number, number>>();
  redelivered = 0;
  #autoRenew = false;
  readonly #crashed = new Set<number>();

  constructor(seed: number) {
    this.#random = random(seed);
  }

  async open({ autoRenew = false } = {}): Promise<void> {
    this.#autoRenew = autoRenew;
    const config: Partial<BrokerConfig> = { grpcClientConsumerMinLongPollingTimeoutMillis: 10 };
    const { broker, endpoint } = await startEndpoint({ clock: this.clock, config });
    const { topics, groups } = broker.context;
    const topicFilterType = "SINGLE_TAG" as const;
    const fields = { readQueueNums: 2, writeQueueNums: 2, perm: 6, topicSysFlag: 0, order: false, topicFilterType };
    topics.update({ topicName: "T", ...fields }, new Map([["+message.type", "FIFO"]]));
    const { name: groupName, ...group } = groups.find("G")!;
    groups.update({ ...group, groupName, consumeMessageOrderly: true });
    const subscription = { group: GROUP, subscriptions: [{ topic: TOPIC, expression: { type: 1, expression: "*" } }] };
    for (let consumer = 0; consumer < 3; consumer++) {
      const session = connectTo(endpoint);
      const telemetry = new Telemetry(session, { "x-mq-client-id": `client-${consumer}` });
      telemetry.send({
        settings: { clientType: autoRenew ? 2 : 3, subscription, requestTimeout: { seconds: 3, nanos: 0 } },
      });
      await telemetry.next();
      this.#sessions.push(session);
    }
    for (let index = 0; index < PER_GROUP; index++) {
      for (const messageGroup of MESSAGE_GROUPS) await this.#send(messageGroup, index);
    }
    // A long poll of this clock may end before dispatch has come to them.
    const { store } = broker.context;
    const end = (queueId: number) => store.maxOffset(store.queue("T", queueId));
    const count = MESSAGE_GROUPS.length * PER_GROUP;
    while (end(0) + end(1) < count) await new Promise((resolve) => setImmediate(resolve));
  }

  async #send(messageGroup: string, index: number): Promise<void> {
    const sent = message({ body: Buffer.from(String(index)), systemProperties: { messageGroup, messageType: 2 } });
    expect((await call(this.#sessions[0]!, "SendMessage", { messages: [sent] })).status.code).toBe(20000);
  }

  pick(count: number): number {
    return Math.floor(this.#random() * count);
  }

  async receive(consumer: number, batchSize: number): Promise<Delivered[]> {
    const stream = open(this.#sessions[consumer]!, "ReceiveMessage", { "x-mq-client-id": `client-${consumer}` });
    const messageQueue = { topic: TOPIC, id: -1, broker: { name: "broker-t", id: 0 } };
    const filterExpression = { type: 1, expression: "*" };
    const [invisibleDuration, longPollingTimeout] = [
      { seconds: INVISIBLE_MS / 1000, nanos: 0 },
      { seconds: 1, nanos: 0 },
    ];
    const autoRenew = this.#autoRenew;
    const times = { invisibleDuration, longPollingTimeout, autoRenew };
    const request = { group: GROUP, messageQueue, filterExpression, batchSize, ...times };
    let answered = false;
    const answer = gather(stream, "ReceiveMessage", encoded("ReceiveMessage", request)).finally(() => {
      answered = true;
    });
    for (let turn = 0; !answered; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      // Nothing came: the long poll is to end.
      if (turn > 40) this.clock.advance(200);
    }
    const { messages } = await answer;
    const got = messages.filter(({ message: found }) => found !== null).map(({ message: found }) => delivered(found));
    this.#check(consumer, got);
    return got;
  }

  #check(consumer: number, got: readonly Delivered[]): void {
    const nowMs = this.clock.nowMs();
    for (const group of new Set(got.map((found) => found.group))) {
      const indexes = got.filter((found) => found.group === group).map(({ index }) => index);
      const from = this.acked.get(group)!;
      expect(indexes, `${group} out of order`).toEqual(indexes.map((_, i) => from + i));
      const lease = this.#leases.get(group);
      expect(lease === undefined || lease.untilMs <= nowMs, `${group} is leased to consumer ${lease?.consumer}`).toBe(
        true,
      );
      const untilMs = Math.max(...got.filter((found) => found.group === group).map(({ handle }) => leaseEndMs(handle)));
      this.#leases.set(group, { consumer, untilMs });
    }
    for (const queueId of new Set(got.map((found) => found.queueId))) {
      const before = this.#attempts.get(queueId);
      const batch = new Map<number, number>();
      for (const { offset, attempt } of got.filter((found) => found.queueId === queueId)) {
        expect(attempt, `queue ${queueId} offset ${offset}`).toBe((before?.get(offset) ?? 0) + 1);
        if (attempt > 1) this.redelivered++;
        batch.set(offset, attempt);
      }
      this.#attempts.set(queueId, batch);
    }
  }

  /** False when its lease was over. */
  async ack(consumer: number, { group, index, messageId, handle }: Delivered): Promise<boolean> {
    const entries = [{ messageId, receiptHandle: handle }];
    const answer = await call(this.#sessions[consumer]!, "AckMessage", { group: GROUP, topic: TOPIC, entries });
    if (answer.status.code !== 20000) return false;
    this.acked.set(group, index + 1);
    return true;
  }

  /** The rest of its group waits as long. */
  async retryLater(consumer: number, { group, messageId, handle }: Delivered, seconds: number): Promise<void> {
    const invisibleDuration = { seconds, nanos: 0 };
    const one = { group: GROUP, topic: TOPIC, messageId, receiptHandle: handle, invisibleDuration };
    const answer = await call(this.#sessions[consumer]!, "ChangeInvisibleDuration", one);
    if (answer.status.code !== 20000) return;
    this.#leases.set(group, { consumer, untilMs: leaseEndMs(answer.receiptHandle) });
  }

  async heartbeats(): Promise<void> {
    for (const [consumer, session] of this.#sessions.entries()) {
      if (this.#crashed.has(consumer)) continue;
      const headers = { "x-mq-client-id": `client-${consumer}` };
      await call(session, "Heartbeat", { group: GROUP, clientType: 3 }, headers);
    }
  }

  /** Nothing more is heard of it. Its leases are the server's to prolong, and to give up. */
  crash(consumer: number): void {
    this.#sessions[consumer]!.destroy();
    this.#crashed.add(consumer);
    for (const [group, lease] of this.#leases) if (lease.consumer === consumer) this.#leases.delete(group);
  }

  endLease(group: string): void {
    this.#leases.delete(group);
  }

  get isDone(): boolean {
    return [...this.acked.values()].every((count) => count === PER_GROUP);
  }
}

function leaseEndMs(handle: string): number {
  return nextVisibleMs(decodeReceiptHandle(handle));
}

function delivered({ body, systemProperties }: Answer): Delivered {
  const { messageGroup, messageId, deliveryAttempt, receiptHandle, queueId, queueOffset } = systemProperties;
  const index = Number(body);
  const place = { queueId, offset: Number(queueOffset), index };
  return { group: messageGroup, messageId, attempt: deliveryAttempt, handle: receiptHandle, ...place };
}

/** One consumer takes a batch and ends it as the draw says. */
async function step(scenario: Scenario, orderly: boolean): Promise<void> {
  await scenario.heartbeats();
  const consumer = scenario.pick(3);
  const got = await scenario.receive(consumer, 1 + scenario.pick(6));
  const failAt = orderly ? got.length : scenario.pick(got.length * 2 + 1);
  for (const [i, found] of got.entries()) {
    if (i < failAt) {
      expect(await scenario.ack(consumer, found)).toBe(true);
      if (!got.slice(i + 1).some(({ group }) => group === found.group)) scenario.endLease(found.group);
      continue;
    }
    // It fails and is to be tried again, its acknowledgement is lost, or its consumer has crashed: nothing more comes of it.
    if (scenario.pick(2) === 0) await scenario.retryLater(consumer, found, 1 + scenario.pick(20));
    break;
  }
  scenario.clock.advance(scenario.pick(4) === 0 ? INVISIBLE_MS * 2 + 1000 : scenario.pick(3000));
}

test.each(SEEDS)("message groups keep their order and never overlap, seed %i", async (seed) => {
  const scenario = new Scenario(seed);
  await scenario.open();
  for (let i = 0; i < STEPS && !scenario.isDone; i++) await step(scenario, false);
  expect(scenario.redelivered).toBeGreaterThan(0);
  for (let i = 0; i < 200 && !scenario.isDone; i++) await step(scenario, true);
  expect(Object.fromEntries(scenario.acked)).toEqual(Object.fromEntries(MESSAGE_GROUPS.map((g) => [g, PER_GROUP])));
});

test("what a crashed consumer held is prolonged for it until it is given up, and then comes in order to another", async () => {
  const scenario = new Scenario(7);
  await scenario.open({ autoRenew: true });
  const held = await scenario.receive(0, 6);
  expect(held.length).toBeGreaterThan(1);
  expect(await scenario.ack(0, held[0]!)).toBe(true);
  scenario.crash(0);
  const crashedMs = scenario.clock.nowMs();
  const queueIds = new Set(held.map(({ queueId }) => queueId));
  let other: Delivered[] = [];
  // It is silent for two minutes, then forgotten; `receive` checks that nothing overlaps and nothing is out of order.
  for (let i = 0; i < 40 && !other.some(({ attempt }) => attempt > 1); i++) {
    scenario.clock.advance(5000);
    await scenario.heartbeats();
    other = await scenario.receive(1, 6);
    for (const found of other) expect(await scenario.ack(1, found)).toBe(true);
    for (const { group } of other) scenario.endLease(group);
  }
  expect(scenario.clock.nowMs() - crashedMs).toBeGreaterThan(100_000);
  const again = other.filter(({ queueId }) => queueIds.has(queueId));
  const lost = held.slice(1).map(({ messageId }) => messageId);
  expect(again.slice(0, lost.length).map(({ messageId }) => messageId)).toEqual(lost);
});
