/**
 * An ordered group (FIFO, orderly pop) that is rebalanced while it consumes, against a model: members join, leave with
 * messages in their hands, which they may still acknowledge later, and go by assignments that are out of date; leases
 * expire or are changed, also to nothing, which is a retry in place; parts of a batch are acknowledged; what was tried too
 * often goes to the dead letters; the broker is closed or killed in between.
 *
 * The model knows exactly what each pop must give: of each queue that nobody has, its messages from the first that is not
 * acknowledged on, in order, and of a queue that somebody has, nothing, but to who repeats the attempt. So none is lost,
 * none comes again whose acknowledgement was answered, and nobody gets later ones of a queue before its turn.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { RequestCode, ResponseCode } from "#src/remoting/codes.js";
import { entryOf } from "#src/server/broker/entry-of.js";
import { FakeConnection, heartbeatBody } from "../unit/broker/harness.js";
import { GROUP, type Held, PopLife, TOPIC } from "./pop-fixture.js";

const RUNS = Number(process.env.COMETMQ_RUNS ?? 10);
/** Shrinking ends then, and says the seed. */
const LIMIT_MS = Math.max(45_000, RUNS * 500);
const QUEUES = 3;
const MEMBERS = 3;
const DEAD_LETTERS = `%DLQ%${GROUP}`;
const RETRIES_MAX = 3;
const FORGOTTEN_MS = 25 * 3600 * 1000;
const ORDERED_REVIVE_QUEUE = 999;

/** What the group has of a queue: the last pop. */
interface Queue {
  /** By queue offset. */
  readonly bodies: string[];
  readonly acked: Set<number>;
  attempt: string | undefined;
  popTime: string;
  untilMs: Map<number, number>;
  counts: Map<number, number>;
  /** Not used for a day, so that it may be forgotten once no message is acknowledged out of its order. */
  isOld: boolean;
}

interface Member {
  readonly id: string;
  connection: FakeConnection | undefined;
  queueIds: number[];
  /** Stays when it leaves: what it still has to say comes late. */
  held: Held[];
  attempt: string | undefined;
  attemptCount: number;
}

class Model {
  readonly queues: Queue[] = Array.from({ length: QUEUES }, () => ({
    bodies: [],
    acked: new Set<number>(),
    attempt: undefined,
    popTime: "",
    untilMs: new Map<number, number>(),
    counts: new Map<number, number>(),
    isOld: false,
  }));
  readonly members: Member[] = Array.from({ length: MEMBERS }, (_, i) => ({
    id: `c${i}`,
    connection: undefined,
    queueIds: [],
    held: [],
    attempt: undefined,
    attemptCount: 0,
  }));
  readonly deadLetters = new Map<string, number>();
  /** What it has forgotten it finds in its files only. */
  hasForgotten = false;
  count = 0;

  queueOf({ queueId }: Held): Queue {
    return this.queues[queueId]!;
  }

  /** Its handle is the queue's newest: what it says counts. */
  isLive(held: Held): boolean {
    const queue = this.queueOf(held);
    return queue.popTime === popTimeOf(held) && queue.untilMs.has(held.queueOffset);
  }
}

const popTimeOf = ({ handle }: Held) => handle.split(" ")[1]!;

function openOffsets({ bodies, acked }: Queue): number[] {
  return [...bodies.keys()].filter((offset) => !acked.has(offset));
}

function isHeld({ untilMs, acked }: Queue, nowMs: number): boolean {
  return [...untilMs].some(([offset, ms]) => !acked.has(offset) && ms > nowMs);
}

type Step = (life: PopLife, model: Model) => void | Promise<void>;

// Members

async function setUp(life: PopLife): Promise<void> {
  const group = life.base.broker.context.groups.find(GROUP)!;
  group.consumeMessageOrderly = true;
  group.retryMaxTimes = RETRIES_MAX;
}

function beat(life: PopLife, member: Member): void {
  const body = heartbeatBody(member.id, GROUP, [[TOPIC, "*"]]);
  expect(life.base.broker.ask(RequestCode.HEART_BEAT, {}, body, member.connection).code).toBe(0);
}

async function takeUp(life: PopLife, member: Member): Promise<void> {
  const fields = { topic: TOPIC, consumerGroup: GROUP, clientId: member.id };
  const body = JSON.stringify({ ...fields, strategyName: "AVG", messageModel: "CLUSTERING" });
  const answer = await life.base.broker.askLate(RequestCode.QUERY_ASSIGNMENT, {}, body, member.connection);
  expect(answer.code).toBe(0);
  const list = JSON.parse(answer.body.toString()).messageQueueAssignments as { messageQueue: { queueId: number } }[];
  member.queueIds = list.map(({ messageQueue }) => messageQueue.queueId);
}

