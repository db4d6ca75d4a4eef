/**
 * How full the devices of the store are. Looked at by statfs, at intervals and
 * never more than once a second; nothing else of the store can hold it up.
 */
import type { Clock } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import type { Disk, DiskSpace } from "../io/disk.js";
import type { RetentionSettings } from "./retention-settings.js";

const LOOK_MS_MIN = 1000;

export interface DiskWatchOptions {
  disk: Disk;
  clock: Clock;
  log: Logger;
  settings: () => RetentionSettings;
  commitLogDirectory: string;
  /** Where queues and index lie. */
  rootDirectory: string;
}

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #log: DiskSpace | undefined;
  #root: DiskSpace | undefined;
  /** What was deleted since the last look, which that one could not see. */
  #deletedBytes = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #isBlind = false;
  #full = false;
  #dispatchPaused = false;
  /** A device is full or dispatch waits for room: false in good times, and all that a put looks at. */
  isShort = false;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** Dispatch found no room, or has found it again. */
  set dispatchPaused(paused: boolean) {
    this.#dispatchPaused = paused;
    this.isShort = this.#full || paused;
  }

  get dispatchPaused(): boolean {
    return this.#dispatchPaused;
  }

  /** A device is fuller than diskSpaceWarningLevelRatio. */
  get isFull(): boolean {
    return this.#full;
  }

  look(): void {
    const { disk, clock, log, settings, commitLogDirectory, rootDirectory } = this.#options;
    const now = clock.monotonicMs();
    if (now - this.#lookedAtMs < LOOK_MS_MIN) return;
    this.#lookedAtMs = now;
    try {
      this.#log = disk.space(commitLogDirectory);
      this.#root = disk.space(rootDirectory);
      this.#isBlind = false;
      this.#deletedBytes = 0;
    } catch (error) {
      // What was seen last goes on to count.
      if (!this.#isBlind) log.warn({ err: error }, "the space of the store's device cannot be looked at");
      this.#isBlind = true;
      return;
    }
    const { diskSpaceWarningLevelRatio } = settings();
    const full = this.isOver(diskSpaceWarningLevelRatio);
    if (full !== this.#full) {
      const usedRatio = Math.max(usedPercent(this.#log), usedPercent(this.#root));
      const fields = { usedRatio: Math.ceil(usedRatio), diskSpaceWarningLevelRatio };
      if (full) log.error(fields, "the disk is full: the store takes no messages until there is space again");
      else log.info(fields, "there is space on the disk again");
    }
    this.#full = full;
    this.isShort = full || this.#dispatchPaused;
  }

  /** True when more than `percent` of a device is used, as `df` counts. */
  isOver(percent: number): boolean {
    return usedPercent(this.#log) > percent || usedPercent(this.#root) > percent;
  }

  /** A segment was deleted. */
  deleted(sizeBytes: number): void {
    this.#deletedBytes += sizeBytes;
  }

  /** Bytes of deleted segments that still occupy the disk. */
  get lingeringBytes(): number {
    return (this.#log?.lingeringBytes ?? 0) + this.#deletedBytes;
  }

  /**
   * Bytes that the log must give up for its device to be at `percent`, beyond what it has given up already; 1 when only
   * the queues' device is over.
   */
  excessBytes(percent: number): number {
    const space = this.#log;
    if (space === undefined || !this.isOver(percent)) return 0;
    const used = usedBytes(space);
    const excess = Math.ceil(used - ((used + space.freeBytes) * percent) / 100);
    return Math.max(0, Math.max(1, excess) - this.lingeringBytes);
  }
}

function usedBytes({ totalBytes, freeBytes, reservedBytes = 0 }: DiskSpace): number {
  return totalBytes - freeBytes - reservedBytes;
}

function usedPercent(space: DiskSpace | undefined): number {
  if (space === undefined) return 0;
  const used = usedBytes(space);
  const entire = used + space.freeBytes;
  return entire > 0 ? (used * 100) / entire : 0;
}
