/**
 * The timer wheel (store/timer/TimerWheel.java, Slot.java): `timerwheel`, 2 x 604800 slots of 32 bytes, one for each
 * time, each with the first and the last of its units in the timer log.
 *
 *   0 time in units of the precision | 8 first position | 16 last position | 24 count | 28 magic, 0
 *
 * Only the pages that have slots are kept in memory, so a wheel without timers costs nothing; pages that changed are
 * written by `flush`. The file can be made again from the timer log.
 */
import { readInt64, writeInt64 } from "../../../base/int64.js";
import type { Disk, DiskFile } from "../../../io/disk.js";
import { NO_POSITION } from "./timer-unit.js";

/** Slots that one turn of a timer uses at most; the file has twice as many. */
export const WHEEL_SLOTS = 7 * 24 * 3600;
/** So many slots Apache keeps a timer away from the end of the wheel. */
export const BLANK_SLOTS = 60;

/** Those that timerPrecisionMs can have. */
export const PRECISIONS_MS = [100, 200, 500, 1000] as const;

const SLOT_BYTES = 32;
const PAGE_SLOTS = 128;
const PAGE_BYTES = PAGE_SLOTS * SLOT_BYTES;
const SLOT_COUNT = WHEEL_SLOTS * 2;
const PAGE_COUNT = SLOT_COUNT / PAGE_SLOTS;
export const WHEEL_BYTES = SLOT_COUNT * SLOT_BYTES;
const CHUNK_PAGES = 256;

interface Page {
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** Callers keep one and have it filled. */
export interface Slot {
  firstPosition: number;
  lastPosition: number;
  count: number;
}

export class TimerWheel {
  readonly precisionMs: number;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #pages: (Page | undefined)[] = new Array<Page | undefined>(PAGE_COUNT).fill(undefined);
  readonly #dirty = new Uint8Array(PAGE_COUNT);
  #dirtyCount = 0;
  #file: DiskFile | undefined;

  constructor(disk: Disk, path: string, precisionMs: number) {
    this.#disk = disk;
    this.#path = path;
    this.precisionMs = precisionMs;
  }

  /** The slot that `timeMs` falls into begins then. */
  slotTime(timeMs: number): number {
    return timeMs - (timeMs % this.precisionMs);
  }

  /** How far apart two slots have to be for one to take the other's place. */
  get spanMs(): number {
    return SLOT_COUNT * this.precisionMs;
  }

  #slotAt(timeMs: number): number {
    return Math.floor(timeMs / this.precisionMs) % SLOT_COUNT;
  }

  /**
   * Takes the pages of the file that have slots from `fromMs` on for a turn of the wheel. "missing" without a file,
   * "damaged" where it is not a wheel of this precision.
   */
  load(fromMs: number): "loaded" | "missing" | "damaged" {
    const sizeBytes = this.#disk.sizeOf(this.#path);
    if (sizeBytes <= 0) return "missing";
    if (sizeBytes !== WHEEL_BYTES) return "damaged";
    const file = this.#disk.openFile(this.#path, false);
    this.#file = file;
    const chunk = Buffer.alloc(CHUNK_PAGES * PAGE_BYTES);
    for (let first = 0; first < PAGE_COUNT; first += CHUNK_PAGES) {
      const length = Math.min(CHUNK_PAGES, PAGE_COUNT - first) * PAGE_BYTES;
      chunk.fill(0, file.readAt(chunk, 0, length, first * PAGE_BYTES));
      const view = new DataView(chunk.buffer, chunk.byteOffset, length);
      for (let at = 0; at < length; at += PAGE_BYTES) {
        const page = first + at / PAGE_BYTES;
        const verdict = this.#judge(view, at, page, fromMs);
        if (verdict === "damaged") return "damaged";
        if (verdict === "live") this.#pages[page] = pageOf(chunk.subarray(at, at + PAGE_BYTES));
      }
    }
    return "loaded";
  }

  /** A slot says itself at what time it is: one that stands at another time's place is none. */
  #judge(view: DataView, at: number, page: number, fromMs: number): "live" | "past" | "damaged" {
    let isLive = false;
    for (let i = 0; i < PAGE_SLOTS; i++) {
      const time = readInt64(view, at + i * SLOT_BYTES);
      if (time === 0 || time === -1) continue;
      if (time < 0 || !Number.isSafeInteger(time) || time % SLOT_COUNT !== page * PAGE_SLOTS + i) return "damaged";
      const timeMs = time * this.precisionMs;
      if (timeMs > fromMs + this.spanMs || this.#isOtherPrecision(time, fromMs)) return "damaged";
      if (timeMs >= fromMs) isLive = true;
    }
    return isLive ? "live" : "past";
  }

