/**
 * Transactions against a model, through kills and power cuts: what was committed and answered for is delivered as long
 * as the log has its half message; what was rolled back, or never ended, is not; and whatever nobody has ended is asked
 * about, until it has been. A commit may be delivered twice only where a crash, or a lost answer, made it be asked for
 * again.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { randomFrom, type Random } from "../crash/programs/random.mjs";
import { FakeClock, type FakeConnection } from "../unit/broker/harness.js";
import { StoreBroker } from "../unit/broker/store-broker.js";
import {
  answer,
  COMMIT,
  end,
  GIVEN_UP,
  HALF,
  type Half,
  joinProducer,
  nextCheck,
  questionsTo,
  ROLLBACK,
  sendHalf,
  UNKNOWN,
} from "../unit/broker/transaction-fixture.js";
import { PowerDisk } from "./power-disk.js";

const CHECK_MAX = 1000;
/** Rounds after which nothing can be open any more. */
const LAST_ROUNDS = 6;

interface Transaction {
  readonly body: string;
  half: Half;
  /** What its producer does, and says whenever it is asked. */
  readonly decision: typeof COMMIT | typeof ROLLBACK;
  /** The half message is on the disk for certain. */
  durable: boolean;
  /** An end may have come twice, for its half message was there twice. */
  crashed: boolean;
}

class Life {
  readonly random: Random;
  readonly transactions: Transaction[] = [];
  disk = new PowerDisk();
  broker!: StoreBroker;
  producer: FakeConnection | undefined;
  #clock = new FakeClock();
  #firstOfLife = 0;
  /** The log may have holes from then on, which each recovery tells as damage. */
  #hadPowerCut = false;

  constructor(seed: number) {
    this.random = randomFrom(seed);
  }

