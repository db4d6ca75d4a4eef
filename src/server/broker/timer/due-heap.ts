/**
 * Timers that are due soon, in the order in which they are due; of those due at the same time, in the order in which
 * they were put. A binary heap in number arrays: no object for a timer.
 */
const CAPACITY_MIN = 1024;

export class DueHeap {
  #count = 0;
  #dueMs = new Float64Array(CAPACITY_MIN);
  #position = new Float64Array(CAPACITY_MIN);
  #phyOffset = new Float64Array(CAPACITY_MIN);
  #slotMs = new Float64Array(CAPACITY_MIN);
  #magic = new Uint8Array(CAPACITY_MIN);

  get size(): number {
    return this.#count;
  }

  /** Fields of the first one; only where there is one. */
  get dueMs(): number {
    return this.#dueMs[0]!;
  }
  get position(): number {
    return this.#position[0]!;
  }
  get phyOffset(): number {
    return this.#phyOffset[0]!;
  }
  get slotMs(): number {
    return this.#slotMs[0]!;
  }
  get magic(): number {
    return this.#magic[0]!;
  }

  push(dueMs: number, position: number, phyOffset: number, slotMs: number, magic: number): void {
    if (this.#count === this.#dueMs.length) this.#resize(this.#count * 2);
    let index = this.#count++;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#isBefore(dueMs, position, parent)) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#set(index, dueMs, position, phyOffset, slotMs, magic);
  }

  pop(): void {
    const last = --this.#count;
    const dueMs = this.#dueMs[last]!;
    const position = this.#position[last]!;
    const phyOffset = this.#phyOffset[last]!;
    const slotMs = this.#slotMs[last]!;
    const magic = this.#magic[last]!;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= last) break;
      const other = child + 1;
      if (other < last && this.#isBefore(this.#dueMs[other]!, this.#position[other]!, child)) child = other;
      if (this.#isBefore(dueMs, position, child)) break;
      this.#move(child, index);
      index = child;
    }
    this.#set(index, dueMs, position, phyOffset, slotMs, magic);
    if (last === 0 && this.#dueMs.length > CAPACITY_MIN) this.#resize(CAPACITY_MIN);
  }

  /** The lowest log offset of all, infinite without any. Looks at each. */
  minPhyOffset(): number {
    let min = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#count; i++) min = Math.min(min, this.#phyOffset[i]!);
    return min;
  }

  phyOffsets(): Set<number> {
    return new Set(this.#phyOffset.subarray(0, this.#count));
  }

  #isBefore(dueMs: number, position: number, index: number): boolean {
    const other = this.#dueMs[index]!;
    return dueMs < other || (dueMs === other && position < this.#position[index]!);
  }

  #move(from: number, to: number): void {
    this.#set(
      to,
      this.#dueMs[from]!,
      this.#position[from]!,
      this.#phyOffset[from]!,
      this.#slotMs[from]!,
      this.#magic[from]!,
    );
  }

  #set(index: number, dueMs: number, position: number, phyOffset: number, slotMs: number, magic: number): void {
    this.#dueMs[index] = dueMs;
    this.#position[index] = position;
    this.#phyOffset[index] = phyOffset;
    this.#slotMs[index] = slotMs;
    this.#magic[index] = magic;
  }

  #resize(capacity: number): void {
    const grow = (from: Float64Array) => {
      const to = new Float64Array(capacity);
      to.set(from.subarray(0, Math.min(this.#count, capacity)));
      return to;
    };
    this.#dueMs = grow(this.#dueMs);
    this.#position = grow(this.#position);
    this.#phyOffset = grow(this.#phyOffset);
    this.#slotMs = grow(this.#slotMs);
    const magic = new Uint8Array(capacity);
    magic.set(this.#magic.subarray(0, Math.min(this.#count, capacity)));
    this.#magic = magic;
  }
}
