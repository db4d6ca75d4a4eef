/**
 * The one seam to the disk. Everything above works on these interfaces, so that the same suites run on mapped segments,
 * plain files, memory and a disk that fails on purpose. Only `src/io` may import `node:fs` or a native package.
 *
 * Failures are CometError: COMETMQ_DISK_FULL for ENOSPC and EDQUOT, COMETMQ_IO for the rest, the system error as cause.
 */
export type Backend = "mmap-io" | "koffi" | "file" | "memory";

/** "short": the next client, segment or config file may find none. */
export type HandleSupply = "short" | "fair" | "plenty";

/** How a store reaches its files; `FileDisk` and `MemoryDisk` are two. Failures are thrown as CometError. */
export interface Disk {
  /** How segments are reached: mapped, or by reads and writes. */
  readonly backend: Backend;
  /** False where only the creating thread sees the data (memory): dispatch then runs inline. */
  readonly threadable: boolean;
  /**
   * A name for this run of the operating system: what a process wrote in it and did not sync is still to be read. Undefined,
   * or not there, where nobody can tell.
   */
  bootId?(): string | undefined;
  /** Names in `directory`, sorted; empty when there is no such directory. */
  list(directory: string): string[];
  /** False, too, where there is nothing. */
  isDirectory(path: string): boolean;
  /** Creates `directory` and its parents. */
  makeDirectory(directory: string): void;
  /** Size in bytes, or -1 when there is no such file. */
  sizeOf(path: string): number;
  /** Last modification in ms since 1970, or -1 when there is no such file. */
  modifiedMs(path: string): number;
  /** The whole file, or undefined when there is none. For small files. */
  readFile(path: string): Buffer | undefined;
  /** Temp file, fsync, rename, directory fsync: after a crash the old content or the new one is there, whole. */
  writeAtomically(path: string, content: Uint8Array | string): void;
  /**
   * The same with the syncs on pool threads; what was under `path` is kept as `keepAs`. At every moment the old content or
   * the new one lies whole under one of the two names. Nobody may write `path` meanwhile. Whoever could read the file
   * can read the new one, unless `mode` says who may.
   */
  replace(path: string, content: Uint8Array | string, keepAs?: string, mode?: number): Promise<void>;
  /** Removes a file or an empty directory; does nothing when it is not there. */
  remove(path: string): void;
  /**
   * Removes a segment's file on other threads; durable when fulfilled. `segment` is this thread's view of it, if it has
   * one: the caller closes it then, and its space comes back once nobody refers to its bytes any more.
   */
  discard(path: string, segment: Segment | undefined): Promise<void>;
  /** Gets space of discarded files back that only awaits a garbage collection; costs a pause. */
  reclaim(): void;
  /** Of a file or a directory with all in it, within one device; a file at `to` goes. */
  rename(from: string, to: string): void;
  /**
   * Opens for pread and pwrite. With `create` the file is made if missing, else a missing file is an error. With
   * `readOnly` it is opened for pread alone, which needs no permission to write.
   */
  openFile(path: string, create: boolean, readOnly?: boolean): DiskFile;
  /** Makes a segment file of zeros whose blocks are really reserved; on failure nothing is left behind. */
  createSegment(path: string, sizeBytes: number): void;
  /** Opens an existing segment file of exactly `sizeBytes`. */
  openSegment(path: string, baseOffset: number, sizeBytes: number, writable: boolean): Segment;
  /** Reads the whole file into the page cache, on pool threads; a hint, which never fails. Not there: nothing to be done. */
  preload?(path: string): Promise<void>;
  /** For many files at once; undefined, or not there, where each is to be synced by itself. */
  openDeviceSync?(path: string): DeviceSync | undefined;
  /** Whether the process has file handles left; not there: as many as anybody wants. */
  handleSupply?(): HandleSupply;
  /** Takes the store's `lock` file for this process; COMETMQ_STORE_LOCKED when somebody has it. */
  lock(path: string): DirectoryLock;
  /** Of the device that holds `path`. */
  space(path: string): DiskSpace;
}

/** Space of a device, in bytes. */
export interface DiskSpace {
  readonly totalBytes: number;
  /** What this process may still use. */
  readonly freeBytes: number;
  /** Free, but kept for the system's administrator: neither used nor to be had. */
  readonly reservedBytes?: number;
  /** Still used by files that were discarded, and free soon. */
  readonly lingeringBytes?: number;
}

/** All files of a device made durable together. */
export interface DeviceSync {
  /**
   * False when it failed, for whichever file: those that matter are then to be synced one by one, and tell. Only what was
   * written after this was opened is vouched for.
   */
  sync(): Promise<boolean>;
  close(): void;
}

export interface DirectoryLock {
  release(): void;
}

/** A file reached by pread and pwrite: a full disk is an error here, never a signal. */
export interface DiskFile {
  readonly path: string;
  /** Reads up to `length` bytes into `target[start..]`; fewer at the file's end. Returns the count. */
  readAt(target: Uint8Array, start: number, length: number, position: number): number;
  /** Writes all of `source[start, start+length)`. */
  writeAt(source: Uint8Array, start: number, length: number, position: number): void;
  sizeBytes(): number;
  /** Sets the length; grown space is a hole that reads as zeros. */
  truncate(sizeBytes: number): void;
  /** fdatasync, on a pool thread. */
  sync(): Promise<void>;
  syncNow(): void;
  close(): void;
}

/**
 * One fixed-size file of the commit log. Bytes written are readable by every thread of this machine, and safe against the
 * end of the process, when `write` returns; they are durable after `sync`.
 */
export interface Segment {
  readonly path: string;
  readonly baseOffset: number;
  readonly sizeBytes: number;
  /** Where the file is mapped, the one Buffer of all of it, so that `read` never copies, and a view of the same bytes. */
  readonly whole: SegmentBytes | undefined;
  /** Writes all of `source[start, start+length)`. */
  write(source: Uint8Array, start: number, length: number, position: number): void;
  /** Bytes [position, position+length) of the file: a view on the map, or a copy. */
  read(position: number, length: number): Buffer;
  /** fdatasync of all of it, on a pool thread. */
  sync(): Promise<void>;
  syncNow(): void;
  /** Lets go of the file handle and the map. Views handed out stay valid: the map goes with the last of them. */
  close(): void;
}

/** Bytes of a segment that lie in memory, in two forms. */
export interface SegmentBytes {
  readonly bytes: Buffer;
  readonly view: DataView;
}
