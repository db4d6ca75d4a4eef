/**
 * A half message as it lies in the log, looked into: where it belongs, whose it is, how often its producer was asked. Made
 * once and read into again for every message.
 *
 * On the disk (broker/transaction/queue/TransactionalMessageBridge) it is the message as sent, in the half topic's queue
 * 0, with where it belongs in REAL_TOPIC and REAL_QID, and its unique key once more in __transactionId__. One that was put
 * back into the queue, because its producer was asked about it, has TRANSACTION_CHECK_TIMES too, and the offset that it
 * had at first in TRAN_PREPARED_QUEUE_OFFSET.
 */
import { RecentText } from "../../../base/recent-text.js";
import { asciiName, PropertyScan } from "../../../record/properties.js";
import { PropertyName } from "../../../record/property-names.js";
import { RecordView } from "../../../record/record-view.js";
import type { LookUp } from "../../../store/look-up.js";
import type { MessageInput } from "../../../store/types.js";
import { copyMessage } from "../message-copy.js";
import { TRANSACTION_CHECK_MAX_TOPIC, TRANSACTION_HALF_TOPIC } from "../names.js";

const Scanned = {
  REAL_TOPIC: 0,
  REAL_QUEUE_ID: 1,
  PRODUCER_GROUP: 2,
  UNIQ_KEY: 3,
  CHECK_TIMES: 4,
  PREPARED_QUEUE_OFFSET: 5,
  IMMUNITY: 6,
  DELAY: 7,
  CRC32: 8,
  LIGHT_QUEUES: 9,
} as const;

const NAMES = [
  PropertyName.REAL_TOPIC,
  PropertyName.REAL_QUEUE_ID,
  PropertyName.PRODUCER_GROUP,
  PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX,
  PropertyName.TRANSACTION_CHECK_TIMES,
  PropertyName.TRANSACTION_PREPARED_QUEUE_OFFSET,
  PropertyName.CHECK_IMMUNITY_TIME_IN_SECONDS,
  PropertyName.DELAY_TIME_LEVEL,
  PropertyName.CRC32,
  PropertyName.INNER_MULTI_DISPATCH,
];

const HALF_TOPIC = asciiName(TRANSACTION_HALF_TOPIC);
const CHECK_MAX_TOPIC = asciiName(TRANSACTION_CHECK_MAX_TOPIC);
/** What a message that is committed has no more. The CRC is of the record that it stands in. */
const HALF_ONLY: readonly number[] = [
  Scanned.REAL_TOPIC,
  Scanned.REAL_QUEUE_ID,
  Scanned.PREPARED_QUEUE_OFFSET,
  Scanned.CRC32,
];
const RENEWED: readonly number[] = [Scanned.CHECK_TIMES, Scanned.PREPARED_QUEUE_OFFSET, Scanned.CRC32];

const NO_BYTES = Buffer.alloc(0);
const QUEUE_ID_MAX = 65535;
const QUEUE_ID_DIGITS_MAX = 5;
/** Properties of a record, and some that are added. */
const PROPERTIES_BYTES = 32768 + 256;

export class HalfMessage {
  readonly record = new RecordView();
  bytes: Buffer = NO_BYTES;
  readonly #topic = new RecentText();
  readonly #group = new RecentText();
  readonly #scan = new PropertyScan(NAMES);
  readonly #properties = Buffer.allocUnsafeSlow(PROPERTIES_BYTES);

  /** False unless a half message begins at `phyOffset`. */
  read(lookUp: LookUp, phyOffset: number): boolean {
    return this.#read(lookUp, phyOffset, HALF_TOPIC);
  }

  /** The same for one that is given up. */
  readGivenUp(lookUp: LookUp, phyOffset: number): boolean {
    return this.#read(lookUp, phyOffset, CHECK_MAX_TOPIC);
  }

