/**
 * Most headers are like the one before: a producer's differ in their opaque, a time, a unique key. A JSON header that is as
 * long as a known one, and differs from it only within values and there in nothing that ends or escapes them, has
 * everything at the same places. Comparing takes a third of the time that parsing takes.
 */

const LENGTH_MAX = 4096;
const WORD_BYTES = 4;
const NO_WORDS = new Int32Array(0);
const ALL_FIXED = -1;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
const QUOTES = 0x22222222;
const BACKSLASHES = 0x5c5c5c5c;
const LANE_ONES = 0x01010101;
const LANE_TOPS = 0x80808080 | 0;
/** A shape that was met less often than this was not worth learning; then so many headers pass before the next one. */
const HITS_MIN = 16;
const PATIENCE = 256;

/** Where the parts of a parsed header lie that another of its shape may have different. */
export interface HeaderParts {
  readonly bytes: Buffer;
  readonly fieldCount: number;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  readonly opaqueStart: number;
  readonly opaqueEnd: number;
}

export class HeaderShape {
  /** Headers that had the shape since it was learned. */
  hits = 0;
  /** Of the known header; 0 while none is. */
  #length = 0;
  /** Made when the first header is learned. */
  #words = NO_WORDS;
  /** Which bits of a word are the same in every header of the shape. */
  #fixed = NO_WORDS;
  #viewed: Buffer | undefined;
  #view: DataView = new DataView(new ArrayBuffer(0));
  #parsedLength = 0;
  #patience = 0;

  /** Whether the header in `bytes[start, end)` has the shape, but for its opaque, which must be an integer. */
  covers(bytes: Buffer, start: number, end: number): boolean {
    const length = end - start;
    if (length !== this.#length) return false;
    const view = this.#viewOf(bytes);
    const words = this.#words;
    const fixed = this.#fixed;
    const last = length - WORD_BYTES;
    for (let i = 0, at = 0; at < length; i++, at += WORD_BYTES) {
      // The last word begins so that it ends with the header.
      const word = view.getInt32(start + (at < last ? at : last), true);
      const mask = fixed[i]!;
      if (((word ^ words[i]!) & mask) !== 0) return false;
      if (mask !== ALL_FIXED && (lanesOf(word ^ QUOTES) | lanesOf(word ^ BACKSLASHES)) & ~mask) return false;
    }
    this.hits++;
    return true;
  }

  /** The header in `parts.bytes[start, end)` had to be parsed. It is learned if the one before was as long. */
  parsed(parts: HeaderParts, start: number, end: number): void {
    const length = end - start;
    const isLearned = length === this.#parsedLength && length <= LENGTH_MAX && this.#patience-- <= 0;
    this.#parsedLength = length;
    if (isLearned) this.#learn(parts, start, length);
  }

  /** Another header is parsed: what was known of the last one is not at its places any more. */
  forget(): void {
    if (this.#length === 0) return;
    this.#length = 0;
    this.#patience = this.hits < HITS_MIN ? PATIENCE : 0;
  }

  #learn(parts: HeaderParts, start: number, length: number): void {
    const { bytes, fieldCount, valueStart, valueEnd, opaqueStart, opaqueEnd } = parts;
    const mask = new DataView(new ArrayBuffer(length));
    for (let at = 0; at < length; at++) mask.setInt8(at, ALL_FIXED);
    for (let at = opaqueStart; at < opaqueEnd; at++) mask.setInt8(at - start, 0);
    for (let i = 0; i < fieldCount; i++) loosen(mask, bytes, start, valueStart[i]!, valueEnd[i]!);
    if (this.#words.length === 0) {
      this.#words = new Int32Array(LENGTH_MAX / WORD_BYTES);
      this.#fixed = new Int32Array(LENGTH_MAX / WORD_BYTES);
    }
    const view = this.#viewOf(bytes);
    const last = length - WORD_BYTES;
    for (let i = 0, at = 0; at < length; i++, at += WORD_BYTES) {
      const position = Math.min(at, last);
      this.#words[i] = view.getInt32(start + position, true);
      this.#fixed[i] = mask.getInt32(position, true);
    }
    this.hits = 0;
    this.#length = length;
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
