/**
 * Pass 3 of recovery: reads the log record by record, dispatches what queues and index lack, and decides where the log
 * ends. What is no record is damage in its midst where the log goes on behind it (continuation.ts); else it ends.
 */
import type { Clock } from "../base/clock.js";
import { CursorStep, LogCursor } from "../commitlog/log-cursor.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import type { BatchDispatch } from "../dispatch/batch-dispatch.js";
import { Dispatcher, type DispatchFinding } from "../dispatch/dispatcher.js";
import type { IndexSink } from "../dispatch/index-sink.js";
import type { LmqDispatch } from "../dispatch/lmq-dispatch.js";
import type { QueueTable } from "../dispatch/queue-table.js";
import type { Disk } from "../io/disk.js";
import { checkBody } from "../record/record-view.js";
import type { IndexedProperties } from "../record/indexed-properties.js";
import { isQueued } from "../record/sys-flag.js";
import type { DelayLevels } from "../record/tags-code.js";
import { type ChecksAhead, checksAhead } from "./checks-ahead.js";
import type { StoreEnd } from "./abort-file.js";
import type { StoreCheckpoint } from "./checkpoint.js";
import { Continuation, type EndReason, type LogBounds } from "./continuation.js";
import { DamageBlanking } from "./damage-blanking.js";
import { endsWhole } from "./whole-record.js";

/** How far a recovery is in the log, in bytes. */
export interface RecoveryProgress {
  readonly phyOffset: number;
  readonly fromOffset: number;
  /** The end of the files; the log may end earlier. */
  readonly toOffset: number;
}

/** Bytes in the midst of the log in which there is no record any more; they are left as they are. */
export interface LogDamage {
  readonly fromOffset: number;
  readonly toOffset: number;
}

export interface WalkOptions {
  disk: Disk;
  segments: SegmentQueue;
  queues: QueueTable;
  batch: BatchDispatch | undefined;
  lmq: LmqDispatch | undefined;
  index: IndexSink;
  delayLevels: DelayLevels;
  clock: Clock;
  fromOffset: number;
  bounds: LogBounds;
  lastEnd: StoreEnd;
  /** Called before blank entries are put where a queue lacks some for no known reason. */
  onGap: () => void;
  onProgress: ((progress: RecoveryProgress) => void) | undefined;
}

/** How long the event loop is kept busy at a stretch. */
const SLICE_MS = 50;
const SLICE_RECORDS = 2048;
/** Queues get what waits for them after so many: one write for many units. */
const FLUSH_RECORDS = 8 * SLICE_RECORDS;
/** What is made of so much of the log keeps the disk busy for a while: it may as well begin. */
const SYNC_BYTES = 128 * 1024 * 1024;
/** How often the check thread is told where the walk is. */
const TOLD_MASK = 63;
/** Findings kept of each kind. */
const FINDINGS_MAX = 1000;

export class Walk {
  readonly findings: DispatchFinding[] = [];
  readonly damages: LogDamage[] = [];
  /** A queue lacked entries before those it has, and no damage in the log says why. */
  foundGap = false;
  recordCount = 0;
  lastStoreTimestamp = 0;
  #lastRecordOffset = -1;
  #lastQueuedTimestamp = 0;
  /** Of the record before the last. */
  #storeTimestampBefore = 0;
  readonly #options: WalkOptions;
  readonly #dispatcher: Dispatcher;
  readonly #continuation: Continuation;
  readonly #peek: LogCursor;
  readonly #blanking: DamageBlanking;
  #checks: ChecksAhead | undefined;
  #syncing: Promise<void> | undefined;
  #syncedTo = 0;
  #syncFailure: unknown;

