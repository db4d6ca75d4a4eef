/**
 * What properties say about timers (broker/util/HookUtils.java, store/timer/TimerMessageStore.java): when a message is to
 * be delivered, as its producer asked for it and as it stands in the timer topic.
 *
 * TIMER_OUT_MS is the time that Apache files a message under: the last multiple of the precision before its time. Apache
 * delivers when that slot is over, up to one precision late. The exact time follows from what the producer asked for, and
 * goes by it as long as it lies in the slot; so a broker of either kind can take over, and none delivers early.
 */
import { javaHash } from "../../../base/java-hash.js";
import { RecentText } from "../../../base/recent-text.js";
import { PropertyScan } from "../../../record/properties.js";
import { PropertyName } from "../../../record/property-names.js";

/** Numbers of so many digits are exact. */
export const PLAIN_DIGITS_MAX = 15;
const INT64_MAX = 9223372036854775807n;

export const Asked = {
  DELAY_SEC: 0,
  DELAY_MS: 1,
  DELIVER_MS: 2,
  OUT_MS: 3,
  DELETE_KEY: 4,
  ROLL_TIMES: 5,
  REAL_TOPIC: 6,
  REAL_QUEUE_ID: 7,
  UNIQUE_KEY: 8,
  ENQUEUE_MS: 9,
  DEQUEUE_MS: 10,
  CRC32: 11,
  KEYS: 12,
  LIGHT_QUEUES: 13,
} as const;

const NAMES = [
  PropertyName.TIMER_DELAY_SEC,
  PropertyName.TIMER_DELAY_MS,
  PropertyName.TIMER_DELIVER_MS,
  PropertyName.TIMER_OUT_MS,
  PropertyName.TIMER_DEL_UNIQKEY,
  PropertyName.TIMER_ROLL_TIMES,
  PropertyName.REAL_TOPIC,
  PropertyName.REAL_QUEUE_ID,
  PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX,
  PropertyName.TIMER_ENQUEUE_MS,
  PropertyName.TIMER_DEQUEUE_MS,
  PropertyName.CRC32,
  PropertyName.KEYS,
  PropertyName.INNER_MULTI_DISPATCH,
];

/** The text of a Java long as a number, exact below 2^53; NaN for anything else, as Long.parseLong refuses it. */
export function parseJavaLong(text: string): number {
  if (!/^[+-]?\d{1,20}$/.test(text)) return Number.NaN;
  const value = Number(text);
  if (Number.isSafeInteger(value)) return value;
  const exact = BigInt(text.startsWith("+") ? text.slice(1) : text);
  return exact > INT64_MAX || exact < -INT64_MAX - 1n ? Number.NaN : value;
}

/** The property that a producer's timer goes by, first of the three as Apache looks for them. */
export function askedTime(properties: {
  javaLong(name: string): number | undefined;
}): { readonly name: string; readonly ms: number; readonly relative: boolean } | undefined {
  for (const [name, factor, relative] of ASKED) {
    const given = properties.javaLong(name);
    if (given !== undefined) return { name, ms: given * factor, relative };
  }
  return undefined;
}

const ASKED = [
  [PropertyName.TIMER_DELAY_SEC, 1000, true],
  [PropertyName.TIMER_DELAY_MS, 1, true],
  [PropertyName.TIMER_DELIVER_MS, 1, false],
] as const;

/** The value of TIMER_OUT_MS of a message due at `dueMs`: what lies in (OUT, OUT + precision] shares a slot. */
export function outMsOf(dueMs: number, precisionMs: number): number {
  return dueMs - 1 - ((dueMs - 1) % precisionMs);
}

/** When a message is due that is filed under `outMs`: at `exactMs`, if that lies in the slot. */
export function dueMsOf(exactMs: number, outMs: number, precisionMs: number): number {
  return exactMs > outMs && exactMs <= outMs + precisionMs ? exactMs : outMs + precisionMs;
}

/** Java's hash of topics that mostly are the same as the last time. */
export class TopicHash {
  #topic = "";
  #hash = 0;

  of(topic: string): number {
    if (topic !== this.#topic) {
      this.#topic = topic;
      this.#hash = javaHash(topic);
    }
    return this.#hash;
  }
}

const NO_BYTES = Buffer.alloc(0);

