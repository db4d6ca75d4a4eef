/**
 * The bytes that half-received frames may hold over all connections of an end. Every frame that the end of a chunk cuts
 * needs some, so who sends frames that never end would have everybody else cut off: when there is no room, large frames
 * that have been under way for long make some, the oldest first.
 */
import { type Clock, systemClock } from "../base/clock.js";

/** Nobody is cut off for a frame that began so lately: it may well be whole in a moment. */
const SLOW_MS = 10_000;
/** What a connection may hold without being counted among the large ones. */
export const ASSEMBLY_BYTES_KEPT = 16_384;

export interface AssemblyHolder {
  /** Frees what it holds, at once and for good. */
  giveUp(): void;
}

export class AssemblyBudget {
  readonly bytesMax: number;
  readonly #clock: Clock;
  /** Since when each holds a large part of a frame, in that order. */
  readonly #sinceMs = new Map<AssemblyHolder, number>();
  #bytes = 0;

  constructor(bytesMax: number = Number.MAX_SAFE_INTEGER, clock: Clock = systemClock) {
    this.bytesMax = bytesMax;
    this.#clock = clock;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `holder` holds so many bytes from now on; false when there is no room for them. */
  resize(holder: AssemblyHolder, fromBytes: number, toBytes: number): boolean {
    while (toBytes > fromBytes && this.#bytes + toBytes - fromBytes > this.bytesMax) {
      if (!this.#makeRoom(holder)) return false;
    }
    this.#bytes += toBytes - fromBytes;
    if (toBytes <= ASSEMBLY_BYTES_KEPT) this.#sinceMs.delete(holder);
    else if (!this.#sinceMs.has(holder)) this.#sinceMs.set(holder, this.#clock.monotonicMs());
    return true;
  }

  #makeRoom(asking: AssemblyHolder): boolean {
    for (const [holder, sinceMs] of this.#sinceMs) {
      if (this.#clock.monotonicMs() - sinceMs < SLOW_MS) return false;
      if (holder === asking) continue;
      this.#sinceMs.delete(holder);
      holder.giveUp();
      return true;
    }
    return false;
  }
}
