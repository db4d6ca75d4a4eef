/** Look-ups into an open store: by key, by place in the log, by time. What is found are views on whole records. */
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import type { Boundary } from "../consumequeue/offset-by-time.js";
import { UnitBatch } from "../consumequeue/unit.js";
import type { SharedProgress } from "../dispatch/shared-progress.js";
import type { IndexQuery, IndexQueryResult, KeyQuery } from "../index/index-query.js";
import type { SegmentBytes } from "../io/disk.js";
import { RecordVerdict, RecordView } from "../record/record-view.js";
import type { QueueUnits } from "./queue-units.js";
import type { StoreQueues } from "./store-queue.js";
import { storeClosed } from "./store-closed.js";
import type { QueueHandle } from "./types.js";

/** What the index has of a key. */
export interface KeyQueryResult {
  /** Whole records, newest first; their keys share the hash of the one asked for, and mostly the key. */
  readonly records: readonly Buffer[];
  readonly indexLastUpdateTimestamp: number;
  readonly indexLastUpdatePhyOffset: number;
}

/** Reads messages otherwise than in the order of their queue. COMETMQ_STORE_CLOSED once the store is closed. */
export class LookUp {
  readonly #segments: SegmentQueue;
  readonly #progress: SharedProgress;
  readonly #queues: StoreQueues;
  readonly #queueUnits: QueueUnits;
  readonly #index: IndexQuery;
  readonly #deletedTopics: ReadonlyMap<string, number>;
  readonly #unit = new UnitBatch(1);
  readonly #view = new RecordView();
  /** The next turn that no search has taken yet. */
  #turn: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(
    segments: SegmentQueue,
    progress: SharedProgress,
    queues: StoreQueues,
    queueUnits: QueueUnits,
    index: IndexQuery,
    deletedTopics: ReadonlyMap<string, number>,
  ) {
    this.#segments = segments;
    this.#progress = progress;
    this.#queues = queues;
    this.#queueUnits = queueUnits;
    this.#index = index;
    this.#deletedTopics = deletedTopics;
  }

  /** The record that begins at `phyOffset`; undefined where none begins. */
  recordAt(phyOffset: number): Buffer | undefined {
    return this.readRecord(phyOffset, this.#view);
  }

  /** @internal The same, and its fields in `into`: their positions are in the bytes returned. */
  readRecord(phyOffset: number, into: RecordView): Buffer | undefined {
    this.#checkOpen();
    if (!Number.isSafeInteger(phyOffset) || phyOffset < 0 || phyOffset >= this.#progress.confirmed) return undefined;
    const segment = this.#segments.at(phyOffset);
    if (segment === undefined) return undefined;
    const position = phyOffset - segment.baseOffset;
    const head = segment.read(position, Math.min(8, segment.sizeBytes - position));
    const sizeBytes = head.length < 8 ? 0 : head.readInt32BE(0);
    if (sizeBytes <= 0 || position + sizeBytes > segment.sizeBytes) return undefined;
    const record = segment.read(position, sizeBytes);
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    if (into.read(view, 0, sizeBytes) !== RecordVerdict.RECORD || into.phyOffset !== phyOffset) return undefined;
    return record;
  }

  /**
   * As `readRecord`, without an object for each record where segments are mapped, for who goes through many of
   * them: the bytes may be those of the whole segment around it.
   */
  findRecord(phyOffset: number, into: RecordView): SegmentBytes | undefined {
    this.#checkOpen();
    if (!Number.isSafeInteger(phyOffset) || phyOffset < 0 || phyOffset >= this.#progress.confirmed) return undefined;
    const segment = this.#segments.at(phyOffset);
    if (segment === undefined) return undefined;
    const { whole } = segment;
    if (whole === undefined) {
      const bytes = this.readRecord(phyOffset, into);
      return bytes && { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
    }
    const verdict = into.read(whole.view, phyOffset - segment.baseOffset, segment.sizeBytes);
    return verdict === RecordVerdict.RECORD && into.phyOffset === phyOffset ? whole : undefined;
  }

  /** Store time of the record that begins at `phyOffset`, or -1. */
  storeTimestampAt(phyOffset: number): number {
    return this.recordAt(phyOffset) === undefined ? -1 : this.#view.storeTimestamp;
  }

  /** @internal Entries of a queue from `fromOffset` on, as many as there are and `into` takes; the count may be 0. */
  readUnits(queue: QueueHandle, fromOffset: number, into: UnitBatch): number {
    this.#checkOpen();
    return this.#queueUnits.read(this.#queues.own(queue), fromOffset, into.capacity, into);
  }

  /** The record at `queueOffset` of a queue; undefined where there is none to be read. */
  messageAt(queue: QueueHandle, queueOffset: number): Buffer | undefined {
    const phyOffset = this.phyOffsetOf(queue, queueOffset);
    return phyOffset < 0 ? undefined : this.recordAt(phyOffset);
  }

  /** The same message's place in the log, or -1. */
  phyOffsetOf(queue: QueueHandle, queueOffset: number): number {
    this.#checkOpen();
    const own = this.#queues.own(queue);
    if (!Number.isInteger(queueOffset) || queueOffset < 0) return -1;
    if (this.#queueUnits.read(own, queueOffset, 1, this.#unit) !== 1) return -1;
    return this.#unit.messageOffset(0);
  }

  /** Store time of the message at `queueOffset`, or -1. */
  messageTimestamp(queue: QueueHandle, queueOffset: number): number {
    return this.messageAt(queue, queueOffset) === undefined ? -1 : this.#view.storeTimestamp;
  }

  /** Store time of the oldest record of the log, or -1. */
  firstTimestamp(): number {
    return this.storeTimestampAt(this.#segments.firstOffset);
  }

  /** Queue offset for a store time, as Apache answers it: see consumequeue/offset-by-time. */
  offsetByTime(queue: QueueHandle, timestamp: number, boundary: Boundary): number {
    this.#checkOpen();
    const own = this.#queues.own(queue);
    const { reader, minOffset } = own;
    const bounds = {
      minOffset,
      maxOffset: this.#queueUnits.writtenOffset(own),
      minPhyOffset: this.#segments.firstOffset,
    };
    return reader.offsetByTime(timestamp, boundary, bounds, (phyOffset) => this.storeTimestampAt(phyOffset));
  }

  /** Messages that were indexed under a key, newest first. */
  queryByKey(query: KeyQuery): KeyQueryResult {
    this.#checkOpen();
    return this.#recordsOf(query.topic, this.#index.query(query, this.#progress.confirmed));
  }

  /** @internal The same, one step of all who ask in a turn of the event loop: many messages may share a hash. */
  async queryByKeyInTurns(query: KeyQuery): Promise<KeyQueryResult> {
    this.#checkOpen();
    const steps = this.#index.querySteps(query, this.#progress.confirmed);
    let step = steps.next();
    for (; step.done !== true; step = steps.next()) {
      this.#turn = this.#turn.then(() => new Promise((resolve) => setImmediate(resolve)));
      await this.#turn;
      if (!this.#isClosed) continue;
      // It lets go of what it has opened.
      steps.return(undefined as never);
      throw storeClosed();
    }
    return this.#recordsOf(query.topic, step.value);
  }

  #recordsOf(topic: string, found: IndexQueryResult): KeyQueryResult {
    const records: Buffer[] = [];
    const deletedBefore = this.#deletedTopics.get(topic) ?? 0;
    for (const phyOffset of found.phyOffsets) {
      const record = phyOffset < deletedBefore ? undefined : this.recordAt(phyOffset);
      if (record !== undefined) records.push(record);
    }
    const { indexLastUpdateTimestamp, indexLastUpdatePhyOffset } = found;
    return { records, indexLastUpdateTimestamp, indexLastUpdatePhyOffset };
  }

  /** @internal Index files were deleted: an open handle would keep their space. Those that are left open themselves again. */
  closeIndex(): void {
    this.#index.close();
  }

  /** @internal Nothing is found any more: as in `MessageReader`. */
  close(): void {
    this.#isClosed = true;
    this.#index.close();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw storeClosed();
  }
}
