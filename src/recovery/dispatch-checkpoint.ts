/**
 * CometMQ's own note beside Apache's `checkpoint`: up to which log offset queues and index are durable. Apache's file
 * speaks in times, to the nearest segment; this one in bytes, so that a restart reads only what it must.
 *
 * It counts only while nobody else has worked on the store since: it holds the five fields of Apache's checkpoint as
 * they were written together with it, and how many queues there were. Where these do not fit what is found (another
 * broker ran, queues were removed), the whole log is read, which takes longer and loses nothing.
 */
import type { Disk } from "../io/disk.js";

const VERSION = 1;

export interface DispatchCheckpoint {
  /** Queues and index are durable for everything below. */
  readonly position: number;
  /** The store was closed in order, and this is the log's end. */
  readonly closed: boolean;
  readonly queueCount: number;
  /** A record boundary some megabytes before `position`: the tail is checked from there on every start. */
  readonly tailFrom: number;
  /** The five fields of Apache's checkpoint. */
  readonly checkpoint: readonly number[];
}

export function readDispatchCheckpoint(disk: Disk, path: string): DispatchCheckpoint | undefined {
  const text = disk.readFile(path)?.subarray(0, 4096).toString("utf8");
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text) as Partial<DispatchCheckpoint> & { version?: unknown };
    if (value.version !== VERSION || typeof value.closed !== "boolean" || !Array.isArray(value.checkpoint))
      return undefined;
    const numbers = [value.position, value.queueCount, value.tailFrom, ...value.checkpoint];
    if (!numbers.every((number) => Number.isSafeInteger(number) && (number as number) >= -1)) return undefined;
    return value as DispatchCheckpoint;
  } catch {
    return undefined;
  }
}

export function writeDispatchCheckpoint(disk: Disk, path: string, value: DispatchCheckpoint): void {
  disk.writeAtomically(path, `${JSON.stringify({ version: VERSION, ...value })}\n`);
}
