/**
 * Everything a store holds, line by line: what its files are, what recovery makes of it, the log, the queues with their
 * messages, the index. The store is opened over its disk and never changed, so it may be anybody's, Apache's included.
 *
 *   const dump = await StoreDump.open({ disk: new FileDisk(), directory, conf });
 *   for (const line of dump.lines()) print(canonicalJson(line));
 *   await dump.close();
 *
 * Lines are made one by one. What is held of them are the keys of the messages, for look-ups come sorted.
 */
import type { Clock } from "../../base/clock.js";
import { readInt64 } from "../../base/int64.js";
import { SegmentQueue } from "../../commitlog/segment-queue.js";
import { BatchConsumeQueue } from "../../consumequeue/batch-consume-queue.js";
import { BatchConsumeQueueReader } from "../../consumequeue/batch-consume-queue-reader.js";
import { BATCH_UNIT_BYTES } from "../../consumequeue/batch-unit.js";
import { ConsumeQueueExt } from "../../consumequeue/consume-queue-ext.js";
import { FileCache } from "../../consumequeue/file-cache.js";
import { EXT_QUEUE_DIRECTORY_NAME, listQueues, queueDirectory } from "../../consumequeue/queue-directory.js";
import { QueueContext } from "../../consumequeue/queue-files.js";
import type { Disk } from "../../io/disk.js";
import { OverlayDisk } from "../../io/overlay-disk.js";
import type { RecoveryProgress, RecoveryReport } from "../../recovery/recover.js";
import { MessageStore } from "../message-store.js";
import type { StoreOptions } from "../options.js";
import { foundFileBytes, StorePaths } from "../store-directory.js";
import { fileLines } from "./file-lines.js";
import { indexFileLines, indexLines, type IndexLinesOptions } from "./index-lines.js";
import { KeyQueries } from "./key-queries.js";
import type { DumpLine } from "./line.js";
import { queueLines } from "./queue-lines.js";
import { BatchQueueView, type QueueView, SimpleQueueView } from "./queue-view.js";
import { RecordLog } from "./record-log.js";
import { type DumpSettings, dumpSettings } from "./settings.js";

export interface StoreDumpOptions {
  /** Where the store lies. Nothing is changed on it. */
  readonly disk: Disk;
  /** The store's root. */
  readonly directory: string;
  /** Where its segments lie, if not in `commitlog` below it. */
  readonly commitLogDirectory?: string;
  /** The properties of the broker.conf that the store was written with; the sizes among them matter. */
  readonly conf: ReadonlyMap<string, string>;
  readonly recovery?: StoreOptions["recovery"];
  readonly clock?: Clock;
  readonly onRecoveryProgress?: (progress: RecoveryProgress) => void;
}

const CHECKPOINT_FIELDS = [
  "physicMsgTimestamp",
  "logicsMsgTimestamp",
  "indexMsgTimestamp",
  "masterFlushedOffset",
  "confirmPhyOffset",
] as const;

export class StoreDump {
  readonly #below: Disk;
  readonly #overlay: OverlayDisk;
  readonly #paths: StorePaths;
  readonly #settings: DumpSettings;
  readonly #store: MessageStore;
  readonly #segments: SegmentQueue;
  readonly #cache: FileCache;
  /** The commit log, from its first byte to the end that recovery found. */
  readonly log: RecordLog;

