/**
 * Fills the page cache, so that a run finds memory as a server finds it that has been up for a day: taken, not free. In a
 * virtual machine whose host takes free memory back (a balloon with free page reporting), a page that was free costs a
 * fault of the host at its first touch, 3 to 14 us for 4 KiB, which no server under test can help.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";

const READ_BYTES = 8 * 2 ** 20;
/** Left free: what servers and load allocate for themselves is not taken from the cache. */
const FREE_BYTES = 1 * 2 ** 30;

/**
 * Reads as much of a sparse file as there is free memory: its pages go to the cache and to no disk. Called again for the
 * same directory it reads on where it ended, as what it read before may still be in the cache.
 *
 * @param {string} dir where the file stays until the run is over; removing it frees the memory again
 * @returns {number} bytes read
 */
export function fillPageCache(dir) {
  const found = /^MemFree: +(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"));
  const bytes = Math.max(Number(found?.[1] ?? 0) * 1_024 - FREE_BYTES, 0);
  const file = openSync(join(dir, "page-cache"), "a+");
  try {
    const first = fstatSync(file).size;
    ftruncateSync(file, first + bytes);
    const chunk = Buffer.alloc(READ_BYTES);
    for (let at = first; at < first + bytes; at += READ_BYTES) readSync(file, chunk, 0, READ_BYTES, at);
  } finally {
    closeSync(file);
  }
  return bytes;
}
