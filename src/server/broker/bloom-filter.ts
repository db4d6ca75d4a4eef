/**
 * Which bits a group and topic have in the filter bit maps of an Apache broker (filter/util/BloomFilter.java with
 * BrokerConfig's defaults). CometMQ makes no such bit maps; the positions are kept in consumerFilter.json, for Apache
 * takes nothing from a file in which they are missing.
 */
const MASK = (1n << 64n) - 1n;
const C1 = 0x87c37b91114253d5n;
const C2 = 0x4cf5ad432745937fn;

/** For an error rate of 20 % with 32 consumers. */
export const BLOOM_BIT_NUM = 112;
const HASH_COUNT = 3;

export function bloomBitPositions(group: string, topic: string): number[] {
  const hash = murmur3(Buffer.from(`${group}#${topic}`, "utf8"));
  const low = Number(BigInt.asIntN(32, hash));
  const high = Number(BigInt.asIntN(32, hash >> 32n));
  return Array.from({ length: HASH_COUNT }, (_, index) => {
    const combined = (low + Math.imul(index + 1, high)) | 0;
    return (combined < 0 ? ~combined : combined) % BLOOM_BIT_NUM;
  });
}

/** The first 64 bits of MurmurHash3_x64_128 with seed 0. */
function murmur3(bytes: Buffer): bigint {
  let h1 = 0n;
  let h2 = 0n;
  const whole = bytes.length - (bytes.length % 16);
  for (let at = 0; at < whole; at += 16) {
    h1 ^= mixed(bytes.readBigUInt64LE(at), C1, 31n, C2);
    h1 = (((rotated(h1, 27n) + h2) & MASK) * 5n + 0x52dce729n) & MASK;
    h2 ^= mixed(bytes.readBigUInt64LE(at + 8), C2, 33n, C1);
    h2 = (((rotated(h2, 31n) + h1) & MASK) * 5n + 0x38495ab5n) & MASK;
  }
  const tail = Buffer.alloc(16);
  bytes.copy(tail, 0, whole);
  h2 ^= mixed(tail.readBigUInt64LE(8), C2, 33n, C1);
  h1 ^= mixed(tail.readBigUInt64LE(0), C1, 31n, C2);
  h1 ^= BigInt(bytes.length);
  h2 ^= BigInt(bytes.length);
  h1 = (h1 + h2) & MASK;
  h2 = (h2 + h1) & MASK;
  return (finished(h1) + finished(h2)) & MASK;
}

function rotated(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & MASK;
}

function mixed(block: bigint, before: bigint, bits: bigint, after: bigint): bigint {
  return (rotated((block * before) & MASK, bits) * after) & MASK;
}

function finished(value: bigint): bigint {
  let k = value;
  k = ((k ^ (k >> 33n)) * 0xff51afd7ed558ccdn) & MASK;
  k = ((k ^ (k >> 33n)) * 0xc4ceb9fe1a85ec53n) & MASK;
  return k ^ (k >> 33n);
}
