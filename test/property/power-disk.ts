/**
 * A disk in memory that can lose its power. The model is that of a journalling file system (ext4, xfs):
 *
 *   data      what was written reaches the disk page by page in any order, or not at all, until the file is synced
 *   metadata  names and sizes reach it in order: after a crash some prefix of what was done since the last sync of
 *             anything is there, and every sync brings all of it
 *
 * `crash` answers the files as the next start would find them.
 */
import type { DirectoryLock, Disk, DiskFile, Segment, SegmentBytes } from "#src/io/disk.js";
import type { Random } from "../crash/programs/random.mjs";
import type { DiskImage } from "./store-fixture.js";

const PAGE_BYTES = 512;
let boots = 0;

class Inode {
  /** Room for what comes; `size` says how much of it counts. */
  bytes: Buffer;
  size: number;
  durable: Buffer;
  /** Where it was cut since names and sizes were durable: what was behind may come back until they are. */
  cut = Number.MAX_SAFE_INTEGER;

  constructor(bytes: Buffer, durable: Buffer) {
    this.bytes = bytes;
    this.size = bytes.length;
    this.durable = durable;
  }

  get content(): Buffer {
    return this.bytes.subarray(0, this.size);
  }
}

interface Entry {
  readonly inode: Inode;
  readonly size: number;
  readonly cut: number;
}

type Change = (names: Map<string, Entry>) => void;

export class PowerDisk implements Disk {
  readonly backend = "memory";
  readonly threadable = false;
  readonly #bootId: string;
  readonly #names = new Map<string, Inode>();
  readonly #directories = new Set<string>();
  #committed = new Map<string, Entry>();
  #changes: Change[] = [];

  /** A machine that starts anew, unless `bootId` says that it has not stopped. */
  constructor(image: DiskImage = new Map(), bootId = `boot ${boots++}`) {
    this.#bootId = bootId;
    for (const [path, bytes] of image) this.#names.set(path, new Inode(Buffer.from(bytes), Buffer.from(bytes)));
    this.commit();
  }

  bootId(): string {
    return this.#bootId;
  }

  /** All names and sizes are durable. */
  commit(): void {
    this.#committed = new Map();
    for (const [path, inode] of this.#names) {
      if (inode.cut < inode.durable.length) inode.durable = inode.durable.subarray(0, inode.cut);
      inode.cut = Number.MAX_SAFE_INTEGER;
      this.#committed.set(path, { inode, size: inode.size, cut: inode.cut });
    }
    this.#changes = [];
  }

  change(change: Change): void {
    this.#changes.push(change);
  }

