/**
 * The storage engine: a commit log, the queues and the index built from it, recovery, flushing. One thread calls it; a
 * worker follows the log behind it. No sockets and no topic policy: any topic and queue id that can be a directory is a
 * queue.
 *
 *   const store = await MessageStore.open({ directory });
 *   message.queue = store.queue("orders", 0);
 *   if (store.put(message, result) === PutStatus.PUT_OK) await store.whenFlushed(result.phyOffset + result.sizeBytes);
 */
import { CometError } from "../base/errors.js";
import type { CommitLog } from "../commitlog/commit-log.js";
import type { Dispatch } from "../dispatch/dispatch.js";
import type { Disk } from "../io/disk.js";
import { isQueued } from "../record/sys-flag.js";
import type { RecoveryReport } from "../recovery/recover.js";
import { queueOfBatch, queueOfInput } from "./check-input.js";
import { TopicDeletions } from "./delete-topics.js";
import type { DiskWatch } from "./disk-watch.js";
import type { LookUp } from "./look-up.js";
import type { GetLimits } from "./message-reader.js";
import { openStore } from "./open-store.js";
import type { StoreOptions } from "./options.js";
import { DispatchWaits } from "./dispatch-waits.js";
import { DispatchWakes } from "./dispatch-wakes.js";
import { FlushWaits } from "./flush-waits.js";
import { Publisher } from "./publisher.js";
import type { SegmentRelease } from "./retention.js";
import { ShownMessages } from "./shown-messages.js";
import { storeClosed } from "./store-closed.js";
import type { StorePaths } from "./store-directory.js";
import type { StoreParts } from "./store-parts.js";
import type { StoreQueue } from "./store-queue.js";
import { type TailedMessage, type TailOptions, TailWaiters, tailQueue } from "./tail.js";
import {
  type GetResult,
  type GetStatus,
  type MessageInput,
  type PutResult,
  PutStatus,
  type QueueHandle,
  type RecordFilter,
  type TagFilter,
} from "./types.js";

/** Taken at most while dispatch waits for space on the disk. */
const PAUSED_BYTES_MAX = 16 * 1024 * 1024;

