/**
 * Timers that are due soon, in the order in which they are due; of those due at the same time, in the order in which
 * they were put. In number arrays: no object for a timer.
 *
 * A slot is read from its newest timer back to its oldest, and most messages that share a slot wait equally long: nearly
 * each timer comes before all that are there already. Those make a stack, the first one on top; what comes later than
 * its top goes to a binary heap.
 */
const CAPACITY_MIN = 1024;

class Columns {
  count = 0;
  dueMs = new Float64Array(CAPACITY_MIN);
  position = new Float64Array(CAPACITY_MIN);
  phyOffset = new Float64Array(CAPACITY_MIN);
  slotMs = new Float64Array(CAPACITY_MIN);
  magic = new Uint8Array(CAPACITY_MIN);

  set(index: number, dueMs: number, position: number, phyOffset: number, slotMs: number, magic: number): void {
    this.dueMs[index] = dueMs;
    this.position[index] = position;
    this.phyOffset[index] = phyOffset;
    this.slotMs[index] = slotMs;
    this.magic[index] = magic;
  }

  move(from: number, to: number): void {
    const { dueMs, position, phyOffset, slotMs, magic } = this;
    this.set(to, dueMs[from]!, position[from]!, phyOffset[from]!, slotMs[from]!, magic[from]!);
  }

  isBefore(dueMs: number, position: number, index: number): boolean {
    const other = this.dueMs[index]!;
    return dueMs < other || (dueMs === other && position < this.position[index]!);
  }

  /** Room for one more. */
  reserve(): void {
    if (this.count === this.dueMs.length) this.#resize(this.count * 2);
  }

  /** Empty, it keeps little. */
  shrink(): void {
    if (this.count === 0 && this.dueMs.length > CAPACITY_MIN) this.#resize(CAPACITY_MIN);
  }

  #resize(capacity: number): void {
    const grow = (from: Float64Array) => {
      const to = new Float64Array(capacity);
      to.set(from.subarray(0, this.count));
      return to;
    };
    this.dueMs = grow(this.dueMs);
    this.position = grow(this.position);
    this.phyOffset = grow(this.phyOffset);
    this.slotMs = grow(this.slotMs);
    const magic = new Uint8Array(capacity);
    magic.set(this.magic.subarray(0, this.count));
    this.magic = magic;
  }
}

export class DueHeap {
  readonly #heap = new Columns();
  readonly #stack = new Columns();
  /** Where the first one is: at `#firstAt` of one or the other. */
  #first = this.#heap;
  #firstAt = 0;

  get size(): number {
    return this.#heap.count + this.#stack.count;
  }

  /** Fields of the first one; only where there is one. */
  get dueMs(): number {
    return this.#first.dueMs[this.#firstAt]!;
  }
  get position(): number {
    return this.#first.position[this.#firstAt]!;
  }
  get phyOffset(): number {
    return this.#first.phyOffset[this.#firstAt]!;
  }
  get slotMs(): number {
    return this.#first.slotMs[this.#firstAt]!;
  }
  get magic(): number {
    return this.#first.magic[this.#firstAt]!;
  }

  push(dueMs: number, position: number, phyOffset: number, slotMs: number, magic: number): void {
    const stack = this.#stack;
    if (stack.count === 0 || stack.isBefore(dueMs, position, stack.count - 1)) {
      stack.reserve();
      stack.set(stack.count++, dueMs, position, phyOffset, slotMs, magic);
    } else {
      this.#pushHeap(dueMs, position, phyOffset, slotMs, magic);
    }
    this.#findFirst();
  }

  pop(): void {
    if (this.#first === this.#stack) {
      this.#stack.count--;
      this.#stack.shrink();
    } else {
      this.#popHeap();
    }
    this.#findFirst();
  }

  #findFirst(): void {
    const heap = this.#heap;
    const stack = this.#stack;
    const top = stack.count - 1;
    const isStack = top >= 0 && (heap.count === 0 || heap.isBefore(stack.dueMs[top]!, stack.position[top]!, 0));
    this.#first = isStack ? stack : heap;
    this.#firstAt = isStack ? top : 0;
  }

  #pushHeap(dueMs: number, position: number, phyOffset: number, slotMs: number, magic: number): void {
    const heap = this.#heap;
    heap.reserve();
    let index = heap.count++;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!heap.isBefore(dueMs, position, parent)) break;
      heap.move(parent, index);
      index = parent;
    }
    heap.set(index, dueMs, position, phyOffset, slotMs, magic);
  }

  #popHeap(): void {
    const heap = this.#heap;
    const last = --heap.count;
    const dueMs = heap.dueMs[last]!;
    const position = heap.position[last]!;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= last) break;
      const other = child + 1;
      if (other < last && heap.isBefore(heap.dueMs[other]!, heap.position[other]!, child)) child = other;
      if (heap.isBefore(dueMs, position, child)) break;
      heap.move(child, index);
      index = child;
    }
    heap.move(last, index);
    heap.shrink();
  }

  /** The lowest log offset of all, infinite without any. Looks at each. */
  minPhyOffset(): number {
    let min = Number.POSITIVE_INFINITY;
    for (const { phyOffset, count } of [this.#heap, this.#stack]) {
      for (let i = 0; i < count; i++) min = Math.min(min, phyOffset[i]!);
    }
    return min;
  }

  phyOffsets(): Set<number> {
    const found = new Set<number>();
    for (const { phyOffset, count } of [this.#heap, this.#stack]) {
      for (let i = 0; i < count; i++) found.add(phyOffset[i]!);
    }
    return found;
  }
}