  private constructor(
    below: Disk,
    overlay: OverlayDisk,
    paths: StorePaths,
    settings: DumpSettings,
    store: MessageStore,
  ) {
    this.#below = below;
    this.#overlay = overlay;
    this.#paths = paths;
    this.#settings = settings;
    this.#store = store;
    this.#segments = new SegmentQueue({
      disk: overlay,
      directory: paths.commitLog,
      segmentBytes: settings.segmentBytes,
      writable: false,
    });
    this.#segments.load();
    this.#cache = new FileCache(overlay);
    const { delayLevels, forceVerifyPropCRC: propertyCrc } = settings;
    this.log = new RecordLog({ segments: this.#segments, endOffset: store.maxPhyOffset, delayLevels, propertyCrc });
  }

  /** Opens the store with its recovery, which is done in memory. */
  static async open(options: StoreDumpOptions): Promise<StoreDump> {
    const { disk, directory, conf } = options;
    const overlay = new OverlayDisk(disk, options.clock);
    const paths = new StorePaths(directory, options.commitLogDirectory);
    const settings = dumpSettings(conf, disk, paths);
    const store = await MessageStore.open({
      directory,
      commitLogDirectory: options.commitLogDirectory,
      disk: overlay,
      clock: options.clock,
      segmentBytes: settings.segmentBytes,
      queueFileBytes: settings.queueFileBytes,
      batchQueueFileBytes: settings.batchQueueFileBytes,
      indexSizes: settings.indexSizes,
      indexEnabled: settings.messageIndexEnable && settings.indexKnown,
      delayLevels: settings.delayLevels,
      lmqEnabled: settings.lmqEnabled,
      recovery: options.recovery,
      commitLogRecoverMaxNum: settings.commitLogRecoverMaxNum,
      messageIndexSafe: settings.messageIndexSafe,
      forceVerifyPropCRC: settings.forceVerifyPropCRC,
      onRecoveryProgress: options.onRecoveryProgress,
    });
    return new StoreDump(disk, overlay, paths, settings, store);
  }

  /** What recovery found and did. */
  get recovery(): RecoveryReport {
    return this.#store.recovery;
  }

  *lines(): Generator<DumpLine> {
    yield* fileLines(this.#below, this.#paths.root);
    yield this.#checkpointFile();
    yield this.storeLine();
    const { checkpoint } = this.recovery;
    yield checkpointLine(
      "recovered",
      CHECKPOINT_FIELDS.map((field) => checkpoint[field]),
    );
    yield* this.log.lines();
    const queries = new KeyQueries();
    for (const queue of this.queues()) yield* queueLines(queue, this.log, queries);
    yield* indexLines(this.#indexOptions(), queries);
  }

  /** The headers of the index files, as `lines` has them. */
  indexFileLines(): Generator<DumpLine> {
    return indexFileLines(this.#indexOptions());
  }

  #indexOptions(): IndexLinesOptions {
    const { indexSizes: sizes, indexKnown: known } = this.#settings;
    return { disk: this.#overlay, directory: this.#paths.index, sizes, log: this.log, known };
  }

  #checkpointFile(): DumpLine {
    const bytes = this.#below.readFile(this.#paths.checkpoint);
    if (bytes === undefined) return { type: "checkpoint", stage: "file", missing: true };
    const view = new DataView(new ArrayBuffer(8 * CHECKPOINT_FIELDS.length));
    new Uint8Array(view.buffer).set(bytes.subarray(0, view.byteLength));
    return checkpointLine(
      "file",
      CHECKPOINT_FIELDS.map((_, i) => readInt64(view, 8 * i)),
    );
  }

  storeLine(): DumpLine {
    const hasSegment = foundFileBytes(this.#below, this.#paths.commitLog) !== undefined;
    return {
      type: "store",
      lastExit: this.#store.recovery.aborted ? "abnormal" : "normal",
      // Opening made the first segment where there was none.
      minPhyOffset: hasSegment ? this.#store.minPhyOffset : -1,
      maxPhyOffset: this.#store.maxPhyOffset,
      mappedFileSizeCommitLog: this.#settings.segmentBytes,
    };
  }

  /** Ordered by topic and queue id, whatever their kind. */
  queues(): QueueView[] {
    const simple: QueueView[] = this.#store.allQueues().map((queue) => {
      return new SimpleQueueView(this.#store, queue, this.#extOf(queue.topic, queue.queueId));
    });
    return [...simple, ...this.#batchQueues()].sort((a, b) =>
      a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.queueId - b.queueId,
    );
  }

  #extOf(topic: string, queueId: number): ConsumeQueueExt | undefined {
    const { extFileBytes } = this.#settings;
    if (extFileBytes === undefined) return undefined;
    const root = `${this.#paths.root}/${EXT_QUEUE_DIRECTORY_NAME}`;
    return new ConsumeQueueExt(this.#cache, queueDirectory(root, topic, queueId), extFileBytes);
  }

  #batchQueues(): QueueView[] {
    const disk = this.#overlay;
    const cache = this.#cache;
    const { minPhyOffset } = this.#store;
    const { batchQueueFileBytes: fileBytes } = this.#settings;
    const sizeOption = "mapperFileSizeBatchConsumeQueue";
    const context = new QueueContext({ disk, cache, fileBytes, unitBytes: BATCH_UNIT_BYTES, sizeOption });
    return listQueues(disk, this.#paths.batchConsumeQueue).queues.map(({ topic, queueId, directory }) => {
      const queue = new BatchConsumeQueue(context, directory, topic, queueId);
      queue.load();
      queue.recover("trusted");
      queue.correctMinOffset(minPhyOffset);
      return new BatchQueueView(queue, new BatchConsumeQueueReader(disk, cache, directory, fileBytes), minPhyOffset);
    });
  }

  /** Lets go of the store; what recovery did to it in memory is forgotten. */
  async close(): Promise<void> {
    this.#cache.close();
    this.#segments.close();
    await this.#store.close();
  }
}

function checkpointLine(stage: string, fields: readonly number[]): DumpLine {
  return { type: "checkpoint", stage, ...Object.fromEntries(CHECKPOINT_FIELDS.map((name, i) => [name, fields[i]])) };
}
