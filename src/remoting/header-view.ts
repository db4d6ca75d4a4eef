/**
 * A received header without objects: the six fixed members as numbers, the ext fields as offsets into the received
 * bytes. One view serves every request of a connection's owner in turn; parsing allocates nothing for a header as
 * Apache's clients send it. Both serialisations fill the same tables (remoting/protocol/RemotingCommand.java,
 * RocketMQSerializable.java).
 */
import { parseBinaryHeader } from "./header-binary.js";
import { parseJsonHeaderTolerantly, scanJsonHeader, scanOpaque } from "./header-json.js";
import { HeaderShapes } from "./header-shape.js";
import { unescapeJson } from "./json-escapes.js";
import { SerializeType } from "./types.js";

/** More ext fields than this make a header malformed; Apache's largest has some thirty. */
export const HEADER_FIELDS_MAX = 256;

const NO_BYTES = Buffer.alloc(0);

export class HeaderView {
  code = 0;
  flag = 0;
  opaque = 0;
  version = 0;
  /** Numeric LanguageCode; OTHER when Apache would not know it. */
  language = 0;
  serializeType: SerializeType = SerializeType.JSON;
  fieldCount = 0;
  /** What the tables point into: the received chunk, or a copy after a header that needed the tolerant parser. */
  bytes: Buffer = NO_BYTES;
  readonly keyStart = new Int32Array(HEADER_FIELDS_MAX);
  readonly keyEnd = new Int32Array(HEADER_FIELDS_MAX);
  /** Value i as sent is `bytes[valueStart[i], valueEnd[i])`; it holds JSON escapes when `escaped[i]` is 1. */
  readonly valueStart = new Int32Array(HEADER_FIELDS_MAX);
  readonly valueEnd = new Int32Array(HEADER_FIELDS_MAX);
  readonly escaped = new Uint8Array(HEADER_FIELDS_MAX);
  /** Field that a one-letter key had when it was last seen; `find` checks it, so it needs no reset. */
  readonly letterIndex = new Uint8Array(128);
  remarkStart = 0;
  remarkEnd = 0;
  remarkEscaped = 0;
  /** Digits of the opaque, in JSON. */
  opaqueStart = 0;
  opaqueEnd = 0;
  readonly shapes = new HeaderShapes();
  #scratch: Buffer = NO_BYTES;

  /** Takes `bytes[start, end)` in; false when that is no header. Never throws. */
  parse(bytes: Buffer, start: number, end: number, serializeType: number): boolean {
    if (serializeType === SerializeType.JSON && this.#fillKnown(bytes, start, end)) return true;
    this.clear(bytes);
    if (serializeType === SerializeType.JSON) {
      this.serializeType = SerializeType.JSON;
      if (scanJsonHeader(this, bytes, start, end)) {
        if (this.remarkEnd === 0 && this.opaqueEnd > 0) this.shapes.parsed(this, start, end);
        return true;
      }
      this.clear(NO_BYTES);
      return parseJsonHeaderTolerantly(this, bytes.subarray(start, end));
    }
    if (serializeType !== SerializeType.ROCKETMQ) return false;
    this.serializeType = SerializeType.ROCKETMQ;
    return parseBinaryHeader(this, bytes, start, end);
  }

  /** False for a header that has to be parsed: its shape is not known, or its opaque is none. */
  #fillKnown(bytes: Buffer, start: number, end: number): boolean {
    const shape = this.shapes.find(bytes, start, end);
    if (shape === undefined) return false;
    this.serializeType = SerializeType.JSON;
    this.remarkStart = 0;
    this.remarkEnd = 0;
    this.remarkEscaped = 0;
    shape.fill(this, bytes, start);
    return scanOpaque(this, bytes, end);
  }

  /** For the parsers: no fields, every member as in a header that does not mention it. */
  clear(bytes: Buffer): void {
    this.bytes = bytes;
    this.code = 0;
    this.flag = 0;
    this.opaque = 0;
    this.version = 0;
    this.language = 0;
    this.fieldCount = 0;
    this.remarkStart = 0;
    this.remarkEnd = 0;
    this.remarkEscaped = 0;
    this.opaqueStart = 0;
    this.opaqueEnd = 0;
  }

  /** For the parsers: false when the tables are full. */
  addField(keyStart: number, keyEnd: number, valueStart: number, valueEnd: number, escaped: number): boolean {
    const index = this.fieldCount;
    if (index === HEADER_FIELDS_MAX) return false;
    this.keyStart[index] = keyStart;
    this.keyEnd[index] = keyEnd;
    this.valueStart[index] = valueStart;
    this.valueEnd[index] = valueEnd;
    this.escaped[index] = escaped;
    if (keyEnd - keyStart === 1) {
      const letter = this.bytes[keyStart]!;
      if (letter < 128) this.letterIndex[letter] = index;
    }
    this.fieldCount = index + 1;
    return true;
  }

