/** The measured window of a run: what was done in it, second by second, and what it cost. */
import type { Latencies } from "./latencies.js";
import { monotonicUs } from "./pace-task.js";
import type { Second, ServerFigures } from "./result.js";
import { type ServerUsage, serverUsage } from "./server-usage.js";

/** What has been done since the run began. */
export interface Progress {
  readonly sent: number;
  readonly received: number;
}

interface Mark extends Progress {
  readonly atUs: number;
  readonly ownCpuUs: number;
  readonly usage: ServerUsage | undefined;
}

const SECOND_US = 1_000_000;
/** A last stretch that is shorter says nothing. */
const STRETCH_US_MIN = 100_000;

export interface WindowFigures extends Progress {
  readonly seconds: number;
  readonly series: readonly Second[];
  readonly ownCpuUs: number;
  /** `cpuUsPerMessage` is filled in by who knows what a message is. */
  readonly server: Omit<ServerFigures, "cpuUsPerMessage"> | undefined;
}

export class Window {
  readonly #pid: number | undefined;
  readonly #latencies: Latencies;
  readonly #progress: () => Progress;
  readonly #from: Mark;
  readonly #series: Second[] = [];
  #last: Mark;
  #rssMaxMB = 0;
  #figures: WindowFigures | undefined;

  /** Begins now. */
  constructor(pid: number | undefined, latencies: Latencies, progress: () => Progress) {
    this.#pid = pid;
    this.#latencies = latencies;
    this.#progress = progress;
    this.#from = this.#mark();
    this.#last = this.#from;
  }

  get startUs(): number {
    return this.#from.atUs;
  }

  /** To be called often; cuts the seconds. */
  tick(): void {
    if (monotonicUs() - this.#last.atUs >= SECOND_US) this.#cut();
  }

  /** What was done a second, lately. */
  get latest(): Second | undefined {
    return this.#series.at(-1);
  }

  /** Ends it, once. */
  end(): WindowFigures {
    if (this.#figures !== undefined) return this.#figures;
    if (monotonicUs() - this.#last.atUs >= STRETCH_US_MIN || this.#series.length === 0) this.#cut();
    const [from, to] = [this.#from, this.#mark()];
    this.#figures = {
      seconds: (to.atUs - from.atUs) / SECOND_US,
      sent: to.sent - from.sent,
      received: to.received - from.received,
      series: this.#series,
      ownCpuUs: to.ownCpuUs - from.ownCpuUs,
      server: this.#serverFigures(from.usage, to.usage),
    };
    return this.#figures;
  }

  #serverFigures(from?: ServerUsage, to?: ServerUsage): WindowFigures["server"] {
    if (this.#pid === undefined || from === undefined || to === undefined) return undefined;
    const { rssMB, rssAnonMB } = to;
    const cpuSeconds = Math.round((to.cpuSeconds - from.cpuSeconds) * 100) / 100;
    return { pid: this.#pid, cpuSeconds, rssMB, rssAnonMB, rssMaxMB: this.#rssMaxMB };
  }

  #cut(): void {
    const [from, to] = [this.#last, this.#mark()];
    this.#last = to;
    const seconds = (to.atUs - from.atUs) / SECOND_US;
    const { p50Us, p99Us, maxUs } = this.#latencies.endSecond();
    const server =
      from.usage === undefined || to.usage === undefined
        ? {}
        : {
            serverCpu: Math.round(((to.usage.cpuSeconds - from.usage.cpuSeconds) / seconds) * 1000) / 1000,
            serverRssMB: to.usage.rssMB,
          };
    this.#series.push({
      atSecond: Math.round((to.atUs - this.#from.atUs) / 10_000) / 100,
      seconds: Math.round(seconds * 1000) / 1000,
      sent: to.sent - from.sent,
      received: to.received - from.received,
      p50Us,
      p99Us,
      maxUs,
      ...server,
    });
  }

  #mark(): Mark {
    const { user, system } = process.cpuUsage();
    const usage = this.#pid === undefined ? undefined : serverUsage(this.#pid);
    this.#rssMaxMB = Math.max(this.#rssMaxMB, usage?.rssMB ?? 0);
    return { atUs: monotonicUs(), ownCpuUs: user + system, usage, ...this.#progress() };
  }
}
