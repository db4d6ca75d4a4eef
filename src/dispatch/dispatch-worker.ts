/**
 * The dispatch thread: follows the log behind the appender, and makes the segments it will need. It sleeps in
 * Atomics.wait and is woken by the appender; messages are read between two batches of records, before any of them that
 * was put after they were sent. While queues and index are synced, by pool threads, it goes on.
 */
import { parentPort, receiveMessageOnPort } from "node:worker_threads";
import { assert } from "../base/assert.js";
import { CometError } from "../base/errors.js";
import { failpoint } from "../base/failpoint.js";
import { SegmentMaker } from "../commitlog/segment-source.js";
import { SegmentQueue } from "../commitlog/segment-queue.js";
import { FileCache } from "../consumequeue/file-cache.js";
import { QueueContext } from "../consumequeue/queue-files.js";
import { UNIT_BYTES } from "../consumequeue/unit.js";
import { FileDisk } from "../io/file-disk.js";
import { DispatchLoop } from "./dispatch-loop.js";
import { Dispatcher } from "./dispatcher.js";
import { loadIndex, openIndexSink } from "./index-sink.js";
import { QueueExpiry, type QueueName } from "./queue-expiry.js";
import { QueueTable } from "./queue-table.js";
import { RoomWait } from "./room-wait.js";
import { QueueProgress, SegmentFailure, SharedProgress, State } from "./shared-progress.js";
import { REST_MAX_MS } from "./stall-watch.js";
import { ARRIVALS, type BeginMessage, type FromWorker, type TopicDeletion, type ToWorker } from "./worker-messages.js";

/** The index is written after a pause of this length: long enough to gather, short for who looks a key up. */
const INDEX_PAUSE_MS = 20;
/** Between two looks at whether a sync has ended. */
const SYNC_POLL_MS = 1;
/** Between two looks at whether the process has file handles left. */
const HANDLES_LOOK_MS = 5000;
/** Turns of the event loop in which finalizers of collected maps run. */
const RECLAIM_TURNS = 3;

const port = parentPort;
assert(port !== null, "the dispatch worker runs as a worker thread");

function tell(message: FromWorker): void {
  port?.postMessage(message);
}

