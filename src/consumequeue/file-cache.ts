/**
 * Open files of one thread, shared by all its queues: at most `limit` handles, the longest unused is closed first.
 * A DiskFile taken from here is used at once and not kept: the next call may close it.
 */
import { posix } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { CometError } from "../base/errors.js";
import type { DeviceSync, Disk, DiskFile } from "../io/disk.js";

export const OPEN_FILES_MAX = 512;
/** Syncs in flight at once: the thread pool does no more, and each holds a handle. */
const SYNCS_MAX = 8;
/** From so many files on the whole device is synced: that may be much that is not ours. */
const DEVICE_SYNC_FILES_MIN = 128;

/** Without a handle for a sync, and none that another one would give back, it is tried so often. */
const ATTEMPTS_MAX = 50;
const RETRY_MS = 200;
/** `leaveRoom` leaves so many open: enough for the syncs, and for the queues that are written to all the time. */
const KEPT_MIN = 2 * SYNCS_MAX;

interface OpenFile {
  readonly file: DiskFile;
  /** Syncs under way: a pinned file is not closed under them. */
  pins: number;
  forgotten: boolean;
}

export class FileCache {
  readonly #disk: Disk;
  readonly #limitMax: number;
  #limit: number;
  /** In order of use, the latest last. */
  readonly #open = new Map<string, OpenFile>();
  #latest = "";
  #syncing = 0;
  readonly #waiting: (() => void)[] = [];
  /** Opened before the first file: it vouches for what is written later. */
  #device: DeviceSync | undefined;
  #deviceAsked = false;
  #closeCount = 0;

