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

/** The last samples of one interval. An array of doubles takes half the memory that a typed array of this size does. */
class Samples {
  readonly #words: number[];
  #count = 0;

  /** One interval ago there had been so much. */
  constructor(samplesMax: number, agoMs: number, total: number, times: number) {
    this.#words = new Array<number>(samplesMax * WORDS).fill(0.5);
    this.add(agoMs, total, times);
  }

  add(nowMs: number, total: number, times: number): void {
    const at = (this.#count % (this.#words.length / WORDS)) * WORDS;
    this.#words[at] = nowMs;
    this.#words[at + 1] = total;
    this.#words[at + 2] = times;
    this.#count++;
  }

  /** Nothing has happened since the oldest sample, and there are all that it may have. */
  get isIdle(): boolean {
    return this.#count >= this.#words.length / WORDS && this.snapshot().sum === 0;
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

/** The samples of one interval for as long as they tell of something: most of many topics are idle. */
class Interval {
  #samples: Samples | undefined;
  /** As of the last call of `sample`. */
  #total = 0;
  #times = 0;

  sample(nowMs: number, intervalMs: number, samplesMax: number, total: number, times: number): void {
    if (this.#samples === undefined && total === this.#total) return;
    this.#samples ??= new Samples(samplesMax, nowMs - intervalMs, this.#total, this.#times);
    this.#samples.add(nowMs, total, times);
    this.#total = total;
    this.#times = times;
    if (this.#samples.isIdle) this.#samples = undefined;
  }

  snapshot(): StatsSnapshot {
    return this.#samples?.snapshot() ?? NOTHING;
  }
}

export class StatsItem {
  /** Events since the start, and the calls that counted them. */
  total = 0;
  times = 0;
  #minute: Interval | undefined;
  #hour: Interval | undefined;
  #day: Interval | undefined;

  add(count: number): void {
    this.total += count;
    this.times++;
  }

  /** Called every SAMPLE_MS; `tick` counts the calls. */
  sample(nowMs: number, tick: number): void {
    const { total, times } = this;
    if (total === 0) return;
    this.#minute ??= new Interval();
    this.#minute.sample(nowMs, SAMPLE_MS, 7, total, times);
    if (tick % ((10 * MINUTE_MS) / SAMPLE_MS) === 0) {
      this.#hour ??= new Interval();
      this.#hour.sample(nowMs, 10 * MINUTE_MS, 7, total, times);
    }
    if (tick % (HOUR_MS / SAMPLE_MS) === 0) {
      this.#day ??= new Interval();
      this.#day.sample(nowMs, HOUR_MS, 25, total, times);
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