async function join(life: PopLife, member: Member): Promise<void> {
  member.connection ??= new FakeConnection();
  beat(life, member);
  await takeUp(life, member);
}

function leave(member: Member): void {
  member.connection?.close();
  member.connection = undefined;
  member.queueIds = [];
}

/** All that are there ask again: together they have each queue. */
async function takeUpAll(life: PopLife, model: Model): Promise<void> {
  const joined = model.members.filter(({ connection }) => connection !== undefined);
  for (const member of joined) await takeUp(life, member);
  const ids = new Set(joined.flatMap(({ queueIds }) => queueIds));
  if (joined.length > 0 && !ids.has(-1)) expect(ids.size).toBe(QUEUES);
}

async function share(life: PopLife, model: Model, popShareQueueNum: number): Promise<void> {
  const body = JSON.stringify({ topic: TOPIC, consumerGroup: GROUP, mode: "POP", popShareQueueNum });
  expect((await life.base.broker.askLate(RequestCode.SET_MESSAGE_REQUEST_MODE, {}, body)).code).toBe(0);
  await takeUpAll(life, model);
}

// What they do with messages

/** `isRepeated`: as who has not got the answer to the last. */
function pop(life: PopLife, model: Model, member: Member, queueId: number, want: Want): void {
  if (!want.isRepeated) member.attempt = want.isNamed ? `${member.id}-${member.attemptCount++}` : undefined;
  const attemptId = member.attempt;
  const nowMs = life.clock.nowMs();
  const { maxMsgNums, invisibleTime } = want;
  const fields = { order: true, queueId, maxMsgNums, invisibleTime, ...(attemptId === undefined ? {} : { attemptId }) };
  const mayGet = model.queues.map((queue, id) => {
    if (queueId >= 0 && queueId !== id) return [];
    const isSame = attemptId !== undefined && queue.attempt === attemptId;
    return isSame || !isHeld(queue, nowMs) ? openOffsets(queue) : [];
  });
  const got = life.pop(fields);
  expect(got.length).toBe(Math.min(maxMsgNums, mayGet.flat().length));
  model.queues.forEach((queue, id) => {
    const ofQueue = got.filter((held) => held.queueId === id);
    if (ofQueue.length === 0) return;
    expect(ofQueue.map(({ queueOffset }) => queueOffset)).toEqual(mayGet[id]!.slice(0, ofQueue.length));
    expect(ofQueue.map(({ body }) => body)).toEqual(ofQueue.map(({ queueOffset }) => queue.bodies[queueOffset]));
    const isSame = attemptId !== undefined && queue.attempt === attemptId;
    const countBefore = (offset: number) => queue.counts.get(offset) ?? 0;
    // A repeated attempt counts once, and what it is not given this time keeps its count.
    const countOf = (offset: number) => {
      if (isSame) return countBefore(offset);
      return queue.untilMs.has(offset) ? countBefore(offset) + 1 : 0;
    };
    const counts = ofQueue.map(({ orderCount }) => orderCount);
    if (!queue.isOld) expect(counts).toEqual(ofQueue.map(({ queueOffset }) => countOf(queueOffset)));
    if (!isSame || queue.isOld)
      queue.counts = new Map(ofQueue.map(({ queueOffset }, index) => [queueOffset, counts[index]!]));
    queue.isOld = false;
    queue.attempt = attemptId;
    queue.popTime = popTimeOf(ofQueue[0]!);
    queue.untilMs = new Map(ofQueue.map(({ queueOffset }) => [queueOffset, nowMs + invisibleTime]));
  });
  member.held.push(...got);
}

interface Want {
  readonly maxMsgNums: number;
  readonly invisibleTime: number;
  readonly isRepeated: boolean;
  readonly isNamed: boolean;
}

function work(life: PopLife, model: Model, member: Member, want: Want): void {
  if (member.connection === undefined) return;
  for (const queueId of member.queueIds) pop(life, model, member, queueId, want);
}

const pickOf = (member: Member, index: number): Held | undefined =>
  member.held[index % Math.max(1, member.held.length)];

/** Whatever is answered with success must not come again. */
function ack(life: PopLife, model: Model, held: Held | undefined): void {
  if (held === undefined) return;
  const code = life.ack(held);
  if (model.isLive(held)) expect(code).toBe(ResponseCode.SUCCESS);
  if (code === ResponseCode.SUCCESS) model.queueOf(held).acked.add(held.queueOffset);
}

