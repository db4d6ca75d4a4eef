/**
 * The properties of a message as the broker stores them: what the client sent, without what only brokers may set, and
 * with what every broker adds (AbstractSendMessageProcessor, SendMessageProcessor). Written into one buffer that is
 * reused: valid until the next message.
 */
import { randomBytes } from "node:crypto";
import { copyBytes } from "../../base/copy-bytes.js";
import { PropertyScan, parseProperties } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import { writeDecimal } from "../../remoting/decimal.js";
import type { HeaderView } from "../../remoting/header-view.js";
import { copyProperties } from "../../remoting/sent-properties.js";
import type { BrokerConfig } from "./broker-options.js";
import { RealPlaces } from "./real-places.js";
import { PLAIN_DIGITS_MAX, parseJavaLong } from "./timer/timer-properties.js";

/** Six bytes of JSON for one of a property, at the most. */
const SENT_BYTES_MAX = 6 * 32767;
const SEPARATOR = 2;

const Scanned = {
  UNIQ_KEY: 0,
  MSG_REGION: 1,
  TRACE_SWITCH: 2,
  CLUSTER: 3,
  POP_CK: 4,
  WAIT: 5,
  INNER_NUM: 6,
  DELAY: 7,
  TIMER_DELIVER_MS: 8,
  TIMER_DELAY_SEC: 9,
  TIMER_DELAY_MS: 10,
  TRANSACTION_PREPARED: 11,
  INNER_MULTI_DISPATCH: 12,
  REAL_TOPIC: 13,
  REAL_QUEUE_ID: 14,
  TIMER_OUT_MS: 15,
  TIMER_DEL_UNIQKEY: 16,
  SHARDING_KEY: 17,
  PRIORITY: 18,
  PRODUCER_GROUP: 19,
  TRANSACTION_ID: 20,
  TRANSACTION_CHECK_TIMES: 21,
  TRANSACTION_PREPARED_QUEUE_OFFSET: 22,
  TIMER_ROLL_TIMES: 23,
} as const;

const NAMES = [
  PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX,
  PropertyName.MSG_REGION,
  PropertyName.TRACE_SWITCH,
  PropertyName.CLUSTER,
  PropertyName.POP_CK,
  PropertyName.WAIT_STORE_MSG_OK,
  PropertyName.INNER_NUM,
  PropertyName.DELAY_TIME_LEVEL,
  PropertyName.TIMER_DELIVER_MS,
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TRANSACTION_PREPARED,
  PropertyName.INNER_MULTI_DISPATCH,
  PropertyName.REAL_TOPIC,
  PropertyName.REAL_QUEUE_ID,
  PropertyName.TIMER_OUT_MS,
  PropertyName.TIMER_DEL_UNIQKEY,
  PropertyName.SHARDING_KEY,
  PropertyName.PRIORITY,
  PropertyName.PRODUCER_GROUP,
  PropertyName.TRANSACTION_ID,
  PropertyName.TRANSACTION_CHECK_TIMES,
  PropertyName.TRANSACTION_PREPARED_QUEUE_OFFSET,
  PropertyName.TIMER_ROLL_TIMES,
];
const INDEXES: ReadonlyMap<string, number> = new Map(NAMES.map((name, index) => [name, index]));

const TIMER_OUT_MS = Buffer.from(`${PropertyName.TIMER_OUT_MS}\u0001`);
const TRANSACTION_ID = Buffer.from(`${PropertyName.TRANSACTION_ID}\u0001`);

const OWNED = [PropertyName.MSG_REGION, PropertyName.TRACE_SWITCH, PropertyName.CLUSTER, PropertyName.POP_CK];

export class StoredProperties {
  bytes = Buffer.allocUnsafeSlow(SENT_BYTES_MAX + 4096);
  length = 0;
  readonly #config: BrokerConfig;
  readonly #scan = new PropertyScan(NAMES);
  readonly #places = new RealPlaces();
  #suffix = Buffer.alloc(0);
  #suffixRegionId: string | undefined;
  #suffixTraceOn: boolean | undefined;
  #idCounter = 0;
  readonly #idPrefix = randomBytes(12).toString("hex").toUpperCase();

  constructor(config: BrokerConfig) {
    this.#config = config;
  }

  /** Takes the properties of field `index` (-1 for none); false when they are longer than any message's can be. */
  take(header: HeaderView, index: number): boolean {
    const scan = this.#scan;
    this.length = 0;
    if (index >= 0) {
      if (header.valueBytesMax(index) > SENT_BYTES_MAX) return false;
      this.length = copyProperties(header, index, this.bytes, scan);
      if (this.length > 0 && this.bytes[this.length - 1] !== SEPARATOR) this.bytes[this.length++] = SEPARATOR;
    } else {
      scan.clear();
    }
    const owned = scan.has(Scanned.MSG_REGION) || scan.has(Scanned.TRACE_SWITCH) || scan.has(Scanned.CLUSTER);
    if (owned || scan.has(Scanned.POP_CK)) this.#dropOwned();
    if (!scan.has(Scanned.UNIQ_KEY)) this.#addUniqueKey();
    const suffix = this.#currentSuffix();
    this.length = copyBytes(this.bytes, this.length, suffix, 0, suffix.length);
    return true;
  }

