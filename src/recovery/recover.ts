/**
 * Brings a store back to where readers and the appender may begin, in numbered passes. What is refused is refused before
 * the first change:
 *
 *   0. judge the queues and the index as they lie there
 *   1. find the ends of the queues
 *   2. decide from where the log must be read: the durable position noted last, or its first byte
 *   3. read the log from there, checking every record, and dispatch what queues and index lack (walk.ts); once more from
 *      the first byte when queues turn out to lack what lies before
 *   4. where the log ends, put aside what is no record and clear the way for new ones (lost-tail.ts)
 *   5. cut queue entries that point beyond the log, and find the queues' first offsets; what a kill in the midst of a
 *      retention has left of deleted segments goes as well
 *
 * Nothing that a later pass needs is decided by a clock. What is cut from the log is kept in `lost+found`.
 */
import type { Clock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import { failpoint } from "../base/failpoint.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import { ConsumeQueue } from "../consumequeue/consume-queue.js";
import { listQueues } from "../consumequeue/queue-directory.js";
import type { QueueContext } from "../consumequeue/queue-files.js";
import { addCounts, countQueues, type DerivedCounts, lacks, type QueueCounts } from "../dispatch/derived-counts.js";
import type { DispatchFinding } from "../dispatch/dispatcher.js";
import { loadIndex, openIndexSink } from "../dispatch/index-sink.js";
import { LmqDispatch } from "../dispatch/lmq-dispatch.js";
import { QueueTable } from "../dispatch/queue-table.js";
import { assertIndexSizes, type IndexDirectory } from "../index/index-directory.js";
import type { IndexSizes } from "../index/index-file.js";
import type { Disk } from "../io/disk.js";
import type { DelayLevels } from "../record/tags-code.js";
import type { StoreEnd } from "./abort-file.js";
import { type ApacheRecoverySettings, recoverLikeApache } from "./apache-recovery.js";
import { type BatchQueueOptions, BatchQueues } from "./batch-queues.js";
import { AHEAD_MS_MAX, type CheckpointFields, type StoreCheckpoint } from "./checkpoint.js";
import { type EndReason, type LogBounds, logBounds, unknownFormat } from "./continuation.js";
import type { DeletedTopics } from "./deleted-topics.js";
import { belongsTo, type DispatchCheckpoint } from "./dispatch-checkpoint.js";
import { clearAfterEnd } from "./lost-tail.js";
import { RecordSearch } from "./next-record.js";
import { type LogDamage, type RecoveryProgress, Walk } from "./walk.js";

export type { EndReason } from "./continuation.js";
export type { LogDamage, RecoveryProgress } from "./walk.js";

export interface RecoveryOptions {
  disk: Disk;
  clock: Clock;
  storeDirectory: string;
  segments: SegmentQueue;
  queueContext: QueueContext;
  queueRoot: string;
  batch: BatchQueueOptions;
  /** Records are entered into light message queues (enableLmq and enableMultiDispatch). */
  lmqEnabled: boolean;
  indexDirectory: string;
  indexSizes: IndexSizes;
  indexEnabled: boolean;
  delayLevels: DelayLevels;
  slotOf: (topic: string, queueId: number) => number;
  /** How the last life of the store ended. */
  lastEnd: StoreEnd;
  checkpoint: StoreCheckpoint;
  noted: DispatchCheckpoint | undefined;
  /** Does as Apache does, with what that leaves lost. */
  apache: ApacheRecoverySettings | undefined;
  deleted: DeletedTopics;
  /** Called once nothing speaks against the store, before the first change to it. */
  onBegin: () => void;
  /** Called before anything that was lost is made again. */
  onLoss: () => void;
  onProgress: ((progress: RecoveryProgress) => void) | undefined;
}

export interface RecoveredQueue {
  readonly topic: string;
  readonly queueId: number;
  readonly slot: number;
  readonly minOffset: number;
  readonly maxOffset: number;
}

/** What opening a store found and did. */
export interface RecoveryReport {
  /** It was not closed: the abort file was there. */
  readonly aborted: boolean;
  /** Where in the log reading began, in bytes. */
  readonly fromOffset: number;
  /** Where the log ends now, in bytes. */
  readonly endOffset: number;
  readonly recordCount: number;
  /** Bytes behind the log's end that did not belong to it; they lie in `lost+found`. */
  readonly cutBytes: number;
  /** Why they did not. */
  readonly cutReason: EndReason;
  /** How much longer the log was when it was noted as durable. */
  readonly lostBytes: number;
  /** Places in the midst of the log that hold no record; they are left as they are. */
  readonly damages: readonly LogDamage[];
  /** Apache's checkpoint as it is now. */
  readonly checkpoint: CheckpointFields;
  /** What queues lacked or had wrong, and got. */
  readonly findings: readonly DispatchFinding[];
  /** Files and directories that no store knows; they are left alone. */
  readonly foreignPaths: readonly string[];
  readonly elapsedMs: number;
}

export interface Recovered {
  readonly endOffset: number;
  readonly lastStoreTimestamp: number;
  readonly queues: RecoveredQueue[];
  /** A record boundary well before the end, from which a later start checks the tail. */
  readonly tailFrom: number;
  /** What queues and index hold now. */
  readonly counts: DerivedCounts;
  /** Queues have files of which the log holds nothing any more. */
  readonly hasExpired: boolean;
  /** What was noted does not say how the store is now. */
  readonly noteIsOld: boolean;
  readonly report: RecoveryReport;
}

export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const indexes: IndexDirectory[] = [];
  try {
    if (options.apache !== undefined) return await recoverLikeApache(options, options.apache, indexes);
    return await recoverThoroughly(options, indexes);
  } finally {
    // Of one that came to its end they are closed.
    for (const index of indexes) index.close();
  }
}

