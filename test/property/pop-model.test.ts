/**
 * Pop consumption against a model: whatever consumers do, whenever time passes, and however often the broker is closed or
 * killed in between, no message is lost, none comes again whose acknowledgement was answered, none comes to anybody while
 * it is leased, and a group's offset never passes what is neither acknowledged nor in the retry topic.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { ResponseCode } from "#src/remoting/codes.js";
import { GROUP, type Held, PopLife, TOPIC } from "./pop-fixture.js";

const RUNS = Number(process.env.COMETMQ_RUNS ?? 40);
const QUEUES = 2;
const RETRY = `%RETRY%${GROUP}_${TOPIC}`;
const MAX_RETRIES = 3;

interface Sent {
  readonly body: string;
  readonly queueId: number;
  queueOffset: number;
  isAcked: boolean;
  isDead: boolean;
  /** Of the lease that is running, 0 without one. */
  leasedUntilMs: number;
  tries: number;
}

class Model {
  readonly sent: Sent[] = [];
  /** With the handles as they were answered. */
  held: Held[] = [];
  readonly counts = [0, 0];

  find(body: string): Sent {
    return this.sent.find((one) => one.body === body)!;
  }
}

type Step = (life: PopLife, model: Model) => void | Promise<void>;

function take(life: PopLife, model: Model, got: readonly Held[], invisibleMs: number): void {
  const nowMs = life.clock.nowMs();
  for (const held of got) {
    const one = model.find(held.body);
    expect(one.isAcked, `${held.body} was acknowledged`).toBe(false);
    expect(one.leasedUntilMs, `${held.body} is leased`).toBeLessThanOrEqual(nowMs);
    expect(held.message.reconsumeTimes).toBe(one.tries);
    expect(held.topic).toBe(one.tries === 0 ? TOPIC : RETRY);
    one.leasedUntilMs = nowMs + invisibleMs;
    one.tries++;
    if (one.queueOffset < 0 && held.topic === TOPIC) one.queueOffset = held.queueOffset;
    model.held.push(held);
  }
}

const steps = {
  send:
    (queueId: number): Step =>
    async (life, model) => {
      const body = `m${model.sent.length}`;
      await life.send(body, queueId);
      const queueOffset = model.counts[queueId]!++;
      model.sent.push({ body, queueId, queueOffset, isAcked: false, isDead: false, leasedUntilMs: 0, tries: 0 });
    },
  pop:
    (maxMsgNums: number, invisibleTime: number, queueId: number): Step =>
    (life, model) => {
      take(life, model, life.pop({ maxMsgNums, invisibleTime, queueId }), invisibleTime);
    },
  /** Whatever handle it is: a live one counts, any other does nothing. */
  ack:
    (pick: number): Step =>
    (life, model) => {
      const held = model.held[pick % Math.max(1, model.held.length)];
      if (held === undefined) return;
      const one = model.find(held.body);
      const isLast = model.held.findLast(({ body }) => body === held.body) === held;
      const isLive = isLast && !one.isAcked && one.leasedUntilMs > life.clock.nowMs();
      const code = life.ack(held);
      if (isLive) expect(code).toBe(ResponseCode.SUCCESS);
      else if (code === ResponseCode.SUCCESS) expect(one.isAcked, "an answer that promises too much").toBe(true);
      if (isLive) one.isAcked = true;
    },
  change:
    (pick: number, invisibleTime: number): Step =>
    (life, model) => {
      const held = model.held[pick % Math.max(1, model.held.length)];
      if (held === undefined) return;
      const one = model.find(held.body);
      const isLast = model.held.findLast(({ body }) => body === held.body) === held;
      const isLive = isLast && !one.isAcked && one.leasedUntilMs > life.clock.nowMs();
      const changed = life.change(held, invisibleTime);
      expect(changed !== undefined).toBe(isLive);
      if (changed === undefined) return;
      one.leasedUntilMs = Number(changed.handle.split(" ")[1]) + invisibleTime;
      model.held = model.held.filter((other) => other !== held);
      model.held.push(changed);
    },
  advance:
    (ms: number): Step =>
    (life) =>
      life.advance(ms),
  save: (): Step => (life) => life.saveFiles(),
  restart: (): Step => (life) => life.restart(),
  kill: (): Step => (life) => life.kill(),
};

