/**
 * Deletes the oldest segments of the log when they have expired, when the disk becomes full, when the log is longer than
 * it may be, or when somebody asks; queues and index then follow (Apache: DefaultMessageStore.CleanCommitLogService and
 * ConsumeQueueStore.CleanConsumeQueueService).
 *
 * Never deleted is the segment that is written to, nor one whose queue entries are not durable yet: after a power cut
 * offsets of it would be given out again. On a full disk dispatch has those synced that it has written by then, for it
 * goes on only with the room that comes from here. Index entries of a segment are nobody's when it has gone. A segment that
 * dispatch still stands in stays on a full disk, too: nobody has read what it has not come to, and for the entries of so
 * little log it needs little room, from whoever else fills the disk.
 */
import type { Clock, Timer } from "../base/clock.js";
import { failpoint } from "../base/failpoint.js";
import type { Logger } from "../base/log.js";
import type { CommitLog } from "../commitlog/commit-log.js";
import type { Dispatch } from "../dispatch/dispatch.js";
import type { Disk } from "../io/disk.js";
import type { DiskWatch } from "./disk-watch.js";
import { isTimeToDelete, type RetentionSettings } from "./retention-settings.js";

const HOUR_MS = 3_600_000;
/** Between two looks while writes are refused. */
const FULL_LOOK_MS = 1000;
/** Between two collections of maps of deleted segments. */
const RECLAIM_MS = 1000;
/**
 * With space enough what deleted segments occupy is left for so long to a collection that comes by itself, and then asked
 * back; each time that somebody still holds it, twice as long to the next.
 */
const LINGER_MS = 30_000;
const LINGER_MS_MAX = 960_000;
/** Passes of a deletion by hand (MAX_MANUAL_DELETE_FILE_TIMES). */
const MANUAL_PASSES = 20;

export interface RetentionOptions {
  disk: Disk;
  clock: Clock;
  log: Logger;
  settings: () => RetentionSettings;
  watch: DiskWatch;
  commitLog: CommitLog;
  dispatch: Dispatch;
  /** The log is durable up to here. */
  flushedPosition: () => number;
  /** Resolves when the notes of how far dispatch and log are durable have been written, or could not be. */
  noted: () => Promise<void>;
  /** Queues have files left of segments that somebody deleted before the store was opened. */
  hasExpired: boolean;
}

/**
 * Asked before the oldest segment, which ends at `endOffset`, is deleted; `forSpace` when it is not for its age. False
 * keeps it for now.
 */
export type SegmentRelease = (endOffset: number, forSpace: boolean) => Promise<boolean>;

type Reason = "expired" | "disk" | "quota";

