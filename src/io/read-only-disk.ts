/**
 * Files that may be looked at and nothing else: what examines a store goes through this disk, so that it cannot change
 * one by mistake, and works on media and with rights that allow no writing. Whatever would change something throws.
 */
import * as fs from "node:fs";
import { assert } from "../base/assert.js";
import { systemCode } from "../base/errors.js";
import type { Backend, DirectoryLock, Disk, DiskFile, DiskSpace, Segment } from "./disk.js";
import { FileDisk } from "./file-disk.js";
import { FileHandle } from "./file-handle.js";
import { lockDirectoryFile } from "./lock-file.js";
import { ioError } from "./system-error.js";

export class ReadOnlyDisk implements Disk {
  readonly backend: Backend = "file";
  readonly threadable = false;
  /** Plain files: a bad sector is an error there, and a signal in a map. */
  readonly #files = new FileDisk("file");

  bootId(): string | undefined {
    return this.#files.bootId();
  }

  list(directory: string): string[] {
    return this.#files.list(directory);
  }

  isDirectory(path: string): boolean {
    return this.#files.isDirectory(path);
  }

  sizeOf(path: string): number {
    return this.#files.sizeOf(path);
  }

  modifiedMs(path: string): number {
    return this.#files.modifiedMs(path);
  }

  readFile(path: string): Buffer | undefined {
    return this.#files.readFile(path);
  }

  openFile(path: string, create: boolean): DiskFile {
    if (create) refuse();
    try {
      return new FileHandle(path, fs.openSync(path, "r"));
    } catch (error) {
      throw ioError("open", path, error);
    }
  }

  openSegment(path: string, baseOffset: number, sizeBytes: number, writable: boolean): Segment {
    if (writable) refuse();
    return this.#files.openSegment(path, baseOffset, sizeBytes, false);
  }

  space(path: string): DiskSpace {
    return this.#files.space(path);
  }

  /**
   * Keeps others out where that takes no writing: a lock file that is not there is not made, and one that this process
   * may not open keeps nobody from looking.
   */
  lock(path: string): DirectoryLock {
    if (this.sizeOf(path) <= 0) return { release: () => {} };
    try {
      return lockDirectoryFile(path);
    } catch (error) {
      const code = systemCode((error as Error).cause);
      if (code !== "EACCES" && code !== "EROFS" && code !== "EPERM") throw error;
      return { release: () => {} };
    }
  }

  makeDirectory(): void {
    refuse();
  }

  writeAtomically(): void {
    refuse();
  }

  async replace(): Promise<void> {
    refuse();
  }

  remove(): void {
    refuse();
  }

  rename(): void {
    refuse();
  }

  async discard(): Promise<void> {
    refuse();
  }

  reclaim(): void {}

  createSegment(): void {
    refuse();
  }
}

function refuse(): void {
  assert(false, "nothing is written through a read-only disk");
}
