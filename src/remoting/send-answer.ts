/**
 * The answer to a message that was taken, in JSON: the bytes that FrameWriter makes of the same fields one by one, in one
 * go, for nothing is written as often by a broker under load. What does not change from answer to answer is made once.
 */
import type { FrameWriter } from "./frame-writer.js";
import { DECIMAL_BYTES_MAX, writeDecimal } from "./decimal.js";
import { isPlain } from "./frame-text.js";

const TWO_32 = 4294967296;
const HEX_DIGITS = Buffer.from("0123456789ABCDEF");
const QUEUE_ID = Buffer.from('","queueId":"');
const QUEUE_OFFSET = Buffer.from('","queueOffset":"');
const TRANSACTION_ID = Buffer.from('","transactionId":"');
const END_FIELDS = Buffer.from('"}');
const OFFSET_CHARS = 16;
const VARIABLE_BYTES_MAX =
  OFFSET_CHARS +
  3 * DECIMAL_BYTES_MAX +
  QUEUE_ID.length +
  QUEUE_OFFSET.length +
  TRANSACTION_ID.length +
  END_FIELDS.length;

export class SendAnswer {
  /** What the answers are made for: who has others needs another object. */
  readonly regionId: string;
  readonly traceOn: boolean;
  readonly storeHost: Buffer;
  /** Up to the offset in the message id. */
  readonly #head: Buffer;

  constructor(regionId: string, traceOn: boolean, storeHost: Buffer) {
    this.regionId = regionId;
    this.traceOn = traceOn;
    this.storeHost = storeHost;
    const fields = JSON.stringify({ MSG_REGION: regionId, TRACE_ON: String(traceOn), msgId: "" }).slice(0, -2);
    this.#head = Buffer.from(`{"code":0,"extFields":${fields}${storeHost.toString("hex").toUpperCase()}`);
  }

  /** Writes it; the transaction id is `id[start, end)`. False, and nothing is written, where that needs escapes. */
  write(
    writer: FrameWriter,
    opaque: number,
    phyOffset: number,
    queueId: number,
    queueOffset: number,
    id: Buffer,
    start: number,
    end: number,
  ): boolean {
    if (!isPlain(id, start, end)) return false;
    const { flagToOpaque, behindOpaque } = writer.answerParts;
    const constantBytes = this.#head.length + flagToOpaque.length + behindOpaque.length;
    let at = writer.beginWritten(opaque, constantBytes + VARIABLE_BYTES_MAX + end - start);
    const { buffer } = writer;
    buffer.set(this.#head, at);
    at += this.#head.length;
    const high = Math.floor(phyOffset / TWO_32);
    writeHex32(buffer, at, high);
    writeHex32(buffer, at + 8, phyOffset - high * TWO_32);
    at = writeDecimal(buffer, copy(buffer, at + OFFSET_CHARS, QUEUE_ID, 0, QUEUE_ID.length), queueId);
    at = writeDecimal(buffer, copy(buffer, at, QUEUE_OFFSET, 0, QUEUE_OFFSET.length), queueOffset);
    at = copy(buffer, at, TRANSACTION_ID, 0, TRANSACTION_ID.length);
    at = copy(buffer, at, id, start, end);
    at = copy(buffer, at, END_FIELDS, 0, END_FIELDS.length);
    buffer.set(flagToOpaque, at);
    at = writeDecimal(buffer, at + flagToOpaque.length, opaque);
    buffer.set(behindOpaque, at);
    writer.endWritten(at + behindOpaque.length);
    return true;
  }
}

/** Keeps the last one: who is answered next most likely needs the same. */
export class SendAnswers {
  #last: SendAnswer | undefined;

  of(regionId: string, traceOn: boolean, storeHost: Buffer): SendAnswer {
    const last = this.#last;
    if (last?.storeHost === storeHost && last.regionId === regionId && last.traceOn === traceOn) return last;
    this.#last = new SendAnswer(regionId, traceOn, storeHost);
    return this.#last;
  }
}

/** For pieces so short that a loop beats `set`. */
function copy(target: Buffer, at: number, source: Buffer, start: number, end: number): number {
  for (let i = start; i < end; i++) target[at++] = source[i]!;
  return at;
}

function writeHex32(target: Buffer, at: number, value: number): void {
  for (let i = 0; i < 8; i++) target[at + i] = HEX_DIGITS[(value >>> (28 - 4 * i)) & 15]!;
}
