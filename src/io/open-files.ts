/** How many files this process may hold open, and whether it has come near that. */
import * as fs from "node:fs";
import type { HandleSupply } from "./disk.js";
import { isWantOfHandles } from "./system-error.js";

const LIMIT_ASSUMED = 1024;
const FILES_MIN = 64;
/** Eighths of the limit: sockets, segments and the other thread want their part. */
const READER_EIGHTHS = 1;
const READER_FILES_MAX = 4096;
/** The writer comes to every queue again and again, and each file it has to open costs as much as several writes. */
const WRITER_EIGHTHS = 3;
const WRITER_FILES_MAX = 12_288;
/** With fewer handles left the process is short of them; a sixteenth of the limit where that is more. */
const SPARE_MIN = 16;
const SPARE_SIXTEENTHS = 1;

/** Node raises its soft limit to the hard one when it starts; this is what holds now. */
export function openFilesLimit(): number {
  try {
    return limitNow();
  } catch {
    return LIMIT_ASSUMED;
  }
}

function limitNow(): number {
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(fs.readFileSync("/proc/self/limits", "utf8"))?.[1];
  if (soft === undefined) return LIMIT_ASSUMED;
  return soft === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(soft);
}

/** As of now, all threads together; "fair" where the system does not tell. */
export function handleSupply(): HandleSupply {
  try {
    const limit = limitNow();
    // Linux 6.2 and later count them themselves.
    const openCount = fs.statSync("/proc/self/fd").size || fs.readdirSync("/proc/self/fd").length;
    return supplyOf(limit, limit - openCount);
  } catch (error) {
    // Not even one to ask with.
    return isWantOfHandles(error) ? "short" : "fair";
  }
}

export function supplyOf(limit: number, leftCount: number): HandleSupply {
  const spare = Math.max(SPARE_MIN, Math.floor((limit * SPARE_SIXTEENTHS) / 16));
  if (leftCount < spare) return "short";
  return leftCount > 2 * spare ? "plenty" : "fair";
}

/** What the thread that reads keeps open of the files of queues, unless it is told otherwise. */
export function readerOpenFiles(): number {
  return shareOfLimit(READER_EIGHTHS, READER_FILES_MAX);
}

/** The same for the thread that writes them. */
export function writerOpenFiles(): number {
  return shareOfLimit(WRITER_EIGHTHS, WRITER_FILES_MAX);
}

function shareOfLimit(eighths: number, filesMax: number): number {
  return Math.max(FILES_MIN, Math.min(filesMax, Math.floor((openFilesLimit() * eighths) / 8)));
}
