/** Opens a store: judges the directory, locks it, recovers, starts dispatch and flushing. */
import type { CometError } from "../base/errors.js";
import { CommitLog } from "../commitlog/commit-log.js";
import { SegmentPreload } from "../commitlog/preload.js";
import { Flusher } from "../commitlog/flusher.js";
import { SegmentQueue } from "../commitlog/segment-queue.js";
import { SegmentMaker } from "../commitlog/segment-source.js";
import { BATCH_UNIT_BYTES } from "../consumequeue/batch-unit.js";
import { BlockPool } from "../consumequeue/block-pool.js";
import { FileCache } from "../consumequeue/file-cache.js";
import { QueueContext } from "../consumequeue/queue-files.js";
import { UNIT_BYTES } from "../consumequeue/unit.js";
import type { DerivedCounts } from "../dispatch/derived-counts.js";
import type { Dispatch, DispatchEvents, ExpiryStep } from "../dispatch/dispatch.js";
import { Dispatcher } from "../dispatch/dispatcher.js";
import { DispatchThread } from "../dispatch/dispatch-thread.js";
import { loadIndex, openIndexSink } from "../dispatch/index-sink.js";
import { InlineDispatch } from "../dispatch/inline-dispatch.js";
import { QueueTable } from "../dispatch/queue-table.js";
import { QueueProgress, SharedProgress } from "../dispatch/shared-progress.js";
import { IndexQuery } from "../index/index-query.js";
import type { Disk } from "../io/disk.js";
import { chooseBackend, FileDisk } from "../io/file-disk.js";
import { createAbortFile, lastStoreEnd, removeAbortFile, type StoreEnd } from "../recovery/abort-file.js";
import { StoreCheckpoint } from "../recovery/checkpoint.js";
import { END_WORDS } from "../recovery/continuation.js";
import { fitDeletedTopics, readDeletedTopics, writeDeletedTopics } from "../recovery/deleted-topics.js";
import { checkpointFields, noteLoss, readDispatchCheckpoint } from "../recovery/dispatch-checkpoint.js";
import { recover, type Recovered } from "../recovery/recover.js";
import { readBatchTopics } from "./batch-topics.js";
import { checkOptions } from "./check-options.js";
import { Checkpoints } from "./checkpoints.js";
import { DiskWatch } from "./disk-watch.js";
import { LookUp } from "./look-up.js";
import { MessageReader } from "./message-reader.js";
import type { StoreOptions } from "./options.js";
import { Retention } from "./retention.js";
import { checkRetention, currentRetention } from "./retention-settings.js";
import { type Settings, settle } from "./settings.js";
import { checkStoreDirectory, StorePaths } from "./store-directory.js";
import type { StoreParts } from "./store-parts.js";
import { QueueUnits } from "./queue-units.js";
import { StoreQueues } from "./store-queue.js";

export interface StoreEvents {
  onArrivals: () => void;
  onFlushed: (position: number) => void;
  onFailure: (error: CometError) => void;
}

/** Refuses what cannot be opened, before anything is made or locked: it is left as it was. */
function judge(options: StoreOptions, disk: Disk, paths: StorePaths): void {
  checkStoreDirectory(disk, paths);
  const { segmentBytes } = settle(options, disk, paths);
  new SegmentQueue({ disk, directory: paths.commitLog, segmentBytes, writable: false }).judge();
}

