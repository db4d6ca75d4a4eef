/**
 * Reads entries along a chain, from newer to older. Entries of a rare key lie far apart and are read one by one; those of
 * a frequent one (a tag on every third message) lie close together, and then a block that ends at the wanted entry is
 * read at once, so that a walk over millions of them takes thousands of system calls, not millions.
 */
import { readInt64 } from "../base/int64.js";
import {
  ENTRY_PHY_OFFSET,
  ENTRY_PREVIOUS,
  ENTRY_TIME_DIFF,
  entryPosition,
  INDEX_ENTRY_BYTES,
  type IndexFile,
} from "./index-file.js";

const BLOCK_ENTRIES = 3276;

/** How many of the first `count` entries are of records before `phyOffset`: they are in the order of the log. */
export function entriesBefore(file: IndexFile, count: number, phyOffset: number): number {
  const entry = new EntryReader();
  entry.reset(file);
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (entry.read(middle) && entry.phyOffset < phyOffset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The fields are those of the entry last read. */
export class EntryReader {
  keyHash = 0;
  phyOffset = 0;
  timeDiff = 0;
  previous = 0;
  readonly #view = new DataView(new ArrayBuffer(BLOCK_ENTRIES * INDEX_ENTRY_BYTES));
  #file: IndexFile | undefined;
  #first = 0;
  #count = 0;
  #last = 0;

  /** Forgets what was read: the file may have changed. */
  reset(file: IndexFile): void {
    this.#file = file;
    this.#count = 0;
    this.#last = 0;
  }

  /** False when the file ends before the entry does. */
  read(entryNumber: number): boolean {
    if (entryNumber < this.#first || entryNumber >= this.#first + this.#count) {
      if (!this.#fetch(entryNumber)) return false;
    }
    this.#last = entryNumber;
    const at = (entryNumber - this.#first) * INDEX_ENTRY_BYTES;
    this.keyHash = this.#view.getInt32(at);
    this.phyOffset = readInt64(this.#view, at + ENTRY_PHY_OFFSET);
    this.timeDiff = this.#view.getInt32(at + ENTRY_TIME_DIFF);
    this.previous = this.#view.getInt32(at + ENTRY_PREVIOUS);
    return true;
  }

  #fetch(entryNumber: number): boolean {
    const isNear = this.#last > entryNumber && this.#last - entryNumber < BLOCK_ENTRIES;
    const first = isNear ? Math.max(1, entryNumber - BLOCK_ENTRIES + 1) : entryNumber;
    const count = entryNumber - first + 1;
    const file = this.#file!;
    const bytes = new Uint8Array(this.#view.buffer, 0, count * INDEX_ENTRY_BYTES);
    const got = file.handle.readAt(bytes, 0, bytes.length, entryPosition(file.sizes, first));
    this.#first = first;
    this.#count = got === bytes.length ? count : 0;
    return got === bytes.length;
  }
}
