/** Text into bytes: the inside of a JSON string, or plain UTF-8. Half of a surrogate pair becomes `?`, as in Java. */
import { writeUtf8 } from "./json-escapes.js";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
const HEX_DIGITS = Buffer.from("0123456789abcdef");

/** What JSON escapes, or UTF-8 has more than a byte for. */
const NOT_PLAIN = /[^ !#-[\]-~]/;

/** Longer texts are cheaper to test with the expression above and to copy natively than to go through byte by byte. */
const LOOP_LENGTH_MAX = 16;

/** The letter after the backslash for control characters that have one, 0 where `\u00xx` is written. */
const SHORT_ESCAPE = new Uint8Array(32);
for (const [meant, letter] of ["\bb", "\ff", "\nn", "\rr", "\tt"]) {
  SHORT_ESCAPE[meant!.charCodeAt(0)] = letter!.charCodeAt(0);
}

/** Buffer's own method behind `write(…, "latin1")`, which takes twice as long; not documented, so it may be missing. */
const latin1Write = (Buffer.prototype as { latin1Write?: (text: string, at: number, length: number) => number })
  .latin1Write;

function writeLatin1(buffer: Buffer, text: string, at: number): number {
  return latin1Write === undefined
    ? buffer.write(text, at, text.length, "latin1")
    : latin1Write.call(buffer, text, at, text.length);
}

/** Whether the bytes stand for themselves inside a JSON string. */
export function isPlain(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    if (byte < 0x20 || byte > 0x7e || byte === QUOTE || byte === BACKSLASH) return false;
  }
  return true;
}

/** Writes the inside of a JSON string at `at`, at most six bytes a UTF-16 unit; returns the position behind it. */
export function writeJsonText(buffer: Buffer, at: number, text: string): number {
  if (text.length > LOOP_LENGTH_MAX && !NOT_PLAIN.test(text)) return at + writeLatin1(buffer, text, at);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x20 && unit < 0x80 && unit !== QUOTE && unit !== BACKSLASH) {
      buffer[at++] = unit;
    } else if (unit >= 0x80) {
      const codePoint = codePointAt(text, i, unit);
      if (codePoint > 0xffff) i++;
      at += writeUtf8(buffer, at, codePoint);
    } else {
      at = writeEscape(buffer, at, unit);
    }
  }
  return at;
}

/** Writes UTF-8 at `at`, at most three bytes a UTF-16 unit; returns the position behind it. */
export function writeText(buffer: Buffer, at: number, text: string): number {
  if (text.length > LOOP_LENGTH_MAX && !NOT_PLAIN.test(text)) return at + writeLatin1(buffer, text, at);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) {
      buffer[at++] = unit;
    } else {
      const codePoint = codePointAt(text, i, unit);
      if (codePoint > 0xffff) i++;
      at += writeUtf8(buffer, at, codePoint);
    }
  }
  return at;
}

function codePointAt(text: string, i: number, unit: number): number {
  if (unit < 0xd800 || unit > 0xdfff) return unit;
  const codePoint = text.codePointAt(i)!;
  return codePoint > 0xffff ? codePoint : 0x3f;
}

function writeEscape(buffer: Buffer, at: number, unit: number): number {
  buffer[at++] = BACKSLASH;
  const letter = unit < 32 ? SHORT_ESCAPE[unit]! : unit;
  if (letter !== 0) {
    buffer[at++] = letter;
    return at;
  }
  buffer[at++] = LOWER_U;
  buffer[at++] = 0x30;
  buffer[at++] = 0x30;
  buffer[at++] = HEX_DIGITS[unit >> 4]!;
  buffer[at++] = HEX_DIGITS[unit & 15]!;
  return at;
}
