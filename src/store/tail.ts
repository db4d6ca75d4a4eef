/**
 * Follows a queue: messages that are there, then those that come, in order, each once. What `for await` reads from
 * `MessageStore.tail`.
 */
import { CometError } from "../base/errors.js";
import { shown } from "../base/given-values.js";
import type { GetLimits } from "./message-reader.js";
import type { MessageStore } from "./message-store.js";
import { type GetResult, GetStatus, type QueueHandle, type RecordFilter, type TagFilter } from "./types.js";

/** Where a tail begins, what it gives, when it ends. */
export interface TailOptions {
  /**
   * Queue offset to begin at: `first`, the default, is the oldest message there is, `end` behind the newest. Where the
   * message is gone, it begins with the oldest one; where it is still to come, it waits for it.
   */
  readonly from?: number | "first" | "end" | undefined;
  /** Ends the tail: the loop throws the signal's reason, as Node's own iterators do. */
  readonly signal?: AbortSignal | undefined;
  /** By tags code, or by the record itself. */
  readonly filter?: TagFilter | RecordFilter;
}

/** One message of a tail. */
export interface TailedMessage {
  readonly queueOffset: number;
  /** The whole record, as it lies in the log; for how long it is valid see `MessageStore.get`. */
  readonly record: Buffer;
}

/** What a tail needs of its store. */
export type TailedStore = Pick<MessageStore, "closed" | "failure" | "minOffset" | "maxOffset" | "get" | "whenGrown">;

/** Those who wait for a queue to grow, by queue. */
export class TailWaiters {
  readonly #resolvers = new Map<QueueHandle, Set<() => void>>();

  /** Resolves when the queue has grown, when `wakeAll` is called, or when the signal is aborted. */
  async wait(queue: QueueHandle, signal: AbortSignal | undefined): Promise<void> {
    const resolvers = this.#resolvers.get(queue) ?? new Set();
    this.#resolvers.set(queue, resolvers);
    let wake = (): void => {};
    try {
      await new Promise<void>((resolve) => {
        wake = resolve;
        resolvers.add(wake);
        signal?.addEventListener("abort", wake, { once: true });
      });
    } finally {
      signal?.removeEventListener("abort", wake);
      resolvers.delete(wake);
      if (resolvers.size === 0 && this.#resolvers.get(queue) === resolvers) this.#resolvers.delete(queue);
    }
  }

  /** The queue has grown, or is gone. */
  wake(queue: QueueHandle): void {
    const resolvers = this.#resolvers.get(queue);
    if (resolvers !== undefined) for (const resolve of resolvers) resolve();
  }

  wakeAll(): void {
    for (const queue of this.#resolvers.keys()) this.wake(queue);
  }
}

const LIMITS: GetLimits = { maxCount: 32, maxBytes: 1024 * 1024 };

/**
 * Ends by itself when the store is closed or the queue's topic deleted, and throws what made the store read-only once
 * there is nothing left to read.
 */
export async function* tailQueue(
  store: TailedStore,
  queue: QueueHandle,
  options: TailOptions,
): AsyncGenerator<TailedMessage, void, undefined> {
  if (typeof options !== "object" || options === null)
    throw new CometError("COMETMQ_CONFIG", `The options of tail are ${shown(options)}, no object.`);
  const { from = "first", signal, filter } = options;
  if (signal !== undefined && typeof signal?.throwIfAborted !== "function")
    throw new CometError("COMETMQ_CONFIG", `signal is ${shown(signal)}, no AbortSignal.`);
  if (from !== "first" && from !== "end" && !Number.isInteger(from)) {
    throw new CometError("COMETMQ_CONFIG", `from is ${shown(from)}; it is a queue offset, "first" or "end".`);
  }
  const result = { records: [], queueOffsets: [] } as unknown as GetResult;
  let offset = from === "first" ? store.minOffset(queue) : from === "end" ? store.maxOffset(queue) : from;
  for (;;) {
    signal?.throwIfAborted();
    if (store.closed) return;
    const status = store.get(queue, offset, LIMITS, filter, result);
    if (status === GetStatus.NO_MATCHED_LOGIC_QUEUE) return;
    const { records, queueOffsets, nextBeginOffset } = result;
    for (const [i, record] of records.entries()) {
      yield { queueOffset: queueOffsets[i]!, record };
      signal?.throwIfAborted();
    }
    if (nextBeginOffset > offset) {
      offset = nextBeginOffset;
      // What a filter passes over may be long, and nobody else would have a turn.
      if (records.length === 0) await new Promise((resolve) => setImmediate(resolve));
      continue;
    }
    if (store.failure !== undefined && !store.closed) throw store.failure;
    await store.whenGrown(queue, offset, signal);
  }
}
