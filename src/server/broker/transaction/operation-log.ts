/**
 * The op records (TransactionalMessageServiceImpl#getOpMessage, TransactionalMessageBridge#writeOp): which half messages
 * have ended. A record of the op topic's queue 0 has the tag `d` and names offsets of the half queue, each with a comma
 * behind it. Apache writes one when transactionOpMsgMaxSize characters have come together or transactionOpBatchInterval
 * is over; what ends in between a killed broker asks about once more. Here one is written at the end of each turn of the
 * event loop in which something has ended, which a busy broker's turns make batches of all the same.
 */
import type { Timer } from "../../../base/clock.js";
import { failpoint } from "../../../base/failpoint.js";
import { UnitBatch } from "../../../consumequeue/unit.js";
import { encodeHost, parseHost } from "../../../record/host.js";
import { asciiName, encodeProperties, tagsHash } from "../../../record/properties.js";
import { PropertyName } from "../../../record/property-names.js";
import { RecordView } from "../../../record/record-view.js";
import { DECIMAL_BYTES_MAX, writeDecimal } from "../../../remoting/decimal.js";
import type { MessageStore } from "../../../store/message-store.js";
import { PutStatus, type QueueHandle } from "../../../store/types.js";
import type { BrokerContext } from "../context.js";
import { emptyMessage, emptyPutResult } from "../message-copy.js";
import { TRANSACTION_OP_TOPIC } from "../names.js";
import { type Topic, topicQueue } from "../topic-config.js";
import { type EndedHalves, HalfState } from "./ended-halves.js";

const REMOVE_TAG = "d";
const REMOVE_TAG_HASH = 100;
const OP_TOPIC = asciiName(TRANSACTION_OP_TOPIC);
const PROPERTIES = encodeProperties([
  [PropertyName.WAIT_STORE_MSG_OK, "true"],
  [PropertyName.TAGS, REMOVE_TAG],
]);
const RETRY_MS = 100;
const BATCH_UNITS = 64;
/** So many op records are counted as one when it is asked how far they are done with. */
const RUN_OPS = 256;
const HOST_KEPT_MS = 1000;
const NO_HOST = encodeHost("127.0.0.1", 0)!;
const BODY_BYTES_MIN = 8192;
const DIGIT_0 = 48;
const COMMA = 44;

/** Consecutive op records. */
interface Run {
  /** Offset in the op queue behind the last of them. */
  end: number;
  count: number;
  /** They are needed until every half message up to this one is done with. */
  lastHalfOffset: number;
}

export class OperationLog {
  readonly queue: QueueHandle;
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #halfQueue: QueueHandle;
  readonly #ended: EndedHalves;
  readonly #topic: Topic;
  readonly #message = emptyMessage();
  readonly #result = emptyPutResult();
  readonly #flushTask = () => this.flush();
  #flushPending = false;
  #host = NO_HOST;
  #hostAtMs = Number.NEGATIVE_INFINITY;
  #waiting: number[] = [];
  /** Of the record at hand. */
  #body = Buffer.allocUnsafeSlow(BODY_BYTES_MIN);
  #retry: Timer | undefined;
  /** Everything before this op record is done with. */
  #doneOffset = 0;
  #lastPutBack = -1;
  readonly #runs: Run[] = [];
  #closed = false;

