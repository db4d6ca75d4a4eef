/**
 * One consume queue as the dispatch thread sees it: units are appended, made visible by `flush` and durable by `sync`;
 * at start the end is found again, and units are cut off with the log at either end (store/ConsumeQueue).
 *
 * Everything here is derived from the commit log. Appending is idempotent, so that a dispatcher may start anywhere
 * before the last unit; what it cannot derive is reported and left to the caller.
 */
import { assert } from "../base/assert.js";
import { readInt64 } from "../base/int64.js";
import { correctedMinBytes } from "./min-offset.js";
import { type QueueContext, QueueFiles, type RecoveryMode } from "./queue-files.js";
import { makeFile, missingFiles } from "./queue-holes.js";
import {
  BLANK_SIZE_BYTES,
  isBlankUnit,
  isExtAddress,
  TAGS_CODE_AT,
  tagsCodeOf,
  UNIT_BYTES,
  unitCounts,
  unitSizeBytes,
  writeUnit,
} from "./unit.js";
import { UnitWindow } from "./unit-window.js";

/** Default length of a file: 300,000 units (mappedFileSizeConsumeQueue). */
export const CONSUME_QUEUE_FILE_BYTES = 300_000 * UNIT_BYTES;

const BLANK_UNIT = Buffer.alloc(UNIT_BYTES);
writeUnit(new DataView(BLANK_UNIT.buffer, BLANK_UNIT.byteOffset, UNIT_BYTES), 0, 0, BLANK_SIZE_BYTES, 0);

/**
 * `appended`: taken, visible after the next flush. `known`: the record is already in, by its place in the log.
 * `behind`: a new record, but the queue already has a unit at this offset, which stays. `gap`: units before it are
 * missing; nothing was done, and `fillTo` would make it fit.
 */
export type AppendOutcome = "appended" | "known" | "behind" | "gap";

/**
 * `sound`: the queue's entry is the record's. `mended`: there was none, a blank one or half of it, and now it is. `taken`:
 * it is another record's, and stays.
 */
export type MendOutcome = "sound" | "mended" | "taken";

/** Stretches of the log. */
export interface LogRanges {
  contains(phyOffset: number): boolean;
}

export interface QueueRecovery {
  /** Units or stray bytes lay behind the end and were wiped: the queue was not left by an orderly close. */
  readonly staleTail: boolean;
}

export class ConsumeQueue {
  readonly topic: string;
  readonly queueId: number;
  readonly #context: QueueContext;
  readonly #files: QueueFiles;
  #minBytes = 0;
  #maxPhyOffset = -1;
  /** Log offsets of the unit at `#minBytes` and of the last one, where known, else -1: they save reading them again. */
  #minPhyOffset = -1;
  #lastPhyOffset = -1;
  /** For `mend`; forgotten whenever a unit before the end changes. */
  #window: UnitWindow | undefined;

  /** `directory` comes from `queueDirectory`, which has judged the topic. */
  constructor(context: QueueContext, directory: string, topic: string, queueId: number) {
    this.#context = context;
    this.#files = new QueueFiles(context, directory);
    this.topic = topic;
    this.queueId = queueId;
  }

  get directory(): string {
    return this.#files.directory;
  }

  /** First queue offset that points into the log, as of the last `correctMinOffset`. */
  get minOffset(): number {
    return this.#minBytes / UNIT_BYTES;
  }

  /** The next flush need not open a file. */
  get isOpen(): boolean {
    const files = this.#files;
    return !files.isEmpty && this.#context.cache.holds(files.pathOf(files.lastBase));
  }

  /** Queue offset of the first unit in the files. */
  get firstOffset(): number {
    return this.#files.firstBase / UNIT_BYTES;
  }

  /** The offset the next unit gets. */
  get maxOffset(): number {
    return this.#files.nextBytes / UNIT_BYTES;
  }

  /** Units below this offset are in the files, where every thread can read them. */
  get flushedOffset(): number {
    return this.#files.endBytes / UNIT_BYTES;
  }

  /** Units that wait for `flush`. */
  get pendingCount(): number {
    return this.#files.pendingBytes / UNIT_BYTES;
  }

  /** Log offset behind the last unit's record, or -1 while no unit points at one. */
  get maxPhyOffset(): number {
    return this.#maxPhyOffset;
  }

  /** Lists the files, changing nothing; names it did not understand are returned. Then `recover`. */
  load(): string[] {
    return this.#files.load();
  }

  /** Whether the first unit is a message's. After `load`; changes nothing. */
  pointsIntoLog(): boolean {
    const unit = this.#files.isEmpty ? undefined : this.#files.unitAt(this.#files.firstBase);
    return unit !== undefined && unitCounts(unit, 0) && !isBlankUnit(unit, 0);
  }

  /**
   * Finds the end by the units themselves, in the last three files as Apache does: what follows the first one that does
   * not count is dropped.
   */
  recover(mode: RecoveryMode): QueueRecovery {
    const staleTail = this.#files.recoverEnd(mode, unitCounts);
    this.#readEdges();
    return { staleTail };
  }

