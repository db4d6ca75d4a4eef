/** Which numbers of 0, 1, 2, … have been seen: a bit each. */
const BITS_MIN = 65_536;

export class NumberSet {
  #bits = new Uint8Array(BITS_MIN / 8);
  size = 0;

  /** False when it was there already. */
  add(number: number): boolean {
    const index = Math.floor(number / 8);
    if (index >= this.#bits.length) this.#grow(index);
    const bit = 1 << (number & 7);
    if ((this.#bits[index]! & bit) !== 0) return false;
    this.#bits[index]! |= bit;
    this.size++;
    return true;
  }

  has(number: number): boolean {
    return ((this.#bits[Math.floor(number / 8)] ?? 0) & (1 << (number & 7))) !== 0;
  }

  /** How many of these are not in `other`, and the first of them. */
  missingIn(other: NumberSet, end: number): { readonly count: number; readonly first: number | undefined } {
    let count = 0;
    let first: number | undefined;
    for (let number = 0; number < end; number++) {
      if (!this.has(number) || other.has(number)) continue;
      count++;
      first ??= number;
    }
    return { count, first };
  }

  #grow(index: number): void {
    const larger = new Uint8Array(Math.max(index + 1, this.#bits.length * 2));
    larger.set(this.#bits);
    this.#bits = larger;
  }
}
