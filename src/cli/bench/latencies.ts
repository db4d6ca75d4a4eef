/** Latencies in HDR histograms: microseconds up to an hour, three digits. One for the whole window, one for the second. */
import { build, encodeIntoCompressedBase64, type Histogram } from "hdr-histogram-js";

const LATENCY_US_MAX = 3_600_000_000;
const OPTIONS = {
  bitBucketSize: 32,
  lowestDiscernibleValue: 1,
  highestTrackableValue: LATENCY_US_MAX,
  numberOfSignificantValueDigits: 3,
  autoResize: false,
} as const;

/** Where a plot by percentile has its points: 1 - 1/n for n of powers of 10 and between. */
const PLOT_PERCENTILES = [0, 0.9, 0.99, 0.999, 0.9999, 0.99999].flatMap((from) =>
  Array.from({ length: 18 }, (_, i) => 100 * (from + (1 - from) * 0.9 * (i / 18))),
);

export interface LatencyFigures {
  readonly count: number;
  readonly minUs: number;
  readonly meanUs: number;
  readonly stdDeviationUs: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly p9999Us: number;
  readonly maxUs: number;
  /** Percentile and microseconds. */
  readonly points: readonly (readonly [number, number])[];
  /** The whole histogram as HdrHistogram's tools read it (V2, compressed, Base64). */
  readonly hdr: string;
}

export interface SecondFigures {
  readonly count: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

export class Latencies {
  readonly #total: Histogram = build(OPTIONS);
  readonly #second: Histogram = build(OPTIONS);

  record(latencyUs: number): void {
    this.#second.recordValue(latencyUs < 1 ? 1 : latencyUs > LATENCY_US_MAX ? LATENCY_US_MAX : Math.round(latencyUs));
  }

  /** What was recorded since it was asked last. */
  endSecond(): SecondFigures {
    const second = this.#second;
    const figures = {
      count: second.totalCount,
      p50Us: second.getValueAtPercentile(50),
      p99Us: second.getValueAtPercentile(99),
      maxUs: second.maxValue,
    };
    this.#total.add(second);
    second.reset();
    return figures;
  }

  /** Of the current second, as far as it is. */
  get p99Us(): number {
    return this.#second.getValueAtPercentile(99);
  }

  /** Undefined where there are none. */
  figures(): LatencyFigures | undefined {
    this.endSecond();
    const total = this.#total;
    if (total.totalCount === 0) return undefined;
    const at = (percentile: number): number => Math.min(total.maxValue, total.getValueAtPercentile(percentile));
    return {
      count: total.totalCount,
      minUs: total.minNonZeroValue,
      meanUs: Math.round(total.mean * 10) / 10,
      stdDeviationUs: Math.round(total.stdDeviation * 10) / 10,
      p50Us: at(50),
      p90Us: at(90),
      p99Us: at(99),
      p999Us: at(99.9),
      p9999Us: at(99.99),
      maxUs: total.maxValue,
      points: PLOT_PERCENTILES.filter((percentile) => total.totalCount * (1 - percentile / 100) >= 1).map(
        (percentile) => [Math.round(percentile * 1e5) / 1e5, at(percentile)] as const,
      ),
      hdr: encodeIntoCompressedBase64(total),
    };
  }
}
