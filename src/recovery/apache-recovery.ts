/**
 * Recovery as Apache does it, with what that leaves lost: for comparisons, and never what a store is opened with unless
 * it is asked for. The passes are those of recover.ts; what differs is
 *
 *   2. the log is read from the first of the last segments from which something may not be dispatched: in an orderly
 *      start by how far queues have got, after a crash by the checkpoint's times (store/CommitLog#recoverNormally,
 *      #recoverAbnormally, store/queue/ConsumeQueueStore#isMappedFileMatchedRecover)
 *   3. in an orderly start records that begin at or before the furthest queue's end are not dispatched again; an entry
 *      that does not fit its queue is put at the queue's end; the first record that is broken ends the log, wherever
 *   -  the index is never cut back; after a crash its files go that reach past the checkpoint's index time
 *      (store/index/IndexService#load)
 *
 * Only in one thing it is CometMQ: what is cut from the log is kept in `lost+found`.
 */
import { CursorStep, LogCursor } from "../commitlog/log-cursor.js";
import { ConsumeQueue } from "../consumequeue/consume-queue.js";
import { listQueues } from "../consumequeue/queue-directory.js";
import type { DerivedCounts } from "../dispatch/derived-counts.js";
import { Dispatcher, type DispatchFinding } from "../dispatch/dispatcher.js";
import { loadIndex, openIndexSink } from "../dispatch/index-sink.js";
import { LmqDispatch } from "../dispatch/lmq-dispatch.js";
import { QueueTable } from "../dispatch/queue-table.js";
import { assertIndexSizes, type IndexDirectory } from "../index/index-directory.js";
import { checkPropertyCrc } from "../record/property-crc.js";
import { checkBody, type RecordView } from "../record/record-view.js";
import { isQueued } from "../record/sys-flag.js";
import { BatchQueues } from "./batch-queues.js";
import { clearAfterEnd } from "./lost-tail.js";
import type { Recovered, RecoveryOptions } from "./recover.js";

/** Apache's options that its recovery goes by. */
export interface ApacheRecoverySettings {
  /** Segments that are read at most (commitLogRecoverMaxNum). */
  readonly segmentsMax: number;
  /** The index is to be complete as well (messageIndexSafe). */
  readonly indexSafe: boolean;
  /** Records are checked by their `__CRC32#` (forceVerifyPropCRC). */
  readonly propertyCrc: boolean;
}

const SLICE_RECORDS = 2000;
const FINDINGS_MAX = 1000;

export async function recoverLikeApache(
  options: RecoveryOptions,
  settings: ApacheRecoverySettings,
  indexes: IndexDirectory[],
): Promise<Recovered> {
  const { segments, clock, checkpoint } = options;
  const aborted = options.lastEnd !== "closed";
  const startedMs = clock.monotonicMs();
  const { queues, foreignPaths } = listedQueues(options);
  const batch = new BatchQueues(options.disk, options.batch);
  const index = loadIndex(options.disk, options.indexDirectory, options.indexSizes, options.indexEnabled);
  if (index !== undefined) {
    assertIndexSizes(index);
    indexes.push(index);
  }
  options.onBegin();

  const mode = aborted ? "abnormal" : "normal";
  batch.recover(mode);
  for (const queue of queues) queue.recover(mode);
  const queuesEnd = queues.reduce((max, queue) => Math.max(max, queue.maxPhyOffset), batch.maxPhyOffset);
  const fromOffset = startOffset(options, settings, queuesEnd);
  if (aborted) index?.discardAfter(checkpoint.indexMsgTimestamp);
  const walk = new ApacheWalk(options, settings, queues, batch, index, fromOffset, aborted ? -1 : queuesEnd);
  await walk.run();

  const { endOffset } = walk;
  const cutBytes = clearAfterEnd(options, endOffset);
  const recovered = walk.table.all.map(({ queue, slot }) => {
    queue.truncateAfter(endOffset);
    queue.correctMinOffset(segments.firstOffset);
    const { topic, queueId, minOffset, maxOffset } = queue;
    return { topic, queueId, slot, minOffset, maxOffset };
  });
  batch.finish(segments.firstOffset, endOffset);
  walk.noteIn(options);
  return {
    endOffset,
    lastStoreTimestamp: walk.lastStoreTimestamp,
    queues: recovered,
    tailFrom: walk.tailFrom,
    counts: NEVER_ENOUGH,
    hasExpired: walk.table.all.some(({ queue }) => queue.hasExpired(segments.firstOffset)),
    noteIsOld: false,
    report: {
      aborted,
      fromOffset,
      endOffset,
      recordCount: walk.recordCount,
      cutBytes,
      cutReason: "torn",
      lostBytes: 0,
      damages: [],
      checkpoint: checkpoint.fields,
      findings: walk.findings,
      foreignPaths: [...foreignPaths, ...batch.foreignPaths],
      elapsedMs: clock.monotonicMs() - startedMs,
    },
  };
}

/** Noted when the store is closed: the next start finds that something is missing, and makes it again from the log. */
const NEVER_ENOUGH: DerivedCounts = {
  queueCount: Number.MAX_SAFE_INTEGER,
  unitCount: Number.MAX_SAFE_INTEGER,
  firstUnitSum: 0,
  indexEntryCount: -1,
};

function listedQueues(options: RecoveryOptions): { queues: ConsumeQueue[]; foreignPaths: string[] } {
  const listing = listQueues(options.disk, options.queueRoot);
  const foreignPaths = [...listing.unknown];
  const queues = listing.queues.map(({ topic, queueId, directory }) => {
    const queue = new ConsumeQueue(options.queueContext, directory, topic, queueId);
    for (const name of queue.load()) foreignPaths.push(`${directory}/${name}`);
    return queue;
  });
  return { queues, foreignPaths };
}

