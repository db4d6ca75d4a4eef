/**
 * A monotonic 53-bit position that one thread writes and any thread reads, in three int32 of a SharedArrayBuffer.
 *
 *   [base] high word, written first   [base+1] low word   [base+2] high word, written last
 *
 * The reader takes them in the opposite order and retries when the two high words differ, so a carry of the low word
 * is never seen half done. Away from a carry a write is one atomic store.
 */
export const SHARED_POSITION_WORDS = 3;

const TWO_32 = 4294967296;

export function storePosition(words: Int32Array, base: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  if (words[base + 2] === high) {
    Atomics.store(words, base + 1, value | 0);
    return;
  }
  Atomics.store(words, base, high);
  Atomics.store(words, base + 1, (value - high * TWO_32) | 0);
  Atomics.store(words, base + 2, high);
}

export function loadPosition(words: Int32Array, base: number): number {
  for (;;) {
    const after = Atomics.load(words, base + 2);
    const low = Atomics.load(words, base + 1);
    if (Atomics.load(words, base) === after) return after * TWO_32 + (low >>> 0);
  }
}
