/**
 * Topics that were deleted, and where the log ended then: their records before that place belong to nobody, whoever
 * builds queues from the log. So a topic that is made again begins at offset 0, and the messages it had before do not
 * come back, not even when its queues are lost and built anew. Apache forgets a deleted topic's queues and nothing else
 * (store/DefaultMessageStore.java#deleteTopics); it passes over this file.
 *
 * Written by the event loop before a deletion is acknowledged, read when the store is opened. An entry is dropped once
 * the log begins behind its place.
 */
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";

const VERSION = 1;

/** Topic to the log offset before which its records do not count. */
export type DeletedTopics = ReadonlyMap<string, number>;

/** Empty without a file. Throws COMETMQ_STORE_CORRUPT when it cannot be read: deleted messages would come back. */
export function readDeletedTopics(disk: Disk, path: string): Map<string, number> {
  const bytes = disk.readFile(path);
  if (bytes === undefined) return new Map();
  const topics = parse(bytes);
  if (topics === undefined) throw new CometError("COMETMQ_STORE_CORRUPT", `${path} is no list of deleted topics.`);
  return topics;
}

function parse(bytes: Buffer): Map<string, number> | undefined {
  try {
    const { version, topics } = JSON.parse(bytes.toString("utf8")) as { version?: unknown; topics?: unknown };
    if (version !== VERSION || !Array.isArray(topics)) return undefined;
    const deleted = new Map<string, number>();
    for (const entry of topics) {
      if (!Array.isArray(entry) || typeof entry[0] !== "string") return undefined;
      if (!Number.isSafeInteger(entry[1]) || entry[1] < 0) return undefined;
      deleted.set(entry[0], entry[1]);
    }
    return deleted;
  } catch {
    return undefined;
  }
}

/** Durable when it returns. */
export function writeDeletedTopics(disk: Disk, path: string, topics: DeletedTopics): void {
  disk.writeAtomically(path, textOf(topics));
}

/** The same beside the event loop; nobody may write the file meanwhile. */
export async function replaceDeletedTopics(disk: Disk, path: string, topics: DeletedTopics): Promise<void> {
  await disk.replace(path, textOf(topics));
}

function textOf(topics: DeletedTopics): string {
  return `${JSON.stringify({ version: VERSION, topics: [...topics] })}\n`;
}

/**
 * What counts for a log that begins at `firstOffset` and ends at `endOffset`: where a crash has cut off the place of a
 * deletion, the log's end is the place. Answers `topics` itself when nothing changes.
 */
export function fitDeletedTopics(topics: DeletedTopics, firstOffset: number, endOffset: number): DeletedTopics {
  const fitting = new Map<string, number>();
  let changed = false;
  for (const [topic, place] of topics) {
    const fitted = Math.min(place, endOffset);
    if (fitted > firstOffset) fitting.set(topic, fitted);
    changed ||= fitted !== place || fitted <= firstOffset;
  }
  return changed ? fitting : topics;
}