/** Reads the properties of a record of the timer topic. One is made and used for all. */
export class TimerProperties {
  readonly scan = new PropertyScan(NAMES);
  #bytes: Buffer = NO_BYTES;
  #outMs = Number.NaN;
  /** Where properties of new messages come from: always the same few buffers. */
  #viewed: Buffer = NO_BYTES;
  #view: DataView = new DataView(new ArrayBuffer(0));
  readonly #topic = new RecentText();
  readonly #hash = new TopicHash();

  /** Looks at `bytes[start, end)`, which `view` shows too; false without a TIMER_OUT_MS that is a time. */
  read(bytes: Buffer, start: number, end: number, view = this.#viewOf(bytes)): boolean {
    this.#bytes = bytes;
    this.scan.scanWords(bytes, view, start, end);
    const outMs = this.#long(Asked.OUT_MS);
    this.#outMs = Number.isSafeInteger(outMs) ? outMs : Number.NaN;
    return outMs >= 0;
  }

  #viewOf(bytes: Buffer): DataView {
    if (bytes !== this.#viewed) {
      this.#viewed = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    return this.#view;
  }

  /** Lets go of the bytes. */
  forget(): void {
    this.#bytes = NO_BYTES;
  }

  text(index: number): string | undefined {
    return this.scan.text(this.#bytes, index);
  }

  /** NaN without one. Most are a few digits, which need no text. */
  #long(index: number): number {
    if (!this.scan.has(index)) return Number.NaN;
    const start = this.scan.starts[index]!;
    const end = this.scan.ends[index]!;
    if (end - start > PLAIN_DIGITS_MAX) return parseJavaLong(this.text(index)!);
    let value = 0;
    for (let at = start; at < end; at++) {
      const digit = this.#bytes[at]! - 48;
      if (digit < 0 || digit > 9) return parseJavaLong(this.text(index)!);
      value = value * 10 + digit;
    }
    return value;
  }

  get outMs(): number {
    return this.#outMs;
  }

  get isDelete(): boolean {
    return this.scan.has(Asked.DELETE_KEY);
  }

  get rollTimes(): number {
    return this.scan.has(Asked.ROLL_TIMES) ? this.#long(Asked.ROLL_TIMES) || 0 : 0;
  }

  /** When the message is due, to the millisecond; `storeTimestamp` is its record's. */
  dueMs(storeTimestamp: number, precisionMs: number): number {
    return dueMsOf(this.#exactMs(storeTimestamp), this.outMs, precisionMs);
  }

  /** A record that was rolled is younger than what was asked for: it says the time itself. */
  #exactMs(storeTimestamp: number): number {
    const { scan } = this;
    if (scan.has(Asked.ROLL_TIMES) && scan.has(Asked.DELIVER_MS)) return this.#long(Asked.DELIVER_MS);
    if (scan.has(Asked.DELAY_SEC)) return storeTimestamp + this.#long(Asked.DELAY_SEC) * 1000;
    if (scan.has(Asked.DELAY_MS)) return storeTimestamp + this.#long(Asked.DELAY_MS);
    return this.#long(Asked.DELIVER_MS);
  }

  get topicHash(): number {
    return this.#hash.of(this.realTopic);
  }

  get realTopic(): string {
    const { starts, ends } = this.scan;
    if (!this.scan.has(Asked.REAL_TOPIC)) return "";
    return this.#topic.of(this.#bytes, starts[Asked.REAL_TOPIC]!, ends[Asked.REAL_TOPIC]!);
  }

  get realQueueId(): number {
    return this.#long(Asked.REAL_QUEUE_ID);
  }

  get uniqueKey(): string {
    return this.text(Asked.UNIQUE_KEY) ?? "";
  }

  get keys(): string {
    return this.text(Asked.KEYS) ?? "";
  }

  /** What a message is recalled by, with the topic, whatever `appendTopicForTimerDeleteKey` was when it was asked. */
  get ownKey(): string {
    return `${this.realTopic}+${this.uniqueKey}`;
  }

  /** The `ownKey` that a recall means. */
  get recalledKey(): string {
    const topic = this.realTopic;
    const key = this.text(Asked.DELETE_KEY)!;
    return key.startsWith(`${topic}+`) ? key : `${topic}+${key}`;
  }
}
