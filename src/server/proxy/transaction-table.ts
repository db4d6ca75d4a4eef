/**
 * Where the half messages of open transactions lie, for the client that ends one knows only its id
 * (proxy/service/transaction/TransactionDataManager.java). Kept as long as Apache keeps it: from the send, and again
 * from each check-back, for `transactionDataExpireMillis`.
 */
import type { Clock } from "../../base/clock.js";
import type { BrokerConfig } from "../broker/broker-options.js";

const TRANSACTIONS_MAX = 200_000;
/** Of all ids, which are the clients' to choose; those of Apache's clients have 38. */
const CHARS_MAX = 33_554_432;

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
  readonly #charsMax: number;
  #chars = 0;

  constructor(config: BrokerConfig, clock: Clock, charsMax = CHARS_MAX) {
    this.#config = config;
    this.#charsMax = charsMax;
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  add(producerGroup: string, transactionId: string, { queueOffset, phyOffset }: HalfMessage): void {
    const nowMs = this.#clock.monotonicMs();
    this.#expire(nowMs, true);
    const key = keyOf(producerGroup, transactionId);
    this.#delete(key);
    const deadlineMs = nowMs + this.#config.transactionDataExpireMillis;
    this.#entries.set(key, { queueOffset, phyOffset, deadlineMs });
    this.#chars += key.length;
  }

  /** Takes the transaction out; undefined when it is not known, or no more. */
  take(producerGroup: string, transactionId: string): HalfMessage | undefined {
    this.#expire(this.#clock.monotonicMs(), false);
    const key = keyOf(producerGroup, transactionId);
    const entry = this.#entries.get(key);
    this.#delete(key);
    return entry;
  }

  #delete(key: string): void {
    if (this.#entries.delete(key)) this.#chars -= key.length;
  }

  #expire(nowMs: number, makesRoom: boolean): void {
    for (const [key, { deadlineMs }] of this.#entries) {
      const hasRoom = this.#entries.size < TRANSACTIONS_MAX && this.#chars < this.#charsMax;
      if (deadlineMs >= nowMs && (hasRoom || !makesRoom)) break;
      this.#delete(key);
    }
  }
}

function keyOf(producerGroup: string, transactionId: string): string {
  return `${producerGroup}@${transactionId}`;
}
