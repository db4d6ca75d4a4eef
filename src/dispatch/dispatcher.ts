/**
 * Builds queues and index from the log: the work itself, without a thread. The dispatch worker runs it behind the
 * appender, recovery runs it over what a crash left undone, stores without threads run it in between. It may be started
 * at any record: what queues and index hold already is passed over.
 */
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import { CursorStep, LogCursor } from "../commitlog/log-cursor.js";
import type { BatchDispatch } from "./batch-dispatch.js";
import { addCounts, countsOf, type DerivedCounts, type QueueCounts } from "./derived-counts.js";
import type { DispatchWritten } from "./dispatch.js";
import type { IndexSink } from "./index-sink.js";
import { LMQ_QUEUE_ID, type LmqDispatch } from "./lmq-dispatch.js";
import type { AppendOutcome } from "../consumequeue/consume-queue.js";
import { RECORD_BYTES_MIN } from "../record/layout.js";
import { IndexedProperties } from "../record/indexed-properties.js";
import { type DelayLevels, deliveryTagsCode } from "../record/tags-code.js";
import type { RecordView } from "../record/record-view.js";
import { isQueued } from "../record/sys-flag.js";
import type { DispatchQueue, ExpiredQueue, QueueTable } from "./queue-table.js";

/** A record that could not go where it says it belongs. The dispatcher goes on. */
export interface DispatchFinding {
  readonly phyOffset: number;
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly problem:
    | "queue is ahead"
    | "queue had a gap"
    | "entry was missing"
    | "name is not allowed"
    | "batch makes no sense"
    | "queue offset is impossible";
}

/** The tail of a log that every start checks is at least so long. */
export const TAIL_BYTES = 4 * 1024 * 1024;

export interface DispatcherOptions {
  segments: SegmentQueue;
  queues: QueueTable;
  /** Without it no topic has batch queues. */
  batch?: BatchDispatch | undefined;
  /** Without it no record is entered into further queues. */
  lmq?: LmqDispatch | undefined;
  index: IndexSink;
  delayLevels: DelayLevels;
  position: number;
  /** What queues and index hold at `position`. */
  counts?: DerivedCounts;
  /** Entries that queues have already are held against the records and put right: what recovery does. */
  mends?: boolean;
  /**
   * What becomes of a record whose queue lacks the entries before it: blank units fill the gap, or the record takes the
   * next free offset, as with Apache.
   */
  onGap?: "fill" | "next";
  onFinding: (finding: DispatchFinding) => void;
}

export class Dispatcher {
  readonly cursor: LogCursor;
  readonly #queues: QueueTable;
  readonly #batch: BatchDispatch | undefined;
  readonly #lmq: LmqDispatch | undefined;
  readonly #index: IndexSink;
  readonly #delayLevels: DelayLevels;
  #countsBefore: DerivedCounts;
  readonly #mends: boolean;
  readonly #fillsGaps: boolean;
  readonly #onFinding: DispatcherOptions["onFinding"];
  readonly #properties = new IndexedProperties();
  readonly #dirty: DispatchQueue[] = [];
  #indexDirty = false;
  #lastStoreTimestamp = 0;
  /** Queues, and the index, have everything below in their files; with the store timestamp of the record before. */
  #queuesTo: number;
  #queuesToTimestamp = 0;
  #indexTo: number;
  #indexToTimestamp = 0;
  #tailFrom: number;
  #tailCandidate: number;

  constructor(options: DispatcherOptions) {
    this.cursor = new LogCursor(options.segments);
    this.cursor.seek(options.position);
    this.#queues = options.queues;
    this.#batch = options.batch;
    this.#lmq = options.lmq;
    this.#index = options.index;
    this.#delayLevels = options.delayLevels;
    this.#countsBefore = options.counts ?? { queueCount: 0, unitCount: 0, firstUnitSum: 0, indexEntryCount: 0 };
    this.#mends = options.mends ?? false;
    this.#fillsGaps = options.onGap !== "next";
    this.#onFinding = options.onFinding;
    this.#queuesTo = options.position;
    this.#indexTo = options.position;
    this.#tailFrom = options.position;
    this.#tailCandidate = options.position;
  }

  /** Log offset of the next record. */
  get position(): number {
    return this.cursor.offset;
  }

  /** A record boundary TAIL_BYTES or more before `position`, or where this dispatcher began. */
  get tailFrom(): number {
    return this.#tailFrom;
  }

  /** End timestamp of the newest index file that is full and synced. */
  get indexMsgTimestamp(): number {
    return this.#index.indexMsgTimestamp;
  }

