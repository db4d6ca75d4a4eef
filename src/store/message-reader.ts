/**
 * Reads messages of a queue: units up to what can be seen, then the records they point at, as views on the
 * log. What is answered where there is nothing is Apache's (store/DefaultMessageStore#getMessage).
 */
import { CometError } from "../base/errors.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import { isExtAddress, UNIT_BYTES, UnitBatch } from "../consumequeue/unit.js";
import { RECORD_BYTES_MIN, TOTAL_SIZE_POSITION } from "../record/layout.js";
import { tagsHash } from "../record/properties.js";
import { RecordVerdict, RecordView } from "../record/record-view.js";
import type { QueueUnits } from "./queue-units.js";
import type { StoreQueue } from "./store-queue.js";
import { storeClosed } from "./store-closed.js";
import { type GetResult, GetStatus, type RecordFilter, type TagFilter } from "./types.js";

/** How much one `get` gives. */
export interface GetLimits {
  /** Most messages, at least 1. */
  maxCount: number;
  /** Most bytes; one message is always given. */
  maxBytes: number;
  /** Most of the queue that is looked at, however few messages match: bytes of its units, 16,000; `maxCount` units at least. */
  maxFilterMessageSize?: number;
}

const MAX_FILTER_MESSAGE_SIZE = 16_000;
const BATCH_UNITS = 64;
/** What a RecordFilter may cost in one call, in its steps: some ten milliseconds. One record is always looked at. */
const FILTER_STEPS_MAX = 500_000;

function isRecordFilter(filter: TagFilter | RecordFilter): filter is RecordFilter {
  return filter !== undefined && "matchesRecord" in filter;
}

export class MessageReader {
  readonly #segments: SegmentQueue;
  readonly #queueUnits: QueueUnits;
  readonly #units = new UnitBatch(BATCH_UNITS);
  readonly #view = new RecordView();
  #isClosed = false;
  /** A filter is asked, who may read as well before it answers. */
  #isAsking = false;

  constructor(segments: SegmentQueue, queueUnits: QueueUnits) {
    this.#segments = segments;
    this.#queueUnits = queueUnits;
  }

  /** Fills `result`; its records are views that stay valid as long as they are referenced. */
  get(
    queue: StoreQueue,
    offset: number,
    limits: GetLimits,
    filter: TagFilter | RecordFilter,
    result: GetResult,
  ): GetStatus {
    if (this.#isClosed) throw storeClosed();
    if (!Array.isArray(result?.records) || typeof limits !== "object" || limits === null)
      throw new CometError("COMETMQ_CONFIG", "limits or result is no object: emptyGetResult() makes a result.");
    result.records.length = 0;
    result.queueOffsets.length = 0;
    result.totalBytes = 0;
    result.minOffset = queue.minOffset;
    result.maxOffset = this.#queueUnits.maxOffset(queue);
    result.nextBeginOffset = offset;
    if (queue.retired) return noQueue(result);
    if (!Number.isInteger(offset)) throw new CometError("COMETMQ_CONFIG", `The offset is ${offset}, no integer.`);
    result.status = this.#judge(offset, result);
    if (result.status !== GetStatus.NO_MATCHED_MESSAGE) return result.status;
    const units = this.#isAsking ? new UnitBatch(BATCH_UNITS) : this.#units;
    if (isRecordFilter(filter)) this.#collectAsking(queue, limits, filter, units, result);
    else this.#collect(queue, limits, filter, undefined, units, result);
    return result.status;
  }

  /** NO_MATCHED_MESSAGE when there is something to read at `offset`. */
  #judge(offset: number, result: GetResult): GetStatus {
    const { minOffset, maxOffset } = result;
    if (maxOffset === 0) {
      result.nextBeginOffset = 0;
      return GetStatus.NO_MESSAGE_IN_QUEUE;
    }
    if (offset < minOffset) {
      result.nextBeginOffset = minOffset;
      return GetStatus.OFFSET_TOO_SMALL;
    }
    if (offset === maxOffset) return GetStatus.OFFSET_OVERFLOW_ONE;
    if (offset > maxOffset) {
      result.nextBeginOffset = maxOffset;
      return GetStatus.OFFSET_OVERFLOW_BADLY;
    }
    return GetStatus.NO_MATCHED_MESSAGE;
  }