  /** Slots of today, were they counted in other steps. */
  #isOtherPrecision(time: number, fromMs: number): boolean {
    return PRECISIONS_MS.some((ms) => ms !== this.precisionMs && Math.abs(time * ms - fromMs) < this.spanMs * 2);
  }

  /** Forgets everything; the file is written anew with the next flush. */
  reset(): void {
    this.#pages.fill(undefined);
    this.#dirty.fill(1);
    this.#dirtyCount = PAGE_COUNT;
  }

  get(timeMs: number, slot: Slot): boolean {
    const index = this.#slotAt(timeMs);
    const page = this.#pages[Math.floor(index / PAGE_SLOTS)];
    const at = (index % PAGE_SLOTS) * SLOT_BYTES;
    if (page === undefined || readInt64(page.view, at) !== Math.floor(timeMs / this.precisionMs)) {
      slot.firstPosition = NO_POSITION;
      slot.lastPosition = NO_POSITION;
      slot.count = 0;
      return false;
    }
    slot.firstPosition = readInt64(page.view, at + 8);
    slot.lastPosition = readInt64(page.view, at + 16);
    slot.count = page.view.getInt32(at + 24);
    return true;
  }

  put(timeMs: number, slot: Slot): void {
    const index = this.#slotAt(timeMs);
    const number = Math.floor(index / PAGE_SLOTS);
    let page = this.#pages[number];
    if (page === undefined) {
      page = pageOf(undefined);
      this.#pages[number] = page;
    }
    const at = (index % PAGE_SLOTS) * SLOT_BYTES;
    writeInt64(page.view, at, Math.floor(timeMs / this.precisionMs));
    writeInt64(page.view, at + 8, slot.firstPosition);
    writeInt64(page.view, at + 16, slot.lastPosition);
    page.view.setInt32(at + 24, slot.count);
    page.view.setInt32(at + 28, 0);
    this.#markDirty(number);
  }

  /** The slot has nothing any more; a page without any goes. */
  clear(timeMs: number): void {
    const index = this.#slotAt(timeMs);
    const number = Math.floor(index / PAGE_SLOTS);
    const page = this.#pages[number];
    const at = (index % PAGE_SLOTS) * SLOT_BYTES;
    if (page === undefined || readInt64(page.view, at) !== Math.floor(timeMs / this.precisionMs)) return;
    page.bytes.fill(0, at, at + SLOT_BYTES);
    if (page.bytes.equals(EMPTY_PAGE)) this.#pages[number] = undefined;
    this.#markDirty(number);
  }

  #markDirty(page: number): void {
    if (this.#dirty[page] === 1) return;
    this.#dirty[page] = 1;
    this.#dirtyCount++;
  }

  /** The first slot in use in [fromMs, toMs), or undefined. Both are the wheel's span apart at the most. */
  nextUsed(fromMs: number, toMs: number): number | undefined {
    let timeMs = this.slotTime(fromMs);
    while (timeMs < toMs) {
      const index = this.#slotAt(timeMs);
      const page = this.#pages[Math.floor(index / PAGE_SLOTS)];
      if (page === undefined) {
        timeMs += (PAGE_SLOTS - (index % PAGE_SLOTS)) * this.precisionMs;
        continue;
      }
      const time = Math.floor(timeMs / this.precisionMs);
      if (readInt64(page.view, (index % PAGE_SLOTS) * SLOT_BYTES) === time) return timeMs;
      timeMs += this.precisionMs;
    }
    return undefined;
  }

  /** Visits the slots in use from `fromMs` on, a whole turn of the wheel, in no order; `slot` is filled for each. */
  forEach(fromMs: number, slot: Slot, visit: (timeMs: number) => void): void {
    this.#pages.forEach((page) => {
      if (page === undefined) return;
      for (let at = 0; at < PAGE_BYTES; at += SLOT_BYTES) {
        const timeMs = readInt64(page.view, at) * this.precisionMs;
        if (timeMs >= fromMs && timeMs > 0 && this.get(timeMs, slot)) visit(timeMs);
      }
    });
  }

  get isDirty(): boolean {
    return this.#dirtyCount > 0;
  }

  /** Writes the pages that changed; throws as the disk does, to be called again then. Answers the file to sync. */
  flush(): DiskFile | undefined {
    if (this.#dirtyCount === 0) return undefined;
    if (this.#file === undefined) {
      this.#file = this.#disk.openFile(this.#path, true);
      if (this.#file.sizeBytes() !== WHEEL_BYTES) {
        this.#file.truncate(0);
        this.#file.truncate(WHEEL_BYTES);
      }
    }
    for (let page = 0; page < PAGE_COUNT && this.#dirtyCount > 0; page++) {
      if (this.#dirty[page] === 0) continue;
      this.#file.writeAt(this.#pages[page]?.bytes ?? EMPTY_PAGE, 0, PAGE_BYTES, page * PAGE_BYTES);
      this.#dirty[page] = 0;
      this.#dirtyCount--;
    }
    return this.#file;
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

const EMPTY_PAGE = Buffer.alloc(PAGE_BYTES);

function pageOf(content: Buffer | undefined): Page {
  const bytes = Buffer.alloc(PAGE_BYTES);
  content?.copy(bytes);
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, PAGE_BYTES) };
}