  /** Queues and index have everything below in their files: `position` after flushes of both. */
  get writtenPosition(): number {
    return Math.min(this.#queuesTo, this.#indexTo);
  }

  /** The same of the queues alone. */
  get queuesPosition(): number {
    return this.#queuesTo;
  }

  /** What a sync of the files makes durable, of all queues and not only of those that this dispatcher has written to. */
  get written(): DispatchWritten {
    const position = this.writtenPosition;
    let queues: QueueCounts = this.#countsBefore;
    for (const { queue, before } of this.#queues.all) {
      queues = addCounts(addCounts(queues, countsOf(queue, queue.flushedBefore(position))), before, -1);
    }
    return {
      position,
      queuesPosition: this.#queuesTo,
      tailFrom: this.#tailFrom,
      storeTimestamp: this.#queuesTo < this.#indexTo ? this.#queuesToTimestamp : this.#indexToTimestamp,
      counts: { ...queues, indexEntryCount: this.#index.entryCountBefore(position) },
    };
  }

  /** Index entries wait for `flushIndex`. */
  get indexDirty(): boolean {
    return this.#indexDirty;
  }

  /** Units wait for `flushQueues`. */
  get queuesDirty(): boolean {
    return this.#dirty.length > 0;
  }

  /** Queues whose units wait. */
  get dirtyCount(): number {
    return this.#dirty.length;
  }

  /**
   * Dispatches up to `recordsMax` records below `limit`; returns how many. When it throws, as do the flushes, nothing is
   * lost: the record at hand is the next one again, and what was written of it is passed over.
   */
  run(limit: number, recordsMax: number): number {
    let count = 0;
    let doneTo = this.cursor.offset;
    try {
      while (count < recordsMax && this.cursor.next(limit) === CursorStep.RECORD) {
        this.put();
        doneTo = this.cursor.offset;
        count++;
      }
    } catch (error) {
      this.cursor.seek(doneTo);
      throw error;
    }
    return count;
  }

  /** Dispatches the record that `cursor` has just read; `scanned` has been through its properties, if anybody has. */
  put(scanned?: IndexedProperties): void {
    const { record, bytes, view } = this.cursor;
    this.#lastStoreTimestamp = record.storeTimestamp;
    if (this.cursor.recordOffset - this.#tailCandidate >= TAIL_BYTES) {
      this.#tailFrom = this.#tailCandidate;
      this.#tailCandidate = this.cursor.recordOffset;
    }
    const { propertiesStart, propertiesLength } = record;
    const properties = scanned ?? this.#properties;
    if (scanned === undefined) {
      properties.scanWords(bytes, view, propertiesStart, propertiesStart + propertiesLength);
    }
    if (isQueued(record.sysFlag)) this.#enqueue(record, bytes, properties);
    this.#index.putRecord(record, bytes, this.cursor.recordOffset, properties);
    this.#indexDirty = true;
  }

  /**
   * The record that `cursor` has just read is damaged. If its queue goes on with it, a blank unit stands for it, so that no
   * other message gets its offset, which consumers have behind them.
   */
  keepPlace(): void {
    const { record, bytes } = this.cursor;
    const { topicStart, topicLength, queueId, queueOffset } = record;
    if (!isQueued(record.sysFlag)) return;
    const entry = this.#queues.known(bytes, topicStart, topicLength, queueId);
    if (entry?.queue.maxOffset !== queueOffset) return;
    entry.queue.fillTo(queueOffset + 1);
    if (entry.dirty) return;
    entry.dirty = true;
    this.#dirty.push(entry);
  }

  #enqueue(record: RecordView, bytes: Buffer, properties: IndexedProperties): void {
    const tagsCode = deliveryTagsCode(record, bytes, this.#delayLevels, properties);
    const phyOffset = this.cursor.recordOffset;
    const batchTopic = this.#batch?.topicOf(record, bytes);
    if (batchTopic !== undefined) {
      const taken = this.#batch!.put(batchTopic, record, bytes, phyOffset, tagsCode);
      if (!taken) this.#report(record, bytes, "batch makes no sense");
      return;
    }
    const entry = this.#queues.find(bytes, record.topicStart, record.topicLength, record.queueId, phyOffset);
    this.#append(entry, record, bytes, tagsCode, record.queueOffset);
    if (this.#lmq === undefined || entry === undefined) return;
    for (const { name, queueOffset } of this.#lmq.entriesOf(record, bytes)) {
      this.#append(this.#queues.named(name, LMQ_QUEUE_ID, phyOffset), record, bytes, tagsCode, queueOffset);
    }
  }

  #append(
    entry: DispatchQueue | "deleted" | undefined,
    record: RecordView,
    bytes: Buffer,
    tagsCode: number,
    queueOffset: number,
  ): void {
    const phyOffset = this.cursor.recordOffset;
    if (entry === undefined) {
      this.#report(record, bytes, "name is not allowed");
      return;
    }
    if (entry === "deleted" || phyOffset < entry.deletedBefore) return;
    if (this.#fillsGaps && !isPossible(queueOffset, 0, phyOffset)) {
      this.#report(record, bytes, "queue offset is impossible");
      return;
    }
    let outcome = entry.queue.append(phyOffset, record.totalSize, tagsCode, queueOffset);
    // Apache does not look where the queue is when the record says 0.
    if (outcome === "behind" && queueOffset === 0 && !this.#fillsGaps) outcome = "gap";
    if (outcome === "gap") outcome = this.#closeGap(entry, record, bytes, tagsCode, queueOffset);
    if (this.#mends && (outcome === "known" || outcome === "behind"))
      this.#mend(entry, record, bytes, tagsCode, queueOffset);
    else if (outcome === "behind") this.#report(record, bytes, "queue is ahead");
    if (outcome !== "appended" || entry.dirty) return;
    entry.dirty = true;
    this.#dirty.push(entry);
  }

  #closeGap(
    { queue }: DispatchQueue,
    record: RecordView,
    bytes: Buffer,
    tagsCode: number,
    queueOffset: number,
  ): AppendOutcome {
    const phyOffset = this.cursor.recordOffset;
    if (this.#fillsGaps && !isPossible(queueOffset - queue.maxOffset, queue.maxPhyOffset, phyOffset)) {
      this.#report(record, bytes, "queue offset is impossible");
      return "gap";
    }
    this.#report(record, bytes, "queue had a gap");
    if (this.#fillsGaps) queue.fillTo(queueOffset);
    return queue.append(phyOffset, record.totalSize, tagsCode, queue.maxOffset);
  }

  #mend(entry: DispatchQueue, record: RecordView, bytes: Buffer, tagsCode: number, queueOffset: number): void {
    const outcome = entry.queue.mend(this.cursor.recordOffset, record.totalSize, tagsCode, queueOffset);
    if (outcome === "sound") return;
    if (outcome === "mended") entry.unsynced = true;
    this.#report(record, bytes, outcome === "mended" ? "entry was missing" : "queue is ahead");
  }

  #report(record: RecordView, bytes: Buffer, problem: DispatchFinding["problem"]): void {
    this.#onFinding({
      phyOffset: this.cursor.recordOffset,
      topic: bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength),
      queueId: record.queueId,
      queueOffset: record.queueOffset,
      problem,
    });
  }

  /**
   * Writes waiting units to the files and tells `onGrown` of each queue that has grown, with its max offset. After a
   * failed write the next call goes on with the same queue.
   */
  flushQueues(onGrown: (slot: number, maxOffset: number) => void): void {
    const dirty = this.#dirty;
    this.#queues.moveOpenLast(dirty);
    for (let entry = dirty.at(-1); entry !== undefined; entry = dirty.at(-1)) {
      entry.queue.flush();
      entry.dirty = false;
      entry.unsynced = true;
      dirty.pop();
      onGrown(entry.slot, entry.queue.flushedOffset);
    }
    this.#batch?.flush();
    this.#queuesTo = this.position;
    this.#queuesToTimestamp = this.#lastStoreTimestamp;
  }

  /** The topic was deleted: its queues go, with what waits for them. Not to be called while a record is dispatched. */
  forget(topic: string): void {
    const { gone, before } = this.#queues.forget(topic);
    for (const entry of gone) if (entry.dirty) this.#dirty.splice(this.#dirty.indexOf(entry), 1);
    this.#countsBefore = { ...this.#countsBefore, ...addCounts(this.#countsBefore, before, -1) };
  }

  /** Has a queue, open or not, follow the log's beginning. */
  deleteExpired(topic: string, queueId: number, slot: number, minPhyOffset: number): ExpiredQueue {
    const expired = this.#queues.deleteExpired(topic, queueId, slot, minPhyOffset);
    this.#countsBefore = { ...this.#countsBefore, ...addCounts(this.#countsBefore, expired.change) };
    return expired;
  }

  /** Deletes index files that only point before `minPhyOffset`; returns how many. */
  deleteExpiredIndex(minPhyOffset: number): number {
    return this.#index.deleteExpired(minPhyOffset);
  }

  flushIndex(): void {
    if (this.#indexDirty) this.#index.flush();
    this.#indexDirty = false;
    this.#indexTo = this.position;
    this.#indexToTimestamp = this.#lastStoreTimestamp;
  }

  /** Makes all that was dispatched durable. */
  async sync(): Promise<void> {
    this.flushIndex();
    await Promise.all([this.syncWritten(), ...(this.#batch?.sync() ?? [])]);
  }

  /** Makes durable what queues and index have in their files by now (see `written`), while dispatching goes on. */
  async syncWritten(): Promise<void> {
    await Promise.all([
      this.#index.syncWritten(),
      this.#queues.sync(this.#queues.all.filter(({ unsynced }) => unsynced)),
    ]);
  }

  /** Syncs and lets go of the files. */
  async close(): Promise<void> {
    await this.sync();
    await this.#index.close();
  }
}

/** Whether so many messages fit into the log between two offsets: queue offsets have no CRC, and blanks take space. */
function isPossible(messageCount: number, fromOffset: number, toOffset: number): boolean {
  return messageCount <= (toOffset - fromOffset) / RECORD_BYTES_MIN;
}
