/**
 * Judges a directory before anything is written into it: a store, an empty place for a new one, or something else, which
 * is refused and left as it is.
 */
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";
import { STORE_ENTRIES } from "../recovery/store-entries.js";

/** Where the parts of a store lie. */
export class StorePaths {
  readonly root: string;
  readonly commitLog: string;
  readonly consumeQueue: string;
  readonly batchConsumeQueue: string;
  readonly index: string;
  readonly checkpoint: string;
  readonly dispatchCheckpoint: string;
  readonly deletedTopics: string;
  readonly abort: string;
  readonly lock: string;
  /** The broker's table of topics. */
  readonly topics: string;

  constructor(root: string, commitLog: string | undefined) {
    this.root = root;
    this.commitLog = commitLog ?? `${root}/commitlog`;
    this.consumeQueue = `${root}/consumequeue`;
    this.batchConsumeQueue = `${root}/batchconsumequeue`;
    this.index = `${root}/index`;
    this.checkpoint = `${root}/checkpoint`;
    this.dispatchCheckpoint = `${root}/dispatch.checkpoint`;
    this.deletedTopics = `${root}/deleted.topics`;
    this.abort = `${root}/abort`;
    this.lock = `${root}/lock`;
    this.topics = `${root}/config/topics.json`;
  }
}

/** Throws COMETMQ_NOT_A_STORE; touches nothing. */
export function checkStoreDirectory(disk: Disk, paths: StorePaths): void {
  for (const path of [paths.root, paths.commitLog, paths.consumeQueue, paths.batchConsumeQueue, paths.index]) {
    if (disk.sizeOf(path) < 0 || disk.isDirectory(path)) continue;
    throw new CometError("COMETMQ_NOT_A_STORE", `${path} is a file.`);
  }
  const names = disk.list(paths.root);
  if (names.includes("commitlog")) return;
  const stranger = names.find((name) => !STORE_ENTRIES.has(name));
  if (stranger === undefined) return;
  throw new CometError(
    "COMETMQ_NOT_A_STORE",
    `${paths.root} has no commitlog, but it holds ${JSON.stringify(stranger)}.`,
  );
}

/**
 * The size that most files in `directory` have whose name is 20 digits, of equally many the first: what the store was
 * written with, though one of them be cut short; undefined without one.
 */
export function foundFileBytes(disk: Disk, directory: string): number | undefined {
  const counts = new Map<number, number>();
  for (const name of disk.list(directory)) {
    const path = `${directory}/${name}`;
    if (!/^\d{20}$/.test(name) || disk.isDirectory(path)) continue;
    const sizeBytes = disk.sizeOf(path);
    if (sizeBytes > 0) counts.set(sizeBytes, (counts.get(sizeBytes) ?? 0) + 1);
  }
  const most = Math.max(...counts.values());
  return [...counts.keys()].find((sizeBytes) => counts.get(sizeBytes) === most);
}

/**
 * The same for queues: the larger one of the first two files that two queues have, for a process killed while it cuts a
 * queue leaves one file too short.
 */
export function foundQueueFileBytes(disk: Disk, root: string): number | undefined {
  let before: number | undefined;
  for (const topic of disk.list(root)) {
    for (const queueId of disk.list(`${root}/${topic}`)) {
      const sizeBytes = foundFileBytes(disk, `${root}/${topic}/${queueId}`);
      if (before !== undefined && sizeBytes !== undefined) return Math.max(before, sizeBytes);
      before ??= sizeBytes;
    }
  }
  return before;
}
