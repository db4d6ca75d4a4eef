/**
 * One delay level: where its delivery stands, and when the next of its messages is due.
 *
 * The queue of a level is in the order of due times while the wall clock runs straight. After the clock was set back, or
 * when the level was given a shorter delay, messages are due later than the level's delay from now; Apache delivers
 * those at once. Here they wait the level's delay once more, all that were there together: none comes early, and none
 * stands in the way of the others for as long as the clock was off.
 */
import type { QueueHandle } from "../../store/types.js";

export class DelayLevel {
  /** From 1 on. */
  readonly level: number;
  readonly delayMs: number;
  readonly queue: QueueHandle;
  /** Queue offset of the next message to deliver. */
  offset = 0;
  /** One past the last message that was put; the queue does not have it before it is dispatched. */
  end = 0;
  /** Monotonic time of the next look at the queue; infinite when nothing calls for one. */
  wakeMs = Number.POSITIVE_INFINITY;
  /** A message is due that is not dispatched yet. */
  awaitsDispatch = false;
  /** The messages below this offset are due at `#lateDueMs`, monotonic, when their own time is too far off. */
  #lateEnd = 0;
  #lateDueMs = 0;

  constructor(level: number, delayMs: number, queue: QueueHandle) {
    this.level = level;
    this.delayMs = delayMs;
    this.queue = queue;
  }

  /**
   * How long the message at `offset`, due at the wall time `dueMs`, has to wait yet; 0 when it is due. `maxOffset` is the
   * queue's.
   */
  waitMs(dueMs: number, nowMs: number, monotonicMs: number, maxOffset: number): number {
    const waitMs = dueMs - nowMs;
    if (waitMs <= this.delayMs) return Math.max(0, waitMs);
    if (this.offset >= this.#lateEnd) {
      this.#lateEnd = maxOffset;
      this.#lateDueMs = monotonicMs + this.delayMs;
    }
    return Math.max(0, this.#lateDueMs - monotonicMs);
  }
}
