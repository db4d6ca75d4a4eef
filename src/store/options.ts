/** How a store is opened: names of CometMQ's own, with Apache's MessageStoreConfig beside them where it has one. */
import type { Clock } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import type { IndexSizes } from "../index/index-file.js";
import type { Backend, Disk } from "../io/disk.js";
import type { DelayLevels } from "../record/tags-code.js";
import type { RecoveryProgress } from "../recovery/recover.js";
import type { RetentionSettings } from "./retention-settings.js";

/** How a store is opened; only `directory` is needed. */
export interface StoreOptions {
  /** The store's root (storePathRootDir): holds commitlog/, consumequeue/, index/, checkpoint. */
  directory: string;
  /** Where the segments lie; `DIRECTORY/commitlog` by default (storePathCommitLog). */
  commitLogDirectory?: string | undefined;
  /** How files are reached; by default the best that loads: mmap-io, koffi, plain files. */
  backend?: Backend | "auto" | undefined;
  /** Replaces the disk altogether: memory, or one that fails on purpose. */
  disk?: Disk | undefined;
  /** In place of the system's, for tests. */
  clock?: Clock | undefined;
  /** Says nothing by default. */
  log?: Logger | undefined;
  /**
   * Bytes of a segment (mappedFileSizeCommitLog), 198 to 2^31-1: 1 GiB for a new store, what the files have for an old one.
   * No record is longer than its segment.
   */
  segmentBytes?: number | undefined;
  /** Bytes of a queue's file (mappedFileSizeConsumeQueue), rounded up to whole units of 20: 6,000,000, or what the files have. */
  queueFileBytes?: number | undefined;
  /** Bytes of a batch queue's file (mapperFileSizeBatchConsumeQueue): 13,800,000, or what the files have. */
  batchQueueFileBytes?: number | undefined;
  /**
   * Files of queues that each of the two threads keeps open. By default, of what the process may open, an eighth for the
   * one that reads, up to 4,096, and three eighths for the one that writes, up to 12,288; 64 at least. More queues than
   * that work, with an open and a close for many a visit.
   */
  openFilesMax?: number | undefined;
  /** Slots and entries of an index file (maxHashSlotNum, maxIndexNum): 5,000,000 and 20,000,000. */
  indexSizes?: IndexSizes | undefined;
  /** False leaves look-ups by key out (messageIndexEnable); true by default. */
  indexEnabled?: boolean | undefined;
  /** SYNC_FLUSH: a message is acknowledged, and visible, only once it is on the disk. ASYNC_FLUSH by default. */
  flushDiskType?: "ASYNC_FLUSH" | "SYNC_FLUSH" | undefined;
  /** Longest time between an append and its sync with ASYNC_FLUSH (flushIntervalCommitLog): 500 ms. */
  flushIntervalMs?: number | undefined;
  /** Longest time between a dispatch and its sync: bounds what a restart reads again. 10,000 ms. */
  dispatchSyncIntervalMs?: number | undefined;
  /**
   * Segments are read into memory when they are made, so that records never meet a page for the first time
   * (warmMapedFileEnable, in Apache's spelling); `open` resolves when those ahead are there. Off by default.
   */
  warmMapedFileEnable?: boolean | undefined;
  /** Whole segments kept ready behind the one in use, at most 64; 0, the default: one, from the middle of it on. */
  segmentsAhead?: number | undefined;
  /**
   * Every body of this length is taken (maxMessageSize), 4 MiB, whatever its topic and properties, for which 64 KiB come on
   * top; a longer one only where these leave room.
   */
  maxMessageSize?: number | undefined;
  /** What recovery takes a message of the delay topic to wait for (messageDelayLevel). */
  delayLevels?: DelayLevels | undefined;
  /**
   * How long messages are kept, and how full the disk may become (fileReservedTime, deleteWhen, diskMaxUsedSpaceRatio
   * and so on; Apache's defaults). The object is kept: changes of its members count at once.
   */
  retention?: Partial<RetentionSettings> | undefined;
  /** Recovery enters records into light message queues (enableLmq and enableMultiDispatch). */
  lmqEnabled?: boolean | undefined;
  /**
   * How the store is brought in order when it is opened: `thorough`, the default, brings back all that the log holds;
   * `apache` does what Apache's recovery does, with what that leaves lost, for comparisons. The three options below are
   * for the latter.
   */
  recovery?: "thorough" | "apache" | undefined;
  /** Segments that recovery reads at most, 10. */
  commitLogRecoverMaxNum?: number | undefined;
  messageIndexSafe?: boolean | undefined;
  forceVerifyPropCRC?: boolean | undefined;
  /** False dispatches on the calling thread; true by default. */
  threads?: boolean | undefined;
  /** Called now and then while a long recovery goes on. */
  onRecoveryProgress?: ((progress: RecoveryProgress) => void) | undefined;
}

export const SEGMENT_BYTES = 1024 * 1024 * 1024;
export const RECOVERED_SEGMENTS_MAX = 10;
export const FLUSH_INTERVAL_MS = 500;
export const DISPATCH_SYNC_INTERVAL_MS = 10_000;
export const SEGMENTS_AHEAD_MAX = 64;
export const MAX_MESSAGE_SIZE = 4 * 1024 * 1024;
/** What topic, properties and fields may add to a body. */
export const RECORD_EXTRA_BYTES = 64 * 1024;
