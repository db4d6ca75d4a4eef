/**
 * Who reads a pipe or socket that this process writes to. Node hears that nobody does when it writes; who has nothing to
 * write would wait for ever. poll(2) knows, through koffi; without that package nobody is ever found to have gone.
 */
import { loadOptional } from "../base/optional-package.js";

/** struct pollfd: fd i32, events i16, revents i16. */
const POLLFD_BYTES = 8;
const REVENTS_AT = 6;
const POLLERR = 8;
const POLLHUP = 16;
const INTERVAL_MS = 100;

interface Koffi {
  load(path: string | null): { func(prototype: string): (...values: unknown[]) => unknown };
}

/** Calls `onGone` once when nobody can read what is written to `fd`, within a tenth of a second. Ends with what it returns. */
export function watchReader(fd: number, onGone: () => void): () => void {
  const hasReader = reading(fd);
  if (hasReader === undefined) return () => {};
  const timer = setInterval(() => {
    if (hasReader()) return;
    clearInterval(timer);
    onGone();
  }, INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function reading(fd: number): (() => boolean) | undefined {
  if (process.platform === "win32") return undefined;
  const koffi = loadOptional<Koffi>("koffi");
  if (koffi === undefined) return undefined;
  try {
    const poll = koffi.load(null).func("int poll(void *, ulong, int)");
    const asked = Buffer.alloc(POLLFD_BYTES);
    asked.writeInt32LE(fd, 0);
    return () => poll(asked, 1, 0) !== 1 || (asked.readInt16LE(REVENTS_AT) & (POLLERR | POLLHUP)) === 0;
  } catch {
    return undefined;
  }
}
