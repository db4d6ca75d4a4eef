/**
 * What Node's own API lacks, through koffi (foreign functions, prebuilt, no compiler): real block reservation,
 * locks that Java sees, maps larger than 2 GiB. koffi is an optional package: `native()` is undefined where it
 * does not load, and every caller has another way.
 */

import { loadOptional } from "../base/optional-package.js";

export interface Native {
  /** posix_fallocate: 0, or an errno value. */
  fallocate(fd: number, sizeBytes: number): number;
  /** FIONREAD: bytes that a socket has received and nobody has read; 0 when the kernel will not tell. */
  unreadBytes(fd: number): number;
  /** syncfs on a pool thread; false when it failed. */
  syncfs(fd: number): Promise<boolean>;
  /** mmap(MAP_SHARED); the map is undone when the last view on it is collected. */
  map(fd: number, sizeBytes: number, writable: boolean): ArrayBuffer;
  /** Takes flock and, on Linux, the POSIX lock of byte 0 that Java's FileChannel.tryLock takes. False when held. */
  lockFile(fd: number): boolean;
}

type NativeFunction = ((...values: unknown[]) => unknown) & { async: (...values: unknown[]) => void };

interface Koffi {
  load(path: string | null): { func(prototype: string): NativeFunction };
  address(value: unknown): bigint;
  view(pointer: unknown, lengthBytes: number): ArrayBuffer;
  errno(): number;
}

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const LOCK_EXCLUSIVE_NOW = 2 | 4;
const F_SETLK = 6;
const F_WRLCK = 1;
const FIONREAD = 0x541b;

let loaded: Native | undefined;
let tried = false;

export function native(): Native | undefined {
  if (!tried) {
    tried = true;
    loaded = process.platform === "linux" ? bind() : undefined;
  }
  return loaded;
}

function bind(): Native | undefined {
  const koffi = loadOptional<Koffi>("koffi");
  if (koffi === undefined) return undefined;
  try {
    return bindTo(koffi);
  } catch {
    return undefined;
  }
}

function bindTo(koffi: Koffi): Native {
  const libc = koffi.load(null);
  const fallocate = libc.func("int posix_fallocate(int, int64_t, int64_t)");
  const mmap = libc.func("void *mmap(void *, size_t, int, int, int, int64_t)");
  const syncfs = libc.func("int syncfs(int)");
  const munmap = libc.func("int munmap(void *, size_t)");
  const flock = libc.func("int flock(int, int)");
  const ioctl = libc.func("int ioctl(int, ulong, ...)");
  const unread = Buffer.alloc(4);
  const fcntl = libc.func("int fcntl(int, int, ...)");
  const mapped = new FinalizationRegistry<{ pointer: unknown; sizeBytes: number }>((held) => {
    munmap(held.pointer, held.sizeBytes);
  });
  return {
    fallocate: (fd, sizeBytes) => fallocate(fd, 0, sizeBytes) as number,
    unreadBytes(fd) {
      return ioctl(fd, FIONREAD, "void *", unread) === 0 ? unread.readInt32LE(0) : 0;
    },
    syncfs(fd) {
      return new Promise((resolve) => {
        syncfs.async(fd, (error: unknown, result: number) =>
          resolve((error ?? undefined) === undefined && result === 0),
        );
      });
    },
    map(fd, sizeBytes, writable) {
      const pointer = mmap(null, sizeBytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
      if (koffi.address(pointer) === 0xffffffffffffffffn) {
        throw Object.assign(new Error(`mmap failed with errno ${koffi.errno()}`), { code: "EMMAP" });
      }
      const view = koffi.view(pointer, sizeBytes);
      mapped.register(view, { pointer, sizeBytes });
      return view;
    },
    lockFile(fd) {
      if (flock(fd, LOCK_EXCLUSIVE_NOW) !== 0) return false;
      // struct flock of 64-bit Linux: type i16, whence i16, 4 unused, start i64, length i64, pid i32.
      const request = Buffer.alloc(32);
      request.writeInt16LE(F_WRLCK, 0);
      request.writeInt32LE(1, 16);
      return fcntl(fd, F_SETLK, "void *", request) === 0;
    },
  };
}
