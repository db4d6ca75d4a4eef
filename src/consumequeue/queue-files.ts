/**
 * The files of one queue, whatever its units are: equally long, one after the other, each named by the byte offset of
 * its first byte in 20 decimal digits (store/MappedFileQueue). Reached by pread and pwrite, never mapped: there are
 * thousands of queues, and a full disk must be an error and not a signal.
 *
 * A file is made at its full length without blocks, so that Apache can load it at any time. Units are collected in
 * memory and go out with one pwrite a file. Only the dispatch thread owns a QueueFiles; readers go by paths.
 */
import { assert } from "../base/assert.js";
import { CometError } from "../base/errors.js";
import { readInt64 } from "../base/int64.js";
import type { Disk, DiskFile } from "../io/disk.js";
import type { FileCache } from "./file-cache.js";
import { type UnitBuffer, UnitBuffers } from "./unit-buffers.js";

export const QUEUE_FILE_NAME = /^\d{20}$/;

const SCRATCH_BYTES = 64 * 1024;
/** The first read of a scan: most queues of a large store end within it. */
const FIRST_READ_BYTES = 4096;
/** Recovery looks at this many files from the end (ConsumeQueue.recover). */
const RECOVERED_FILES = 3;

export function queueFileName(baseBytes: number): string {
  return String(baseBytes).padStart(20, "0");
}

export interface QueueContextOptions {
  disk: Disk;
  cache: FileCache;
  /** Length of a file; rounded up to whole units, as Apache does. */
  fileBytes: number;
  unitBytes: number;
  /** The option that sets `fileBytes`, for messages. */
  sizeOption: string;
}

/** What all queues of one kind share in one thread. */
export class QueueContext {
  readonly disk: Disk;
  readonly cache: FileCache;
  readonly fileBytes: number;
  readonly unitBytes: number;
  readonly sizeOption: string;
  readonly buffers = new UnitBuffers();
  /** For reads that are done with before the next call; `window` says what it holds. */
  readonly scratch: Buffer;
  readonly scratchView: DataView;
  readonly window: ScratchWindow = { owner: undefined, start: 0, bytes: 0 };
  /** One unit, for `unitAt`. */
  readonly unit: Buffer;
  readonly unitView: DataView;
  /** How many more last files may be too short: a process killed while it cuts a queue leaves one. Recovery sets it. */
  shortFilesMax = 0;

  constructor(options: QueueContextOptions) {
    if (!Number.isSafeInteger(options.fileBytes) || options.fileBytes <= 0) {
      throw new CometError("COMETMQ_CONFIG", `${options.sizeOption} is ${options.fileBytes}.`);
    }
    this.disk = options.disk;
    this.cache = options.cache;
    this.unitBytes = options.unitBytes;
    this.fileBytes = Math.ceil(options.fileBytes / options.unitBytes) * options.unitBytes;
    this.sizeOption = options.sizeOption;
    this.scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES - (SCRATCH_BYTES % options.unitBytes));
    this.scratchView = new DataView(this.scratch.buffer, this.scratch.byteOffset, this.scratch.length);
    this.unit = Buffer.allocUnsafeSlow(options.unitBytes);
    this.unitView = new DataView(this.unit.buffer, this.unit.byteOffset, this.unit.length);
  }
}

/** Bytes of a queue that a scan left in the scratch buffer, so that units in it are not read again. */
interface ScratchWindow {
  owner: QueueFiles | undefined;
  start: number;
  bytes: number;
}

/** Decides whether the unit at `view[position..]` counts. */
export type UnitTest = (view: DataView, position: number) => boolean;

/**
 * How the end of a queue is looked for. `abnormal`: unit by unit, and what follows is wiped, for pages may have reached
 * the disk in any order. `normal`: unit by unit; wiped only if something is seen there. `trusted`: by binary search,
 * for queues known to have no unit behind their end, as this store leaves them when it closes.
 */
export type RecoveryMode = "abnormal" | "normal" | "trusted";