function check(life: PopLife, model: Model): void {
  const nowMs = life.clock.nowMs();
  for (let queueId = 0; queueId < QUEUES; queueId++) {
    const committed = life.committed(TOPIC, queueId);
    for (const one of model.sent) {
      if (one.queueId !== queueId || one.queueOffset >= committed) continue;
      const isPassed = one.isAcked || one.tries > 1 || (one.tries === 1 && one.leasedUntilMs <= nowMs);
      expect(isPassed, `the offset ${committed} of queue ${queueId} is past ${one.body}`).toBe(true);
    }
  }
}

/** What is left comes, tried as often as it was, or lies with the dead letters. */
async function drain(life: PopLife, model: Model): Promise<void> {
  for (let round = 0; round < 40; round++) {
    await life.advance(400_000);
    for (let i = 0; i < 10; i++) {
      const got = life.pop({ invisibleTime: 1000 });
      take(life, model, got, 1000);
      for (const held of got) {
        expect(life.ack(held)).toBe(ResponseCode.SUCCESS);
        model.find(held.body).isAcked = true;
      }
    }
    if (model.sent.every(({ isAcked, tries }) => isAcked || tries > MAX_RETRIES)) break;
  }
  const dead = life.base.bodies(`%DLQ%${GROUP}`);
  const missing = model.sent.filter(({ isAcked, body }) => !isAcked && !dead.includes(body));
  expect(missing).toEqual([]);
  expect(new Set(dead).size).toBe(dead.length);
  expect(life.service.state.leases.size).toBe(0);
  for (let queueId = 0; queueId < QUEUES; queueId++) {
    expect(Math.max(0, life.committed(TOPIC, queueId))).toBe(model.counts[queueId]);
  }
}

const queueId = fc.integer({ min: 0, max: QUEUES - 1 });
const invisibleMs = fc.constantFrom(1000, 5000, 30_000, 300_000);
const anyStep = fc.oneof(
  { weight: 6, arbitrary: queueId.map((id) => ({ name: `send ${id}`, step: steps.send(id) })) },
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 5 }), invisibleMs, fc.integer({ min: -1, max: QUEUES - 1 }))
      .map(([count, ms, id]) => ({ name: `pop ${count} ${ms} ${id}`, step: steps.pop(count, ms, id) })),
  },
  { weight: 5, arbitrary: fc.nat(1000).map((pick) => ({ name: `ack ${pick}`, step: steps.ack(pick) })) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.nat(1000), invisibleMs)
      .map(([pick, ms]) => ({ name: `change ${pick} ${ms}`, step: steps.change(pick, ms) })),
  },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(1, 999, 1000, 4000, 30_000, 300_000)
      .map((ms) => ({ name: `advance ${ms}`, step: steps.advance(ms) })),
  },
  { weight: 1, arbitrary: fc.constant({ name: "save", step: steps.save() }) },
  { weight: 1, arbitrary: fc.constant({ name: "restart", step: steps.restart() }) },
  { weight: 1, arbitrary: fc.constant({ name: "kill", step: steps.kill() }) },
);

test("nothing is lost, and nothing comes that is acknowledged or leased", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 60, size: "max" }), async (given) => {
      const life = await new PopLife(QUEUES).open();
      life.base.broker.context.groups.find(GROUP)!.retryMaxTimes = MAX_RETRIES;
      const model = new Model();
      try {
        for (const { step } of given) {
          await step(life, model);
          life.base.broker.context.groups.find(GROUP)!.retryMaxTimes = MAX_RETRIES;
          check(life, model);
        }
        await drain(life, model);
      } finally {
        await life.close();
      }
    }),
    { numRuns: RUNS },
  );
}, 60_000);
