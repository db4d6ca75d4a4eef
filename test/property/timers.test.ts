/**
 * Whatever is put, recalled, delivered, killed, closed and deleted, and however the wall clock steps: every message that
 * names a time comes, none before its time, none that was recalled, and none twice unless the process was killed or the
 * clock was set back.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { TimerBroker } from "../unit/broker/timer-harness.js";

const SEGMENT_BYTES = 64 * 1024;
/** Ten seconds: messages are rolled often. */
const ROLL_WINDOW_SLOTS = 10;

type Step =
  | { kind: "put"; delayMs: number; count: number; bytes: number; name: "TIMER_DELAY_MS" | "TIMER_DELIVER_MS" }
  | { kind: "recall"; which: number }
  | { kind: "advance"; ms: number }
  | { kind: "clock"; ms: number }
  | { kind: "filler"; count: number }
  | { kind: "retention" | "close" | "kill" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("put" as const),
      delayMs: fc.oneof(
        fc.integer({ min: 1, max: 3000 }),
        fc.integer({ min: 1, max: 60_000 }),
        fc.integer({ min: 1, max: 60 }).map((seconds) => seconds * 1000),
      ),
      count: fc.integer({ min: 1, max: 12 }),
      bytes: fc.integer({ min: 1, max: 2000 }),
      name: fc.constantFrom("TIMER_DELAY_MS" as const, "TIMER_DELIVER_MS" as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("recall" as const), which: fc.nat(1000) }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.integer({ min: 1, max: 9000 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("clock" as const), ms: fc.constantFrom(-30_000, -1500, 20_000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("filler" as const), count: fc.integer({ min: 10, max: 60 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom("retention" as const, "close" as const, "kill" as const) }),
  },
);

interface Sent {
  readonly body: string;
  /** By the wall clock, as it was when it was put. */
  readonly dueMs: number;
  readonly handle: string | undefined;
  recalled: boolean;
}

class Model {
  readonly sent: Sent[] = [];
  /** Delivered and read before the segment went; by body. */
  readonly seen = new Map<string, number>();
  /** What allows for repetition. */
  disturbances = 0;
  readonly #timers: TimerBroker;
  #readOffset = 0;

  constructor(timers: TimerBroker) {
    this.#timers = timers;
  }

  put({ delayMs, count, bytes, name }: Step & { kind: "put" }): void {
    for (let i = 0; i < count; i++) {
      const body = `${this.sent.length}`.padEnd(bytes, ".");
      const dueMs = this.#timers.nowMs + delayMs;
      const value = name === "TIMER_DELAY_MS" ? delayMs : dueMs;
      const handle = this.#timers.wait({ [name]: String(value), UNIQ_KEY: `K${this.sent.length}` }, body);
      this.sent.push({ body, dueMs, handle, recalled: false });
    }
  }

  recall(which: number): void {
    const message = this.sent[which % Math.max(1, this.sent.length)];
    if (message?.handle === undefined) return;
    if (this.#timers.recall(message.handle).code === 0 && !this.seen.has(message.body)) message.recalled = true;
  }

  /** Reads what was delivered since. */
  read(): void {
    const { store } = this.#timers.broker;
    const queue = store.findQueue("T", 1);
    if (queue === undefined) return;
    const messages = this.#timers.broker.messages("T", 1);
    const minOffset = store.minOffset(queue);
    expect(minOffset).toBeLessThanOrEqual(this.#readOffset);
    for (const { body, storeTimestamp } of messages.slice(this.#readOffset - minOffset)) {
      const text = body.toString();
      const sent = this.sent[Number.parseInt(text, 10)]!;
      expect(sent.body).toBe(text);
      expect(storeTimestamp, `message ${sent.body.slice(0, 8)} is early`).toBeGreaterThanOrEqual(sent.dueMs);
      expect(sent.recalled, `message ${sent.body.slice(0, 8)} was recalled`).toBe(false);
      this.seen.set(text, (this.seen.get(text) ?? 0) + 1);
    }
    this.#readOffset = minOffset + messages.length;
  }

  async deleteExpired(): Promise<void> {
    this.read();
    let done = false;
    const deleting = this.#timers.broker.store.deleteExpired().finally(() => {
      done = true;
    });
    while (!done) await this.#timers.advance(1);
    await deleting;
  }

  check(): void {
    for (const { body, recalled } of this.sent) {
      const times = this.seen.get(body) ?? 0;
      if (recalled) continue;
      expect(times, `message ${body.slice(0, 8)} came`).toBeGreaterThanOrEqual(1);
      if (this.disturbances === 0) expect(times, `message ${body.slice(0, 8)} came once`).toBe(1);
    }
  }
}

async function run(timers: TimerBroker, model: Model, { kind, ...rest }: Step): Promise<void> {
  if (kind === "put") model.put({ kind, ...rest } as Step & { kind: "put" });
  else if (kind === "recall") model.recall((rest as { which: number }).which);
  else if (kind === "advance") await timers.advance((rest as { ms: number }).ms);
  else if (kind === "clock") {
    const { ms } = rest as { ms: number };
    timers.clock.offsetMs += ms;
    if (ms < 0) model.disturbances++;
  } else if (kind === "filler") {
    for (let i = 0; i < (rest as { count: number }).count; i++) timers.send({}, "x".repeat(1500), "Filler");
  } else if (kind === "retention") await model.deleteExpired();
  else if (kind === "close") await timers.restart();
  else {
    model.disturbances++;
    await timers.kill();
  }
  model.read();
}

const RUNS = Number(process.env["TIMER_RUNS"] ?? 25);

test("every timer comes, in its time, unless it is recalled", { timeout: 60_000 + RUNS * 1000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const timers = await TimerBroker.open({
        config: { timerRollWindowSlot: ROLL_WINDOW_SLOTS, mappedFileSizeTimerLog: 4096 },
        store: { segmentBytes: SEGMENT_BYTES, retention: { fileReservedTime: 0 } },
      });
      try {
        const model = new Model(timers);
        for (const one of steps) await run(timers, model, one);
        const endMs = Math.max(timers.nowMs, ...model.sent.map(({ dueMs }) => dueMs)) + 20_000;
        while (timers.nowMs < endMs) {
          await timers.advance(10_000);
          model.read();
        }
        model.check();
        expect(timers.broker.timerAdmin.list()).toEqual([]);
        expect(timers.broker.log.at("error", /./)).toEqual([]);
      } finally {
        await timers.close();
      }
    }),
    { numRuns: RUNS },
  );
});
