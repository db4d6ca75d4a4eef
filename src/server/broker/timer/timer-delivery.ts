/**
 * Records of the timer topic: read, and copied to where they belong, or into the topic once more when they have to wait
 * longer than the wheel reaches (TimerMessageStore#convert, #doPut).
 */
import { copyBytes } from "../../../base/copy-bytes.js";
import { PROPERTIES_BYTES_MAX } from "../../../record/layout.js";
import { PropertyName } from "../../../record/property-names.js";
import { RecordView } from "../../../record/record-view.js";
import type { MessageStore } from "../../../store/message-store.js";
import { type MessageInput, type PutResult, PutStatus, type QueueHandle } from "../../../store/types.js";
import type { BrokerContext } from "../context.js";
import { TIMER_TOPIC } from "../default-topics.js";
import { LightQueueNotice } from "../light-queues.js";
import { copyMessage, emptyMessage, emptyPutResult, forgetBytes } from "../message-copy.js";
import { isSafeName, TRANSACTION_HALF_TOPIC } from "../names.js";
import { batchQueuesRemark } from "../put-remark.js";
import { type Topic, topicQueue } from "../topic-config.js";
import { Asked, TimerProperties } from "./timer-properties.js";

const QUEUE_ID_MAX = 65535;
const FRESH_MS = 10_000;
const FRESH_BYTES = 64 * 1024 * 1024;
/** What is added to the properties is shorter. */
const ADDED_BYTES_MAX = 256;
/** What the record of the timer topic has and the delivered one has not, or has anew. */
const DROPPED: readonly number[] = [Asked.ENQUEUE_MS, Asked.DEQUEUE_MS, Asked.CRC32];
const DROPPED_ROLLED: readonly number[] = [...DROPPED, Asked.ROLL_TIMES];
const TIMER_TOPIC_BYTES = Buffer.from(TIMER_TOPIC);
const NO_BYTES = Buffer.alloc(0);

/** "retry": not now. "never": the message can not be put; it stays where it is in the log. */
export type DeliveryOutcome = "done" | "retry" | "never";

export class TimerDelivery {
  /** Of the record that was opened last. */
  readonly properties = new TimerProperties();
  readonly message: MessageInput = emptyMessage();
  readonly result: PutResult = emptyPutResult();
  /** Of the message that was delivered last. */
  realTopic = "";
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #topic: Topic;
  readonly #queue: QueueHandle;
  readonly #view = new RecordView();
  readonly #written = Buffer.allocUnsafeSlow(PROPERTIES_BYTES_MAX + ADDED_BYTES_MAX);
  readonly #light: LightQueueNotice;
  /** Where the log ended when this process began. */
  readonly #beganAt: number;
  #record: Buffer = NO_BYTES;
  #putsFail = false;
  /** The properties that say when a message came and went, and the times that they are made for. */
  #times = NO_BYTES;
  #enqueueMs = -1;
  #dequeueMs = -1;

  constructor(context: BrokerContext, store: MessageStore, topic: Topic, queue: QueueHandle) {
    this.#context = context;
    this.#store = store;
    this.#topic = topic;
    this.#queue = queue;
    this.#light = new LightQueueNotice(context);
    this.#beganAt = store.maxPhyOffset;
  }

  /** The log can be read up to here. */
  get readablePosition(): number {
    return this.#store.syncFlush ? this.#store.flushedPosition : this.#store.maxPhyOffset;
  }

  /** False where there is no message that waits: an index may be older than the log, or damaged. */
  open(phyOffset: number): boolean {
    const place = this.#store.lookUp.findRecord(phyOffset, this.#view);
    if (place === undefined) return false;
    const { topicStart, topicLength, propertiesStart, propertiesLength } = this.#view;
    if (!isTimerTopic(place.bytes, topicStart, topicLength)) return false;
    this.#record = place.bytes;
    return this.properties.read(place.bytes, propertiesStart, propertiesStart + propertiesLength, place.view);
  }

  get storeTimestamp(): number {
    return this.#view.storeTimestamp;
  }

  get queueOffset(): number {
    return this.#view.queueOffset;
  }

  get sizeBytes(): number {
    return this.#view.totalSize;
  }

  /** Lets go of the log's bytes. */
  forget(): void {
    forgetBytes(this.message);
    this.properties.forget();
    this.#record = NO_BYTES;
  }

