/** Files that are missing between a queue's others: made again, full of blank units, so that recovery can fill them in. */
import type { Disk } from "../io/disk.js";
import { QUEUE_FILE_NAME, queueFileName } from "./queue-files.js";

/** Where the missing files would begin; none when more are missing than there are, for those were never there. */
export function missingFiles(disk: Disk, directory: string, fileBytes: number): number[] {
  const bases = disk
    .list(directory)
    .filter((name) => QUEUE_FILE_NAME.test(name))
    .map(Number);
  const first = bases[0] ?? 0;
  const last = bases.at(-1) ?? 0;
  const missingCount = (last - first) / fileBytes + 1 - bases.length;
  if (!Number.isInteger(missingCount) || missingCount < 0 || missingCount > bases.length) return [];
  const present = new Set(bases);
  const missing: number[] = [];
  for (let base = first; base < last; base += fileBytes) if (!present.has(base)) missing.push(base);
  return missing;
}

/** At once or not at all: half of it would be taken for a file of another size. */
export function makeFile(disk: Disk, directory: string, base: number, fileBytes: number, blankUnit: Uint8Array): void {
  disk.writeAtomically(`${directory}/${queueFileName(base)}`, Buffer.alloc(fileBytes, blankUnit));
}