  async start(): Promise<void> {
    const config = { transactionCheckMax: CHECK_MAX, transactionOpMsgMaxSize: this.random.integer(1, 40) };
    const store = { segmentBytes: 64 * 1024, queueFileBytes: 2000 };
    this.broker = await StoreBroker.open({ disk: this.disk, config, clock: this.#clock, store });
    this.broker.transactions.start();
    this.producer = undefined;
    this.#firstOfLife = this.transactions.length;
    if (this.random.chance(0.8)) this.producer = joinProducer(this.broker);
    const errors = this.broker.log.at("error", /./);
    expect(this.#hadPowerCut ? errors.filter((fields) => !("damages" in fields)) : errors).toEqual([]);
  }

  send(): void {
    const body = `t${this.transactions.length}`;
    const immune = { CHECK_IMMUNITY_TIME_IN_SECONDS: String(this.random.integer(1, 100)) };
    const properties: Record<string, string> = this.random.chance(0.3) ? immune : {};
    const half = sendHalf(this.broker, body, properties);
    const decision = this.random.chance(0.6) ? COMMIT : ROLLBACK;
    const transaction: Transaction = { body, half, decision, durable: false, crashed: false };
    this.transactions.push(transaction);
    // Some ends are lost on their way, and some come twice.
    const ends = [0, 1, 1, 1, 2][this.random.integer(0, 5)]!;
    for (let i = 0; i < ends; i++) expect(end(this.broker, half, decision).code).toBe(0);
  }

  /**
   * A producer that was slow comes back to a transaction of this life, whatever has become of it. What has ended in an
   * earlier one, and is done with, is known to nobody any more: as with Apache it is delivered again.
   */
  endLate(): void {
    const open = this.transactions[this.random.integer(this.#firstOfLife, this.transactions.length + 1)];
    if (open !== undefined) end(this.broker, open.half, open.decision);
  }

  async check(): Promise<void> {
    if (this.producer === undefined && this.random.chance(0.5)) this.producer = joinProducer(this.broker);
    await nextCheck(this.broker);
    this.#answerAll(0.6);
    await this.broker.settle();
  }

  #answerAll(chance: number): void {
    if (this.producer === undefined) return;
    for (const question of questionsTo(this.producer)) {
      const body = question.message.body.toString();
      const { decision } = this.transactions.find((transaction) => transaction.body === body)!;
      if (this.random.chance(chance)) answer(this.broker, question, decision);
      else if (this.random.chance(0.3)) answer(this.broker, question, UNKNOWN);
    }
  }

  async flush(): Promise<void> {
    await this.broker.store.whenFlushed(this.broker.store.maxPhyOffset);
    for (const transaction of this.transactions) transaction.durable = true;
  }

  async restart(): Promise<void> {
    await this.broker.close();
    for (const transaction of this.transactions) transaction.durable = true;
    await this.start();
  }

  /** Also in the middle of a turn, once its answers are on their way. What the life that ends does after this it does to another disk, on another clock. */
  async crash(power: boolean): Promise<void> {
    const { store } = this.broker;
    expect(store.publish()).toBe(true);
    for (const transaction of this.transactions) {
      transaction.crashed = true;
      if (!power || transaction.half.commitLogOffset < store.flushedPosition) transaction.durable = true;
    }
    this.#hadPowerCut ||= power;
    const { disk } = this;
    this.disk = power ? new PowerDisk(disk.crash(this.random)) : new PowerDisk(disk.kill(), disk.bootId());
    this.#clock = this.#clock.continued();
    await this.start();
    this.#forgetLost();
  }

  /** A half message that the log has lost was never acknowledged as durable; what comes may take its place. */
  #forgetLost(): void {
    const found = new Set([HALF, "T"].flatMap((topic) => this.#bodies(topic)));
    for (const transaction of [...this.transactions]) {
      if (found.has(transaction.body)) continue;
      expect(transaction.durable, `${transaction.body} is lost`).toBe(false);
      this.transactions.splice(this.transactions.indexOf(transaction), 1);
    }
    this.#firstOfLife = this.transactions.length;
  }

  #bodies(topic: string): string[] {
    return [0, 1, 2, 3].flatMap((queueId) => this.broker.bodies(topic, queueId));
  }

  async judge(): Promise<void> {
    this.producer ??= joinProducer(this.broker);
    for (let round = 0; round < LAST_ROUNDS; round++) {
      await nextCheck(this.broker);
      this.#answerAll(1);
      await this.broker.settle();
    }
    const delivered = this.#bodies("T");
    for (const { body, decision, crashed } of this.transactions) {
      const count = delivered.filter((other) => other === body).length;
      if (decision === ROLLBACK) expect(count, `${body} was rolled back`).toBe(0);
      else if (crashed) expect(count, `${body} was committed`).toBeGreaterThanOrEqual(1);
      else expect(count, `${body} was committed`).toBe(1);
    }
    expect(this.#bodies(GIVEN_UP)).toEqual([]);
    // Nothing is left to be asked about, and the queues are done with.
    await nextCheck(this.broker);
    expect(questionsTo(this.producer)).toEqual([]);
    const { transactions, store } = this.broker;
    expect(transactions.transactions.doneOffset).toBe(store.maxOffset(transactions.transactions.halfQueue));
  }
}

async function live(seed: number): Promise<void> {
  const life = new Life(seed);
  await life.start();
  for (let step = life.random.integer(3, 25); step > 0; step--) {
    for (let count = life.random.integer(0, 6); count > 0; count--) life.send();
    if (life.random.chance(0.1)) await life.crash(life.random.chance(0.6));
    await life.broker.settle();
    if (life.random.chance(0.3)) life.endLate();
    if (life.random.chance(0.5)) await life.check();
    if (life.random.chance(0.2)) await life.flush();
    if (life.random.chance(0.3)) life.broker.broker.context.offsets.saver.saveIfDirty();
    if (life.random.chance(0.1)) await life.restart();
    if (life.random.chance(0.1)) await life.crash(life.random.chance(0.6));
  }
  await life.judge();
  await life.broker.close();
}

it("holds for any life of a broker", async () => {
  const seeds = fc.integer({ min: 0, max: 2 ** 31 - 1 });
  await fc.assert(fc.asyncProperty(seeds, live), { numRuns: Number(process.env.COMETMQ_TX_RUNS ?? 60) });
}, 120_000);
