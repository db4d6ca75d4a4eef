/** `bench consume`: fills a topic, then reads all of it again and again, every round checked against what is stored. */
import { setTimeout as wait } from "node:timers/promises";
import { CometError } from "../../base/errors.js";
import type { Cluster } from "../remote/cluster.js";
import { TOOLS_GROUP } from "../remote/queue-reader.js";
import { accountOf } from "./account.js";
import type { BenchTopic, MaxOffsets } from "./bench-topic.js";
import { Latencies } from "./latencies.js";
import { monotonicUs } from "./pace-task.js";
import { PullLoad } from "./pull-load.js";
import { Receipts } from "./receipts.js";
import { SendLoad } from "./send-load.js";
import { Window } from "./window.js";
import {
  grouped,
  lanesOf,
  pullsOf,
  type Stored,
  storedSince,
  untilSettled,
  type WireFindings,
  type WirePlan,
  type WireWatch,
} from "./wire-plan.js";

const TICK_MS = 10;

export class ConsumeRun {
  readonly #cluster: Cluster;
  readonly #topic: BenchTopic;
  readonly #plan: WirePlan & { readonly count: number };
  readonly #watch: WireWatch;
  readonly #load = new SendLoad();
  readonly #warmupLatencies = new Latencies();
  readonly #latencies = new Latencies();
  /** Of the round that runs, and of the rounds before it. */
  #receipts: Receipts | undefined;
  #earlierCount = 0;
  #window: Window | undefined;
  #failure: Error | undefined;

  constructor(cluster: Cluster, topic: BenchTopic, plan: WirePlan & { readonly count: number }, watch: WireWatch) {
    this.#cluster = cluster;
    this.#topic = topic;
    this.#plan = plan;
    this.#watch = watch;
    watch.silence.addEventListener("abort", () => this.#fail(watch.silence.reason));
  }

  async run(): Promise<WireFindings> {
    const before = await this.#topic.maxOffsets();
    await this.#fill();
    let total: number | undefined;
    let rounds: Receipts[] = [];
    try {
      const stored = await storedSince(this.#topic, before, this.#load.acknowledged.size);
      total = stored.total;
      rounds = await this.#rounds(before, stored);
    } catch (error) {
      // A server that has gone; what was found until then is told all the same.
      if (!(error instanceof CometError)) throw error;
      this.#fail(error);
    }
    const window = this.#window?.end();
    // The round with something wrong, or else the last: all were of the same messages.
    const account = accountOf(this.#load, total, rounds);
    const pull = this.#latencies.figures();
    return {
      latency: pull === undefined ? {} : { pull },
      ...(this.#failure && { failure: this.#failure.message }),
      unsentDue: 0,
      window,
      account,
    };
  }

  get #isOver(): boolean {
    return this.#watch.signal.aborted || this.#failure !== undefined;
  }

  readonly #fail = (error: Error): void => {
    this.#failure ??= error;
  };

  async #fill(): Promise<void> {
    const load = this.#load;
    const { count } = this.#plan;
    try {
      await load.open(lanesOf(this.#cluster, this.#topic, this.#plan, this.#fail));
      load.numberEnd = count;
      load.start(monotonicUs(), undefined);
      const endOf = (): boolean => this.#isOver || (load.sentCount >= count && load.inFlightCount <= 0);
      await untilSettled(endOf, () => {
        this.#watch.show(() => `filling the topic: ${grouped(load.acknowledged.size)} of ${grouped(count)}`);
        return load.sentCount - load.inFlightCount;
      });
      load.stop();
      await untilSettled(
        () => load.inFlightCount <= 0 || this.#failure !== undefined,
        () => load.inFlightCount,
      );
      load.giveUp(Number.POSITIVE_INFINITY);
    } finally {
      await load.close();
    }
  }

  async #rounds(before: MaxOffsets, stored: Stored): Promise<Receipts[]> {
    const { warmupSeconds, durationSeconds } = this.#plan;
    const startUs = monotonicUs();
    if (warmupSeconds === 0) this.#openWindow();
    let bad: Receipts | undefined;
    let last: Receipts | undefined;
    while (!this.#isOver && bad === undefined) {
      const receipts = await this.#round(before, stored);
      if (!this.#isOver) {
        last = receipts;
        if (receipts.numbers.size !== stored.total || receipts.count !== stored.total) bad = receipts;
      }
      const seconds = (monotonicUs() - (this.#window?.startUs ?? Number.POSITIVE_INFINITY)) / 1e6;
      if (this.#window !== undefined && seconds >= (durationSeconds ?? 0)) break;
      if (this.#window === undefined && monotonicUs() - startUs >= warmupSeconds * 1e6) this.#openWindow();
    }
    const told = bad ?? last;
    return told === undefined ? [] : [told];
  }

  #openWindow(): void {
    const progress = () => ({ sent: 0, received: this.#earlierCount + (this.#receipts?.count ?? 0) });
    this.#window = new Window(this.#plan.serverPid, this.#latencies, progress);
  }

  async #round(before: MaxOffsets, { ends }: Stored): Promise<Receipts> {
    const receipts = new Receipts(TOOLS_GROUP, this.#plan.run);
    this.#receipts = receipts;
    const options = pullsOf(this.#cluster, this.#topic, {
      receipts,
      ends: { from: (key) => before.get(key) ?? 0, to: (key) => ends.get(key) ?? 0 },
      connections: this.#plan.connections,
      onFailure: this.#fail,
    });
    const pullLatencies = this.#window === undefined ? this.#warmupLatencies : this.#latencies;
    const pulls = options.map((one) => new PullLoad({ ...one, inFlight: this.#plan.inFlight, pullLatencies }));
    try {
      for (const pull of pulls) await pull.open();
      const isDone = (): boolean => this.#isOver || pulls.every(({ leftCount }) => leftCount === 0);
      await untilSettled(isDone, () => {
        this.#window?.tick();
        this.#watch.show(() => this.#liveText());
        return receipts.count;
      });
      await wait(this.#isOver ? TICK_MS : 0);
    } finally {
      await Promise.all(pulls.map((pull) => pull.close()));
    }
    this.#earlierCount += receipts.count;
    this.#receipts = undefined;
    return receipts;
  }

  #liveText(): string {
    const latest = this.#window?.latest;
    const total = grouped(this.#earlierCount + (this.#receipts?.count ?? 0));
    if (latest === undefined) return `${this.#window === undefined ? "warm-up" : "measuring"}  ${total} received`;
    return `${grouped(latest.received / latest.seconds)} received/s  pull p99 ${(latest.p99Us / 1000).toFixed(2)} ms`;
  }
}
