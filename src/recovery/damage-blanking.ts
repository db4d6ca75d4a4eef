/**
 * Takes out of the queues what points into damage: what is no record is not to be served. The damages of a walk are kept
 * until there are many, then a pass through the queues deals with all of them; so memory has a bound, and a log full of
 * damage costs a pass for each so many, not one for each.
 */
import type { ConsumeQueue } from "../consumequeue/consume-queue.js";
import { OffsetRanges } from "./doctor/offset-ranges.js";

/** A megabyte. */
const DAMAGES_MAX = 65_536;

/** The queues of a QueueTable. */
export interface BlankedQueues {
  readonly all: readonly { readonly queue: Pick<ConsumeQueue, "blankIn"> }[];
}

export class DamageBlanking {
  readonly #queues: BlankedQueues;
  readonly #damagesMax: number;
  #ranges = new OffsetRanges();
  #fromOffset = -1;
  #toOffset = -1;

  constructor(queues: BlankedQueues, damagesMax = DAMAGES_MAX) {
    this.#queues = queues;
    this.#damagesMax = damagesMax;
  }

  /** Nothing in [fromOffset, toOffset) of the log is a record; it lies behind what was added before. */
  add(fromOffset: number, toOffset: number): void {
    if (this.#ranges.count === 0) this.#fromOffset = fromOffset;
    this.#ranges.add(fromOffset, toOffset);
    this.#toOffset = toOffset;
    if (this.#ranges.count >= this.#damagesMax) this.blank();
  }

  /** Makes the units blank that point into what was added. */
  blank(): void {
    if (this.#ranges.count === 0) return;
    for (const { queue } of this.#queues.all) queue.blankIn(this.#ranges, this.#fromOffset, this.#toOffset);
    this.#ranges = new OffsetRanges();
  }
}
