/** What a consumer holds of one queue: the messages that were pulled and are not consumed (client/impl/consumer/ProcessQueue.java). */
import type { Clock } from "../base/clock.js";
import type { MessageQueue } from "./message-queue.js";
import type { ReceivedMessage } from "./received-message.js";
import { Bell, sharedSignal } from "./waiting.js";

/** A lock that was not renewed for so long is not relied on. */
const LOCK_LIVE_MS = 30_000;

export class ProcessQueue {
  readonly queue: MessageQueue;
  /** Rings when messages came or went, when the lock came, and when the queue was dropped. */
  readonly changed = new Bell();
  /** Where the next pull begins. */
  nextOffset: number;
  lastPullMs = 0;
  lastConsumeMs = 0;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  /** By offset, in ascending order. */
  readonly #messages = new Map<number, ReceivedMessage>();
  #bytes = 0;
  #maxOffset = -1;
  #lockedMs: number | undefined;

  constructor(queue: MessageQueue, nextOffset: number, clock: Clock) {
    this.queue = queue;
    this.nextOffset = nextOffset;
    this.#clock = clock;
    sharedSignal(this.#stop.signal);
  }

  /** Given to another consumer, or everything ends: nothing of it is consumed or committed any more. */
  get dropped(): boolean {
    return this.#stop.signal.aborted;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get count(): number {
    return this.#messages.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** From the oldest message not consumed to the newest. */
  get span(): number {
    const first = this.firstOffset;
    return first === undefined ? 0 : this.#maxOffset - first;
  }

  get firstOffset(): number | undefined {
    return this.#messages.keys().next().value;
  }

  /** What can be committed: everything before it is consumed; undefined before the first message. */
  get consumedOffset(): number | undefined {
    return this.firstOffset ?? (this.#maxOffset < 0 ? undefined : this.#maxOffset + 1);
  }

  get locked(): boolean {
    return this.#lockedMs !== undefined && this.#clock.monotonicMs() - this.#lockedMs < LOCK_LIVE_MS;
  }

  setLocked(locked: boolean): void {
    this.#lockedMs = locked ? this.#clock.monotonicMs() : undefined;
    this.changed.ring();
  }

  drop(): void {
    this.#stop.abort();
    this.changed.ring();
  }

  put(messages: readonly ReceivedMessage[]): void {
    for (const message of messages) {
      this.#messages.set(message.queueOffset, message);
      this.#bytes += message.body.length;
      if (message.queueOffset > this.#maxOffset) this.#maxOffset = message.queueOffset;
    }
    this.changed.ring();
  }

  remove(messages: readonly ReceivedMessage[]): void {
    for (const message of messages) {
      if (this.#messages.delete(message.queueOffset)) this.#bytes -= message.body.length;
    }
    this.changed.ring();
  }

  /** The oldest messages, which stay. */
  head(countMax: number): ReceivedMessage[] {
    const messages: ReceivedMessage[] = [];
    for (const message of this.#messages.values()) {
      if (messages.length >= countMax) break;
      messages.push(message);
    }
    return messages;
  }
}