async function recoverThoroughly(options: RecoveryOptions, indexes: IndexDirectory[]): Promise<Recovered> {
  const { segments, clock } = options;
  const aborted = options.lastEnd !== "closed";
  const startedMs = clock.monotonicMs();
  options.queueContext.shortFilesMax = options.batch.context.shortFilesMax = aborted ? 1 : 0;
  const { queues: found, holed, foreignPaths } = listedQueues(options);
  const batch = new BatchQueues(options.disk, options.batch);
  const index = listedIndex(options, indexes);
  options.onBegin();
  if (holed.length > 0) options.onLoss();
  for (const queue of holed) {
    queue.closeHoles();
    queue.load();
  }
  const isWhole = !findEnds(options, found, batch) && holed.length === 0;
  const { queues, dropped } = withoutDeleted(options, found);
  const start = startOf(options, queues, batch, index, dropped);
  const table = queueTable(options, queues);
  const fromOffset = isWhole ? start.fromOffset : segments.firstOffset;
  if (!isWhole || !start.noteHolds) options.onLoss();
  let walk = await walked(options, table, batch, index, fromOffset, start);
  if (walk.foundGap && fromOffset > segments.firstOffset) {
    walk = await walked(options, table, batch, listedIndex(options, indexes), segments.firstOffset, start);
  }
  const { endOffset } = walk;
  const strange = endOffset === segments.firstOffset ? unknownFormat(segments) : undefined;
  if (strange !== undefined) throw new CometError("COMETMQ_STORE_CORRUPT", strange);
  failpoint("recovery-truncate-before");
  const cutBytes = clearAfterEnd(options, endOffset);
  failpoint("recovery-truncate-after");
  if (aborted) walk.deleteExpiredIndex(segments.firstOffset);
  const recovered = finish(table, segments.firstOffset, endOffset, aborted);
  batch.finish(segments.firstOffset, endOffset);
  walk.noteIn(options.checkpoint);
  if (aborted) await syncLog(segments, walk.fromOffset, endOffset);
  await table.sync(table.all);
  const counts = { ...countQueues(table.all.map(({ queue }) => queue)), indexEntryCount: walk.indexEntryCount };
  const { noted } = options;
  return {
    endOffset,
    lastStoreTimestamp: Math.min(walk.lastStoreTimestamp, clock.nowMs() + AHEAD_MS_MAX),
    queues: recovered,
    tailFrom: walk.tailFrom,
    counts,
    hasExpired: table.all.some(({ queue }) => queue.hasExpired(segments.firstOffset)),
    noteIsOld: aborted || !start.noteHolds || endOffset !== noted?.position || lacks(counts, noted.counts),
    report: {
      aborted,
      fromOffset: walk.fromOffset,
      endOffset,
      recordCount: walk.recordCount,
      cutBytes,
      cutReason: walk.endReason,
      lostBytes: Math.max(0, start.bounds.notedEnd - endOffset),
      damages: walk.damages,
      checkpoint: options.checkpoint.fields,
      findings: walk.findings,
      foreignPaths: [...foreignPaths, ...batch.foreignPaths],
      elapsedMs: clock.monotonicMs() - startedMs,
    },
  };
}

