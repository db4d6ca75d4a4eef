/**
 * Messages that wait for any time ahead (store/timer/TimerMessageStore.java): they lie in `rmq_sys_wheel_timer` with the
 * place they were sent to in REAL_TOPIC and REAL_QID, and are copied there when their time has come, to the millisecond
 * where Apache goes by seconds. Whoever puts one there says so (`stored`), so it costs no reading of the queue; what was
 * put before the start, or without a word, is read from the queue.
 *
 * Nothing is delivered while the queue has messages that were not looked at: one of them may recall what is due.
 */
import type { Timer } from "../../../base/clock.js";
import { UnitBatch } from "../../../consumequeue/unit.js";
import type { MessageStore } from "../../../store/message-store.js";
import type { MessageInput, PutResult, QueueHandle } from "../../../store/types.js";
import type { BrokerContext } from "../context.js";
import { TIMER_TOPIC } from "../default-topics.js";
import { isRetryTopic } from "../names.js";
import { noteReadFailure, READ_RETRY_MS } from "../read-failure.js";
import type { StoredProperties } from "../stored-properties.js";
import { type Topic, topicQueue } from "../topic-config.js";
import { WallAlarm } from "../wall-alarm.js";
import { isRoll, PendingTimers } from "./pending-timers.js";
import { RecallHandleWriter } from "./recall-handle.js";
import { RateMeter } from "./rate-meter.js";
import { TimerDelivery } from "./timer-delivery.js";
import { TimerIndex } from "./timer-index.js";
import { TimerMover } from "./timer-mover.js";
import { dueMsOf, TopicHash } from "./timer-properties.js";
import type { WaitVerdict } from "./timer-verdict.js";
import { BLANK_SLOTS, WHEEL_SLOTS } from "./timer-wheel.js";

/** What one turn of the event loop does at the most: so many messages, and none begun after so long. */
const TURN_MESSAGES_MAX = 512;
const TURN_UNITS_MAX = 8192;
const TURN_MS_MAX = 3;
/** The clocks are looked at for one message of so many. */
const LOOK_MESSAGES = 8;
const RETRY_MS = 100;
/** Until the next look for what is on its way to the disk, or through dispatch. */
const SOON_MS = 5;
/** So far ahead the wheel is searched for the next slot. */
const AHEAD_MS = 86_400_000;
/** Until the next look at a gap of the queue. */
const GAP_MS = 5000;
/** A wall clock that was set back by less is not worth a word. */
const SET_BACK_MS = 5000;
const BATCH_UNITS = 64;
/** A flush that took its time is not repeated before so many times as long. */
const FLUSH_REST = 10;

/** Where a message goes that waits, and until when. */
export interface Wait {
  readonly topic: string;
  readonly verdict: WaitVerdict;
}

export class TimerMessageStore {
  /** The topic that messages wait in, and its one queue. */
  readonly topic: Topic;
  readonly queue: QueueHandle;
  readonly index: TimerIndex;
  readonly pending: PendingTimers;
  readonly delivery: TimerDelivery;
  readonly mover: TimerMover;
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #units = new UnitBatch(BATCH_UNITS);
  readonly #recallHandle = new RecallHandleWriter();
  readonly #topicHash = new TopicHash();
  readonly #enqueued: RateMeter;
  readonly #dequeued: RateMeter;
  /** The next message of the queue to look at, and one past the last that was put. */
  #nextOffset = 0;
  #endOffset = 0;
  readonly #alarm: WallAlarm;
  /** When the next turn is, by the clock that never steps and, as far as that goes, by the wall's. */
  #wakeMs = Number.POSITIVE_INFINITY;
  #wakeWallMs = Number.POSITIVE_INFINITY;
  #flushTimer: Timer | undefined;
  #flushing: Promise<void> | undefined;
  #changed = false;
  #flushFails = false;
  #opened = false;
  #running = false;

