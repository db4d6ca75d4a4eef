/** An open message store as the broker's tables ask for it. */
import { totalmem } from "node:os";
import { UnitBatch } from "../../consumequeue/unit.js";
import type { MessageStore } from "../../store/message-store.js";
import type { QueueHandle } from "../../store/types.js";
import type { BrokerConfig } from "./broker-options.js";
import type { Boundary, KeyQuery, KeyQueryResult, StorePort, StoreUnit } from "./store-port.js";

const TWO_32 = 4294967296;
const UNITS_AT_ONCE = 64;

export class BrokerStore implements StorePort {
  readonly #store: MessageStore;
  readonly #config: BrokerConfig;
  readonly #memoryBytes = totalmem();

  constructor(store: MessageStore, config: BrokerConfig) {
    this.#store = store;
    this.#config = config;
  }

  queue(topic: string, queueId: number): QueueHandle {
    return this.#store.queue(topic, queueId);
  }

  publish(): boolean {
    return this.#store.publish();
  }

  minOffset(queue: QueueHandle): number {
    return this.#store.minOffset(queue);
  }

  /** An administrator or a consumer that asks where the queue ends means what was acknowledged. */
  maxOffset(queue: QueueHandle): number {
    this.#store.catchUp(queue);
    return this.#store.maxOffset(queue);
  }

  readableEnd(queue: QueueHandle): number {
    return this.#store.maxOffset(queue);
  }

  offsetByTime(queue: QueueHandle, timestampMs: number, boundary: Boundary): number {
    // It searches the queue's files.
    this.#store.catchUp();
    return this.#store.lookUp.offsetByTime(queue, timestampMs, boundary);
  }

  earliestStoreTimestamp(queue: QueueHandle): number {
    return this.#store.lookUp.messageTimestamp(queue, this.#store.minOffset(queue));
  }

  messageStoreTimestamp(queue: QueueHandle, queueOffset: number): number {
    return this.#store.lookUp.messageTimestamp(queue, queueOffset);
  }

  readUnits(queue: QueueHandle, fromOffset: number, countMax: number): StoreUnit[] {
    const units: StoreUnit[] = [];
    const batch = new UnitBatch(UNITS_AT_ONCE);
    while (units.length < countMax) {
      const count = this.#store.lookUp.readUnits(queue, fromOffset + units.length, batch);
      for (let i = 0; i < count && units.length < countMax; i++) {
        const tagsCode = batch.tagsCodeHigh[i]! * TWO_32 + (batch.tagsCodeLow[i]! >>> 0);
        units.push({ phyOffset: batch.phyOffset[i]!, sizeBytes: batch.sizeBytes[i]!, tagsCode });
      }
      if (count === 0) break;
    }
    return units;
  }

  /** As Apache estimates it: less than accessMessageInMemoryMaxRatio per cent of memory behind the log's end. */
  isInMemory(queue: QueueHandle, queueOffset: number): boolean {
    const maxOffset = this.#store.maxOffset(queue);
    // Nothing was written there yet: whatever comes will be the newest.
    if (maxOffset === 0 && queueOffset === 0) return true;
    const phyOffset = this.#store.lookUp.phyOffsetOf(queue, queueOffset);
    if (phyOffset < 0) return false;
    return (
      this.#store.maxPhyOffset - phyOffset <= (this.#memoryBytes * this.#config.accessMessageInMemoryMaxRatio) / 100
    );
  }

  lookAt(phyOffset: number): Buffer | undefined {
    return this.#store.lookUp.recordAt(phyOffset);
  }

  queryByKey(query: KeyQuery): Promise<KeyQueryResult> {
    return this.#store.lookUp.queryByKeyInTurns(query);
  }

  topics(): string[] {
    return this.#store.topics();
  }

  deleteTopics(topics: readonly string[]): Promise<void> {
    return this.#store.deleteTopics(topics);
  }

  deleteExpired(): Promise<number> {
    return this.#store.deleteExpired();
  }

  minPhyOffset(): number {
    return this.#store.minPhyOffset;
  }

  maxPhyOffset(): number {
    return this.#store.maxPhyOffset;
  }

  dispatchBehindBytes(): number {
    return Math.max(0, this.#store.maxPhyOffset - this.#store.dispatchedPosition);
  }

  settled(): Promise<void> | undefined {
    return this.#store.catchUp() ? undefined : this.#store.settled();
  }

  indexed(): Promise<void> {
    return this.#store.indexed();
  }

  flushBehindBytes(): number {
    return Math.max(0, this.#store.maxPhyOffset - this.#store.flushedPosition);
  }

  earliestMessageTimestamp(): number {
    return this.#store.lookUp.firstTimestamp();
  }

  diskUse(): ReturnType<StorePort["diskUse"]> {
    const { paths, disk } = this.#store;
    const log = disk.space(paths.commitLog);
    const queues = disk.space(paths.root);
    return {
      commitLogPath: paths.commitLog,
      commitLogTotalBytes: log.totalBytes,
      commitLogFreeBytes: log.freeBytes,
      consumeQueueTotalBytes: queues.totalBytes,
      consumeQueueFreeBytes: queues.freeBytes,
    };
  }
}
