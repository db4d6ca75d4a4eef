/** JSON string escapes over bytes: checking them while a header is scanned, undoing them when a value is wanted. */

const BACKSLASH = 0x5c;
const LOWER_U = 0x75;

/** Value of a hexadecimal digit's byte, -1 for any other byte. */
const HEX_VALUE = new Int8Array(256).fill(-1);
for (let i = 0; i < 10; i++) HEX_VALUE[0x30 + i] = i;
for (let i = 0; i < 6; i++) {
  HEX_VALUE[0x41 + i] = 10 + i;
  HEX_VALUE[0x61 + i] = 10 + i;
}

/** What stands for `\x`, 0 where JSON has no such escape. */
const SIMPLE_ESCAPE = new Uint8Array(256);
for (const [letter, meant] of ['""', "\\\\", "//", "b\b", "f\f", "n\n", "r\r", "t\t"]) {
  SIMPLE_ESCAPE[letter!.charCodeAt(0)] = meant!.charCodeAt(0);
}

/** Length of the escape that begins with the backslash at `position`, 0 when it is none. */
export function escapeLength(bytes: Buffer, position: number, end: number): number {
  const kind = bytes[position + 1]!;
  if (kind !== LOWER_U) return position + 1 < end && SIMPLE_ESCAPE[kind] !== 0 ? 2 : 0;
  return position + 5 < end && hex4(bytes, position + 2) >= 0 ? 6 : 0;
}

/** Negative when one of the four bytes is no hexadecimal digit. */
function hex4(bytes: Buffer, position: number): number {
  return (
    (HEX_VALUE[bytes[position]!]! << 12) |
    (HEX_VALUE[bytes[position + 1]!]! << 8) |
    (HEX_VALUE[bytes[position + 2]!]! << 4) |
    HEX_VALUE[bytes[position + 3]!]!
  );
}

/**
 * Writes `bytes[start, end)`, whose escapes have been checked, as plain UTF-8 at `target[at]` and returns the count of
 * bytes, never more than it read. Half of a surrogate pair becomes `?`, as in Java.
 */
export function unescapeJson(bytes: Buffer, start: number, end: number, target: Buffer, at: number): number {
  const first = at;
  let position = start;
  while (position < end) {
    const byte = bytes[position]!;
    if (byte !== BACKSLASH) {
      target[at++] = byte;
      position++;
      continue;
    }
    const kind = bytes[position + 1]!;
    if (kind !== LOWER_U) {
      target[at++] = SIMPLE_ESCAPE[kind]!;
      position += 2;
      continue;
    }
    const unit = hex4(bytes, position + 2);
    position += 6;
    if (unit < 0x80) {
      target[at++] = unit;
      continue;
    }
    let codePoint = unit;
    if (unit >= 0xd800 && unit < 0xe000) {
      const low = lowSurrogateAt(bytes, position, end);
      if (unit < 0xdc00 && low !== 0) {
        codePoint = 0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff);
        position += 6;
      } else {
        codePoint = 0x3f;
      }
    }
    at += writeUtf8(target, at, codePoint);
  }
  return at - first;
}

/** The low surrogate escaped at `position`, or 0. */
function lowSurrogateAt(bytes: Buffer, position: number, end: number): number {
  if (position + 6 > end || bytes[position] !== BACKSLASH || bytes[position + 1] !== LOWER_U) return 0;
  const unit = hex4(bytes, position + 2);
  return unit >= 0xdc00 && unit < 0xe000 ? unit : 0;
}

/** Writes a code point and returns the count of its bytes. */
export function writeUtf8(target: Buffer, at: number, codePoint: number): number {
  if (codePoint < 0x80) {
    target[at] = codePoint;
    return 1;
  }
  if (codePoint < 0x800) {
    target[at] = 0xc0 | (codePoint >> 6);
    target[at + 1] = 0x80 | (codePoint & 63);
    return 2;
  }
  if (codePoint < 0x10000) {
    target[at] = 0xe0 | (codePoint >> 12);
    target[at + 1] = 0x80 | ((codePoint >> 6) & 63);
    target[at + 2] = 0x80 | (codePoint & 63);
    return 3;
  }
  target[at] = 0xf0 | (codePoint >> 18);
  target[at + 1] = 0x80 | ((codePoint >> 12) & 63);
  target[at + 2] = 0x80 | ((codePoint >> 6) & 63);
  target[at + 3] = 0x80 | (codePoint & 63);
  return 4;
}
