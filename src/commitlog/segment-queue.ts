/**
 * The files of a commit log in order, each opened when it is first touched. A file's name is the log offset of its
 * first byte in 20 decimal digits (store/MappedFileQueue, UtilAll.offset2FileName). Every thread has a queue of its own
 * over the same files; only the appending thread creates (`add`) and deletes (`removeFirst`).
 */
import { assert } from "../base/assert.js";
import { CometError } from "../base/errors.js";
import type { Disk, Segment } from "../io/disk.js";

const NAME = /^\d{20}$/;
/** Left by a crash while blocks were being reserved: never part of a log. */
const RESERVING_SUFFIX = ".reserving";
/** Open segments of one thread; beyond it those longest unused are closed (their maps go with the last view). */
const OPEN_MAX = 1024;
const NOTHING_PINNED = Number.MAX_SAFE_INTEGER;

export function segmentName(baseOffset: number): string {
  return String(baseOffset).padStart(20, "0");
}

export interface SegmentQueueOptions {
  disk: Disk;
  directory: string;
  segmentBytes: number;
  writable: boolean;
}

export class SegmentQueue {
  readonly segmentBytes: number;
  readonly directory: string;
  readonly #disk: Disk;
  readonly #writable: boolean;
  readonly #open = new Map<number, Segment>();
  #last: Segment | undefined;
  #firstOffset = 0;
  #endOffset = 0;
  #pinnedFrom = NOTHING_PINNED;

  constructor(options: SegmentQueueOptions) {
    this.#disk = options.disk;
    this.directory = options.directory;
    this.segmentBytes = options.segmentBytes;
    this.#writable = options.writable;
  }

  /**
   * Takes in the files of the directory, removes what interrupted attempts to make one have left, and returns the names
   * it did not know. What `judge` refuses stays as it is.
   */
  load(): { foreign: string[] } {
    const { bases, leftovers, foreign } = this.judge();
    for (const path of leftovers) this.#disk.remove(path);
    this.#firstOffset = bases[0] ?? 0;
    this.#endOffset = bases.length === 0 ? 0 : bases.at(-1)! + this.segmentBytes;
    return { foreign };
  }