  /** Whether `load` refuses because of files that `closeHoles` would make. */
  get hasHoles(): boolean {
    return missingFiles(this.#context.disk, this.directory, this.#context.fileBytes).length > 0;
  }

  /** Makes what is missing between the files, full of blank units; then `load`, and `mend` for every record. */
  closeHoles(): void {
    const { disk, fileBytes } = this.#context;
    for (const base of missingFiles(disk, this.directory, fileBytes)) {
      makeFile(disk, this.directory, base, fileBytes, BLANK_UNIT);
    }
  }

  /** Takes over a queue whose end is known, because another thread has recovered it. */
  resume(maxOffset: number): void {
    this.#files.endAt(maxOffset * UNIT_BYTES);
    this.#readEdges();
  }

  #readEdges(): void {
    const files = this.#files;
    this.#maxPhyOffset = -1;
    this.#lastPhyOffset = -1;
    this.#minPhyOffset = -1;
    // Blank units come last only when a crash fell between a fill and the unit it was for.
    for (let end = files.endBytes; end > files.firstBase; end -= UNIT_BYTES) {
      const unit = files.unitAt(end - UNIT_BYTES);
      if (unit === undefined) return;
      if (isBlankUnit(unit, 0)) continue;
      this.#lastPhyOffset = end === files.endBytes ? readInt64(unit, 0) : -1;
      this.#maxPhyOffset = readInt64(unit, 0) + unitSizeBytes(unit, 0);
      break;
    }
    if (this.#minBytes < files.firstBase || this.#minBytes >= files.endBytes) return;
    const unit = files.unitAt(this.#minBytes);
    if (unit !== undefined && !isBlankUnit(unit, 0)) this.#minPhyOffset = readInt64(unit, 0);
  }

  /**
   * Adds the unit of the record [phyOffset, phyOffset + sizeBytes). Does no I/O unless much waits already, or the queue
   * begins at an offset above 0: its first file is then filled up with blank units, as Apache does.
   */
  append(phyOffset: number, sizeBytes: number, tagsCode: number, queueOffset: number): AppendOutcome {
    if (phyOffset + sizeBytes <= this.#maxPhyOffset) return "known";
    const files = this.#files;
    const position = queueOffset * UNIT_BYTES;
    if (position !== files.nextBytes) {
      if (position < files.nextBytes) return "behind";
      if (this.#maxPhyOffset >= 0) return "gap";
      this.#beginAt(position);
    }
    const at = files.claim();
    writeUnit(files.pendingView, at, phyOffset, sizeBytes, tagsCode);
    if (position === this.#minBytes) this.#minPhyOffset = phyOffset;
    this.#lastPhyOffset = phyOffset;
    this.#maxPhyOffset = phyOffset + sizeBytes;
    return "appended";
  }

  /** For a record that `append` did not take, because the queue goes on behind it: has the queue's entry be right. */
  mend(phyOffset: number, sizeBytes: number, tagsCode: number, queueOffset: number): MendOutcome {
    const files = this.#files;
    const position = queueOffset * UNIT_BYTES;
    if (position >= files.endBytes) files.flush();
    if (position < 0 || position >= files.endBytes) return "taken";
    files.extendFront(BLANK_UNIT, position);
    this.#window ??= new UnitWindow(files);
    const { view } = this.#window;
    const at = this.#window.reach(position);
    assert(at >= 0, "a unit before the end can be read");
    const isBlank = isBlankUnit(view, at) || !unitCounts(view, at);
    if (!isBlank && readInt64(view, at) !== phyOffset) return "taken";
    const high = view.getInt32(at + TAGS_CODE_AT);
    const low = view.getInt32(at + TAGS_CODE_AT + 4);
    const tagsFit = isExtAddress(high, low) || tagsCodeOf(high, low) === tagsCode;
    if (!isBlank && unitSizeBytes(view, at) === sizeBytes && tagsFit) return "sound";
    this.#window.forget();
    const bytes = Buffer.alloc(UNIT_BYTES);
    writeUnit(new DataView(bytes.buffer, bytes.byteOffset, UNIT_BYTES), 0, phyOffset, sizeBytes, tagsCode);
    files.overwrite(bytes, position);
    if (position === this.#minBytes) this.#minPhyOffset = phyOffset;
    if (position + UNIT_BYTES === files.nextBytes) this.#readEdges();
    return "mended";
  }

  /** Makes the units blank that point into `ranges` of the log, which lie in [fromOffset, toOffset); returns how many. */
  blankIn(ranges: LogRanges, fromOffset: number, toOffset: number): number {
    const files = this.#files;
    if (files.isEmpty || this.#maxPhyOffset <= fromOffset) return 0;
    files.flush();
    this.#window = undefined;
    const pointsThere = (view: DataView, at: number): boolean => {
      const phyOffset = readInt64(view, at);
      const isNear = phyOffset >= fromOffset && phyOffset < toOffset;
      return isNear && ranges.contains(phyOffset) && unitCounts(view, at) && !isBlankUnit(view, at);
    };
    let count = 0;
    for (let base = files.lastBase; base >= files.firstBase; base -= files.fileBytes) {
      const end = Math.min(base + files.fileBytes, files.endBytes);
      for (let at = base; at < end; at += UNIT_BYTES) {
        at = files.scan(at, (view, position) => !pointsThere(view, position));
        if (at >= end) break;
        files.overwrite(BLANK_UNIT, at);
        count++;
      }
      const first = files.unitAt(base);
      if (first !== undefined && !isBlankUnit(first, 0) && readInt64(first, 0) < fromOffset) break;
    }
    if (count > 0) this.#readEdges();
    return count;
  }

  #beginAt(position: number): void {
    if (this.#files.endBytes === this.#files.firstBase) this.#files.removeAll(0);
    this.#files.fill(BLANK_UNIT, position);
    this.#minBytes = position;
  }

  /** Closes a gap with blank units, so that the next one lands at `queueOffset`; readers find no message there. */
  fillTo(queueOffset: number): void {
    if (queueOffset > this.maxOffset) this.#files.fill(BLANK_UNIT, queueOffset * UNIT_BYTES);
  }

  /** Makes appended units visible. On failure they go on waiting, and a later flush writes them. */
  flush(): void {
    this.#files.flush();
  }

  /** Makes flushed units durable. */
  sync(): Promise<void> {
    return this.#files.sync();
  }

  /** For a caller that syncs the files of many queues together: those of this one, which then count as synced. */
  takeUnsynced(): string[] {
    return this.#files.takeUnsynced();
  }

  syncNow(): void {
    this.#files.syncNow();
  }

  /** `flushedOffset` as `truncateAfter` would leave it. */
  flushedBefore(phyOffset: number): number {
    if (this.#maxPhyOffset <= phyOffset) return this.flushedOffset;
    return Math.min(this.#endBefore(phyOffset) ?? this.#files.firstBase, this.#files.endBytes) / UNIT_BYTES;
  }

  /** Behind the last unit in the files that points before `phyOffset`; undefined when no file begins with such a one. */
  #endBefore(phyOffset: number): number | undefined {
    const files = this.#files;
    let base = files.lastBase;
    while (base >= files.firstBase && files.int64At(base) >= phyOffset) base -= files.fileBytes;
    if (base < files.firstBase) return undefined;
    return files.scan(base, (view, at) => unitCounts(view, at) && readInt64(view, at) < phyOffset);
  }

  /** The log ends at `phyOffset`: units that point there or beyond go (ConsumeQueue.truncateDirtyLogicFiles). */
  truncateAfter(phyOffset: number): void {
    if (this.#maxPhyOffset <= phyOffset) return;
    const files = this.#files;
    files.flush();
    this.#window = undefined;
    const end = this.#endBefore(phyOffset);
    if (end === undefined) files.removeAll(files.firstBase);
    else files.cutAt(end);
    this.#minBytes = Math.min(this.#minBytes, files.endBytes);
    this.#readEdges();
  }

  /** The log begins at `minPhyOffset`: finds the first unit that points into it. Mostly without any I/O. */
  correctMinOffset(minPhyOffset: number): void {
    if (this.#minPhyOffset >= minPhyOffset && this.#lastPhyOffset >= minPhyOffset) return;
    this.#minBytes = correctedMinBytes(this.#files, this.#minBytes, minPhyOffset);
    this.#minPhyOffset = this.#minBytes < this.#files.endBytes ? this.#files.int64At(this.#minBytes) : -1;
  }

  /** Whether `deleteExpired` would delete something. */
  hasExpired(minPhyOffset: number): boolean {
    const files = this.#files;
    return !files.isEmpty && files.firstBase < files.lastBase && this.#lastOfFirstFile() < minPhyOffset;
  }

  /** Deletes whole files that only point before `minPhyOffset`, never the last one; returns how many. */
  deleteExpired(minPhyOffset: number): number {
    const files = this.#files;
    const firstIsNeeded = this.#minPhyOffset >= minPhyOffset && this.#minBytes < files.firstBase + files.fileBytes;
    let deleted = 0;
    while (!firstIsNeeded && !files.isEmpty && files.firstBase < files.lastBase) {
      if (this.#lastOfFirstFile() >= minPhyOffset) break;
      files.removeFirst();
      deleted++;
    }
    this.correctMinOffset(minPhyOffset);
    return deleted;
  }

  /** Log offset of the first file's last unit that is not blank, or -1. */
  #lastOfFirstFile(): number {
    const files = this.#files;
    for (let at = files.firstBase + files.fileBytes - UNIT_BYTES; at >= files.firstBase; at -= UNIT_BYTES) {
      const unit = files.unitAt(at);
      if (unit === undefined) return -1;
      if (!isBlankUnit(unit, 0)) return readInt64(unit, 0);
    }
    return -1;
  }

  /** Deletes the queue from the disk; what was appended to it is gone. */
  destroy(): void {
    this.#files.destroy();
    this.#minBytes = 0;
    this.#maxPhyOffset = -1;
    this.#minPhyOffset = -1;
    this.#lastPhyOffset = -1;
  }

  /** Bytes of its files, holes included. */
  get totalBytes(): number {
    return this.#files.isEmpty ? 0 : this.#files.lastBase - this.#files.firstBase + this.#context.fileBytes;
  }
}