  #read(lookUp: LookUp, phyOffset: number, topic: Buffer): boolean {
    const place = lookUp.findRecord(phyOffset, this.record);
    const { topicStart, topicLength, propertiesStart, propertiesLength, queueId } = this.record;
    if (place === undefined || queueId !== 0 || topicLength !== topic.length) return false;
    const { bytes, view } = place;
    for (let i = 0; i < topicLength; i++) if (bytes[topicStart + i] !== topic[i]) return false;
    this.bytes = bytes;
    this.#scan.scanWords(bytes, view, propertiesStart, propertiesStart + propertiesLength);
    return true;
  }

  /** Lets go of the log. */
  forget(): void {
    this.bytes = NO_BYTES;
  }

  get realTopic(): string | undefined {
    return this.#recent(Scanned.REAL_TOPIC, this.#topic);
  }

  /** -1 when it is no queue id. */
  get realQueueId(): number {
    const queueId = this.#scan.digits(this.bytes, Scanned.REAL_QUEUE_ID, QUEUE_ID_DIGITS_MAX);
    return queueId <= QUEUE_ID_MAX ? queueId : -1;
  }

  get producerGroup(): string | undefined {
    return this.#recent(Scanned.PRODUCER_GROUP, this.#group);
  }

  get uniqueKey(): string | undefined {
    return this.#text(Scanned.UNIQ_KEY);
  }

  /** How often its producer was asked, 0 before the first time; as Apache reads it, -1 for what is no number. */
  get checkTimes(): number {
    const text = this.#text(Scanned.CHECK_TIMES);
    if (text === undefined) return 0;
    return /^[+-]?\d{1,9}$/.test(text) ? Number(text) : -1;
  }

  /** The offset in the half queue that it had when it was sent. */
  get firstQueueOffset(): number {
    const text = this.#text(Scanned.PREPARED_QUEUE_OFFSET);
    if (text === undefined) return this.record.queueOffset;
    return /^\d{1,15}$/.test(text) ? Number(text) : this.record.queueOffset;
  }

  /** How long the producer wants not to be asked; `fallbackMs` for what is no number, undefined without a wish. */
  immunityMs(fallbackMs: number): number | undefined {
    const text = this.#text(Scanned.IMMUNITY);
    if (text === undefined) return undefined;
    const seconds = /^[+-]?\d{1,12}$/.test(text) ? Number(text) : -1;
    return seconds === -1 ? fallbackMs : seconds * 1000;
  }

  /** More than 0 only where another broker took a message that is to wait after its commit. */
  get delayLevel(): number {
    const text = this.#text(Scanned.DELAY);
    if (text === undefined) return 0;
    return /^\d{1,9}$/.test(text) ? Number(text) : 0;
  }

  /** Names of light queues, which only a message that another broker took has. */
  get lightQueues(): string | undefined {
    return this.#text(Scanned.LIGHT_QUEUES);
  }

  #recent(index: number, recent: RecentText): string | undefined {
    const { starts, ends } = this.#scan;
    return this.#scan.has(index) ? recent.of(this.bytes, starts[index]!, ends[index]!) : undefined;
  }

  #text(index: number): string | undefined {
    return this.#scan.text(this.bytes, index);
  }

  /** Fills `message` with what is committed; its queue and flags are the caller's. Valid until the next call. */
  fillCommitted(message: MessageInput): void {
    copyMessage(this.bytes, this.record, message);
    this.#useProperties(message, this.#copyExcept(HALF_ONLY));
  }

  /** Fills `message` with what is put back into the half queue. Valid until the next call. */
  fillRenewed(message: MessageInput, checkTimes: number): void {
    copyMessage(this.bytes, this.record, message);
    let end = this.#copyExcept(RENEWED);
    if (checkTimes > 0) end = this.#add(end, PropertyName.TRANSACTION_CHECK_TIMES, checkTimes);
    end = this.#add(end, PropertyName.TRANSACTION_PREPARED_QUEUE_OFFSET, this.firstQueueOffset);
    this.#useProperties(message, end);
  }

  /** Fills `message` with what is given up, or comes back after that: its producer was asked `checkTimes` times. */
  fillAsked(message: MessageInput, checkTimes: number): void {
    copyMessage(this.bytes, this.record, message);
    const end = this.#copyExcept(RENEWED);
    this.#useProperties(message, this.#add(end, PropertyName.TRANSACTION_CHECK_TIMES, checkTimes));
  }

  #copyExcept(names: readonly number[]): number {
    const { propertiesStart, propertiesLength } = this.record;
    const end = propertiesStart + propertiesLength;
    return this.#scan.copyExcept(this.bytes, propertiesStart, end, names, this.#properties, 0);
  }

  #add(at: number, name: string, value: number): number {
    return at + this.#properties.write(`${name}\u0001${value}\u0002`, at, "latin1");
  }

  #useProperties(message: MessageInput, end: number): void {
    message.properties = this.#properties;
    message.propertiesStart = 0;
    message.propertiesLength = end;
  }
}
