/**
 * Writes frames one after the other into a buffer of its own, in the serialisation that each frame's peer speaks. The
 * JSON members come in Apache's order (alphabetical, as fastjson2 has them), so the bytes are those of an Apache broker
 * when the fields are given in its order (remoting/protocol/RemotingCommand.java, RocketMQSerializable.java).
 */
import { assert, VERIFY } from "../base/assert.js";
import { copyBytes } from "../base/copy-bytes.js";
import { BufferPool } from "./buffer-pool.js";
import { DECIMAL_BYTES_MAX, writeDecimal } from "./decimal.js";
import { type EncodedName, encodedName, type PreparedFields } from "./field-names.js";
import { isPlain, writeJsonText, writeText } from "./frame-text.js";
import { LanguageCode, languageName } from "./language-code.js";
import { CURRENT_VERSION } from "./mq-version.js";
import { type Fields, SerializeType } from "./types.js";

const FLAG_RESPONSE = 1;
const FLAG_ONEWAY = 2;
const NO_BYTES = Buffer.alloc(0);
const PREFIX_BYTES = 8;
/** Room for all of a JSON header but code, fields and remark, or for the fixed part of a binary one. */
const FIXED_BYTES = 192;
/** Bytes that a UTF-16 unit takes at most: `\u0001` in JSON, three in UTF-8. */
const JSON_UNIT_BYTES = 6;
const SHORT_CONSTANT_BYTES = 32;

const QUOTE = 0x22;
const CLOSE_BRACE = 0x7d;
const HEX_DIGITS = Buffer.from("0123456789ABCDEF");
const JSON_BEGIN = Buffer.from('{"code":');
const JSON_BEGIN_SUCCESS = Buffer.from('{"code":0');
const JSON_REMARK = Buffer.from(',"remark":"');

/** The end of a JSON response's header, around its opaque. */
export interface AnswerParts {
  readonly flagToOpaque: Buffer;
  readonly behindOpaque: Buffer;
}

/** What stands in every JSON header of one language and version. */
interface JsonConstants {
  /** By flag. */
  readonly middles: readonly Buffer[];
  readonly end: Buffer;
  readonly answer: AnswerParts;
}

const constantsKept = new Map<string, JsonConstants>();

function jsonConstants(language: number, version: number): JsonConstants {
  const key = `${language} ${version}`;
  const kept = constantsKept.get(key);
  if (kept !== undefined) return kept;
  const middles = [0, 1, 2].map((flag) =>
    Buffer.from(`,"flag":${flag},"language":"${languageName(language)}","opaque":`),
  );
  const end = Buffer.from(`,"serializeTypeCurrentRPC":"JSON","version":${version}}`);
  const answer = { flagToOpaque: middles[FLAG_RESPONSE]!, behindOpaque: end };
  const made = { middles, end, answer };
  constantsKept.set(key, made);
  return made;
}

/** Sees a response as it goes out; the bytes are good until it returns. It must not throw, nor write. */
export type AnswerWatcher = (
  bytes: Buffer,
  headerStart: number,
  headerEnd: number,
  bodyEnd: number,
  serializeType: SerializeType,
) => void;

export interface FrameWriterOptions {
  readonly pool?: BufferPool;
  /** Numeric LanguageCode that frames carry; JAVA, as every client expects of a broker. */
  readonly language?: number;
  readonly version?: number;
}

export class FrameWriter {
  /** The bytes written so far are `buffer[0, length)`. Moves when it grows: read it again after each call. */
  buffer: Buffer = NO_BYTES;
  length = 0;
  readonly #pool: BufferPool;
  readonly #language: number;
  readonly #version: number;
  readonly #constants: JsonConstants;
  /** State of the open frame; -1 when none is. */
  #frameStart = -1;
  #headerEnd = -1;
  #serializeType: SerializeType = SerializeType.JSON;
  #opaque = 0;
  #flag = 0;
  #remark: string | undefined;
  /** JSON: a field has been written. ROCKETMQ: where the fields' length goes. */
  #fieldsAt = 0;
  #mutedOpaque = Number.NaN;
  #lastOpaque = Number.NaN;
  /** By opaque. Undefined as long as nobody watches: most brokers have no hooks. */
  #watchers: Map<number, AnswerWatcher> | undefined;

  constructor(options: FrameWriterOptions = {}) {
    this.#pool = options.pool ?? new BufferPool();
    this.#language = options.language ?? LanguageCode.JAVA;
    this.#version = options.version ?? CURRENT_VERSION;
    this.#constants = jsonConstants(this.#language, this.#version);
  }

