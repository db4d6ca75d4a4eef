/**
 * One consume queue as a serving thread sees it: files that another thread writes. The caller says up to which offset
 * units are complete; those never change, so a block of them stays right while the queue grows, and only what is new
 * is read from the file.
 *
 * A reader holds less than a hundred bytes of its own. Its handles and its block come from the thread's FileCache and
 * BlockPool.
 */
import type { Disk } from "../io/disk.js";
import { type Block, BLOCK_UNITS, type BlockOwner, type BlockPool } from "./block-pool.js";
import type { FileCache } from "./file-cache.js";
import { type Boundary, offsetByTime, type QueueBounds, type StoreTimestampOf } from "./offset-by-time.js";
import { QUEUE_FILE_NAME, queueFileName } from "./queue-files.js";
import { BLANK_SIZE_BYTES, UNIT_BYTES, UnitBatch } from "./unit.js";

/** What all readers of one thread share. */
export interface ReaderContext {
  readonly disk: Disk;
  readonly cache: FileCache;
  readonly blocks: BlockPool;
  /** Length of a queue's file, whole units. */
  readonly fileBytes: number;
}

export class ConsumeQueueReader implements BlockOwner {
  readonly directory: string;
  readonly #context: ReaderContext;
  #block: Block | undefined;
  #retired = false;
  /** Files below this position were closed by `closeBelow`. */
  #closedBytes = 0;

  constructor(context: ReaderContext, directory: string) {
    this.#context = context;
    this.directory = directory;
  }

  /**
   * Fills `into` with the units from `fromOffset` on: at most `maxCount`, its capacity, and those below `maxOffset`.
   * Returns the count; fewer than asked for, or none, where files have been deleted meanwhile.
   */
  read(fromOffset: number, maxCount: number, maxOffset: number, into: UnitBatch): number {
    into.firstOffset = fromOffset;
    into.count = 0;
    if (this.#retired) return 0;
    const end = Math.min(maxOffset, fromOffset + Math.min(maxCount, into.capacity));
    let offset = fromOffset;
    while (offset < end) {
      const block = this.#blockWith(offset, maxOffset);
      if (block === undefined) break;
      const count = Math.min(end, block.end) - offset;
      into.take(block.view, (offset - block.start) * UNIT_BYTES, count);
      offset += count;
    }
    return into.count;
  }

  /** Offset of the first unit in the file behind that of `offset`. */
  nextFileOffset(offset: number): number {
    const unitsPerFile = this.#context.fileBytes / UNIT_BYTES;
    return offset - (offset % unitsPerFile) + unitsPerFile;
  }

  /** The block that holds `offset`, extended or moved at need; undefined when the file does not have it. */
  #blockWith(offset: number, maxOffset: number): Block | undefined {
    let block = this.#block;
    if (block === undefined) {
      block = this.#context.blocks.lend(this);
      this.#block = block;
    }
    block.used = true;
    if (offset >= block.start && offset < block.end) return block;
    const unitsPerFile = this.#context.fileBytes / UNIT_BYTES;
    const fits = block.end < block.start + BLOCK_UNITS && block.end % unitsPerFile !== 0;
    if (offset !== block.end || !fits) {
      block.start = offset;
      block.end = offset;
    }
    const fileFirst = offset - (offset % unitsPerFile);
    const end = Math.min(maxOffset, block.start + BLOCK_UNITS, fileFirst + unitsPerFile);
    const file = this.#context.cache.find(this.#pathOf(fileFirst));
    if (file === undefined) return undefined;
    const wanted = (end - offset) * UNIT_BYTES;
    const got = file.readAt(
      block.bytes,
      (offset - block.start) * UNIT_BYTES,
      wanted,
      (offset - fileFirst) * UNIT_BYTES,
    );
    block.end = offset + Math.floor(got / UNIT_BYTES);
    return block.end > offset ? block : undefined;
  }

  #pathOf(fileFirst: number): string {
    return `${this.directory}/${queueFileName(fileFirst * UNIT_BYTES)}`;
  }

  loseBlock(): void {
    this.#block = undefined;
  }

  /** Forgets what was read and closes the files: after a cut, or when the queue is gone. */
  invalidate(): void {
    if (this.#block !== undefined) this.#context.blocks.giveBack(this.#block);
    this.#block = undefined;
    this.#context.cache.forgetIn(this.directory, () => true);
  }

  /** The queue is gone: nothing is read any more, for another one may get its directory. */
  retire(): void {
    this.#retired = true;
    this.invalidate();
  }

  /** Closes files wholly below `minOffset`: an open handle would keep a deleted file's space. */
  closeBelow(minOffset: number): void {
    const { cache, fileBytes } = this.#context;
    const minBytes = minOffset * UNIT_BYTES;
    const firstBase = minBytes - (minBytes % fileBytes);
    if (firstBase === this.#closedBytes) return;
    this.#closedBytes = firstBase;
    cache.forgetIn(this.directory, (name) => Number(name) < firstBase);
  }

  /**
   * The queue offset for a store timestamp, within `bounds` (ConsumeQueue.getOffsetInQueueByTime, whose answers it
   * gives; see offset-by-time.ts).
   */
  offsetByTime(timestamp: number, boundary: Boundary, bounds: QueueBounds, storeTimestampOf: StoreTimestampOf): number {
    const names = this.#context.disk.list(this.directory);
    const first = names.find((name) => QUEUE_FILE_NAME.test(name));
    if (first === undefined) return Math.min(Math.max(0, bounds.minOffset), bounds.maxOffset);
    const unit = new UnitBatch(1);
    const queue = {
      firstOffset: Number(first) / UNIT_BYTES,
      unitsPerFile: this.#context.fileBytes / UNIT_BYTES,
      phyOffsetAt: (offset: number): number => {
        if (this.read(offset, 1, bounds.maxOffset, unit) !== 1) return -1;
        // A blank unit stands for a lost message, not for the log's first one.
        return unit.sizeBytes[0] === BLANK_SIZE_BYTES ? bounds.minPhyOffset : unit.phyOffset[0]!;
      },
      timestampAt: (offset: number): number => {
        if (this.read(offset, 1, bounds.maxOffset, unit) !== 1) return -1;
        const sizeBytes = unit.sizeBytes[0]!;
        return sizeBytes === BLANK_SIZE_BYTES ? -1 : storeTimestampOf(unit.phyOffset[0]!, sizeBytes);
      },
    };
    return offsetByTime(queue, timestamp, boundary, bounds);
  }
}