export async function openStore(options: StoreOptions, events: StoreEvents): Promise<StoreParts> {
  checkOptions(options);
  checkRetention(currentRetention(options.retention ?? {}));
  const disk = options.disk ?? new FileDisk(chooseBackend(options.backend));
  const paths = new StorePaths(options.directory, options.commitLogDirectory);
  judge(options, disk, paths);
  disk.makeDirectory(paths.root);
  const lock = disk.lock(paths.lock);
  try {
    disk.makeDirectory(paths.commitLog);
    return await new Opening(settle(options, disk, paths), events, () => lock.release()).open();
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** One opening, step by step; the order of its methods is the order of things. */
class Opening {
  readonly #settings: Settings;
  readonly #events: StoreEvents;
  readonly #unlock: () => void;
  readonly #cache: FileCache;
  readonly #queues: StoreQueues;
  readonly #checkpoint: StoreCheckpoint;
  /** The checkpoint's, before recovery goes on with it. */
  readonly #savedFields: readonly number[];
  readonly #deletedTopics: Map<string, number>;
  readonly #watch: DiskWatch;
  #checkpoints: Checkpoints | undefined;
  #retention: Retention | undefined;
  #lookUp: LookUp | undefined;

  constructor(settings: Settings, events: StoreEvents, unlock: () => void) {
    const { disk, paths, clock, log, retention, queueFileBytes } = settings;
    log.info({ directory: paths.root, backend: disk.backend }, "opening the store");
    this.#settings = settings;
    this.#events = events;
    this.#unlock = unlock;
    this.#cache = new FileCache(disk, settings.readFilesMax);
    const readers = { disk, cache: this.#cache, blocks: new BlockPool(), fileBytes: queueFileBytes };
    this.#queues = new StoreQueues(paths.consumeQueue, readers);
    this.#checkpoint = StoreCheckpoint.load(disk, paths.checkpoint, clock.nowMs());
    this.#savedFields = checkpointFields(this.#checkpoint);
    this.#deletedTopics = readDeletedTopics(disk, paths.deletedTopics);
    this.#watch = new DiskWatch({
      disk,
      clock,
      log,
      settings: retention,
      commitLogDirectory: paths.commitLog,
      rootDirectory: paths.root,
    });
  }

  async open(): Promise<StoreParts> {
    const { disk, paths, clock, threads, segmentBytes } = this.#settings;
    const lastEnd = lastStoreEnd(disk, paths.abort);
    const segments = new SegmentQueue({ disk, directory: paths.commitLog, segmentBytes, writable: true });
    const thread = threads ? new DispatchThread(this.#dispatchEvents()) : undefined;
    try {
      this.#load(segments);
      const recovered = await this.#recover(segments, lastEnd);
      // Not earlier: should this recovery be killed, the next one has the same log before it.
      if (lastEnd !== "closed") createAbortFile(disk, paths.abort, process.pid);
      if (segments.count === 0) this.#firstSegment(segments);
      this.#checkpoints = new Checkpoints({
        disk,
        path: paths.dispatchCheckpoint,
        checkpoint: this.#checkpoint,
        savedFields: this.#savedFields,
        position: recovered.endOffset,
        tailFrom: recovered.tailFrom,
        counts: recovered.counts,
      });
      if (recovered.noteIsOld) await this.#saveNotes();
      const dispatch = this.#startDispatch(thread, segments, recovered.endOffset, recovered.counts);
      const { endOffset: appendPosition, lastStoreTimestamp } = recovered;
      const { source } = dispatch;
      const { recordBytesMax, segmentsAhead, preloads } = this.#settings;
      const preload = preloads ? new SegmentPreload(disk, segments, source, appendPosition) : undefined;
      const commitLog = new CommitLog({
        segments,
        source,
        clock,
        appendPosition,
        lastStoreTimestamp,
        recordBytesMax,
        segmentsAhead,
        preload,
      });
      await commitLog.whenAheadReady();
      return this.#parts(segments, commitLog, dispatch, recovered);
    } catch (error) {
      await thread?.abandon();
      this.#checkpoints?.close();
      this.#cache.close();
      segments.close();
      throw error;
    }
  }

  #load(segments: SegmentQueue): void {
    const { paths, log } = this.#settings;
    const { foreign } = segments.load();
    if (foreign.length > 0)
      log.warn({ directory: paths.commitLog, foreign }, "files that are no segments are left alone");
  }

  async #recover(segments: SegmentQueue, lastEnd: StoreEnd): ReturnType<typeof recover> {
    const { disk, clock, paths, log } = this.#settings;
    const noted = readDispatchCheckpoint(disk, paths.dispatchCheckpoint);
    const batchTopics = new Set([...readBatchTopics(disk, paths.topics), ...disk.list(paths.batchConsumeQueue)]);
    const unusable = [
      ["short", "nonsense"].includes(this.#checkpoint.verdict) ? paths.checkpoint : [],
      noted === undefined && disk.sizeOf(paths.dispatchCheckpoint) >= 0 ? paths.dispatchCheckpoint : [],
    ].flat();
    if (unusable.length > 0)
      log.warn({ unusable }, "checkpoints that make no sense: all of the log is read, then they are made anew");
    const recovered = await recover({
      disk,
      clock,
      storeDirectory: paths.root,
      segments,
      queueContext: this.#queueContext(),
      queueRoot: paths.consumeQueue,
      batch: {
        context: this.#batchQueueContext(),
        root: paths.batchConsumeQueue,
        topics: batchTopics,
      },
      lmqEnabled: this.#settings.lmqEnabled,
      indexDirectory: paths.index,
      indexSizes: this.#settings.indexSizes,
      indexEnabled: this.#settings.indexEnabled,
      delayLevels: this.#settings.delayLevels,
      slotOf: (topic, queueId) => (this.#queues.find(topic, queueId) ?? this.#queues.add(topic, queueId)).slot,
      lastEnd,
      onBegin: () => {
        if (lastEnd === "closed") createAbortFile(disk, paths.abort, process.pid);
      },
      onLoss: () => {
        if (noted !== undefined) noteLoss(disk, paths.dispatchCheckpoint, noted);
      },
      checkpoint: this.#checkpoint,
      noted,
      apache: this.#settings.apacheRecovery,
      deleted: this.#deletedTopics,
      onProgress: this.#settings.onRecoveryProgress,
    });
    this.#fitDeletedTopics(segments, recovered.endOffset);
    // Such a topic must not get ordinary queues: with both kinds Apache does not open the store.
    for (const topic of batchTopics) this.#queues.seal(topic);
    for (const { slot, minOffset, maxOffset } of recovered.queues) {
      const queue = this.#queues.inSlot(slot);
      queue.minOffset = minOffset;
      queue.nextOffset = maxOffset;
    }
    const { findings, foreignPaths, damages, ...summary } = recovered.report;
    // Torn by the crash, or damaged since: who was told that it is stored has to be able to find out.
    const { cutBytes, cutReason } = summary;
    if (cutBytes > 0) log.warn(summary, `the log ends before ${END_WORDS[cutReason]}; this is in lost+found`);
    else if (lastEnd !== "closed") log.info(summary, "recovered");
    if (summary.lostBytes > 0) log.error(summary, "the log is shorter than it was");
    if (damages.length > 0) log.error({ damages }, "in the midst of the log there is what is no record");
    if (findings.length > 0) log.warn({ findings }, "records that do not fit their queues");
    if (foreignPaths.length > 0) log.warn({ foreignPaths }, "paths that are no queues are left alone");
    return recovered;
  }

  /** Before anything is appended: what a crash has cut off the log will be written anew. */
  #fitDeletedTopics(segments: SegmentQueue, endOffset: number): void {
    const { disk, paths } = this.#settings;
    const fitting = fitDeletedTopics(this.#deletedTopics, segments.firstOffset, endOffset);
    if (fitting === this.#deletedTopics) return;
    writeDeletedTopics(disk, paths.deletedTopics, fitting);
    this.#deletedTopics.clear();
    for (const [topic, place] of fitting) this.#deletedTopics.set(topic, place);
  }

  #queueContext(): QueueContext {
    const { disk, queueFileBytes } = this.#settings;
    return new QueueContext({
      disk,
      cache: this.#cache,
      fileBytes: queueFileBytes,
      unitBytes: UNIT_BYTES,
      sizeOption: "mappedFileSizeConsumeQueue",
    });
  }

  #batchQueueContext(): QueueContext {
    return new QueueContext({
      disk: this.#settings.disk,
      cache: this.#cache,
      fileBytes: this.#settings.batchQueueFileBytes,
      unitBytes: BATCH_UNIT_BYTES,
      sizeOption: "mapperFileSizeBatchConsumeQueue",
    });
  }

  #firstSegment(segments: SegmentQueue): void {
    const { disk, segmentBytes } = this.#settings;
    disk.createSegment(segments.pathOf(0), segmentBytes);
    segments.add(0);
  }

  #dispatchEvents(): DispatchEvents {
    const { log } = this.#settings;
    return {
      onArrivals: () => this.#events.onArrivals(),
      onSynced: (synced) => {
        this.#cache.leaveRoom();
        if (this.#checkpoints?.dispatchSynced(synced)) void this.#saveNotes();
      },
      onFinding: (text, phyOffset) => log.warn({ phyOffset }, `a record does not fit its queue: ${text}`),
      onForgotten: (slots) => this.#queues.freeSlots(slots),
      onPaused: (reason) => {
        this.#watch.dispatchPaused = true;
        log.error({}, `messages are taken for a while, but cannot be read before there is room: ${reason}`);
      },
      onResumed: () => {
        this.#watch.dispatchPaused = false;
        log.info({}, "there is room again: messages can be read");
      },
      onExpiry: (step) => this.#queuesFollow(step),
      onSlow: (seconds) => log.warn({ seconds }, "the dispatch thread does not end its turn: is the disk that slow?"),
      onFailure: (error) => this.#events.onFailure(error),
    };
  }

  /** Without them the next start merely reads more of the log. */
  async #saveNotes(): Promise<void> {
    try {
      await this.#checkpoints?.save();
    } catch (error) {
      const failure = error as CometError;
      if (failure.code !== "COMETMQ_DISK_FULL" && failure.code !== "COMETMQ_HANDLES") this.#events.onFailure(failure);
      else this.#settings.log.warn({ err: failure }, "no room for the checkpoint: the next start would read more");
    }
  }

  #queuesFollow({ minOffsets, minPhyOffset, indexFiles }: ExpiryStep): void {
    for (let i = 0; i < minOffsets.length; i += 2) this.#queues.inSlot(minOffsets[i]!).expire(minOffsets[i + 1]!);
    if (indexFiles > 0) this.#lookUp?.closeIndex();
    if (minPhyOffset !== undefined) this.#retention?.hasFollowed(minPhyOffset);
  }

  #startDispatch(
    thread: DispatchThread | undefined,
    segments: SegmentQueue,
    position: number,
    counts: DerivedCounts,
  ): Dispatch {
    const { disk, paths, segmentBytes, queueFileBytes, indexSizes, indexEnabled, delayLevels } = this.#settings;
    const queues = this.#queues.all().map(({ topic, queueId, slot }) => ({ topic, queueId, slot }));
    const readyEnd = segments.endOffset;
    if (thread !== undefined) {
      this.#publishQueues(thread.queueProgress);
      thread.progress.firstOffset = segments.firstOffset;
      thread.progress.confirmed = position;
      thread.begin({
        backend: disk.backend,
        queues,
        deleted: [...this.#deletedTopics],
        commitLogDirectory: paths.commitLog,
        segmentBytes,
        queueRoot: paths.consumeQueue,
        queueFileBytes,
        openFilesMax: this.#settings.writtenFilesMax,
        indexDirectory: paths.index,
        indexSizes,
        indexEnabled,
        delayLevels,
        position,
        counts,
        readyEnd,
        syncIntervalMs: this.#settings.syncIntervalMs,
      });
      return thread;
    }
    return this.#inlineDispatch(segments, position, counts, readyEnd);
  }

  #inlineDispatch(segments: SegmentQueue, position: number, counts: DerivedCounts, readyEnd: number): Dispatch {
    const { disk, paths, clock, log, segmentBytes, indexSizes, indexEnabled, delayLevels } = this.#settings;
    const progress = new SharedProgress();
    const queueProgress = new QueueProgress();
    this.#publishQueues(queueProgress);
    progress.confirmed = position;
    const dispatcher = new Dispatcher({
      segments,
      queues: new QueueTable(this.#queueContext(), paths.consumeQueue, {
        slotOf: (topic, queueId) => {
          const queue = this.#queues.find(topic, queueId) ?? this.#queues.add(topic, queueId);
          queueProgress.reserve(queue.slot);
          return queue.slot;
        },
        maxOffsetOf: (slot) => queueProgress.maxOffset(slot),
        deletedBefore: (topic) => this.#deletedTopics.get(topic) ?? 0,
      }),
      index: openIndexSink(loadIndex(disk, paths.index, indexSizes, indexEnabled), clock),
      delayLevels,
      position,
      counts,
      onFinding: ({ phyOffset, problem, topic, queueId }) =>
        log.warn({ phyOffset }, `a record does not fit its queue: ${problem}: ${topic} ${queueId}`),
    });
    return new InlineDispatch({
      dispatcher,
      maker: new SegmentMaker(disk, paths.commitLog, segmentBytes, readyEnd),
      progress,
      queueProgress,
      slotCount: () => this.#queues.slotCount,
      nameOf: (slot) => {
        const queue = this.#queues.inSlot(slot);
        return queue.retired ? undefined : queue;
      },
      clock,
      events: this.#dispatchEvents(),
    });
  }

  /** What recovery has found out about the queues, before anybody goes by it. */
  #publishQueues(progress: QueueProgress): void {
    for (const { slot, nextOffset } of this.#queues.all()) {
      progress.reserve(slot);
      progress.setMaxOffset(slot, nextOffset);
    }
  }

  #flusher(commitLog: CommitLog, checkpoints: Checkpoints): Flusher {
    return new Flusher({
      log: commitLog,
      clock: this.#settings.clock,
      intervalMs: this.#settings.flushIntervalMs,
      flushedPosition: commitLog.appendPosition,
      onFlushed: (position, storeTimestamp) => {
        if (checkpoints.logFlushed(position, storeTimestamp)) void this.#saveNotes();
        this.#events.onFlushed(position);
      },
      onFailure: (error) => this.#events.onFailure(error),
    });
  }

  #parts(
    segments: SegmentQueue,
    commitLog: CommitLog,
    dispatch: Dispatch,
    { report: recovery, hasExpired }: Recovered,
  ): StoreParts {
    const { disk, clock, log, paths, indexSizes, syncFlush, retention: settings } = this.#settings;
    const checkpoints = this.#checkpoints!;
    const flusher = this.#flusher(commitLog, checkpoints);
    const index = new IndexQuery(disk, paths.index, indexSizes);
    const units = new QueueUnits(dispatch.queueProgress);
    const reader = new MessageReader(segments, units);
    const lookUp = new LookUp(segments, dispatch.progress, this.#queues, units, index, this.#deletedTopics);
    this.#lookUp = lookUp;
    const watch = this.#watch;
    const retention = new Retention({
      disk,
      clock,
      log,
      settings,
      watch,
      commitLog,
      dispatch,
      flushedPosition: () => flusher.flushedPosition,
      noted: () => checkpoints.saved(),
      hasExpired,
    });
    this.#retention = retention;
    const release = async (clean: boolean): Promise<void> => {
      // What went wrong may have come before its turn to stop.
      if (!clean) await dispatch.stop().catch((err) => log.warn({ err }, "dispatch did not end in order"));
      reader.close();
      lookUp.close();
      await checkpoints.saved();
      checkpoints.close();
      this.#cache.close();
      if (clean) endInOrder(this.#settings, segments, commitLog.appendPosition);
      segments.close();
      this.#unlock();
    };
    const queues = this.#queues;
    return {
      disk,
      clock,
      log,
      paths,
      segments,
      commitLog,
      flusher,
      units,
      dispatch,
      queues,
      reader,
      lookUp,
      deletedTopics: this.#deletedTopics,
      checkpoints,
      watch,
      retention,
      recovery,
      syncFlush,
      release,
    };
  }
}

/** What fails here is for the next start to do: it keeps nobody from the directory. */
function endInOrder({ disk, paths, log }: Settings, segments: SegmentQueue, endOffset: number): void {
  try {
    removeEmptySegments(segments, endOffset);
    removeAbortFile(disk, paths.abort);
  } catch (err) {
    log.error({ err }, "the store could not be closed in order; the next start will recover it");
  }
}

/** Files made ahead of need and not used go when the store is closed, as in Apache's. */
function removeEmptySegments(segments: SegmentQueue, endOffset: number): void {
  segments.load();
  while (segments.count > 1 && segments.endOffset - segments.segmentBytes >= endOffset) segments.removeLast();
}
