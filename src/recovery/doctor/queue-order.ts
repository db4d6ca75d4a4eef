/**
 * Whether a record's queue offset can be right. No CRC covers it, and whoever believes a wrong one skips all that follows,
 * or fills the disk with entries for messages that never were. Between two records of a queue there is only so much of
 * the log, so only so many messages can have been lost.
 */
import { UNIT_BYTES } from "../../consumequeue/unit.js";
import { RECORD_BYTES_MIN } from "../../record/layout.js";

/**
 * `follows`: at the next offset, or behind a gap that lost messages can explain. `taken`: another record has the offset.
 * `impossible`: no queue has got so far. `restarts`: the one record seen before was impossible, as shows now.
 */
export type OrderVerdict = "follows" | "taken" | "impossible" | "restarts";

const OFFSET_MAX = Math.floor(Number.MAX_SAFE_INTEGER / UNIT_BYTES / 2);

export class QueueOrder {
  /** Behind the last offset accepted; -1 before the first. */
  next = -1;
  #lastPhyOffset = 0;
  #acceptedCount = 0;

  judge(queueOffset: number, phyOffset: number): OrderVerdict {
    if (queueOffset > OFFSET_MAX) return "impossible";
    if (this.next < 0) return "follows";
    if (queueOffset < this.next) return this.#acceptedCount === 1 && queueOffset + 1 < this.next ? "restarts" : "taken";
    const lostMax = (phyOffset - this.#lastPhyOffset) / RECORD_BYTES_MIN;
    return queueOffset - this.next <= lostMax ? "follows" : "impossible";
  }

  accept(queueOffset: number, phyOffset: number): void {
    this.next = queueOffset + 1;
    this.#lastPhyOffset = phyOffset;
    this.#acceptedCount++;
  }

  restart(): void {
    this.next = -1;
    this.#acceptedCount = 0;
  }
}
