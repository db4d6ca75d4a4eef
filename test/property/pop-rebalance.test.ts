/**
 * A group that is rebalanced while it consumes, against a model: members join, leave without a word, and take up what the
 * broker assigns them; its request mode changes between popping, with any share, and pulling, while messages are leased;
 * time passes, and the broker is closed or killed in between. Members do what Apache's 5.x push consumer does: those that
 * pull read the pop retry topic too (RebalanceImpl#updateMessageQueueAssignment), from the offset that the broker names.
 *
 * No message is lost, none comes to anybody while it is leased, none comes again whose acknowledgement was answered, and
 * none that was pulled and committed, but where a kill has taken the commit.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeRecords } from "#src/record/decode.js";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { PullMessage } from "#src/server/broker/pull-message.js";
import { FakeConnection, heartbeatBody } from "../unit/broker/harness.js";
import { GROUP, type Held, PopLife, TOPIC } from "./pop-fixture.js";

const RUNS = Number(process.env.COMETMQ_RUNS ?? 12);
const QUEUES = 3;
const MEMBERS = 3;
const RETRY = `%RETRY%${GROUP}_${TOPIC}`;
/** So many that none goes to dead letters. */
const MAX_RETRIES = 1000;

interface Sent {
  readonly body: string;
  isAcked: boolean;
  /** It was pulled and committed, and the commit is in memory only. */
  isSoft: boolean;
  /** That was so when the broker was killed: it may come once more, or not. */
  isOptional: boolean;
  leasedUntilMs: number;
  leasedBy: string;
}

interface Queue {
  readonly topic: string;
  readonly queueId: number;
  readonly mode: string;
}

interface Member {
  readonly id: string;
  connection: FakeConnection | undefined;
  queues: Queue[];
  held: Held[];
  /** Of queues that it pulls: where it goes on. */
  readonly offsets: Map<string, number>;
}

class Model {
  readonly sent = new Map<string, Sent>();
  readonly members: Member[] = Array.from({ length: MEMBERS }, (_, i) => ({
    id: `c${i}`,
    connection: undefined,
    queues: [],
    held: [],
    offsets: new Map<string, number>(),
  }));

  get joined(): Member[] {
    return this.members.filter(({ connection }) => connection !== undefined);
  }
}

type Step = (life: PopLife, model: Model) => void | Promise<void>;

async function open(life: PopLife): Promise<void> {
  const { context, processors } = life.base.broker;
  new PullMessage(context, life.base.store).register(processors);
  context.groups.find(GROUP)!.retryMaxTimes = MAX_RETRIES;
}

function beat(life: PopLife, member: Member): void {
  const body = heartbeatBody(member.id, GROUP, [[TOPIC, "*"]]);
  expect(life.base.broker.ask(RequestCode.HEART_BEAT, {}, body, member.connection).code).toBe(0);
}

async function join(life: PopLife, model: Model, member: Member): Promise<void> {
  member.connection ??= new FakeConnection();
  beat(life, member);
  await takeUp(life, member);
  await handOver(life, model);
}

/** Two who pull one queue go by offsets of their own, which no broker makes one: the others take up theirs at once. */
async function handOver(life: PopLife, model: Model): Promise<void> {
  if (life.base.broker.context.requestModes.get(TOPIC, GROUP)?.mode !== "POP") await takeUpAll(life, model);
}

/** Its connection breaks: what it has leased runs out. */
async function leave(life: PopLife, model: Model, member: Member): Promise<void> {
  if (member.connection === undefined) return;
  member.connection.close();
  member.connection = undefined;
  member.queues = [];
  member.held = [];
  member.offsets.clear();
  await handOver(life, model);
}

async function assigned(life: PopLife, member: Member, topic: string): Promise<Queue[]> {
  const fields = { topic, consumerGroup: GROUP, clientId: member.id, strategyName: "AVG", messageModel: "CLUSTERING" };
  const { broker } = life.base;
  const answer = await broker.askLate(RequestCode.QUERY_ASSIGNMENT, {}, JSON.stringify(fields), member.connection);
  expect(answer.code).toBe(0);
  const list = JSON.parse(answer.body.toString()).messageQueueAssignments as { mode: string; messageQueue: Queue }[];
  return list.map(({ mode, messageQueue: { queueId } }) => ({ topic, queueId, mode }));
}

async function takeUp(life: PopLife, member: Member): Promise<void> {
  const queues = await assigned(life, member, TOPIC);
  const isPulling = queues.some(({ mode }) => mode === "PULL");
  const hasRetries = life.base.broker.context.topics.get(RETRY) !== undefined;
  if (isPulling && hasRetries) queues.push(...(await assigned(life, member, RETRY)));
  member.queues = queues;
  const pulls = new Set(queues.filter(({ mode }) => mode === "PULL").map(keyOf));
  for (const key of member.offsets.keys()) if (!pulls.has(key)) member.offsets.delete(key);
}

