/** The appender's handle on the dispatch worker. */
import { Worker } from "node:worker_threads";
import { systemClock } from "../base/clock.js";
import { CometError, ERRORS, type ErrorCode } from "../base/errors.js";
import { RETRY_MS, type SegmentSource } from "../commitlog/segment-source.js";
import type { Dispatch, DispatchEvents, QueueSlot } from "./dispatch.js";
import { NO_MORE_TURNS, QueueProgress, SegmentFailure, SharedProgress, State } from "./shared-progress.js";
import { StallWatch } from "./stall-watch.js";
import {
  ARRIVALS,
  type BeginMessage,
  type FromWorker,
  type QueueAnnouncement,
  type TopicDeletion,
  type ToWorker,
} from "./worker-messages.js";

class ThreadedSegmentSource implements SegmentSource {
  readonly #progress: SharedProgress;
  #retriedAtMs = 0;
  /** What came of the last attempt while the next one is under way: that one is not waited for. */
  #retried: number = SegmentFailure.NONE;
  /** It did not come in time: whoever asks again is not kept waiting, nor is the event loop. */
  #missedEnd = -1;

  constructor(progress: SharedProgress) {
    this.#progress = progress;
  }

  get readyEnd(): number {
    return this.#progress.readyEnd;
  }

  get failure(): CometError | undefined {
    const { segmentFailure, readyEnd, wantedEnd } = this.#progress;
    if (segmentFailure === SegmentFailure.NONE && readyEnd >= wantedEnd) return undefined;
    switch (segmentFailure === SegmentFailure.NONE ? this.#retried : segmentFailure) {
      case SegmentFailure.NONE:
        return undefined;
      case SegmentFailure.DISK_FULL:
        return new CometError("COMETMQ_DISK_FULL", "There is no room for the next segment of the commit log.");
      default:
        return new CometError("COMETMQ_IO", "The next segment of the commit log could not be made.");
    }
  }

