/**
 * The timers that wait: those of the slots whose time has come lie in memory, in the order in which they are due; all
 * others only in the index on the disk. A slot is read when its time begins, in portions, and is wiped out when nothing of
 * it is left.
 *
 * The wall clock may step. Forward, the slots passed over are read one after the other. Backward, slots that were read
 * are in use again: what is put into one goes to memory at once.
 */
import type { Logger } from "../../../base/log.js";
import { DueHeap } from "./due-heap.js";
import type { TimerProgress, WithinSlots } from "./timer-checkpoint.js";
import type { TimerDelivery } from "./timer-delivery.js";
import type { TimerIndex } from "./timer-index.js";
import { NO_POSITION, TimerUnit, UnitMagic } from "./timer-unit.js";

/** No further slot is read while so many timers are due that are not delivered. */
const HEAP_MAX = 200_000;
const INT32_MAX = 2147483647;

interface ActiveSlot {
  /** Timers of it in memory. */
  count: number;
  /** What was recalled in it, by its key. */
  recalled: Map<string, Recalled> | undefined;
}

interface Recalled {
  readonly topic: string;
  /** A message was met. After a crash there may be another copy of it. */
  met: boolean;
}

interface Loading {
  readonly slotMs: number;
  readonly slot: ActiveSlot;
  /** The next unit; those from `below` on have been read. */
  position: number;
  below: number;
  repaired: boolean;
}

export interface PendingOptions {
  readonly index: TimerIndex;
  readonly delivery: TimerDelivery;
  /** Messages further ahead are rolled. */
  readonly windowMs: number;
  readonly log: Logger;
  /** A recall met no message in its slot. */
  readonly onUnmatched: (topic: string) => void;
}

export class PendingTimers {
  readonly heap = new DueHeap();
  readonly #index: TimerIndex;
  readonly #delivery: TimerDelivery;
  readonly #windowMs: number;
  readonly #precisionMs: number;
  readonly #log: Logger;
  readonly #onUnmatched: (topic: string) => void;
  readonly #active = new Map<number, ActiveSlot>();
  readonly #unit = new TimerUnit();
  #loadedToMs = 0;
  #loading: Loading | undefined;
  /** From the checkpoint: what was delivered before the restart. */
  #within: WithinSlots | undefined;
  #withinEnd = 0;
  /** Slots done with since the last snapshot, to be wiped out once that is durable. */
  #closed: number[] = [];
  /** Messages below this log offset wait under a later one, but for those in memory. */
  movedBelow = 0;

  constructor({ index, delivery, windowMs, log, onUnmatched }: PendingOptions) {
    this.#index = index;
    this.#delivery = delivery;
    this.#windowMs = windowMs;
    this.#precisionMs = index.wheel.precisionMs;
    this.#log = log;
    this.#onUnmatched = onUnmatched;
  }

  begin({ readTimeMs, within, logPosition }: TimerProgress, nowMs: number): void {
    const { wheel } = this.#index;
    this.#within = within;
    this.#withinEnd = logPosition;
    this.movedBelow = within?.movedBelow ?? 0;
    this.#loadedToMs = wheel.slotTime(readTimeMs);
    if (readTimeMs > nowMs - wheel.spanMs) return;
    // After so long nobody walks over every slot in between.
    let firstMs = wheel.slotTime(nowMs);
    wheel.forEach(readTimeMs, { firstPosition: 0, lastPosition: 0, count: 0 }, (timeMs) => {
      firstMs = Math.min(firstMs, timeMs);
    });
    this.#loadedToMs = firstMs;
  }

  get loadedToMs(): number {
    return this.#loadedToMs;
  }

  get isLoading(): boolean {
    return this.#loading !== undefined;
  }