  constructor(options: WalkOptions) {
    const { segments, queues, batch, lmq, index, delayLevels, fromOffset } = options;
    this.#options = options;
    this.#continuation = new Continuation(segments, options.lastEnd, options.bounds);
    this.#peek = new LogCursor(segments);
    this.#blanking = new DamageBlanking(queues);
    const onFinding = (finding: DispatchFinding): void => {
      if (finding.problem === "queue had a gap" && this.damages.length === 0) {
        if (!this.foundGap) options.onGap();
        this.foundGap = true;
      }
      if (this.findings.length < FINDINGS_MAX) this.findings.push(finding);
    };
    this.#dispatcher = new Dispatcher({
      segments,
      queues,
      batch,
      lmq,
      index,
      delayLevels,
      position: fromOffset,
      mends: true,
      onFinding,
    });
  }

  get fromOffset(): number {
    return this.#options.fromOffset;
  }

  get indexEntryCount(): number {
    return this.#options.index.entryCount;
  }

  /** Deletes index files that only point before `firstOffset`. After `run`. */
  deleteExpiredIndex(firstOffset: number): void {
    this.#options.index.deleteExpired(firstOffset);
  }

  /** Where the log ends. */
  get endOffset(): number {
    return this.#dispatcher.position;
  }

  /** Why what lies behind the log's end does not belong to it. After `run`. */
  get endReason(): EndReason {
    return this.#continuation.endReason;
  }

  get tailFrom(): number {
    return this.#dispatcher.tailFrom;
  }

  async run(): Promise<void> {
    const { disk, segments, fromOffset } = this.#options;
    this.#checks = checksAhead(disk, segments, fromOffset);
    try {
      await this.#walk();
    } finally {
      await this.#checks?.stop();
    }
    await this.#dispatcher.close();
  }

  async #walk(): Promise<void> {
    const { clock, segments, fromOffset, onProgress } = this.#options;
    const toOffset = segments.endOffset;
    this.#syncedTo = fromOffset;
    let sliceStart = clock.monotonicMs();
    for (let count = SLICE_RECORDS; this.#slice(toOffset) || (await this.#skipDamage()); count += SLICE_RECORDS) {
      if (count % FLUSH_RECORDS === 0) {
        this.#dispatcher.flushQueues(() => {});
        this.#beginSync();
      }
      const now = clock.monotonicMs();
      if (now - sliceStart < SLICE_MS) continue;
      onProgress?.({ phyOffset: this.endOffset, fromOffset, toOffset });
      await new Promise((resolve) => setImmediate(resolve));
      sliceStart = clock.monotonicMs();
    }
    this.#dispatcher.flushQueues(() => {});
    this.#blanking.blank();
    await this.#syncing;
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
  }

  /** The walk goes on meanwhile. What fails here is final, as at the walk's end. */
  #beginSync(): void {
    if (this.#syncing !== undefined || this.endOffset - this.#syncedTo < SYNC_BYTES) return;
    this.#syncedTo = this.endOffset;
    this.#syncing = this.#dispatcher.syncWritten().then(
      () => {
        this.#syncing = undefined;
      },
      (error: unknown) => {
        this.#syncFailure = error;
      },
    );
  }

  /** False before what is no record. */
  #slice(toOffset: number): boolean {
    const { cursor } = this.#dispatcher;
    const checks = this.#checks;
    for (let i = 0; i < SLICE_RECORDS; i++) {
      const before = cursor.offset;
      if ((i & TOLD_MASK) === 0) checks?.at(before);
      if (cursor.next(toOffset) === CursorStep.RECORD) {
        const isChecked = checks?.knows(cursor.recordOffset, cursor.record.position) ?? false;
        if (this.#isSound(isChecked)) {
          this.#take(cursor, isChecked ? checks?.properties : undefined);
          continue;
        }
        // Before it, but behind the blank if there was one.
        const { recordOffset } = cursor;
        cursor.seek(recordOffset === before ? before : this.#options.segments.baseOf(recordOffset));
      }
      return false;
    }
    return true;
  }

  #take({ record, recordOffset }: LogCursor, scanned: IndexedProperties | undefined): void {
    this.#dispatcher.put(scanned);
    this.recordCount++;
    this.#storeTimestampBefore = this.lastStoreTimestamp;
    this.lastStoreTimestamp = record.storeTimestamp;
    this.#lastRecordOffset = recordOffset;
    if (isQueued(record.sysFlag)) this.#lastQueuedTimestamp = record.storeTimestamp;
  }

  /** Has Apache's checkpoint say how far the log, queues and index have got. */
  noteIn(checkpoint: StoreCheckpoint): void {
    if (this.#lastRecordOffset >= 0) checkpoint.confirmPhyOffset = this.#lastRecordOffset;
    if (this.#lastQueuedTimestamp > 0) checkpoint.logicsMsgTimestamp = this.#lastQueuedTimestamp;
    checkpoint.indexMsgTimestamp = Math.max(checkpoint.indexMsgTimestamp, this.#dispatcher.indexMsgTimestamp);
  }

  /** No stale bytes, and no record that was not written whole. */
  #isSound(bodyChecked: boolean): boolean {
    const { cursor } = this.#dispatcher;
    const { record, bytes, recordOffset } = cursor;
    if (record.phyOffset !== recordOffset || record.hasNegativeLength) return false;
    if (!bodyChecked && !checkBody(record, bytes)) return false;
    return endsWhole(record, bytes, recordOffset, this.#peek, this.#options.segments);
  }

  /** Goes on behind what is no record; false where the log ends. */
  async #skipDamage(): Promise<boolean> {
    const { cursor } = this.#dispatcher;
    const fromOffset = cursor.offset;
    const search = this.#continuation.next(fromOffset, this.lastStoreTimestamp, this.#storeTimestampBefore);
    let step = search.next();
    for (; step.done !== true; step = search.next()) await new Promise((resolve) => setImmediate(resolve));
    const toOffset = step.value;
    if (toOffset === undefined) return false;
    if (this.damages.length < FINDINGS_MAX) this.damages.push({ fromOffset, toOffset });
    this.#blanking.add(fromOffset, toOffset);
    this.#keepPlace(fromOffset);
    cursor.seek(toOffset);
    return true;
  }

  /** A record whose body is damaged mostly tells its queue and offset: nothing else may get that offset. */
  #keepPlace(phyOffset: number): void {
    const { cursor } = this.#dispatcher;
    cursor.seek(phyOffset);
    const isRecord = cursor.next(this.#options.segments.endOffset) === CursorStep.RECORD;
    if (isRecord && cursor.recordOffset === phyOffset && cursor.record.phyOffset === phyOffset) {
      this.#dispatcher.keepPlace();
    }
  }
}
