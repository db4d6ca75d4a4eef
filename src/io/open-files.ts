/** How many files this process may hold open. */
import * as fs from "node:fs";

const LIMIT_ASSUMED = 1024;
const FILES_MIN = 64;
const FILES_MAX = 4096;
/** Sockets, segments and the other thread want their part. */
const SHARE = 8;

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

/** What one thread keeps open of the files of queues, unless it is told otherwise. */
export function defaultOpenFiles(): number {
  return Math.max(FILES_MIN, Math.min(FILES_MAX, Math.floor(openFilesLimit() / SHARE)));
}
