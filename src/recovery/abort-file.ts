/**
 * The `abort` file: there while a store is open, so one that is found on opening says that the last process did not close
 * it. Holds the process id in decimal (store/DefaultMessageStore#createTempFile).
 */
import type { Disk } from "../io/disk.js";

/** True when the last process that opened the store did not close it. */
export function abortFileExists(disk: Disk, path: string): boolean {
  return disk.sizeOf(path) >= 0;
}

/** Durable when it returns: from here on a crash is noticed. */
export function createAbortFile(disk: Disk, path: string, pid: number): void {
  disk.writeAtomically(path, String(pid));
}

/** The last step of closing, after everything is synced. Should the removal itself be lost, recovery merely does more. */
export function removeAbortFile(disk: Disk, path: string): void {
  disk.remove(path);
}

/** Who left the file behind; undefined when it does not say, or there is none. */
export function readAbortPid(disk: Disk, path: string): number | undefined {
  const text = disk.readFile(path)?.subarray(0, 16).toString("latin1").trim() ?? "";
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}