  /** A message that was sent on carries what a broker added: it is replaced, not repeated. */
  #dropOwned(): void {
    this.#rewrite((properties) => {
      for (const name of OWNED) properties.delete(name);
    });
  }

  #rewrite(change: (properties: Map<string, string>) => void): void {
    const properties = parseProperties(this.bytes.toString("utf8", 0, this.length));
    change(properties);
    this.length = 0;
    for (const [name, value] of properties) this.#add(name, value);
    this.#scan.scan(this.bytes, 0, this.length);
  }

  #addUniqueKey(): void {
    const counter = (this.#idCounter++ >>> 0).toString(16).toUpperCase().padStart(8, "0");
    this.#add(PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX, this.#idPrefix + counter);
    this.#scan.scan(this.bytes, 0, this.length);
  }

  #add(name: string, value: string): void {
    this.length += this.bytes.write(`${name}\u0001${value}\u0002`, this.length, "utf8");
  }

  #currentSuffix(): Buffer {
    const { regionId, traceOn, brokerClusterName } = this.#config;
    if (regionId === this.#suffixRegionId && traceOn === this.#suffixTraceOn) return this.#suffix;
    this.#suffixRegionId = regionId;
    this.#suffixTraceOn = traceOn;
    const text =
      `${PropertyName.MSG_REGION}\u0001${regionId}\u0002` +
      `${PropertyName.TRACE_SWITCH}\u0001${traceOn}\u0002${PropertyName.CLUSTER}\u0001${brokerClusterName}\u0002`;
    this.#suffix = Buffer.from(text);
    return this.#suffix;
  }

  get uniqueKeyStart(): number {
    return this.#scan.starts[Scanned.UNIQ_KEY]!;
  }

  get uniqueKeyEnd(): number {
    return this.#scan.ends[Scanned.UNIQ_KEY]!;
  }

  get uniqueKey(): string {
    return this.bytes.toString("utf8", this.uniqueKeyStart, this.uniqueKeyEnd);
  }

  /** False only when the producer said that it does not wait for the disk. */
  get waitsForFlush(): boolean {
    return !this.#scan.has(Scanned.WAIT) || this.#scan.text(this.bytes, Scanned.WAIT) !== "false";
  }

  /** The message says that others are packed into it. */
  get innerBatch(): boolean {
    return this.#scan.has(Scanned.INNER_NUM);
  }

  /** The delay level that was asked for: none for 0 and less, NaN for what is no int32. */
  get delayLevel(): number {
    if (!this.#scan.has(Scanned.DELAY)) return 0;
    return parseDelayLevel(this.#scan.text(this.bytes, Scanned.DELAY)!);
  }

  /** Makes the message one that waits in `level` for the place it was sent to. */
  delay(level: number, topic: string, queueId: number): void {
    if (level === this.delayLevel && !this.#hasAny(Scanned.TIMER_DELIVER_MS, Scanned.TIMER_DELAY_MS)) {
      if (!this.#hasAny(Scanned.REAL_TOPIC, Scanned.REAL_QUEUE_ID)) {
        this.#addPlace(topic, queueId);
        return;
      }
    }
    this.#rewrite((properties) => markDelayed(properties, level, topic, queueId));
  }

  /** The message names a time to be delivered at. A delay level beats it. */
  get namesTime(): boolean {
    return this.delayLevel <= 0 && this.#hasAny(Scanned.TIMER_DELIVER_MS, Scanned.TIMER_DELAY_MS);
  }

  /** The message names a time or a delay. */
  get waits(): boolean {
    return this.delayLevel > 0 || this.#hasAny(Scanned.TIMER_DELIVER_MS, Scanned.TIMER_DELAY_MS);
  }

  /** The value of one of the properties that the broker looks at. */
  text(name: string): string | undefined {
    const index = INDEXES.get(name);
    return index === undefined ? undefined : this.#scan.text(this.bytes, index);
  }

  /** The same as a Java long; NaN for what is none. */
  javaLong(name: string): number | undefined {
    const index = INDEXES.get(name);
    if (index === undefined || !this.#scan.has(index)) return undefined;
    const digits = this.#scan.digits(this.bytes, index, PLAIN_DIGITS_MAX);
    return digits >= 0 ? digits : parseJavaLong(this.#scan.text(this.bytes, index)!);
  }

  /** The message says more of its wait than the time: it recalls another one, or calls itself one that was rolled. */
  get hasTimerMarks(): boolean {
    return this.#scan.has(Scanned.TIMER_DEL_UNIQKEY) || this.#scan.has(Scanned.TIMER_ROLL_TIMES);
  }

  /** Makes the message one that waits among the timers for the place it was sent to. */
  wait(outMs: number, topic: string, queueId: number): void {
    if (this.#hasAny(Scanned.REAL_TOPIC, Scanned.REAL_QUEUE_ID)) {
      this.#rewrite((properties) => {
        properties.delete(PropertyName.REAL_TOPIC);
        properties.delete(PropertyName.REAL_QUEUE_ID);
      });
    }
    const at = copyBytes(this.bytes, this.length, TIMER_OUT_MS, 0, TIMER_OUT_MS.length);
    this.length = writeDecimal(this.bytes, at, outMs);
    this.bytes[this.length++] = SEPARATOR;
    this.#addPlace(topic, queueId);
  }

  /**
   * The queue that the message asks for by its priority, or -1. A message of another kind has none: the property goes
   * (SendMessageProcessor, TopicMessageType#parseFromMessageProperty).
   */
  takePriority(): number {
    if (!this.#scan.has(Scanned.PRIORITY)) return -1;
    const priority = parseDelayLevel(this.#scan.text(this.bytes, Scanned.PRIORITY)!);
    if (!(priority >= 0)) return -1;
    const isPrepared = this.#scan.isTrue(this.bytes, Scanned.TRANSACTION_PREPARED);
    const isOther = this.#scan.has(Scanned.DELAY) || this.#hasAny(Scanned.TIMER_DELIVER_MS, Scanned.TIMER_DELAY_MS);
    if (!isPrepared && !isOther && !this.#scan.has(Scanned.SHARDING_KEY)) return priority;
    this.#rewrite((properties) => {
      properties.delete(PropertyName.PRIORITY);
    });
    return -1;
  }

  /** The message goes to dead letters, where it does not wait. */
  endRetries(): void {
    this.#rewrite((properties) => properties.set(PropertyName.DELAY_TIME_LEVEL, "-1"));
  }

  /**
   * The message is half of a transaction, delivered when its producer commits it. One that is tried again is in none any
   * more, though it says so.
   */
  isPrepared(reconsumeTimes: number): boolean {
    if (!this.#scan.isTrue(this.bytes, Scanned.TRANSACTION_PREPARED)) return false;
    return !(reconsumeTimes > 0 && this.#scan.has(Scanned.DELAY));
  }

  get hasProducerGroup(): boolean {
    return this.#scan.has(Scanned.PRODUCER_GROUP);
  }

  /** Makes the message a half one that belongs into a queue of `topic` (TransactionalMessageBridge#parseHalfMessageInner). */
  prepare(topic: string, queueId: number, hasGroup: boolean, producerGroup: string): void {
    const { TRANSACTION_ID: FIRST, TRANSACTION_PREPARED_QUEUE_OFFSET: LAST } = Scanned;
    if (this.#hasAny(FIRST, LAST) || this.#hasAny(Scanned.REAL_TOPIC, Scanned.REAL_QUEUE_ID)) {
      this.#rewrite((properties) => {
        for (let index: number = FIRST; index <= LAST; index++) properties.delete(NAMES[index]!);
        properties.delete(PropertyName.REAL_TOPIC);
        properties.delete(PropertyName.REAL_QUEUE_ID);
      });
    }
    if (!hasGroup) this.#add(PropertyName.PRODUCER_GROUP, producerGroup);
    this.length = copyBytes(this.bytes, this.length, TRANSACTION_ID, 0, TRANSACTION_ID.length);
    this.length = copyBytes(this.bytes, this.length, this.bytes, this.uniqueKeyStart, this.uniqueKeyEnd);
    this.bytes[this.length++] = SEPARATOR;
    this.#addPlace(topic, queueId);
  }

  #addPlace(topic: string, queueId: number): void {
    const place = this.#places.of(topic, queueId);
    this.length = copyBytes(this.bytes, this.length, place, 0, place.length);
  }

  #hasAny(first: number, last: number): boolean {
    for (let index = first; index <= last; index++) if (this.#scan.has(index)) return true;
    return false;
  }

  /**
   * The first property that asks for something this broker does not do; undefined without one.
   */
  unsupported(): string | undefined {
    return this.#scan.has(Scanned.INNER_MULTI_DISPATCH) ? NAMES[Scanned.INNER_MULTI_DISPATCH] : undefined;
  }
}

/** What the properties of a message are while it waits in `level` (HookUtils#transformDelayLevelMessage). */
export function markDelayed(properties: Map<string, string>, level: number, topic: string, queueId: number): void {
  for (const name of TIMERS) properties.delete(name);
  properties.set(PropertyName.DELAY_TIME_LEVEL, String(level));
  properties.set(PropertyName.REAL_TOPIC, topic);
  properties.set(PropertyName.REAL_QUEUE_ID, String(queueId));
}

const TIMERS = [PropertyName.TIMER_DELIVER_MS, PropertyName.TIMER_DELAY_SEC, PropertyName.TIMER_DELAY_MS];

/** As Integer.parseInt: NaN for anything else. */
function parseDelayLevel(text: string): number {
  const level = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  return level >= -2147483648 && level <= 2147483647 ? level : Number.NaN;
}