export class QueueFiles {
  readonly directory: string;
  readonly #context: QueueContext;
  #firstBase = 0;
  /** Base of the last file, -1 when there is none. */
  #lastBase = -1;
  /** Behind the last unit that lies in the files. */
  #endBytes = 0;
  #pending: UnitBuffer | undefined;
  /** Start of what was written since the last sync, or -1. */
  #unsyncedFrom = -1;
  #lastIsShort = false;
  /** The path asked for last, and its base: making one costs as much as looking it up. */
  #pathBase = -1;
  #path = "";

  constructor(context: QueueContext, directory: string) {
    this.#context = context;
    this.directory = directory;
  }

  get isEmpty(): boolean {
    return this.#lastBase < 0;
  }

  /** Position of the first file's first byte. */
  get firstBase(): number {
    return this.#firstBase;
  }

  /** Position of the last file's first byte; only when there is a file. */
  get lastBase(): number {
    return this.#lastBase;
  }

  get fileBytes(): number {
    return this.#context.fileBytes;
  }

  /** Behind the last unit in the files: so far readers may read. */
  get endBytes(): number {
    return this.#endBytes;
  }

  /** Where the next unit goes, behind those that wait to be written. */
  get nextBytes(): number {
    return this.#endBytes + (this.#pending?.usedBytes ?? 0);
  }

  get pendingBytes(): number {
    return this.#pending?.usedBytes ?? 0;
  }

  pathOf(baseBytes: number): string {
    if (baseBytes !== this.#pathBase) {
      this.#path = `${this.directory}/${queueFileName(baseBytes)}`;
      this.#pathBase = baseBytes;
    }
    return this.#path;
  }

  /**
   * Lists the directory. Refuses files of another size and holes between files without touching anything; a last file
   * of length 0 is passed over, one that was being cut is for `recoverEnd` to put right. The end is that of the last
   * file until `recoverEnd`. Returns the names not understood.
   */
  load(): string[] {
    this.#forgetWindow();
    const names = this.#context.disk.list(this.directory);
    const known = names.filter((name) => QUEUE_FILE_NAME.test(name));
    const bases = known.filter((name) => this.#checkSize(name, name === known.at(-1))).map(Number);
    for (let i = 1; i < bases.length; i++) {
      const wanted = bases[i - 1]! + this.fileBytes;
      if (bases[i] !== wanted) {
        throw new CometError(
          "COMETMQ_STORE_CORRUPT",
          `In ${this.directory} the file ${queueFileName(wanted)} is missing.`,
        );
      }
    }
    this.#firstBase = bases[0] ?? 0;
    this.#lastBase = bases.at(-1) ?? -1;
    this.#endBytes = this.isEmpty ? 0 : this.#lastBase + this.fileBytes;
    return known.length === names.length ? [] : names.filter((name) => !QUEUE_FILE_NAME.test(name));
  }

  #checkSize(name: string, isLast: boolean): boolean {
    const { disk, fileBytes, unitBytes, sizeOption } = this.#context;
    const actual = disk.sizeOf(`${this.directory}/${name}`);
    if (actual === 0 && isLast) return false;
    const base = Number(name);
    const isShort = isLast && actual < fileBytes && actual % unitBytes === 0 && base % fileBytes === 0;
    if (isShort && this.#context.shortFilesMax > 0) {
      this.#context.shortFilesMax--;
      this.#lastIsShort = true;
      return true;
    }
    if (actual !== fileBytes || base % fileBytes !== 0 || !Number.isSafeInteger(base)) {
      throw new CometError(
        "COMETMQ_STORE_LAYOUT",
        `${this.directory}/${name} has ${actual} bytes, but files of ${fileBytes} were expected (${sizeOption}).`,
      );
    }
    return true;
  }

