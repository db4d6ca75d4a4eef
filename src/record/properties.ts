/**
 * A record's properties: `name 0x01 value 0x02`, one after the other, in UTF-8 (common/message/MessageDecoder). Reading
 * is lenient, the same in all three ways here: the text is cut at 0x02; a piece counts when a name and a value stand
 * around its first 0x01; anything else is passed over; the last of equal names wins.
 *
 * `parseProperties` makes a Map, for tools and the cold paths. `findProperty` and `PropertyScan` look into the bytes and
 * allocate nothing.
 */
import { assert } from "../base/assert.js";
import { copyBytes } from "../base/copy-bytes.js";
import { javaHash, javaHashUtf8 } from "../base/java-hash.js";
import { javaText } from "../base/java-text.js";
import { PropertyName } from "./property-names.js";

const NAME_VALUE_SEPARATOR = 1;
const PROPERTY_SEPARATOR = 2;

/** Bytes [start, end) of a value. Callers keep one and have it filled. */
export class ValueRange {
  start = 0;
  end = 0;
}

/** A name as `findProperty` wants it. */
export function asciiName(name: string): Buffer {
  assert(/^[ -~]+$/.test(name), "a property name to look for is printable ASCII");
  return Buffer.from(name, "latin1");
}

/** By name. See the head of the file for what is passed over. */
export function parseProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>();
  for (let index = 0; index < text.length; ) {
    let end = text.indexOf("\u0002", index);
    if (end < 0) end = text.length;
    const separator = text.indexOf("\u0001", index);
    if (separator > index && separator < end - 1) {
      properties.set(text.slice(index, separator), text.slice(separator + 1, end));
    }
    index = end + 1;
  }
  return properties;
}

/** The Map of the properties in `bytes[start, end)`. */
export function decodeProperties(bytes: Buffer, start: number, end: number): Map<string, string> {
  return parseProperties(javaText(bytes, start, end));
}

/**
 * The text of `properties`, last separator included. Nothing is checked, as with Apache: what shall come back the same
 * has no empty name or value, no 0x01 in the name and no 0x02 at all.
 */
export function formatProperties(properties: Iterable<readonly [string, string]>): string {
  let text = "";
  for (const [name, value] of properties) text += `${name}\u0001${value}\u0002`;
  return text;
}

/** The bytes as records hold them: no name or value may hold U+0001 or U+0002. */
export function encodeProperties(properties: Iterable<readonly [string, string]>): Buffer {
  return Buffer.from(formatProperties(properties), "utf8");
}

/** Buckets of the HashMap that MessageDecoder.string2messageProperties makes. */
const JAVA_BUCKETS_MIN = 128;

/**
 * The properties in the order in which Apache writes them again, that of its HashMap. Nobody reads a meaning into it, but
 * so a message that a broker sends on has the same bytes whichever broker that is.
 */
export function inApacheOrder(
  properties: ReadonlyMap<string, string>,
  bucketsMin = JAVA_BUCKETS_MIN,
): (readonly [string, string])[] {
  let buckets = bucketsMin;
  while (properties.size > buckets * 0.75) buckets *= 2;
  const bucketOf = (name: string): number => {
    const hash = javaHash(name);
    return (hash ^ (hash >>> 16)) & (buckets - 1);
  };
  return [...properties].sort(([a], [b]) => bucketOf(a) - bucketOf(b));
}

/** Finds the value of `name` in the properties `bytes[start, end)` and puts it into `range`; false without one. */
export function findProperty(bytes: Buffer, start: number, end: number, name: Buffer, range: ValueRange): boolean {
  let found = false;
  for (let at = start; at < end; ) {
    const nameEnd = endOfName(bytes, at, end);
    const valueEnd = endOfValue(bytes, nameEnd, end);
    if (valueEnd > nameEnd + 1 && nameEnd - at === name.length && equalBytes(bytes, at, name)) {
      range.start = nameEnd + 1;
      range.end = valueEnd;
      found = true;
    }
    at = valueEnd + 1;
  }
  return found;
}

