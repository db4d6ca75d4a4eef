/**
 * Notes how far the store has got, in Apache's checkpoint and in CometMQ's own beside it: after each sync of queues and
 * index, and when the store is closed. A sync is noted only once the log itself is durable as far: a note must never
 * speak of records that a power cut can still take away.
 */
import type { DerivedCounts } from "../dispatch/derived-counts.js";
import type { DispatchSynced } from "../dispatch/dispatch.js";
import { TAIL_BYTES } from "../dispatch/dispatcher.js";
import type { Disk } from "../io/disk.js";
import type { StoreCheckpoint } from "../recovery/checkpoint.js";
import {
  checkpointFields,
  type DispatchCheckpoint,
  dispatchCheckpointText,
  writeDispatchCheckpoint,
} from "../recovery/dispatch-checkpoint.js";

export interface CheckpointsOptions {
  disk: Disk;
  path: string;
  checkpoint: StoreCheckpoint;
  /** What the checkpoint's file holds. */
  savedFields: readonly number[];
  /** As recovery left them, all durable. */
  position: number;
  tailFrom: number;
  counts: DerivedCounts;
}

export class Checkpoints {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #checkpoint: StoreCheckpoint;
  #position: number;
  #tailFrom: number;
  #counts: DerivedCounts;
  #flushedPosition: number;
  /** Synced, but the log is not durable so far yet. */
  #waiting: DispatchSynced | undefined;
  #savedFields: readonly number[];
  #saving: Promise<void> = Promise.resolve();

  constructor(options: CheckpointsOptions) {
    this.#disk = options.disk;
    this.#path = options.path;
    this.#checkpoint = options.checkpoint;
    this.#position = options.position;
    this.#tailFrom = options.tailFrom;
    this.#counts = options.counts;
    this.#flushedPosition = options.position;
    this.#savedFields = options.savedFields;
  }

  /** The log is durable up to `position`, a record of this time. True when there is something new to save. */
  logFlushed(position: number, storeTimestamp: number): boolean {
    this.#flushedPosition = position;
    this.#checkpoint.physicMsgTimestamp = Math.max(this.#checkpoint.physicMsgTimestamp, storeTimestamp);
    const waiting = this.#waiting;
    if (waiting === undefined || waiting.position > position) return false;
    this.#waiting = undefined;
    this.#take(waiting);
    return true;
  }

  /** Queues and index are durable. True when there is something new to save. */
  dispatchSynced(synced: DispatchSynced): boolean {
    if (synced.position <= this.#flushedPosition) {
      this.#waiting = undefined;
      this.#take(synced);
      return true;
    }
    // The one that waits is due first; a later one would have it wait for ever.
    this.#waiting ??= synced;
    return false;
  }

  #take({ position, tailFrom, storeTimestamp, indexMsgTimestamp, counts }: DispatchSynced): void {
    this.#position = position;
    this.#counts = counts;
    // A dispatcher that has not gone far yet knows no better than recovery did.
    if (position - tailFrom >= TAIL_BYTES) this.#tailFrom = Math.max(this.#tailFrom, tailFrom);
    this.#checkpoint.logicsMsgTimestamp = Math.max(this.#checkpoint.logicsMsgTimestamp, storeTimestamp);
    this.#checkpoint.indexMsgTimestamp = Math.max(this.#checkpoint.indexMsgTimestamp, indexMsgTimestamp);
  }

  /** Saves both files; calls follow one another, also after one that failed. */
  save(): Promise<void> {
    const saved = this.#saving.then(async () => {
      const fields = checkpointFields(this.#checkpoint);
      await this.#disk.replace(this.#path, dispatchCheckpointText(this.#noteOf(false, fields)));
      await this.#checkpoint.save();
      this.#savedFields = fields;
    });
    this.#saving = saved.catch(() => {});
    return saved;
  }

  /** Resolves when the saves asked for so far have ended, well or not. */
  saved(): Promise<void> {
    return this.#saving;
  }

  /** Not while a save is under way. */
  saveClosed(endOffset: number): void {
    this.#position = endOffset;
    writeDispatchCheckpoint(this.#disk, this.#path, this.#noteOf(true, checkpointFields(this.#checkpoint)));
    this.#checkpoint.saveNow();
  }

  #noteOf(closed: boolean, fields: readonly number[]): DispatchCheckpoint {
    return {
      position: this.#position,
      tailFrom: this.#tailFrom,
      closed,
      counts: this.#counts,
      checkpoint: fields,
      checkpointBefore: this.#savedFields,
    };
  }

  close(): void {
    this.#checkpoint.close();
  }
}
