/**
 * A batch consume queue (topics with attribute `queue.type` = `BatchCQ`) as the dispatch thread sees it. It differs from
 * a consume queue in that units carry their queue offset, so there are no gaps to fill, and in its idea of the largest
 * log offset, which is where the last record begins and not where it ends (store/queue/BatchConsumeQueue).
 */
import { readInt64 } from "../base/int64.js";
import {
  BATCH_COUNT_MAX,
  BATCH_UNIT_BYTES,
  type BatchEntry,
  batchBaseOffset,
  batchEndOffset,
  batchUnitCounts,
  writeBatchUnit,
} from "./batch-unit.js";
import type { QueueRecovery } from "./consume-queue.js";
import { type QueueContext, QueueFiles, type RecoveryMode } from "./queue-files.js";

/** Default length of a file (mapperFileSizeBatchConsumeQueue, Apache's spelling). */
export const BATCH_CONSUME_QUEUE_FILE_BYTES = 300_000 * BATCH_UNIT_BYTES;

/** `invalid`: the record's base offset or count is none a unit can hold; nothing was done. */
export type BatchAppendOutcome = "appended" | "known" | "invalid";

export class BatchConsumeQueue {
  readonly topic: string;
  readonly queueId: number;
  readonly #files: QueueFiles;
  #minOffset = -1;
  #maxOffset = 0;
  #flushedOffset = 0;
  #maxPhyOffset = -1;

  /** `directory` comes from `queueDirectory`, which has judged the topic. */
  constructor(context: QueueContext, directory: string, topic: string, queueId: number) {
    this.#files = new QueueFiles(context, directory);
    this.topic = topic;
    this.queueId = queueId;
  }

  get directory(): string {
    return this.#files.directory;
  }

  /** First queue offset that points into the log, or -1 while the first file has no unit. */
  get minOffset(): number {
    return this.#minOffset;
  }

  /** The offset the next message gets. */
  get maxOffset(): number {
    return this.#maxOffset;
  }

  /** Messages below this offset are in the files, where every thread can read them. */
  get flushedOffset(): number {
    return this.#flushedOffset;
  }

  /** Units that wait for `flush`. */
  get pendingCount(): number {
    return this.#files.pendingBytes / BATCH_UNIT_BYTES;
  }

  /** Log offset of the last unit's record, or -1. */
  get maxPhyOffset(): number {
    return this.#maxPhyOffset;
  }

  /** Lists the files, changing nothing; names it did not understand are returned. Then `recover`. */
  load(): string[] {
    return this.#files.load();
  }

  recover(mode: RecoveryMode): QueueRecovery {
    const staleTail = this.#files.recoverEnd(mode, batchUnitCounts);
    this.#readLastUnit();
    this.#readFirstUnit();
    return { staleTail };
  }

  #readFirstUnit(): void {
    const { firstBase, endBytes } = this.#files;
    const unit = endBytes > firstBase ? this.#files.unitAt(firstBase) : undefined;
    this.#minOffset = unit === undefined ? -1 : batchBaseOffset(unit, 0);
  }

  #readLastUnit(): void {
    const position = this.#files.endBytes - BATCH_UNIT_BYTES;
    const unit = position >= this.#files.firstBase ? this.#files.unitAt(position) : undefined;
    this.#maxPhyOffset = unit === undefined ? -1 : readInt64(unit, 0);
    this.#maxOffset = unit === undefined ? 0 : batchEndOffset(unit, 0);
    this.#flushedOffset = this.#maxOffset;
  }

  /** Adds a record's unit. Does no I/O unless much waits already. */
  append(entry: BatchEntry): BatchAppendOutcome {
    if (entry.phyOffset <= this.#maxPhyOffset) return "known";
    if (!(entry.baseOffset >= 0 && entry.count > 0 && entry.count <= BATCH_COUNT_MAX)) return "invalid";
    const at = this.#files.claim();
    writeBatchUnit(this.#files.pendingView, at, entry);
    if (this.#minOffset < 0) this.#minOffset = entry.baseOffset;
    this.#maxPhyOffset = entry.phyOffset;
    this.#maxOffset = entry.baseOffset + entry.count;
    return "appended";
  }

  /** Makes appended units visible. On failure they go on waiting, and a later flush writes them. */
  flush(): void {
    this.#files.flush();
    this.#flushedOffset = this.#maxOffset;
  }

  /** Makes flushed units durable. */
  sync(): Promise<void> {
    return this.#files.sync();
  }

  syncNow(): void {
    this.#files.syncNow();
  }

  /** The log ends at `phyOffset`: units that point there or beyond go. */
  truncateAfter(phyOffset: number): void {
    if (this.#maxPhyOffset < phyOffset) return;
    const files = this.#files;
    files.flush();
    let base = files.lastBase;
    while (base >= files.firstBase && files.int64At(base) >= phyOffset) base -= files.fileBytes;
    if (base < files.firstBase) files.removeAll(0);
    else files.cutAt(files.scan(base, (view, at) => batchUnitCounts(view, at) && readInt64(view, at) < phyOffset));
    this.#readLastUnit();
    this.#readFirstUnit();
  }

  /** The log begins at `minPhyOffset`. Only the first file is looked through, as Apache does. */
  correctMinOffset(minPhyOffset: number): void {
    this.flush();
    this.#readFirstUnit();
    const { firstBase, endBytes, fileBytes } = this.#files;
    const firstEnd = Math.min(endBytes, firstBase + fileBytes);
    const found = Math.min(
      firstEnd,
      this.#files.scan(firstBase, (view, at) => readInt64(view, at) < minPhyOffset),
    );
    if (found <= firstBase) return;
    const unit = this.#files.unitAt(found - BATCH_UNIT_BYTES);
    if (unit !== undefined) this.#minOffset = batchEndOffset(unit, 0);
  }

  /** Deletes whole files that only point before `minPhyOffset`, never the last one; returns how many. */
  deleteExpired(minPhyOffset: number): number {
    const files = this.#files;
    let deleted = 0;
    while (!files.isEmpty && files.firstBase < files.lastBase) {
      if (files.int64At(files.firstBase + files.fileBytes - BATCH_UNIT_BYTES) >= minPhyOffset) break;
      files.removeFirst();
      deleted++;
    }
    this.correctMinOffset(minPhyOffset);
    return deleted;
  }

  /** Deletes the queue from the disk; what was appended to it is gone. */
  destroy(): void {
    this.#files.destroy();
    this.#minOffset = -1;
    this.#maxOffset = 0;
    this.#flushedOffset = 0;
    this.#maxPhyOffset = -1;
  }
}
