/**
 * The answer to a message that was taken, in JSON: the bytes that FrameWriter makes of the same fields one by one, in one
 * go, for nothing is written as often by a broker under load. What does not change from answer to answer is made once.
 */
import { copyBytes } from "../base/copy-bytes.js";
import type { AnswerParts, FrameWriter } from "./frame-writer.js";
import { DECIMAL_BYTES_MAX, digitCount, writeDecimal, writeDigits } from "./decimal.js";
import { isPlain } from "./frame-text.js";

/** Base64, in `bytes[0, length)`. */
export interface HandleBytes {
  readonly bytes: Buffer;
  readonly length: number;
}

const TWO_32 = 4294967296;
const HEX_DIGITS = Buffer.from("0123456789ABCDEF");
const QUEUE_ID = Buffer.from('","queueId":"');
const QUEUE_OFFSET = Buffer.from('","queueOffset":"');
const TRANSACTION_ID = Buffer.from('","transactionId":"');
const RECALL_HANDLE = Buffer.from('","recallHandle":"');
const END_FIELDS = Buffer.from('"}');
const OFFSET_CHARS = 16;
/** Numbers beyond it are none of those that most answers have. */
const SMALL = 1e9;
const NO_BYTES = new Uint8Array(0);
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
  /** The one made last, and where in it stands what changes; `#parts` is undefined where there is none. */
  #last = NO_BYTES;
  #parts: AnswerParts | undefined;
  #high = 0;
  #idBytes = 0;
  /** With the name of the field; 0 without one. */
  #handleBytes = 0;
  #queueIdDigits = 0;
  #queueOffsetDigits = 0;
  #opaqueDigits = 0;
  #queueIdAt = 0;
  #queueOffsetAt = 0;
  #idAt = 0;
  #opaqueAt = 0;

  constructor(regionId: string, traceOn: boolean, storeHost: Buffer) {
    this.regionId = regionId;
    this.traceOn = traceOn;
    this.storeHost = storeHost;
    const fields = JSON.stringify({ MSG_REGION: regionId, TRACE_ON: String(traceOn), msgId: "" }).slice(0, -2);
    this.#head = Buffer.from(`{"code":0,"extFields":${fields}${storeHost.toString("hex").toUpperCase()}`);
  }

  /**
   * Writes it; the transaction id is `id[start, end)`, and a message that waits for its time has a handle to recall it
   * with. False, and nothing is written, where the id needs escapes.
   */
  write(
    writer: FrameWriter,
    opaque: number,
    phyOffset: number,
    queueId: number,
    queueOffset: number,
    id: Buffer,
    start: number,
    end: number,
    handle?: HandleBytes,
  ): boolean {
    if (!isPlain(id, start, end)) return false;
    const handleBytes = handle === undefined ? 0 : RECALL_HANDLE.length + handle.length;
    const { answerParts } = writer;
    const { flagToOpaque, behindOpaque } = answerParts;
    const constantBytes = this.#head.length + flagToOpaque.length + behindOpaque.length;
    const at = writer.beginWritten(opaque, constantBytes + VARIABLE_BYTES_MAX + end - start + handleBytes);
    const { buffer } = writer;
    const high = Math.floor(phyOffset / TWO_32);
    const isLikeLast =
      high === this.#high &&
      end - start === this.#idBytes &&
      handleBytes === this.#handleBytes &&
      answerParts === this.#parts &&
      hasDigits(queueId, this.#queueIdDigits) &&
      hasDigits(queueOffset, this.#queueOffsetDigits) &&
      hasDigits(opaque, this.#opaqueDigits);
    if (!isLikeLast) {
      const to = this.#writeWhole(buffer, at, answerParts, opaque, high, queueId, queueOffset, id, start, end, handle);
      writeHex32(buffer, at + this.#head.length + 8, phyOffset - high * TWO_32);
      this.#learn(buffer, at, to, answerParts, opaque, high, queueId, queueOffset, end - start, handleBytes);
      writer.endWritten(to);
      return true;
    }
    buffer.set(this.#last, at);
    writeHex32(buffer, at + this.#head.length + 8, phyOffset - high * TWO_32);
    writeDigits(buffer, at + this.#queueIdAt, queueId, this.#queueIdDigits);
    writeDigits(buffer, at + this.#queueOffsetAt, queueOffset, this.#queueOffsetDigits);
    const handleAt = copy(buffer, at + this.#idAt, id, start, end) + RECALL_HANDLE.length;
    if (handle !== undefined) copyBytes(buffer, handleAt, handle.bytes, 0, handle.length);
    writeDigits(buffer, at + this.#opaqueAt, opaque, this.#opaqueDigits);
    writer.endWritten(at + this.#last.length);
    return true;
  }

  #writeWhole(
    buffer: Buffer,
    from: number,
    parts: AnswerParts,
    opaque: number,
    high: number,
    queueId: number,
    queueOffset: number,
    id: Buffer,
    start: number,
    end: number,
    handle: HandleBytes | undefined,
  ): number {
    buffer.set(this.#head, from);
    let at = from + this.#head.length;
    writeHex32(buffer, at, high);
    at = writeDecimal(buffer, copy(buffer, at + OFFSET_CHARS, QUEUE_ID, 0, QUEUE_ID.length), queueId);
    at = writeDecimal(buffer, copy(buffer, at, QUEUE_OFFSET, 0, QUEUE_OFFSET.length), queueOffset);
    at = copy(buffer, at, TRANSACTION_ID, 0, TRANSACTION_ID.length);
    at = copy(buffer, at, id, start, end);
    if (handle !== undefined) {
      at = copy(buffer, at, RECALL_HANDLE, 0, RECALL_HANDLE.length);
      at = copyBytes(buffer, at, handle.bytes, 0, handle.length);
    }
    at = copy(buffer, at, END_FIELDS, 0, END_FIELDS.length);
    buffer.set(parts.flagToOpaque, at);
    at = writeDecimal(buffer, at + parts.flagToOpaque.length, opaque);
    buffer.set(parts.behindOpaque, at);
    return at + parts.behindOpaque.length;
  }

  /** The next answer most likely has everything at the same places. */
  #learn(
    buffer: Buffer,
    at: number,
    to: number,
    parts: AnswerParts,
    opaque: number,
    high: number,
    queueId: number,
    queueOffset: number,
    idBytes: number,
    handleBytes: number,
  ): void {
    this.#parts = undefined;
    if (!isSmall(queueId) || !isSmall(queueOffset) || !isSmall(opaque)) return;
    this.#parts = parts;
    this.#last = Uint8Array.prototype.slice.call(buffer, at, to);
    this.#high = high;
    this.#idBytes = idBytes;
    this.#handleBytes = handleBytes;
    this.#queueIdDigits = digitCount(queueId);
    this.#queueOffsetDigits = digitCount(queueOffset);
    this.#opaqueDigits = digitCount(opaque);
    this.#queueIdAt = this.#head.length + OFFSET_CHARS + QUEUE_ID.length;
    this.#queueOffsetAt = this.#queueIdAt + this.#queueIdDigits + QUEUE_OFFSET.length;
    this.#idAt = this.#queueOffsetAt + this.#queueOffsetDigits + TRANSACTION_ID.length;
    this.#opaqueAt = this.#idAt + idBytes + handleBytes + END_FIELDS.length + parts.flagToOpaque.length;
  }
}

function isSmall(value: number): boolean {
  return value >= 0 && value < SMALL;
}

/** Whether `value` has so many digits, of nine at most. */
function hasDigits(value: number, count: number): boolean {
  return value >= LEAST[count]! && value < LEAST[count + 1]!;
}

/** The least number of so many digits. */
const LEAST = [Number.NaN, 0, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

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
