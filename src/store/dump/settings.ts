/**
 * The sizes and switches a store was written with, from the properties of its broker.conf, under Apache's names. What is
 * not stated there is taken from the files, or is Apache's default.
 */
import { CometError } from "../../base/errors.js";
import { BATCH_CONSUME_QUEUE_FILE_BYTES } from "../../consumequeue/batch-consume-queue.js";
import { BATCH_UNIT_BYTES } from "../../consumequeue/batch-unit.js";
import { CONSUME_QUEUE_EXT_FILE_BYTES } from "../../consumequeue/consume-queue-ext.js";
import { UNIT_BYTES } from "../../consumequeue/unit.js";
import { DEFAULT_INDEX_SIZES, type IndexSizes } from "../../index/index-file.js";
import type { Disk } from "../../io/disk.js";
import { DEFAULT_DELAY_LEVELS, type DelayLevels, parseDelayLevels } from "../../record/tags-code.js";
import { RECOVERED_SEGMENTS_MAX, SEGMENT_BYTES } from "../options.js";
import { foundFileBytes, foundQueueFileBytes, type StorePaths } from "../store-directory.js";

export interface DumpSettings {
  readonly segmentBytes: number;
  /** Undefined where neither the properties nor a file tells. */
  readonly queueFileBytes: number | undefined;
  readonly batchQueueFileBytes: number;
  /** Undefined where tags codes are never addresses (enableConsumeQueueExt). */
  readonly extFileBytes: number | undefined;
  readonly indexSizes: IndexSizes;
  /** False leaves the index out: its files do not tell their sizes. */
  readonly indexKnown: boolean;
  readonly messageIndexEnable: boolean;
  readonly messageIndexSafe: boolean;
  readonly commitLogRecoverMaxNum: number;
  readonly forceVerifyPropCRC: boolean;
  readonly lmqEnabled: boolean;
  readonly delayLevels: DelayLevels;
}

export function dumpSettings(conf: ReadonlyMap<string, string>, disk: Disk, paths: StorePaths): DumpSettings {
  const queueFileBytes = integer(conf, "mappedFileSizeConsumeQueue");
  const batchQueueFileBytes =
    integer(conf, "mapperFileSizeBatchConsumeQueue") ?? foundQueueFileBytes(disk, paths.batchConsumeQueue);
  return {
    segmentBytes: integer(conf, "mappedFileSizeCommitLog") ?? foundFileBytes(disk, paths.commitLog) ?? SEGMENT_BYTES,
    queueFileBytes: queueFileBytes === undefined ? undefined : wholeUnits(queueFileBytes, UNIT_BYTES),
    batchQueueFileBytes: wholeUnits(batchQueueFileBytes ?? BATCH_CONSUME_QUEUE_FILE_BYTES, BATCH_UNIT_BYTES),
    extFileBytes: flag(conf, "enableConsumeQueueExt", false)
      ? (integer(conf, "mappedFileSizeConsumeQueueExt") ?? CONSUME_QUEUE_EXT_FILE_BYTES)
      : undefined,
    indexSizes: {
      maxHashSlotNum: integer(conf, "maxHashSlotNum") ?? DEFAULT_INDEX_SIZES.maxHashSlotNum,
      maxIndexNum: integer(conf, "maxIndexNum") ?? DEFAULT_INDEX_SIZES.maxIndexNum,
    },
    indexKnown: conf.has("maxHashSlotNum") || !disk.isDirectory(paths.index),
    messageIndexEnable: flag(conf, "messageIndexEnable", true),
    messageIndexSafe: flag(conf, "messageIndexSafe", false),
    commitLogRecoverMaxNum: integer(conf, "commitLogRecoverMaxNum") ?? RECOVERED_SEGMENTS_MAX,
    forceVerifyPropCRC: flag(conf, "forceVerifyPropCRC", false),
    lmqEnabled: flag(conf, "enableLmq", false) && flag(conf, "enableMultiDispatch", false),
    delayLevels: parseDelayLevels(conf.get("messageDelayLevel") ?? DEFAULT_DELAY_LEVELS),
  };
}

function wholeUnits(bytes: number, unitBytes: number): number {
  return Math.ceil(bytes / unitBytes) * unitBytes;
}

function integer(conf: ReadonlyMap<string, string>, name: string): number | undefined {
  const text = conf.get(name)?.trim();
  if (text === undefined) return undefined;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 2 ** 31 - 1)
    throw new CometError("COMETMQ_CONFIG", `${name}=${text}: expected an integer from 1 to 2147483647.`);
  return value;
}

function flag(conf: ReadonlyMap<string, string>, name: string, initial: boolean): boolean {
  const text = conf.get(name)?.trim().toLowerCase();
  if (text === undefined) return initial;
  if (text !== "true" && text !== "false")
    throw new CometError("COMETMQ_CONFIG", `${name}=${text}: expected true or false.`);
  return text === "true";
}
