/**
 * Most headers are like one before: a producer's differ in their opaque, a time, a unique key. A JSON header that is as
 * long as a known one, and differs from it only within values and there in nothing that ends or escapes them, has
 * everything at the same places. Comparing takes a third of the time that parsing takes. Several shapes are known, for a
 * connection's requests take turns: sends and the ends of transactions, receives and acknowledgements.
 */

const LENGTH_MAX = 4096;
const WORD_BYTES = 4;
const ALL_FIXED = -1;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
const QUOTES = 0x22222222;
const BACKSLASHES = 0x5c5c5c5c;
const LANE_ONES = 0x01010101;
const LANE_TOPS = 0x80808080 | 0;
/** So many shapes are known at most. */
const SHAPES_MAX = 8;
/** A header is learned when one of so many that were parsed before it was as long. */
const LENGTHS_KEPT = 4;
/** A shape that was met less often than this was not worth learning; then so many headers pass before the next one. */
const HITS_MIN = 16;
const PATIENCE = 256;

/** What is known of a parsed header; `...Start` and `...End` are positions in `bytes`. */
export interface HeaderParts {
  bytes: Buffer;
  code: number;
  flag: number;
  version: number;
  language: number;
  fieldCount: number;
  readonly keyStart: Int32Array;
  readonly keyEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  readonly escaped: Uint8Array;
  readonly letterIndex: Uint8Array;
  opaqueStart: number;
  opaqueEnd: number;
}

/** A header that was learned. */
export class HeaderShape {
  readonly length: number;
  /** Headers that had the shape; those of long ago count less. */
  hits = 0;
  readonly #words: Int32Array;
  /** Which bits of a word are the same in every header of the shape. */
  readonly #fixed: Int32Array;
  /** Its positions are counted from the beginning of the header. */
  readonly #parts: Omit<HeaderParts, "bytes" | "letterIndex">;
  /** One-letter keys and their fields, in turn. */
  readonly #letters: number[] = [];

  /** `view` shows `parts.bytes`, in which the header begins at `start`. */
  constructor(parts: HeaderParts, view: DataView, start: number, length: number) {
    const { bytes, fieldCount } = parts;
    const mask = new DataView(new ArrayBuffer(length));
    for (let at = 0; at < length; at++) mask.setInt8(at, ALL_FIXED);
    for (let at = parts.opaqueStart; at < parts.opaqueEnd; at++) mask.setInt8(at - start, 0);
    for (let i = 0; i < fieldCount; i++) {
      loosen(mask, bytes, start, parts.valueStart[i]!, parts.valueEnd[i]!);
      const key = parts.keyStart[i]!;
      if (parts.keyEnd[i]! - key === 1 && bytes[key]! < parts.letterIndex.length) this.#letters.push(bytes[key]!, i);
    }
    this.length = length;
    this.#words = new Int32Array(Math.ceil(length / WORD_BYTES));
    this.#fixed = new Int32Array(this.#words.length);
    const last = length - WORD_BYTES;
    for (let i = 0, at = 0; at < length; i++, at += WORD_BYTES) {
      const position = Math.min(at, last);
      this.#words[i] = view.getInt32(start + position, true);
      this.#fixed[i] = mask.getInt32(position, true);
    }
    const { code, flag, version, language, opaqueStart, opaqueEnd } = parts;
    const fromStart = (positions: Int32Array) => positions.slice(0, fieldCount).map((position) => position - start);
    this.#parts = {
      code,
      flag,
      version,
      language,
      fieldCount,
      keyStart: fromStart(parts.keyStart),
      keyEnd: fromStart(parts.keyEnd),
      valueStart: fromStart(parts.valueStart),
      valueEnd: fromStart(parts.valueEnd),
      escaped: parts.escaped.slice(0, fieldCount),
      opaqueStart: opaqueStart - start,
      opaqueEnd: opaqueEnd - start,
    };
  }

  /** Whether the header that begins at `start` and is as long has the shape, but for its opaque, which must be an integer. */
  covers(view: DataView, start: number): boolean {
    const words = this.#words;
    const fixed = this.#fixed;
    const last = this.length - WORD_BYTES;
    for (let i = 0, at = 0; i < words.length; i++, at += WORD_BYTES) {
      // The last word begins so that it ends with the header.
      const word = view.getInt32(start + (at < last ? at : last), true);
      const difference = word ^ words[i]!;
      if (difference === 0) continue;
      const mask = fixed[i]!;
      if ((difference & mask) !== 0) return false;
      if ((lanesOf(word ^ QUOTES) | lanesOf(word ^ BACKSLASHES)) & ~mask) return false;
    }
    return true;
  }

  /** Fills `parts` with everything but the opaque of a header of this shape, which begins at `bytes[start]`. */
  fill(parts: HeaderParts, bytes: Buffer, start: number): void {
    const known = this.#parts;
    const { fieldCount, keyStart, keyEnd, valueStart, valueEnd, escaped } = known;
    parts.bytes = bytes;
    parts.code = known.code;
    parts.flag = known.flag;
    parts.version = known.version;
    parts.language = known.language;
    parts.fieldCount = fieldCount;
    for (let i = 0; i < fieldCount; i++) {
      parts.keyStart[i] = keyStart[i]! + start;
      parts.keyEnd[i] = keyEnd[i]! + start;
      parts.valueStart[i] = valueStart[i]! + start;
      parts.valueEnd[i] = valueEnd[i]! + start;
      parts.escaped[i] = escaped[i]!;
    }
    const letters = this.#letters;
    for (let i = 0; i < letters.length; i += 2) parts.letterIndex[letters[i]!] = letters[i + 1]!;
    parts.opaqueStart = known.opaqueStart + start;
    parts.opaqueEnd = known.opaqueEnd + start;
  }
}

