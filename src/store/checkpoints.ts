/**
 * Notes how far the store has got, in Apache's checkpoint and in CometMQ's own beside it: after each sync of queues and
 * index, and when the store is closed.
 */
import type { DispatchSynced } from "../dispatch/dispatch.js";
import type { Disk } from "../io/disk.js";
import type { StoreCheckpoint } from "../recovery/checkpoint.js";
import { writeDispatchCheckpoint } from "../recovery/dispatch-checkpoint.js";

export interface CheckpointsOptions {
  disk: Disk;
  path: string;
  checkpoint: StoreCheckpoint;
  /** As recovery left them. */
  position: number;
  tailFrom: number;
  queueCount: () => number;
}

export class Checkpoints {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #checkpoint: StoreCheckpoint;
  readonly #queueCount: () => number;
  #position: number;
  #tailFrom: number;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: CheckpointsOptions) {
    this.#disk = options.disk;
    this.#path = options.path;
    this.#checkpoint = options.checkpoint;
    this.#queueCount = options.queueCount;
    this.#position = options.position;
    this.#tailFrom = options.tailFrom;
  }

  /** The log is durable up to a record of this time. */
  logFlushed(storeTimestamp: number): void {
    this.#checkpoint.physicMsgTimestamp = Math.max(this.#checkpoint.physicMsgTimestamp, storeTimestamp);
  }

  dispatchSynced({ position, tailFrom, storeTimestamp, indexMsgTimestamp }: DispatchSynced): void {
    this.#position = position;
    // A dispatcher that has not gone far yet knows no better than recovery did.
    if (tailFrom > this.#tailFrom) this.#tailFrom = tailFrom;
    this.#checkpoint.logicsMsgTimestamp = Math.max(this.#checkpoint.logicsMsgTimestamp, storeTimestamp);
    this.#checkpoint.indexMsgTimestamp = Math.max(this.#checkpoint.indexMsgTimestamp, indexMsgTimestamp);
  }

  /** Saves both files; calls follow one another. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      await this.#checkpoint.save();
      this.#note(false);
    });
    return this.#saving;
  }

  async saveClosed(endOffset: number): Promise<void> {
    await this.#saving;
    this.#position = endOffset;
    this.#checkpoint.saveNow();
    this.#note(true);
  }

  #note(closed: boolean): void {
    const { physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset } =
      this.#checkpoint;
    writeDispatchCheckpoint(this.#disk, this.#path, {
      position: this.#position,
      tailFrom: this.#tailFrom,
      closed,
      queueCount: this.#queueCount(),
      checkpoint: [physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset],
    });
  }

  close(): void {
    this.#checkpoint.close();
  }
}