function checkOf({ propertyCrc }: ApacheRecoverySettings): (record: RecordView, bytes: Buffer) => boolean {
  return propertyCrc ? checkPropertyCrc : checkBody;
}

/** Backwards to the first segment from which everything is dispatched, but no further than so many segments. */
function startOffset(options: RecoveryOptions, settings: ApacheRecoverySettings, queuesEnd: number): number {
  const { segments, checkpoint } = options;
  const aborted = options.lastEnd !== "closed";
  const cursor = new LogCursor(segments);
  const isSound = checkOf(settings);
  const isMatched = (base: number): boolean => {
    cursor.seek(base);
    const { record } = cursor;
    // A segment that begins with a blank, with nothing, or with a broken record matches nothing.
    if (cursor.next(base + segments.segmentBytes) !== CursorStep.RECORD || !isSound(record, cursor.bytes)) return false;
    if (record.storeTimestamp === 0) return false;
    if (settings.indexSafe && record.storeTimestamp > checkpoint.indexMsgTimestamp) return false;
    return aborted ? record.storeTimestamp <= checkpoint.minTimestamp : record.phyOffset <= queuesEnd;
  };
  let base = segments.endOffset - segments.segmentBytes;
  for (let left = settings.segmentsMax; base > segments.firstOffset; base -= segments.segmentBytes) {
    if (--left <= 0 || isMatched(base)) break;
  }
  return Math.max(base, segments.firstOffset);
}

class ApacheWalk {
  readonly findings: DispatchFinding[] = [];
  readonly table: QueueTable;
  recordCount = 0;
  lastStoreTimestamp = 0;
  readonly #options: RecoveryOptions;
  readonly #isSound: (record: RecordView, bytes: Buffer) => boolean;
  readonly #dispatcher: Dispatcher;
  readonly #fromOffset: number;
  /** Records at or before this log offset are passed over; -1 when none are. */
  readonly #dispatchAfter: number;
  #lastRecordOffset = -1;
  #lastQueuedTimestamp = 0;

  constructor(
    options: RecoveryOptions,
    settings: ApacheRecoverySettings,
    queues: readonly ConsumeQueue[],
    batch: BatchQueues,
    index: IndexDirectory | undefined,
    fromOffset: number,
    dispatchAfter: number,
  ) {
    this.#options = options;
    this.#isSound = checkOf(settings);
    this.#fromOffset = fromOffset;
    this.#dispatchAfter = dispatchAfter;
    this.table = new QueueTable(options.queueContext, options.queueRoot, {
      slotOf: options.slotOf,
      maxOffsetOf: () => 0,
      deletedBefore: () => 0,
    });
    for (const queue of queues) this.table.adopt(queue);
    this.#dispatcher = new Dispatcher({
      segments: options.segments,
      queues: this.table,
      batch: batch.dispatch,
      lmq: options.lmqEnabled ? new LmqDispatch() : undefined,
      index: openIndexSink(index, options.clock),
      delayLevels: options.delayLevels,
      position: fromOffset,
      onGap: "next",
      onFinding: (finding) => {
        if (this.findings.length < FINDINGS_MAX) this.findings.push(finding);
      },
    });
  }

  get endOffset(): number {
    return this.#dispatcher.position;
  }

  get tailFrom(): number {
    return this.#dispatcher.tailFrom;
  }

  async run(): Promise<void> {
    const { segments, onProgress } = this.#options;
    while (this.#slice(segments.endOffset)) {
      this.#dispatcher.flushQueues(() => {});
      onProgress?.({ phyOffset: this.endOffset, fromOffset: this.#fromOffset, toOffset: segments.endOffset });
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#dispatcher.flushQueues(() => {});
    await this.#dispatcher.close();
  }

  /** False at the log's end. */
  #slice(toOffset: number): boolean {
    const { cursor } = this.#dispatcher;
    const { segmentBytes } = this.#options.segments;
    for (let i = 0; i < SLICE_RECORDS; i++) {
      const before = cursor.offset;
      if (cursor.next(toOffset) !== CursorStep.RECORD) {
        // The log of a full last segment ends before its blank: what is put next writes it again.
        const isFull = cursor.offset === toOffset && before < toOffset;
        if (isFull) cursor.seek(Math.max(before, toOffset - segmentBytes));
        return false;
      }
      if (!this.#isSound(cursor.record, cursor.bytes)) {
        cursor.seek(cursor.recordOffset);
        return false;
      }
      this.#take(cursor);
    }
    return true;
  }

  #take({ record, recordOffset }: LogCursor): void {
    if (record.phyOffset > this.#dispatchAfter) {
      this.#dispatcher.put();
      if (isQueued(record.sysFlag)) this.#lastQueuedTimestamp = record.storeTimestamp;
    }
    this.recordCount++;
    this.lastStoreTimestamp = record.storeTimestamp;
    this.#lastRecordOffset = recordOffset;
  }

  noteIn({ checkpoint, segments, lastEnd }: RecoveryOptions): void {
    const aborted = lastEnd !== "closed";
    if (this.#lastRecordOffset >= 0) checkpoint.confirmPhyOffset = this.#lastRecordOffset;
    else if (segments.count > 0) checkpoint.confirmPhyOffset = aborted ? this.#fromOffset : segments.endOffset;
    if (this.#lastQueuedTimestamp > 0) checkpoint.logicsMsgTimestamp = this.#lastQueuedTimestamp;
    checkpoint.indexMsgTimestamp = Math.max(checkpoint.indexMsgTimestamp, this.#dispatcher.indexMsgTimestamp);
  }
}