/** Of each pop in hands some messages, chosen by the bits of `pick`, in one request. */
function ackBatch(life: PopLife, model: Model, member: Member, pick: number): void {
  const chosen = member.held.slice(-8).filter((_, index) => (pick & (1 << index)) !== 0);
  if (chosen.length === 0) return;
  const pops = new Map<string, Held[]>();
  for (const held of chosen) entryOf(pops, `${popTimeOf(held)} ${held.queueId}`, () => []).push(held);
  const acks = [...pops.values()].map(ackEntry);
  const body = Buffer.from(JSON.stringify({ brokerName: "broker-a", acks }));
  const { code } = life.ask(RequestCode.BATCH_ACK_MESSAGE, {}, body);
  if (chosen.every((held) => model.isLive(held))) expect(code).toBe(ResponseCode.SUCCESS);
  for (const held of chosen) {
    if (code === ResponseCode.SUCCESS || model.isLive(held)) model.queueOf(held).acked.add(held.queueOffset);
  }
}

function ackEntry(ofPop: readonly Held[]): object {
  const [, popTime, invisibleTime] = ofPop[0]!.handle.split(" ");
  const so = Math.min(...ofPop.map(({ queueOffset }) => queueOffset));
  const bits = Buffer.alloc(16);
  for (const { queueOffset } of ofPop) bits[(queueOffset - so) >> 3]! |= 1 << ((queueOffset - so) & 7);
  const place = { c: GROUP, t: TOPIC, r: "0", q: ofPop[0]!.queueId, rq: ORDERED_REVIVE_QUEUE };
  return { ...place, so, pt: Number(popTime), it: Number(invisibleTime), b: bits.toString("base64") };
}

function change(life: PopLife, model: Model, held: Held | undefined, invisibleTime: number): void {
  if (held === undefined) return;
  const changed = life.change(held, invisibleTime);
  if (!model.isLive(held) || model.queueOf(held).acked.has(held.queueOffset)) return;
  expect(changed).toBeDefined();
  model.queueOf(held).untilMs.set(held.queueOffset, life.clock.nowMs() + invisibleTime);
}

/** What was tried too often: first to the dead letters, then acknowledged, between which the member may die. */
function bury(life: PopLife, model: Model, member: Member, isWhole: boolean): void {
  const isTried = (held: Held) => held.orderCount >= RETRIES_MAX && !model.queueOf(held).acked.has(held.queueOffset);
  for (const held of member.held.filter(isTried)) {
    const fields = { offset: held.message.phyOffset, group: GROUP, delayLevel: -1, maxReconsumeTimes: 0 };
    expect(life.base.sendBack(fields).code).toBe(ResponseCode.SUCCESS);
    model.deadLetters.set(held.body, (model.deadLetters.get(held.body) ?? 0) + 1);
    if (isWhole) ack(life, model, held);
  }
}

async function send(life: PopLife, model: Model, queueId: number): Promise<void> {
  const body = `m${model.count++}`;
  model.queues[queueId]!.bodies.push(body);
  await life.send(body, queueId);
}

// The broker

async function comeBack(life: PopLife, model: Model): Promise<void> {
  await setUp(life);
  for (const member of model.members) {
    if (member.connection === undefined) continue;
    member.connection = new FakeConnection();
    beat(life, member);
  }
}

function saved(life: PopLife): void {
  life.saveFiles();
  life.service.state.orders.saver.save();
  life.base.broker.context.requestModes.saver.save();
}

async function restart(life: PopLife, model: Model): Promise<void> {
  saved(life);
  await life.restart();
  await comeBack(life, model);
}

/** `lost`: a file that was never written, for it is written now and then only. */
async function kill(life: PopLife, model: Model, lost: string): Promise<void> {
  await life.kill((path) => model.hasForgotten || lost === "" || !path.includes(lost));
  await comeBack(life, model);
}

/**
 * What nobody has used for a day the broker forgets, but for what is acknowledged out of its order. A kill may remind it:
 * so it is closed.
 */
async function forget(life: PopLife, model: Model): Promise<void> {
  await life.advance(FORGOTTEN_MS);
  await restart(life, model);
  model.hasForgotten = true;
  for (const queue of model.queues) {
    queue.isOld = Math.max(-1, ...queue.acked) > openOffsets(queue)[0]!;
    if (queue.isOld) continue;
    Object.assign(queue, { attempt: undefined, popTime: "", untilMs: new Map(), counts: new Map() });
  }
  for (const member of model.members) member.held = member.held.filter((held) => !model.queueOf(held).isOld);
}

