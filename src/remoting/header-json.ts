/**
 * JSON headers into a HeaderView. One pass over the bytes takes what clients send: members in any order, white space,
 * null, numbers and booleans where Apache writes strings. Whatever else JSON allows (escaped or nested names, quoted
 * numbers) goes to the tolerant parser behind it; what that refuses is malformed.
 */
import { type FastjsonMap, type FastjsonValue, parseFastjson, toFastjson } from "./fastjson.js";
import type { HeaderView } from "./header-view.js";
import { escapeLength } from "./json-escapes.js";
import { LanguageCode, languageCode, languageName } from "./language-code.js";

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const LETTER_C = 0x63;
const LETTER_E = 0x65;
const LETTER_F = 0x66;
const LETTER_L = 0x6c;
const LETTER_N = 0x6e;
const LETTER_O = 0x6f;
const LETTER_R = 0x72;
const LETTER_S = 0x73;
const LETTER_T = 0x74;
const LETTER_V = 0x76;

const WORD_CODE = wordOf("code");
const WORD_EXTF = wordOf("extF");
const WORD_IELD = wordOf("ield");
const WORD_FLAG = wordOf("flag");
const WORD_LANG = wordOf("lang");
const WORD_UAGE = wordOf("uage");
const WORD_OPAQ = wordOf("opaq");
const WORD_QUE = wordOf('que"');
const WORD_VERS = wordOf("vers");
const WORD_ION = wordOf('ion"');
const WORD_JAVA = wordOf("JAVA");

const INT_MAX = 2147483647;

/** Results that a function has besides the position it returns: set by the last scanString and scanInteger. */
let stringEscaped = 0;
let integerValue = 0;

/** False when the bytes are not of the usual form; the view is then to be cleared. Takes nothing at or after `end`. */
export function scanJsonHeader(view: HeaderView, bytes: Buffer, start: number, end: number): boolean {
  let position = skipSpace(bytes, start, end);
  if (position >= end || bytes[position] !== OPEN_BRACE) return false;
  position = skipSpace(bytes, position + 1, end);
  for (;;) {
    if (bytes[position] !== QUOTE) return false;
    position = scanMember(view, bytes, position + 1, end);
    if (position < 0) return false;
    if (bytes[position]! <= SPACE) position = skipSpace(bytes, position, end);
    if (position >= end) return false;
    const separator = bytes[position++];
    if (position < end && bytes[position]! <= SPACE) position = skipSpace(bytes, position, end);
    if (separator === CLOSE_BRACE) return position === end;
    if (separator !== COMMA) return false;
  }
}

/** Takes the member whose name begins at `key`; returns the position after its value, or -1. */
function scanMember(view: HeaderView, bytes: Buffer, key: number, end: number): number {
  let position = -1;
  switch (bytes[key]) {
    case LETTER_C:
      if (word(bytes, key) !== WORD_CODE || bytes[key + 4] !== QUOTE) break;
      position = scanInteger(bytes, afterColon(bytes, key + 5, end), end);
      view.code = integerValue;
      return position;
    case LETTER_E:
      if (word(bytes, key) !== WORD_EXTF || word(bytes, key + 4) !== WORD_IELD) break;
      if (bytes[key + 8] !== LETTER_S || bytes[key + 9] !== QUOTE) break;
      return scanFields(view, bytes, afterColon(bytes, key + 10, end), end);
    case LETTER_F:
      if (word(bytes, key) !== WORD_FLAG || bytes[key + 4] !== QUOTE) break;
      position = scanInteger(bytes, afterColon(bytes, key + 5, end), end);
      view.flag = integerValue;
      return position;
    case LETTER_L:
      if (word(bytes, key) !== WORD_LANG || word(bytes, key + 4) !== WORD_UAGE || bytes[key + 8] !== QUOTE) break;
      return scanLanguage(view, bytes, afterColon(bytes, key + 9, end), end);
    case LETTER_O:
      if (word(bytes, key) !== WORD_OPAQ || word(bytes, key + 3) !== WORD_QUE) break;
      view.opaqueStart = afterColon(bytes, key + 7, end);
      position = scanInteger(bytes, view.opaqueStart, end);
      view.opaqueEnd = position;
      view.opaque = integerValue;
      return position;
    case LETTER_R:
      if (!matches(bytes, key, 'remark"')) break;
      return scanRemark(view, bytes, afterColon(bytes, key + 7, end), end);
    case LETTER_V:
      if (word(bytes, key) !== WORD_VERS || word(bytes, key + 4) !== WORD_ION) break;
      position = scanInteger(bytes, afterColon(bytes, key + 8, end), end);
      view.version = integerValue;
      return position;
  }
  const keyEnd = scanString(bytes, key, end);
  return keyEnd < 0 || stringEscaped !== 0 ? -1 : skipScalar(bytes, afterColon(bytes, keyEnd + 1, end), end);
}