const keyOf = ({ topic, queueId }: Queue) => `${topic} ${queueId}`;

/** What all members have taken up covers each queue, and when they pull no queue has two of them. */
async function takeUpAll(life: PopLife, model: Model): Promise<void> {
  for (const member of model.joined) await takeUp(life, member);
  if (model.joined.length === 0) return;
  const all = model.joined.flatMap(({ queues }) => queues.filter(({ topic }) => topic === TOPIC));
  expect(new Set(all.map(({ mode }) => mode)).size).toBe(1);
  if (all.some(({ queueId }) => queueId === -1)) return;
  const ids = all.map(({ queueId }) => queueId).sort();
  expect([...new Set(ids)]).toEqual(Array.from({ length: QUEUES }, (_, i) => i));
  if (all[0]!.mode === "PULL") expect(ids).toHaveLength(QUEUES);
}

async function setMode(life: PopLife, model: Model, mode: string, popShareQueueNum: number): Promise<void> {
  const body = JSON.stringify({ topic: TOPIC, consumerGroup: GROUP, mode, popShareQueueNum });
  expect((await life.base.broker.askLate(RequestCode.SET_MESSAGE_REQUEST_MODE, {}, body)).code).toBe(0);
  await takeUpAll(life, model);
}

/** Whatever way a message comes: it must not be acknowledged, nor somebody's. */
function met(life: PopLife, model: Model, body: string, how: string): Sent {
  const one = model.sent.get(body)!;
  expect(one.isAcked, `${body} was acknowledged and is ${how}`).toBe(false);
  expect(one.leasedUntilMs, `${body} is leased and is ${how}`).toBeLessThanOrEqual(life.clock.nowMs());
  return one;
}

function pop(life: PopLife, model: Model, member: Member, queueId: number, maxMsgNums: number, invisibleTime: number) {
  for (const held of life.pop({ queueId, maxMsgNums, invisibleTime })) {
    const one = met(life, model, held.body, `popped by ${member.id}`);
    one.leasedUntilMs = life.clock.nowMs() + invisibleTime;
    one.leasedBy = held.handle;
    member.held.push(held);
  }
}

function pull(life: PopLife, model: Model, member: Member, queue: Queue, maxMsgNums: number): void {
  const { topic, queueId } = queue;
  const place = { consumerGroup: GROUP, topic, queueId };
  const queueOffset = member.offsets.get(keyOf(queue)) ?? startOf(life, place);
  const wants = { queueOffset, maxMsgNums, sysFlag: 4, commitOffset: 0, suspendTimeoutMillis: 0, subVersion: 0 };
  const answer = life.ask(RequestCode.PULL_MESSAGE, { ...place, ...wants, subscription: "*", expressionType: "TAG" });
  const messages = answer.code === ResponseCode.SUCCESS ? decodeRecords(answer.body) : [];
  for (const { body } of messages) {
    const one = met(life, model, body.toString(), `pulled by ${member.id}`);
    one.isAcked = true;
    one.isSoft = true;
  }
  const next = messages.length === 0 ? queueOffset : messages.at(-1)!.queueOffset + 1;
  member.offsets.set(keyOf(queue), next);
  if (messages.length === 0) return;
  expect(life.ask(RequestCode.UPDATE_CONSUMER_OFFSET, { ...place, commitOffset: next }).code).toBe(0);
}

/** RebalancePushImpl#computePullFromWhere: a young queue is read from its start. */
function startOf(life: PopLife, place: { consumerGroup: string; topic: string; queueId: number }): number {
  const answer = life.ask(RequestCode.QUERY_CONSUMER_OFFSET, place);
  return answer.code === ResponseCode.SUCCESS ? Number(answer.fields["offset"]) : 0;
}

function work(life: PopLife, model: Model, member: Member, count: number, invisibleMs: number): void {
  if (member.connection === undefined) return;
  for (const queue of member.queues) {
    if (queue.mode === "POP") pop(life, model, member, queue.queueId, count, invisibleMs);
    else pull(life, model, member, queue, count);
  }
}

function ack(life: PopLife, model: Model, member: Member, pick: number): void {
  const held = member.held[pick % Math.max(1, member.held.length)];
  if (held === undefined) return;
  const one = model.sent.get(held.body)!;
  const isLive = !one.isAcked && one.leasedBy === held.handle && one.leasedUntilMs > life.clock.nowMs();
  const code = life.ack(held);
  if (isLive) expect(code).toBe(ResponseCode.SUCCESS);
  else if (code === ResponseCode.SUCCESS) expect(one.isAcked, "an answer that promises too much").toBe(true);
  if (isLive) one.isAcked = true;
}

