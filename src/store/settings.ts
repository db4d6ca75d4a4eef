/** What a store is opened with: options, defaults, and what its files say. */
import { systemClock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import { silentLogger } from "../base/log.js";
import { BATCH_CONSUME_QUEUE_FILE_BYTES } from "../consumequeue/batch-consume-queue.js";
import { BATCH_UNIT_BYTES } from "../consumequeue/batch-unit.js";
import { CONSUME_QUEUE_FILE_BYTES } from "../consumequeue/consume-queue.js";
import { UNIT_BYTES } from "../consumequeue/unit.js";
import { DEFAULT_INDEX_SIZES } from "../index/index-file.js";
import type { Disk } from "../io/disk.js";
import { readerOpenFiles, writerOpenFiles } from "../io/open-files.js";
import { DEFAULT_DELAY_LEVELS, parseDelayLevels } from "../record/tags-code.js";
import type { ApacheRecoverySettings } from "../recovery/apache-recovery.js";
import {
  DISPATCH_SYNC_INTERVAL_MS,
  FLUSH_INTERVAL_MS,
  MAX_MESSAGE_SIZE,
  RECORD_EXTRA_BYTES,
  RECOVERED_SEGMENTS_MAX,
  SEGMENT_BYTES,
  type StoreOptions,
} from "./options.js";
import { currentRetention } from "./retention-settings.js";
import { foundFileBytes, foundQueueFileBytes, type StorePaths } from "./store-directory.js";

/** Options with nothing left open. */
export type Settings = ReturnType<typeof settle>;

export function settle(options: StoreOptions, disk: Disk, paths: StorePaths) {
  const found = foundFileBytes(disk, paths.commitLog);
  if (found !== undefined && options.segmentBytes !== undefined && found !== options.segmentBytes) {
    throw new CometError(
      "COMETMQ_STORE_LAYOUT",
      `The segments in ${paths.commitLog} have ${found} bytes, but mappedFileSizeCommitLog is ${options.segmentBytes}.`,
    );
  }
  return {
    disk,
    paths,
    clock: options.clock ?? systemClock,
    log: options.log ?? silentLogger,
    segmentBytes: found ?? options.segmentBytes ?? SEGMENT_BYTES,
    queueFileBytes: wholeUnits(
      options.queueFileBytes ?? foundQueueFileBytes(disk, paths.consumeQueue) ?? CONSUME_QUEUE_FILE_BYTES,
      UNIT_BYTES,
    ),
    batchQueueFileBytes: wholeUnits(
      options.batchQueueFileBytes ??
        foundQueueFileBytes(disk, paths.batchConsumeQueue) ??
        BATCH_CONSUME_QUEUE_FILE_BYTES,
      BATCH_UNIT_BYTES,
    ),
    readFilesMax: options.openFilesMax ?? readerOpenFiles(),
    writtenFilesMax: options.openFilesMax ?? writerOpenFiles(),
    indexSizes: options.indexSizes ?? DEFAULT_INDEX_SIZES,
    indexEnabled: options.indexEnabled ?? true,
    syncFlush: options.flushDiskType === "SYNC_FLUSH",
    flushIntervalMs: options.flushIntervalMs ?? FLUSH_INTERVAL_MS,
    syncIntervalMs: options.dispatchSyncIntervalMs ?? DISPATCH_SYNC_INTERVAL_MS,
    recordBytesMax: (options.maxMessageSize ?? MAX_MESSAGE_SIZE) + RECORD_EXTRA_BYTES,
    segmentsAhead: options.segmentsAhead ?? 0,
    preloads: options.warmMapedFileEnable ?? false,
    delayLevels: options.delayLevels ?? parseDelayLevels(DEFAULT_DELAY_LEVELS),
    lmqEnabled: options.lmqEnabled ?? false,
    apacheRecovery: apacheRecovery(options),
    retention: () => currentRetention(options.retention ?? {}),
    threads: (options.threads ?? true) && disk.threadable,
    onRecoveryProgress: options.onRecoveryProgress,
  };
}

/** As Apache does: no unit lies in two files. */
function wholeUnits(fileBytes: number, unitBytes: number): number {
  return Math.ceil(fileBytes / unitBytes) * unitBytes;
}

function apacheRecovery(options: StoreOptions): ApacheRecoverySettings | undefined {
  if (options.recovery !== "apache") return undefined;
  return {
    segmentsMax: options.commitLogRecoverMaxNum ?? RECOVERED_SEGMENTS_MAX,
    indexSafe: options.messageIndexSafe ?? false,
    propertyCrc: options.forceVerifyPropCRC ?? false,
  };
}
