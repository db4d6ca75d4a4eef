/**
 * Delay levels (broker/schedule/ScheduleMessageService.java): messages wait in the queues of SCHEDULE_TOPIC_XXXX, one for
 * each level, and are copied to the topic and queue they are meant for when their time has come. Apache looks at every
 * queue ten times a second; here one timer stands at the next due time of all, set when a message is put, and what is
 * due is delivered in small portions between which the event loop does its other work.
 */
import type { Timer } from "../../base/clock.js";
import { isExtAddress, tagsCodeOf, UnitBatch } from "../../consumequeue/unit.js";
import { decodeProperties, encodeProperties, PropertyScan } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import { RecordView } from "../../record/record-view.js";
import { parseDelayLevels } from "../../record/tags-code.js";
import type { MessageStore } from "../../store/message-store.js";
import { type PutResult, PutStatus, type QueueHandle } from "../../store/types.js";
import type { BrokerContext } from "./context.js";
import { SCHEDULE_TOPIC } from "./default-topics.js";
import { DelayLevel } from "./delay-level.js";
import { LightQueueNotice } from "./light-queues.js";
import { copyMessage, emptyMessage, emptyPutResult, forgetBytes } from "./message-copy.js";
import { isSafeName, TRANSACTION_HALF_TOPIC } from "./names.js";
import { noteReadFailure, READ_RETRY_MS } from "./read-failure.js";
import { type Topic, topicQueue } from "./topic-config.js";
import { WallAlarm } from "./wall-alarm.js";

/** What one turn of the event loop delivers at the most: so many messages, and none begun after so long. */
const TURN_MESSAGES_MAX = 256;
const TURN_MS_MAX = 3;
/** After a put that failed. */
const RETRY_MS = 100;
/** Until the next look at a gap of a queue. */
const GAP_MS = 5000;
const BATCH_UNITS = 64;
const QUEUE_ID_MAX = 65535;

const REAL_TOPIC = 0;
const REAL_QUEUE_ID = 1;
const CRC32 = 2;
const LIGHT_QUEUES = 3;

