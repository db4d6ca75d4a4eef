/**
 * One run of a wire benchmark that sends: warm-up and measured window without a pause between them, then everything in
 * flight comes back, then what was sent, stored and received is counted. A run that is interrupted goes the same way from
 * where it is.
 */
import { setTimeout as wait } from "node:timers/promises";
import { CometError } from "../../base/errors.js";
import type { Cluster } from "../remote/cluster.js";
import { TOOLS_GROUP } from "../remote/queue-reader.js";
import { accountOf } from "./account.js";
import type { BenchTopic, MaxOffsets } from "./bench-topic.js";
import { Latencies } from "./latencies.js";
import { Pace } from "./pace.js";
import { monotonicUs } from "./pace-task.js";
import { PullLoad } from "./pull-load.js";
import { Receipts } from "./receipts.js";
import type { Account } from "./result.js";
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
const GIVE_UP_EVERY_MS = 500;
/** Long polls, and the thread that keeps the pace, are there before the first message is. */
const HEAD_START_US = 200_000;
const READ_BACK_QUEUES = 32;

export class WireRun {
  readonly #cluster: Cluster;
  readonly #topic: BenchTopic;
  readonly #plan: WirePlan;
  readonly #watch: WireWatch;
  readonly #load = new SendLoad();
  readonly #endToEnd = new Latencies();
  readonly #receipts: Receipts[] = [];
  readonly #pulls: PullLoad[] = [];
  #before: MaxOffsets = new Map();
  #window: Window | undefined;
  #failure: Error | undefined;