/** What a killed process left in memory pages is made durable before anybody reads it. */
async function syncLog(segments: SegmentQueue, fromOffset: number, endOffset: number): Promise<void> {
  for (let offset = fromOffset; offset < endOffset; offset = segments.baseOf(offset) + segments.segmentBytes) {
    await segments.at(offset)?.sync();
  }
}

interface ListedQueues {
  queues: ConsumeQueue[];
  /** Those of `queues` that lacked files between others; they are still to be loaded. */
  holed: ConsumeQueue[];
  foreignPaths: string[];
}

/** Pass 0. */
function listedQueues(options: RecoveryOptions): ListedQueues {
  const listing = listQueues(options.disk, options.queueRoot);
  const foreignPaths = [...listing.unknown];
  const queues: ConsumeQueue[] = [];
  const holed: ConsumeQueue[] = [];
  for (const { topic, queueId, directory } of listing.queues) {
    const queue = new ConsumeQueue(options.queueContext, directory, topic, queueId);
    try {
      for (const name of queue.load()) foreignPaths.push(`${directory}/${name}`);
    } catch (error) {
      if (!queue.hasHoles || !(error instanceof CometError) || error.code !== "COMETMQ_STORE_CORRUPT") throw error;
      holed.push(queue);
    }
    queues.push(queue);
  }
  if (options.segments.count === 0 && queues.some((queue) => queue.pointsIntoLog())) {
    throw new CometError(
      "COMETMQ_STORE_CORRUPT",
      `${options.segments.directory} has no segment, but the queues in ${options.queueRoot} point into one.`,
    );
  }
  return { queues, holed, foreignPaths };
}

/** Pass 0. What is listed is added to `indexes`. */
function listedIndex(options: RecoveryOptions, indexes: IndexDirectory[]): IndexDirectory | undefined {
  const index = loadIndex(options.disk, options.indexDirectory, options.indexSizes, options.indexEnabled);
  if (index === undefined) return undefined;
  assertIndexSizes(index);
  indexes.push(index);
  return index;
}

/** Pass 1. True when a queue does not end where a store that was closed in order leaves it: units were lost. */
function findEnds(options: RecoveryOptions, queues: ConsumeQueue[], batch: BatchQueues): boolean {
  const mode = options.lastEnd === "closed" ? "normal" : "abnormal";
  let damaged = batch.recover(mode);
  for (const queue of queues) if (queue.recover(mode).staleTail) damaged = true;
  return damaged && options.lastEnd === "closed";
}

/**
 * Drops the queues of deleted topics that a crash has left: those that point at nothing behind the deletion. `dropped` is
 * what was in them.
 */
