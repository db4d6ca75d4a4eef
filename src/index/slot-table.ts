/**
 * The slots of the index file that is being written, in memory, as the bytes they have in the file. Keys hash to random
 * slots, so a pread and a pwrite for each would cost more than everything else of the dispatch; instead pieces of 64 KiB
 * are read when first touched (not at all in a new file, which is a hole) and changed pages of 4 KiB are written back
 * together. Pages are those of the file, so that the kernel never has to read one in order to change part of it.
 *
 * Memory: the buffer has room for all slots, but zeroed memory is the system's promise, not the process's, until it is
 * touched: nothing for pieces nobody needed, at most 4 bytes a slot (20 MB with Apache's sizes) under load.
 * One thread owns a table. Nobody else sees a change before `writeBack`.
 */
import type { DiskFile } from "../io/disk.js";
import { INDEX_HEADER_BYTES, slotPosition } from "./index-file.js";

const CHUNK_SHIFT = 16;
const CHUNK_BYTES = 1 << CHUNK_SHIFT;
const PAGE_SHIFT = 12;
const PAGE_BYTES = 1 << PAGE_SHIFT;
/** Unchanged pages between two changed ones are written along: cheaper than another system call. */
const BRIDGED_PAGES = 2;

export class SlotTable {
  readonly #handle: DiskFile;
  readonly #endPosition: number;
  /** The file's bytes [0, end of the slots); the header's are not used. */
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #isLoaded: Uint8Array;
  readonly #isDirty: Uint8Array;
  readonly #dirtyPages: Int32Array;
  #dirtyCount = 0;

  /** `blank`: the file has just been made, so every slot is 0. */
  constructor(handle: DiskFile, maxHashSlotNum: number, blank: boolean) {
    this.#handle = handle;
    this.#endPosition = slotPosition(maxHashSlotNum);
    const pageCount = Math.ceil(this.#endPosition / PAGE_BYTES);
    this.#view = new DataView(new ArrayBuffer(this.#endPosition));
    this.#bytes = new Uint8Array(this.#view.buffer);
    this.#isLoaded = new Uint8Array(Math.ceil(this.#endPosition / CHUNK_BYTES)).fill(blank ? 1 : 0);
    this.#isDirty = new Uint8Array(pageCount);
    this.#dirtyPages = new Int32Array(pageCount);
  }

  get(slot: number): number {
    const position = slotPosition(slot);
    if (this.#isLoaded[position >>> CHUNK_SHIFT] === 0) this.#load(position >>> CHUNK_SHIFT);
    return this.#view.getInt32(position);
  }

  /** Sets the slot and returns what it was. Throws before anything is changed when it cannot be read. */
  exchange(slot: number, entryNumber: number): number {
    const position = slotPosition(slot);
    if (this.#isLoaded[position >>> CHUNK_SHIFT] === 0) this.#load(position >>> CHUNK_SHIFT);
    const before = this.#view.getInt32(position);
    this.#view.setInt32(position, entryNumber);
    const page = position >>> PAGE_SHIFT;
    if (this.#isDirty[page] === 0) {
      this.#isDirty[page] = 1;
      this.#dirtyPages[this.#dirtyCount++] = page;
    }
    return before;
  }

  /** Writes every changed page. After a failure all of them count as changed still, so it can be called again. */
  writeBack(): void {
    const pages = this.#dirtyPages.subarray(0, this.#dirtyCount).sort();
    for (let i = 0; i < pages.length; ) {
      const first = pages[i]!;
      let last = first;
      // Pages in between may lie in a piece that was never read: those must not be written.
      for (i++; i < pages.length && pages[i]! - last <= BRIDGED_PAGES + 1; i++) {
        if (pages[i]! - last > 1 && !this.#isRead(last + 1, pages[i]!)) break;
        last = pages[i]!;
      }
      const from = Math.max(first * PAGE_BYTES, INDEX_HEADER_BYTES);
      const to = Math.min((last + 1) * PAGE_BYTES, this.#endPosition);
      this.#handle.writeAt(this.#bytes, from, to - from, from);
    }
    for (const page of pages) this.#isDirty[page] = 0;
    this.#dirtyCount = 0;
  }

  #isRead(fromPage: number, toPage: number): boolean {
    for (let page = fromPage; page < toPage; page++) {
      if (this.#isLoaded[page >>> (CHUNK_SHIFT - PAGE_SHIFT)] === 0) return false;
    }
    return true;
  }

  #load(chunk: number): void {
    const from = chunk * CHUNK_BYTES;
    this.#handle.readAt(this.#bytes, from, Math.min(CHUNK_BYTES, this.#endPosition - from), from);
    this.#isLoaded[chunk] = 1;
  }
}