  request(endOffset: number): void {
    const progress = this.#progress;
    const failure = progress.segmentFailure;
    if (failure === SegmentFailure.NONE && endOffset <= progress.wantedEnd) return;
    if (failure !== SegmentFailure.NONE) {
      const now = performance.now();
      if (now - this.#retriedAtMs < RETRY_MS) return;
      this.#retriedAtMs = now;
      this.#retried = failure;
      progress.clearSegmentFailure();
    }
    progress.wantedEnd = Math.max(endOffset, progress.wantedEnd);
    progress.wake();
  }

  waitFor(endOffset: number, timeoutMs: number): boolean {
    if (this.#retried === SegmentFailure.NONE) {
      if (this.#missedEnd === endOffset && this.#progress.readyEnd < endOffset) return false;
      const isReady = this.#progress.waitForSegment(endOffset, timeoutMs);
      this.#missedEnd = isReady ? -1 : endOffset;
      return isReady;
    }
    if (this.#progress.readyEnd < endOffset) return false;
    this.#retried = SegmentFailure.NONE;
    return true;
  }
}

export class DispatchThread implements Dispatch {
  readonly threaded = true;
  readonly progress = new SharedProgress();
  readonly queueProgress = new QueueProgress();
  readonly source: SegmentSource = new ThreadedSegmentSource(this.progress);
  readonly #worker: Worker;
  readonly #events: DispatchEvents;
  readonly #ended: Promise<void>;
  #watch: StallWatch | undefined;
  #failed = false;
  #queuesSyncedPosition = 0;
  #syncWaiters: (() => void)[] = [];

  /** Starts the thread, which waits for `begin`: starting it and recovering go side by side. */
  constructor(events: DispatchEvents) {
    this.#events = events;
    this.#worker = new Worker(new URL("./dispatch-worker.js", import.meta.url), { name: "cometmq-dispatch" });
    this.#worker.on("message", (message: FromWorker) => this.#receive(message));
    this.#ended = new Promise((resolve) => {
      this.#worker.on("error", (error) => this.#died(error));
      this.#worker.on("exit", () => {
        if (this.progress.state !== State.STOPPED) this.#died(new Error("It ended by itself."));
        this.#failed = true;
        this.#watch?.stop();
        this.#endSyncWaits();
        resolve();
      });
    });
    // A listener holds the process: an open store alone shall not.
    this.#worker.unref();
  }

  begin(message: Omit<BeginMessage, "kind" | "progress" | "chunks">): void {
    this.progress.dispatched = message.position;
    this.progress.indexed = message.position;
    this.progress.readyEnd = message.readyEnd;
    this.progress.wantedEnd = message.readyEnd;
    this.#queuesSyncedPosition = message.position;
    const chunks = this.queueProgress.buffers;
    this.#worker.postMessage({ kind: "begin", progress: this.progress.buffer, chunks, ...message });
    // Of the machine's own clock: a clock that a test moves knows nothing of this thread.
    this.#watch = new StallWatch(systemClock, () => this.#turns, {
      onSlow: (seconds) => this.#events.onSlow(seconds),
      onStalled: (seconds) => this.#stalled(seconds),
    });
  }

  announce(topic: string, queueId: number, slot: number): void {
    const chunk = this.queueProgress.reserve(slot);
    const message: QueueAnnouncement = { kind: "queue", topic, queueId, slot, chunk };
    this.#worker.postMessage(message);
  }

  holdProcess(hold: boolean): void {
    if (hold) this.#worker.ref();
    else this.#worker.unref();
  }

  forget(topic: string, position: number, queues: readonly QueueSlot[]): void {
    this.#send({ kind: "forget", topic, position, queues } satisfies TopicDeletion);
  }

  get queuesSyncedPosition(): number {
    return this.#queuesSyncedPosition;
  }

  sync(): Promise<void> {
    if (this.#failed) return Promise.resolve();
    this.#send({ kind: "sync" });
    return new Promise((resolve) => this.#syncWaiters.push(resolve));
  }

  expire(minPhyOffset: number): void {
    this.#send({ kind: "expire", minPhyOffset });
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
    this.progress.wake();
  }

  #endSyncWaits(): void {
    for (const resolve of this.#syncWaiters.splice(0)) resolve();
  }

  wake(): void {
    this.progress.wake();
  }

  #receive(message: FromWorker): void {
    if (message === ARRIVALS) {
      this.progress.heard();
      this.#events.onArrivals();
      return;
    }
    switch (message.kind) {
      case "synced":
        this.#queuesSyncedPosition = message.queuesPosition;
        this.#events.onSynced(message);
        this.#endSyncWaits();
        return;
      case "finding":
        this.#events.onFinding(message.text, message.phyOffset);
        return;
      case "forgotten":
        this.#events.onForgotten(message.slots);
        return;
      case "expiry":
        this.#events.onExpiry(message);
        return;
      case "paused":
        this.#events.onPaused(message.reason);
        return;
      case "resumed":
        this.#events.onResumed();
        return;
      case "failed":
        this.#failedWith(message);
    }
  }

  #failedWith({ code, message, stack }: Extract<FromWorker, { kind: "failed" }>): void {
    const cause = Object.assign(new Error(message), { stack });
    if (code === "COMETMQ_THREAD" || !(code in ERRORS)) this.#died(cause);
    else
      this.#fail(
        new CometError(code as ErrorCode, message.replace(` ${ERRORS[code as ErrorCode].remedy}`, ""), { cause }),
      );
  }

  get #turns(): number {
    const { turns } = this.progress;
    return turns === NO_MORE_TURNS ? performance.now() : turns;
  }

  /** It is ended by force, so that whoever closes the store does not wait for it. */
  #stalled(seconds: number): void {
    this.#died(new Error(`It has not ended its turn for ${seconds} s.`));
    void this.#worker.terminate();
  }

  /** Not the disk's doing, and nobody knows what it has left half done. */
  #died(cause: Error): void {
    this.#fail(new CometError("COMETMQ_THREAD", "The dispatch thread died.", { cause }));
  }

  #fail(error: CometError): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#endSyncWaits();
    this.#events.onFailure(error);
  }

  /** Ends a thread that was never begun, or whose store could not be opened. */
  async abandon(): Promise<void> {
    this.#failed = true;
    await this.#worker.terminate();
  }

  async stop(): Promise<void> {
    this.#worker.ref();
    this.progress.askStop();
    await this.#ended;
  }
}
