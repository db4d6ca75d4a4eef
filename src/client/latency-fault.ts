/**
 * Which brokers to spare for a while: those that were slow or failed (client/latency/MQFaultStrategy.java and
 * LatencyFaultToleranceImpl.java).
 */
import type { Clock } from "../base/clock.js";

const LATENCY_MAX_MS: readonly number[] = [50, 100, 550, 1800, 3000, 5000, 15_000];
const NOT_AVAILABLE_MS: readonly number[] = [0, 0, 2000, 5000, 6000, 10_000, 30_000];
/** What a failed attempt counts as. */
const ISOLATED_LATENCY_MS = 10_000;
/** Broker names come from routes; more than that are not remembered. */
const BROKERS_MAX = 4096;

export class LatencyFaultTolerance {
  readonly #clock: Clock;
  /** By broker name: until when it is spared, in monotonic time. */
  readonly #sparedUntil = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An attempt took `latencyMs`; `failed` when it ended without an answer. */
  update(brokerName: string, latencyMs: number, failed: boolean): void {
    const spareMs = sparedFor(failed ? ISOLATED_LATENCY_MS : latencyMs);
    if (spareMs === 0) {
      this.#sparedUntil.delete(brokerName);
      return;
    }
    if (this.#sparedUntil.size >= BROKERS_MAX) this.#sparedUntil.clear();
    this.#sparedUntil.set(brokerName, this.#clock.monotonicMs() + spareMs);
  }

  isAvailable(brokerName: string): boolean {
    return this.#clock.monotonicMs() >= (this.#sparedUntil.get(brokerName) ?? 0);
  }
}

function sparedFor(latencyMs: number): number {
  for (let i = LATENCY_MAX_MS.length - 1; i >= 0; i--) if (latencyMs >= LATENCY_MAX_MS[i]!) return NOT_AVAILABLE_MS[i]!;
  return 0;
}
