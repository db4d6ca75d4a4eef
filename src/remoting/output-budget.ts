/**
 * What waits for peers to read it, over all connections of a server. Each has bounds of its own, but thousands that ask
 * and do not read would fill the memory all the same: past the bound those are cut off whose output has been waiting for
 * long, the oldest first. Nobody is cut off for output that began to wait lately, however much there is.
 */
import type { Clock } from "../base/clock.js";

const SLOW_MS = 10_000;

export interface OutputHolder {
  /** Closes the connection. */
  cutOff(): void;
}

export class OutputBudget {
  readonly #bytesMax: number;
  readonly #clock: Clock;
  /** Since when the kernel has not taken each one's output, in that order, and how much it is. */
  readonly #waiting = new Map<OutputHolder, { readonly sinceMs: number; bytes: number }>();
  #bytes = 0;

  constructor(bytesMax: number, clock: Clock) {
    this.#bytesMax = bytesMax;
    this.#clock = clock;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** So much of `holder`'s output waits since it last was taken whole. */
  wait(holder: OutputHolder, bytes: number): void {
    const waiting = this.#waiting.get(holder);
    this.#bytes += bytes - (waiting?.bytes ?? 0);
    if (waiting !== undefined) waiting.bytes = bytes;
    else this.#waiting.set(holder, { sinceMs: this.#clock.monotonicMs(), bytes });
    if (this.#bytes > this.#bytesMax) this.#makeRoom();
  }

  /** Its output was taken, or its connection is gone. */
  end(holder: OutputHolder): void {
    this.#bytes -= this.#waiting.get(holder)?.bytes ?? 0;
    this.#waiting.delete(holder);
  }

  #makeRoom(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [holder, { sinceMs }] of this.#waiting) {
      if (this.#bytes <= this.#bytesMax || nowMs - sinceMs < SLOW_MS) return;
      this.end(holder);
      holder.cutOff();
    }
  }
}
