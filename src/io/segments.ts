/**
 * Segments on files: mapped by mmap-io or koffi, or reached by pread and pwrite through a heap window. All three show
 * the same bytes to other threads and processes; only the speed differs.
 */
import * as fs from "node:fs";
import { assert } from "../base/assert.js";
import { failpoint } from "../base/failpoint.js";
import type { Segment, SegmentWindow } from "./disk.js";
import { type Native, native } from "./native.js";
import { syncFile, syncFileNow } from "./sync-file.js";
import { ioError } from "./system-error.js";

/** Smallest heap window of a segment that is not mapped. */
const WINDOW_BYTES = 4 * 1024 * 1024;
const PAGE_BYTES = 4096;
/** What is unmapped before a sync, in whole units: a multiple of every page size, and what a page fault maps at once. */
const UNMAPPED_UNIT_BYTES = 64 * 1024;
/** Less is not worth another call on a pool thread: callers wait for the sync behind it. */
const UNMAPPED_BYTES_MIN = 4 * UNMAPPED_UNIT_BYTES;
/** At a time: where the kernel locks all maps for it, whoever makes or drops one waits meanwhile, V8's heap too. */
const UNMAPPED_STEP_BYTES = 16 * 1024 * 1024;
/** At a time: no more than most devices take, and what the kernel zeroes without letting another thread have the processor. */
const WARMED_STEP_BYTES = 512 * 1024;

abstract class FileSegment {
  readonly path: string;
  readonly baseOffset: number;
  readonly sizeBytes: number;
  protected fd: number;
  #syncCount = 0;
  #isClosed = false;

  constructor(path: string, baseOffset: number, sizeBytes: number, fd: number) {
    this.path = path;
    this.baseOffset = baseOffset;
    this.sizeBytes = sizeBytes;
    this.fd = fd;
  }

  async sync(writtenFrom = 0, writtenTo = 0): Promise<void> {
    this.#syncCount++;
    try {
      const prepared = this.prepareSync(writtenFrom, writtenTo);
      if (prepared !== undefined) await prepared;
      await syncFile(this.fd, this.path);
    } finally {
      this.#syncCount--;
      this.#closeBehindSync();
    }
  }

  protected prepareSync(_writtenFrom: number, _writtenTo: number): Promise<void> | undefined {
    return undefined;
  }

  syncNow(): void {
    syncFileNow(this.fd, this.path);
  }

  /** The handle goes behind the last sync under way, whose thread would sync whatever file has been given the number. */
  close(): void {
    this.#isClosed = true;
    this.#closeHandle();
  }

  #closeHandle(): void {
    if (this.fd < 0 || this.#syncCount > 0) return;
    const { fd } = this;
    this.fd = -1;
    fs.closeSync(fd);
  }

  #closeBehindSync(): void {
    if (!this.#isClosed) return;
    try {
      this.#closeHandle();
    } catch {
      // What the sync has to say stands.
    }
  }
}

/** The whole file is one Buffer over a shared map; the map lives as long as the last Buffer over it. */
export class MappedSegment extends FileSegment implements Segment, SegmentWindow {
  readonly mapped = true;
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly start = 0;
  readonly #native: Native | undefined = native();
  #warmedTo = 0;
  #isWarming = false;

  constructor(path: string, baseOffset: number, fd: number, bytes: Buffer) {
    super(path, baseOffset, bytes.length, fd);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  window(): SegmentWindow {
    return this;
  }

  publish(): void {}

  read(position: number, length: number): Buffer {
    assert(position >= 0 && length >= 0 && position + length <= this.sizeBytes, "read within the segment");
    return this.bytes.subarray(position, position + length);
  }

  /**
   * Read-ahead is off where records will come: nothing there is worth reading, and a fault that reads ahead has the kernel
   * zero megabytes before the appender goes on.
   */
  warm(from: number, to: number): void {
    const calls = this.#native;
    const first = from - (from % PAGE_BYTES);
    const last = Math.min(this.sizeBytes, to);
    if (calls === undefined || last <= first) return;
    if (this.#warmedTo === 0) calls.readAround(this.bytes, first, false);
    if (last === this.sizeBytes) calls.readAround(this.bytes, 0, true);
    this.#warmedTo = last;
    if (!this.#isWarming) void this.#warmFrom(calls, first);
  }

  async #warmFrom(calls: Native, first: number): Promise<void> {
    this.#isWarming = true;
    for (let from = first; from < this.#warmedTo && this.fd >= 0; from += WARMED_STEP_BYTES) {
      await calls.willNeed(this.fd, from, Math.min(this.#warmedTo, from + WARMED_STEP_BYTES));
    }
    this.#isWarming = false;
  }

  /**
   * A sync write-protects each dirty page that is mapped for writing, and tells every processor of each. Pages that are
   * unmapped before tell so in one go, and whoever reads one maps its neighbours with it. What is written next stays mapped.
   */
  protected override prepareSync(writtenFrom: number, writtenTo: number): Promise<void> | undefined {
    const first = writtenFrom - (writtenFrom % UNMAPPED_UNIT_BYTES);
    const end = Math.min(this.sizeBytes, writtenTo);
    const last = end - (end % UNMAPPED_UNIT_BYTES);
    const calls = this.#native;
    return calls !== undefined && last - first >= UNMAPPED_BYTES_MIN ? this.#unmap(calls, first, last) : undefined;
  }

  async #unmap(calls: Native, first: number, last: number): Promise<void> {
    for (let from = first; from < last; from += UNMAPPED_STEP_BYTES) {
      await calls.unmapPages(this.bytes, from, Math.min(last, from + UNMAPPED_STEP_BYTES));
    }
  }
}

/** No map to be had: writes collect in a heap window and go out with `publish`. */
export class PlainSegment extends FileSegment implements Segment, SegmentWindow {
  readonly mapped = false;
  bytes: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  start = 0;

  window(position: number, length: number): SegmentWindow {
    if (position < this.start || position + length > this.start + this.bytes.length) {
      const size = Math.min(Math.max(WINDOW_BYTES, length), Math.max(length, this.sizeBytes - position));
      if (this.bytes.length < size) {
        this.bytes = Buffer.alloc(size);
        this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
      }
      this.start = position;
    }
    return this;
  }

  publish(from: number, to: number): void {
    let position = from;
    try {
      failpoint("disk-write");
      while (position < to) {
        position += fs.writeSync(this.fd, this.bytes, position - this.start, to - position, position);
      }
    } catch (error) {
      throw ioError("write", this.path, error);
    }
  }

  read(position: number, length: number): Buffer {
    assert(position >= 0 && length >= 0 && position + length <= this.sizeBytes, "read within the segment");
    const target = Buffer.allocUnsafeSlow(length);
    let done = 0;
    try {
      while (done < length) {
        const count = fs.readSync(this.fd, target, done, length - done, position + done);
        if (count === 0) return target.fill(0, done);
        done += count;
      }
    } catch (error) {
      throw ioError("read", this.path, error);
    }
    return target;
  }

  warm(): void {}
}