  /** The first slot that may have something left. */
  readTimeMs(nowMs: number): number {
    let first = Math.min(this.#loadedToMs, this.#index.wheel.slotTime(nowMs));
    for (const slotMs of this.#active.keys()) first = Math.min(first, slotMs);
    return first;
  }

  /** How long the first slot that has something due has been waiting for that. */
  behindMs(nowMs: number): number {
    let first = nowMs;
    if (this.#loadedToMs <= nowMs) first = this.#index.wheel.nextUsed(this.#loadedToMs, nowMs + 1) ?? nowMs;
    for (const [slotMs, { count }] of this.#active) if (count > 0) first = Math.min(first, slotMs);
    return Math.max(0, nowMs - Math.min(first, this.#loading?.slotMs ?? first));
  }

  /**
   * Takes a message that is filed under `outMs`; one that `isDelete` recalls another and is what the delivery has open,
   * or what a producer has just stored with those properties. False when the wheel has no room before older slots are
   * done with.
   */
  take(
    nowMs: number,
    phyOffset: number,
    sizeBytes: number,
    outMs: number,
    dueMs: number,
    topicHash: number,
    isDelete: boolean,
  ): boolean {
    const { wheel } = this.#index;
    const unit = this.#unit;
    const firstMs = this.readTimeMs(nowMs);
    unit.writeTimeMs = wheel.slotTime(nowMs);
    unit.magic = UnitMagic.DEFAULT | (isDelete ? UnitMagic.DELETE : 0);
    unit.timeMs = dueMs - 1;
    if (outMs - unit.writeTimeMs >= this.#windowMs) {
      unit.magic |= UnitMagic.ROLL;
      unit.timeMs = this.#rollTimeMs(outMs, unit.writeTimeMs);
    }
    if (wheel.slotTime(unit.timeMs) < firstMs) unit.timeMs = firstMs;
    if (Math.abs(unit.timeMs - unit.writeTimeMs) > INT32_MAX) unit.writeTimeMs = unit.timeMs;
    const slotMs = wheel.slotTime(unit.timeMs);
    if (slotMs >= firstMs + wheel.spanMs) return false;
    unit.phyOffset = phyOffset;
    unit.sizeBytes = sizeBytes;
    unit.topicHash = topicHash;
    const position = this.#index.add(unit);
    if (slotMs >= this.#loadedToMs) return true;
    const slot = this.#activate(slotMs);
    if (isRecall(unit.magic)) this.#recall(slot);
    else this.#push(slot, slotMs, isRoll(unit.magic) ? unit.timeMs : dueMs, position, phyOffset, unit.magic);
    return true;
  }

  /** As Apache has it: half a window when little more than one is left, so that no last step is too short. */
  #rollTimeMs(outMs: number, writeTimeMs: number): number {
    const slots = this.#windowMs / this.#precisionMs;
    const isShort = outMs - writeTimeMs - this.#windowMs < Math.floor(slots / 3) * this.#precisionMs;
    return writeTimeMs + (isShort ? Math.floor(slots / 2) * this.#precisionMs : this.#windowMs);
  }

  #activate(slotMs: number): ActiveSlot {
    let slot = this.#active.get(slotMs);
    if (slot === undefined) {
      slot = { count: 0, recalled: undefined };
      this.#active.set(slotMs, slot);
    }
    return slot;
  }

  #recall(slot: ActiveSlot): void {
    const { properties } = this.#delivery;
    slot.recalled ??= new Map();
    const key = properties.recalledKey;
    if (!slot.recalled.has(key)) slot.recalled.set(key, { topic: properties.realTopic, met: false });
  }

  #push(slot: ActiveSlot, slotMs: number, dueMs: number, position: number, phyOffset: number, magic: number): void {
    this.heap.push(dueMs, position, phyOffset, slotMs, magic);
    slot.count++;
  }

  // Reading slots

  /** Reads slots whose time has come, `unitsMax` units at the most: what is left of them, or -1 to try later. */
  load(nowMs: number, unitsMax: number): number {
    const { wheel } = this.#index;
    let left = unitsMax;
    while (left > 0) {
      if (this.#loading === undefined) {
        if (this.heap.size >= HEAP_MAX) return left;
        const slotMs = this.#loadedToMs <= nowMs ? wheel.nextUsed(this.#loadedToMs, nowMs + 1) : undefined;
        if (slotMs === undefined) {
          this.#loadedToMs = Math.max(this.#loadedToMs, wheel.slotTime(nowMs) + this.#precisionMs);
          return left;
        }
        this.#loadedToMs = slotMs + this.#precisionMs;
        const position = this.#index.lastOf(slotMs);
        this.#loading = { slotMs, slot: this.#activate(slotMs), position, below: position + 1, repaired: false };
      }
      left--;
      if (!this.#loadNext(this.#loading)) return -1;
    }
    return 0;
  }

  /** One unit further; false when its message can not be read yet. */
  #loadNext(loading: Loading): boolean {
    const { slotMs, slot, position } = loading;
    const unit = this.#unit;
    if (position === NO_POSITION) {
      this.#loading = undefined;
      return true;
    }
    if (!this.#index.read(position, unit) || this.#index.wheel.slotTime(unit.timeMs) !== slotMs) {
      this.#mend(loading);
      return true;
    }
    const { magic, phyOffset, prevPosition, timeMs } = unit;
    if (position < loading.below && !this.#loadUnit(slot, slotMs, position, magic, phyOffset, timeMs)) return false;
    loading.below = Math.min(loading.below, position);
    loading.position = prevPosition < position ? prevPosition : NO_POSITION;
    return true;
  }

  #loadUnit(
    slot: ActiveSlot,
    slotMs: number,
    position: number,
    magic: number,
    phyOffset: number,
    timeMs: number,
  ): boolean {
    if (phyOffset < this.movedBelow) return true;
    const delivery = this.#delivery;
    const isExact = isRoll(magic) || timeMs % this.#precisionMs !== 0;
    if (isRecall(magic) || !isExact) {
      if (phyOffset >= delivery.readablePosition) return false;
      // What can not be opened is passed over, with a word, when it is due.
      if (delivery.open(phyOffset)) {
        if (isRecall(magic)) this.#recall(slot);
        else
          this.#loadDue(
            slot,
            slotMs,
            delivery.properties.dueMs(delivery.storeTimestamp, this.#precisionMs),
            position,
            phyOffset,
            magic,
          );
        return true;
      }
      if (isRecall(magic)) return true;
    }
    this.#loadDue(slot, slotMs, isRoll(magic) ? timeMs : timeMs + 1, position, phyOffset, magic);
    return true;
  }

  #loadDue(slot: ActiveSlot, slotMs: number, dueMs: number, position: number, phyOffset: number, magic: number): void {
    const within = this.#within;
    if (within !== undefined && position < this.#withinEnd) {
      // One that came late into the slot, or is rolled, is in it all the same.
      const keyMs = Math.max(dueMs, slotMs + 1);
      if (keyMs < within.dueMs || (keyMs === within.dueMs && position < within.position)) return;
    }
    this.#push(slot, slotMs, dueMs, position, phyOffset, magic);
  }

  /** The slot leads to a unit that is none of it. Units whose file was removed had been done with. */
  #mend(loading: Loading): void {
    const { slotMs, position, repaired } = loading;
    if (position < this.#index.start || repaired) {
      if (repaired) this.#log.error({ slotMs, position }, "a slot of the timer wheel ends in the middle");
      this.#loading = undefined;
      return;
    }
    this.#index.rebuildWheel(slotMs);
    loading.position = this.#index.lastOf(slotMs);
    loading.repaired = true;
  }

  // Delivering

  /** Whether the first of the heap may be delivered: its slot may still be being read, and a recall be in it. */
  get isFirstReady(): boolean {
    return this.heap.size > 0 && this.heap.slotMs !== this.#loading?.slotMs;
  }

  /** Whether the message that the delivery has open, of slot `slotMs`, is recalled. */
  meetsRecall(slotMs: number): boolean {
    const recall = this.#active.get(slotMs)?.recalled?.get(this.#delivery.properties.ownKey);
    if (recall === undefined) return false;
    recall.met = true;
    return true;
  }

  /** The first of the heap is done with. */
  popFirst(): void {
    const slot = this.#active.get(this.heap.slotMs);
    if (slot !== undefined) slot.count--;
    this.heap.pop();
  }

  /** What was popped is not done with after all. */
  pushBack(slotMs: number, dueMs: number, position: number, phyOffset: number, magic: number): void {
    this.#push(this.#activate(slotMs), slotMs, dueMs, position, phyOffset, magic);
  }

  /**
   * Lets go of slots that have nothing left; what comes into one of them yet finds it empty. Recalls stay until the time
   * of their slot is over.
   */
  closeSlots(nowMs: number): void {
    for (const [slotMs, slot] of this.#active) {
      if (slot.count > 0 || slotMs === this.#loading?.slotMs) continue;
      if (slot.recalled !== undefined && slotMs + this.#precisionMs > nowMs) continue;
      this.#active.delete(slotMs);
      this.#closed.push(slotMs);
      for (const { topic, met } of slot.recalled?.values() ?? []) if (!met) this.#onUnmatched(topic);
    }
  }

  /**
   * Where things stand; to be saved once all that was put until now is durable. When nothing more `isToCome`, a slot that
   * was read and is done with is passed even within its time: Apache would deliver it again.
   */
  snapshot(nowMs: number, isToCome: boolean): { readTimeMs: number; within: WithinSlots; closed: number[] } {
    this.closeSlots(nowMs);
    const { heap } = this;
    let dueMs = this.#loadedToMs + 1;
    let position = 0;
    if (heap.size > 0 && heap.dueMs < dueMs) {
      dueMs = heap.dueMs;
      position = heap.position;
    }
    if (this.#loading !== undefined && this.#loading.slotMs < dueMs) {
      dueMs = this.#loading.slotMs;
      position = 0;
    }
    const movedBelow = this.movedBelow === 0 ? 0 : Math.min(this.movedBelow, heap.minPhyOffset());
    const closed = this.#closed;
    this.#closed = [];
    const readTimeMs = this.readTimeMs(isToCome ? nowMs : this.#loadedToMs);
    return { readTimeMs, within: { dueMs, position, movedBelow }, closed };
  }

  /** The slots of a snapshot that is durable now have nothing any more. */
  wipe(closed: readonly number[]): void {
    for (const slotMs of closed) if (!this.#active.has(slotMs)) this.#index.wheel.clear(slotMs);
  }

  /** The snapshot could not be saved. */
  keep(closed: readonly number[]): void {
    this.#closed.push(...closed);
  }
}

export function isRoll(magic: number): boolean {
  return (magic & UnitMagic.ROLL) !== 0;
}

/** A recall that has its message in the same slot. */
export function isRecall(magic: number): boolean {
  return (magic & UnitMagic.DELETE) !== 0 && !isRoll(magic);
}