/** Whoever is left takes all that is left, in order; dead letters are those that were sent there. */
async function drain(life: PopLife, model: Model): Promise<void> {
  const [member] = model.members as [Member];
  await join(life, member);
  const isLeft = () => model.queues.some((queue) => openOffsets(queue).length > 0);
  for (let round = 0; round < 60 && isLeft(); round++) {
    await life.advance(400_000);
    const before = member.held.length;
    pop(life, model, member, -1, { maxMsgNums: 32, invisibleTime: 1000, isRepeated: false, isNamed: true });
    for (const held of member.held.slice(before)) ack(life, model, held);
  }
  expect(model.queues.flatMap(openOffsets)).toEqual([]);
  model.queues.forEach(({ bodies }, queueId) => {
    expect(Math.max(0, life.committed(TOPIC, queueId))).toBe(bodies.length);
  });
  const dead = life.base.bodies(DEAD_LETTERS);
  const counts = new Map([...new Set(dead)].map((body) => [body, dead.filter((other) => other === body).length]));
  expect(new Map([...counts].sort())).toEqual(new Map([...model.deadLetters].sort()));
}

const who = fc.nat(MEMBERS - 1);
const pick = fc.nat(1000);
const invisibleMs = fc.constantFrom(1000, 5000, 30_000, 300_000);
const want: fc.Arbitrary<Want> = fc.record({
  maxMsgNums: fc.constantFrom(1, 2, 3, 4, 4, 4, 32),
  invisibleTime: invisibleMs,
  isRepeated: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  isNamed: fc.boolean(),
});
const named = (name: string, step: Step) => ({ step, [fc.toStringMethod]: () => name });
const always = (name: string, step: Step) => fc.constant(named(name, step));
const byMember = <T>(
  name: string,
  more: fc.Arbitrary<T>,
  run: (l: PopLife, m: Model, who: Member, more: T) => unknown,
) =>
  fc.tuple(who, more).map(([i, value]) =>
    named(`${name} ${i} ${fc.stringify(value)}`, async (life, model) => {
      await run(life, model, model.members[i]!, value);
    }),
  );

const anyStep = fc.oneof(
  { weight: 8, arbitrary: fc.nat(QUEUES - 1).map((id) => named(`send ${id}`, (life, model) => send(life, model, id))) },
  { weight: 9, arbitrary: byMember("work", want, work) },
  { weight: 3, arbitrary: byMember("popAll", want, (life, model, member, one) => pop(life, model, member, -1, one)) },
  {
    weight: 6,
    arbitrary: byMember("ack", pick, (life, model, member, index) => ack(life, model, pickOf(member, index))),
  },
  { weight: 3, arbitrary: byMember("ackBatch", fc.nat(255), ackBatch) },
  {
    weight: 4,
    arbitrary: byMember("change", fc.tuple(pick, fc.constantFrom(0, 0, 1, 5000, 300_000)), (life, model, member, one) =>
      change(life, model, pickOf(member, one[0]), one[1]),
    ),
  },
  {
    weight: 3,
    arbitrary: byMember("giveBack", fc.constant(0), (life, model, member) => {
      for (const held of member.held) change(life, model, held, 0);
    }),
  },
  { weight: 2, arbitrary: byMember("bury", fc.boolean(), bury) },
  { weight: 2, arbitrary: byMember("join", fc.constant(0), (life, _, member) => join(life, member)) },
  { weight: 1, arbitrary: byMember("leave", fc.constant(0), (_life, _model, member) => leave(member)) },
  { weight: 1, arbitrary: always("rebalance", takeUpAll) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, -1).map((n) => named(`share ${n}`, (l, m) => share(l, m, n))) },
  {
    weight: 4,
    arbitrary: fc
      .constantFrom(1, 1, 999, 1000, 1000, 5000, 5000, 300_000)
      .map((ms) => named(`advance ${ms}`, (life) => life.advance(ms))),
  },
  { weight: 1, arbitrary: always("forget", forget) },
  { weight: 1, arbitrary: always("save", saved) },
  { weight: 1, arbitrary: always("restart", restart) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom("", "", "consumerOrderInfo", "consumerOffset")
      .map((lost) => named(`kill ${lost}`, (life, model) => kill(life, model, lost))),
  },
);

test(
  "members of an ordered group come and go: each queue in order, by one at a time, nothing twice",
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 10, maxLength: 100, size: "max" }), async (given) => {
        const life = await new PopLife(QUEUES).open();
        const model = new Model();
        try {
          await setUp(life);
          await join(life, model.members[0]!);
          for (const { step } of given) await step(life, model);
          await drain(life, model);
        } finally {
          await life.close();
        }
      }),
      { numRuns: RUNS, interruptAfterTimeLimit: LIMIT_MS },
    );
  },
  LIMIT_MS + 15_000,
);
