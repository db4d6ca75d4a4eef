/**
 * A disk in this thread's heap: for tests and throw-away brokers. Nothing is shared with other threads, so a store on
 * it dispatches inline. Files survive close and reopen as long as the MemoryDisk object lives.
 */
import { dirname } from "node:path";
import { assert } from "../base/assert.js";
import { type Clock, systemClock } from "../base/clock.js";
import { copyBytes } from "../base/copy-bytes.js";
import { CometError } from "../base/errors.js";
import type { Backend, DirectoryLock, Disk, DiskFile, DiskSpace, Segment, SegmentBytes } from "./disk.js";

interface MemoryFile {
  bytes: Buffer;
  sizeBytes: number;
  modifiedMs: number;
}

const TOTAL_BYTES = 2 ** 40;

function missing(path: string): CometError {
  return new CometError("COMETMQ_IO", `There is no file ${path}.`);
}

/** A disk in memory, gone with its process: for tests. Space ends where memory does. */
export class MemoryDisk implements Disk {
  readonly backend: Backend = "memory";
  readonly threadable = false;
  readonly #files = new Map<string, MemoryFile>();
  readonly #directories = new Set<string>();
  readonly #locked = new Set<string>();
  readonly #clock: Clock;
  #modifiedMs = 0;

  /** `clock` says when files are modified. */
  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** It ends with its process: nothing that was written is ever missing. */
  bootId(): string {
    return "memory";
  }