export class Retention {
  readonly #options: RetentionOptions;
  /** Whoever needs messages for longer than they are kept sees to it here. */
  release: SegmentRelease | undefined;
  #closed = false;
  #endSyncWait: () => void = () => {};
  #timer: Timer | undefined;
  #running: Promise<number> | undefined;
  #reclaimNotBeforeMs = Number.NEGATIVE_INFINITY;
  #lingersUntilMs: number | undefined;
  #lingerMs = LINGER_MS;
  #followedTo = 0;
  #isBehind: boolean;
  #followers: { readonly minPhyOffset: number; readonly resolve: () => void }[] = [];

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#isBehind = options.hasExpired;
    options.watch.look();
    this.#schedule();
  }

  #schedule(): void {
    const { clock, settings, watch, commitLog } = this.#options;
    const { cleanResourceInterval } = settings();
    const delayMs = watch.isFull ? Math.min(FULL_LOOK_MS, cleanResourceInterval) : cleanResourceInterval;
    // Where no segment can go, one look does for many.
    const isIdle = (): boolean => !watch.isFull && commitLog.segments.count < 2;
    this.#timer = clock.schedule(delayMs, () => this.#tick(), isIdle);
  }

  /** The look at the disk never waits for a deletion that takes its time. */
  #tick(): void {
    this.#options.watch.look();
    this.#reclaim();
    if (this.#isBehind) this.#options.dispatch.expire(this.#options.commitLog.segments.firstOffset);
    this.#isBehind = false;
    this.#running ??= this.#pass(false).finally(() => {
      this.#running = undefined;
    });
    this.#schedule();
  }

  /**
   * Deletes what has expired at once, whatever the hour; resolves with the count of segments when queues have followed.
   * The counterpart of Apache's executeDeleteFilesManually, which works in the background.
   */
  async deleteExpired(): Promise<number> {
    let deleted = 0;
    for (let pass = 0; pass < MANUAL_PASSES && !this.#closed; pass++) {
      await this.#running;
      if (this.#running !== undefined) continue;
      this.#running = this.#pass(true).finally(() => {
        this.#running = undefined;
      });
      const count = await this.#running;
      if (count === 0) break;
      deleted += count;
    }
    if (deleted > 0) await this.#followed(this.#options.commitLog.segments.firstOffset);
    return deleted;
  }

  /** Deletes at most deleteFileBatchMax segments, each for a reason of its own. Never rejects. */
  async #pass(manual: boolean): Promise<number> {
    const { clock, settings, watch, commitLog, log } = this.#options;
    const { deleteFileBatchMax, deleteWhen, diskMaxUsedSpaceRatio } = settings();
    const expiredGo = manual || isTimeToDelete(deleteWhen, clock) || watch.isOver(diskMaxUsedSpaceRatio);
    let forcedCount = this.#forcedCount();
    const firstOffset = commitLog.segments.firstOffset;
    const deleted: Record<Reason, number> = { expired: 0, disk: 0, quota: 0 };
    let count = 0;
    try {
      for (; count < deleteFileBatchMax && !this.#closed; count++) {
        const reason = this.#reason(expiredGo, forcedCount > 0);
        if (reason === undefined || !(await this.#isReleased(reason)) || !(await this.#removeFirst())) break;
        deleted[reason]++;
        // Whatever its reason, its space is space.
        forcedCount--;
      }
    } catch (error) {
      log.error({ err: error }, "a segment could not be deleted, it will be tried again");
    }
    if (commitLog.segments.firstOffset > firstOffset) this.#follow(deleted, commitLog.segments.firstOffset);
    return count;
  }

  /** Segments that must go for the disk to be below diskSpaceCleanForciblyRatio. */
  #forcedCount(): number {
    const { settings, watch, commitLog } = this.#options;
    const { cleanFileForciblyEnable, diskSpaceCleanForciblyRatio } = settings();
    if (!cleanFileForciblyEnable) return 0;
    return Math.ceil(watch.excessBytes(diskSpaceCleanForciblyRatio) / commitLog.segments.segmentBytes);
  }

  /** Why the oldest segment is to go; undefined when it stays. */
  #reason(expiredGo: boolean, forced: boolean): Reason | undefined {
    const { settings, commitLog } = this.#options;
    const { segments } = commitLog;
    const activeBase = segments.baseOf(commitLog.appendPosition);
    if (segments.count < 2 || segments.firstOffset >= activeBase) return undefined;
    if (expiredGo && this.#isExpired(segments.firstOffset)) return "expired";
    if (forced) return "disk";
    const { maxLogBytes } = settings();
    const logBytes = activeBase + segments.segmentBytes - segments.firstOffset;
    return maxLogBytes > 0 && logBytes > maxLogBytes ? "quota" : undefined;
  }

  /** A file copied or restored may be younger or older than what is in it: it must be old by all that is known. */
  #isExpired(baseOffset: number): boolean {
    const { disk, clock, settings, commitLog } = this.#options;
    const bornBefore = clock.nowMs() - settings().fileReservedTime * HOUR_MS;
    const modifiedMs = disk.modifiedMs(commitLog.segments.pathOf(baseOffset));
    return modifiedMs <= bornBefore && (commitLog.endTimestampOf(baseOffset) ?? 0) <= bornBefore;
  }

  async #isReleased(reason: Reason): Promise<boolean> {
    const { segments } = this.#options.commitLog;
    const isReleased =
      (await this.release?.(segments.firstOffset + segments.segmentBytes, reason !== "expired")) ?? true;
    return isReleased && !this.#closed;
  }

  /** False when it has to stay for now. */
  async #removeFirst(): Promise<boolean> {
    const { commitLog, dispatch, flushedPosition, watch } = this.#options;
    const { segments } = commitLog;
    const baseOffset = segments.firstOffset;
    const endOffset = baseOffset + segments.segmentBytes;
    // The first one may have been under way already.
    for (let i = 0; i < 2 && dispatch.queuesSyncedPosition < endOffset && !this.#closed; i++) await this.#synced();
    if (this.#closed || Math.min(dispatch.queuesSyncedPosition, flushedPosition()) < endOffset) return false;
    // Older notes would have the next start look for what is deleted now.
    await this.#options.noted();
    failpoint("segment-delete-before");
    await segments.removeFirst();
    failpoint("segment-delete-after");
    commitLog.forget(baseOffset);
    watch.deleted(segments.segmentBytes);
    return true;
  }

  /** Resolves after a sync of what is dispatched, or when this is closed. */
  #synced(): Promise<void> {
    const { dispatch } = this.#options;
    return new Promise((resolve) => {
      this.#endSyncWait = resolve;
      dispatch.sync().then(resolve, resolve);
    });
  }

  #follow(deleted: Record<Reason, number>, minPhyOffset: number): void {
    const { dispatch, log } = this.#options;
    log.info({ ...deleted, minPhyOffset }, "segments were deleted");
    dispatch.progress.firstOffset = minPhyOffset;
    dispatch.expire(minPhyOffset);
    this.#reclaim();
  }

  /** What deleted segments occupy comes back with a collection: at once where space is short, else soon. */
  #reclaim(): void {
    const { disk, clock, settings, watch } = this.#options;
    const now = clock.monotonicMs();
    if (watch.lingeringBytes === 0) {
      this.#lingersUntilMs = undefined;
      this.#lingerMs = LINGER_MS;
      return;
    }
    this.#lingersUntilMs ??= now + this.#lingerMs;
    const isShort = watch.isOver(settings().diskSpaceCleanForciblyRatio);
    if (now < (isShort ? this.#reclaimNotBeforeMs : this.#lingersUntilMs)) return;
    this.#reclaimNotBeforeMs = now + RECLAIM_MS;
    this.#lingersUntilMs = undefined;
    this.#lingerMs = Math.min(2 * this.#lingerMs, LINGER_MS_MAX);
    disk.reclaim();
  }

  /** Resolves when queues and index have followed the log to `minPhyOffset`, or never will. */
  #followed(minPhyOffset: number): Promise<void> {
    if (this.#closed || this.#followedTo >= minPhyOffset) return Promise.resolve();
    return new Promise((resolve) => this.#followers.push({ minPhyOffset, resolve }));
  }

  /** Queues and index have followed the log to `minPhyOffset`. */
  hasFollowed(minPhyOffset: number): void {
    this.#followedTo = Math.max(this.#followedTo, minPhyOffset);
    const waiting = this.#followers;
    this.#followers = waiting.filter((follower) => follower.minPhyOffset > minPhyOffset);
    for (const follower of waiting) if (follower.minPhyOffset <= minPhyOffset) follower.resolve();
  }

  /** Deletes no more; a file that is just being deleted is waited for. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#endSyncWait();
    this.hasFollowed(Number.POSITIVE_INFINITY);
    await this.#running;
  }
}