/** For a header of a known shape: reads its opaque; false where the same digits as before do not make one. */
export function scanOpaque(view: HeaderView, bytes: Buffer, end: number): boolean {
  if (scanInteger(bytes, view.opaqueStart, end) !== view.opaqueEnd) return false;
  view.opaque = integerValue;
  return true;
}

/** Position of the value behind the colon that is due at `position`; `end` when there is none. */
function afterColon(bytes: Buffer, position: number, end: number): number {
  if (bytes[position]! <= SPACE) position = skipSpace(bytes, position, end);
  if (bytes[position] !== COLON) return end;
  position++;
  return bytes[position]! <= SPACE ? skipSpace(bytes, position, end) : position;
}

function scanLanguage(view: HeaderView, bytes: Buffer, position: number, end: number): number {
  if (bytes[position] !== QUOTE) return -1;
  const close = scanString(bytes, position + 1, end);
  if (close < 0) return -1;
  view.language =
    close - position === 5 && word(bytes, position + 1) === WORD_JAVA
      ? LanguageCode.JAVA
      : languageCode(bytes.toString("latin1", position + 1, close));
  return close + 1;
}

function scanRemark(view: HeaderView, bytes: Buffer, position: number, end: number): number {
  if (bytes[position] !== QUOTE) return scanNull(bytes, position, end);
  const close = scanString(bytes, position + 1, end);
  if (close < 0) return -1;
  view.remarkStart = position + 1;
  view.remarkEnd = close;
  view.remarkEscaped = stringEscaped;
  return close + 1;
}

function scanFields(view: HeaderView, bytes: Buffer, position: number, end: number): number {
  view.fieldCount = 0;
  if (bytes[position] !== OPEN_BRACE) return scanNull(bytes, position, end);
  position = skipSpace(bytes, position + 1, end);
  if (bytes[position] === CLOSE_BRACE) return position + 1;
  for (;;) {
    if (bytes[position] !== QUOTE) return -1;
    const keyStart = position + 1;
    let keyEnd = position + 2;
    let value = position + 4;
    // As a send has it: one letter, and no space about the colon.
    const isLetter = bytes[keyEnd] === QUOTE && bytes[keyStart] !== BACKSLASH && bytes[keyStart] !== QUOTE;
    if (!isLetter || bytes[position + 3] !== COLON || bytes[value]! <= SPACE || value >= end) {
      keyEnd = scanString(bytes, keyStart, end);
      if (keyEnd < 0 || stringEscaped !== 0) return -1;
      value = afterColon(bytes, keyEnd + 1, end);
    }
    if (bytes[value] === QUOTE) {
      const valueEnd = scanString(bytes, value + 1, end);
      if (valueEnd < 0 || !view.addField(keyStart, keyEnd, value + 1, valueEnd, stringEscaped)) return -1;
      position = valueEnd + 1;
    } else {
      position = skipScalar(bytes, value, end);
      if (position < 0) return -1;
      if (bytes[value] !== LETTER_N && !view.addField(keyStart, keyEnd, value, position, 0)) return -1;
    }
    if (bytes[position]! <= SPACE) position = skipSpace(bytes, position, end);
    const separator = bytes[position++];
    if (separator === CLOSE_BRACE) return position;
    if (separator !== COMMA) return -1;
    if (bytes[position]! <= SPACE) position = skipSpace(bytes, position, end);
  }
}

function skipSpace(bytes: Buffer, position: number, end: number): number {
  while (position < end) {
    const byte = bytes[position]!;
    if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) break;
    position++;
  }
  return position;
}

