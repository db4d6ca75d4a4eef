/** What one consumer group of a wire benchmark has received, told apart by the stamps of the bodies. */
import { Latencies } from "./latencies.js";
import { NumberSet } from "./number-set.js";
import { StampVerdict, StampView } from "./stamp.js";

export class Receipts {
  readonly group: string;
  readonly numbers = new NumberSet();
  /** Groups may share it. */
  readonly latencies: Latencies;
  duplicateCount = 0;
  corruptCount = 0;
  foreignCount = 0;
  /** Messages due from here on have their latency measured. */
  measureFromUs = Number.POSITIVE_INFINITY;
  readonly #run: number;
  readonly #stamp = new StampView();

  constructor(group: string, run: number, latencies = new Latencies()) {
    this.group = group;
    this.latencies = latencies;
    this.#run = run;
  }

  take(bytes: Buffer, bodyStart: number, bodyBytes: number, nowUs: number): void {
    const stamp = this.#stamp;
    const verdict = stamp.read(bytes, bodyStart, bodyBytes, this.#run);
    if (verdict === StampVerdict.CORRUPT) this.corruptCount++;
    else if (verdict === StampVerdict.FOREIGN) this.foreignCount++;
    else if (!this.numbers.add(stamp.number)) this.duplicateCount++;
    else if (stamp.dueUs >= this.measureFromUs) this.latencies.record(nowUs - stamp.dueUs);
  }

  /** Messages of this run, whole or not. */
  get count(): number {
    return this.numbers.size + this.duplicateCount + this.corruptCount;
  }
}
