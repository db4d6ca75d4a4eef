/**
 * What the check thread tells the walk of recovery, in one SharedArrayBuffer: a ring of rows, one a record, each with
 * what is costly to find out about it and the same whoever looks. Each word has one writer.
 *
 *   word  what                                              written by
 *    0    rows put, a count that wraps                      check thread
 *    1    rows taken, a count that wraps                    walk
 *    2    stop asked: 1                                     walk
 *    3..5 where the walk is (base/shared-position)          walk
 */
import { loadPosition, storePosition } from "../base/shared-position.js";
import type { IndexedProperties } from "../record/indexed-properties.js";

const PUT = 0;
const TAKEN = 1;
const STOP = 2;
const WALK = 3;
const WORDS = 8;

const ROWS = 2048;
const ROW_MASK = ROWS - 1;
/** Start and end of each property, from the record's first byte; a start of -1 for none. */
const PROPERTIES = 3;
const ROW_WORDS = 2 * PROPERTIES;
const OFFSETS_AT = WORDS * 4;
const FIELDS_AT = OFFSETS_AT + ROWS * 8;
/** Rows taken, and rows put, are told in steps. */
const STEP_MASK = 63;

export class CheckRing {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #offsets: Float64Array;
  readonly #fields: Int32Array;
  #put = 0;
  #taken = 0;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(FIELDS_AT + ROWS * ROW_WORDS * 4)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, WORDS);
    this.#offsets = new Float64Array(buffer, OFFSETS_AT, ROWS);
    this.#fields = new Int32Array(buffer, FIELDS_AT, ROWS * ROW_WORDS);
  }

  // The check thread's side.

  get stopAsked(): boolean {
    return Atomics.load(this.#words, STOP) === 1;
  }

  get walkOffset(): number {
    return loadPosition(this.#words, WALK);
  }

  /** Sleeps so long, or until it is asked to stop. */
  pause(ms: number): void {
    Atomics.wait(this.#words, STOP, 0, ms);
  }

  get hasRoom(): boolean {
    return ((this.#put - Atomics.load(this.#words, TAKEN)) | 0) < ROWS - STEP_MASK;
  }

  /** A record whose body is sound, and whose properties were scanned. There has to be room. */
  put(phyOffset: number, position: number, { starts, ends }: IndexedProperties): void {
    const row = this.#put & ROW_MASK;
    this.#offsets[row] = phyOffset;
    let at = row * ROW_WORDS;
    for (let i = 0; i < PROPERTIES; i++) {
      const start = starts[i]!;
      this.#fields[at++] = start < 0 ? -1 : start - position;
      this.#fields[at++] = ends[i]! - position;
    }
    this.#put = (this.#put + 1) | 0;
    if ((this.#put & STEP_MASK) === 0) this.tell();
  }

  /** Has the walk see the rows put so far. */
  tell(): void {
    Atomics.store(this.#words, PUT, this.#put);
  }

  // The walk's side.

  askStop(): void {
    Atomics.store(this.#words, STOP, 1);
    Atomics.notify(this.#words, STOP);
  }

  set walkOffset(phyOffset: number) {
    storePosition(this.#words, WALK, phyOffset);
  }

  /** Takes the row of the record at `phyOffset`, which lies at `position` of its bytes; false when there is none. */
  take(phyOffset: number, position: number, { starts, ends }: IndexedProperties): boolean {
    for (let put = Atomics.load(this.#words, PUT); this.#taken !== put; ) {
      const row = this.#taken & ROW_MASK;
      const offset = this.#offsets[row]!;
      if (offset > phyOffset) return false;
      let at = row * ROW_WORDS;
      for (let i = 0; i < PROPERTIES; i++) {
        const start = this.#fields[at++]!;
        starts[i] = start < 0 ? -1 : start + position;
        ends[i] = this.#fields[at++]! + position;
      }
      this.#taken = (this.#taken + 1) | 0;
      if ((this.#taken & STEP_MASK) === 0) Atomics.store(this.#words, TAKEN, this.#taken);
      if (offset === phyOffset) return true;
    }
    return false;
  }
}
