/** Integers as decimal digits into bytes. */
const TEN_9 = 1e9;
const ZERO = 0x30;
const MINUS = 0x2d;

/** Bytes that `writeDecimal` writes at most. */
export const DECIMAL_BYTES_MAX = 20;

/** Writes an integer below 2^53 at `buffer[at]`; returns the position behind it. */
export function writeDecimal(buffer: Buffer, at: number, value: number): number {
  if (value >= 0 && value < 10) {
    buffer[at] = ZERO + value;
    return at + 1;
  }
  if (value < 0) {
    buffer[at++] = MINUS;
    value = -value;
  }
  if (value < TEN_9) return writeDigits(buffer, at, value, digitCount(value));
  const high = Math.floor(value / TEN_9);
  const middle = writeDigits(buffer, at, high, digitCount(high));
  return writeDigits(buffer, middle, value - high * TEN_9, 9);
}

/** `count` digits of an integer below 2^31. */
export function writeDigits(buffer: Buffer, at: number, value: number, count: number): number {
  let rest = value | 0;
  for (let i = at + count - 1; i >= at; i--) {
    const tenth = (rest / 10) | 0;
    buffer[i] = ZERO + rest - tenth * 10;
    rest = tenth;
  }
  return at + count;
}

export function digitCount(value: number): number {
  let count = 1;
  for (let bound = 10; value >= bound; bound *= 10) count++;
  return count;
}
