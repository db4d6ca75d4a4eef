/**
 * What the broker's tables and processors ask of the store. An open store satisfies it; tests give a small model of one.
 * A queue that has no messages answers 0 for its offsets and -1 for times.
 */
import type { KeyQuery } from "../../index/index-query.js";
import type { KeyQueryResult } from "../../store/look-up.js";
import type { QueueHandle } from "../../store/types.js";

export type { IndexKind } from "../../index/index-key.js";
export type { KeyQuery } from "../../index/index-query.js";
export type { KeyQueryResult } from "../../store/look-up.js";
export type { QueueHandle } from "../../store/types.js";

/** Apache's BoundaryType: of messages with the same time, the first or the last. */
export type Boundary = "LOWER" | "UPPER";

/** One entry of a queue. */
export interface StoreUnit {
  readonly phyOffset: number;
  readonly sizeBytes: number;
  /** A tag's hash, or a time: see record/tags-code. */
  readonly tagsCode: number;
}

export interface StorePort {
  /** The one handle of this queue, made on first use. `topic` has passed validation. */
  queue(topic: string, queueId: number): QueueHandle;
  /** What was put is kept from now on; false when messages that were taken in this turn are lost. */
  publish(): boolean;
  minOffset(queue: QueueHandle): number;
  /** One past the last message that readers may see. */
  maxOffset(queue: QueueHandle): number;
  /** The same by what is there at this moment: never less than behind a message that was handed out. */
  readableEnd(queue: QueueHandle): number;
  offsetByTime(queue: QueueHandle, timestampMs: number, boundary: Boundary): number;
  /** Store time of the first message there is, or -1. */
  earliestStoreTimestamp(queue: QueueHandle): number;
  /** Store time of the message at `queueOffset`, or -1. */
  messageStoreTimestamp(queue: QueueHandle, queueOffset: number): number;
  /** The entries of a queue from `fromOffset` on, `countMax` of them at most. */
  readUnits(queue: QueueHandle, fromOffset: number, countMax: number): StoreUnit[];
  /** Whether there is a message at `queueOffset` and it is recent enough to be read from memory. */
  isInMemory(queue: QueueHandle, queueOffset: number): boolean;
  /** The record that begins at `phyOffset`, or undefined. What lies there may be anything: the caller judges it. */
  lookAt(phyOffset: number): Buffer | undefined;
  /** Of its candidates keys share the hash of the one asked for: whether they share the key is for the caller to see. */
  queryByKey(query: KeyQuery): Promise<KeyQueryResult>;
  /** Names of all topics that have queues. */
  topics(): string[];
  /**
   * Deletes the messages of topics: what is stored of them from now on begins at offset 0. Handles of their queues are
   * not to be used any more. Rejects as the disk does, and then nothing has changed.
   */
  deleteTopics(topics: readonly string[]): Promise<void>;

  /** Deletes segments that have expired; the count of them. */
  deleteExpired(): Promise<number>;

  minPhyOffset(): number;
  maxPhyOffset(): number;
  /** Bytes of the log that dispatch has not seen. */
  dispatchBehindBytes(): number;
  /** Resolves when what was put before is in its queues; undefined when it is, or cannot be for now. */
  settled(): Promise<void> | undefined;
  /** Resolves when what was put before can be found by its keys; rejects when that cannot be any more. */
  indexed(): Promise<void>;
  /** Bytes of the log that are not on the disk yet. */
  flushBehindBytes(): number;
  /** Store time of the oldest message of all, or -1. */
  earliestMessageTimestamp(): number;
  /** Where commit log and consume queues lie and the space of their devices. */
  diskUse(): {
    readonly commitLogPath: string;
    readonly commitLogTotalBytes: number;
    readonly commitLogFreeBytes: number;
    readonly consumeQueueTotalBytes: number;
    readonly consumeQueueFreeBytes: number;
  };
}
