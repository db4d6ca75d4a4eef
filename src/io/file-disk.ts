/** The real disk. Which way segments are reached is decided once: mmap-io, else koffi, else plain files. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { CometError, systemCode } from "../base/errors.js";
import { failpoint } from "../base/failpoint.js";
import { loadOptional } from "../base/optional-package.js";
import { openDeviceSync } from "./device-sync.js";
import { collectMaps, discardFile, lingeringBytes } from "./discard.js";
import type { Backend, DirectoryLock, DeviceSync, Disk, DiskFile, DiskSpace, HandleSupply, Segment } from "./disk.js";
import { FileHandle } from "./file-handle.js";
import { lockDirectoryFile } from "./lock-file.js";
import { native } from "./native.js";
import { handleSupply } from "./open-files.js";
import { readFile } from "./read-file.js";
import { MappedSegment, PlainSegment } from "./segments.js";
import { ERRNO_EDQUOT, ERRNO_ENOSPC, ioError } from "./system-error.js";

interface MmapIo {
  map(size: number, protection: number, flags: number, fd: number, offset?: number): Buffer;
  readonly PROT_READ: number;
  readonly PROT_WRITE: number;
  readonly MAP_SHARED: number;
}

/** mmap-io takes sizes as C ints. */
const MMAP_IO_BYTES_MAX = 2 ** 31 - 1;
const ZEROS_BYTES = 1024 * 1024;
const PRELOAD_BYTES = 1024 * 1024;

/** The binary by the place where the package builds it: its own way of finding that takes longer than a broker to start. */
const MMAP_IO_BINARY = `mmap-io/build/binding/Release/node-v${process.versions.modules}-${process.platform}-${process.arch}/mmap_io.node`;

function loadMmapIo(): MmapIo | undefined {
  const binary = loadOptional<MmapIo>(MMAP_IO_BINARY);
  if (binary !== undefined) return binary;
  const loaded = loadOptional<MmapIo & { default?: MmapIo }>("mmap-io");
  return loaded?.default ?? loaded;
}

const BACKENDS: ReadonlySet<string> = new Set<Backend>(["mmap-io", "koffi", "file", "memory"]);

/** The best backend that loads on this machine, or the one asked for (COMETMQ_BACKEND when it does not load). */
export function chooseBackend(wanted: Backend | "auto" = "auto"): Backend {
  const usable = (backend: Backend): boolean =>
    backend === "file" || (backend === "mmap-io" ? loadMmapIo() !== undefined : native() !== undefined);
  if (wanted !== "auto") {
    if (!BACKENDS.has(wanted)) {
      throw new CometError("COMETMQ_BACKEND", `There is no storage backend ${JSON.stringify(wanted)}.`);
    }
    if (wanted === "memory" || !usable(wanted)) {
      throw new CometError("COMETMQ_BACKEND", `The storage backend ${wanted} does not load on this machine.`);
    }
    return wanted;
  }
  return usable("mmap-io") ? "mmap-io" : usable("koffi") ? "koffi" : "file";
}

const BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id";
let knownBootId: string | undefined;

function bootId(): string | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    knownBootId ??= fs.readFileSync(BOOT_ID_PATH, "latin1").trim();
  } catch {
    // Hidden in some containers.
  }
  return knownBootId;
}

/** The operating system's files. Throws COMETMQ_BACKEND for a backend that does not load. */
export class FileDisk implements Disk {
  readonly backend: Backend;
  readonly threadable = true;
  readonly #mmapIo: MmapIo | undefined;

  constructor(backend: Backend = chooseBackend()) {
    this.backend = backend;
    this.#mmapIo = backend === "mmap-io" ? loadMmapIo() : undefined;
  }

  bootId(): string | undefined {
    return bootId();
  }

  list(directory: string): string[] {
    try {
      return fs.readdirSync(directory).sort();
    } catch (error) {
      if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return [];
      throw ioError("list", directory, error);
    }
  }

  isDirectory(path: string): boolean {
    return statOf(path)?.isDirectory() ?? false;
  }

  makeDirectory(directory: string): void {
    // mkdir waits where the file system is frozen, also for a directory that is there; a look does not.
    if (this.isDirectory(directory)) return;
    try {
      makeEach(directory);
    } catch (error) {
      throw ioError("create the directory", directory, error);
    }
  }

