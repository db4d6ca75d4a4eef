/**
 * The dispatch thread: follows the log behind the appender, and makes the segments it will need. It sleeps in
 * Atomics.wait and is woken by the appender; messages are read between two batches of records, before any of them that
 * was put after they were sent.
 */
import { parentPort, receiveMessageOnPort } from "node:worker_threads";
import { assert } from "../base/assert.js";
import { CometError } from "../base/errors.js";
import { SegmentMaker } from "../commitlog/segment-source.js";
import { SegmentQueue } from "../commitlog/segment-queue.js";
import { FileCache } from "../consumequeue/file-cache.js";
import { QueueContext } from "../consumequeue/queue-files.js";
import { UNIT_BYTES } from "../consumequeue/unit.js";
import { FileDisk } from "../io/file-disk.js";
import { DispatchLoop } from "./dispatch-loop.js";
import { Dispatcher } from "./dispatcher.js";
import { loadIndex, openIndexSink } from "./index-sink.js";
import { QueueTable } from "./queue-table.js";
import { QueueProgress, SegmentFailure, SharedProgress, State } from "./shared-progress.js";
import type { BeginMessage, FromWorker, TopicDeletion, ToWorker } from "./worker-messages.js";

/** The index is written after a pause of this length: long enough to gather, short for who looks a key up. */
const INDEX_PAUSE_MS = 20;
const SLEEP_MS = 10_000;
/** A full disk is tried again after this. */
const FULL_RETRY_MS = 1000;

const port = parentPort;
assert(port !== null, "the dispatch worker runs as a worker thread");

function tell(message: FromWorker): void {
  port?.postMessage(message);
}

class DispatchWorker {
  readonly #progress: SharedProgress;
  readonly #queueProgress = new QueueProgress();
  readonly #slots = new Map<string, number>();
  readonly #deleted: Map<string, number>;
  readonly #segments: SegmentQueue;
  readonly #dispatcher: Dispatcher;
  readonly #loop: DispatchLoop;
  readonly #cache: FileCache;
  readonly #syncIntervalMs: number;
  #syncedPosition: number;
  #syncDueMs = Number.POSITIVE_INFINITY;
  #stalled = false;
  /** Queues were deleted: the notes shall say so soon. */
  #notesAreOld = false;

  constructor(begin: BeginMessage) {
    const disk = new FileDisk(begin.backend);
    this.#progress = new SharedProgress(begin.progress);
    for (const chunk of begin.chunks) this.#queueProgress.adopt(chunk);
    for (const { topic, queueId, slot } of begin.queues) this.#slots.set(keyOf(topic, queueId), slot);
    this.#deleted = new Map(begin.deleted);
    this.#segments = new SegmentQueue({
      disk,
      directory: begin.commitLogDirectory,
      segmentBytes: begin.segmentBytes,
      writable: false,
    });
    this.#cache = new FileCache(disk);
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
    this.#loop = new DispatchLoop(this.#dispatcher, maker, this.#progress, this.#queueProgress, () =>
      tell({ kind: "arrivals" }),
    );
    this.#syncIntervalMs = begin.syncIntervalMs;
    this.#syncedPosition = begin.position;
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
    if (message.kind === "queue") {
      if (message.chunk !== undefined) this.#queueProgress.adopt(message.chunk);
      this.#slots.set(keyOf(message.topic, message.queueId), message.slot);
    } else if (message.kind === "forget") this.#forget(message);
  }

  #forget({ topic, position, queues }: TopicDeletion): void {
    this.#deleted.set(topic, position);
    this.#dispatcher.forget(topic);
    for (const { queueId, slot } of queues) {
      this.#queueProgress.setMaxOffset(slot, 0);
      this.#slots.delete(keyOf(topic, queueId));
    }
    this.#notesAreOld = true;
    tell({ kind: "forgotten", slots: queues.map(({ slot }) => slot) });
  }

  /** Returns when the appender asked for the end and everything confirmed is done and durable. */
  async run(): Promise<void> {
    const progress = this.#progress;
    progress.state = State.RUNNING;
    for (;;) {
      try {
        if (await this.#round()) break;
        this.#stalled = false;
      } catch (error) {
        this.#waitForRoom(error);
      }
    }
    await this.#sync();
    await this.#dispatcher.close();
    this.#segments.close();
    this.#cache.close();
    progress.state = State.STOPPED;
  }

  /** True when the end was asked for and nothing is left to do. */
  async #round(): Promise<boolean> {
    const progress = this.#progress;
    const sequence = progress.wakeSequence;
    this.#segments.setRange(progress.firstOffset, progress.readyEnd);
    // In this order: who put a record below `confirmed` had sent before what has to be known of its queue.
    const { confirmed } = progress;
    this.#readMessages();
    const busy = this.#loop.step(confirmed);
    if (this.#syncIsDue(performance.now())) await this.#sync();
    if (busy) return false;
    if (progress.stopAsked) return true;
    this.#rest(sequence);
    return false;
  }

  /**
   * Queues and index are written where blocks were not reserved. A full disk is said once and waited for; the appender
   * gets its segments all the same, or hears that there are none.
   */
  #waitForRoom(error: unknown): void {
    const progress = this.#progress;
    if (!(error instanceof CometError) || error.code !== "COMETMQ_DISK_FULL" || progress.stopAsked) throw error;
    if (!this.#stalled) tell({ kind: "stalled", text: error.message });
    this.#stalled = true;
    const until = performance.now() + FULL_RETRY_MS;
    for (let left = FULL_RETRY_MS; left > 0 && !progress.stopAsked; left = until - performance.now()) {
      const sequence = progress.wakeSequence;
      if (!this.#loop.makeSegment()) progress.park(sequence, left);
    }
  }

  #rest(sequence: number): void {
    if (this.#dispatcher.indexDirty) {
      this.#progress.park(sequence, INDEX_PAUSE_MS);
      if (this.#progress.wakeSequence === sequence) this.#loop.flushIndex();
      return;
    }
    const untilSync = this.#syncDueMs - performance.now();
    this.#progress.park(sequence, Math.max(1, Math.min(SLEEP_MS, untilSync)));
  }

  #syncIsDue(now: number): boolean {
    if (this.#notesAreOld) return true;
    if (this.#dispatcher.position === this.#syncedPosition) return false;
    if (this.#syncDueMs === Number.POSITIVE_INFINITY) this.#syncDueMs = now + this.#syncIntervalMs;
    return now >= this.#syncDueMs;
  }

  /** The only place where the loop lets go of the thread: pool threads answer through the event loop. */
  async #sync(): Promise<void> {
    this.#syncDueMs = Number.POSITIVE_INFINITY;
    const position = this.#dispatcher.position;
    if (position === this.#syncedPosition && !this.#notesAreOld) return;
    this.#notesAreOld = false;
    await this.#dispatcher.sync();
    this.#syncedPosition = position;
    const { tailFrom, lastStoreTimestamp, indexMsgTimestamp, counts } = this.#dispatcher;
    tell({ kind: "synced", position, tailFrom, storeTimestamp: lastStoreTimestamp, indexMsgTimestamp, counts });
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
    const code = error instanceof CometError ? error.code : "COMETMQ_IO";
    tell({ kind: "failed", code, message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    const progress = new SharedProgress(begin.progress);
    progress.state = State.FAILED;
    progress.segmentMade(progress.readyEnd, SegmentFailure.OTHER);
  }
  port?.close();
}

// Messages that come while the loop waits for a sync arrive here, all others are taken by `#readMessages`.
port.on("message", (message: ToWorker) => {
  if (message.kind === "begin") void work(message);
  else worker?.receive(message);
});
