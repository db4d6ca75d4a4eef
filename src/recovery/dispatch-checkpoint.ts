/**
 * CometMQ's own note beside Apache's `checkpoint`: up to which log offset the log is durable and queues and index are
 * built from it, and how much there was in them. Apache's file speaks in times, to the nearest segment; this one in
 * bytes, so that a restart reads only what it must.
 *
 * It counts only while nobody else has worked on the store since: it holds the five fields that Apache's checkpoint got
 * right after it was written, and those it had before, for a crash may fall between the two. Where these do not fit
 * what is found (another broker ran), the whole log is read, which takes longer and loses nothing. So it is when queues
 * or index hold less than was noted.
 */
import type { DerivedCounts } from "../dispatch/derived-counts.js";
import type { Disk } from "../io/disk.js";
import type { StoreCheckpoint } from "./checkpoint.js";

const VERSION = 2;

export interface DispatchCheckpoint {
  /** The log is durable so far, queues and index hold everything below. */
  readonly position: number;
  /** The store was closed in order, and `position` is the log's end. */
  readonly closed: boolean;
  /** A record boundary some megabytes before `position`: the tail is checked from there on every start. */
  readonly tailFrom: number;
  /** What queues and index held at `position`. */
  readonly counts: DerivedCounts;
  /** The five fields of Apache's checkpoint as saved next, and as they were before. */
  readonly checkpoint: readonly number[];
  readonly checkpointBefore: readonly number[];
}

export function checkpointFields(checkpoint: StoreCheckpoint): number[] {
  const { physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset } =
    checkpoint;
  return [physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset];
}

/** Whether nobody has written Apache's checkpoint since. */
export function belongsTo(noted: DispatchCheckpoint, checkpoint: StoreCheckpoint): boolean {
  const fields = checkpointFields(checkpoint);
  return [noted.checkpoint, noted.checkpointBefore].some((wanted) => fields.every((value, i) => value === wanted[i]));
}

export function readDispatchCheckpoint(disk: Disk, path: string): DispatchCheckpoint | undefined {
  const text = disk.readFile(path)?.subarray(0, 4096).toString("utf8");
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text) as Partial<DispatchCheckpoint> & { version?: unknown };
    const { counts, checkpoint, checkpointBefore } = value;
    if (value.version !== VERSION || typeof value.closed !== "boolean" || counts === undefined) return undefined;
    if (!Array.isArray(checkpoint) || !Array.isArray(checkpointBefore)) return undefined;
    const { queueCount, unitCount, firstUnitSum, indexEntryCount } = counts;
    const numbers = [value.position, value.tailFrom, queueCount, unitCount, firstUnitSum, indexEntryCount];
    const isNumber = (number: unknown) => Number.isSafeInteger(number) && (number as number) >= -1;
    return [...numbers, ...checkpoint, ...checkpointBefore].every(isNumber) ? (value as DispatchCheckpoint) : undefined;
  } catch {
    return undefined;
  }
}

export function dispatchCheckpointText(value: DispatchCheckpoint): string {
  return `${JSON.stringify({ version: VERSION, ...value })}\n`;
}

export function writeDispatchCheckpoint(disk: Disk, path: string, value: DispatchCheckpoint): void {
  disk.writeAtomically(path, dispatchCheckpointText(value));
}

/**
 * Has every start read the whole log until there is a new note: for a recovery that finds something missing may be killed
 * when it has made half of it again, and then the counts could tell nothing.
 */
export function noteLoss(disk: Disk, path: string, noted: DispatchCheckpoint): void {
  const counts = { ...noted.counts, queueCount: Number.MAX_SAFE_INTEGER };
  writeDispatchCheckpoint(disk, path, { ...noted, closed: false, counts });
}
