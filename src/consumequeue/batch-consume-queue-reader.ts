/**
 * A batch consume queue as a serving thread sees it: files that another thread writes, complete up to the offset the
 * caller gives. There are few such topics, so every read searches the files anew and nothing but their range is kept.
 */
import type { Disk } from "../io/disk.js";
import {
  BATCH_UNIT_BYTES,
  type BatchUnit,
  type BatchUnits,
  batchEndOffset,
  batchOffsetByTime,
  batchUnitCounts,
  findBatchUnit,
  lastUnitWhere,
  readBatchUnit,
} from "./batch-unit.js";
import type { FileCache } from "./file-cache.js";
import type { Boundary, QueueBounds } from "./offset-by-time.js";
import { QUEUE_FILE_NAME, queueFileName } from "./queue-files.js";

export class BatchConsumeQueueReader implements BatchUnits {
  readonly directory: string;
  /** Length of the queue's files, whole units. */
  readonly fileBytes: number;
  readonly #disk: Disk;
  readonly #cache: FileCache;
  readonly #unit = Buffer.allocUnsafeSlow(BATCH_UNIT_BYTES);
  readonly #view = new DataView(this.#unit.buffer, this.#unit.byteOffset, BATCH_UNIT_BYTES);
  #firstBase = 0;
  #endBytes = 0;
  /** The max offset that `#endBytes` was found for. */
  #maxOffset = 0;

  constructor(disk: Disk, cache: FileCache, directory: string, fileBytes: number) {
    this.#disk = disk;
    this.#cache = cache;
    this.directory = directory;
    this.fileBytes = fileBytes;
  }

  get firstBase(): number {
    return this.#firstBase;
  }

  get endBytes(): number {
    return this.#endBytes;
  }

  unitAt(position: number): DataView | undefined {
    const inFile = position % this.fileBytes;
    const file = this.#cache.find(`${this.directory}/${queueFileName(position - inFile)}`);
    if (file === undefined || file.readAt(this.#unit, 0, BATCH_UNIT_BYTES, inFile) < BATCH_UNIT_BYTES) return undefined;
    return this.#view;
  }

  /**
   * Up to `maxCount` units from the one on that holds `fromOffset` (or, where none does, the last one before it), all of
   * them below `maxOffset`.
   */
  read(fromOffset: number, maxCount: number, maxOffset: number): BatchUnit[] {
    const found: BatchUnit[] = [];
    if (fromOffset >= maxOffset) return found;
    this.#follow(maxOffset);
    let position = findBatchUnit(this, fromOffset);
    if (position < 0) return found;
    for (; found.length < maxCount && position < this.#endBytes; position += BATCH_UNIT_BYTES) {
      const view = this.unitAt(position);
      if (view === undefined) {
        this.#maxOffset = 0;
        break;
      }
      found.push(readBatchUnit(view, 0));
    }
    return found;
  }

  /** The queue offset for a store timestamp, within `bounds` (see `batchOffsetByTime`). */
  offsetByTime(timestamp: number, boundary: Boundary, bounds: QueueBounds): number {
    this.#follow(bounds.maxOffset);
    const found = batchOffsetByTime(this, timestamp, boundary);
    return Math.min(Math.max(found, bounds.minOffset), bounds.maxOffset);
  }

  /** Learns which files there are and where the units below `maxOffset` end. */
  #follow(maxOffset: number): void {
    if (maxOffset === this.#maxOffset && this.unitAt(this.#firstBase) !== undefined) return;
    const names = this.#disk.list(this.directory).filter((name) => QUEUE_FILE_NAME.test(name));
    this.#maxOffset = maxOffset;
    this.#firstBase = Number(names[0] ?? 0);
    this.#endBytes = names.length === 0 ? this.#firstBase : Number(names.at(-1)) + this.fileBytes;
    const last = lastUnitWhere(this, (view) => batchUnitCounts(view, 0) && batchEndOffset(view, 0) <= maxOffset);
    this.#endBytes = last < 0 ? this.#firstBase : last + BATCH_UNIT_BYTES;
  }

  /** Forgets what is known and closes the files: after a cut, or when the queue is gone. */
  invalidate(): void {
    this.#maxOffset = 0;
    this.#endBytes = this.#firstBase;
    this.#cache.forgetIn(this.directory, () => true);
  }
}
