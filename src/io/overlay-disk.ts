/**
 * A disk over another disk: reads fall through, every change stays in this thread's memory, and nothing below is ever
 * written, made or locked. So a store can be opened with its full recovery where it must not be touched, or cannot be.
 * What lies below must not change meanwhile. The changes go with the OverlayDisk object.
 */
import { resolve } from "node:path";
import { type Clock, systemClock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import type { Backend, DirectoryLock, Disk, DiskFile, Segment } from "./disk.js";
import { OverlayContent } from "./overlay-content.js";
import { OverlayFile, OverlaySegment } from "./overlay-files.js";

export class OverlayDisk implements Disk {
  readonly backend: Backend;
  readonly threadable = false;
  readonly #below: Disk;
  readonly #clock: Clock;
  /** Files that were changed, and those that are open; by path, here and below. */
  readonly #files = new Map<string, OverlayContent>();
  readonly #directories = new Set<string>();
  /** Names that the overlay has added to a directory, whether or not the one below has them. */
  readonly #names = new Map<string, Set<string>>();
  /** What lies below at these paths does not show through any more, not even when the path is used again. */
  readonly #gone = new Set<string>();
  readonly #locked = new Set<string>();

  constructor(below: Disk, clock: Clock = systemClock) {
    this.#below = below;
    this.#clock = clock;
    this.backend = below.backend;
  }

  /** Bytes of changes held in memory. */
  get heldBytes(): number {
    let bytes = 0;
    for (const content of this.#files.values()) bytes += content.heldBytes;
    return bytes;
  }

  bootId(): string | undefined {
    return this.#below.bootId?.();
  }

  list(directory: string): string[] {
    const key = resolve(directory);
    const names = new Set(this.#names.get(key));
    for (const name of this.#below.list(directory)) if (!this.#gone.has(join(key, name))) names.add(name);
    return [...names].sort();
  }

  isDirectory(path: string): boolean {
    const key = resolve(path);
    if (this.#directories.has(key) || (this.#names.get(key)?.size ?? 0) > 0) return true;
    return !this.#gone.has(key) && this.#below.isDirectory(path);
  }

  makeDirectory(directory: string): void {
    const key = resolve(directory);
    if (this.isDirectory(key)) return;
    if (this.sizeOf(key) >= 0) throw new CometError("COMETMQ_IO", `Could not create the directory ${directory}.`);
    this.#directories.add(key);
    this.#add(key);
  }

  sizeOf(path: string): number {
    const key = resolve(path);
    const content = this.#files.get(key);
    if (content !== undefined) return content.sizeBytes;
    return this.#gone.has(key) ? -1 : this.#below.sizeOf(path);
  }

  modifiedMs(path: string): number {
    const key = resolve(path);
    const content = this.#files.get(key);
    if (content !== undefined) return content.modifiedMs;
    return this.#gone.has(key) ? -1 : this.#below.modifiedMs(path);
  }

  readFile(path: string): Buffer | undefined {
    const key = resolve(path);
    if (!this.#files.has(key)) return this.#gone.has(key) ? undefined : this.#below.readFile(path);
    const file = this.openFile(path, false);
    try {
      const bytes = Buffer.alloc(file.sizeBytes());
      file.readAt(bytes, 0, bytes.length, 0);
      return bytes;
    } finally {
      file.close();
    }
  }

  writeAtomically(path: string, content: Uint8Array | string): void {
    const bytes = Buffer.from(content as string);
    this.#replace(path, 0);
    const file = this.openFile(path, false);
    file.writeAt(bytes, 0, bytes.length, 0);
    file.close();
  }

  async replace(path: string, content: Uint8Array | string, keepAs?: string): Promise<void> {
    if (keepAs !== undefined && this.sizeOf(path) >= 0) this.rename(path, keepAs);
    this.writeAtomically(path, content);
  }

  remove(path: string): void {
    const key = resolve(path);
    if (this.isDirectory(path)) {
      if (this.list(path).length > 0) throw new CometError("COMETMQ_IO", `The directory ${path} is not empty.`);
      this.#directories.delete(key);
    }
    this.#files.delete(key);
    this.#names.get(parentOf(key))?.delete(basenameOf(key));
    this.#gone.add(key);
  }

  discard(path: string): Promise<void> {
    this.remove(path);
    return Promise.resolve();
  }

  reclaim(): void {}

  rename(from: string, to: string): void {
    if (this.isDirectory(from)) {
      this.makeDirectory(to);
      for (const name of this.list(from)) this.rename(join(from, name), join(to, name));
      this.remove(from);
      return;
    }
    const content = this.#contentOf(from);
    if (content === undefined) throw missing(from);
    content.changed = true;
    this.remove(from);
    this.#files.set(resolve(to), content);
    this.#add(resolve(to));
  }

  openFile(path: string, create: boolean): DiskFile {
    if (this.isDirectory(path)) throw new CometError("COMETMQ_IO", `${path} is a directory.`);
    if (this.#contentOf(path) === undefined) {
      if (!create) throw missing(path);
      this.#replace(path, 0);
    }
    const content = this.#hold(path);
    return new OverlayFile(path, content, this.#below, () => this.#letGo(content));
  }

  createSegment(path: string, sizeBytes: number): void {
    this.#replace(path, sizeBytes);
  }

  openSegment(path: string, baseOffset: number, sizeBytes: number): Segment {
    const actual = this.sizeOf(path);
    if (actual !== sizeBytes) {
      throw new CometError("COMETMQ_STORE_LAYOUT", `${path} has ${actual} bytes, expected ${sizeBytes}.`);
    }
    const content = this.#hold(path);
    return new OverlaySegment(path, baseOffset, content, this.#below, () => this.#letGo(content));
  }

  lock(path: string): DirectoryLock {
    const key = resolve(path);
    if (this.#locked.has(key)) {
      throw new CometError("COMETMQ_STORE_LOCKED", `The store ${parentOf(key)} is in use by this process.`);
    }
    this.#locked.add(key);
    let held = true;
    return {
      release: () => {
        if (held) this.#locked.delete(key);
        held = false;
      },
    };
  }

  space(path: string): { totalBytes: number; freeBytes: number } {
    let key = resolve(path);
    while (key !== parentOf(key) && !this.#below.isDirectory(key)) key = parentOf(key);
    return this.#below.space(key);
  }

  /** Of the file at `path`, whether it was changed or not; undefined when there is none. */
  #contentOf(path: string): OverlayContent | undefined {
    const known = this.#files.get(resolve(path));
    if (known !== undefined) return known;
    const sizeBytes = this.#gone.has(resolve(path)) ? -1 : this.#below.sizeOf(path);
    if (sizeBytes < 0) return undefined;
    return new OverlayContent(path, sizeBytes, this.#below.modifiedMs(path), false);
  }

  /** All handles of a path share one content. */
  #hold(path: string): OverlayContent {
    const content = this.#contentOf(path)!;
    this.#files.set(resolve(path), content);
    content.openCount++;
    return content;
  }

  #letGo(content: OverlayContent): void {
    content.openCount--;
    if (content.openCount > 0 || content.changed) return;
    const key = resolve(content.belowPath!);
    if (this.#files.get(key) === content) this.#files.delete(key);
  }

  /** A new file of zeros in place of whatever was there. */
  #replace(path: string, sizeBytes: number): void {
    const key = resolve(path);
    this.#files.set(key, new OverlayContent(undefined, sizeBytes, this.#clock.nowMs(), true));
    this.#add(key);
  }

  /** Names the path in its directory, which is made where there is none. */
  #add(key: string): void {
    const parent = parentOf(key);
    if (parent === key) return;
    this.makeDirectory(parent);
    const names = this.#names.get(parent);
    if (names === undefined) this.#names.set(parent, new Set([basenameOf(key)]));
    else names.add(basenameOf(key));
  }
}

function missing(path: string): CometError {
  return new CometError("COMETMQ_IO", `There is no file ${path}.`);
}

function join(directory: string, name: string): string {
  return directory.endsWith("/") ? directory + name : `${directory}/${name}`;
}

function parentOf(key: string): string {
  return key.slice(0, Math.max(1, key.lastIndexOf("/")));
}

function basenameOf(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1);
}
