/**
 * A count of events with what it came to in the last minute, hour and day (common/stats/StatsItem.java): what tools and
 * exporters ask for by code 315. Counting is an addition or two; samples are kept only of what has ever happened.
 */
export const SAMPLE_MS = 10_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

export interface StatsSnapshot {
  readonly sum: number;
  /** A second. */
  readonly tps: number;
  /** For each call that counted. */
  readonly avgpt: number;
}

const NOTHING: StatsSnapshot = { sum: 0, tps: 0, avgpt: 0 };
/** Words of a sample: time, total, calls. */
const WORDS = 3;

/** The last samples of one interval. */
class Samples {
  readonly #words: Float64Array;
  #count = 0;

  /** Before the first sample, one interval ago, nothing had happened. */
  constructor(samplesMax: number, intervalMs: number, nowMs: number) {
    this.#words = new Float64Array(samplesMax * WORDS);
    this.add(nowMs - intervalMs, 0, 0);
  }

  add(nowMs: number, total: number, times: number): void {
    const at = (this.#count % (this.#words.length / WORDS)) * WORDS;
    this.#words.set([nowMs, total, times], at);
    this.#count++;
  }

  /** From the oldest sample to the newest. */
  snapshot(): StatsSnapshot {
    const capacity = this.#words.length / WORDS;
    const newest = ((this.#count - 1) % capacity) * WORDS;
    const oldest = this.#count > capacity ? (this.#count % capacity) * WORDS : 0;
    const word = (i: number) => this.#words[newest + i]! - this.#words[oldest + i]!;
    const elapsedMs = word(0);
    const sum = word(1);
    const times = word(2);
    return { sum, tps: elapsedMs > 0 ? (sum * 1000) / elapsedMs : 0, avgpt: times > 0 ? sum / times : 0 };
  }
}

export class StatsItem {
  /** Events since the start, and the calls that counted them. */
  total = 0;
  times = 0;
  #minute: Samples | undefined;
  #hour: Samples | undefined;
  #day: Samples | undefined;

  add(count: number): void {
    this.total += count;
    this.times++;
  }

  /** Called every SAMPLE_MS; `tick` counts the calls. */
  sample(nowMs: number, tick: number): void {
    if (this.total === 0) return;
    this.#minute ??= new Samples(7, SAMPLE_MS, nowMs);
    this.#minute.add(nowMs, this.total, this.times);
    if (tick % ((10 * MINUTE_MS) / SAMPLE_MS) === 0) {
      this.#hour ??= new Samples(7, 10 * MINUTE_MS, nowMs);
      this.#hour.add(nowMs, this.total, this.times);
    }
    if (tick % (HOUR_MS / SAMPLE_MS) === 0) {
      this.#day ??= new Samples(25, HOUR_MS, nowMs);
      this.#day.add(nowMs, this.total, this.times);
    }
  }

  minute(): StatsSnapshot {
    return this.#minute?.snapshot() ?? NOTHING;
  }

  hour(): StatsSnapshot {
    return this.#hour?.snapshot() ?? NOTHING;
  }

  day(): StatsSnapshot {
    return this.#day?.snapshot() ?? NOTHING;
  }
}
