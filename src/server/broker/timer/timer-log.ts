/**
 * The timer log (store/timer/TimerLog.java): `timerlog/N`, files of one size, units in the order in which their messages
 * lie in the timer topic. Only the event loop writes it. Units are collected in memory and written by `flush`; what is
 * lost with the process is made again from the topic. Files whose messages the commit log has no more are removed.
 */
import { join } from "node:path";
import type { Logger } from "../../../base/log.js";
import type { Disk, DiskFile } from "../../../io/disk.js";
import { BLANK_BYTES, BLANK_MAGIC, TimerUnit, UNIT_BYTES } from "./timer-unit.js";

/** Read at once; a multiple of a unit, so that no unit lies in two. */
const BLOCK_BYTES = UNIT_BYTES * 1260;
const BLOCKS_MAX = 32;
const TAIL_BYTES_MIN = 64 * 1024;

interface Block {
  readonly bytes: Buffer;
  readonly view: DataView;
}

export class TimerLog {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #log: Logger;
  #fileBytes: number;
  /** Base offset of the first file; where the next unit goes. */
  #start = 0;
  #end = 0;
  /** What lies below is in the files. */
  #written = 0;
  #tail = Buffer.alloc(0);
  #tailView = new DataView(this.#tail.buffer);
  readonly #blocks = new Map<number, Block>();
  readonly #files = new Map<number, DiskFile>();
  readonly #scratch = new TimerUnit();

  constructor(disk: Disk, directory: string, fileBytes: number, log: Logger) {
    this.#disk = disk;
    this.#directory = directory;
    this.#fileBytes = fileBytes;
    this.#log = log;
  }

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  get written(): number {
    return this.#written;
  }

  get fileBytes(): number {
    return this.#fileBytes;
  }

