/**
 * Deletes large files that this process may have mapped. The kernel gives their blocks back with the last reference, and
 * for a gigabyte that takes a fifth of a second: so a file handle outlives the maps and is closed on a pool thread, where
 * otherwise the garbage collector's munmap would do it on the event loop.
 */
import * as fs from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const open = promisify(fs.open);
const close = promisify(fs.close);
const unlink = promisify(fs.unlink);
const fsync = promisify(fs.fsync);

/** Time for the finalizers of a collection to have run, on this thread and others. */
const LINGER_MS = 1000;

interface Lingering {
  readonly fd: number;
  readonly sizeBytes: number;
}

/** Handles that wait for the map of their file to be collected. */
const mapped = new FinalizationRegistry<Lingering>(closeLater);
let totalBytes = 0;

function closeLater({ fd, sizeBytes }: Lingering): void {
  const close = () => {
    fs.close(fd, () => {
      totalBytes -= sizeBytes;
    });
  };
  setTimeout(close, LINGER_MS).unref();
}

/** Bytes of the files that this thread has discarded and that still occupy the disk. */
export function lingeringBytes(): number {
  return totalBytes;
}

/**
 * Removes the name of the file, durably, on pool threads. `map` is this thread's map of it: the blocks stay until it is
 * collected, and views on it stay valid.
 */
export async function discardFile(path: string, map: ArrayBufferLike | undefined): Promise<void> {
  const fd = await open(path, "r");
  const lingering = { fd, sizeBytes: fs.fstatSync(fd).size };
  totalBytes += lingering.sizeBytes;
  try {
    await unlink(path);
    await syncDirectory(dirname(path));
  } finally {
    if (map === undefined) closeLater(lingering);
    else mapped.register(map, lingering);
  }
}

/** One deletion after another must not come back from a power cut in another order: that would leave a hole. */
async function syncDirectory(directory: string): Promise<void> {
  const fd = await open(directory, "r");
  try {
    await fsync(fd);
  } finally {
    await close(fd);
  }
}

let collect: (() => void) | undefined;

/**
 * Has the garbage collector look for maps that nobody uses any more: their finalizers run in the next turns of the event
 * loop. A pause of some milliseconds for each ten megabytes of heap.
 */
export function collectMaps(): void {
  if (collect === undefined) {
    // The only door to the collector. The flag changes what new contexts get, and stays: threads share it.
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  collect();
}
