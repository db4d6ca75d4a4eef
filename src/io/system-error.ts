/** Translates the operating system's refusals into CometMQ's. */
import { CometError, systemCode } from "../base/errors.js";

/** Nothing is wrong with the disk, and it passes: the process, or the machine, has too many files open. */
const HANDLES = new Set(["EMFILE", "ENFILE"]);
const FULL = new Set(["ENOSPC", "EDQUOT"]);
export const ERRNO_ENOSPC = 28;
export const ERRNO_EDQUOT = 122;

export function isWantOfHandles(error: unknown): boolean {
  return HANDLES.has(systemCode(error));
}

export function ioError(action: string, path: string, cause: unknown): CometError {
  if (cause instanceof CometError) return cause;
  const code = systemCode(cause);
  if (FULL.has(code)) return new CometError("COMETMQ_DISK_FULL", `No space left to ${action} ${path}.`, { cause });
  if (isWantOfHandles(cause))
    return new CometError("COMETMQ_HANDLES", `No file handle left to ${action} ${path}.`, { cause });
  return new CometError("COMETMQ_IO", `Could not ${action} ${path}${code === "" ? "" : ` (${code})`}.`, { cause });
}