  constructor(context: BrokerContext, store: MessageStore, halfQueue: QueueHandle, ended: EndedHalves) {
    this.#context = context;
    this.#store = store;
    this.#halfQueue = halfQueue;
    this.#ended = ended;
    // Nobody can delete a system topic.
    this.#topic = context.topics.get(TRANSACTION_OP_TOPIC)!;
    this.queue = topicQueue(context.store, this.#topic, 0);
    this.queue.quiet = true;
  }

  // Writing

  /** The half message has ended: an op record will say so at the end of this turn. */
  add(halfOffset: number): void {
    this.#waiting.push(halfOffset);
    if (this.#flushPending) return;
    this.#flushPending = true;
    queueMicrotask(this.#flushTask);
  }

  /** Writes what waits to be written. What the store does not take is tried again. */
  flush(): void {
    this.#flushPending = false;
    let written = 0;
    while (written < this.#waiting.length) {
      const count = this.#write(written);
      if (count === 0) break;
      written += count;
    }
    this.#waiting = written === this.#waiting.length ? [] : this.#waiting.slice(written);
    if (this.#waiting.length > 0 && !this.#closed && this.#store.failure === undefined) this.#flushLater();
  }

  #flushLater(): void {
    this.#retry ??= this.#context.clock.schedule(RETRY_MS, () => {
      this.#retry = undefined;
      this.flush();
    });
  }

  /** One record with what waits from `first` on; how much of it went in, 0 when the store did not take it. */
  #write(first: number): number {
    const { config, clock, stats } = this.#context;
    const message = this.#message;
    let length = 0;
    let count = 0;
    while ((count === 0 || length < config.transactionOpMsgMaxSize) && first + count < this.#waiting.length) {
      if (length + DECIMAL_BYTES_MAX >= this.#body.length) this.#body = Buffer.concat([this.#body], length * 2);
      length = writeDecimal(this.#body, length, this.#waiting[first + count++]!);
      this.#body[length++] = COMMA;
    }
    message.queue = this.queue;
    message.bornTimestamp = clock.nowMs();
    message.bornHost = this.#hostAt(message.bornTimestamp);
    message.storeHost = message.bornHost;
    message.body = this.#body;
    message.bodyLength = length;
    message.properties = PROPERTIES;
    message.propertiesLength = PROPERTIES.length;
    if (this.#store.put(message, this.#result) !== PutStatus.PUT_OK) {
      stats.putsFailed++;
      return 0;
    }
    stats.recordPut(this.#topic, 1, this.#result.sizeBytes);
    this.#count(this.#result.queueOffset);
    failpoint("transaction-op-after");
    return count;
  }

  /** Of the broker's address, which is dear to ask for and hardly ever changes. */
  #hostAt(nowMs: number): Buffer {
    if (Math.abs(nowMs - this.#hostAtMs) >= HOST_KEPT_MS) {
      this.#host = parseHost(this.#context.brokerAddress()) ?? NO_HOST;
      this.#hostAtMs = nowMs;
    }
    return this.#host;
  }

  /** Tries no more. */
  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.flush();
  }

  // Progress

  /** A half message was put back at this offset, which dispatch may yet have to come to. */
  putBack(halfOffset: number): void {
    this.#lastPutBack = halfOffset;
  }

  /** What it names may have been put back since, up to the end of the half queue. */
  #count(opOffset: number): void {
    const last = this.#runs.at(-1);
    const lastHalfOffset = Math.max(this.#lastPutBack, this.#store.maxOffset(this.#halfQueue) - 1);
    if (last === undefined || last.count >= RUN_OPS) {
      this.#runs.push({ end: opOffset + 1, count: 1, lastHalfOffset });
      return;
    }
    last.end = opOffset + 1;
    last.count++;
    last.lastHalfOffset = lastHalfOffset;
  }

  /** The op record from which on a reader needs them, when every half message before `halfOffset` is done with. */
  doneOffset(halfOffset: number): number {
    const runs = this.#runs;
    let count = 0;
    while (count < runs.length && runs[count]!.lastHalfOffset < halfOffset) count++;
    if (count > 0) this.#doneOffset = runs[count - 1]!.end;
    runs.splice(0, count);
    // What comes next is counted by itself, lest a late record hold up those before it for long.
    const last = runs.at(-1);
    if (last !== undefined) last.count = RUN_OPS;
    return this.#doneOffset;
  }

  // Reading

  /** Reads the records from `opOffset` on, those of another life of the broker, or of another broker. */
  load(opOffset: number): void {
    const units = new UnitBatch(BATCH_UNITS);
    const record = new RecordView();
    const { lookUp } = this.#store;
    const halfMaxOffset = this.#store.maxOffset(this.#halfQueue);
    let offset = opOffset;
    this.#doneOffset = opOffset;
    while (lookUp.readUnits(this.queue, offset, units) > 0) {
      for (let i = 0; i < units.count; i++, offset++) {
        const phyOffset = units.messageOffset(i);
        const bytes = lookUp.readRecord(phyOffset, record);
        // One that damage took has been told by recovery; its transaction is checked back.
        const isRead = phyOffset < 0 || (bytes !== undefined && this.#take(bytes, record, halfMaxOffset));
        if (!isRead) this.#context.log.error({ opOffset: offset, phyOffset }, "an op record makes no sense");
        this.#count(offset);
      }
    }
  }

  /** Marks what the record names; false when it is no op record. */
  #take(bytes: Buffer, record: RecordView, halfMaxOffset: number): boolean {
    const { topicStart, topicLength, propertiesStart, propertiesLength, bodyStart, bodyLength } = record;
    const isOp = bytes.compare(OP_TOPIC, 0, OP_TOPIC.length, topicStart, topicStart + topicLength) === 0;
    const hash = tagsHash(bytes, propertiesStart, propertiesStart + propertiesLength);
    if (!isOp || hash !== REMOVE_TAG_HASH) return false;
    let halfOffset = -1;
    for (let at = bodyStart; at <= bodyStart + bodyLength; at++) {
      const byte = at < bodyStart + bodyLength ? bytes[at]! : COMMA;
      if (byte === COMMA) {
        if (halfOffset >= 0 && halfOffset < halfMaxOffset) this.#ended.mark(halfOffset, HalfState.ENDED);
        halfOffset = -1;
      } else if (byte >= DIGIT_0 && byte <= DIGIT_0 + 9) {
        halfOffset = Math.min(Math.max(halfOffset, 0) * 10 + byte - DIGIT_0, Number.MAX_SAFE_INTEGER);
      } else {
        halfOffset = Number.NaN;
      }
    }
    return true;
  }
}
