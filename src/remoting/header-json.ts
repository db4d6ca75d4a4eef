/**
 * JSON headers into a HeaderView. One pass over the bytes takes what clients send: members in any order, white space,
 * null, numbers and booleans where Apache writes strings. Whatever else JSON allows (escaped or nested names, quoted
 * numbers) goes to the tolerant parser behind it; what that refuses is malformed.
 */
import { type FastjsonMap, type FastjsonValue, parseFastjson, toFastjson } from "./fastjson.js";
import type { HeaderView } from "./header-view.js";
import { escapeLength } from "./json-escapes.js";
import { LanguageCode, languageCode, languageName } from "./language-code.js";

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const LETTER_F = 0x66;
const LETTER_N = 0x6e;
const LETTER_T = 0x74;

const INT_MAX = 2147483647;

/** Results that a function has besides the position it returns: set by the last scanString and scanInteger. */
let stringEscaped = 0;
let integerValue = 0;

/** False when the bytes are not of the usual form; the view is then to be cleared. Reads nothing at or after `end`. */
export function scanJsonHeader(view: HeaderView, bytes: Buffer, start: number, end: number): boolean {
  let position = skipSpace(bytes, start, end);
  if (position >= end || bytes[position] !== OPEN_BRACE) return false;
  position = skipSpace(bytes, position + 1, end);
  for (;;) {
    if (position >= end || bytes[position] !== QUOTE) return false;
    const keyStart = position + 1;
    const keyEnd = scanString(bytes, keyStart, end);
    if (keyEnd < 0 || stringEscaped !== 0) return false;
    position = skipSpace(bytes, keyEnd + 1, end);
    if (position >= end || bytes[position] !== COLON) return false;
    position = scanMember(view, bytes, keyStart, keyEnd, skipSpace(bytes, position + 1, end), end);
    if (position < 0) return false;
    position = skipSpace(bytes, position, end);
    if (position >= end) return false;
    const separator = bytes[position];
    position = skipSpace(bytes, position + 1, end);
    if (separator === CLOSE_BRACE) return position === end;
    if (separator !== COMMA) return false;
  }
}

/** Takes the value at `position`; returns the position after it, or -1. The name's length and first byte tell members apart. */
function scanMember(
  view: HeaderView,
  bytes: Buffer,
  keyStart: number,
  keyEnd: number,
  position: number,
  end: number,
): number {
  switch (((keyEnd - keyStart) << 8) | bytes[keyStart]!) {
    case 0x463: // code
      if (!matches(bytes, keyStart, "code")) break;
      position = scanInteger(bytes, position, end);
      view.code = integerValue;
      return position;
    case 0x466: // flag
      if (!matches(bytes, keyStart, "flag")) break;
      position = scanInteger(bytes, position, end);
      view.flag = integerValue;
      return position;
    case 0x66f: // opaque
      if (!matches(bytes, keyStart, "opaque")) break;
      position = scanInteger(bytes, position, end);
      view.opaque = integerValue;
      return position;
    case 0x776: // version
      if (!matches(bytes, keyStart, "version")) break;
      position = scanInteger(bytes, position, end);
      view.version = integerValue;
      return position;
    case 0x86c: // language
      if (!matches(bytes, keyStart, "language")) break;
      return scanLanguage(view, bytes, position, end);
    case 0x672: // remark
      if (!matches(bytes, keyStart, "remark")) break;
      return scanRemark(view, bytes, position, end);
    case 0x965: // extFields
      if (!matches(bytes, keyStart, "extFields")) break;
      return scanFields(view, bytes, position, end);
  }
  return skipScalar(bytes, position, end);
}

function scanLanguage(view: HeaderView, bytes: Buffer, position: number, end: number): number {
  if (bytes[position] !== QUOTE) return -1;
  const close = scanString(bytes, position + 1, end);
  if (close < 0) return -1;
  view.language =
    close - position === 5 && bytes[position + 1] === 0x4a && matches(bytes, position + 1, "JAVA")
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
    if (position >= end || bytes[position] !== QUOTE) return -1;
    const keyStart = position + 1;
    const keyEnd = scanString(bytes, keyStart, end);
    if (keyEnd < 0 || stringEscaped !== 0) return -1;
    position = skipSpace(bytes, keyEnd + 1, end);
    if (bytes[position] !== COLON) return -1;
    const valueStart = skipSpace(bytes, position + 1, end);
    if (bytes[valueStart] === QUOTE) {
      const valueEnd = scanString(bytes, valueStart + 1, end);
      if (valueEnd < 0) return -1;
      if (!view.addField(keyStart, keyEnd, valueStart + 1, valueEnd, stringEscaped)) return -1;
      position = valueEnd + 1;
    } else {
      const valueEnd = skipScalar(bytes, valueStart, end);
      if (valueEnd < 0) return -1;
      const present = bytes[valueStart] !== LETTER_N;
      if (present && !view.addField(keyStart, keyEnd, valueStart, valueEnd, 0)) return -1;
      position = valueEnd;
    }
    position = skipSpace(bytes, position, end);
    if (position >= end) return -1;
    const separator = bytes[position];
    if (separator === CLOSE_BRACE) return position + 1;
    if (separator !== COMMA) return -1;
    position = skipSpace(bytes, position + 1, end);
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

function matches(bytes: Buffer, position: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[position + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Position of the quote that ends the string begun before `position`, or -1. Control characters may stand bare. */
function scanString(bytes: Buffer, position: number, end: number): number {
  stringEscaped = 0;
  while (position < end) {
    const byte = bytes[position]!;
    if (byte === QUOTE) return position;
    if (byte !== BACKSLASH) {
      position++;
      continue;
    }
    const length = escapeLength(bytes, position, end);
    if (length === 0) return -1;
    stringEscaped = 1;
    position += length;
  }
  return -1;
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