/** Looks for several names in one pass over the properties: made once for the names, then used for every record. */
export class PropertyScan {
  /** By index of the name: where its value starts, or -1. */
  readonly starts: Int32Array;
  /** By index of the name: where its value ends, when there is one. */
  readonly ends: Int32Array;
  readonly #names: readonly Buffer[];
  /** By bucket: the first name in it, or -1; by name: the next one in its bucket. So many names cost little more than few. */
  readonly #first = new Int32Array(SCAN_BUCKETS).fill(-1);
  readonly #next: Int32Array;

  constructor(names: readonly string[]) {
    this.#names = names.map(asciiName);
    this.#next = new Int32Array(names.length);
    this.#names.forEach((name, index) => {
      const bucket = bucketOf(name, 0, name.length);
      this.#next[index] = this.#first[bucket]!;
      this.#first[bucket] = index;
    });
    this.starts = new Int32Array(names.length).fill(-1);
    this.ends = new Int32Array(names.length);
  }

  /** Nothing is found. Who goes through properties by himself begins so, and then has each taken, in their order. */
  clear(): void {
    const { starts } = this;
    for (let i = 0; i < starts.length; i++) starts[i] = -1;
  }

  scan(bytes: Buffer, start: number, end: number): void {
    this.clear();
    for (let at = start; at < end; ) {
      const nameEnd = endOfName(bytes, at, end);
      const valueEnd = endOfValue(bytes, nameEnd, end);
      this.take(bytes, at, nameEnd, valueEnd);
      at = valueEnd + 1;
    }
  }

  /** The same, four bytes at a time; `view` shows the same bytes at the same positions. */
  scanWords(bytes: Buffer, view: DataView, start: number, end: number): void {
    this.clear();
    let at = start;
    let nameEnd = -1;
    for (let i = start; i < end; i += 4) {
      // The top bit of each byte below 4, and at times of one that is 4; at the end of all that are left.
      const word = i + 4 <= end ? view.getInt32(i, true) : 0;
      for (let hits = (word - LANES_OF_4) & ~word & LANE_TOPS; hits !== 0; hits &= hits - 1) {
        const position = i + ((31 - Math.clz32(hits & -hits)) >> 3);
        if (position >= end) break;
        const byte = bytes[position];
        if (byte === NAME_VALUE_SEPARATOR) {
          if (nameEnd < 0) nameEnd = position;
        } else if (byte === PROPERTY_SEPARATOR) {
          if (nameEnd >= 0) this.take(bytes, at, nameEnd, position);
          at = position + 1;
          nameEnd = -1;
        }
      }
    }
    if (nameEnd >= 0) this.take(bytes, at, nameEnd, end);
  }

  /**
   * Copies the properties `bytes[start, end)`, which were scanned, to `target[at]` without those of the names `indexes`,
   * with a separator behind the last one; answers where they end. Of a name that was there twice only the last goes.
   * `target` has room for one byte more than there is to copy.
   */
  copyExcept(
    bytes: Buffer,
    start: number,
    end: number,
    indexes: readonly number[],
    target: Buffer,
    at: number,
  ): number {
    let to = at;
    let from = start;
    for (let next = this.#nextOf(indexes, from); next >= 0; next = this.#nextOf(indexes, from)) {
      to = copyBytes(target, to, bytes, from, this.starts[next]! - 1 - this.#names[next]!.length);
      from = this.ends[next]! + 1;
    }
    if (end > from) to = copyBytes(target, to, bytes, from, end);
    if (to > at && target[to - 1] !== PROPERTY_SEPARATOR) target[to++] = PROPERTY_SEPARATOR;
    return to;
  }

  /** Of `indexes` the first that was found from `from` on, or -1. */
  #nextOf(indexes: readonly number[], from: number): number {
    let next = -1;
    for (const index of indexes) {
      const start = this.starts[index]!;
      if (start >= from && (next < 0 || start < this.starts[next]!)) next = index;
    }
    return next;
  }

  has(index: number): boolean {
    return this.starts[index]! >= 0;
  }

  /** The value as a string, from the bytes scanned; undefined without one. Allocates. */
  text(bytes: Buffer, index: number): string | undefined {
    const start = this.starts[index]!;
    return start < 0 ? undefined : bytes.toString("utf8", start, this.ends[index]!);
  }

  /** As Java's Boolean.parseBoolean reads the value; false without one. */
  isTrue(bytes: Buffer, index: number): boolean {
    const start = this.starts[index]!;
    if (start < 0 || this.ends[index]! - start !== TRUE.length) return false;
    for (let i = 0; i < TRUE.length; i++) if ((bytes[start + i]! | LOWER_CASE) !== TRUE[i]) return false;
    return true;
  }

  /** The number that the value is, if it is up to `digitsMax` digits and nothing else; -1 if not. */
  digits(bytes: Buffer, index: number, digitsMax: number): number {
    const start = this.starts[index]!;
    const end = this.ends[index]!;
    if (start < 0 || end - start > digitsMax) return -1;
    let value = 0;
    for (let at = start; at < end; at++) {
      const digit = bytes[at]! - DIGIT_0;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return value;
  }

  /** A property with its name at `start` and its first 0x01 at `nameEnd`, if it is one and it is looked for. */
  take(bytes: Buffer, start: number, nameEnd: number, valueEnd: number): void {
    const length = nameEnd - start;
    if (length === 0 || valueEnd <= nameEnd + 1) return;
    for (let i = this.#first[bucketOf(bytes, start, nameEnd)]!; i >= 0; i = this.#next[i]!) {
      const name = this.#names[i]!;
      if (name.length === length && equalBytes(bytes, start, name)) {
        this.starts[i] = nameEnd + 1;
        this.ends[i] = valueEnd;
        return;
      }
    }
  }
}