  constructor(context: BrokerContext, store: MessageStore) {
    const { config, clock, log, topics, timerMetrics } = context;
    this.#context = context;
    this.#store = store;
    this.#alarm = new WallAlarm(clock, (stepMs) => this.#turn(stepMs));
    this.topic = topics.get(TIMER_TOPIC)!;
    this.queue = topicQueue(context.store, this.topic, 0);
    this.queue.quiet = true;
    this.index = new TimerIndex({
      disk: store.disk,
      root: store.paths.root,
      precisionMs: config.timerPrecisionMs,
      fileBytes: config.mappedFileSizeTimerLog,
      log,
    });
    this.delivery = new TimerDelivery(context, store, this.topic, this.queue);
    this.pending = new PendingTimers({
      index: this.index,
      delivery: this.delivery,
      windowMs: rollWindowSlots(config.timerRollWindowSlot) * config.timerPrecisionMs,
      log,
      onUnmatched: (topic) => timerMetrics.add(topic, 1, clock.nowMs()),
    });
    this.mover = new TimerMover(this, context, store);
    this.#enqueued = new RateMeter(clock);
    this.#dequeued = new RateMeter(clock);
    timerMetrics.figures = () => this.#figures();
    timerMetrics.checkpoint = () => this.index.checkpoint.wire();
  }

  // What producers put

  /** How many messages wait in the slot of a time. */
  countAt(timeMs: number): number {
    return this.index.countAt(timeMs);
  }

  /**
   * What a producer can take back its message for `topic` with; none for one that is tried again. Valid until the next
   * call.
   */
  recallHandle(topic: string, outMs: number, properties: StoredProperties): RecallHandleWriter | undefined {
    if (isRetryTopic(topic)) return undefined;
    const { bytes, uniqueKeyStart, uniqueKeyEnd } = properties;
    this.#recallHandle.write(topic, this.#context.config.brokerName, outMs, bytes, uniqueKeyStart, uniqueKeyEnd);
    return this.#recallHandle;
  }