  sizeOf(path: string): number {
    return statOf(path)?.size ?? -1;
  }

  modifiedMs(path: string): number {
    return statOf(path)?.mtimeMs ?? -1;
  }

  readFile(path: string): Buffer | undefined {
    return readFile(path);
  }

  writeAtomically(path: string, content: Uint8Array | string): void {
    const temporary = `${path}.tmp`;
    try {
      failpoint("disk-open");
      const fd = fs.openSync(temporary, "w");
      try {
        failpoint("disk-write");
        fs.writeFileSync(fd, content);
        failpoint("disk-sync");
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
      failpoint("disk-rename");
      fs.renameSync(temporary, path);
      syncDirectory(dirname(path));
    } catch (error) {
      dropLeftover(temporary);
      throw ioError("write", path, error);
    }
  }

  async replace(path: string, content: Uint8Array | string, keepAs?: string, mode?: number): Promise<void> {
    const temporary = `${path}.tmp`;
    try {
      const permissions = mode ?? fs.statSync(path, { throwIfNoEntry: false })?.mode;
      failpoint("disk-open");
      const file = await fs.promises.open(temporary, "w", permissions ?? 0o666);
      try {
        failpoint("disk-write");
        // What was left there, or the process's mask, does not decide who may read this.
        if (permissions !== undefined) await file.chmod(permissions & 0o777);
        await file.writeFile(content);
        failpoint("disk-sync");
        await file.sync();
      } finally {
        await file.close();
      }
      failpoint("disk-rename");
      // On pool threads too: a rename waits while the file system's journal is being written.
      if (keepAs !== undefined && fs.existsSync(path)) await fs.promises.rename(path, keepAs);
      await fs.promises.rename(temporary, path);
      const directory = await fs.promises.open(dirname(path), "r");
      await directory.sync().finally(() => directory.close());
    } catch (error) {
      dropLeftover(temporary);
      throw ioError("write", path, error);
    }
  }

  remove(path: string): void {
    try {
      if (this.isDirectory(path)) fs.rmdirSync(path);
      else fs.rmSync(path, { force: true });
    } catch (error) {
      throw ioError("remove", path, error);
    }
  }

  async discard(path: string, segment: Segment | undefined): Promise<void> {
    try {
      await discardFile(path, segment instanceof MappedSegment ? segment.bytes.buffer : undefined);
    } catch (error) {
      throw ioError("remove", path, error);
    }
  }

  reclaim(): void {
    if (this.backend !== "file") collectMaps();
  }

  rename(from: string, to: string): void {
    try {
      fs.renameSync(from, to);
      syncDirectory(dirname(to));
    } catch (error) {
      throw ioError("rename", from, error);
    }
  }

  openFile(path: string, create: boolean, readOnly = false): DiskFile {
    try {
      failpoint("disk-open");
      return new FileHandle(path, readOnly ? fs.openSync(path, "r") : openReadWrite(path, create));
    } catch (error) {
      throw ioError("open", path, error);
    }
  }

  createSegment(path: string, sizeBytes: number): void {
    const temporary = `${path}.reserving`;
    try {
      failpoint("disk-reserve");
      const fd = fs.openSync(temporary, "w");
      try {
        reserve(fd, temporary, sizeBytes);
      } finally {
        fs.closeSync(fd);
      }
      fs.renameSync(temporary, path);
      syncDirectory(dirname(path));
    } catch (error) {
      dropLeftover(temporary);
      throw ioError(`reserve ${sizeBytes} bytes for`, path, error);
    }
  }

  openSegment(path: string, baseOffset: number, sizeBytes: number, writable: boolean): Segment {
    const actual = this.sizeOf(path);
    if (actual !== sizeBytes) {
      throw new CometError("COMETMQ_STORE_LAYOUT", `${path} has ${actual} bytes, expected ${sizeBytes}.`);
    }
    let fd = -1;
    try {
      failpoint("disk-map");
      fd = fs.openSync(path, writable ? "r+" : "r");
      if (this.backend === "file") return new PlainSegment(path, baseOffset, sizeBytes, fd);
      return new MappedSegment(path, baseOffset, fd, this.#map(fd, sizeBytes, writable));
    } catch (error) {
      if (fd >= 0) fs.closeSync(fd);
      throw ioError("map", path, error);
    }
  }

  #map(fd: number, sizeBytes: number, writable: boolean): Buffer {
    const mmap = this.#mmapIo;
    if (mmap !== undefined && sizeBytes <= MMAP_IO_BYTES_MAX) {
      return mmap.map(sizeBytes, writable ? mmap.PROT_READ | mmap.PROT_WRITE : mmap.PROT_READ, mmap.MAP_SHARED, fd, 0);
    }
    const calls = native();
    if (calls === undefined) {
      throw new CometError("COMETMQ_BACKEND", `mmap-io cannot map ${sizeBytes} bytes, and koffi is not there.`);
    }
    return Buffer.from(calls.map(fd, sizeBytes, writable));
  }

  async preload(path: string): Promise<void> {
    const target = Buffer.allocUnsafeSlow(PRELOAD_BYTES);
    try {
      const file = await fs.promises.open(path, "r");
      try {
        while ((await file.read(target, 0, target.length)).bytesRead > 0);
      } finally {
        await file.close();
      }
    } catch {
      // Whoever needs the file will be told.
    }
  }

  openDeviceSync(path: string): DeviceSync | undefined {
    return openDeviceSync(path);
  }

  handleSupply(): HandleSupply {
    return handleSupply();
  }

  lock(path: string): DirectoryLock {
    return lockDirectoryFile(path);
  }

  space(path: string): DiskSpace {
    try {
      const { blocks, bfree, bavail, bsize } = fs.statfsSync(path);
      return {
        totalBytes: blocks * bsize,
        freeBytes: bavail * bsize,
        reservedBytes: (bfree - bavail) * bsize,
        lingeringBytes: lingeringBytes(),
      };
    } catch (error) {
      throw ioError("ask for the space of", path, error);
    }
  }
}

function statOf(path: string): fs.Stats | undefined {
  try {
    return fs.statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    // A file where a directory should be: nothing can be below it.
    if (systemCode(error) === "ENOTDIR") return undefined;
    throw ioError("look at", path, error);
  }
}

/**
 * Node's own `recursive` is not used: where a directory is there and nothing can be made in it, which the kernel says with
 * ENOENT (/proc), it tries for ever.
 */
function makeEach(directory: string): void {
  try {
    fs.mkdirSync(directory);
  } catch (error) {
    const parent = dirname(directory);
    if (systemCode(error) === "EEXIST" && statOf(directory)?.isDirectory() === true) return;
    if (systemCode(error) !== "ENOENT" || parent === directory || statOf(parent) !== undefined) throw error;
    makeEach(parent);
    fs.mkdirSync(directory);
  }
}

/** On a device that has become read-only a file that is there can still be read; who writes hears of it then. */
function openReadWrite(path: string, create: boolean): number {
  if (create) return fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644);
  try {
    return fs.openSync(path, fs.constants.O_RDWR);
  } catch (error) {
    if (systemCode(error) !== "EROFS") throw error;
    return fs.openSync(path, fs.constants.O_RDONLY);
  }
}

