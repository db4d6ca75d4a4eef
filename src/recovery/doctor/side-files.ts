/** Checks what lies beside log, queues and index: abort file, checkpoints, configuration, everything else by name. */
import type { Disk } from "../../io/disk.js";
import { abortFileExists, readAbortPid } from "../abort-file.js";
import { StoreCheckpoint } from "../checkpoint.js";
import { readDeletedTopics } from "../deleted-topics.js";
import { readDispatchCheckpoint } from "../dispatch-checkpoint.js";
import { STORE_ENTRIES } from "../store-entries.js";
import type { Findings } from "./finding.js";
import { relativePath, type StoreFacts } from "./store-facts.js";

/** What the walk found out about the log. */
export interface LogExtent {
  readonly endOffset: number;
  readonly lastStoreTimestamp: number;
  readonly recordCount: number;
  /** It was said already that something is lost at the end. */
  readonly endsInDamage: boolean;
}

/** A table of a hundred thousand topics is a tenth of it. */
const CONFIG_BYTES_MAX = 512 * 1024 * 1024;

/** Parts of a store that the doctor does not look into. */
const OTHER = new Map([
  ["timerwheel", "the timer's wheel"],
  ["timerlog", "the timer's log"],
  ["compaction", "compacted topics"],
  ["rocksdbstore", "RocksDB"],
  ["timerrocksdb", "RocksDB"],
  ["transrocksdb", "RocksDB"],
  ["pop_rocksdb", "RocksDB"],
  ["kvStore", "RocksDB"],
  ["lost+found", "what recovery and repairs took out of the store"],
]);

export function checkAbortFile(disk: Disk, facts: StoreFacts, findings: Findings): void {
  const { abort } = facts.places;
  if (!abortFileExists(disk, abort)) return;
  const pid = readAbortPid(disk, abort);
  const who = pid === undefined ? "" : ` (process ${pid})`;
  findings.add("abort", { path: relativePath(facts.places, abort) }, `the store was not closed${who}`);
}

export function checkCheckpoints(
  disk: Disk,
  facts: StoreFacts,
  extent: LogExtent,
  nowMs: number,
  findings: Findings,
): void {
  const { places } = facts;
  const checkpoint = StoreCheckpoint.load(disk, places.checkpoint, nowMs);
  checkpoint.close();
  judgeCheckpoint(checkpoint, relativePath(places, places.checkpoint), extent, findings);
  if (disk.sizeOf(places.dispatchCheckpoint) < 0) return;
  const noted = readDispatchCheckpoint(disk, places.dispatchCheckpoint);
  const place = { path: relativePath(places, places.dispatchCheckpoint) };
  if (noted === undefined) findings.add("dispatch-checkpoint", place, "this is no note of CometMQ's");
  else if (noted.position > extent.endOffset && !extent.endsInDamage) {
    const what = `log offset ${noted.position} was dispatched, the log ends at ${extent.endOffset}`;
    findings.add("checkpoint.ahead", { ...place, phyOffset: noted.position }, what);
  }
}

function judgeCheckpoint(checkpoint: StoreCheckpoint, path: string, extent: LogExtent, findings: Findings): void {
  const { verdict, physicMsgTimestamp, confirmPhyOffset } = checkpoint;
  const { recordCount, lastStoreTimestamp, endOffset } = extent;
  if (verdict === "missing") {
    if (recordCount > 0) findings.add("checkpoint", { path }, "there is no checkpoint");
  } else if (verdict !== "ok") {
    findings.add("checkpoint", { path }, verdict === "short" ? "the file is too short" : "its values make no sense");
  } else if (extent.endsInDamage) {
    return;
  } else if (recordCount > 0 && physicMsgTimestamp > lastStoreTimestamp) {
    const what = `a message of ${timeText(physicMsgTimestamp)} was flushed, the log's last one is of ${timeText(lastStoreTimestamp)}`;
    findings.add("checkpoint.ahead", { path }, what);
  } else if (confirmPhyOffset > endOffset) {
    const what = `offset ${confirmPhyOffset} was confirmed, the log ends at ${endOffset}`;
    findings.add("checkpoint.ahead", { path, phyOffset: confirmPhyOffset }, what);
  }
}

/** A record may say anything about its time. */
function timeText(timestampMs: number): string {
  return Math.abs(timestampMs) < 8.64e15 ? new Date(timestampMs).toISOString() : `${timestampMs} ms`;
}

/** Without it messages of deleted topics would come back, so the store does not open. */
export function checkDeletedTopics(disk: Disk, facts: StoreFacts, findings: Findings): void {
  const { deletedTopics } = facts.places;
  try {
    readDeletedTopics(disk, deletedTopics);
  } catch {
    findings.add(
      "deleted-topics",
      { path: relativePath(facts.places, deletedTopics) },
      "this is no list of deleted topics",
    );
  }
}

/** `isConfig` says whether a broker would understand a file's text. */
export function checkConfig(
  disk: Disk,
  facts: StoreFacts,
  isConfig: (text: Buffer) => boolean,
  findings: Findings,
): void {
  const directory = `${facts.places.root}/config`;
  for (const name of disk.list(directory)) {
    const path = `${directory}/${name}`;
    if (disk.isDirectory(path)) continue;
    const isBackup = name.endsWith(".json.bak");
    if (!isBackup && !name.endsWith(".json")) continue;
    const isTooLong = disk.sizeOf(path) > CONFIG_BYTES_MAX;
    const text = isTooLong ? Buffer.alloc(0) : disk.readFile(path);
    if (text === undefined || isConfig(text)) continue;
    const shortened = isTooLong ? `longer than ${CONFIG_BYTES_MAX} bytes` : "the file is empty";
    const what = text.length === 0 ? shortened : "the text is no JSON, not even Apache's";
    findings.add(isBackup ? "config.bak" : "config", { path: relativePath(facts.places, path) }, what);
  }
}

export function listOthers(disk: Disk, facts: StoreFacts, findings: Findings): void {
  for (const name of disk.list(facts.places.root)) {
    const other = OTHER.get(name);
    const path = `${facts.places.root}/${name}`;
    const sizeBytes = disk.isDirectory(path) ? "a directory" : `${disk.sizeOf(path)} bytes`;
    if (other !== undefined) findings.add("file.other", { path: name }, `${other}, ${sizeBytes}`);
    else if (!STORE_ENTRIES.has(name)) findings.add("file.foreign", { path: name }, `no part of a store, ${sizeBytes}`);
  }
}
