/**
 * Things with a name, found by string or by the name's raw UTF-8 bytes. The second look-up makes no string, so a request
 * goes from the bytes of its header to the interned object without an allocation.
 *
 * Open addressing with linear probing over FNV-1a. The hash starts at a number of this process, so that a stranger
 * cannot choose names that all meet in one slot.
 */
import { randomInt } from "node:crypto";

export interface Named {
  readonly name: string;
  /** UTF-8 of `name`. */
  readonly nameBytes: Buffer;
}

const SLOTS_MIN = 64;
const hashSeed = randomInt(1, 0x7fffffff);

function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = hashSeed;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 16777619);
  return hash ^ (hash >>> 15);
}

function sameBytes(name: Buffer, bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (name.length !== length) return false;
  for (let i = 0; i < length; i++) if (name[i] !== bytes[start + i]) return false;
  return true;
}

export class NameTable<T extends Named> {
  readonly #byName = new Map<string, T>();
  #slots: (T | undefined)[] = new Array(SLOTS_MIN).fill(undefined);
  #hashes = new Int32Array(SLOTS_MIN);

  get size(): number {
    return this.#byName.size;
  }

  get(name: string): T | undefined {
    return this.#byName.get(name);
  }

  /** What is named `bytes[start, end)`. */
  getBytes(bytes: Uint8Array, start: number, end: number): T | undefined {
    const hash = hashBytes(bytes, start, end);
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const item = this.#slots[slot];
      if (item === undefined) return undefined;
      if (this.#hashes[slot] === hash && sameBytes(item.nameBytes, bytes, start, end)) return item;
    }
  }

  /** Adds `item`, in the place of what had its name. */
  set(item: T): void {
    if (this.#byName.has(item.name)) this.delete(item.name);
    this.#byName.set(item.name, item);
    if (this.#byName.size * 2 > this.#slots.length) this.#rebuild(this.#slots.length * 2);
    else this.#place(item);
  }

  delete(name: string): T | undefined {
    const item = this.#byName.get(name);
    if (item === undefined) return undefined;
    this.#byName.delete(name);
    const mask = this.#slots.length - 1;
    let hole = hashBytes(item.nameBytes, 0, item.nameBytes.length) & mask;
    while (this.#slots[hole] !== item) hole = (hole + 1) & mask;
    this.#closeHole(hole);
    return item;
  }

  /** In the order of adding. */
  values(): IterableIterator<T> {
    return this.#byName.values();
  }

  names(): IterableIterator<string> {
    return this.#byName.keys();
  }

  #place(item: T): void {
    const hash = hashBytes(item.nameBytes, 0, item.nameBytes.length);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    while (this.#slots[slot] !== undefined) slot = (slot + 1) & mask;
    this.#slots[slot] = item;
    this.#hashes[slot] = hash;
  }

  /** Moves back what a probe would no longer reach across the hole, so that no tombstones are needed. */
  #closeHole(from: number): void {
    const mask = this.#slots.length - 1;
    let hole = from;
    for (let slot = (hole + 1) & mask; this.#slots[slot] !== undefined; slot = (slot + 1) & mask) {
      const home = this.#hashes[slot]! & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      this.#slots[hole] = this.#slots[slot];
      this.#hashes[hole] = this.#hashes[slot]!;
      hole = slot;
    }
    this.#slots[hole] = undefined;
  }

  #rebuild(slotCount: number): void {
    this.#slots = new Array(slotCount).fill(undefined);
    this.#hashes = new Int32Array(slotCount);
    for (const item of this.#byName.values()) this.#place(item);
  }
}
