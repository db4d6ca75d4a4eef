/** How many files this process may hold open. */
import * as fs from "node:fs";

const LIMIT_ASSUMED = 1024;
const FILES_MIN = 64;
/** Eighths of the limit: sockets, segments and the other thread want their part. */
const READER_EIGHTHS = 1;
const READER_FILES_MAX = 4096;
/** The writer comes to every queue again and again, and each file it has to open costs as much as several writes. */
const WRITER_EIGHTHS = 3;
const WRITER_FILES_MAX = 12_288;

/** Node raises its soft limit to the hard one when it starts; this is what holds now. */
export function openFilesLimit(): number {
  let text: string;
  try {
    text = fs.readFileSync("/proc/self/limits", "utf8");
  } catch {
    return LIMIT_ASSUMED;
  }
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(text)?.[1];
  if (soft === undefined) return LIMIT_ASSUMED;
  return soft === "unlimited" ? Number.MAX_SAFE_INTEGER : Number(soft);
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