  /** Lists the directory and changes nothing. Refuses files of another size and holes between files. */
  judge(): { bases: number[]; leftovers: string[]; foreign: string[] } {
    const foreign: string[] = [];
    const leftovers: string[] = [];
    const bases: number[] = [];
    const names = this.#disk.list(this.directory);
    const last = names.findLast((name) => NAME.test(name));
    for (const name of names) {
      const path = `${this.directory}/${name}`;
      if (name.endsWith(RESERVING_SUFFIX)) leftovers.push(path);
      else if (!NAME.test(name)) foreign.push(name);
      else if (name === last && this.#disk.sizeOf(path) === 0) leftovers.push(path);
      else bases.push(this.#checkedBase(path, name));
    }
    for (let i = 1; i < bases.length; i++) {
      if (bases[i] !== bases[i - 1]! + this.segmentBytes) {
        const wanted = segmentName(bases[i - 1]! + this.segmentBytes);
        throw new CometError("COMETMQ_STORE_CORRUPT", `In ${this.directory} the segment ${wanted} is missing.`);
      }
    }
    return { bases, leftovers, foreign };
  }

  #checkedBase(path: string, name: string): number {
    const actual = this.#disk.sizeOf(path);
    const base = Number(name);
    if (!Number.isSafeInteger(base + this.segmentBytes)) {
      throw new CometError("COMETMQ_STORE_CORRUPT", `${path}: no log reaches so far.`);
    }
    if (this.#disk.isDirectory(path)) throw new CometError("COMETMQ_STORE_CORRUPT", `${path} is a directory.`);
    if (actual !== this.segmentBytes || base % this.segmentBytes !== 0) {
      throw new CometError(
        "COMETMQ_STORE_LAYOUT",
        `${path} has ${actual} bytes, but the segment size is set to ${this.segmentBytes} (mappedFileSizeCommitLog).`,
      );
    }
    return base;
  }

  /** For a thread that follows another's log: the range of files that exist. */
  setRange(firstOffset: number, endOffset: number): void {
    if (firstOffset === this.#firstOffset && endOffset === this.#endOffset) return;
    for (const base of this.#open.keys()) if (base < firstOffset || base >= endOffset) this.#forget(base);
    this.#firstOffset = firstOffset;
    this.#endOffset = endOffset;
  }

  get count(): number {
    return (this.#endOffset - this.#firstOffset) / this.segmentBytes;
  }

  /** Log offset of the first file's first byte. */
  get firstOffset(): number {
    return this.#firstOffset;
  }

  /** Log offset just after the last file. */
  get endOffset(): number {
    return this.#endOffset;
  }

  pathOf(baseOffset: number): string {
    return `${this.directory}/${segmentName(baseOffset)}`;
  }

  baseOf(phyOffset: number): number {
    return phyOffset - (phyOffset % this.segmentBytes);
  }

  /** The segment that holds `phyOffset`, or undefined where the log does not reach. */
  at(phyOffset: number): Segment | undefined {
    const last = this.#last;
    if (last !== undefined && phyOffset >= last.baseOffset && phyOffset < last.baseOffset + this.segmentBytes)
      return last;
    if (phyOffset < this.#firstOffset || phyOffset >= this.#endOffset) return undefined;
    const base = this.baseOf(phyOffset);
    let segment = this.#open.get(base);
    if (segment === undefined) segment = this.#openAt(base);
    this.#last = segment;
    return segment;
  }

  #openAt(base: number): Segment {
    // Behind the appender nobody writes, and readers are to be served also where nobody could.
    const isBehind = this.#pinnedFrom !== NOTHING_PINNED && base < this.#pinnedFrom;
    const writable = this.#writable && !isBehind;
    const segment = this.#disk.openSegment(this.pathOf(base), base, this.segmentBytes, writable);
    this.#open.set(base, segment);
    if (this.#open.size > OPEN_MAX) this.#evict(base);
    return segment;
  }

  #evict(justOpened: number): void {
    for (const base of this.#open.keys()) {
      if (base >= this.#pinnedFrom || base === justOpened) continue;
      this.#forget(base);
      return;
    }
  }

  /** Segments from `baseOffset` on are in use by the appender and stay open. */
  pinFrom(baseOffset: number): void {
    this.#pinnedFrom = baseOffset;
  }

  /** Takes the next file, which already lies on the disk, into the queue. */
  add(baseOffset: number): Segment {
    assert(this.#endOffset === 0 || baseOffset === this.#endOffset, "segments follow one another");
    if (this.#endOffset === 0) this.#firstOffset = baseOffset;
    this.#endOffset = baseOffset + this.segmentBytes;
    return this.#openAt(baseOffset);
  }

  /**
   * Deletes the oldest file, on another thread: from the call on nobody finds anything in it, views handed out stay
   * valid. When it cannot be deleted it is the oldest again. One call at a time.
   */
  async removeFirst(): Promise<void> {
    assert(this.count > 1, "the last segment is never deleted");
    const base = this.#firstOffset;
    const path = this.pathOf(base);
    const segment = this.#open.get(base);
    this.#open.delete(base);
    if (this.#last === segment) this.#last = undefined;
    this.#firstOffset += this.segmentBytes;
    try {
      await this.#disk.discard(path, segment);
    } catch (error) {
      if (this.#disk.sizeOf(path) >= 0) this.#firstOffset = base;
      throw error;
    } finally {
      segment?.close();
    }
  }

  /** Deletes the newest file (an empty one made ahead of need, or one beyond a cut). */
  removeLast(): number {
    assert(this.count > 0, "there is a segment to delete");
    const base = this.#endOffset - this.segmentBytes;
    this.#forget(base);
    this.#endOffset = base;
    this.#disk.remove(this.pathOf(base));
    return base;
  }

  /** Takes the newest file out of the queue and moves it to `path`. */
  detachLast(path: string): void {
    const base = this.#endOffset - this.segmentBytes;
    this.#disk.rename(this.pathOf(base), path);
    this.#forget(base);
    this.#endOffset = base;
  }

  #forget(base: number): void {
    const segment = this.#open.get(base);
    if (segment === undefined) return;
    this.#open.delete(base);
    if (this.#last === segment) this.#last = undefined;
    segment.close();
  }

  close(): void {
    for (const base of [...this.#open.keys()]) this.#forget(base);
  }
}
