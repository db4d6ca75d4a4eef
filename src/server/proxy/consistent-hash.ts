/**
 * Which of `buckets` a key belongs to, so that a bucket more moves as few keys as possible: Guava's
 * Hashing.consistentHash, a jump hash over a 64-bit linear congruential generator. The queue of a message group is
 * chosen by it in every proxy, so it must be this one.
 */
const MULTIPLIER = [0x27bb, 0x2ee6, 0x87b0, 0xb0fd] as const;
const TWO_31 = 2 ** 31;

/** `input` is a Java int; `buckets` is positive. */
export function consistentHash(input: number, buckets: number): number {
  const sign = input < 0 ? 0xffff : 0;
  // The state in 16-bit digits, highest first.
  let a = sign;
  let b = sign;
  let c = (input >>> 16) & 0xffff;
  let d = input & 0xffff;
  const [m3, m2, m1, m0] = MULTIPLIER;
  let candidate = 0;
  for (;;) {
    const p0 = d * m0 + 1;
    const p1 = d * m1 + c * m0 + Math.floor(p0 / 65536);
    const p2 = d * m2 + c * m1 + b * m0 + Math.floor(p1 / 65536);
    const p3 = d * m3 + c * m2 + b * m1 + a * m0 + Math.floor(p2 / 65536);
    d = p0 % 65536;
    c = p1 % 65536;
    b = p2 % 65536;
    a = p3 % 65536;
    // (int) (state >>> 33) + 1, over 2^31: the upper 31 bits.
    const nextDouble = (((a * 65536 + b) >>> 1) + 1) / TWO_31;
    const next = Math.trunc((candidate + 1) / nextDouble);
    if (next >= 0 && next < buckets) candidate = next;
    else return candidate;
  }
}
