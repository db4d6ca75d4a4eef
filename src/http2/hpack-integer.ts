/** Integers of HPACK: what the bits of `mask` do not hold goes on in bytes of seven bits, the lowest first (RFC 7541, 5.1). */

/** No integer of a block is larger than that. */
const INTEGER_MAX = 1 << 24;

/** Where a block is read. */
export class HpackCursor {
  at = 0;
  /** The block is none. */
  failed = false;

  /** 0, and a failure, where there is none. */
  integer(bytes: Buffer, end: number, mask: number): number {
    let value = bytes[this.at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; this.at < end && shift <= 21; shift += 7) {
      const byte = bytes[this.at++]!;
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0 && value <= INTEGER_MAX) return value;
    }
    this.failed = true;
    return 0;
  }
}

/** `pattern` are the bits of the first byte that are not the integer's. */
export function encodedInteger(pattern: number, mask: number, value: number): Buffer {
  if (value < mask) return Buffer.from([pattern | value]);
  const bytes = [pattern | mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}
