/**
 * Brings a store back to where readers and the appender may begin, in numbered passes. What is refused is refused before
 * the first change:
 *
 *   0. judge the queues and the index as they lie there
 *   1. open the queues and find their ends
 *   2. decide from where the log must be read: the durable position noted last, or its first byte
 *   3. read the log from there, checking every record, and dispatch what queues and index lack
 *   4. where the log ends, put aside what is no record and clear the way for new ones
 *   5. cut queue entries that point beyond the log, and find the queues' first offsets
 *
 * Nothing that a later pass needs is decided by a clock. What is cut from the log is kept in `lost+found`.
 */
import type { Clock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import { CursorStep } from "../commitlog/log-cursor.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import { ConsumeQueue } from "../consumequeue/consume-queue.js";
import { listQueues } from "../consumequeue/queue-directory.js";
import type { QueueContext } from "../consumequeue/queue-files.js";
import { Dispatcher, type DispatchFinding } from "../dispatch/dispatcher.js";
import { loadIndex, openIndexSink } from "../dispatch/index-sink.js";
import { QueueTable } from "../dispatch/queue-table.js";
import { assertIndexSizes, type IndexDirectory } from "../index/index-directory.js";
import type { IndexSizes } from "../index/index-file.js";
import type { Disk } from "../io/disk.js";
import { checkBody } from "../record/record-view.js";
import type { DelayLevels } from "../record/tags-code.js";
import type { StoreCheckpoint } from "./checkpoint.js";
import type { DispatchCheckpoint } from "./dispatch-checkpoint.js";
import { clearAfterEnd } from "./lost-tail.js";

export interface RecoveryProgress {
  readonly phyOffset: number;
  readonly fromOffset: number;
  /** The end of the files; the log may end earlier. */
  readonly toOffset: number;
}

export interface RecoveryOptions {
  disk: Disk;
  clock: Clock;
  storeDirectory: string;
  segments: SegmentQueue;
  queueContext: QueueContext;
  queueRoot: string;
  indexDirectory: string;
  indexSizes: IndexSizes;
  indexEnabled: boolean;
  delayLevels: DelayLevels;
  slotOf: (topic: string, queueId: number) => number;
  /** The last process did not close the store. */
  aborted: boolean;
  checkpoint: StoreCheckpoint;
  noted: DispatchCheckpoint | undefined;
  /** Called once nothing speaks against the store, before the first change to it. */
  onBegin: () => void;
  onProgress: ((progress: RecoveryProgress) => void) | undefined;
}

export interface RecoveredQueue {
  readonly topic: string;
  readonly queueId: number;
  readonly slot: number;
  readonly minOffset: number;
  readonly maxOffset: number;
}

export interface RecoveryReport {
  readonly aborted: boolean;
  readonly fromOffset: number;
  readonly endOffset: number;
  readonly recordCount: number;
  /** Bytes behind the log's end that were no record; they lie in `lost+found`. */
  readonly cutBytes: number;
  readonly findings: readonly DispatchFinding[];
  readonly foreignPaths: readonly string[];
  readonly elapsedMs: number;
}

export interface Recovered {
  readonly endOffset: number;
  readonly lastStoreTimestamp: number;
  readonly queues: RecoveredQueue[];
  /** A record boundary well before the end, from which a later start checks the tail. */
  readonly tailFrom: number;
  readonly report: RecoveryReport;
}

/** How long the event loop is kept busy at a stretch. */
const SLICE_MS = 50;
const SLICE_RECORDS = 2000;
const FINDINGS_MAX = 1000;

export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const startedMs = options.clock.monotonicMs();
  const { segments } = options;
  const { queues, foreignPaths } = listedQueues(options);
  const index = listedIndex(options);
  options.onBegin();
  const damaged = findEnds(options, queues);
  const fromOffset = damaged ? segments.firstOffset : startOffset(options, queues.length);
  const walk = new Walk(options, queues, index, fromOffset);
  await walk.run();
  const endOffset = walk.endOffset;
  const cutBytes = clearAfterEnd(options.disk, segments, endOffset, options.storeDirectory, options.clock.nowMs());
  const recovered = walk.finish(endOffset);
  if (options.aborted) await syncLog(segments, fromOffset, endOffset);
  return {
    endOffset,
    lastStoreTimestamp: walk.lastStoreTimestamp,
    queues: recovered,
    tailFrom: walk.tailFrom,
    report: {
      aborted: options.aborted,
      fromOffset,
      endOffset,
      recordCount: walk.recordCount,
      cutBytes,
      findings: walk.findings,
      foreignPaths,
      elapsedMs: options.clock.monotonicMs() - startedMs,
    },
  };
}

/** What a killed process left in memory pages is made durable before anybody reads it. */
async function syncLog(segments: SegmentQueue, fromOffset: number, endOffset: number): Promise<void> {
  for (let offset = fromOffset; offset < endOffset; offset = segments.baseOf(offset) + segments.segmentBytes) {
    await segments.at(offset)?.sync();
  }
}

