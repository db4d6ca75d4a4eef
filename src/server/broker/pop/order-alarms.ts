/**
 * When locks of ordered pops end (broker/pop/orderly/QueueLevelConsumerOrderInfoLockManager.java): then whoever waits for
 * the queue is tried again, for no message arrives to do it.
 */
import type { Clock } from "../../../base/clock.js";
import { WallAlarm } from "../wall-alarm.js";
import { type HeapItem, IndexedHeap } from "./indexed-heap.js";

interface Alarm extends HeapItem {
  readonly topic: string;
  readonly group: string;
  readonly queueId: number;
  /** Wall time. */
  atMs: number;
}

export class OrderAlarms {
  readonly #clock: Clock;
  readonly #ring: (topic: string, group: string, queueId: number) => void;
  readonly #alarms = new Map<string, Alarm>();
  readonly #heap = new IndexedHeap<Alarm>((a, b) => a.atMs < b.atMs);
  readonly #timer: WallAlarm;
  #timerMs = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(clock: Clock, ring: (topic: string, group: string, queueId: number) => void) {
    this.#clock = clock;
    this.#ring = ring;
    this.#timer = new WallAlarm(clock, () => this.#due());
  }

  /** One alarm for each queue of a group: the last one set. */
  set(topic: string, group: string, queueId: number, atMs: number): void {
    const key = `${topic}@${group}@${queueId}`;
    const known = this.#alarms.get(key);
    if (known === undefined) {
      const alarm = { topic, group, queueId, atMs, heapIndex: -1 };
      this.#alarms.set(key, alarm);
      this.#heap.add(alarm);
    } else {
      known.atMs = atMs;
      this.#heap.moved(known);
    }
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#timer.cancel();
  }

  #schedule(): void {
    const first = this.#heap.first();
    if (this.#closed || first === undefined || first.atMs >= this.#timerMs) return;
    const nowMs = this.#clock.nowMs();
    const delayMs = Math.max(0, first.atMs - nowMs);
    this.#timerMs = nowMs + delayMs;
    this.#timer.set(delayMs);
  }

  #due(): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    for (;;) {
      const first = this.#heap.first();
      if (first === undefined || first.atMs > nowMs) break;
      this.#heap.remove(first);
      this.#alarms.delete(`${first.topic}@${first.group}@${first.queueId}`);
      this.#ring(first.topic, first.group, first.queueId);
    }
    this.#schedule();
  }
}