  /** A frame, or a part of one, made elsewhere; returns where it lies in `buffer`, for its maker to finish it there. */
  append(bytes: Uint8Array): number {
    assert(this.#frameStart < 0, "the frame before is ended");
    const at = this.reserveBody(bytes.length);
    this.buffer.set(bytes, at);
    return at;
  }

  /** Opens a response. Then any number of fields, `endHeader`, a body or none, `end`. */
  beginResponse(opaque: number, serializeType: SerializeType, code: number, remark?: string): void {
    this.#begin(opaque, serializeType, code, FLAG_RESPONSE, remark);
  }

  /** Opens a request, to be continued like a response. */
  beginRequest(opaque: number, serializeType: SerializeType, code: number, oneway: boolean): void {
    this.#begin(opaque, serializeType, code, oneway ? FLAG_ONEWAY : 0, undefined);
  }

  /** Nothing is written when `text` is undefined. */
  field(name: string, text: string | undefined): void {
    if (text === undefined) return;
    const encoded = encodedName(name);
    this.#ensure(encoded.bytesMax + text.length * JSON_UNIT_BYTES);
    this.#name(encoded);
    if (this.#serializeType === SerializeType.JSON) {
      this.length = writeJsonText(this.buffer, this.length, text);
      this.buffer[this.length++] = QUOTE;
    } else {
      this.#binaryText(text);
    }
  }

  /** `value` is an integer below 2^53; nothing is written when it is undefined. */
  integerField(name: string | EncodedName, value: number | undefined): void {
    if (value === undefined) return;
    const encoded = asEncoded(name);
    this.#ensure(encoded.bytesMax + DECIMAL_BYTES_MAX);
    this.#name(encoded);
    if (this.#serializeType === SerializeType.JSON) {
      this.#decimal(value);
      this.buffer[this.length++] = QUOTE;
    } else {
      const at = this.length;
      this.length += 4;
      this.#decimal(value);
      this.#int32(at, this.length - at - 4);
    }
  }

  /** A value that lies in bytes as UTF-8 text without escapes; no string is made of it. */
  bytesField(name: string | EncodedName, source: Buffer, start: number, end: number): void {
    const encoded = asEncoded(name);
    this.#ensure(encoded.bytesMax + (end - start) * JSON_UNIT_BYTES);
    this.#name(encoded);
    if (this.#serializeType === SerializeType.JSON) {
      this.length = isPlain(source, start, end)
        ? copyBytes(this.buffer, this.length, source, start, end)
        : writeJsonText(this.buffer, this.length, source.toString("utf8", start, end));
      this.buffer[this.length++] = QUOTE;
    } else {
      this.#int32(this.length, end - start);
      this.length = copyBytes(this.buffer, this.length + 4, source, start, end);
    }
  }

  /** The bytes in upper-case hexadecimal, as message ids are printed. */
  hexField(name: string | EncodedName, source: Uint8Array, start: number, end: number): void {
    const encoded = asEncoded(name);
    const hexBytes = 2 * (end - start);
    this.#ensure(encoded.bytesMax + hexBytes);
    this.#name(encoded);
    if (this.#serializeType !== SerializeType.JSON) {
      this.#int32(this.length, hexBytes);
      this.length += 4;
    }
    const { buffer } = this;
    let at = this.length;
    for (let i = start; i < end; i++) {
      const byte = source[i]!;
      buffer[at++] = HEX_DIGITS[byte >> 4]!;
      buffer[at++] = HEX_DIGITS[byte & 15]!;
    }
    if (this.#serializeType === SerializeType.JSON) buffer[at++] = QUOTE;
    this.length = at;
  }

  /** Fields encoded beforehand, in their order. */
  preparedFields(fields: PreparedFields): void {
    this.#ensure(fields.jsonFirst.length + fields.binary.length);
    if (this.#serializeType !== SerializeType.JSON) {
      this.#constant(fields.binary);
    } else if (this.#fieldsAt === 0) {
      this.#fieldsAt = 1;
      this.#constant(fields.jsonFirst);
    } else {
      this.#constant(fields.json);
    }
  }

  booleanField(name: string, value: boolean | undefined): void {
    if (value !== undefined) this.field(name, value ? "true" : "false");
  }

  /** All of `fields` that are not undefined, in their order. */
  fields(fields: Fields): void {
    for (const name of Object.keys(fields)) {
      const value = fields[name];
      if (value !== undefined) this.field(name, typeof value === "string" ? value : String(value));
    }
  }

  endHeader(): void {
    assert(this.#frameStart >= 0 && this.#headerEnd < 0, "a header is open");
    const remark = this.#remark;
    this.#ensure(FIXED_BYTES + (remark === undefined ? 0 : remark.length * JSON_UNIT_BYTES));
    if (this.#serializeType === SerializeType.JSON) {
      if (this.#fieldsAt > 0) this.buffer[this.length++] = CLOSE_BRACE;
      this.#constant(this.#constants.middles[this.#flag]!);
      this.#decimal(this.#opaque);
      if (remark !== undefined) {
        this.#constant(JSON_REMARK);
        this.length = writeJsonText(this.buffer, this.length, remark);
        this.buffer[this.length++] = QUOTE;
      }
      this.#constant(this.#constants.end);
    } else {
      this.#int32(this.#fieldsAt, this.length - this.#fieldsAt - 4);
    }
    this.#headerEnd = this.length;
    const headerBytes = this.length - this.#frameStart - PREFIX_BYTES;
    this.#int32(this.#frameStart + 4, (this.#serializeType << 24) | headerBytes);
  }

  /** Room for `bytes` of body; returns their position in `buffer`. The caller fills all of them. */
  reserveBody(bytes: number): number {
    this.#ensure(bytes);
    const at = this.length;
    this.length += bytes;
    return at;
  }

  /** Gives back the last bytes of a reserved body that turned out shorter. */
  trimBody(bytes: number): void {
    assert(this.length - bytes >= this.#headerEnd, "no more than the body is trimmed");
    this.length -= bytes;
  }

  bodyBytes(source: Uint8Array, start = 0, bytes: number = source.length - start): void {
    const at = this.reserveBody(bytes);
    const whole = start === 0 && bytes === source.length;
    this.buffer.set(whole ? source : source.subarray(start, start + bytes), at);
  }

  end(): void {
    assert(this.#headerEnd >= 0, "the header is ended before its frame");
    const start = this.#frameStart;
    this.#frameStart = -1;
    this.#headerEnd = -1;
    if (this.#flag === FLAG_RESPONSE) {
      this.#lastOpaque = this.#opaque;
      if (this.#watchers !== undefined) this.#tellWatcher(start);
      if (this.#opaque === this.#mutedOpaque) {
        this.length = start;
        return;
      }
    }
    this.#int32(start, this.length - start - 4);
  }

  /** Tells of the next response to `opaque` when it is ended, also where it is dropped because nobody waits for it. */
  watch(opaque: number, watcher: AnswerWatcher): void {
    this.#watchers ??= new Map();
    this.#watchers.set(opaque, watcher);
  }

  #tellWatcher(start: number): void {
    const watcher = this.#watchers?.get(this.#opaque);
    if (watcher === undefined) return;
    this.#watchers?.delete(this.#opaque);
    const headerStart = start + PREFIX_BYTES;
    const headerEnd = headerStart + (this.buffer.readInt32BE(start + 4) & 0xffffff);
    watcher(this.buffer, headerStart, headerEnd, this.length, this.#serializeType);
  }

  /**
   * Opens a JSON response whose header, of at most `bytesMax`, the caller writes into `buffer` by himself, from the
   * position returned on; `answerParts` are what it ends with, around the opaque. Then `endWritten`.
   */
  beginWritten(opaque: number, bytesMax: number): number {
    assert(this.#frameStart < 0, "the frame before is ended");
    this.#ensure(PREFIX_BYTES + bytesMax);
    this.#frameStart = this.length;
    this.#serializeType = SerializeType.JSON;
    this.#opaque = opaque;
    this.#flag = FLAG_RESPONSE;
    return this.length + PREFIX_BYTES;
  }

  /** Ends it; the header ends at `end`. */
  endWritten(end: number): void {
    this.length = end;
    this.#headerEnd = end;
    this.#int32(this.#frameStart + 4, end - this.#frameStart - PREFIX_BYTES);
    this.end();
  }

  get answerParts(): AnswerParts {
    return this.#constants.answer;
  }

  /** A whole response in one call. */
  response(
    opaque: number,
    serializeType: SerializeType,
    code: number,
    remark?: string,
    fields?: Fields,
    body?: Uint8Array,
  ): void {
    this.beginResponse(opaque, serializeType, code, remark);
    this.#finish(fields, body);
  }

  /** A whole request in one call. */
  request(
    opaque: number,
    serializeType: SerializeType,
    code: number,
    oneway: boolean,
    fields: Fields,
    body?: Uint8Array,
  ): void {
    this.beginRequest(opaque, serializeType, code, oneway);
    this.#finish(fields, body);
  }

  /** A field that can not be written must not leave the frame open in a connection that others write to. */
  #finish(fields: Fields | undefined, body: Uint8Array | undefined): void {
    try {
      if (fields !== undefined) this.fields(fields);
      this.endHeader();
      if (body !== undefined) this.bodyBytes(body);
      this.end();
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  /** A frame has been begun and not ended. */
  get isOpen(): boolean {
    return this.#frameStart >= 0;
  }

  /** A position to come back to with `reset`, which drops every frame begun after it, also a half-written one. */
  mark(): number {
    return this.length;
  }

  reset(mark: number): void {
    assert(mark >= 0 && mark <= this.length, "a mark of this writer");
    this.length = mark;
    this.#frameStart = -1;
    this.#headerEnd = -1;
  }

  /** Drops the frame that is open, if one is. */
  abandon(): void {
    if (this.#frameStart >= 0) this.reset(this.#frameStart);
  }

  /** Responses to `opaque`, a one-way request, are dropped until `unmute`. */
  mute(opaque: number): void {
    this.#mutedOpaque = opaque;
  }

  unmute(): void {
    this.#mutedOpaque = Number.NaN;
  }

  /** The opaque of the response that was ended last, NaN after `forgetLast`. */
  get lastOpaque(): number {
    return this.#lastOpaque;
  }

  forgetLast(): void {
    this.#lastOpaque = Number.NaN;
  }

  /** Hands the buffer over, `length` bytes of it written; the writer goes on with another one. */
  detach(): Buffer {
    assert(this.#frameStart < 0, "no frame is open");
    const { buffer } = this;
    this.buffer = NO_BYTES;
    this.length = 0;
    return buffer;
  }

  #begin(opaque: number, serializeType: SerializeType, code: number, flag: number, remark: string | undefined): void {
    assert(this.#frameStart < 0, "the frame before is ended");
    this.#ensure(FIXED_BYTES + (remark === undefined ? 0 : remark.length * JSON_UNIT_BYTES));
    this.#frameStart = this.length;
    this.#serializeType = serializeType;
    this.#opaque = opaque;
    this.#flag = flag;
    this.length += PREFIX_BYTES;
    if (serializeType === SerializeType.JSON) {
      this.#remark = remark;
      this.#fieldsAt = 0;
      if (code === 0) {
        this.#constant(JSON_BEGIN_SUCCESS);
      } else {
        this.#constant(JSON_BEGIN);
        this.#decimal(code);
      }
    } else {
      this.#binaryFixed(code, flag, opaque);
      this.#binaryText(remark ?? "");
      this.#fieldsAt = this.length;
      this.length += 4;
    }
  }

  #binaryFixed(code: number, flag: number, opaque: number): void {
    const { buffer } = this;
    const at = this.length;
    buffer[at] = code >> 8;
    buffer[at + 1] = code;
    buffer[at + 2] = this.#language;
    buffer[at + 3] = this.#version >> 8;
    buffer[at + 4] = this.#version;
    this.#int32(at + 5, opaque);
    this.#int32(at + 9, flag);
    this.length = at + 13;
  }

  /** The name and, in JSON, what stands before and after it up to the value's first byte. */
  #name(name: EncodedName): void {
    if (this.#serializeType !== SerializeType.JSON) {
      this.#constant(name.binary);
    } else if (this.#fieldsAt === 0) {
      this.#fieldsAt = 1;
      this.#constant(name.jsonFirst);
    } else {
      this.#constant(name.json);
    }
  }

  #binaryText(text: string): void {
    const at = this.length;
    this.length = writeText(this.buffer, at + 4, text);
    this.#int32(at, this.length - at - 4);
  }

  /** A loop beats `set` for the few bytes that most constants have. */
  #constant(bytes: Buffer): void {
    const { buffer } = this;
    const at = this.length;
    const count = bytes.length;
    if (count > SHORT_CONSTANT_BYTES) buffer.set(bytes, at);
    else for (let i = 0; i < count; i++) buffer[at + i] = bytes[i]!;
    this.length = at + count;
  }

  #decimal(value: number): void {
    if (VERIFY) assert(Number.isSafeInteger(value), "an integer below 2^53");
    this.length = writeDecimal(this.buffer, this.length, value);
  }

  #int32(at: number, value: number): void {
    const { buffer } = this;
    buffer[at] = value >> 24;
    buffer[at + 1] = value >> 16;
    buffer[at + 2] = value >> 8;
    buffer[at + 3] = value;
  }

  /** Room for `bytes` more. */
  #ensure(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.buffer.length) return;
    const old = this.buffer;
    const grown = this.#pool.take(old.length === 0 ? needed : Math.max(needed, 2 * old.length));
    old.copy(grown, 0, 0, this.length);
    this.buffer = grown;
    if (old.length > 0) this.#pool.give(old);
  }
}

function asEncoded(name: string | EncodedName): EncodedName {
  return typeof name === "string" ? encodedName(name) : name;
}