/** Four bytes as one number, to compare names by. */
function word(bytes: Buffer, position: number): number {
  return (bytes[position]! << 24) | (bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!;
}

function wordOf(text: string): number {
  return word(Buffer.from(text, "latin1"), 0);
}

function matches(bytes: Buffer, position: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[position + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Position of the quote that ends the string begun before `position`, or -1. Control characters may stand bare. */
function scanString(bytes: Buffer, position: number, end: number): number {
  stringEscaped = 0;
  let byte = bytes[position]!;
  for (;;) {
    while (byte !== QUOTE && byte !== BACKSLASH) {
      byte = bytes[++position]!;
      if (position >= end) return -1;
    }
    if (byte === QUOTE) return position < end ? position : -1;
    const length = escapeLength(bytes, position, end);
    if (length === 0) return -1;
    stringEscaped = 1;
    position += length;
    byte = bytes[position]!;
  }
}

/** Position after a plain 32-bit integer, or -1. */
function scanInteger(bytes: Buffer, position: number, end: number): number {
  const negative = bytes[position] === MINUS;
  if (negative) position++;
  const first = position;
  let value = 0;
  while (position < end) {
    const digit = bytes[position]! - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
    position++;
  }
  integerValue = negative ? 0 - value : value;
  if (position === first || position - first > 10 || value > INT_MAX + (negative ? 1 : 0)) return -1;
  return position;
}

/** Position after a string, number, true, false or null, or -1. */
function skipScalar(bytes: Buffer, position: number, end: number): number {
  const byte = bytes[position]!;
  if (byte === QUOTE) {
    const close = scanString(bytes, position + 1, end);
    return close < 0 ? -1 : close + 1;
  }
  if (byte === LETTER_N) return scanNull(bytes, position, end);
  if (byte === LETTER_T) return position + 4 <= end && matches(bytes, position, "true") ? position + 4 : -1;
  if (byte === LETTER_F) return position + 5 <= end && matches(bytes, position, "false") ? position + 5 : -1;
  return skipNumber(bytes, position, end);
}

/** Position after a number without fraction or exponent, which are left to the tolerant parser; or -1. */
function skipNumber(bytes: Buffer, position: number, end: number): number {
  if (bytes[position] === MINUS) position++;
  const first = position;
  while (position < end && bytes[position]! >= 0x30 && bytes[position]! <= 0x39) position++;
  return position === first ? -1 : position;
}

function scanNull(bytes: Buffer, position: number, end: number): number {
  return position + 4 <= end && matches(bytes, position, "null") ? position + 4 : -1;
}

/**
 * For what the scanner left: a full parse, the fields then laid out as plain bytes of the view's own. Numbers beyond
 * 2^53 lose digits here.
 */
export function parseJsonHeaderTolerantly(view: HeaderView, header: Buffer): boolean {
  const members = parseFastjson(header);
  if (!(members instanceof Map)) return false;
  const code = int32In(members, "code");
  const flag = int32In(members, "flag");
  const opaque = int32In(members, "opaque");
  const version = int32In(members, "version");
  if (code === undefined || flag === undefined || opaque === undefined || version === undefined) return false;
  view.code = code;
  view.flag = flag;
  view.opaque = opaque;
  view.version = version;
  const language = members.get("language") ?? "JAVA";
  view.language = typeof language === "number" ? languageCode(languageName(language)) : languageCode(textOf(language));
  const fields = members.get("extFields") ?? new Map();
  return fields instanceof Map && layOut(view, members.get("remark") ?? "", fields);
}

/** A 32-bit integer given as number or text, 0 when absent or null; undefined for anything else. */
function int32In(members: FastjsonMap, name: string): number | undefined {
  const value = members.get(name) ?? 0;
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  return typeof number === "number" && number === (number | 0) ? number : undefined;
}

function layOut(view: HeaderView, remark: FastjsonValue, fields: FastjsonMap): boolean {
  const pieces: Buffer[] = [Buffer.from(textOf(remark))];
  for (const [name, value] of fields) {
    if (value !== null) pieces.push(Buffer.from(textOf(name)), Buffer.from(textOf(value)));
  }
  view.bytes = Buffer.concat(pieces);
  let position = pieces[0]!.length;
  view.remarkEnd = position;
  for (let i = 1; i < pieces.length; i += 2) {
    const keyEnd = position + pieces[i]!.length;
    const valueEnd = keyEnd + pieces[i + 1]!.length;
    if (!view.addField(position, keyEnd, keyEnd, valueEnd, 0)) return false;
    position = valueEnd;
  }
  return true;
}

/** As fastjson2 makes a string of any value. */
function textOf(value: FastjsonValue): string {
  return typeof value === "string" ? value : toFastjson(value);
}
