/**
 * Ordered pops against a model: whatever consumers do, whenever time passes, and however often the broker is closed or
 * killed in between, a queue's messages come in their order, from the first that is not acknowledged on, to nobody while
 * somebody else has one of them, and none again whose acknowledgement was answered.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { ResponseCode } from "#src/remoting/codes.js";
import { type Held, PopLife, TOPIC } from "./pop-fixture.js";

const RUNS = Number(process.env.COMETMQ_RUNS ?? 40);

class Model {
  count = 0;
  readonly acked = new Set<number>();
  /** The last pop: what it gave out, under which attempt, and until when each is its. */
  attempt = "";
  held: Held[] = [];
  readonly untilMs = new Map<number, number>();
  readonly old: Held[] = [];

  get first(): number {
    let offset = 0;
    while (this.acked.has(offset)) offset++;
    return offset;
  }

  isBlocked(nowMs: number): boolean {
    return this.held.some(({ queueOffset }) => !this.acked.has(queueOffset) && this.untilMs.get(queueOffset)! > nowMs);
  }
}

type Step = (life: PopLife, model: Model) => void | Promise<void>;

function pop(maxMsgNums: number, invisibleTime: number, attemptId: string): Step {
  return (life, model) => {
    const nowMs = life.clock.nowMs();
    const isSame = model.attempt === attemptId && model.held.length > 0;
    const mayPop = isSame || !model.isBlocked(nowMs);
    const got = life.pop({ order: true, maxMsgNums, invisibleTime, attemptId, queueId: 0 });
    const open = Array.from({ length: model.count }, (_, i) => i).filter((offset) => !model.acked.has(offset));
    const expected = mayPop ? open.slice(0, maxMsgNums) : [];
    expect(got.map(({ queueOffset }) => queueOffset)).toEqual(expected);
    if (got.length === 0) return;
    model.old.push(...model.held);
    model.attempt = attemptId;
    model.held = got;
    model.untilMs.clear();
    for (const { queueOffset } of got) model.untilMs.set(queueOffset, nowMs + invisibleTime);
  };
}

function ack(pick: number): Step {
  return (life, model) => {
    const held = model.held[pick % Math.max(1, model.held.length)];
    if (held === undefined) return;
    expect(life.ack(held)).toBe(ResponseCode.SUCCESS);
    model.acked.add(held.queueOffset);
  };
}

/** Of an earlier pop: the queue stays whose it is. */
function ackOld(pick: number): Step {
  return (life, model) => {
    const held = model.old[pick % Math.max(1, model.old.length)];
    // Popped again within a millisecond, under the same attempt, it is the same handle.
    const popTimeOf = (one: Held) => one.handle.split(" ")[1];
    const isLive = held !== undefined && model.held.some((one) => popTimeOf(one) === popTimeOf(held));
    if (held !== undefined && !isLive) life.ack(held);
  };
}

function change(pick: number, invisibleTime: number): Step {
  return (life, model) => {
    const held = model.held[pick % Math.max(1, model.held.length)];
    if (held === undefined || model.acked.has(held.queueOffset)) return;
    expect(life.change(held, invisibleTime)).toBeDefined();
    model.untilMs.set(held.queueOffset, life.clock.nowMs() + invisibleTime);
  };
}

async function send(life: PopLife, model: Model): Promise<void> {
  await life.send(`m${model.count++}`, 0);
}

const invisibleMs = fc.constantFrom(1000, 5000, 30_000);
const pick = fc.nat(1000);
const named = (name: string, step: Step) => ({ name, step });
const anyStep = fc.oneof(
  { weight: 5, arbitrary: fc.constant(named("send", send)) },
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 4 }), invisibleMs, fc.constantFrom("a", "b", "c"))
      .map(([count, ms, attempt]) => named(`pop ${count} ${ms} ${attempt}`, pop(count, ms, attempt))),
  },
  { weight: 6, arbitrary: pick.map((index) => named(`ack ${index}`, ack(index))) },
  { weight: 1, arbitrary: pick.map((index) => named(`old ${index}`, ackOld(index))) },
  {
    weight: 2,
    arbitrary: fc.tuple(pick, invisibleMs).map(([index, ms]) => named(`change ${index} ${ms}`, change(index, ms))),
  },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(1, 999, 1000, 4000, 30_000)
      .map((ms) => named(`advance ${ms}`, (life) => life.advance(ms))),
  },
  { weight: 1, arbitrary: fc.constant(named("save", (life) => life.saveFiles())) },
  { weight: 1, arbitrary: fc.constant(named("restart", (life) => life.restart())) },
  { weight: 1, arbitrary: fc.constant(named("kill", (life) => life.kill())) },
);

test("one consumer at a time, in order, and nothing twice that is acknowledged", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 60, size: "max" }), async (given) => {
      const life = await new PopLife(1).open();
      const model = new Model();
      try {
        for (const { step } of given) {
          await step(life, model);
          expect(Math.max(0, life.committed(TOPIC, 0))).toBe(model.first);
        }
      } finally {
        await life.close();
      }
    }),
    { numRuns: RUNS },
  );
}, 60_000);
