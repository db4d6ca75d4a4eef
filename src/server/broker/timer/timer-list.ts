/** Which messages wait, for operators: read from the wheel slot by slot, so a list of some costs no look at the others. */

import { decodeRecord } from "../../../record/decode.js";
import { PropertyName } from "../../../record/property-names.js";
import type { MessageStore } from "../../../store/message-store.js";
import { TIMER_TOPIC } from "../default-topics.js";
import { isRecall } from "./pending-timers.js";
import type { TimerMessageStore } from "./timer-message-store.js";
import { NO_POSITION, TimerUnit, UnitMagic } from "./timer-unit.js";

/** A message that waits for its time. */
export interface WaitingMessage {
  readonly topic: string;
  readonly queueId: number;
  readonly uniqueKey: string;
  /** Several between blanks. */
  readonly keys: string;
  /** When it is delivered, in milliseconds since 1970. */
  readonly dueMs: number;
  readonly storeTimestamp: number;
  readonly phyOffset: number;
  readonly sizeBytes: number;
}

/** Which of the messages that wait are listed. */
export interface TimerListOptions {
  /** Only of this topic. */
  readonly topic?: string | undefined;
  /** Only those due from then on, in milliseconds since 1970. */
  readonly fromMs?: number | undefined;
  /** At most so many: 100 by default. */
  readonly countMax: number;
  /** The time that counts as now; the clock's by default. */
  readonly nowMs: number;
}

/**
 * In the order of their slots, and within one of the time they are due at. Those beyond the roll window stand where they
 * are rolled next: behind others that are due later.
 */
export function listTimers(timers: TimerMessageStore, options: TimerListOptions): WaitingMessage[] {
  const { index, pending } = timers;
  const { wheel } = index;
  const found: WaitingMessage[] = [];
  const endMs = options.nowMs + wheel.spanMs;
  let slotMs: number | undefined = pending.readTimeMs(options.nowMs);
  for (;;) {
    slotMs = wheel.nextUsed(slotMs, endMs);
    if (slotMs === undefined || found.length >= options.countMax) return found.slice(0, options.countMax);
    found.push(...waitingIn(timers, slotMs, options));
    slotMs += wheel.precisionMs;
  }
}

function waitingIn(timers: TimerMessageStore, slotMs: number, options: TimerListOptions): WaitingMessage[] {
  const { index, pending, delivery } = timers;
  const { properties } = delivery;
  const inMemory = slotMs < pending.loadedToMs ? pending.heap.phyOffsets() : undefined;
  const recalled = new Set<string>();
  const waiting: { key: string; message: WaitingMessage }[] = [];
  const unit = new TimerUnit();
  for (let position = index.lastOf(slotMs); position !== NO_POSITION && index.read(position, unit); ) {
    const { phyOffset, magic, sizeBytes } = unit;
    const isWaiting = inMemory === undefined ? phyOffset >= pending.movedBelow : inMemory.has(phyOffset);
    if ((isWaiting || isRecall(magic)) && delivery.open(phyOffset)) {
      if (isRecall(magic)) recalled.add(properties.recalledKey);
      else if ((magic & UnitMagic.DELETE) === 0) {
        waiting.push({ key: properties.ownKey, message: messageAt(timers, phyOffset, sizeBytes) });
      }
    }
    position = unit.prevPosition < position ? unit.prevPosition : NO_POSITION;
  }
  delivery.forget();
  return waiting
    .filter(({ key, message }) => {
      if (recalled.has(key) || message.dueMs < (options.fromMs ?? 0)) return false;
      return options.topic === undefined || message.topic === options.topic;
    })
    .map(({ message }) => message)
    .sort((a, b) => a.dueMs - b.dueMs);
}

/** Of the record that the delivery has open. */
function messageAt({ delivery, index }: TimerMessageStore, phyOffset: number, sizeBytes: number): WaitingMessage {
  const { properties, storeTimestamp } = delivery;
  return {
    topic: properties.realTopic,
    queueId: properties.realQueueId,
    uniqueKey: properties.uniqueKey,
    keys: properties.keys,
    dueMs: properties.dueMs(storeTimestamp, index.wheel.precisionMs),
    storeTimestamp,
    phyOffset,
    sizeBytes,
  };
}

/** TIMER_OUT_MS of the message of `topic` with this unique key that waits, found by the index; undefined without one. */
export function findTimer(store: MessageStore, topic: string, uniqueKey: string, nowMs: number): number | undefined {
  const query = { topic: TIMER_TOPIC, key: uniqueKey, kind: "U", countMax: 64, endMs: nowMs + 1000 } as const;
  const { records } = store.lookUp.queryByKey(query);
  for (const record of records) {
    const { properties } = decodeRecord(record);
    if (properties.get(PropertyName.REAL_TOPIC) !== topic || properties.has(PropertyName.TIMER_DEL_UNIQKEY)) continue;
    if (properties.get(PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX) !== uniqueKey) continue;
    const outMs = Number(properties.get(PropertyName.TIMER_OUT_MS));
    if (Number.isSafeInteger(outMs)) return outMs;
  }
  return undefined;
}