  #collectAsking(
    queue: StoreQueue,
    limits: GetLimits,
    filter: RecordFilter,
    units: UnitBatch,
    result: GetResult,
  ): void {
    const isNested = this.#isAsking;
    this.#isAsking = true;
    try {
      this.#collect(queue, limits, undefined, filter, units, result);
    } finally {
      this.#isAsking = isNested;
    }
  }

  #collect(
    queue: StoreQueue,
    limits: GetLimits,
    tags: TagFilter,
    records: RecordFilter | undefined,
    units: UnitBatch,
    result: GetResult,
  ): void {
    if (records !== undefined) records.steps = 0;
    const { maxFilterMessageSize = MAX_FILTER_MESSAGE_SIZE } = limits;
    const scanEnd = result.nextBeginOffset + Math.max(Math.ceil(maxFilterMessageSize / UNIT_BYTES), limits.maxCount);
    while (result.nextBeginOffset < result.maxOffset && result.nextBeginOffset < scanEnd) {
      const wanted = Math.min(BATCH_UNITS, limits.maxCount - result.records.length, scanEnd - result.nextBeginOffset);
      if (this.#queueUnits.read(queue, result.nextBeginOffset, wanted, units) === 0) {
        if (result.records.length > 0) return;
        // Its file is gone, or not whole: as with Apache, readers are led to the next one.
        result.status = GetStatus.OFFSET_FOUND_NULL;
        result.nextBeginOffset = Math.min(result.maxOffset, queue.reader.nextFileOffset(result.nextBeginOffset));
        return;
      }
      for (let i = 0; i < units.count; i++) {
        if (tags !== undefined && !this.#hasTag(units, i, tags)) {
          result.nextBeginOffset++;
          continue;
        }
        const sizeBytes = units.sizeBytes[i]!;
        if (result.records.length > 0 && result.totalBytes + sizeBytes > limits.maxBytes) return;
        this.#take(units.phyOffset[i]!, sizeBytes, records, result);
        if (result.records.length >= limits.maxCount) return;
        if (records !== undefined && records.steps > FILTER_STEPS_MAX) return;
      }
    }
  }

  /** Entry `entry` of the units has one of `tags`, given by their hashes. */
  #hasTag(units: UnitBatch, entry: number, tags: ReadonlySet<number>): boolean {
    const high = units.tagsCodeHigh[entry]!;
    const hash = units.tagsCodeLow[entry]!;
    if (high === hash >> 31) return tags.has(hash);
    if (!isExtAddress(high, hash)) return false;
    // The hash lies in the extended queue, and in the record.
    const record = this.recordAt(units.phyOffset[entry]!, units.sizeBytes[entry]!);
    if (record === undefined) return true;
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    if (this.#view.read(view, 0, record.length) !== RecordVerdict.RECORD) return false;
    const { propertiesStart, propertiesLength } = this.#view;
    return tags.has(tagsHash(record, propertiesStart, propertiesStart + propertiesLength));
  }

  #take(phyOffset: number, sizeBytes: number, filter: RecordFilter | undefined, result: GetResult): void {
    const record = this.recordAt(phyOffset, sizeBytes);
    if (record === undefined) {
      if (result.records.length === 0) result.status = GetStatus.MESSAGE_WAS_REMOVING;
    } else if (filter === undefined || filter.matchesRecord(record)) {
      result.records.push(record);
      result.queueOffsets.push(result.nextBeginOffset);
      result.totalBytes += sizeBytes;
      result.status = GetStatus.FOUND;
    }
    result.nextBeginOffset++;
  }

  /** The record of `sizeBytes` at `phyOffset`; undefined when the log does not hold one there. */
  recordAt(phyOffset: number, sizeBytes: number): Buffer | undefined {
    const segment = this.#segments.at(phyOffset);
    if (segment === undefined) return undefined;
    const position = phyOffset - segment.baseOffset;
    if (sizeBytes < RECORD_BYTES_MIN || position + sizeBytes > segment.sizeBytes) return undefined;
    const record = segment.read(position, sizeBytes);
    return record.readInt32BE(TOTAL_SIZE_POSITION) === sizeBytes ? record : undefined;
  }

  /** Nothing is read any more: a file that it needs would be opened again, and the directory may be somebody else's. */
  close(): void {
    this.#isClosed = true;
  }
}

/** Its topic was deleted: a reader starts again, at the beginning of what is there by then. */
function noQueue(result: GetResult): GetStatus {
  result.minOffset = 0;
  result.maxOffset = 0;
  result.nextBeginOffset = 0;
  result.status = GetStatus.NO_MATCHED_LOGIC_QUEUE;
  return result.status;
}