const TRUE = Buffer.from("true", "latin1");
/** The bit that makes an ASCII letter a small one; what else it makes one is no byte of UTF-8 text. */
const LOWER_CASE = 0x20;
const DIGIT_0 = 48;
const SCAN_BUCKETS = 256;
const LANE_TOPS = 0x80808080 | 0;
const LANES_OF_4 = 0x04040404;

/** Of the name in `bytes[start, end)`, which is not empty. */
function bucketOf(bytes: Buffer, start: number, end: number): number {
  const length = end - start;
  return (length * 31 + bytes[start]! * 7 + bytes[start + (length >> 1)]! * 13 + bytes[end - 1]!) & (SCAN_BUCKETS - 1);
}

const TAGS_NAME = asciiName(PropertyName.TAGS);
const tagsValue = new ValueRange();

/** Java's hash of the TAGS property in `bytes[start, end)`; 0 without one. */
export function tagsHash(bytes: Buffer, start: number, end: number): number {
  if (!findProperty(bytes, start, end, TAGS_NAME, tagsValue)) return 0;
  return javaHashUtf8(bytes, tagsValue.start, tagsValue.end);
}

/** The first separator of either kind from `at` on, or `end`. */
function endOfName(bytes: Buffer, at: number, end: number): number {
  let i = at;
  while (i < end) {
    const byte = bytes[i]!;
    if (byte === NAME_VALUE_SEPARATOR || byte === PROPERTY_SEPARATOR) break;
    i++;
  }
  return i;
}

/** The end of the piece whose name ends at `nameEnd`: there at once when the piece has no 0x01. */
function endOfValue(bytes: Buffer, nameEnd: number, end: number): number {
  let i = nameEnd;
  while (i < end && bytes[i] !== PROPERTY_SEPARATOR) i++;
  return i;
}

function equalBytes(bytes: Buffer, at: number, name: Buffer): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[at + i] !== name[i]) return false;
  return true;
}
