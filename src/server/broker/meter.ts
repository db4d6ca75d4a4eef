/** A count of events with its rate over the last samples. Counting is one addition; `sample` is called at intervals. */
export class Meter {
  /** Events since the start. */
  total = 0;
  readonly #totals: Float64Array;
  readonly #timesMs: Float64Array;
  #sampleCount = 0;

  /** Remembers `samplesMax` samples; a rate over n intervals needs n + 1 of them. */
  constructor(samplesMax: number) {
    this.#totals = new Float64Array(samplesMax);
    this.#timesMs = new Float64Array(samplesMax);
  }

  sample(monotonicMs: number): void {
    const index = this.#sampleCount % this.#totals.length;
    this.#totals[index] = this.total;
    this.#timesMs[index] = monotonicMs;
    this.#sampleCount++;
  }

  /** Events a second over the last `intervals` intervals, or over as many as there are; 0 before the second sample. */
  rate(intervals: number): number {
    const kept = Math.min(this.#sampleCount, this.#totals.length);
    const back = Math.min(intervals, kept - 1);
    if (back < 1) return 0;
    const newest = (this.#sampleCount - 1) % this.#totals.length;
    const oldest = (this.#sampleCount - 1 - back) % this.#totals.length;
    const elapsedMs = this.#timesMs[newest]! - this.#timesMs[oldest]!;
    return elapsedMs > 0 ? ((this.#totals[newest]! - this.#totals[oldest]!) * 1000) / elapsedMs : 0;
  }
}
