/**
 * Where the half messages of open transactions lie, for the client that ends one knows only its id
 * (proxy/service/transaction/TransactionDataManager.java). Kept as long as Apache keeps it: from the send, and again
 * from each check-back, for `transactionDataExpireMillis`.
 */
import type { Clock } from "../../base/clock.js";
import type { BrokerConfig } from "../broker/broker-options.js";

const TRANSACTIONS_MAX = 200_000;

export interface HalfMessage {
  readonly queueOffset: number;
  readonly phyOffset: number;
}

interface Entry extends HalfMessage {
  readonly deadlineMs: number;
}

export class TransactionTable {
  /** Oldest first, for all entries live equally long. */
  readonly #entries = new Map<string, Entry>();
  readonly #config: BrokerConfig;
  readonly #clock: Clock;

  constructor(config: BrokerConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  add(producerGroup: string, transactionId: string, { queueOffset, phyOffset }: HalfMessage): void {
    const nowMs = this.#clock.monotonicMs();
    this.#expire(nowMs);
    const key = keyOf(producerGroup, transactionId);
    this.#entries.delete(key);
    const deadlineMs = nowMs + this.#config.transactionDataExpireMillis;
    this.#entries.set(key, { queueOffset, phyOffset, deadlineMs });
  }

  /** Takes the transaction out; undefined when it is not known, or no more. */
  take(producerGroup: string, transactionId: string): HalfMessage | undefined {
    this.#expire(this.#clock.monotonicMs());
    const key = keyOf(producerGroup, transactionId);
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    return entry;
  }

  #expire(nowMs: number): void {
    for (const [key, { deadlineMs }] of this.#entries) {
      if (deadlineMs >= nowMs && this.#entries.size < TRANSACTIONS_MAX) break;
      this.#entries.delete(key);
    }
  }
}

function keyOf(producerGroup: string, transactionId: string): string {
  return `${producerGroup}@${transactionId}`;
}