export class ScheduleMessageService {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #levels: readonly DelayLevel[];
  readonly #topic: Topic;
  readonly #units = new UnitBatch(BATCH_UNITS);
  readonly #record = new RecordView();
  readonly #scan = new PropertyScan([
    PropertyName.REAL_TOPIC,
    PropertyName.REAL_QUEUE_ID,
    PropertyName.CRC32,
    PropertyName.INNER_MULTI_DISPATCH,
  ]);
  readonly #light: LightQueueNotice;
  readonly #message = emptyMessage();
  readonly #result = emptyPutResult();
  /** What is left of the turn. */
  #turnMessages = 0;
  #turnEndMs = 0;
  /** Where the next turn begins: behind the level that used up the last one. */
  #firstIndex = 0;
  readonly #alarm: WallAlarm;
  #timerMs = Number.POSITIVE_INFINITY;
  #saveTimer: Timer | undefined;
  #putsFail = false;
  #running = false;

  constructor(context: BrokerContext, store: MessageStore) {
    this.#context = context;
    this.#store = store;
    this.#alarm = new WallAlarm(context.clock, (stepMs) => this.#turn(stepMs));
    this.#light = new LightQueueNotice(context);
    // Nobody can delete a system topic.
    this.#topic = context.topics.get(SCHEDULE_TOPIC)!;
    this.#levels = parseDelayLevels(context.config.messageDelayLevel).map(
      (delayMs, index) => new DelayLevel(index + 1, delayMs, topicQueue(context.store, this.#topic, index)),
    );
    store.onArrival((queue) => this.#arrived(queue));
  }

  get levelMax(): number {
    return this.#levels.length;
  }

  /** The topic that messages of all levels wait in. */
  get topic(): Topic {
    return this.#topic;
  }

  /** Where messages of a level wait; `level` is from 1 to `levelMax`. */
  queueOf(level: number): QueueHandle {
    return this.#levels[level - 1]!.queue;
  }

  /** Begins to deliver: what fell due while nobody did, first. */
  start(): void {
    this.#running = true;
    for (const level of this.#levels) {
      this.#begin(level);
      level.wakeMs = this.#context.clock.monotonicMs();
    }
    this.#setTimer();
    this.#saveLater();
  }

  /** Whoever puts a message into the queue of a level says so. */
  stored(queue: QueueHandle, result: PutResult): void {
    const level = this.#levels[queue.queueId]!;
    level.end = result.queueOffset + 1;
    if (level.wakeMs !== Number.POSITIVE_INFINITY || level.awaitsDispatch) return;
    level.wakeMs = this.#context.clock.monotonicMs() + level.delayMs;
    this.#setTimer();
  }

  /** Stops delivering and saves how far it got. */
  async close(): Promise<void> {
    this.#running = false;
    this.#alarm.cancel();
    this.#saveTimer?.cancel();
    for (const level of this.#levels) this.#expectDispatch(level, false);
    await this.#save();
    await this.#context.delayOffsets.saver.close();
  }

  #begin(level: DelayLevel): void {
    const { delayOffsets, log } = this.#context;
    const minOffset = this.#store.minOffset(level.queue);
    const maxOffset = this.#store.maxOffset(level.queue);
    const saved = delayOffsets.get(level.level);
    level.offset = Math.max(minOffset, Math.min(saved ?? 0, maxOffset));
    // A client may have been quicker than this.
    level.end = Math.max(level.end, maxOffset);
    if (saved === undefined || saved === level.offset) return;
    const fields = { level: level.level, saved, minOffset, maxOffset };
    log.error(fields, "the saved offset of a delay level lies outside of its queue, delivery begins inside");
    delayOffsets.set(level.level, level.offset);
  }

  // Turns

  /** One timer for the earliest of all levels. */
  #setTimer(): void {
    if (!this.#running || this.#store.failure !== undefined) return;
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const level of this.#levels) earliestMs = Math.min(earliestMs, level.wakeMs);
    if (earliestMs >= this.#timerMs) return;
    this.#timerMs = earliestMs;
    this.#alarm.set(earliestMs - this.#context.clock.monotonicMs());
  }

  #turn(stepMs: number): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    if (!this.#running) return;
    const startMs = this.#context.clock.monotonicMs();
    // What each level waits for was reckoned by the old time.
    if (stepMs !== 0)
      for (const level of this.#levels) if (level.wakeMs < Number.POSITIVE_INFINITY) level.wakeMs = startMs;
    this.#turnMessages = TURN_MESSAGES_MAX;
    this.#turnEndMs = startMs + TURN_MS_MAX;
    const count = this.#levels.length;
    const first = this.#firstIndex;
    for (let i = 0; i < count; i++) {
      const index = (first + i) % count;
      const level = this.#levels[index]!;
      if (level.wakeMs > startMs) continue;
      try {
        this.#work(level);
      } catch (error) {
        noteReadFailure(error, this.#context.log, "a queue of delayed messages");
        level.wakeMs = this.#context.clock.monotonicMs() + READ_RETRY_MS;
      }
      if (this.#turnMessages > 0) continue;
      this.#firstIndex = (index + 1) % count;
      break;
    }
    forgetBytes(this.#message);
    this.#setTimer();
  }

  /** Delivers what is due of one level, as far as the turn allows, and says when to look again. */
  #work(level: DelayLevel): void {
    const { clock, delayOffsets } = this.#context;
    const units = this.#units;
    for (;;) {
      this.#passGone(level);
      if (this.#store.lookUp.readUnits(level.queue, level.offset, units) === 0) {
        if (this.#reachedEnd(level)) return;
        continue;
      }
      const maxOffset = this.#store.maxOffset(level.queue);
      for (let i = 0; i < units.count; i++) {
        const monotonicMs = clock.monotonicMs();
        if (this.#turnMessages === 0 || monotonicMs > this.#turnEndMs) {
          this.#turnMessages = 0;
          level.wakeMs = monotonicMs;
          return;
        }
        const waitMs = level.waitMs(this.#dueMs(level, i), clock.nowMs(), monotonicMs, maxOffset);
        if (waitMs > 0) {
          delayOffsets.set(level.level, level.offset);
          level.wakeMs = monotonicMs + waitMs;
          return;
        }
        this.#turnMessages--;
        if (!this.#deliver(level, units.messageOffset(i))) {
          level.wakeMs = monotonicMs + RETRY_MS;
          return;
        }
        delayOffsets.set(level.level, ++level.offset);
      }
    }
  }

  /** The wall time of entry `index` of the units just read: the tags code, where that is no address of a tags code. */
  #dueMs(level: DelayLevel, index: number): number {
    const high = this.#units.tagsCodeHigh[index]!;
    const low = this.#units.tagsCodeLow[index]!;
    if (!isExtAddress(high, low)) return tagsCodeOf(high, low);
    return this.#store.lookUp.storeTimestampAt(this.#units.messageOffset(index)) + level.delayMs;
  }

  #passGone(level: DelayLevel): void {
    const minOffset = this.#store.minOffset(level.queue);
    if (level.offset >= minOffset) return;
    const fields = { level: level.level, offset: level.offset, minOffset };
    this.#context.log.error(fields, "delayed messages are gone with their segments of the log");
    level.offset = minOffset;
  }

  /** Nothing can be read at the level's offset. True when that is to be waited for, false to look again at once. */
  #reachedEnd(level: DelayLevel): boolean {
    if (level.offset < this.#store.maxOffset(level.queue)) {
      this.#context.log.error({ level: level.level, offset: level.offset }, "a queue of delayed messages has a gap");
      level.wakeMs = this.#context.clock.monotonicMs() + GAP_MS;
      return true;
    }
    level.wakeMs = Number.POSITIVE_INFINITY;
    const isBehind = level.end > level.offset;
    const isNews = isBehind && !level.awaitsDispatch;
    this.#expectDispatch(level, isBehind);
    // Between the look and the declared interest a message may have come.
    return !(isNews && this.#store.maxOffset(level.queue) > level.offset);
  }

  #expectDispatch(level: DelayLevel, expected: boolean): void {
    if (level.awaitsDispatch === expected) return;
    level.awaitsDispatch = expected;
    this.#store.setInterest(expected);
  }

  #arrived(queue: QueueHandle): void {
    const level = queue.topic === SCHEDULE_TOPIC ? this.#levels[queue.queueId] : undefined;
    if (level?.awaitsDispatch !== true) return;
    this.#expectDispatch(level, false);
    level.wakeMs = this.#context.clock.monotonicMs();
    this.#setTimer();
  }

  // Delivery

  /** False when the message could not be put and is to be tried again; one that never can be is passed over. */
  #deliver(level: DelayLevel, phyOffset: number): boolean {
    const { stats } = this.#context;
    const record = this.#store.lookUp.readRecord(phyOffset, this.#record);
    const target = record === undefined ? undefined : this.#fill(record);
    if (target === undefined) {
      this.#passOver(level, phyOffset, "it is gone, or does not say where it belongs");
      return true;
    }
    const status = this.#store.put(this.#message, this.#result);
    if (status === PutStatus.PUT_OK) {
      this.#putsFail = false;
      if (target !== NO_TOPIC) stats.recordPut(target, 1, this.#result.sizeBytes);
      if (this.#scan.has(LIGHT_QUEUES)) this.#missedLightQueues(record!);
      return true;
    }
    stats.putsFailed++;
    if (status === PutStatus.MESSAGE_ILLEGAL || status === PutStatus.PROPERTIES_SIZE_EXCEEDED) {
      this.#passOver(level, phyOffset, "it is larger than maxMessageSize allows today");
      return true;
    }
    if (!this.#putsFail) {
      const fields = { level: level.level, queueOffset: level.offset, status };
      this.#context.log.warn(fields, "delayed messages can not be delivered now, will try again");
    }
    this.#putsFail = true;
    return false;
  }

  #missedLightQueues(record: Buffer): void {
    const { topic } = this.#message.queue;
    this.#light.missed(this.#scan.text(record, LIGHT_QUEUES)!, topic, this.#result.phyOffset);
  }

  /** One message that can not be delivered must not hold up all behind it; it stays in the log, where this says. */
  #passOver(level: DelayLevel, phyOffset: number, why: string): void {
    const fields = { level: level.level, queueOffset: level.offset, phyOffset };
    this.#context.log.error(fields, `a delayed message can not be delivered: ${why}`);
  }

  /** Makes the record the message to put. Answers its topic; NO_TOPIC for one that is deleted; undefined for neither. */
  #fill(record: Buffer): Topic | typeof NO_TOPIC | undefined {
    const message = this.#message;
    copyMessage(record, this.#record, message);
    const { propertiesStart, propertiesLength } = this.#record;
    const scan = this.#scan;
    scan.scan(record, propertiesStart, propertiesStart + propertiesLength);
    const queueIdText = scan.text(record, REAL_QUEUE_ID) ?? "";
    const queueId = /^\d{1,5}$/.test(queueIdText) ? Number(queueIdText) : -1;
    if (!scan.has(REAL_TOPIC) || queueId < 0 || queueId > QUEUE_ID_MAX) return undefined;
    if (scan.has(CRC32)) this.#dropCrc();
    const topic = this.#context.topics.getBytes(record, scan.starts[REAL_TOPIC]!, scan.ends[REAL_TOPIC]!);
    if (topic === this.#topic || topic?.name === TRANSACTION_HALF_TOPIC || topic?.hasBatchQueues) return undefined;
    if (topic !== undefined) {
      message.queue = topicQueue(this.#context.store, topic, queueId);
      return topic;
    }
    const name = scan.text(record, REAL_TOPIC)!;
    if (!isSafeName(name)) return undefined;
    message.queue = this.#context.store.queue(name, queueId);
    return NO_TOPIC;
  }

  /** The CRC is of the whole record that it stands in: a copy in another queue has none. */
  #dropCrc(): void {
    const message = this.#message;
    const end = message.propertiesStart + message.propertiesLength;
    const properties = decodeProperties(message.properties, message.propertiesStart, end);
    properties.delete(PropertyName.CRC32);
    message.properties = encodeProperties(properties);
    message.propertiesStart = 0;
    message.propertiesLength = message.properties.length;
  }

  // Progress

  #saveLater(): void {
    const { clock, config } = this.#context;
    const save = (): void => {
      void this.#save();
      this.#saveLater();
    };
    this.#saveTimer = clock.schedule(config.flushDelayOffsetInterval, save, true);
  }

  /** What is delivered now goes into the file once it is on the disk; where that fails the file stays behind. */
  async #save(): Promise<void> {
    const { delayOffsets } = this.#context;
    if (!delayOffsets.changed) return;
    const offsets = delayOffsets.snapshot();
    const position = this.#store.maxPhyOffset;
    const durable = await this.#store.whenFlushed(position).then(
      () => true,
      () => false,
    );
    if (!durable) return;
    delayOffsets.settle(offsets);
    await delayOffsets.saver.saveIfDirty();
  }
}

/** Stands for the topic of a message whose topic was deleted while it waited: it is delivered, as Apache does. */
const NO_TOPIC = Symbol("no topic");
