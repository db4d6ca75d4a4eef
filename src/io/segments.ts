/**
 * Segments on files, read through a map by mmap-io or koffi, or by pread where there is none. All three show the same bytes
 * to other threads and processes; only the speed differs. All are written by pwrite: the kernel takes many records at a time
 * much more cheaply than the pages of a map one by one.
 */
import * as fs from "node:fs";
import { assert } from "../base/assert.js";
import { failpoint } from "../base/failpoint.js";
import type { Segment, SegmentBytes } from "./disk.js";
import { syncFile, syncFileNow } from "./sync-file.js";
import { ioError } from "./system-error.js";

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

  write(source: Uint8Array, start: number, length: number, position: number): void {
    assert(position >= 0 && length >= 0 && position + length <= this.sizeBytes, "written within the segment");
    let done = 0;
    try {
      failpoint("disk-write");
      while (done < length) done += fs.writeSync(this.fd, source, start + done, length - done, position + done);
    } catch (error) {
      throw ioError("write", this.path, error);
    }
  }

  async sync(): Promise<void> {
    this.#syncCount++;
    try {
      await syncFile(this.fd, this.path);
    } finally {
      this.#syncCount--;
      this.#closeBehindSync();
    }
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
export class MappedSegment extends FileSegment implements Segment, SegmentBytes {
  readonly whole: SegmentBytes = this;
  readonly bytes: Buffer;
  readonly view: DataView;

  constructor(path: string, baseOffset: number, fd: number, bytes: Buffer) {
    super(path, baseOffset, bytes.length, fd);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  read(position: number, length: number): Buffer {
    assert(position >= 0 && length >= 0 && position + length <= this.sizeBytes, "read within the segment");
    return this.bytes.subarray(position, position + length);
  }
}

/** No map to be had: every read is a copy. */
export class PlainSegment extends FileSegment implements Segment {
  readonly whole = undefined;

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
}