/** The shapes of the headers that come most. */
export class HeaderShapes {
  /** Headers that had a known shape. */
  hits = 0;
  readonly #shapes: HeaderShape[] = [];
  readonly #parsedLengths = new Int32Array(LENGTHS_KEPT);
  #parsedCount = 0;
  #patience = 0;
  #viewed: Buffer | undefined;
  #view: DataView = new DataView(new ArrayBuffer(0));

  /** The shape of the header in `bytes[start, end)`, if it is known. */
  find(bytes: Buffer, start: number, end: number): HeaderShape | undefined {
    const length = end - start;
    const shapes = this.#shapes;
    for (let i = 0; i < shapes.length; i++) {
      const shape = shapes[i]!;
      if (shape.length !== length || !shape.covers(this.#viewOf(bytes), start)) continue;
      shape.hits++;
      this.hits++;
      return shape;
    }
    return undefined;
  }

  /** The header in `parts.bytes[start, end)` had to be parsed. It may be learned. */
  parsed(parts: HeaderParts, start: number, end: number): void {
    const length = end - start;
    const isLearned =
      length >= WORD_BYTES && length <= LENGTH_MAX && this.#parsedLengths.includes(length) && this.#patience-- <= 0;
    this.#parsedLengths[this.#parsedCount++ % LENGTHS_KEPT] = length;
    if (isLearned) this.#learn(new HeaderShape(parts, this.#viewOf(parts.bytes), start, length));
  }

  /** Takes the place of the shape that is met least. */
  #learn(shape: HeaderShape): void {
    const shapes = this.#shapes;
    this.#patience = 0;
    if (shapes.length < SHAPES_MAX) {
      shapes.push(shape);
      return;
    }
    let least = 0;
    for (let i = 1; i < shapes.length; i++) if (shapes[i]!.hits < shapes[least]!.hits) least = i;
    if (shapes[least]!.hits < HITS_MIN) this.#patience = PATIENCE;
    shapes[least] = shape;
    for (const known of shapes) known.hits >>>= 1;
  }

  /** The same bytes at the same positions; kept for the next header of the chunk. */
  #viewOf(bytes: Buffer): DataView {
    if (bytes !== this.#viewed) {
      this.#viewed = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    return this.#view;
  }
}

/** What stands between quotes may differ, escapes apart. */
function loosen(mask: DataView, bytes: Buffer, start: number, valueStart: number, valueEnd: number): void {
  if (bytes[valueStart - 1] !== QUOTE) return;
  for (let at = valueStart; at < valueEnd; at++) {
    if (bytes[at] === BACKSLASH) at += bytes[at + 1] === LOWER_U ? 5 : 1;
    else mask.setInt8(at - start, 0);
  }
}

/** The top bit of each byte that is 0, and at times of one above it that is 1. */
function lanesOf(word: number): number {
  return (word - LANE_ONES) & ~word & LANE_TOPS;
}
