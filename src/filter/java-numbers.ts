/**
 * Texts read as numbers the way Java's Integer.valueOf, Long.valueOf and Double.valueOf read them: signs, digits of
 * other scripts and the bounds of the first two; blanks around, `NaN`, hexadecimal and a `d` or `f` at the end for the
 * third. All read the UTF-8 text in `bytes[start, end)`, and plain numbers without making an object.
 */

const INT_MAX = 2147483647;
const LONG_MIN = -9223372036854775808n;
const LONG_MAX = 9223372036854775807n;
/** As many digits always make an exact number. */
const EXACT_DIGITS = 15;
const MINUS = 45;
const PLUS = 43;
const DOT = 46;
const ZERO = 48;
const NINE = 57;

/** 10 to a power that a double holds exactly. */
const POWERS_OF_TEN = Array.from({ length: EXACT_DIGITS + 1 }, (_, power) => 10 ** power);

/**
 * The zeros of the scripts whose digits `Character.digit` takes; those beyond U+FFFF it does not see, for it is asked for
 * one UTF-16 unit at a time.
 */
const SCRIPT_ZEROS = [
  ...[0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20],
  ...[0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0],
  ...[0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10],
];

/** Undefined for what is no integer or out of the bounds of the kind. A bigint where a number would not be exact. */
export function parseJavaInteger(
  bytes: Buffer,
  start: number,
  end: number,
  kind: "int" | "long",
): number | bigint | undefined {
  let at = start;
  const sign = bytes[at];
  if (sign === MINUS || sign === PLUS) at++;
  if (end - at > EXACT_DIGITS || end === at) return parseLongInteger(bytes.toString("utf8", start, end), kind);
  let value = 0;
  for (; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return parseLongInteger(bytes.toString("utf8", start, end), kind);
    value = value * 10 + digit;
  }
  if (sign === MINUS) value = 0 - value;
  return kind === "int" && (value > INT_MAX || value < -INT_MAX - 1) ? undefined : value;
}

function parseLongInteger(text: string, kind: "int" | "long"): number | bigint | undefined {
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  const digits = westernDigits(text.slice(sign.length));
  if (digits === undefined || digits.length > 19) return undefined;
  const value = BigInt(digits) * (sign === "-" ? -1n : 1n);
  const fits = kind === "int" ? value === BigInt.asIntN(32, value) : value >= LONG_MIN && value <= LONG_MAX;
  if (!fits) return undefined;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** Without zeros in front; undefined for what is not all digits. */
function westernDigits(text: string): string | undefined {
  if (text === "") return undefined;
  let digits = "";
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const zero = unit <= NINE ? ZERO : SCRIPT_ZEROS.find((candidate) => unit >= candidate && unit < candidate + 10);
    const digit = zero === undefined ? -1 : unit - zero;
    if (digit < 0) return undefined;
    // Only so many decide; more of them are out of bounds anyway.
    if ((digit > 0 || digits !== "") && digits.length < 20) digits += digit;
  }
  return digits === "" ? "0" : digits;
}

/** Undefined for what is no number; NaN for `NaN`. */
export function parseJavaDouble(bytes: Buffer, start: number, end: number): number | undefined {
  let at = start;
  const sign = bytes[at];
  if (sign === MINUS || sign === PLUS) at++;
  let mantissa = 0;
  let digits = 0;
  let decimals = -1;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === DOT && decimals < 0) decimals = 0;
    else if (byte < ZERO || byte > NINE || ++digits > EXACT_DIGITS) return parseDoubleText(bytes, start, end);
    else {
      mantissa = mantissa * 10 + byte - ZERO;
      if (decimals >= 0) decimals++;
    }
  }
  if (digits === 0) return parseDoubleText(bytes, start, end);
  const value = decimals > 0 ? mantissa / POWERS_OF_TEN[decimals]! : mantissa;
  return sign === MINUS ? -value : value;
}

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const HEXADECIMAL = /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?\d+)$/;

function parseDoubleText(bytes: Buffer, start: number, end: number): number | undefined {
  const text = trimmed(bytes.toString("utf8", start, end));
  const named = /^([+-]?)(NaN|Infinity)$/.exec(text);
  if (named !== null) return Number(named[2]) * (named[1] === "-" ? -1 : 1);
  const number = text.replace(/[fFdD]$/, "");
  if (DECIMAL.test(number)) return Number(number);
  const hexadecimal = HEXADECIMAL.exec(number);
  return hexadecimal === null ? undefined : hexadecimalValue(hexadecimal);
}

/** As `String.trim`: everything up to the blank. */
function trimmed(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && text.charCodeAt(from) <= 32) from++;
  while (to > from && text.charCodeAt(to - 1) <= 32) to--;
  return text.slice(from, to);
}

/** The nearest double, of two as near the even one. */
function hexadecimalValue([, sign, whole, fraction, exponentText]: RegExpExecArray): number | undefined {
  const digits = `${whole}${fraction}`;
  if (digits === "") return undefined;
  const negative = sign === "-" ? -1 : 1;
  const mantissa = BigInt(`0x${digits}`);
  if (mantissa === 0n) return 0 * negative;
  const bits = mantissa.toString(2);
  // Beyond these bounds it is infinite or zero however long the digits are.
  const exponent = Math.max(-1e9, Math.min(1e9, Number(exponentText))) - 4 * fraction!.length;
  const topExponent = exponent + bits.length - 1;
  if (topExponent > 1023) return Number.POSITIVE_INFINITY * negative;
  if (topExponent < -1075) return 0 * negative;
  // A double below 2^-1022 has fewer bits the smaller it is.
  const keptBits = Math.min(53, topExponent + 1075);
  const droppedBits = bits.length - keptBits;
  if (droppedBits <= 0) return scaled(mantissa, exponent) * negative;
  const kept = mantissa >> BigInt(droppedBits);
  const rest = mantissa - (kept << BigInt(droppedBits));
  const half = 1n << BigInt(droppedBits - 1);
  const roundsUp = rest > half || (rest === half && (kept & 1n) === 1n);
  return scaled(roundsUp ? kept + 1n : kept, exponent + droppedBits) * negative;
}

/** `mantissa` times 2 to a power, where the product is a double or beyond all. */
function scaled(mantissa: bigint, exponent: number): number {
  let value = Number(mantissa);
  let left = exponent;
  for (; left > 1000; left -= 1000) value *= 2 ** 1000;
  for (; left < -1000; left += 1000) value *= 2 ** -1000;
  return value * 2 ** left;
}