  /** The files as a process finds them that was killed. */
  kill(): DiskImage {
    return new Map([...this.#names].map(([path, { content }]) => [path, Buffer.from(content)]));
  }

  crash(random: Random): DiskImage {
    const names = new Map(this.#committed);
    for (const change of this.#changes.slice(0, random.integer(0, this.#changes.length + 1))) change(names);
    const reached = [0, 0.1, 0.5, 0.9, 1][random.integer(0, 5)]!;
    const image = new Map<string, Buffer>();
    for (const [path, { inode, size, cut }] of names) {
      const bytes = Buffer.alloc(size);
      const durable = inode.durable.subarray(0, cut);
      for (let at = 0; at < size; at += PAGE_BYTES) {
        const from = random.chance(reached) ? inode.bytes : durable;
        if (at < from.length) from.copy(bytes, at, at, Math.min(at + PAGE_BYTES, size));
      }
      image.set(path, bytes);
    }
    return image;
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw new Error(`there is no file ${path}`);
    return inode;
  }

  #add(path: string, inode: Inode): void {
    this.#names.set(path, inode);
    const { size, cut } = inode;
    this.change((names) => names.set(path, { inode, size, cut }));
  }

  list(directory: string): string[] {
    const prefix = `${directory}/`;
    const names = new Set<string>();
    for (const path of [...this.#names.keys(), ...this.#directories]) {
      if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split("/")[0]!);
    }
    return [...names].sort();
  }

  isDirectory(path: string): boolean {
    return this.#directories.has(path) || this.list(path).length > 0;
  }

  makeDirectory(directory: string): void {
    this.#directories.add(directory);
  }

  sizeOf(path: string): number {
    return this.#names.get(path)?.size ?? -1;
  }

  modifiedMs(path: string): number {
    return this.#names.has(path) ? 0 : -1;
  }

  readFile(path: string): Buffer | undefined {
    const inode = this.#names.get(path);
    return inode === undefined ? undefined : Buffer.from(inode.content);
  }

  writeAtomically(path: string, content: Uint8Array | string): void {
    const bytes = Buffer.from(content as string);
    this.#add(path, new Inode(bytes, Buffer.from(bytes)));
    this.commit();
  }

  async replace(path: string, content: Uint8Array | string, keepAs?: string): Promise<void> {
    if (keepAs !== undefined && this.#names.has(path)) this.rename(path, keepAs);
    this.writeAtomically(path, content);
  }

  remove(path: string): void {
    this.#directories.delete(path);
    if (this.#names.delete(path)) this.change((names) => names.delete(path));
  }

  async discard(path: string): Promise<void> {
    this.remove(path);
    this.commit();
  }

  reclaim(): void {}

  rename(from: string, to: string): void {
    this.#names.set(to, this.#inode(from));
    this.#names.delete(from);
    this.commit();
  }

  openFile(path: string, create: boolean): DiskFile {
    if (create && !this.#names.has(path)) this.#add(path, new Inode(Buffer.alloc(0), Buffer.alloc(0)));
    return new PowerFile(this, path, this.#inode(path));
  }

  createSegment(path: string, sizeBytes: number): void {
    this.#add(path, new Inode(Buffer.alloc(sizeBytes), Buffer.alloc(sizeBytes)));
    this.commit();
  }

  openSegment(path: string, baseOffset: number): Segment {
    return new PowerSegment(this, path, baseOffset, this.#inode(path));
  }

  lock(): DirectoryLock {
    return { release: () => {} };
  }

  space(): { totalBytes: number; freeBytes: number } {
    return { totalBytes: 2 ** 40, freeBytes: 2 ** 39 };
  }
}

class PowerFile implements DiskFile {
  readonly path: string;
  readonly #disk: PowerDisk;
  readonly #inode: Inode;

  constructor(disk: PowerDisk, path: string, inode: Inode) {
    this.#disk = disk;
    this.path = path;
    this.#inode = inode;
  }

  readAt(target: Uint8Array, start: number, length: number, position: number): number {
    const held = this.#inode.content.subarray(position, position + length);
    target.set(held, start);
    return held.length;
  }

  writeAt(source: Uint8Array, start: number, length: number, position: number): void {
    if (position + length > this.#inode.size) this.truncate(position + length);
    this.#inode.bytes.set(source.subarray(start, start + length), position);
  }

  sizeBytes(): number {
    return this.#inode.size;
  }

  truncate(sizeBytes: number): void {
    const inode = this.#inode;
    if (sizeBytes > inode.bytes.length) inode.bytes = Buffer.concat([inode.bytes], sizeBytes);
    inode.bytes.fill(0, Math.min(sizeBytes, inode.size));
    inode.cut = Math.min(inode.cut, sizeBytes);
    inode.size = sizeBytes;
    const { path } = this;
    const { cut } = inode;
    this.#disk.change((names) => {
      if (names.get(path)?.inode === inode) names.set(path, { inode, size: sizeBytes, cut });
    });
  }

  async sync(): Promise<void> {
    this.syncNow();
  }

  syncNow(): void {
    this.#inode.durable = Buffer.from(this.#inode.content);
    this.#disk.commit();
  }

  close(): void {}
}

class PowerSegment implements Segment, SegmentBytes {
  readonly path: string;
  readonly baseOffset: number;
  readonly whole: SegmentBytes = this;
  readonly view: DataView;
  readonly #disk: PowerDisk;
  readonly #inode: Inode;

  constructor(disk: PowerDisk, path: string, baseOffset: number, inode: Inode) {
    this.#disk = disk;
    this.path = path;
    this.baseOffset = baseOffset;
    this.#inode = inode;
    this.view = new DataView(inode.bytes.buffer, inode.bytes.byteOffset, inode.bytes.length);
  }

  get sizeBytes(): number {
    return this.#inode.size;
  }

  get bytes(): Buffer {
    return this.#inode.bytes;
  }

  write(source: Uint8Array, start: number, length: number, position: number): void {
    this.bytes.set(source.subarray(start, start + length), position);
  }

  read(position: number, length: number): Buffer {
    return this.bytes.subarray(position, position + length);
  }

  async sync(): Promise<void> {
    this.syncNow();
  }

  syncNow(): void {
    this.#inode.durable = Buffer.from(this.#inode.content);
    this.#disk.commit();
  }

  close(): void {}
}
