/** Stretches of the log in ascending order: what is damaged, what is filled. 16 bytes each. */
export class OffsetRanges {
  #bounds = new Float64Array(64);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Behind all that were added before. */
  add(from: number, to: number): void {
    if (this.#count > 0 && this.#bounds[2 * this.#count - 1] === from) {
      this.#bounds[2 * this.#count - 1] = to;
      return;
    }
    if (2 * this.#count === this.#bounds.length) {
      const larger = new Float64Array(2 * this.#bounds.length);
      larger.set(this.#bounds);
      this.#bounds = larger;
    }
    this.#bounds[2 * this.#count] = from;
    this.#bounds[2 * this.#count + 1] = to;
    this.#count++;
  }

  contains(phyOffset: number): boolean {
    let low = -1;
    let high = this.#count;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.#bounds[2 * middle]! <= phyOffset) low = middle;
      else high = middle;
    }
    return low >= 0 && phyOffset < this.#bounds[2 * low + 1]!;
  }

  *[Symbol.iterator](): Generator<{ from: number; to: number }> {
    for (let i = 0; i < this.#count; i++) yield { from: this.#bounds[2 * i]!, to: this.#bounds[2 * i + 1]! };
  }
}