  /** Whoever puts a message into the queue says so; with its `wait`, its properties need not be read for that. */
  stored(message: MessageInput, { queueOffset, phyOffset, sizeBytes, storeTimestamp }: PutResult, wait?: Wait): void {
    this.#endOffset = Math.max(this.#endOffset, queueOffset + 1);
    if (!this.#opened || queueOffset !== this.#nextOffset) {
      this.#wake(0);
      return;
    }
    if (wait !== undefined) {
      this.#storedWaiting(wait, phyOffset, sizeBytes, storeTimestamp);
      return;
    }
    const { properties, propertiesStart, propertiesLength } = message;
    const timer = this.delivery.properties;
    const isTimer = timer.read(properties, propertiesStart, propertiesStart + propertiesLength);
    if (isTimer && !this.#take(phyOffset, sizeBytes, storeTimestamp)) this.#wake(0);
    else this.#taken(timer.outMs, this.#context.clock.nowMs());
  }

  #storedWaiting({ topic, verdict }: Wait, phyOffset: number, sizeBytes: number, storeTimestamp: number): void {
    const { outMs, askedMs, relative, nowMs } = verdict;
    const exactMs = relative ? storeTimestamp + askedMs : askedMs;
    const dueMs = dueMsOf(exactMs, outMs, this.#context.config.timerPrecisionMs);
    if (!this.pending.take(nowMs, phyOffset, sizeBytes, outMs, dueMs, this.#topicHash.of(topic), false)) {
      this.#wake(0);
      return;
    }
    this.#context.timerMetrics.add(topic, 1, nowMs);
    this.#enqueued.add();
    this.#change();
    this.#taken(outMs, nowMs);
  }

  /** The next message of the queue was filed under `outMs`. */
  #taken(outMs: number, nowMs: number): void {
    this.#nextOffset++;
    // The next turn looks for itself: nothing is to be done for what is not before it, unless the wall clock was set.
    if (outMs < this.#wakeWallMs || this.#wakeWallMs < nowMs) this.#wakeForNext();
  }

  /** Files what the delivery's properties are of; false when it has to wait. */
  #take(phyOffset: number, sizeBytes: number, storeTimestamp: number): boolean {
    const { properties } = this.delivery;
    const { clock, timerMetrics } = this.#context;
    const nowMs = clock.nowMs();
    const { outMs, topicHash, isDelete } = properties;
    const dueMs = properties.dueMs(storeTimestamp, this.#context.config.timerPrecisionMs);
    if (!this.pending.take(nowMs, phyOffset, sizeBytes, outMs, dueMs, topicHash, isDelete)) return false;
    // A rolled one has been counted.
    if (properties.rollTimes === 0) timerMetrics.add(properties.realTopic, properties.isDelete ? -1 : 1, nowMs);
    this.#enqueued.add();
    this.#change();
    return true;
  }

  // Life

  /** Brings the index in order. Throws as the disk does. */
  open(): void {
    const { clock, log } = this.#context;
    const progress = this.index.recover(
      {
        minPhyOffset: this.#store.minPhyOffset,
        maxPhyOffset: this.#store.maxPhyOffset,
        queueOffsetOf: (phyOffset) => (this.delivery.open(phyOffset) ? this.delivery.queueOffset : undefined),
      },
      clock.nowMs(),
    );
    this.pending.begin(progress, clock.nowMs());
    this.#endOffset = Math.max(this.#endOffset, this.#store.maxOffset(this.queue));
    this.#nextOffset = Math.max(this.#store.minOffset(this.queue), Math.min(progress.queueOffset, this.#endOffset));
    this.#opened = true;
    this.#store.onSegmentRelease((endOffset, forSpace) => this.mover.release(endOffset, forSpace));
    this.delivery.forget();
    const fields = { readTimeMs: progress.readTimeMs, logPosition: progress.logPosition };
    log.debug({ ...fields, queueOffset: this.#nextOffset, end: this.#endOffset }, "timers are read");
  }

  /** Begins to deliver: what fell due while nobody did, first. */
  start(): void {
    if (!this.#opened) this.open();
    this.#running = true;
    this.#wake(0);
  }

  /** Stops delivering and saves how far it got. */
  async close(): Promise<void> {
    this.#running = false;
    this.#alarm.cancel();
    this.#flushTimer?.cancel();
    this.mover.close();
    await this.#flushing;
    if (this.#opened && (this.#changed || this.index.end > 0)) await this.#flush();
    await this.#context.timerMetrics.saver.close();
    this.index.close();
  }

  // Turns

  #wake(delayMs: number): void {
    const { clock } = this.#context;
    if (!this.#running || this.#store.failure !== undefined) return;
    const wakeMs = clock.monotonicMs() + delayMs;
    if (wakeMs >= this.#wakeMs) return;
    this.#wakeMs = wakeMs;
    this.#wakeWallMs = clock.nowMs() + delayMs;
    this.#alarm.set(delayMs);
  }

  #turn(stepMs: number): void {
    this.#wakeMs = Number.POSITIVE_INFINITY;
    this.#wakeWallMs = Number.POSITIVE_INFINITY;
    if (!this.#running) return;
    const { clock, log } = this.#context;
    if (stepMs < -SET_BACK_MS) log.warn({ stepMs }, "the clock was set back, timers go by it");
    const endMs = clock.monotonicMs() + TURN_MS_MAX;
    let waitMs: number | undefined;
    try {
      waitMs = this.#nextOffset < this.#endOffset ? this.#readQueue(endMs) : this.#deliverDue(endMs);
    } catch (error) {
      noteReadFailure(error, log, "a timer");
      waitMs = READ_RETRY_MS;
    }
    this.delivery.forget();
    if (waitMs !== undefined) this.#wake(waitMs);
    else this.#wakeForNext();
  }

  /** For the first that falls due, of the heap or of the slots that are not read. */
  #wakeForNext(): void {
    if (!this.#running) return;
    const nowMs = this.#context.clock.nowMs();
    const { heap, loadedToMs } = this.pending;
    const { wheel } = this.index;
    let nextMs = heap.size > 0 ? heap.dueMs : Number.POSITIVE_INFINITY;
    const slotMs = wheel.nextUsed(loadedToMs, Math.min(nowMs + AHEAD_MS, loadedToMs + wheel.spanMs));
    if (slotMs !== undefined) nextMs = Math.min(nextMs, slotMs);
    if (nextMs < Number.POSITIVE_INFINITY) this.#wake(Math.max(0, nextMs - nowMs));
    else if (this.#wakeMs === Number.POSITIVE_INFINITY && wheel.nextUsed(loadedToMs, loadedToMs + wheel.spanMs)) {
      this.#wake(AHEAD_MS);
    }
  }

  /** Looks at messages of the queue that nobody told of; answers when to go on, undefined when there are none left. */
  #readQueue(endMs: number): number | undefined {
    const { clock, log } = this.#context;
    const units = this.#units;
    const minOffset = this.#store.minOffset(this.queue);
    if (this.#nextOffset < minOffset) {
      const fields = { offset: this.#nextOffset, minOffset };
      log.error(fields, "timers are gone with their segments of the log before they were looked at");
      this.#nextOffset = minOffset;
    }
    while (this.#nextOffset < this.#endOffset) {
      if (this.#store.lookUp.readUnits(this.queue, this.#nextOffset, units) === 0) return this.#awaitQueue();
      for (let i = 0; i < units.count; i++) {
        const phyOffset = units.messageOffset(i);
        if (this.delivery.open(phyOffset)) {
          const taken = this.#take(phyOffset, units.sizeBytes[i]!, this.delivery.storeTimestamp);
          // First what lies in the wheel's way is done with.
          if (!taken) return this.#deliverDue(endMs) ?? SOON_MS;
        } else {
          const fields = { phyOffset, queueOffset: this.#nextOffset };
          log.error(fields, "a message of the timer topic says no time, or is gone: it is passed over");
        }
        this.#nextOffset++;
        if (clock.monotonicMs() > endMs) return 0;
      }
    }
    return 0;
  }

  #awaitQueue(): number {
    if (this.#nextOffset >= this.#store.maxOffset(this.queue)) return SOON_MS;
    this.#context.log.error({ offset: this.#nextOffset }, "the queue of timers has a gap");
    return GAP_MS;
  }

  /** Delivers what is due; answers when to go on, undefined for when the next one is due. */
  #deliverDue(endMs: number): number | undefined {
    const { clock } = this.#context;
    const { pending } = this;
    const { heap } = pending;
    let nowMs = clock.nowMs();
    const unitsLeft = pending.load(nowMs, TURN_UNITS_MAX);
    for (let count = 0; pending.isFirstReady; count++) {
      if (count % LOOK_MESSAGES === 0) nowMs = clock.nowMs();
      if (heap.dueMs > nowMs) break;
      if (count === TURN_MESSAGES_MAX || (count % LOOK_MESSAGES === 0 && clock.monotonicMs() > endMs)) return 0;
      if (heap.phyOffset >= this.delivery.readablePosition) return SOON_MS;
      if (!this.#deliverFirst(nowMs)) return RETRY_MS;
    }
    pending.closeSlots(clock.nowMs());
    if (unitsLeft < 0) return SOON_MS;
    return unitsLeft === 0 ? 0 : undefined;
  }

  /** False when it could not be put and is to be tried again. */
  #deliverFirst(nowMs: number): boolean {
    const { pending, delivery } = this;
    const { log, timerMetrics } = this.#context;
    const { heap } = pending;
    const { phyOffset, slotMs, dueMs, position, magic } = heap;
    const isThere = delivery.open(phyOffset);
    pending.popFirst();
    this.#change();
    if (!isThere) {
      log.error({ phyOffset, dueMs }, "a timer can not be delivered: its message is gone, or no message that waits");
      return true;
    }
    if (isRoll(magic)) {
      const { timerPrecisionMs } = this.#context.config;
      const outcome = delivery.roll(nowMs, delivery.properties.dueMs(delivery.storeTimestamp, timerPrecisionMs));
      if (outcome === "done") this.stored(delivery.message, delivery.result);
      if (outcome === "retry") pending.pushBack(slotMs, dueMs, position, phyOffset, magic);
      return outcome !== "retry";
    }
    if (pending.meetsRecall(slotMs)) return true;
    const outcome = delivery.deliver(nowMs);
    if (outcome === "retry") {
      pending.pushBack(slotMs, dueMs, position, phyOffset, magic);
      return false;
    }
    this.#dequeued.add();
    timerMetrics.add(outcome === "done" ? delivery.realTopic : delivery.properties.realTopic, -1, nowMs);
    return true;
  }

  // Progress

  #change(): void {
    this.#changed = true;
    if (this.#flushTimer !== undefined || this.#flushing !== undefined || !this.#running) return;
    this.#flushLater(this.#context.config.timerFlushIntervalMs);
  }

  #flushLater(delayMs: number): void {
    this.#flushTimer = this.#context.clock.schedule(delayMs, () => {
      this.#flushTimer = undefined;
      void this.#flushNow();
    });
  }

  /** Saves how far things are; false where the disk does not let it. */
  async save(): Promise<boolean> {
    while (this.#flushing !== undefined) await this.#flushing;
    if (!this.#changed) return true;
    this.#flushTimer?.cancel();
    this.#flushTimer = undefined;
    await this.#flushNow();
    return !this.#flushFails;
  }

  #flushNow(): Promise<void> {
    const { clock, config } = this.#context;
    const startMs = clock.monotonicMs();
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = undefined;
      const tookMs = clock.monotonicMs() - startMs;
      if (this.#changed && this.#running) this.#flushLater(Math.max(config.timerFlushIntervalMs, tookMs * FLUSH_REST));
    });
    return this.#flushing;
  }

  /**
   * What is delivered now goes into the files once it is on the disk; where that fails they stay behind, and a restart
   * delivers some messages again. Never rejects.
   */
  async #flush(): Promise<void> {
    const { clock, log, timerMetrics, topics } = this.#context;
    const { pending, index } = this;
    this.#changed = false;
    const nowMs = clock.nowMs();
    // While nothing was due nobody has looked at the slots that have gone by: the next broker need not.
    try {
      pending.load(nowMs, TURN_UNITS_MAX);
    } catch (error) {
      noteReadFailure(error, log, "a timer");
    }
    this.delivery.forget();
    const { readTimeMs, within, closed } = pending.snapshot(nowMs, this.#running);
    try {
      await this.#store.whenFlushed(this.#store.maxPhyOffset);
      pending.wipe(closed);
      index.removeBelow(this.#store.minPhyOffset);
      await index.flush({ readTimeMs, within, queueOffset: this.#nextOffset }, clock.nowMs());
      timerMetrics.forgetGone((topic) => topics.get(topic) !== undefined);
      await timerMetrics.saver.saveIfDirty();
      this.#flushFails = false;
    } catch (error) {
      pending.keep(closed);
      this.#changed = true;
      if (!this.#flushFails) log.warn({ err: error }, "the progress of timers could not be saved, will try again");
      this.#flushFails = true;
    }
  }

  #figures() {
    const nowMs = this.#context.clock.nowMs();
    return {
      readBehindMs: this.pending.behindMs(nowMs),
      offsetBehind: Math.max(0, this.#endOffset - this.#nextOffset),
      congestCount: this.index.pendingCount(this.pending.readTimeMs(nowMs)),
      enqueueTps: this.#enqueued.perSecond(),
      dequeueTps: this.#dequeued.perSecond(),
    };
  }
}

/** What Apache makes of timerRollWindowSlot. */
function rollWindowSlots(given: number): number {
  const most = WHEEL_SLOTS - BLANK_SLOTS;
  return given > most || given < 2 ? most : given;
}