/** What is left of a failed attempt; the failure itself is what is told. */
function dropLeftover(path: string): void {
  try {
    fs.rmSync(path, { force: true });
  } catch {
    // It cannot have been made, then.
  }
}

/** After a rename or a create: the name itself is durable only with its directory. */
function syncDirectory(directory: string): void {
  const fd = fs.openSync(directory, "r");
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Gives the file real blocks, so that a store into its map can never meet a full disk (a SIGBUS no handler can catch).
 * By posix_fallocate, else by the fallocate command, else by writing zeros.
 */
function reserve(fd: number, path: string, sizeBytes: number): void {
  const calls = native();
  if (calls !== undefined) {
    const errno = calls.fallocate(fd, sizeBytes);
    if (errno === 0) return;
    if (errno === ERRNO_ENOSPC || errno === ERRNO_EDQUOT) {
      throw Object.assign(new Error(`posix_fallocate: errno ${errno}`), { code: "ENOSPC" });
    }
  } else if (process.platform === "linux") {
    if (spawnSync("fallocate", ["-l", String(sizeBytes), path], { stdio: "ignore" }).status === 0) return;
  }
  const zeros = Buffer.alloc(ZEROS_BYTES);
  for (let position = 0; position < sizeBytes; ) {
    position += fs.writeSync(fd, zeros, 0, Math.min(ZEROS_BYTES, sizeBytes - position), position);
  }
}