/** All connections are new, and so are all tables of members; those who were there come back. */
async function comeBack(life: PopLife, model: Model): Promise<void> {
  await open(life);
  for (const member of model.joined) {
    member.connection = new FakeConnection();
    member.offsets.clear();
    beat(life, member);
  }
  await takeUpAll(life, model);
}

function saved(life: PopLife, model: Model): void {
  const { offsets, requestModes } = life.base.broker.context;
  for (const { saver } of [offsets, requestModes]) saver.save();
  for (const one of model.sent.values()) one.isSoft = false;
}

async function restart(life: PopLife, model: Model): Promise<void> {
  saved(life, model);
  await life.restart();
  await comeBack(life, model);
}

async function kill(life: PopLife, model: Model): Promise<void> {
  life.base.broker.context.requestModes.saver.save();
  await life.kill();
  for (const one of model.sent.values()) {
    if (!one.isSoft) continue;
    one.isAcked = false;
    one.isSoft = false;
    one.isOptional = true;
  }
  await comeBack(life, model);
}

async function send(life: PopLife, model: Model, queueId: number): Promise<void> {
  const body = `m${model.sent.size}`;
  model.sent.set(body, { body, isAcked: false, isSoft: false, isOptional: false, leasedUntilMs: 0, leasedBy: "" });
  await life.send(body, queueId);
}

/** Whoever is left consumes all that is left, in the mode that is set. */
async function drain(life: PopLife, model: Model): Promise<void> {
  await join(life, model, model.members[0]!);
  const isLeft = () => [...model.sent.values()].some(({ isAcked, isOptional }) => !isAcked && !isOptional);
  for (let round = 0; round < 60 && isLeft(); round++) {
    await life.advance(400_000);
    await takeUpAll(life, model);
    for (const one of model.joined) {
      for (let i = 0; i < 4; i++) work(life, model, one, 32, 1000);
      for (let i = 0; i < one.held.length; i++) ack(life, model, one, i);
    }
  }
  const missing = [...model.sent.values()].filter(({ isAcked, isOptional }) => !isAcked && !isOptional);
  expect(missing).toEqual([]);
}

const who = fc.nat(MEMBERS - 1);
const named = (name: string, step: Step) => ({ step, [fc.toStringMethod]: () => name });
const anyStep = fc.oneof(
  { weight: 6, arbitrary: fc.nat(QUEUES - 1).map((id) => named(`send ${id}`, (life, model) => send(life, model, id))) },
  {
    weight: 8,
    arbitrary: fc
      .tuple(who, fc.integer({ min: 1, max: 4 }), fc.constantFrom(1000, 5000, 300_000))
      .map(([i, count, ms]) =>
        named(`work ${i} ${count} ${ms}`, (life, model) => work(life, model, model.members[i]!, count, ms)),
      ),
  },
  {
    weight: 5,
    arbitrary: fc
      .tuple(who, fc.nat(100))
      .map(([i, pick]) => named(`ack ${i} ${pick}`, (life, model) => ack(life, model, model.members[i]!, pick))),
  },
  { weight: 2, arbitrary: who.map((i) => named(`join ${i}`, (life, model) => join(life, model, model.members[i]!))) },
  { weight: 1, arbitrary: who.map((i) => named(`leave ${i}`, (life, model) => leave(life, model, model.members[i]!))) },
  { weight: 2, arbitrary: fc.constant(named("rebalance", takeUpAll)) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom<[string, number]>(["POP", 0], ["POP", 1], ["POP", -1], ["PULL", 0])
      .map(([mode, share]) => named(`mode ${mode} ${share}`, (life, model) => setMode(life, model, mode, share))),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(1, 1000, 5000, 300_000).map((ms) => named(`advance ${ms}`, (life) => life.advance(ms))),
  },
  { weight: 1, arbitrary: fc.constant(named("save", saved)) },
  { weight: 1, arbitrary: fc.constant(named("restart", restart)) },
  { weight: 1, arbitrary: fc.constant(named("kill", kill)) },
);

test("rebalance and changes of the request mode lose nothing and give nothing out twice", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 10, maxLength: 80, size: "max" }), async (given) => {
      const life = await new PopLife(QUEUES).open();
      const model = new Model();
      try {
        await open(life);
        await join(life, model, model.members[0]!);
        for (const { step } of given) await step(life, model);
        await drain(life, model);
      } finally {
        await life.close();
      }
    }),
    { numRuns: RUNS },
  );
}, 60_000);