  /**
   * Finds the files; answers the end of the last one, for `scan` to find the last unit. Files of other sizes, or behind
   * a gap, are none of ours to read: undefined then, and nothing can be appended before `clear`.
   */
  open(): number | undefined {
    const names = this.#disk.list(this.#directory).filter((name) => /^\d{20}$/.test(name));
    const sizes = names.map((name) => this.#disk.sizeOf(join(this.#directory, name)));
    if (names.length === 0) return 0;
    const fileBytes = sizes[0]!;
    const isWhole = names.every(
      (name, i) => sizes[i] === fileBytes && Number(name) === Number(names[0]) + i * fileBytes,
    );
    if (!isWhole || fileBytes < UNIT_BYTES + BLANK_BYTES || Number(names[0]) % fileBytes !== 0) return undefined;
    this.#fileBytes = fileBytes;
    this.#start = Number(names[0]);
    this.#end = this.#start + names.length * fileBytes;
    this.#written = this.#end;
    return this.#end;
  }

  /** Where the file that `position` lies in begins. */
  fileOf(position: number): number {
    return position - (position % this.#fileBytes);
  }

  // Reading

  /** Fills `unit` with what lies at `position`; false where that is no unit. */
  read(position: number, unit: TimerUnit): boolean {
    if (position < this.#start || position + UNIT_BYTES > this.#end) return false;
    if ((position % this.#fileBytes) % UNIT_BYTES !== 0) return false;
    if (position >= this.#written) return unit.read(this.#tailView, position - this.#written);
    if ((position % this.#fileBytes) + UNIT_BYTES > this.#fileBytes) return false;
    const inFile = position % this.#fileBytes;
    const block = this.#block(position - (inFile % BLOCK_BYTES));
    const at = inFile % BLOCK_BYTES;
    return at + UNIT_BYTES <= block.bytes.length && unit.read(block.view, at);
  }

  #block(blockStart: number): Block {
    const known = this.#blocks.get(blockStart);
    if (known !== undefined) return known;
    const base = this.fileOf(blockStart);
    const length = Math.min(BLOCK_BYTES, base + this.#fileBytes - blockStart, this.#written - blockStart);
    const bytes = Buffer.allocUnsafeSlow(length);
    const count = this.#file(base).readAt(bytes, 0, length, blockStart - base);
    bytes.fill(0, count);
    const block = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, length) };
    if (this.#blocks.size >= BLOCKS_MAX) this.#blocks.delete(this.#blocks.keys().next().value!);
    this.#blocks.set(blockStart, block);
    return block;
  }

  /** Visits units from the start of a file on, until `visit` says false or there is no unit. Answers where it ended. */
  scan(from: number, visit: (position: number, unit: TimerUnit) => boolean): number {
    const unit = this.#scratch;
    let position = Math.max(from, this.#start);
    while (position < this.#end) {
      const restBytes = this.fileOf(position) + this.#fileBytes - position;
      if (restBytes < UNIT_BYTES + BLANK_BYTES) {
        const next = position + restBytes;
        if (next >= this.#end) return position;
        position = next;
        continue;
      }
      if (!this.read(position, unit) || !visit(position, unit)) return position;
      position += UNIT_BYTES;
    }
    return position;
  }

  // Writing

  /** Where the next unit will lie. */
  append(unit: TimerUnit): number {
    const restBytes = this.#fileBytes - (this.#end % this.#fileBytes);
    if (restBytes < UNIT_BYTES + BLANK_BYTES) this.#closeFile(restBytes);
    const position = this.#end;
    this.#reserve(UNIT_BYTES);
    unit.write(this.#tailView, position - this.#written);
    this.#end = position + UNIT_BYTES;
    return position;
  }

  #closeFile(restBytes: number): void {
    const at = this.#end - this.#written;
    this.#reserve(restBytes);
    this.#tail.fill(0, at, at + restBytes);
    if (restBytes >= BLANK_BYTES) {
      this.#tailView.setInt32(at, restBytes);
      this.#tailView.setInt32(at + 12, BLANK_MAGIC);
    }
    this.#end += restBytes;
  }

  #reserve(bytes: number): void {
    const length = this.#end - this.#written;
    if (length + bytes <= this.#tail.length) return;
    const grown = Buffer.alloc(Math.max(TAIL_BYTES_MIN, this.#tail.length * 2, length + bytes));
    this.#tail.copy(grown, 0, 0, length);
    this.#tail = grown;
    this.#tailView = new DataView(grown.buffer, grown.byteOffset, grown.length);
  }

  /** Writes what was appended; throws as the disk does, and then keeps what is not written. Answers the files to sync. */
  flush(): readonly DiskFile[] {
    const touched: DiskFile[] = [];
    while (this.#written < this.#end) {
      const base = this.fileOf(this.#written);
      const length = Math.min(base + this.#fileBytes, this.#end) - this.#written;
      const file = this.#file(base);
      file.writeAt(this.#tail, 0, length, this.#written - base);
      this.#tail.copyWithin(0, length, this.#end - this.#written);
      this.#blocks.delete(this.#written - ((this.#written - base) % BLOCK_BYTES));
      this.#written += length;
      touched.push(file);
    }
    if (this.#tail.length > 16 * TAIL_BYTES_MIN) {
      this.#tail = Buffer.alloc(0);
      this.#tailView = new DataView(this.#tail.buffer);
    }
    return touched;
  }

  #file(base: number): DiskFile {
    let file = this.#files.get(base);
    if (file !== undefined) return file;
    const path = this.#pathOf(base);
    if (this.#disk.sizeOf(path) < 0) this.#disk.makeDirectory(this.#directory);
    file = this.#disk.openFile(path, true);
    // Apache takes no file of another size.
    if (file.sizeBytes() < this.#fileBytes) file.truncate(this.#fileBytes);
    this.#files.set(base, file);
    return file;
  }

  #pathOf(base: number): string {
    return join(this.#directory, String(base).padStart(20, "0"));
  }

  /**
   * Lets the log end at `position`. What was a unit behind it is wiped out: nobody is to find it there when the log has
   * grown again.
   */
  cut(position: number): void {
    const { start, end } = this;
    this.#blocks.clear();
    const base = this.fileOf(position);
    for (let file = base + this.#fileBytes; file < end; file += this.#fileBytes) this.#removeFile(file);
    const zeroEnd = Math.min(end, base + this.#fileBytes);
    if (position < zeroEnd && base >= start) this.#wipe(base, position, zeroEnd);
    this.#end = position;
    this.#written = position;
  }

  #wipe(base: number, from: number, to: number): void {
    const file = this.#file(base);
    const zeros = Buffer.alloc(Math.min(1024 * 1024, to - from));
    const found = Buffer.alloc(zeros.length);
    for (let at = from; at < to; at += zeros.length) {
      const length = Math.min(zeros.length, to - at);
      file.readAt(found, 0, length, at - base);
      if (found.compare(zeros, 0, length, 0, length) !== 0) file.writeAt(zeros, 0, length, at - base);
      found.fill(0);
    }
  }

  /** Begins anew in an empty directory; what lay there is put aside, for somebody to look at. */
  clear(fileBytes: number, nowMs: number): void {
    this.#closeFiles();
    this.#blocks.clear();
    const aside = `${this.#directory}.damaged-${nowMs}`;
    this.#disk.makeDirectory(aside);
    for (const name of this.#disk.list(this.#directory)) {
      this.#disk.rename(join(this.#directory, name), join(aside, name));
    }
    this.#fileBytes = fileBytes;
    this.#start = 0;
    this.#end = 0;
    this.#written = 0;
  }

  /** Removes files from the front all of whose messages lie below `minPhyOffset`. */
  removeBelow(minPhyOffset: number): void {
    const last = this.#scratch;
    for (;;) {
      const next = this.#start + this.#fileBytes;
      if (next > this.fileOf(this.#written)) return;
      const usableBytes = this.#fileBytes - BLANK_BYTES;
      const lastAt = this.#start + (usableBytes - (usableBytes % UNIT_BYTES)) - UNIT_BYTES;
      if (!this.read(lastAt, last) || last.phyOffset >= minPhyOffset) return;
      for (const blockStart of [...this.#blocks.keys()]) if (blockStart < next) this.#blocks.delete(blockStart);
      this.#removeFile(this.#start);
      this.#start = next;
    }
  }

  #removeFile(base: number): void {
    this.#files.get(base)?.close();
    this.#files.delete(base);
    try {
      this.#disk.remove(this.#pathOf(base));
    } catch (error) {
      this.#log.warn({ err: error, path: this.#pathOf(base) }, "a file of the timer log could not be removed");
    }
  }

  #closeFiles(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }

  close(): void {
    this.#closeFiles();
  }
}
