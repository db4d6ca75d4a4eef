/**
 * All of a file system made durable by one call, syncfs(2): for ten thousand queue files it takes a second where
 * fdatasync of each takes a minute. Only where it means the same: on file systems that hand data and their journal to the
 * device, and from Linux 5.8 on, which tells of failed writes (once a descriptor, since that was opened).
 */
import * as fs from "node:fs";
import { release } from "node:os";
import type { DeviceSync } from "./disk.js";
import { native } from "./native.js";

/** ext2 to ext4, XFS, Btrfs, F2FS, tmpfs, as statfs(2) calls them. */
const TRUSTED_TYPES: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994]);
const KERNEL_MIN = [5, 8] as const;

class DescriptorSync implements DeviceSync {
  readonly #fd: number;
  readonly #syncfs: (fd: number) => Promise<boolean>;
  #underWay = 0;
  #closed = false;

  constructor(fd: number, syncfs: (fd: number) => Promise<boolean>) {
    this.#fd = fd;
    this.#syncfs = syncfs;
  }

  async sync(): Promise<boolean> {
    if (this.#closed) return false;
    this.#underWay++;
    try {
      return await this.#syncfs(this.#fd);
    } finally {
      this.#underWay--;
      this.#closeIfDone();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#closed && this.#underWay === 0) fs.closeSync(this.#fd);
  }
}

/** For the file system that `path` lies on; undefined where it is to be done file by file. */
export function openDeviceSync(path: string): DeviceSync | undefined {
  const calls = native();
  if (calls === undefined || !kernelTells(release())) return undefined;
  try {
    if (!TRUSTED_TYPES.has(fs.statfsSync(path).type)) return undefined;
    return new DescriptorSync(fs.openSync(path, "r"), calls.syncfs);
  } catch {
    return undefined;
  }
}

function kernelTells(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return major > KERNEL_MIN[0] || (major === KERNEL_MIN[0] && minor >= KERNEL_MIN[1]);
}