  /** Puts the opened message where its producer sent it. */
  deliver(nowMs: number): DeliveryOutcome {
    copyMessage(this.#record, this.#view, this.message);
    if (this.#isFresh(nowMs)) this.message.bodyCrc = this.#view.bodyCrc;
    const { store, topics } = this.#context;
    const queueId = this.properties.realQueueId;
    const { scan } = this.properties;
    if (!scan.has(Asked.REAL_TOPIC) || !(queueId >= 0 && queueId <= QUEUE_ID_MAX))
      return this.#never("it does not say where it belongs");
    const topic = topics.getBytes(this.#record, scan.starts[Asked.REAL_TOPIC]!, scan.ends[Asked.REAL_TOPIC]!);
    const name = topic?.name ?? this.properties.realTopic;
    if (topic === this.#topic || name === TRANSACTION_HALF_TOPIC || (topic === undefined && !isSafeName(name))) {
      return this.#never("it says that it belongs where no message is delivered to");
    }
    if (topic?.hasBatchQueues) return this.#never(batchQueuesRemark(topic));
    this.realTopic = name;
    // As Apache does, also to a topic that was deleted in the meantime.
    this.message.queue = topic === undefined ? store.queue(name, queueId) : topicQueue(store, topic, queueId);
    this.#addTimes(nowMs, undefined);
    const outcome = this.#put(topic);
    if (outcome === "done" && scan.has(Asked.LIGHT_QUEUES))
      this.#light.missed(this.properties.text(Asked.LIGHT_QUEUES)!, name, this.result.phyOffset);
    return outcome;
  }

  /** This process has put it, so lately that it is in memory still: its body is the one that its CRC was made of. */
  #isFresh(nowMs: number): boolean {
    const { phyOffset, storeTimestamp } = this.#view;
    const ageMs = nowMs - storeTimestamp;
    return (
      phyOffset >= this.#beganAt &&
      ageMs >= 0 &&
      ageMs <= FRESH_MS &&
      this.#store.maxPhyOffset - phyOffset <= FRESH_BYTES
    );
  }

  /** Puts the opened message into the timer topic again. */
  roll(nowMs: number, dueMs: number): DeliveryOutcome {
    copyMessage(this.#record, this.#view, this.message);
    this.message.queue = this.#queue;
    this.#addTimes(nowMs, dueMs);
    return this.#put(this.#topic);
  }

  /** The properties of the copy: without the CRC of the other record, with when it came and went. */
  #addTimes(nowMs: number, rolledDueMs: number | undefined): void {
    const { message, properties } = this;
    const { timerPrecisionMs } = this.#context.config;
    const { storeTimestamp } = this.#view;
    const enqueueMs = storeTimestamp - (storeTimestamp % timerPrecisionMs);
    let dropped = DROPPED;
    let times = this.#timesOf(enqueueMs, nowMs);
    if (rolledDueMs !== undefined) {
      dropped = DROPPED_ROLLED;
      let added = `${PropertyName.TIMER_ROLL_TIMES}\u0001${properties.rollTimes + 1}\u0002`;
      if (!properties.scan.has(Asked.DELIVER_MS)) added += `${PropertyName.TIMER_DELIVER_MS}\u0001${rolledDueMs}\u0002`;
      times = Buffer.concat([times, Buffer.from(added, "latin1")]);
    }
    const { scan } = properties;
    const { propertiesStart, propertiesLength } = this.#view;
    const end = propertiesStart + propertiesLength;
    let length = scan.copyExcept(this.#record, propertiesStart, end, dropped, this.#written, 0);
    // A message that may not grow any more is delivered as it is.
    if (length + times.length <= PROPERTIES_BYTES_MAX) {
      length = copyBytes(this.#written, length, times, 0, times.length);
    }
    message.properties = this.#written;
    message.propertiesStart = 0;
    message.propertiesLength = length;
  }

  /** When it came and when it went: the same for most of what one turn delivers. */
  #timesOf(enqueueMs: number, dequeueMs: number): Buffer {
    if (enqueueMs !== this.#enqueueMs || dequeueMs !== this.#dequeueMs) {
      this.#enqueueMs = enqueueMs;
      this.#dequeueMs = dequeueMs;
      const { TIMER_ENQUEUE_MS, TIMER_DEQUEUE_MS } = PropertyName;
      const text = `${TIMER_ENQUEUE_MS}\u0001${enqueueMs}\u0002${TIMER_DEQUEUE_MS}\u0001${dequeueMs}\u0002`;
      this.#times = Buffer.from(text, "latin1");
    }
    return this.#times;
  }

  #put(topic: Topic | undefined): DeliveryOutcome {
    const { stats, log } = this.#context;
    const status = this.#store.put(this.message, this.result);
    if (status === PutStatus.PUT_OK) {
      this.#putsFail = false;
      if (topic !== undefined) stats.recordPut(topic, 1, this.result.sizeBytes);
      return "done";
    }
    stats.putsFailed++;
    if (status === PutStatus.MESSAGE_ILLEGAL || status === PutStatus.PROPERTIES_SIZE_EXCEEDED) {
      return this.#never("it is larger than maxMessageSize allows today");
    }
    if (!this.#putsFail) log.warn({ status }, "timers can not be delivered now, will try again");
    this.#putsFail = true;
    return "retry";
  }

  #never(why: string): "never" {
    const { phyOffset, queueOffset } = this.#view;
    this.#context.log.error({ phyOffset, queueOffset }, `a timer can not be delivered: ${why}`);
    return "never";
  }
}

function isTimerTopic(bytes: Buffer, start: number, length: number): boolean {
  if (length !== TIMER_TOPIC_BYTES.length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== TIMER_TOPIC_BYTES[i]) return false;
  return true;
}
