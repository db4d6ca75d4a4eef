/**
 * One file of an overlay: the bytes of a file below, pages written over them, and zeros where there is neither. Pages
 * are copied when they are first written to, so that a file of gigabytes costs what is changed of it.
 */
export const OVERLAY_PAGE_BYTES = 4096;

/** The bytes below as one handle reaches them. Fills all of `target[start, start + length)`. */
export interface BelowBytes {
  readInto(target: Uint8Array, start: number, length: number, position: number): void;
}

export class OverlayContent {
  /** The file below, whatever the overlay calls it; undefined for one made in the overlay. */
  readonly belowPath: string | undefined;
  /** So many bytes of the file below still show through: what was ever cut off does not come back. */
  #belowBytes: number;
  #sizeBytes: number;
  readonly #pages = new Map<number, Buffer>();
  /** True once it is anything but the file below under its own name. */
  changed: boolean;
  readonly modifiedMs: number;
  /** Handles on it. */
  openCount = 0;

  constructor(belowPath: string | undefined, sizeBytes: number, modifiedMs: number, changed: boolean) {
    this.belowPath = belowPath;
    this.#belowBytes = belowPath === undefined ? 0 : sizeBytes;
    this.#sizeBytes = sizeBytes;
    this.modifiedMs = modifiedMs;
    this.changed = changed;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Bytes held in memory. */
  get heldBytes(): number {
    return this.#pages.size * OVERLAY_PAGE_BYTES;
  }

  /** True when every byte of [position, position + length) is that of the file below. */
  isBelow(position: number, length: number): boolean {
    if (position + length > this.#belowBytes) return false;
    if (this.#pages.size === 0) return true;
    const last = pageOf(position + length - 1);
    for (let page = pageOf(position); page <= last; page++) if (this.#pages.has(page)) return false;
    return true;
  }

  /** Reads up to `length` bytes; fewer at the end. Returns the count. */
  read(below: BelowBytes, target: Uint8Array, start: number, length: number, position: number): number {
    const count = Math.max(0, Math.min(length, this.#sizeBytes - position));
    const fromBelow = Math.max(0, Math.min(count, this.#belowBytes - position));
    if (fromBelow > 0) below.readInto(target, start, fromBelow, position);
    target.fill(0, start + fromBelow, start + count);
    if (this.#pages.size === 0 || count === 0) return count;
    const end = position + count;
    for (let page = pageOf(position); page * OVERLAY_PAGE_BYTES < end; page++) {
      const bytes = this.#pages.get(page);
      if (bytes === undefined) continue;
      const pageStart = page * OVERLAY_PAGE_BYTES;
      const from = Math.max(position, pageStart);
      const to = Math.min(end, pageStart + OVERLAY_PAGE_BYTES);
      target.set(bytes.subarray(from - pageStart, to - pageStart), start + from - position);
    }
    return count;
  }

  write(below: BelowBytes, source: Uint8Array, start: number, length: number, position: number): void {
    for (let done = 0; done < length; ) {
      const at = position + done;
      const page = pageOf(at);
      const inPage = at - page * OVERLAY_PAGE_BYTES;
      const count = Math.min(length - done, OVERLAY_PAGE_BYTES - inPage);
      const bytes = this.#pages.get(page) ?? this.#copyPage(below, page, count === OVERLAY_PAGE_BYTES);
      bytes.set(source.subarray(start + done, start + done + count), inPage);
      done += count;
    }
    this.#sizeBytes = Math.max(this.#sizeBytes, position + length);
    this.changed = true;
  }

  #copyPage(below: BelowBytes, page: number, isOverwritten: boolean): Buffer {
    const bytes = Buffer.alloc(OVERLAY_PAGE_BYTES);
    const pageStart = page * OVERLAY_PAGE_BYTES;
    const fromBelow = Math.min(OVERLAY_PAGE_BYTES, this.#belowBytes - pageStart);
    if (fromBelow > 0 && !isOverwritten) below.readInto(bytes, 0, fromBelow, pageStart);
    this.#pages.set(page, bytes);
    return bytes;
  }

  /** What is cut off is gone; what is added reads as zeros. */
  truncate(sizeBytes: number): void {
    if (sizeBytes < this.#sizeBytes) {
      for (const page of this.#pages.keys()) if (page * OVERLAY_PAGE_BYTES >= sizeBytes) this.#pages.delete(page);
      this.#pages.get(pageOf(sizeBytes))?.fill(0, sizeBytes % OVERLAY_PAGE_BYTES);
    }
    this.#belowBytes = Math.min(this.#belowBytes, sizeBytes);
    this.#sizeBytes = sizeBytes;
    this.changed = true;
  }
}

function pageOf(position: number): number {
  return Math.floor(position / OVERLAY_PAGE_BYTES);
}