  get isResponse(): boolean {
    return (this.flag & 1) !== 0;
  }

  get isOneway(): boolean {
    return (this.flag & 2) !== 0;
  }

  /** Empty when absent. */
  get remark(): string {
    return this.#textOf(this.remarkStart, this.remarkEnd, this.remarkEscaped);
  }

  /** Index of the field, or -1. The last of equal names counts, as in Apache's map. `name` is ASCII. */
  find(name: string): number {
    const { bytes, keyStart, keyEnd } = this;
    const length = name.length;
    const first = name.charCodeAt(0);
    if (length === 1) {
      const index = this.letterIndex[first & 127]!;
      const start = keyStart[index]!;
      return index < this.fieldCount && keyEnd[index]! === start + 1 && bytes[start] === first ? index : -1;
    }
    for (let index = this.fieldCount - 1; index >= 0; index--) {
      const start = keyStart[index]!;
      if (keyEnd[index]! - start !== length || bytes[start] !== first) continue;
      let i = 1;
      while (i < length && bytes[start + i] === name.charCodeAt(i)) i++;
      if (i >= length) return index;
    }
    return -1;
  }

  text(name: string): string | undefined {
    const index = this.find(name);
    return index < 0 ? undefined : this.valueText(index);
  }

  /**
   * Undefined when absent or empty, NaN when it is not what Java's Long.parseLong takes. Beyond 2^53 the nearest
   * number. A caller that wants an int checks the range.
   */
  integer(name: string): number | undefined {
    const index = this.find(name);
    return index < 0 ? undefined : this.valueInteger(index);
  }

  /** Java's Boolean.parseBoolean; undefined when absent. */
  boolean(name: string): boolean | undefined {
    const index = this.find(name);
    if (index < 0) return undefined;
    const start = this.valueStart[index]!;
    if (this.valueEnd[index]! - start !== 4) return this.escaped[index] === 1 && /^true$/i.test(this.valueText(index));
    const { bytes } = this;
    return (
      (bytes[start]! | 32) === 0x74 &&
      (bytes[start + 1]! | 32) === 0x72 &&
      (bytes[start + 2]! | 32) === 0x75 &&
      (bytes[start + 3]! | 32) === 0x65
    );
  }

  keyText(index: number): string {
    return this.#textOf(this.keyStart[index]!, this.keyEnd[index]!, 0);
  }

  valueText(index: number): string {
    return this.#textOf(this.valueStart[index]!, this.valueEnd[index]!, this.escaped[index]!);
  }

  /** As `integer`, for a field found before. */
  valueInteger(index: number): number | undefined {
    const { bytes } = this;
    const start = this.valueStart[index]!;
    const end = this.valueEnd[index]!;
    if (end === start) return undefined;
    const sign = bytes[start]!;
    let position = sign === 0x2d || sign === 0x2b ? start + 1 : start;
    if (end - position > 15 || position === end || this.escaped[index] === 1)
      return parseJavaLong(this.valueText(index));
    let value = 0;
    for (; position < end; position++) {
      const digit = bytes[position]! - 0x30;
      if (digit < 0 || digit > 9) return Number.NaN;
      value = value * 10 + digit;
    }
    return sign === 0x2d ? 0 - value : value;
  }

  /** An upper bound of what copyValue writes. */
  valueBytesMax(index: number): number {
    return this.valueEnd[index]! - this.valueStart[index]!;
  }

  /** Writes the value's UTF-8 bytes, escapes undone, at `target[at]` and returns their count. */
  copyValue(index: number, target: Buffer, at: number): number {
    const start = this.valueStart[index]!;
    const end = this.valueEnd[index]!;
    if (this.escaped[index] === 1) return unescapeJson(this.bytes, start, end, target, at);
    if (end - start > 48) return this.bytes.copy(target, at, start, end);
    const { bytes } = this;
    for (let i = start; i < end; i++) target[at++] = bytes[i]!;
    return end - start;
  }

  /** Every field as a map, in the order received (cold). */
  fields(): Map<string, string> {
    const map = new Map<string, string>();
    for (let i = 0; i < this.fieldCount; i++) map.set(this.keyText(i), this.valueText(i));
    return map;
  }

  #textOf(start: number, end: number, escaped: number): string {
    if (escaped === 0) return this.bytes.toString("utf8", start, end);
    if (this.#scratch.length < end - start) this.#scratch = Buffer.allocUnsafe(Math.max(1024, end - start));
    const scratch = this.#scratch;
    const text = scratch.toString("utf8", 0, unescapeJson(this.bytes, start, end, scratch, 0));
    if (scratch.length > 65536) this.#scratch = NO_BYTES;
    return text;
  }
}

/** What Java's Long.parseLong makes of `text`, NaN where it throws. */
export function parseJavaLong(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) return Number.NaN;
  const value = BigInt(text.startsWith("+") ? text.slice(1) : text);
  return BigInt.asIntN(64, value) === value ? Number(value) : Number.NaN;
}
