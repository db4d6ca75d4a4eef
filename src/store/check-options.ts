/** Refuses options that no store can be opened with, before anything is made: what they may be is said in options.ts. */
import { CometError } from "../base/errors.js";
import { checkClockAndLog, shown } from "../base/given-values.js";
import type { Disk } from "../io/disk.js";
import { checkOptionNames, type OptionNames } from "../base/option-names.js";
import { BLANK_BYTES_MIN, RECORD_BYTES_MIN } from "../record/layout.js";
import { SEGMENTS_AHEAD_MAX, type StoreOptions } from "./options.js";

const INT32_MAX = 0x7fffffff;
/** One record and the blank behind it: less would take no message. */
const SEGMENT_BYTES_MIN = 2 * (RECORD_BYTES_MIN + BLANK_BYTES_MIN);
/** Beyond it a timer would fire at once. */
const DELAY_MS_MAX = INT32_MAX;

const INTEGERS = [
  ["segmentBytes", SEGMENT_BYTES_MIN, INT32_MAX],
  ["queueFileBytes", 1, INT32_MAX],
  ["batchQueueFileBytes", 1, INT32_MAX],
  ["openFilesMax", 1, INT32_MAX],
  ["flushIntervalMs", 0, DELAY_MS_MAX],
  ["dispatchSyncIntervalMs", 0, DELAY_MS_MAX],
  ["segmentsAhead", 0, SEGMENTS_AHEAD_MAX],
  ["maxMessageSize", 1, INT32_MAX],
  ["commitLogRecoverMaxNum", 1, INT32_MAX],
] as const satisfies readonly (readonly [keyof StoreOptions, number, number])[];

const WORDS = [
  ["flushDiskType", ["ASYNC_FLUSH", "SYNC_FLUSH"]],
  ["recovery", ["thorough", "apache"]],
] as const satisfies readonly (readonly [keyof StoreOptions, readonly string[]])[];

const NAMES: OptionNames<StoreOptions> = {
  directory: true,
  commitLogDirectory: true,
  backend: true,
  disk: true,
  clock: true,
  log: true,
  segmentBytes: true,
  queueFileBytes: true,
  batchQueueFileBytes: true,
  openFilesMax: true,
  indexSizes: true,
  indexEnabled: true,
  flushDiskType: true,
  flushIntervalMs: true,
  dispatchSyncIntervalMs: true,
  warmMapedFileEnable: true,
  segmentsAhead: true,
  maxMessageSize: true,
  delayLevels: true,
  retention: true,
  lmqEnabled: true,
  recovery: true,
  commitLogRecoverMaxNum: true,
  messageIndexSafe: true,
  forceVerifyPropCRC: true,
  threads: true,
  onRecoveryProgress: true,
};

const DIRECTORIES = ["directory", "commitLogDirectory"] as const;

/** Throws COMETMQ_CONFIG. */
export function checkOptions(options: StoreOptions): void {
  checkOptionNames("MessageStore.open", options, NAMES);
  checkClockAndLog(options);
  if (options.disk !== undefined && typeof (options.disk as Partial<Disk> | null)?.makeDirectory !== "function")
    throw new CometError("COMETMQ_CONFIG", `disk is ${shown(options.disk)}, no Disk.`);
  for (const name of DIRECTORIES) {
    const path: unknown = options[name];
    if (path === undefined && name !== "directory") continue;
    if (typeof path === "string" && path !== "" && !path.includes("\0")) continue;
    throw new CometError("COMETMQ_CONFIG", `${name} is ${shown(path)}, which is no path.`);
  }
  for (const [name, min, max] of INTEGERS) {
    const value = options[name];
    if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) continue;
    throw new CometError("COMETMQ_CONFIG", `${name} is ${shown(value)}; it is an integer from ${min} to ${max}.`);
  }
  for (const [name, words] of WORDS) {
    const value = options[name];
    if (value === undefined || (words as readonly string[]).includes(value)) continue;
    throw new CometError("COMETMQ_CONFIG", `${name} is ${shown(value)}; it is ${words.join(" or ")}.`);
  }
}
