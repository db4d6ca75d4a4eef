/** A file reached by pread and pwrite. */
import * as fs from "node:fs";
import { failpoint } from "../base/failpoint.js";
import type { DiskFile } from "./disk.js";
import { syncFile, syncFileNow } from "./sync-file.js";
import { ioError } from "./system-error.js";

export class FileHandle implements DiskFile {
  readonly path: string;
  #fd: number;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  readAt(target: Uint8Array, start: number, length: number, position: number): number {
    let done = 0;
    try {
      while (done < length) {
        const count = fs.readSync(this.#fd, target, start + done, length - done, position + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw ioError("read", this.path, error);
    }
    return done;
  }

  writeAt(source: Uint8Array, start: number, length: number, position: number): void {
    let done = 0;
    try {
      failpoint("disk-write");
      while (done < length) {
        done += fs.writeSync(this.#fd, source, start + done, length - done, position + done);
      }
    } catch (error) {
      throw ioError("write", this.path, error);
    }
  }

  sizeBytes(): number {
    return fs.fstatSync(this.#fd).size;
  }

  truncate(sizeBytes: number): void {
    try {
      fs.ftruncateSync(this.#fd, sizeBytes);
    } catch (error) {
      throw ioError("resize", this.path, error);
    }
  }

  sync(): Promise<void> {
    return syncFile(this.#fd, this.path);
  }

  syncNow(): void {
    syncFileNow(this.#fd, this.path);
  }

  close(): void {
    if (this.#fd < 0) return;
    fs.closeSync(this.#fd);
    this.#fd = -1;
  }
}
