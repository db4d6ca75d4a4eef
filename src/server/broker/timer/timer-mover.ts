/**
 * Keeps retention from deleting messages that wait: before a segment of the commit log goes, those in it are put into the
 * timer topic again. Apache rolls every message within two days and loses what waits when the log is kept for less, or is
 * deleted for want of space.
 */
import type { MessageStore } from "../../../store/message-store.js";
import type { BrokerContext } from "../context.js";
import type { TimerMessageStore } from "./timer-message-store.js";
import type { TimerUnit } from "./timer-unit.js";

const PORTION_UNITS = 4096;
const PORTION_MOVES = 256;
const SOON_MS = 5;
/** Of the bytes of a segment that is to go for want of space. */
const MOVED_SHARE_MAX = 0.5;

export class TimerMover {
  readonly #timers: TimerMessageStore;
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  /** Units before it point below segments that were released. */
  #position = 0;
  #closed = false;
  #endPause: () => void = () => {};
  #heldOffset = -1;

  constructor(timers: TimerMessageStore, context: BrokerContext, store: MessageStore) {
    this.#timers = timers;
    this.#context = context;
    this.#store = store;
  }

  /**
   * Moves what waits below `endOffset`; resolves with true when nothing does any more. False asks to try again later.
   * With `forSpace` it stays where it is when moving it would give hardly any.
   */
  async release(endOffset: number, forSpace: boolean): Promise<boolean> {
    if (forSpace && !(await this.#isWorthwhile(endOffset))) return false;
    const { pending } = this.#timers;
    let position = this.#position;
    for (let isMore = true; isMore; ) {
      // What is being read of a slot is neither in memory nor to be moved.
      if (!pending.isLoading) {
        const next = this.#moveSome(position, endOffset);
        if (next === undefined) return false;
        isMore = next.isMore;
        position = next.position;
      }
      if (isMore) await this.#pause(pending.isLoading ? SOON_MS : 0);
      if (this.#closed) return false;
    }
    if (pending.heap.minPhyOffset() < endOffset) return false;
    // After a crash nobody is to look for what was delivered, or lies elsewhere now.
    if (!(await this.#timers.save())) return false;
    this.#position = position;
    return true;
  }

  async #isWorthwhile(endOffset: number): Promise<boolean> {
    const segmentBytes = endOffset - this.#store.minPhyOffset;
    let waitingBytes = 0;
    let position = this.#position;
    for (let isMore = true; isMore; ) {
      isMore = false;
      let left = PORTION_UNITS;
      position = this.#timers.index.scan(position, (_, unit) => {
        if (unit.phyOffset >= endOffset) return false;
        if (left-- === 0) {
          isMore = true;
          return false;
        }
        if (this.#waits(unit)) waitingBytes += unit.sizeBytes;
        return true;
      });
      if (isMore) await this.#pause(0);
      if (this.#closed) return false;
    }
    if (waitingBytes <= segmentBytes * MOVED_SHARE_MAX) return true;
    if (this.#heldOffset !== endOffset) {
      const fields = { endOffset, waitingBytes, segmentBytes };
      this.#context.log.warn(fields, "a segment is full of timers that wait: it is not deleted for space");
    }
    this.#heldOffset = endOffset;
    return false;
  }

  /** In a slot that is not read yet, and not moved before. */
  #waits({ timeMs, phyOffset }: TimerUnit): boolean {
    const { pending, index } = this.#timers;
    return index.wheel.slotTime(timeMs) >= pending.loadedToMs && phyOffset >= pending.movedBelow;
  }

  /** Undefined when a message could not be put. */
  #moveSome(from: number, endOffset: number): { isMore: boolean; position: number } | undefined {
    const { pending, delivery, index } = this.#timers;
    const { clock, config } = this.#context;
    let units = PORTION_UNITS;
    let moves = PORTION_MOVES;
    let isMore = false;
    let failed = false;
    const position = index.scan(from, (_, unit) => {
      const { phyOffset } = unit;
      if (phyOffset >= endOffset) return false;
      if (units-- === 0 || moves === 0) {
        isMore = true;
        return false;
      }
      if (this.#waits(unit) && delivery.open(phyOffset)) {
        moves--;
        const dueMs = delivery.properties.dueMs(delivery.storeTimestamp, config.timerPrecisionMs);
        const outcome = delivery.roll(clock.nowMs(), dueMs);
        failed = outcome === "retry";
        if (failed) return false;
        pending.movedBelow = phyOffset + 1;
        if (outcome === "done") this.#timers.stored(delivery.message, delivery.result);
        return true;
      }
      pending.movedBelow = Math.max(pending.movedBelow, phyOffset + 1);
      return true;
    });
    delivery.forget();
    return failed ? undefined : { isMore, position };
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#endPause = resolve;
      this.#context.clock.schedule(delayMs, resolve);
    });
  }

  /** Releases nothing any more. */
  close(): void {
    this.#closed = true;
    this.#endPause();
  }
}