function withoutDeleted({ deleted }: RecoveryOptions, found: ConsumeQueue[]) {
  const gone = found.filter(({ topic, maxPhyOffset }) => maxPhyOffset <= (deleted.get(topic) ?? -2));
  const dropped = countQueues(gone);
  for (const queue of gone) queue.destroy();
  return { queues: gone.length === 0 ? found : found.filter((queue) => !gone.includes(queue)), dropped };
}

interface Start {
  fromOffset: number;
  /** The note speaks of this store, and nothing it speaks of is missing. */
  noteHolds: boolean;
  bounds: LogBounds;
}

/** Pass 2. When the note counts is said in dispatch-checkpoint.ts. */
function startOf(
  options: RecoveryOptions,
  queues: ConsumeQueue[],
  batch: BatchQueues,
  index: IndexDirectory | undefined,
  dropped: QueueCounts,
): Start {
  const { segments, noted, checkpoint } = options;
  const aborted = options.lastEnd !== "closed";
  const first = segments.firstOffset;
  const isNoted = noted !== undefined && belongsTo(noted, checkpoint);
  // What is made again anyway need not be repaired first.
  // Deleted segments cannot be asked again: what is left of them was durable before they went, noted or not.
  const derivedEnd = isNoted ? Math.max(noted.position, first) : first;
  index?.removeFrom(derivedEnd);
  index?.repairAfter(aborted ? checkpoint.indexMsgTimestamp : Number.POSITIVE_INFINITY);
  const bounds = logBounds(segments, options.lastEnd, isNoted ? noted : undefined, checkpoint.fields);
  if (!isNoted) return { fromOffset: first, noteHolds: false, bounds };
  const { position, tailFrom, counts } = noted;
  // What lies behind may be half there: it is made again.
  for (const queue of queues) queue.truncateAfter(derivedEnd);
  batch.truncateAfter(derivedEnd);
  index?.truncateAfter(derivedEnd);
  const found = { ...addCounts(countQueues(queues), dropped), indexEntryCount: index?.entryCount ?? -1 };
  const from = Math.min(position, tailFrom);
  const isBoundary = from === first || from === position || new RecordSearch(segments).isRecordAt(from);
  const noteHolds = !lacks(found, counts) && from >= first && position <= segments.endOffset && isBoundary;
  return { fromOffset: noteHolds ? from : first, noteHolds, bounds };
}

function queueTable(options: RecoveryOptions, queues: ConsumeQueue[]): QueueTable {
  const table = new QueueTable(options.queueContext, options.queueRoot, {
    slotOf: options.slotOf,
    // A queue that is met in the log and not on the disk has no units yet.
    maxOffsetOf: () => 0,
    deletedBefore: (topic) => options.deleted.get(topic) ?? 0,
  });
  for (const queue of queues) table.adopt(queue);
  return table;
}

/** Pass 3. */
async function walked(
  options: RecoveryOptions,
  queues: QueueTable,
  batch: BatchQueues,
  index: IndexDirectory | undefined,
  fromOffset: number,
  { bounds }: Start,
): Promise<Walk> {
  const { disk, segments, delayLevels, clock, onLoss, onProgress, lastEnd } = options;
  index?.truncateAfter(fromOffset);
  const walk = new Walk({
    disk,
    segments,
    queues,
    batch: batch.dispatch,
    lmq: options.lmqEnabled ? new LmqDispatch() : undefined,
    index: openIndexSink(index, clock),
    delayLevels,
    clock,
    fromOffset,
    bounds,
    lastEnd,
    onGap: onLoss,
    onProgress,
  });
  await walk.run();
  return walk;
}

/** Pass 5. */
function finish(table: QueueTable, firstOffset: number, endOffset: number, aborted: boolean): RecoveredQueue[] {
  return table.all.map(({ queue, slot }) => {
    queue.truncateAfter(endOffset);
    if (aborted) queue.deleteExpired(firstOffset);
    else queue.correctMinOffset(firstOffset);
    const { topic, queueId, minOffset, maxOffset } = queue;
    return { topic, queueId, slot, minOffset, maxOffset };
  });
}
