/**
 * One record of the journal of leases: the body of a message in the queue of POP_JOURNAL_TOPIC, see pop-journal.ts. Big
 * endian; numbers that are no counts are doubles, for none is larger than 2^53.
 *
 *   kind u8   group u16+utf8   topic u16+utf8   queueId i32   then by kind
 *
 *   LEASED      popTime invisibleMs popOffset  count u16  offset*      popped; the next pop begins at popOffset
 *   SETTLED     count u16  offset*                                     acknowledged, or put into another topic
 *   RENEWED     popTime invisibleMs offset                             the lease goes on
 *   MOVED       popOffset                                              an administrator moved the group
 *   ORDERED     committedOffset  json u32+utf8                         an ordered pop, as consumerOrderInfo.json has it
 *   UNORDERED   -                                                      no ordered pop any more
 *   FORGOTTEN   -                                                      topic or group, whichever is not empty, is gone
 *   EARLY       offset popTime untilMs                                 see early-acks.ts
 *   QUEUE       popOffset committedOffset  count u32  (offset popTime invisibleMs)*   of a snapshot
 *   SNAPSHOT    first isClean                                          of a snapshot: the last; it begins at entry `first`
 */
import { CometError } from "../../../base/errors.js";

export const JournalKind = {
  LEASED: 1,
  SETTLED: 2,
  RENEWED: 3,
  MOVED: 4,
  ORDERED: 5,
  UNORDERED: 6,
  FORGOTTEN: 7,
  QUEUE: 8,
  SNAPSHOT: 9,
  EARLY: 10,
} as const;

/** Writes one record after the other into a buffer that it keeps. */
export class JournalWriter {
  bytes = Buffer.allocUnsafe(4096);
  length = 0;

  begin(kind: number, group: string, topic: string, queueId: number): this {
    this.length = 0;
    this.#room(1);
    this.bytes[this.length++] = kind;
    return this.#name(group).#name(topic).int32(queueId);
  }

  double(value: number): this {
    this.#room(8);
    this.length = this.bytes.writeDoubleBE(value, this.length);
    return this;
  }

  uint16(value: number): this {
    this.#room(2);
    this.length = this.bytes.writeUInt16BE(value, this.length);
    return this;
  }

  int32(value: number): this {
    this.#room(4);
    this.length = this.bytes.writeInt32BE(value, this.length);
    return this;
  }

  text(value: string): this {
    const bytes = Buffer.byteLength(value);
    this.int32(bytes).#room(bytes);
    this.length += this.bytes.write(value, this.length);
    return this;
  }

  #name(value: string): this {
    const bytes = Buffer.byteLength(value);
    this.uint16(bytes).#room(bytes);
    this.length += this.bytes.write(value, this.length);
    return this;
  }

  #room(bytes: number): void {
    if (this.length + bytes <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.bytes.length, this.length + bytes));
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}

/** Reads a record. What is not there makes every read throw COMETMQ_STORE_CORRUPT: the log's CRCs have passed before. */
export class JournalReader {
  readonly kind: number;
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.kind = bytes[this.#take(1)]!;
    this.group = this.#name();
    this.topic = this.#name();
    this.queueId = this.int32();
  }

  double(): number {
    const value = this.#bytes.readDoubleBE(this.#take(8));
    if (!Number.isSafeInteger(value)) throw torn();
    return value;
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  text(): string {
    const bytes = this.int32();
    if (bytes < 0) throw torn();
    const at = this.#take(bytes);
    return this.#bytes.toString("utf8", at, at + bytes);
  }

  #name(): string {
    const bytes = this.uint16();
    const at = this.#take(bytes);
    return this.#bytes.toString("utf8", at, at + bytes);
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#bytes.length) throw torn();
    this.#at += bytes;
    return at;
  }
}

function torn(): CometError {
  return new CometError("COMETMQ_STORE_CORRUPT", "A record of the journal of leases is malformed.");
}