  constructor(disk: Disk, limit: number = OPEN_FILES_MAX) {
    this.#disk = disk;
    this.#limitMax = Math.max(1, limit);
    this.#limit = this.#limitMax;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Some files have to be closed before others can be opened. */
  get isFull(): boolean {
    return this.#open.size >= this.#limit;
  }

  /** The file is open. */
  holds(path: string): boolean {
    return this.#open.has(path);
  }

  /** The existing file; COMETMQ_IO when there is none. */
  get(path: string): DiskFile {
    return this.#entry(path).file;
  }

  /** The file, or undefined when there is none: another thread may have deleted it. */
  find(path: string): DiskFile | undefined {
    try {
      return this.#entry(path).file;
    } catch (error) {
      if (this.#disk.sizeOf(path) < 0) return undefined;
      throw error;
    }
  }

  /** Makes a file of `sizeBytes` zeros without blocks; what an interrupted attempt left there is overwritten. */
  create(path: string, sizeBytes: number): DiskFile {
    this.forget(path);
    const file = this.#openFile(path, true);
    try {
      if (file.sizeBytes() > 0) file.truncate(0);
      file.truncate(sizeBytes);
    } catch (error) {
      file.close();
      throw error;
    }
    this.#admit(path, file);
    return file;
  }

  /** Makes a file durable, on a pool thread and in its turn; does nothing when it has been deleted meanwhile. */
  async sync(path: string): Promise<void> {
    let entry: OpenFile | undefined;
    try {
      entry = await this.#pinned(path);
      await entry?.file.sync();
    } finally {
      if (entry !== undefined) this.#unpin(entry);
      this.#waiting.shift()?.();
    }
  }

  /**
   * The file, when it has its turn and is open. Want of handles passes, and is no reason to give a sync up: those that are
   * under way give theirs back. One whose turn comes when another has failed, and the cache was closed for that, opens nothing.
   */
  async #pinned(path: string): Promise<OpenFile | undefined> {
    const closeCount = this.#closeCount;
    for (let attempts = 1; closeCount === this.#closeCount; ) {
      if (this.#syncing < SYNCS_MAX) {
        try {
          return this.#pin(path);
        } catch (error) {
          if (!(error instanceof CometError) || error.code !== "COMETMQ_HANDLES") throw error;
          if (this.#syncing === 0 && attempts++ === ATTEMPTS_MAX) throw error;
        }
      }
      if (this.#syncing > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      else await pause(RETRY_MS);
    }
    return undefined;
  }

  #pin(path: string): OpenFile | undefined {
    if (this.find(path) === undefined) return undefined;
    const entry = this.#open.get(path)!;
    entry.pins++;
    this.#syncing++;
    return entry;
  }

  #unpin(entry: OpenFile): void {
    this.#syncing--;
    entry.pins--;
    if (entry.forgotten && entry.pins === 0) entry.file.close();
  }

  /** The same for many, all together where that can be done. */
  async syncAll(paths: readonly string[]): Promise<void> {
    if (paths.length >= DEVICE_SYNC_FILES_MIN && (await this.#device?.sync()) === true) return;
    await Promise.all(paths.map((path) => this.sync(path)));
  }

  syncNow(path: string): void {
    this.find(path)?.syncNow();
  }

  /** Closes the handle, before the file is deleted or when another thread has done so. */
  forget(path: string): void {
    const entry = this.#open.get(path);
    if (entry === undefined) return;
    this.#open.delete(path);
    if (this.#latest === path) this.#latest = "";
    entry.forgotten = true;
    if (entry.pins === 0) entry.file.close();
  }

  /** Closes the handles of the files in `directory` whose names `chosen` accepts. */
  forgetIn(directory: string, chosen: (name: string) => boolean): void {
    const prefix = `${directory}/`;
    for (const path of [...this.#open.keys()]) {
      if (path.startsWith(prefix) && chosen(path.slice(prefix.length))) this.forget(path);
    }
  }

  close(): void {
    this.#closeCount++;
    for (const path of [...this.#open.keys()]) this.forget(path);
    this.#device?.close();
    this.#device = undefined;
    this.#deviceAsked = false;
  }

  #entry(path: string): OpenFile {
    const known = this.#open.get(path);
    if (known === undefined) return this.#admit(path, this.#openFile(path, false));
    if (path !== this.#latest) {
      this.#open.delete(path);
      this.#open.set(path, known);
      this.#latest = path;
    }
    return known;
  }

  #admit(path: string, file: DiskFile): OpenFile {
    if (!this.#deviceAsked) this.#device = this.#disk.openDeviceSync?.(queuesDirectoryOf(path));
    this.#deviceAsked = true;
    const entry = { file, pins: 0, forgotten: false };
    while (this.#open.size >= this.#limit && this.#closeOldest());
    this.#open.set(path, entry);
    this.#latest = path;
    return entry;
  }

  #openFile(path: string, create: boolean): DiskFile {
    try {
      return this.#disk.openFile(path, create);
    } catch (error) {
      if (!(error instanceof CometError) || error.code !== "COMETMQ_HANDLES" || !this.#makeRoom()) throw error;
      return this.#disk.openFile(path, create);
    }
  }

  /**
   * To be called now and then. Clients that find no handle are turned away where nobody hears of it: so a quarter of these is
   * given up while the process has few left. Once it has plenty, the cache may grow again.
   */
  leaveRoom(): void {
    const supply = this.#disk.handleSupply?.();
    if (supply === "short" && this.#open.size > KEPT_MIN) this.#makeRoom();
    else if (supply === "plenty" && this.isFull)
      this.#limit = Math.min(this.#limitMax, Math.ceil((this.#limit * 4) / 3));
  }

  /** A quarter of these is for others from now on, clients among them. */
  #makeRoom(): boolean {
    this.#limit = Math.max(1, Math.floor((this.#open.size * 3) / 4));
    const before = this.#open.size;
    // One at least, also where it is the only one.
    while ((this.#open.size > this.#limit || this.#open.size === before) && this.#closeOldest());
    return this.#open.size < before;
  }

  /** False when all are in use. */
  #closeOldest(): boolean {
    for (const [path, entry] of this.#open) {
      if (entry.pins > 0) continue;
      this.forget(path);
      return true;
    }
    return false;
  }
}

/** Of `consumequeue/TOPIC/QUEUE/FILE` the first: it stays when files, queues and topics are deleted. */
function queuesDirectoryOf(path: string): string {
  return posix.dirname(posix.dirname(posix.dirname(path)));
}
