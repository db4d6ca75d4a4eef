/**
 * Where a queue's valid units begin, once the commit log begins at `minPhyOffset`. It is stored nowhere: it is searched
 * for at start and whenever the log loses segments, exactly as Apache searches (ConsumeQueue.correctMinOffset), for
 * consumers see the answer.
 */
import type { QueueFiles } from "./queue-files.js";
import { isBlankUnit, UNIT_BYTES } from "./unit.js";

/**
 * The byte position of the first valid unit, given the one found before. Three answers are Apache's own and not what one
 * would guess: when even the last unit lies before the log, min is max; when all of the *first file* does but a later one
 * does not, min stays; and only the first file is searched at all. Where min is in a file that is gone, Apache leaves it
 * there; here later files are searched, too.
 */
export function correctedMinBytes(files: QueueFiles, minBytes: number, minPhyOffset: number): number {
  const endBytes = files.endBytes;
  if (files.isEmpty || minBytes >= endBytes) return minBytes;
  if (files.int64At(endBytes - UNIT_BYTES) < minPhyOffset) return endBytes;
  const firstEnd = Math.min(endBytes, files.firstBase + files.fileBytes);
  const intact = minBytes >= files.firstBase;
  const start = intact ? minBytes : files.firstBase;
  if (start >= firstEnd) return minBytes;
  let found = intact && files.int64At(start) >= minPhyOffset ? start : search(files, start, firstEnd, minPhyOffset);
  if (found < 0 && !intact) found = search(files, firstEnd, endBytes, minPhyOffset);
  if (found < 0) return minBytes;
  // Blank units point at log offset 0, so only a log that still begins there could take them for messages.
  return minPhyOffset <= 0 ? files.scan(found, isBlankUnit) : found;
}

/** The first unit in [start, end) at or behind `minPhyOffset`, or -1. */
function search(files: QueueFiles, start: number, end: number, minPhyOffset: number): number {
  let low = 0;
  let high = (end - start) / UNIT_BYTES - 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    const phyOffset = files.int64At(start + middle * UNIT_BYTES);
    if (phyOffset === minPhyOffset) return start + middle * UNIT_BYTES;
    if (phyOffset > minPhyOffset) high = middle;
    else low = middle;
  }
  for (let unit = low; unit <= high; unit++) {
    const position = start + unit * UNIT_BYTES;
    if (files.int64At(position) >= minPhyOffset) return position;
  }
  return -1;
}