/** Pass 0. */
function listedQueues(options: RecoveryOptions): { queues: ConsumeQueue[]; foreignPaths: string[] } {
  const listing = listQueues(options.disk, options.queueRoot);
  const foreignPaths = [...listing.unknown];
  const queues: ConsumeQueue[] = [];
  for (const { topic, queueId, directory } of listing.queues) {
    const queue = new ConsumeQueue(options.queueContext, directory, topic, queueId);
    for (const name of queue.load()) foreignPaths.push(`${directory}/${name}`);
    queues.push(queue);
  }
  if (options.segments.count === 0 && queues.some((queue) => queue.pointsIntoLog())) {
    throw new CometError(
      "COMETMQ_STORE_CORRUPT",
      `${options.segments.directory} has no segment, but the queues in ${options.queueRoot} point into one.`,
    );
  }
  return { queues, foreignPaths };
}

/** Pass 0. */
function listedIndex(options: RecoveryOptions): IndexDirectory | undefined {
  const index = loadIndex(options.disk, options.indexDirectory, options.indexSizes, options.indexEnabled);
  if (index !== undefined) assertIndexSizes(index);
  return index;
}

/** Pass 1. True when a queue does not end where a store that was closed in order leaves it: units were lost. */
function findEnds(options: RecoveryOptions, queues: ConsumeQueue[]): boolean {
  let damaged = false;
  for (const queue of queues) {
    const { staleTail } = queue.recover(options.aborted ? "abnormal" : "normal");
    if (staleTail && !options.aborted) damaged = true;
  }
  return damaged;
}

/** Where the walk begins: see dispatch-checkpoint on when the noted position counts. */
function startOffset(options: RecoveryOptions, queueCount: number): number {
  const { segments, noted, checkpoint } = options;
  const first = segments.firstOffset;
  if (noted === undefined || noted.queueCount > queueCount) return first;
  const { physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset } =
    checkpoint;
  const found = [physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset];
  if (found.some((value, i) => value !== noted.checkpoint[i])) return first;
  const from = Math.min(noted.position, noted.tailFrom);
  return from >= first && noted.position <= segments.endOffset ? from : first;
}

/** Pass 3: reads the log record by record, in slices that let the event loop breathe. */
class Walk {
  readonly findings: DispatchFinding[] = [];
  readonly #options: RecoveryOptions;
  readonly #table: QueueTable;
  readonly #dispatcher: Dispatcher;
  recordCount = 0;
  lastStoreTimestamp = 0;
  readonly #fromOffset: number;

  constructor(options: RecoveryOptions, queues: ConsumeQueue[], index: IndexDirectory | undefined, fromOffset: number) {
    this.#options = options;
    this.#fromOffset = fromOffset;
    this.#table = new QueueTable(options.queueContext, options.queueRoot, {
      slotOf: options.slotOf,
      // A queue that is met in the log and not on the disk has no units yet.
      maxOffsetOf: () => 0,
    });
    for (const queue of queues) this.#table.adopt(queue);
    index?.repairAfter(options.aborted ? options.checkpoint.indexMsgTimestamp : Number.POSITIVE_INFINITY);
    index?.truncateAfter(fromOffset);
    this.#dispatcher = new Dispatcher({
      segments: options.segments,
      queues: this.#table,
      index: openIndexSink(index, options.clock),
      delayLevels: options.delayLevels,
      position: fromOffset,
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
    const { clock, segments, onProgress } = this.#options;
    const toOffset = segments.endOffset;
    let sliceStart = clock.monotonicMs();
    while (this.#slice(toOffset)) {
      this.#dispatcher.flushQueues(() => {});
      const now = clock.monotonicMs();
      if (now - sliceStart < SLICE_MS) continue;
      onProgress?.({ phyOffset: this.endOffset, fromOffset: this.#fromOffset, toOffset });
      await new Promise((resolve) => setImmediate(resolve));
      sliceStart = clock.monotonicMs();
    }
    this.#dispatcher.flushQueues(() => {});
    await this.#dispatcher.close();
  }

  /** False at the log's end. */
  #slice(toOffset: number): boolean {
    const { cursor } = this.#dispatcher;
    const { record } = cursor;
    for (let i = 0; i < SLICE_RECORDS; i++) {
      const before = cursor.offset;
      if (cursor.next(toOffset) !== CursorStep.RECORD) return false;
      const at = cursor.recordOffset;
      if (record.phyOffset !== at || !checkBody(record, cursor.bytes)) {
        // Stale bytes, or a body that was not written whole: the log ends before it, behind the blank if there was one.
        cursor.seek(at === before ? before : this.#options.segments.baseOf(at));
        return false;
      }
      this.#dispatcher.put();
      this.recordCount++;
      this.lastStoreTimestamp = record.storeTimestamp;
    }
    return true;
  }

  /** Pass 5. */
  finish(endOffset: number): RecoveredQueue[] {
    const { segments } = this.#options;
    return this.#table.all.map(({ queue, slot }) => {
      queue.truncateAfter(endOffset);
      queue.correctMinOffset(segments.firstOffset);
      const { topic, queueId, minOffset, maxOffset } = queue;
      return { topic, queueId, slot, minOffset, maxOffset };
    });
  }
}
