/**
 * The `abort` file: there while a store is open, so one that is found on opening says that the last process did not close
 * it. Holds the process id in decimal (store/DefaultMessageStore#createTempFile), and here in a second line in which run
 * of the operating system that was (`Disk.bootId`, `?` where that is not known). Apache reads nothing of it.
 */
import type { Disk } from "../io/disk.js";

/**
 * What ended the life of a store. `process`: what it wrote is there, synced or not. `system`: of what was not synced any
 * part may be missing. `unknown`: another broker had it, or nobody can tell.
 */
export type StoreEnd = "closed" | "process" | "system" | "unknown";

/** Of what was written last, stretches of any length may be missing, and what came behind them be there. */
export function mayHaveHoles(end: StoreEnd): boolean {
  return end === "system" || end === "unknown";
}

const UNKNOWN_BOOT = "?";
const TEXT_BYTES_MAX = 128;

/** How the last life of the store ended. */
export function lastStoreEnd(disk: Disk, path: string): StoreEnd {
  if (!abortFileExists(disk, path)) return "closed";
  const boot = linesOf(disk, path)[1];
  if (boot === undefined) return "unknown";
  return boot === disk.bootId?.() ? "process" : "system";
}

/** True when the last process that opened the store did not close it. */
export function abortFileExists(disk: Disk, path: string): boolean {
  return disk.sizeOf(path) >= 0;
}

/** Durable when it returns: from here on a crash is noticed. */
export function createAbortFile(disk: Disk, path: string, pid: number): void {
  disk.writeAtomically(path, `${pid}\n${disk.bootId?.() ?? UNKNOWN_BOOT}\n`);
}

/** The last step of closing, after everything is synced. Should the removal itself be lost, recovery merely does more. */
export function removeAbortFile(disk: Disk, path: string): void {
  disk.remove(path);
}

/** Who left the file behind; undefined when it does not say, or there is none. */
export function readAbortPid(disk: Disk, path: string): number | undefined {
  const text = linesOf(disk, path)[0]?.trim() ?? "";
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/** Without what follows the last line end, but for a first line that has none. */
function linesOf(disk: Disk, path: string): string[] {
  const text = disk.readFile(path)?.subarray(0, TEXT_BYTES_MAX).toString("latin1") ?? "";
  const lines = text.split("\n");
  return lines.length === 1 ? lines : lines.slice(0, -1);
}
