/** Queues of either kind as a dump reads them: their bounds, and their entries in order. */
import { int64Text } from "../../base/int64.js";
import type { BatchConsumeQueue } from "../../consumequeue/batch-consume-queue.js";
import type { BatchConsumeQueueReader } from "../../consumequeue/batch-consume-queue-reader.js";
import { type ConsumeQueueExt, emptyExtUnit } from "../../consumequeue/consume-queue-ext.js";
import type { Boundary } from "../../consumequeue/offset-by-time.js";
import { BLANK_SIZE_BYTES, isExtAddress, UnitBatch } from "../../consumequeue/unit.js";
import type { MessageStore } from "../message-store.js";
import type { QueueHandle } from "../types.js";
import type { DumpLine } from "./line.js";

export interface QueueEntry {
  readonly queueOffset: number;
  /** The offset behind its last message. */
  readonly nextOffset: number;
  readonly phyOffset: number;
  readonly sizeBytes: number;
  readonly tagsCode: string;
  /** Members that only this kind of queue has, in their order. */
  readonly more: Omit<DumpLine, "type">;
}

export interface QueueView {
  readonly topic: string;
  readonly queueId: number;
  readonly cqType: "SimpleCQ" | "BatchCQ";
  readonly minOffset: number;
  readonly maxOffset: number;
  /** How far the queue has got in the log; -1 for an empty one. */
  readonly maxPhyOffset: number;
  /** From the one that holds `fromOffset` on, up to `maxOffset`. */
  entries(fromOffset: number): Generator<QueueEntry>;
  offsetByTime(timestamp: number, boundary: Boundary): number;
}

const READ_UNITS = 512;

export class SimpleQueueView implements QueueView {
  readonly topic: string;
  readonly queueId: number;
  readonly cqType = "SimpleCQ";
  readonly #store: MessageStore;
  readonly #queue: QueueHandle;
  readonly #ext: ConsumeQueueExt | undefined;

  constructor(store: MessageStore, queue: QueueHandle, ext: ConsumeQueueExt | undefined) {
    this.topic = queue.topic;
    this.queueId = queue.queueId;
    this.#store = store;
    this.#queue = queue;
    this.#ext = ext;
  }

  get minOffset(): number {
    return this.#store.minOffset(this.#queue);
  }

  get maxOffset(): number {
    return this.#store.maxOffset(this.#queue);
  }

  get maxPhyOffset(): number {
    const units = new UnitBatch(1);
    for (let offset = this.maxOffset - 1; offset >= 0; offset--) {
      if (this.#store.lookUp.readUnits(this.#queue, offset, units) === 0) break;
      const isBlank = units.phyOffset[0] === 0 && units.sizeBytes[0] === BLANK_SIZE_BYTES;
      if (!isBlank) return units.phyOffset[0]! + units.sizeBytes[0]!;
    }
    return -1;
  }

  *entries(fromOffset: number): Generator<QueueEntry> {
    const units = new UnitBatch(READ_UNITS);
    for (let offset = fromOffset; offset >= 0 && offset < this.maxOffset; offset += units.count) {
      if (this.#store.lookUp.readUnits(this.#queue, offset, units) === 0) return;
      for (let i = 0; i < units.count; i++) yield this.#entry(units, i);
    }
  }

  #entry(units: UnitBatch, i: number): QueueEntry {
    const queueOffset = units.firstOffset + i;
    const high = units.tagsCodeHigh[i]!;
    const low = units.tagsCodeLow[i]!;
    const ext = this.#ext === undefined || !isExtAddress(high, low) ? undefined : emptyExtUnit();
    const hasExt = ext !== undefined && this.#ext!.get(high, low, ext);
    return {
      queueOffset,
      nextOffset: queueOffset + 1,
      phyOffset: units.phyOffset[i]!,
      sizeBytes: units.sizeBytes[i]!,
      tagsCode: hasExt ? int64Text(ext.tagsCodeHigh, ext.tagsCodeLow) : int64Text(high, low),
      more: hasExt
        ? {
            rawTagsCode: int64Text(high, low),
            ext: {
              size: ext.sizeBytes,
              tagsCode: int64Text(ext.tagsCodeHigh, ext.tagsCodeLow),
              msgStoreTime: ext.storeTimestamp,
              bitMap: ext.bitmap?.toString("hex") ?? null,
            },
          }
        : {},
    };
  }

  offsetByTime(timestamp: number, boundary: Boundary): number {
    return this.#store.lookUp.offsetByTime(this.#queue, timestamp, boundary);
  }
}

export class BatchQueueView implements QueueView {
  readonly topic: string;
  readonly queueId: number;
  readonly cqType = "BatchCQ";
  readonly minOffset: number;
  readonly maxOffset: number;
  readonly maxPhyOffset: number;
  readonly #reader: BatchConsumeQueueReader;
  readonly #minPhyOffset: number;

  /** `queue` has been recovered. */
  constructor(queue: BatchConsumeQueue, reader: BatchConsumeQueueReader, minPhyOffset: number) {
    this.topic = queue.topic;
    this.queueId = queue.queueId;
    this.minOffset = queue.minOffset;
    this.maxOffset = queue.maxOffset;
    this.maxPhyOffset = queue.maxPhyOffset;
    this.#reader = reader;
    this.#minPhyOffset = minPhyOffset;
  }

  *entries(fromOffset: number): Generator<QueueEntry> {
    for (let offset = fromOffset; offset >= 0 && offset < this.maxOffset; ) {
      const before = offset;
      for (const unit of this.#reader.read(offset, READ_UNITS, this.maxOffset)) {
        const { queueOffset, count, compactedOffset } = unit;
        const nextOffset = queueOffset + count;
        if (nextOffset <= offset) return;
        yield {
          queueOffset,
          nextOffset,
          phyOffset: unit.phyOffset,
          sizeBytes: unit.sizeBytes,
          tagsCode: int64Text(unit.tagsCodeHigh, unit.tagsCodeLow),
          more: { batchNum: count, compactedOffset },
        };
        offset = nextOffset;
      }
      if (offset === before) return;
    }
  }

  offsetByTime(timestamp: number, boundary: Boundary): number {
    const { minOffset, maxOffset } = this;
    return this.#reader.offsetByTime(timestamp, boundary, { minOffset, maxOffset, minPhyOffset: this.#minPhyOffset });
  }
}