class DispatchWorker {
  readonly #progress: SharedProgress;
  readonly #queueProgress = new QueueProgress();
  readonly #slots = new Map<string, number>();
  /** By slot; undefined where the slot is nobody's. */
  readonly #names: (QueueName | undefined)[] = [];
  readonly #deleted: Map<string, number>;
  readonly #disk: FileDisk;
  readonly #segments: SegmentQueue;
  readonly #dispatcher: Dispatcher;
  readonly #loop: DispatchLoop;
  readonly #expiry: QueueExpiry;
  readonly #room = new RoomWait(() => performance.now(), {
    onPaused: (reason) => tell({ kind: "paused", reason }),
    onResumed: () => tell({ kind: "resumed" }),
  });
  readonly #indexTask = () => {
    this.#loop.flushIndex();
    return true;
  };
  readonly #cache: FileCache;
  readonly #syncIntervalMs: number;
  #syncedPosition: number;
  #queuesSyncedPosition: number;
  #syncDueMs = Number.POSITIVE_INFINITY;
  /** Queues or files of them were deleted: the notes shall say so soon. */
  #notesAreOld = false;
  #syncing: Promise<void> | undefined;
  #syncFailure: unknown;
  #reclaimDue = false;
  #handlesDueMs = 0;

  constructor(begin: BeginMessage) {
    const disk = new FileDisk(begin.backend);
    this.#disk = disk;
    this.#progress = new SharedProgress(begin.progress);
    for (const chunk of begin.chunks) this.#queueProgress.adopt(chunk);
    for (const { topic, queueId, slot } of begin.queues) this.#know(topic, queueId, slot);
    this.#deleted = new Map(begin.deleted);
    this.#segments = new SegmentQueue({
      disk,
      directory: begin.commitLogDirectory,
      segmentBytes: begin.segmentBytes,
      writable: false,
    });
    this.#cache = new FileCache(disk, begin.openFilesMax);
    const context = new QueueContext({
      disk,
      cache: this.#cache,
      fileBytes: begin.queueFileBytes,
      unitBytes: UNIT_BYTES,
      sizeOption: "mappedFileSizeConsumeQueue",
    });
    this.#dispatcher = new Dispatcher({
      segments: this.#segments,
      queues: new QueueTable(context, begin.queueRoot, {
        slotOf: (topic, queueId) => this.#slotOf(topic, queueId),
        maxOffsetOf: (slot) => this.#queueProgress.maxOffset(slot),
        deletedBefore: (topic) => this.#deleted.get(topic) ?? 0,
      }),
      index: openIndexSink(loadIndex(disk, begin.indexDirectory, begin.indexSizes, begin.indexEnabled)),
      delayLevels: begin.delayLevels,
      position: begin.position,
      counts: begin.counts,
      onFinding: ({ phyOffset, topic, queueId, queueOffset, problem }) =>
        tell({ kind: "finding", phyOffset, text: `${problem}: ${topic} ${queueId} at ${queueOffset}` }),
    });
    const maker = new SegmentMaker(disk, begin.commitLogDirectory, begin.segmentBytes, begin.readyEnd);
    this.#loop = new DispatchLoop(this.#dispatcher, maker, this.#progress, this.#queueProgress, () => tell(ARRIVALS));
    this.#expiry = new QueueExpiry({
      dispatcher: this.#dispatcher,
      slotCount: () => this.#names.length,
      nameOf: (slot) => this.#names[slot],
      monotonicMs: () => performance.now(),
      onStep: (step) => {
        if (step.queueFiles + step.indexFiles > 0) this.#notesAreOld = true;
        tell({ kind: "expiry", ...step });
      },
    });
    this.#syncIntervalMs = begin.syncIntervalMs;
    this.#syncedPosition = begin.position;
    this.#queuesSyncedPosition = begin.position;
  }

  #know(topic: string, queueId: number, slot: number): void {
    this.#slots.set(keyOf(topic, queueId), slot);
    this.#names[slot] = { topic, queueId };
  }

  #slotOf(topic: string, queueId: number): number {
    const slot = this.#slots.get(keyOf(topic, queueId));
    assert(slot !== undefined, "a queue is announced before its first message is confirmed");
    return slot;
  }

  #readMessages(): void {
    for (;;) {
      const received = receiveMessageOnPort(port!) as { message: ToWorker } | undefined;
      if (received === undefined) return;
      this.receive(received.message);
    }
  }

  receive(message: ToWorker): void {
    switch (message.kind) {
      case "queue":
        if (message.chunk !== undefined) this.#queueProgress.adopt(message.chunk);
        this.#know(message.topic, message.queueId, message.slot);
        return;
      case "forget":
        this.#forget(message);
        return;
      case "expire":
        this.#expiry.begin(message.minPhyOffset);
        this.#reclaimDue = true;
        return;
      case "sync":
        this.#syncDueMs = 0;
    }
  }

  #forget({ topic, position, queues }: TopicDeletion): void {
    this.#deleted.set(topic, position);
    this.#dispatcher.forget(topic);
    for (const { queueId, slot } of queues) {
      this.#queueProgress.setMaxOffset(slot, 0);
      this.#slots.delete(keyOf(topic, queueId));
      this.#names[slot] = undefined;
    }
    this.#notesAreOld = true;
    tell({ kind: "forgotten", slots: queues.map(({ slot }) => slot) });
  }

  /** Returns when the appender asked for the end and everything confirmed is done and durable. */
  async run(): Promise<void> {
    const progress = this.#progress;
    progress.state = State.RUNNING;
    while (!(await this.#round())) progress.turnEnded();
    progress.lastTurnEnded();
    if (this.#room.failure !== undefined) throw this.#room.failure;
    await this.#syncing;
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    await this.#sync();
    await this.#dispatcher.close();
    this.#segments.close();
    this.#cache.close();
    progress.state = State.STOPPED;
  }

  /** True when the end was asked for and nothing is left to do. */
  async #round(): Promise<boolean> {
    failpoint("dispatch-step");
    const progress = this.#progress;
    const sequence = progress.wakeSequence;
    // In this order: who put a record below `confirmed` had sent before what has to be known of its queue.
    const { confirmed, stopAsked } = progress;
    this.#readMessages();
    this.#segments.setRange(progress.firstOffset, progress.readyEnd);
    if (this.#reclaimDue) await this.#reclaim();
    const now = performance.now();
    if (now >= this.#handlesDueMs) {
      this.#handlesDueMs = now + HANDLES_LOOK_MS;
      this.#cache.leaveRoom();
    }
    const syncIsDue = this.#syncing === undefined && this.#syncIsDue(now);
    // What is synced or deleted must have been written.
    const mayHold = !stopAsked && !syncIsDue && !this.#expiry.isActive;
    const isBusy = this.#step(confirmed, stopAsked, mayHold);
    const isExpiring = this.#expiry.step();
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    if (syncIsDue) this.#beginSync();
    if (isBusy || isExpiring) {
      // Pool threads answer through the event loop.
      if (this.#syncing !== undefined) await new Promise((resolve) => setImmediate(resolve));
      return false;
    }
    if (stopAsked) return true;
    if (this.#syncing === undefined) this.#rest(sequence);
    else await this.#restWhileSyncing(sequence);
    return false;
  }

  /** Dispatch goes on meanwhile: a slow disk must not hold up who waits for messages. */
  #beginSync(): void {
    this.#syncing = this.#sync()
      .catch((error: unknown) => {
        this.#syncFailure = error;
      })
      .finally(() => {
        this.#syncing = undefined;
      });
  }

  /**
   * True when there was something to do and more may wait. While dispatch waits for space the appender gets its segments
   * all the same, or hears that there are none.
   */
  #step(confirmed: number, atOnce: boolean, mayHold: boolean): boolean {
    if (this.#room.delayMs > 0 && !atOnce) return this.#loop.makeSegment();
    return this.#room.attempt(() => this.#loop.step(confirmed, mayHold));
  }

  /** Maps of deleted segments hold their space until they are collected, and this thread hardly ever has garbage. */
  async #reclaim(): Promise<void> {
    this.#reclaimDue = false;
    this.#dispatcher.cursor.forgetBefore(this.#progress.firstOffset);
    this.#disk.reclaim();
    for (let i = 0; i < RECLAIM_TURNS; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  #rest(sequence: number): void {
    const { delayMs } = this.#room;
    if (delayMs > 0) {
      this.#progress.park(sequence, delayMs);
      return;
    }
    if (this.#dispatcher.indexDirty) {
      this.#progress.park(sequence, INDEX_PAUSE_MS);
      if (this.#progress.wakeSequence === sequence) this.#room.attempt(this.#indexTask);
      return;
    }
    const untilSync = this.#syncDueMs - performance.now();
    this.#progress.park(sequence, Math.max(1, Math.min(REST_MAX_MS, untilSync)));
  }

  /**
   * Pool threads answer through the event loop, and a message is to be seen at once: Atomics.waitAsync, which would do for
   * both, wakes milliseconds late.
   */
  async #restWhileSyncing(sequence: number): Promise<void> {
    const { delayMs } = this.#room;
    const until = performance.now() + (delayMs > 0 ? delayMs : INDEX_PAUSE_MS);
    while (this.#syncing !== undefined && this.#progress.wakeSequence === sequence && performance.now() < until) {
      this.#progress.park(sequence, SYNC_POLL_MS);
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (delayMs === 0 && this.#progress.wakeSequence === sequence) this.#room.attempt(this.#indexTask);
  }

  #syncIsDue(now: number): boolean {
    if (this.#notesAreOld) return true;
    if (this.#room.failure === undefined ? this.#dispatcher.position === this.#syncedPosition : !this.#hasWritten())
      return false;
    if (this.#syncDueMs === Number.POSITIVE_INFINITY) this.#syncDueMs = now + this.#syncIntervalMs;
    return now >= this.#syncDueMs;
  }

  /** What has found its place on a full disk is synced all the same: the oldest segments wait for that. */
  #hasWritten(): boolean {
    const { writtenPosition, queuesPosition } = this.#dispatcher;
    return writtenPosition !== this.#syncedPosition || queuesPosition !== this.#queuesSyncedPosition;
  }

  async #sync(): Promise<void> {
    this.#syncDueMs = Number.POSITIVE_INFINITY;
    if (this.#room.failure === undefined && !this.#room.attempt(this.#indexTask)) this.#syncDueMs = 0;
    if (!this.#hasWritten() && !this.#notesAreOld) return;
    this.#notesAreOld = false;
    // As of now: while the disk works there will be more.
    const { written } = this.#dispatcher;
    await this.#dispatcher.syncWritten();
    this.#syncedPosition = written.position;
    this.#queuesSyncedPosition = written.queuesPosition;
    // Queues were deleted meanwhile, and the counts are not theirs: the sync that follows tells.
    if (this.#notesAreOld) return;
    const { indexMsgTimestamp } = this.#dispatcher;
    tell({ kind: "synced", ...written, indexMsgTimestamp });
  }
}

function keyOf(topic: string, queueId: number): string {
  return `${queueId} ${topic}`;
}

let worker: DispatchWorker | undefined;

async function work(begin: BeginMessage): Promise<void> {
  try {
    worker = new DispatchWorker(begin);
    await worker.run();
  } catch (error) {
    const code = error instanceof CometError ? error.code : "COMETMQ_THREAD";
    const { message, stack = "" } = error instanceof Error ? error : new Error(String(error));
    tell({ kind: "failed", code, message, stack });
    const progress = new SharedProgress(begin.progress);
    progress.state = State.FAILED;
    progress.segmentMade(progress.readyEnd, SegmentFailure.OTHER);
  }
  port?.close();
}

// Messages that come while the loop lets go of the thread arrive here, all others are taken by `#readMessages`.
port.on("message", (message: ToWorker) => {
  if (message.kind === "begin") void work(message);
  else worker?.receive(message);
});
