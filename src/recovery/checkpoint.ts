/**
 * How far the store had got when it was last asked: times that tell a recovery after a crash where to begin. Written by
 * the thread that flushes (store/StoreCheckpoint). 4096 bytes, five int64 at 0, 8, 16, 24, 32, the rest zero.
 *
 * It is rewritten in place, pwrite and fdatasync, not by a temporary file and a rename: all that is not zero lies in one
 * disk sector, which is old or new but never half, so the rename would buy nothing and cost another sync each time.
 * Durable is what it says only when what it speaks of was synced before `save` was called.
 *
 * A checkpoint that is missing, short or makes no sense reads as zeros: recovery then begins at the first segment, which
 * takes longer and loses nothing.
 */
import { readInt64, writeInt64 } from "../base/int64.js";
import type { Disk, DiskFile } from "../io/disk.js";

export const CHECKPOINT_BYTES = 4096;
const FIELDS_BYTES = 40;
/** Store times may lie between two timed flushes that were never noted; Apache allows as much. */
const SLACK_MS = 3000;
/** Clocks are set back; by more than this, a time ahead of the clock is taken for a broken one. */
export const AHEAD_MS_MAX = 24 * 3600 * 1000;

export type CheckpointVerdict = "ok" | "missing" | "short" | "nonsense";

/** What the file says: store timestamps (ms since 1970) up to which log, queues and index were synced, and two log offsets. */
export interface CheckpointFields {
  readonly physicMsgTimestamp: number;
  readonly logicsMsgTimestamp: number;
  readonly indexMsgTimestamp: number;
  readonly masterFlushedOffset: number;
  readonly confirmPhyOffset: number;
}

export class StoreCheckpoint implements CheckpointFields {
  /** Store timestamp of the last record flushed to the log. */
  physicMsgTimestamp = 0;
  /** Store timestamp of the last record whose queue entries are flushed. */
  logicsMsgTimestamp = 0;
  /** End timestamp of the last full index file. */
  indexMsgTimestamp = 0;
  /** A slave's: what the master had flushed. 0 on a master. */
  masterFlushedOffset = 0;
  confirmPhyOffset = 0;
  /** What `load` made of the file. */
  verdict: CheckpointVerdict = "missing";
  readonly #disk: Disk;
  readonly #path: string;
  #handle: DiskFile | undefined;

  private constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** Never throws for what the file holds; a file that cannot be read is COMETMQ_IO. */
  static load(disk: Disk, path: string, nowMs: number): StoreCheckpoint {
    const checkpoint = new StoreCheckpoint(disk, path);
    const sizeBytes = disk.sizeOf(path);
    if (sizeBytes < 0) return checkpoint;
    if (sizeBytes < FIELDS_BYTES) {
      checkpoint.verdict = "short";
      return checkpoint;
    }
    const bytes = new Uint8Array(FIELDS_BYTES);
    const handle = disk.openFile(path, false);
    try {
      handle.readAt(bytes, 0, FIELDS_BYTES, 0);
    } finally {
      handle.close();
    }
    checkpoint.#decode(new DataView(bytes.buffer), nowMs + AHEAD_MS_MAX);
    return checkpoint;
  }

  /** A copy of what it says now. */
  get fields(): CheckpointFields {
    const { physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset } = this;
    return { physicMsgTimestamp, logicsMsgTimestamp, indexMsgTimestamp, masterFlushedOffset, confirmPhyOffset };
  }

  /** Before this store timestamp everything is in the log and in the queues: records from here on are dispatched again. */
  get minTimestamp(): number {
    return Math.max(0, Math.min(this.physicMsgTimestamp, this.logicsMsgTimestamp) - SLACK_MS);
  }

  /** The same when the index is to be complete as well (`messageIndexSafe`). */
  get minTimestampIndex(): number {
    return Math.min(this.minTimestamp, this.indexMsgTimestamp);
  }

  /** Writes the fields; durable when the promise is fulfilled. */
  async save(): Promise<void> {
    await this.#write().sync();
  }

  /** The same at once, for closing. */
  saveNow(): void {
    this.#write().syncNow();
  }

  /** Not while a `save` is under way. */
  close(): void {
    this.#handle?.close();
    this.#handle = undefined;
  }

  #write(): DiskFile {
    const view = new DataView(new ArrayBuffer(CHECKPOINT_BYTES));
    writeInt64(view, 0, this.physicMsgTimestamp);
    writeInt64(view, 8, this.logicsMsgTimestamp);
    writeInt64(view, 16, this.indexMsgTimestamp);
    writeInt64(view, 24, this.masterFlushedOffset);
    writeInt64(view, 32, this.confirmPhyOffset);
    this.#handle ??= this.#disk.openFile(this.#path, true);
    this.#handle.writeAt(new Uint8Array(view.buffer), 0, CHECKPOINT_BYTES, 0);
    return this.#handle;
  }

  #decode(view: DataView, timestampMax: number): void {
    const [physic, logics, index, masterFlushed, confirm] = [0, 8, 16, 24, 32].map((at) => readInt64(view, at)) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const timesFit = [physic, logics, index].every((timestamp) => timestamp >= 0 && timestamp <= timestampMax);
    // Apache writes -1 for an offset nobody has told it.
    const offsetsFit = [masterFlushed, confirm].every((offset) => offset >= -1 && Number.isSafeInteger(offset));
    if (!timesFit || !offsetsFit) {
      this.verdict = "nonsense";
      return;
    }
    this.physicMsgTimestamp = physic;
    this.logicsMsgTimestamp = logics;
    this.indexMsgTimestamp = index;
    this.masterFlushedOffset = masterFlushed;
    this.confirmPhyOffset = confirm;
    this.verdict = "ok";
  }
}