/** A durable log with queues and an index, open in one directory. One thread calls it. */
export class MessageStore {
  readonly #parts: StoreParts;
  readonly #deletions: TopicDeletions;
  readonly #log: CommitLog;
  readonly #dispatch: Dispatch;
  readonly #watch: DiskWatch;
  readonly #endTurnTask = () => this.#endTurn();
  readonly #grownTask = (queue: QueueHandle) => this.#grown(queue);
  #turnPending = false;
  readonly #tails = new TailWaiters();
  readonly #arrivalListeners: ((queue: QueueHandle) => void)[] = [];
  #flushListener: ((flushedPosition: number) => void) | undefined;
  #failureListener: ((error: CometError) => void) | undefined;
  readonly #flushWaits: FlushWaits;
  readonly #waits: DispatchWaits;
  readonly #wakes: DispatchWakes;
  readonly #publisher: Publisher;
  /** Not with SYNC_FLUSH, where that would be before they are durable. */
  readonly #shown: ShownMessages | undefined;
  #failure: CometError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(parts: StoreParts) {
    this.#parts = parts;
    this.#deletions = new TopicDeletions(parts);
    this.#log = parts.commitLog;
    this.#dispatch = parts.dispatch;
    this.#flushWaits = new FlushWaits(parts.commitLog, parts.flusher);
    this.#waits = new DispatchWaits(parts.dispatch);
    this.#watch = parts.watch;
    this.#wakes = new DispatchWakes(parts.dispatch, this.#waits, parts.clock, parts.commitLog.appendPosition);
    this.#publisher = new Publisher(this.#log, parts.dispatch.progress, this.#wakes, !parts.syncFlush);
    if (parts.dispatch.threaded && !parts.syncFlush) {
      this.#shown = new ShownMessages(parts.units, this.#waits, () => this.publish());
    }
  }

  /** Opens the store in a directory, or makes one; recovers it first where that is needed. */
  static async open(options: StoreOptions): Promise<MessageStore> {
    let opened: MessageStore | undefined;
    let early: CometError | undefined;
    const parts = await openStore(options, {
      onArrivals: () => {
        if (opened !== undefined) opened.#arrivals();
      },
      onFlushed: (position) => {
        if (opened !== undefined) opened.#flushed(position);
      },
      onFailure: (error) => {
        early ??= error;
        if (opened !== undefined) opened.#fail(error);
      },
    });
    opened = new MessageStore(parts);
    if (early !== undefined) opened.#fail(early);
    return opened;
  }

  /** What recovery found and did when the store was opened. */
  get recovery(): RecoveryReport {
    return this.#parts.recovery;
  }

  get backend(): string {
    return this.#parts.disk.backend;
  }

  /** It is closed, or being closed. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Why the store takes no more messages; undefined while it does. */
  get failure(): CometError | undefined {
    return this.#failure;
  }

  /** The one handle of this queue, made on first use; COMETMQ_CONFIG for names that cannot be a directory. */
  queue(topic: string, queueId: number): QueueHandle {
    const known = this.#parts.queues.find(topic, queueId);
    if (known !== undefined) return known;
    const queue = this.#parts.queues.add(topic, queueId);
    this.#dispatch.announce(topic, queueId, queue.slot);
    return queue;
  }

  /** The handle of a queue that exists, or undefined. */
  findQueue(topic: string, queueId: number): QueueHandle | undefined {
    return this.#parts.queues.find(topic, queueId);
  }

  /** Every queue of this store. */
  allQueues(): readonly QueueHandle[] {
    return this.#parts.queues.all();
  }

  /** Names of all topics that have queues. */
  topics(): string[] {
    return [...this.#parts.queues.topics()];
  }

  /**
   * Appends a message to its queue. Any status but PUT_OK means that it is not in the log. What a turn of the event loop puts
   * is written together, at the turn's end or by `publish`.
   */
  put(message: MessageInput, result: PutResult): PutStatus {
    if (this.#failure !== undefined || this.#closing !== undefined) return PutStatus.SERVICE_NOT_AVAILABLE;
    if (this.#watch.isShort && this.#refuses()) return PutStatus.DISK_FULL;
    const queue = queueOfInput(message, result);
    if (queue.sealed || !this.#parts.queues.has(queue)) return PutStatus.SERVICE_NOT_AVAILABLE;
    const queued = isQueued(message.sysFlag);
    let status: PutStatus;
    try {
      status = this.#log.append(message, queued ? queue.nextOffset : 0, result);
    } catch (error) {
      return this.#writeFailed(error);
    }
    const isShown = status === PutStatus.PUT_OK && queued && this.#shown?.show(queue, message, result) === true;
    if (status === PutStatus.PUT_OK && queued) queue.nextOffset++;
    this.#appended(queue, isShown);
    return status;
  }

  /** Appends messages of one queue, all or none, with consecutive offsets; see `put`. */
  putBatch(messages: readonly MessageInput[], result: PutResult): PutStatus {
    if (this.#failure !== undefined || this.#closing !== undefined) return PutStatus.SERVICE_NOT_AVAILABLE;
    if (this.#watch.isShort && this.#refuses()) return PutStatus.DISK_FULL;
    const queue = queueOfBatch(messages, result);
    if (queue === undefined) return PutStatus.MESSAGE_ILLEGAL;
    if (queue.sealed || !this.#parts.queues.has(queue)) return PutStatus.SERVICE_NOT_AVAILABLE;
    let status: PutStatus;
    try {
      status = this.#log.appendBatch(messages, queue.nextOffset, result);
    } catch (error) {
      return this.#writeFailed(error);
    }
    if (status === PutStatus.PUT_OK) queue.nextOffset += messages.length;
    this.#appended(queue, false);
    return status;
  }

  /** What dispatch cannot write is safe in the log, so some is taken; but nobody can read it. */
  #refuses(): boolean {
    const behindBytes = this.#log.appendPosition - this.#dispatch.progress.dispatched;
    return this.#watch.isFull || (this.#watch.dispatchPaused && behindBytes >= PAUSED_BYTES_MAX);
  }

  #appended(queue: StoreQueue, isShown: boolean): void {
    const position = this.#log.appendPosition;
    if (!queue.quiet) this.#wakes.hasNews(position, isShown);
    this.#publisher.confirm();
    this.#scheduleEndOfTurn();
  }

  /**
   * Writes what was put in this turn of the event loop: from then on it outlives the process, and others can read it. The
   * turn's end does the same, so this is for who tells others of a PUT_OK before. False when the store has failed in this
   * turn and messages that it took are lost: nobody may be told of any.
   */
  publish(): boolean {
    try {
      this.#publisher.publish();
    } catch (error) {
      this.#writeFailed(error);
    }
    return !this.#publisher.losesTurn;
  }

  #scheduleEndOfTurn(): void {
    if (this.#turnPending) return;
    this.#turnPending = true;
    queueMicrotask(this.#endTurnTask);
  }

  /** Once a turn of the event loop in which something was appended: one wake, one sync. */
  #endTurn(): void {
    this.#turnPending = false;
    this.publish();
    if (this.#parts.syncFlush || this.#flushWaits.isWanted) {
      this.#flushWaits.isWanted = false;
      this.#parts.flusher.flushNow();
      if (this.#parts.syncFlush) return;
    }
    if (this.#shown?.tell(this.#grownTask) === false) this.#wakes.hasNews(this.#log.appendPosition, false);
    this.#wakes.soon();
    this.#parts.flusher.schedule();
    this.#log.requestAhead();
  }

  /**
   * Waits, for some milliseconds at most, until what was put before this call can be read through its queue and, where no
   * queue is named, is in its files; quiet ones are only waited for by who names one. False when it took too long.
   */
  catchUp(queue?: QueueHandle): boolean {
    this.publish();
    return this.#watch.dispatchPaused || this.#wakes.catchUp(queue && this.#parts.queues.own(queue));
  }

  #writeFailed(error: unknown): PutStatus {
    if (this.#failure === undefined) this.#publisher.failed();
    // The next segment could not be opened: nothing of the message is written, and it passes.
    if (error instanceof CometError && error.code === "COMETMQ_HANDLES") return PutStatus.CREATE_MAPPED_FILE_FAILED;
    this.#fail(
      error instanceof CometError
        ? error
        : new CometError("COMETMQ_IO", "A write to the log failed.", { cause: error }),
    );
    return PutStatus.UNKNOWN_ERROR;
  }

  #flushed(position: number): void {
    if (this.#parts.syncFlush) {
      this.#wakes.confirm(position);
      this.#wakes.soon();
    }
    this.#flushWaits.reached(position);
    this.#flushListener?.(position);
  }

  #fail(error: CometError): void {
    if (this.#failure !== undefined) return;
    this.#failure = new CometError("COMETMQ_STORE_READ_ONLY", `The store takes no more messages: ${error.message}`, {
      cause: error,
    });
    this.#parts.log.error({ err: error }, "the store is read-only from now on");
    this.#flushWaits.fail(this.#failure);
    this.#waits.fail(this.#failure);
    this.#tails.wakeAll();
    void this.#parts.retention.close();
    this.#failureListener?.(this.#failure);
  }

  /** Called when the store has turned read-only; at once if it has already. One listener. */
  onFailure(listener: (error: CometError) => void): void {
    this.#failureListener = listener;
    if (this.#failure !== undefined && this.#closing === undefined) listener(this.#failure);
  }

  /** Log offset up to which everything is on the disk. */
  get flushedPosition(): number {
    return this.#parts.flusher.flushedPosition;
  }

  /** True when an acknowledgement has to wait for `flushedPosition`. */
  get syncFlush(): boolean {
    return this.#parts.syncFlush;
  }

  /** Called after each sync with the new `flushedPosition`. One listener. */
  onFlushed(listener: (flushedPosition: number) => void): void {
    this.#flushListener = listener;
  }

  /**
   * Resolves when the log is on the disk up to `position`; rejects when that cannot be any more, and at once, with
   * COMETMQ_CONFIG, for a place behind `maxPhyOffset`: nothing has been put there.
   */
  whenFlushed(position: number): Promise<void> {
    const waiting = this.#flushWaits.wait(position);
    if (this.#flushWaits.isWanted) this.#scheduleEndOfTurn();
    return waiting;
  }

  /** Resolves when every message put so far can be read through its queue. */
  settled(): Promise<void> {
    const waiting = this.#waits.settled(this.#log.appendPosition);
    this.#arrivals();
    return waiting;
  }

  /** Resolves when every message put so far can be found by its keys. */
  indexed(): Promise<void> {
    const waiting = this.#waits.indexed(this.#log.appendPosition);
    this.#arrivals();
    return waiting;
  }

  /** Called for each queue that has grown, while there is interest. Listeners stay. */
  onArrival(listener: (queue: QueueHandle) => void): void {
    this.#arrivalListeners.push(listener);
  }

  /** Counts who wants to hear of arrivals. After turning it on, look at the queue once more before waiting. */
  setInterest(interested: boolean): void {
    this.#waits.setInterest(interested);
    if (interested && this.publish()) this.#wakes.ifBehind();
  }

  #arrivals(): void {
    const { progress } = this.#dispatch;
    const { queues } = this.#parts;
    for (let slot = progress.takeArrival(); slot !== -1; slot = progress.takeArrival()) {
      if (slot >= 0) this.#grown(queues.inSlot(slot));
      else for (const queue of queues.all()) this.#grown(queue);
    }
    this.#waits.reached();
  }

  #grown(queue: QueueHandle): void {
    this.#tails.wake(queue);
    for (const listener of this.#arrivalListeners) listener(queue);
  }

  /**
   * Reads messages of a queue from `offset` on into `result`: those that `filter` accepts, by their
   * tags code or by the record itself.
   *
   * Where segments are mapped, a record is a view on the log and no copy. It never changes, and it stays valid as long
   * as it is referenced: when retention deletes its segment, and when the store is closed. But a view keeps its whole
   * segment mapped, and that of a deleted segment its space on the disk: copy (`Buffer.from(record)`) what is to be kept
   * for long. On plain files every record is a copy of its own. Throws COMETMQ_STORE_CLOSED once the store is closed.
   */
  get(
    queue: QueueHandle,
    offset: number,
    limits: GetLimits,
    filter: TagFilter | RecordFilter,
    result: GetResult,
  ): GetStatus {
    return this.#parts.reader.get(this.#parts.queues.own(queue), offset, limits, filter, result);
  }

  /**
   * Follows a queue: what is there, then what comes, until the signal is aborted (which throws its reason), the store is
   * closed or the topic deleted. `for await (const { queueOffset, record } of store.tail(queue, { signal })) …`
   */
  tail(queue: QueueHandle, options: TailOptions = {}): AsyncGenerator<TailedMessage, void, undefined> {
    return tailQueue(this, queue, options);
  }

  /** Resolves when the queue has grown, or the store failed or is closed, or the signal is aborted: look again then. */
  async whenGrown(queue: QueueHandle, offset: number, signal?: AbortSignal): Promise<void> {
    const woken = this.#tails.wait(this.#parts.queues.own(queue), signal);
    this.setInterest(true);
    this.#waits.hold(1);
    try {
      // Interest is told before the look: what arrives from here on is told in turn.
      const isOver = this.#failure !== undefined || this.closed || signal?.aborted === true;
      if (isOver || !(this.maxOffset(queue) <= offset)) this.#tails.wake(queue);
      await woken;
    } finally {
      this.setInterest(false);
      this.#waits.hold(-1);
    }
  }

  /** First offset of the queue whose message the log still holds. */
  minOffset(queue: QueueHandle): number {
    return this.#parts.queues.own(queue).minOffset;
  }

  /** One past the last message that can be read. */
  maxOffset(queue: QueueHandle): number {
    const own = this.#parts.queues.own(queue);
    return own.retired ? 0 : this.#parts.units.maxOffset(own);
  }

  /**
   * Deletes the messages of topics. A topic of such a name begins at offset 0 from then on, and what it had before does
   * not come back, whatever is rebuilt from the log. Handles of its queues are retired: they take and have no messages.
   * None is taken while this is under way. Durable when it resolves; rejects as the disk does, and then nothing has changed.
   */
  async deleteTopics(topics: readonly string[]): Promise<void> {
    if (this.#closing !== undefined) throw storeClosed();
    for (const queue of await this.#deletions.delete(topics)) this.#grown(queue);
  }

  /** Deletes expired segments now, whatever deleteWhen says; resolves with their count when the queues have followed. */
  async deleteExpired(): Promise<number> {
    await this.whenFlushed(this.#log.segments.baseOf(this.#log.appendPosition));
    this.#waits.hold(1);
    try {
      return await this.#parts.retention.deleteExpired();
    } finally {
      this.#waits.hold(-1);
    }
  }

  /** Asked before retention deletes a segment: see `SegmentRelease`. One listener. */
  onSegmentRelease(release: SegmentRelease): void {
    this.#parts.retention.release = release;
  }

  /** True while messages are refused because a disk is full. They are taken again by themselves when there is space. */
  get diskFull(): boolean {
    return this.#refuses() || this.#log.segmentFailure?.code === "COMETMQ_DISK_FULL";
  }

  /** Look-ups that are not the sequential reading of a queue: by key, by place in the log, by time. */
  get lookUp(): LookUp {
    this.publish();
    return this.#parts.lookUp;
  }

  get minPhyOffset(): number {
    return this.#parts.segments.firstOffset;
  }

  get maxPhyOffset(): number {
    return this.#log.appendPosition;
  }

  /** Log offset up to which queues are built; the index follows, see `indexed`. */
  get dispatchedPosition(): number {
    return this.#dispatch.progress.dispatched;
  }

  get paths(): StorePaths {
    return this.#parts.paths;
  }

  get disk(): Disk {
    return this.#parts.disk;
  }

  /** Stops taking messages, makes everything durable, and lets go of the directory. */
  close(): Promise<void> {
    this.#waits.close();
    this.#closing ??= this.#close();
    this.#tails.wakeAll();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { flusher, dispatch, checkpoints, retention, release } = this.#parts;
    let clean = this.#failure === undefined;
    try {
      await retention.close();
      await this.#deletions.ended();
      await flusher.drain();
      dispatch.progress.confirmed = this.#log.appendPosition;
      await dispatch.stop();
      this.#arrivals();
      await checkpoints.saved();
      // Dispatch may have had to leave something undone, for want of space, or the notes could not be saved.
      clean &&= this.#failure === undefined;
      if (clean) checkpoints.saveClosed(this.#log.appendPosition);
    } catch (error) {
      clean = false;
      this.#parts.log.error({ err: error }, "the store could not be closed in order; the next start will recover it");
    }
    this.#failure ??= storeClosed();
    this.#flushWaits.fail(this.#failure);
    this.#waits.fail(this.#failure);
    await release(clean);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