  constructor(cluster: Cluster, topic: BenchTopic, plan: WirePlan, watch: WireWatch) {
    this.#cluster = cluster;
    this.#topic = topic;
    this.#plan = plan;
    this.#watch = watch;
    watch.silence.addEventListener("abort", () => this.#fail(watch.silence.reason));
  }

  async run(): Promise<WireFindings> {
    const load = this.#load;
    try {
      this.#before = await this.#topic.maxOffsets();
      for (const group of this.#plan.groups) await this.#follow(group);
      await load.open(lanesOf(this.#cluster, this.#topic, this.#plan, this.#fail));
      const unsentDue = await this.#measure();
      const window = this.#window?.end();
      await this.#drain();
      const account = await this.#account();
      const [send, endToEnd, lateness] = [load.latencies, this.#endToEnd, load.lateness].map((one) => one.figures());
      return {
        latency: { ...(send && { send }), ...(endToEnd && { endToEnd }) },
        ...(lateness && { lateness }),
        ...(this.#failure && { failure: this.#failure.message }),
        unsentDue,
        window,
        account,
      };
    } finally {
      await Promise.all([load.close(), ...this.#pulls.map((pull) => pull.close())]);
    }
  }

  get #isOver(): boolean {
    return this.#watch.signal.aborted || this.#failure !== undefined;
  }

  readonly #fail = (error: Error): void => {
    this.#failure ??= error;
  };

  async #follow(group: string): Promise<void> {
    const receipts = new Receipts(group, this.#plan.run, this.#endToEnd);
    this.#receipts.push(receipts);
    await this.#pull(receipts, () => Number.POSITIVE_INFINITY);
  }

  /** Begins to read every queue from where it ended before the run. */
  async #pull(receipts: Receipts, to: (key: string) => number): Promise<PullLoad[]> {
    const ends = { from: (key: string) => this.#before.get(key) ?? 0, to };
    const options = pullsOf(this.#cluster, this.#topic, { receipts, ends, connections: 1, onFailure: this.#fail });
    const opened = options.map((one) => new PullLoad({ ...one, inFlight: READ_BACK_QUEUES }));
    this.#pulls.push(...opened);
    for (const pull of opened) await pull.open();
    return opened;
  }

  get #receivedCount(): number {
    return this.#receipts.reduce((sum, { count }) => sum + count, 0);
  }

  /** Returns how many were due at its end and not sent. */
  async #measure(): Promise<number> {
    const { rate, warmupSeconds, durationSeconds, count } = this.#plan;
    const load = this.#load;
    const startUs = monotonicUs() + (rate === undefined && this.#receipts.length === 0 ? 0 : HEAD_START_US);
    const windowUs = startUs + warmupSeconds * 1e6;
    if (rate !== undefined) {
      // The schedule says at once which messages are of the window.
      this.#measureFrom(windowUs);
      const warmup = Math.ceil(warmupSeconds * rate);
      load.numberEnd = warmup + (count ?? Math.ceil(durationSeconds! * rate));
    } else if (warmupSeconds === 0 && count !== undefined) {
      load.numberEnd = count;
    }
    const pace = rate === undefined ? undefined : new Pace(startUs, 1e6 / rate, load.beat, this.#fail);
    try {
      await this.#sleepUntil(startUs);
      if (warmupSeconds === 0) this.#openWindow(rate === undefined ? count : undefined);
      load.start(startUs, rate);
      load.beat();
      await this.#attend(startUs, windowUs);
      // What fell due since the last beat is no backlog.
      load.beat();
      return load.countUnsent(monotonicUs());
    } finally {
      load.stop();
      await pace?.stop();
    }
  }

  #measureFrom(us: number): void {
    this.#load.measureFromUs = us;
    for (const receipts of this.#receipts) receipts.measureFromUs = us;
  }

  /** `count`: so many more are sent, as fast as it goes. */
  #openWindow(count: number | undefined): void {
    const load = this.#load;
    const latencies = this.#receipts.length > 0 ? this.#endToEnd : load.latencies;
    const progress = () => ({ sent: load.acknowledged.size, received: this.#receivedCount });
    this.#window = new Window(this.#plan.serverPid, latencies, progress);
    if (this.#plan.rate !== undefined) return;
    this.#measureFrom(this.#window.startUs);
    if (count !== undefined) load.numberEnd = load.sentCount + count;
  }

  async #attend(startUs: number, windowUs: number): Promise<void> {
    const { rate, durationSeconds = Number.POSITIVE_INFINITY, count } = this.#plan;
    const load = this.#load;
    let gaveUpMs = performance.now();
    while (!this.#isOver) {
      await wait(TICK_MS);
      const nowUs = monotonicUs();
      if (this.#window === undefined && nowUs >= windowUs) this.#openWindow(count);
      this.#window?.tick();
      if (performance.now() - gaveUpMs > GIVE_UP_EVERY_MS) {
        gaveUpMs = performance.now();
        load.giveUp(nowUs - this.#cluster.timeoutMs * 1000);
      }
      this.#watch.show(() => this.#liveText((nowUs - startUs) / 1e6));
      if (this.#window === undefined) continue;
      const endUs = (rate === undefined ? this.#window.startUs : windowUs) + durationSeconds * 1e6;
      if (nowUs >= endUs) return;
      if (count !== undefined && load.sentCount >= load.numberEnd && load.inFlightCount <= 0) return;
    }
  }

  #liveText(seconds: number): string {
    const latest = this.#window?.latest;
    const clock = `${Math.max(0, seconds).toFixed(1)} s`;
    if (this.#window === undefined) return `${clock}  warm-up  ${grouped(this.#load.acknowledged.size)} sent`;
    if (latest === undefined) return `${clock}  measuring`;
    const { sent, received, seconds: length, p99Us, serverCpu } = latest;
    const parts = [clock, `${grouped(sent / length)} sent/s`];
    if (this.#receipts.length > 0) parts.push(`${grouped(received / length)} received/s`);
    parts.push(`p99 ${(p99Us / 1000).toFixed(2)} ms`);
    if (serverCpu !== undefined) parts.push(`server ${Math.round(serverCpu * 100)} % CPU`);
    return parts.join("  ");
  }

  /** Until every request is answered, or given up. */
  async #drain(): Promise<void> {
    const load = this.#load;
    const endMs = performance.now() + this.#cluster.timeoutMs;
    while (load.inFlightCount > 0 && this.#failure === undefined && performance.now() < endMs) await wait(TICK_MS);
    load.giveUp(Number.POSITIVE_INFINITY);
  }

  /** A server that has gone can not be asked; what was found until then is told all the same. */
  async #account(): Promise<Account> {
    let total: number | undefined;
    try {
      const stored = await storedSince(this.#topic, this.#before, this.#load.acknowledged.size);
      total = stored.total;
      await this.#receiveRest(stored);
    } catch (error) {
      if (!(error instanceof CometError)) throw error;
      this.#fail(error);
    }
    return accountOf(this.#load, total, this.#receipts);
  }

  async #receiveRest(stored: Stored): Promise<void> {
    if (this.#receipts.length > 0) {
      const isDone = (): boolean =>
        this.#failure !== undefined ||
        this.#receipts.every(({ count, foreignCount }) => count + foreignCount >= stored.total);
      await untilSettled(isDone, () => this.#receivedCount);
    } else if (this.#plan.isReadBack && this.#failure === undefined) {
      await this.#readBack(stored);
    }
  }

  async #readBack({ total, ends }: Stored): Promise<void> {
    const receipts = new Receipts(TOOLS_GROUP, this.#plan.run);
    this.#receipts.push(receipts);
    const pulls = await this.#pull(receipts, (key) => ends.get(key) ?? 0);
    const isDone = (): boolean => this.#failure !== undefined || pulls.every(({ leftCount }) => leftCount === 0);
    this.#watch.show(() => `reading ${grouped(total)} messages back`);
    await untilSettled(isDone, () => {
      this.#watch.show(() => `read back ${grouped(receipts.count)} of ${grouped(total)}`);
      return receipts.count;
    });
  }

  async #sleepUntil(us: number): Promise<void> {
    const leftMs = (us - monotonicUs()) / 1000;
    if (leftMs > 0) await wait(leftMs, undefined, { signal: this.#watch.signal }).catch(() => {});
  }
}
