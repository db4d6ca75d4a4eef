/**
 * Acknowledgements that came before the checkpoint of their pop: of handles that an Apache broker gave out, while the
 * checkpoint was still in the timer. They count when it comes, and are forgotten when it can come no more.
 */
import type { Handle } from "./pop-state.js";

const EARLY_MAX = 65_536;
/** After the end of the invisible time. */
const KEEP_MS = 600_000;

export interface EarlyAck {
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly popTime: number;
  readonly untilMs: number;
}

export class EarlyAcks {
  readonly #acks = new Map<string, EarlyAck>();

  /** Undefined when it is known already, or there are too many. */
  add(handle: Handle, nowMs: number): EarlyAck | undefined {
    const key = keyOf(handle);
    if (this.#acks.has(key)) return undefined;
    if (this.#acks.size >= EARLY_MAX) this.#forget(nowMs);
    if (this.#acks.size >= EARLY_MAX) return undefined;
    const { group, topic, queueId, queueOffset, popTime, invisibleMs } = handle;
    const untilMs = Math.max(popTime + invisibleMs, nowMs) + KEEP_MS;
    const ack = { group, topic, queueId, queueOffset, popTime, untilMs };
    this.#acks.set(key, ack);
    return ack;
  }

  restore(ack: EarlyAck): void {
    if (this.#acks.size < EARLY_MAX) this.#acks.set(keyOf(ack), ack);
  }

  /** True once. */
  take(handle: Pick<Handle, "group" | "topic" | "queueId" | "queueOffset" | "popTime">): boolean {
    return this.#acks.delete(keyOf(handle));
  }

  values(nowMs: number): IterableIterator<EarlyAck> {
    this.#forget(nowMs);
    return this.#acks.values();
  }

  #forget(nowMs: number): void {
    for (const [key, { untilMs }] of this.#acks) if (untilMs <= nowMs) this.#acks.delete(key);
  }
}

function keyOf({ group, topic, queueId, queueOffset, popTime }: Omit<EarlyAck, "untilMs">): string {
  return `${group}@${topic}@${queueId}@${queueOffset}@${popTime}`;
}