  list(directory: string): string[] {
    const prefix = directory.endsWith("/") ? directory : `${directory}/`;
    const names = new Set<string>();
    for (const known of [this.#files.keys(), this.#directories]) {
      for (const path of known) {
        if (!path.startsWith(prefix) || path.length === prefix.length) continue;
        const end = path.indexOf("/", prefix.length);
        names.add(path.slice(prefix.length, end < 0 ? undefined : end));
      }
    }
    return [...names].sort();
  }

  isDirectory(path: string): boolean {
    return this.#directories.has(path) || this.list(path).length > 0;
  }

  makeDirectory(directory: string): void {
    if (this.#files.has(directory)) throw new CometError("COMETMQ_IO", `Could not create the directory ${directory}.`);
    for (let path = directory; path.length > 1; path = dirname(path)) this.#directories.add(path);
  }

  sizeOf(path: string): number {
    return this.#files.get(path)?.sizeBytes ?? -1;
  }

  modifiedMs(path: string): number {
    return this.#files.get(path)?.modifiedMs ?? -1;
  }

  readFile(path: string): Buffer | undefined {
    const file = this.#files.get(path);
    if (file === undefined) return undefined;
    const whole = Buffer.alloc(file.sizeBytes);
    file.bytes.copy(whole, 0, 0, file.sizeBytes);
    return whole;
  }

  writeAtomically(path: string, content: Uint8Array | string): void {
    const bytes = Buffer.from(content as string);
    this.#files.set(path, { bytes, sizeBytes: bytes.length, modifiedMs: this.#now() });
  }

  async replace(path: string, content: Uint8Array | string, keepAs?: string): Promise<void> {
    if (keepAs !== undefined && this.#files.has(path)) this.rename(path, keepAs);
    this.writeAtomically(path, content);
  }

  /** A time for each change, no two alike. */
  #now(): number {
    this.#modifiedMs = Math.max(this.#modifiedMs + 1, this.#clock.nowMs());
    return this.#modifiedMs;
  }

  remove(path: string): void {
    if (this.list(path).length > 0) throw new CometError("COMETMQ_IO", `Could not remove ${path}: it is not empty.`);
    this.#files.delete(path);
    this.#directories.delete(path);
  }

  discard(path: string): Promise<void> {
    this.remove(path);
    return Promise.resolve();
  }

  reclaim(): void {}

  rename(from: string, to: string): void {
    const file = this.#files.get(from);
    if (file === undefined && !this.isDirectory(from)) throw missing(from);
    for (const name of this.list(from)) this.rename(`${from}/${name}`, `${to}/${name}`);
    if (this.#directories.delete(from)) this.makeDirectory(to);
    if (file === undefined) return;
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  openFile(path: string, create: boolean): DiskFile {
    let file = this.#files.get(path);
    if (file === undefined) {
      if (!create) throw missing(path);
      file = { bytes: Buffer.alloc(0), sizeBytes: 0, modifiedMs: this.#now() };
      this.#files.set(path, file);
    }
    return new MemoryFileHandle(path, file, () => this.#now());
  }

  createSegment(path: string, sizeBytes: number): void {
    this.#files.set(path, { bytes: Buffer.alloc(sizeBytes), sizeBytes, modifiedMs: this.#now() });
  }

  openSegment(path: string, baseOffset: number, sizeBytes: number): Segment {
    const file = this.#files.get(path);
    if (file === undefined) throw missing(path);
    if (file.sizeBytes !== sizeBytes) {
      throw new CometError("COMETMQ_STORE_LAYOUT", `${path} has ${file.sizeBytes} bytes, expected ${sizeBytes}.`);
    }
    reachable(file, sizeBytes);
    return new MemorySegment(path, baseOffset, file, () => this.#now());
  }

  lock(path: string): DirectoryLock {
    if (this.#locked.has(path)) {
      throw new CometError("COMETMQ_STORE_LOCKED", `The store ${dirname(path)} is in use by this process.`);
    }
    this.#locked.add(path);
    let held = true;
    return {
      release: () => {
        if (held) this.#locked.delete(path);
        held = false;
      },
    };
  }

  space(): DiskSpace {
    let usedBytes = 0;
    for (const { bytes } of this.#files.values()) usedBytes += bytes.length;
    return { totalBytes: TOTAL_BYTES, freeBytes: TOTAL_BYTES - usedBytes };
  }
}

/** Sparse growth: room is made when bytes are written, not when the length is set. */
function reachable(file: MemoryFile, sizeBytes: number): void {
  if (file.bytes.length >= sizeBytes) return;
  const grown = Buffer.alloc(Math.max(sizeBytes, Math.min(file.sizeBytes, file.bytes.length * 2)));
  file.bytes.copy(grown);
  file.bytes = grown;
}

class MemoryFileHandle implements DiskFile {
  readonly path: string;
  readonly #file: MemoryFile;
  readonly #now: () => number;

  constructor(path: string, file: MemoryFile, now: () => number) {
    this.path = path;
    this.#file = file;
    this.#now = now;
  }

  readAt(target: Uint8Array, start: number, length: number, position: number): number {
    const count = Math.max(0, Math.min(length, this.#file.sizeBytes - position));
    const held = this.#file.bytes.subarray(position, Math.min(position + count, this.#file.bytes.length));
    target.fill(0, start, start + count);
    target.set(held, start);
    return count;
  }

  writeAt(source: Uint8Array, start: number, length: number, position: number): void {
    reachable(this.#file, position + length);
    this.#file.bytes.set(source.subarray(start, start + length), position);
    this.#file.sizeBytes = Math.max(this.#file.sizeBytes, position + length);
    this.#file.modifiedMs = this.#now();
  }

  sizeBytes(): number {
    return this.#file.sizeBytes;
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes < this.#file.bytes.length) this.#file.bytes.fill(0, sizeBytes);
    this.#file.sizeBytes = sizeBytes;
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  syncNow(): void {}

  close(): void {}
}

class MemorySegment implements Segment, SegmentBytes {
  readonly path: string;
  readonly baseOffset: number;
  readonly sizeBytes: number;
  readonly whole: SegmentBytes = this;
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly #file: MemoryFile;
  readonly #now: () => number;

  constructor(path: string, baseOffset: number, file: MemoryFile, now: () => number) {
    const bytes = file.bytes.subarray(0, file.sizeBytes);
    this.path = path;
    this.baseOffset = baseOffset;
    this.sizeBytes = bytes.length;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#file = file;
    this.#now = now;
  }

  write(source: Uint8Array, start: number, length: number, position: number): void {
    assert(position >= 0 && length >= 0 && position + length <= this.sizeBytes, "written within the segment");
    copyBytes(this.bytes, position, source, start, start + length);
    this.#file.modifiedMs = this.#now();
  }

  read(position: number, length: number): Buffer {
    assert(position >= 0 && length >= 0 && position + length <= this.sizeBytes, "read within the segment");
    return this.bytes.subarray(position, position + length);
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  syncNow(): void {}

  close(): void {}
}