  /** Finds the end by the units themselves. True when something lay behind it, which is then gone. */
  recoverEnd(mode: RecoveryMode, counts: UnitTest): boolean {
    if (this.isEmpty) return false;
    if (this.#lastIsShort) this.#context.cache.get(this.pathOf(this.#lastBase)).truncate(this.fileBytes);
    this.#lastIsShort = false;
    let from = Math.max(this.#firstBase, this.#lastBase - (RECOVERED_FILES - 1) * this.fileBytes);
    let end = mode === "trusted" ? this.#searchEnd(from, counts) : this.scan(from, counts);
    // Where there is nothing at all the end lies further in front.
    while (end === from && from > this.#firstBase) {
      from -= this.fileBytes;
      end = this.scan(from, counts);
    }
    const stale = (mode !== "trusted" && this.#somethingAt(end)) || this.#lastBase > end;
    // A last file without a unit behind a full one: Apache 5.4.0 does not start with it.
    const emptyLast = end === this.#lastBase && end > this.#firstBase;
    this.#endBytes = end;
    if (stale || emptyLast || mode === "abnormal") this.cutAt(end);
    if (!stale) this.#unsyncedFrom = -1;
    return stale;
  }

  /** Sets a known end; an empty queue stays at 0. */
  endAt(position: number): void {
    if (this.isEmpty) return;
    assert(position >= this.#firstBase && position <= this.#lastBase + this.fileBytes, "the end lies in the files");
    this.#endBytes = position;
  }

  /** Position behind the units that pass `test`, from `from` on and without a break. */
  scan(from: number, test: UnitTest): number {
    const limit = this.#lastBase + this.fileBytes;
    let position = from;
    for (let wanted = FIRST_READ_BYTES; position < limit; wanted = SCRATCH_BYTES) {
      const whole = this.#readWindow(position, wanted);
      const passed = this.#passedInWindow(whole, test);
      position += passed;
      if (passed < whole || whole === 0) break;
    }
    return position;
  }

  /** Whole units from `position` on into the scratch buffer; returns their bytes. */
  #readWindow(position: number, bytesMax: number): number {
    const { scratch, window, unitBytes } = this.#context;
    const got = this.read(scratch, 0, Math.min(scratch.length, bytesMax - (bytesMax % unitBytes)), position);
    window.owner = this;
    window.start = position;
    window.bytes = got - (got % unitBytes);
    return window.bytes;
  }

  #passedInWindow(bytes: number, test: UnitTest): number {
    const { scratchView, unitBytes } = this.#context;
    for (let at = 0; at < bytes; at += unitBytes) if (!test(scratchView, at)) return at;
    return bytes;
  }

  /**
   * The end by a few reads. First the beginning of the file, then further and further out, then by halves: far behind
   * the end of a short queue is nothing but hole, and reading it all over would cost the page cache dearly.
   */
  #searchEnd(from: number, counts: UnitTest): number {
    const { unitBytes } = this.#context;
    let base = this.#lastBase;
    let whole = this.#readWindow(base, FIRST_READ_BYTES);
    let passed = this.#passedInWindow(whole, counts);
    while (passed === 0 && base > from) {
      base -= this.fileBytes;
      whole = this.#readWindow(base, FIRST_READ_BYTES);
      passed = this.#passedInWindow(whole, counts);
    }
    if (passed < whole) return base + passed;
    const units = this.fileBytes / unitBytes;
    let known = passed / unitBytes - 1;
    let beyond = Math.min(units, 2 * known + 2);
    while (beyond < units && this.#unitPasses(base + beyond * unitBytes, counts)) {
      known = beyond;
      beyond = Math.min(units, 2 * beyond);
    }
    while (beyond - known > 1) {
      const middle = (known + beyond) >>> 1;
      if (this.#unitPasses(base + middle * unitBytes, counts)) known = middle;
      else beyond = middle;
    }
    return base + beyond * unitBytes;
  }

  #unitPasses(position: number, test: UnitTest): boolean {
    const unit = this.unitAt(position);
    return unit !== undefined && test(unit, 0);
  }

  /** Looks a little way behind the end, within its file. */
  #somethingAt(end: number): boolean {
    if (end >= this.#lastBase + this.fileBytes) return false;
    const { scratch, window } = this.#context;
    if (window.owner !== this || end < window.start || end >= window.start + window.bytes) {
      this.#readWindow(end, FIRST_READ_BYTES);
    }
    for (let i = end - window.start; i < window.bytes; i++) if (scratch[i] !== 0) return true;
    return false;
  }

  /** Reads from one file, up to its end; nothing where there is no file. Returns the count. */
  read(target: Uint8Array, start: number, length: number, position: number): number {
    if (this.isEmpty || position < this.#firstBase || position >= this.#lastBase + this.fileBytes) return 0;
    const inFile = position % this.fileBytes;
    const wanted = Math.min(length, this.fileBytes - inFile);
    return this.#context.cache.get(this.pathOf(position - inFile)).readAt(target, start, wanted, inFile);
  }

  /** The int64 that the unit at `position` begins with, its log offset; -1 where no unit is. */
  int64At(position: number): number {
    const unit = this.unitAt(position);
    return unit === undefined ? -1 : readInt64(unit, 0);
  }

  /** The unit at `position`, valid until the next call. */
  unitAt(position: number): DataView | undefined {
    const { scratch, window, unit, unitView, unitBytes } = this.#context;
    const at = position - window.start;
    if (window.owner === this && at >= 0 && at + unitBytes <= window.bytes) {
      scratch.copy(unit, 0, at, at + unitBytes);
      return unitView;
    }
    return this.read(unit, 0, unitBytes, position) === unitBytes ? unitView : undefined;
  }

  /**
   * Room for the next unit, at the returned position of `pendingView`; the caller writes all of it at once. Writes out
   * what waits when the largest buffer is full; if that fails nothing has changed.
   */
  claim(): number {
    const { buffers, unitBytes } = this.#context;
    let buffer = this.#pending;
    if (buffer === undefined) {
      buffer = buffers.take();
    } else if (buffer.usedBytes + unitBytes > buffer.bytes.length) {
      const larger = buffers.grow(buffer);
      if (larger === undefined) this.flush();
      buffer = larger ?? buffers.take();
    }
    this.#pending = buffer;
    const at = buffer.usedBytes;
    buffer.usedBytes = at + unitBytes;
    return at;
  }

  /** Where `claim` made room. */
  get pendingView(): DataView {
    assert(this.#pending !== undefined, "a unit was claimed");
    return this.#pending.view;
  }

  /** Writes what waits. On failure (COMETMQ_DISK_FULL, COMETMQ_IO) it goes on waiting. */
  flush(): void {
    const buffer = this.#pending;
    if (buffer === undefined) return;
    this.#write(buffer.bytes, buffer.usedBytes, this.#endBytes);
    this.#endBytes += buffer.usedBytes;
    this.#pending = undefined;
    this.#context.buffers.give(buffer);
  }

  /** Copies of `unit` from the end to `toBytes`, written at once. An empty queue begins with the file of `toBytes`. */
  fill(unit: Uint8Array, toBytes: number): void {
    this.flush();
    const { scratch, window, unitBytes } = this.#context;
    const from = this.isEmpty ? toBytes - (toBytes % this.fileBytes) : this.#endBytes;
    assert(toBytes >= from && toBytes % unitBytes === 0, "units are filled forwards");
    this.#endBytes = from;
    window.owner = undefined;
    for (let at = 0; at < scratch.length; at += unitBytes) scratch.set(unit, at);
    for (let position = from; position < toBytes; ) {
      const length = Math.min(scratch.length, toBytes - position);
      this.#write(scratch, length, position);
      position += length;
      this.#endBytes = position;
    }
  }

  /** Writes a unit over the one at `position`, which lies in the files. */
  overwrite(unit: Uint8Array, position: number): void {
    assert(position >= this.#firstBase && position < this.#endBytes, "there is a unit to write over");
    this.#write(unit, unit.length, position);
  }

  /** Makes the files before the first one, as far as `position` needs them, full of copies of `unit`. */
  extendFront(unit: Uint8Array, position: number): void {
    while (position < this.#firstBase) {
      this.#firstBase -= this.fileBytes;
      this.#unsyncedFrom = this.#firstBase;
      // At once or not at all: half of it would be taken for a file of another size.
      this.#context.disk.writeAtomically(this.pathOf(this.#firstBase), Buffer.alloc(this.fileBytes, unit));
    }
  }

  #write(source: Uint8Array, length: number, position: number): void {
    this.#forgetWindow();
    let done = 0;
    while (done < length) {
      const at = position + done;
      const inFile = at % this.fileBytes;
      const count = Math.min(length - done, this.fileBytes - inFile);
      const base = at - inFile;
      const file = base > this.#lastBase ? this.#create(base) : this.#context.cache.get(this.pathOf(base));
      file.writeAt(source, done, count, inFile);
      done += count;
    }
    if (this.#unsyncedFrom < 0 || position < this.#unsyncedFrom) this.#unsyncedFrom = position;
  }

  #create(base: number): DiskFile {
    assert(this.isEmpty || base === this.#lastBase + this.fileBytes, "files follow one another");
    this.#context.disk.makeDirectory(this.directory);
    const file = this.#context.cache.create(this.pathOf(base), this.fileBytes);
    if (this.isEmpty) this.#firstBase = base;
    this.#lastBase = base;
    return file;
  }

  /** Makes what was flushed durable. A failure is final for the store: the same pages must not be synced again. */
  async sync(): Promise<void> {
    await this.#context.cache.syncAll(this.takeUnsynced());
  }

  syncNow(): void {
    for (const path of this.takeUnsynced()) this.#context.cache.syncNow(path);
  }

  /** The files that `sync` would make durable; the caller does that now. */
  takeUnsynced(): string[] {
    if (this.#unsyncedFrom < 0) return [];
    const from = Math.max(this.#firstBase, this.#unsyncedFrom - (this.#unsyncedFrom % this.fileBytes));
    this.#unsyncedFrom = -1;
    const paths: string[] = [];
    for (let base = from; base <= this.#lastBase; base += this.fileBytes) paths.push(this.pathOf(base));
    return paths;
  }

  /** Everything from `position` on goes: later files are deleted, the rest of its own file becomes a hole. */
  cutAt(position: number): void {
    assert(this.#pending === undefined, "flushed before a cut");
    this.#forgetWindow();
    while (this.#lastBase >= position && this.#lastBase > this.#firstBase) this.#removeLast();
    this.#endBytes = position;
    const inFile = position - this.#lastBase;
    if (this.isEmpty || inFile < 0 || inFile >= this.fileBytes) return;
    const file = this.#context.cache.get(this.pathOf(this.#lastBase));
    file.truncate(inFile);
    file.truncate(this.fileBytes);
    if (this.#unsyncedFrom < 0 || position < this.#unsyncedFrom) this.#unsyncedFrom = position;
  }

  #removeLast(): void {
    this.#remove(this.#lastBase);
    this.#lastBase = this.#lastBase > this.#firstBase ? this.#lastBase - this.fileBytes : -1;
  }

  /** Deletes the oldest file; never the last one. */
  removeFirst(): void {
    assert(this.#lastBase > this.#firstBase, "the last file stays");
    this.#remove(this.#firstBase);
    this.#firstBase += this.fileBytes;
  }

  /** Deletes every file; the next unit goes to `nextBytes`, a file's first byte. */
  removeAll(nextBytes: number): void {
    this.#dropPending();
    while (!this.isEmpty) this.#removeLast();
    this.#firstBase = nextBytes;
    this.#endBytes = nextBytes;
    this.#unsyncedFrom = -1;
  }

  /** Deletes the queue with its directory, unless something foreign lies there. */
  destroy(): void {
    this.removeAll(0);
    const { disk } = this.#context;
    const names = disk.list(this.directory);
    for (const name of names) if (QUEUE_FILE_NAME.test(name)) disk.remove(`${this.directory}/${name}`);
    if (names.every((name) => QUEUE_FILE_NAME.test(name))) disk.remove(this.directory);
  }

  #remove(base: number): void {
    this.#forgetWindow();
    const path = this.pathOf(base);
    this.#context.cache.forget(path);
    this.#context.disk.remove(path);
  }

  #forgetWindow(): void {
    if (this.#context.window.owner === this) this.#context.window.owner = undefined;
  }

  #dropPending(): void {
    if (this.#pending === undefined) return;
    this.#context.buffers.give(this.#pending);
    this.#pending = undefined;
  }
}
