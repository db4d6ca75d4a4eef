/**
 * The properties of a message as the broker stores them: what the client sent, without what only brokers may set, and
 * with what every broker adds (AbstractSendMessageProcessor, SendMessageProcessor). Written into one buffer that is
 * reused: valid until the next message.
 */
import { randomBytes } from "node:crypto";
import { copyBytes } from "../../base/copy-bytes.js";
import { PropertyScan, parseProperties } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import type { HeaderView } from "../../remoting/header-view.js";
import type { BrokerConfig } from "./broker-options.js";

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
];

const OWNED = [PropertyName.MSG_REGION, PropertyName.TRACE_SWITCH, PropertyName.CLUSTER, PropertyName.POP_CK];

export class StoredProperties {
  bytes = Buffer.allocUnsafeSlow(SENT_BYTES_MAX + 4096);
  length = 0;
  readonly #config: BrokerConfig;
  readonly #scan = new PropertyScan(NAMES);
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
    this.length = 0;
    if (index >= 0) {
      if (header.valueBytesMax(index) > SENT_BYTES_MAX) return false;
      this.length = header.copyValue(index, this.bytes, 0);
      if (this.length > 0 && this.bytes[this.length - 1] !== SEPARATOR) this.bytes[this.length++] = SEPARATOR;
    }
    const scan = this.#scan;
    scan.scan(this.bytes, 0, this.length);
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
        this.#add(PropertyName.REAL_TOPIC, topic);
        this.#add(PropertyName.REAL_QUEUE_ID, String(queueId));
        return;
      }
    }
    this.#rewrite((properties) => markDelayed(properties, level, topic, queueId));
  }

  /** The message goes to dead letters, where it does not wait. */
  endRetries(): void {
    this.#rewrite((properties) => properties.set(PropertyName.DELAY_TIME_LEVEL, "-1"));
  }

  #hasAny(first: number, last: number): boolean {
    for (let index = first; index <= last; index++) if (this.#scan.has(index)) return true;
    return false;
  }

  /**
   * The first property that asks for something this broker does not do; undefined without one. A delay level beats a
   * timer, and a message that is tried again is in no transaction any more.
   */
  unsupported(reconsumeTimes: number): string | undefined {
    const isDelayed = this.delayLevel > 0;
    for (let index: number = Scanned.TIMER_DELIVER_MS; index <= Scanned.INNER_MULTI_DISPATCH; index++) {
      if (!this.#scan.has(index)) continue;
      if (index <= Scanned.TIMER_DELAY_MS && isDelayed) continue;
      if (index === Scanned.TRANSACTION_PREPARED) {
        const isPrepared = this.#scan.text(this.bytes, index)?.toLowerCase() === "true";
        if (!isPrepared || (isDelayed && reconsumeTimes > 0)) continue;
      }
      return NAMES[index];
    }
    return undefined;
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
