/** The appender's handle on the dispatch worker. */
import { Worker } from "node:worker_threads";
import { CometError, ERRORS, type ErrorCode } from "../base/errors.js";
import type { SegmentSource } from "../commitlog/segment-source.js";
import type { Dispatch, DispatchEvents, QueueSlot } from "./dispatch.js";
import { QueueProgress, SegmentFailure, SharedProgress, State } from "./shared-progress.js";
import type { BeginMessage, FromWorker, QueueAnnouncement, TopicDeletion } from "./worker-messages.js";

/** After a failed attempt (a full disk), the next is made when this has passed. */
const RETRY_MS = 1000;

class ThreadedSegmentSource implements SegmentSource {
  readonly #progress: SharedProgress;
  #failedAtMs = 0;

  constructor(progress: SharedProgress) {
    this.#progress = progress;
  }

  get failure(): CometError | undefined {
    switch (this.#progress.segmentFailure) {
      case SegmentFailure.NONE:
        return undefined;
      case SegmentFailure.DISK_FULL:
        return new CometError("COMETMQ_DISK_FULL", "There is no room for the next segment of the commit log.");
      default:
        return new CometError("COMETMQ_IO", "The next segment of the commit log could not be made.");
    }
  }

  request(endOffset: number): void {
    if (endOffset <= this.#progress.wantedEnd && this.#progress.segmentFailure === SegmentFailure.NONE) return;
    if (this.#progress.segmentFailure !== SegmentFailure.NONE) {
      const now = performance.now();
      if (now - this.#failedAtMs < RETRY_MS) return;
      this.#failedAtMs = now;
      this.#progress.clearSegmentFailure();
    }
    this.#progress.wantedEnd = Math.max(endOffset, this.#progress.wantedEnd);
    this.#progress.wake();
  }

  waitFor(endOffset: number, timeoutMs: number): boolean {
    return this.#progress.waitForSegment(endOffset, timeoutMs);
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
  #failed = false;

  /** Starts the thread, which waits for `begin`: starting it and recovering go side by side. */
  constructor(events: DispatchEvents) {
    this.#events = events;
    this.#worker = new Worker(new URL("./dispatch-worker.js", import.meta.url), { name: "cometmq-dispatch" });
    this.#worker.on("message", (message: FromWorker) => this.#receive(message));
    this.#ended = new Promise((resolve) => {
      this.#worker.on("error", (error) => this.#fail("COMETMQ_IO", `The dispatch thread died: ${error.message}`));
      this.#worker.on("exit", () => {
        if (this.progress.state !== State.STOPPED) this.#fail("COMETMQ_IO", "The dispatch thread ended by itself.");
        resolve();
      });
    });
    // A listener holds the process: an open store alone shall not.
    this.#worker.unref();
  }

  begin(message: Omit<BeginMessage, "kind" | "progress" | "chunks">): void {
    this.progress.dispatched = message.position;
    this.progress.readyEnd = message.readyEnd;
    this.progress.wantedEnd = message.readyEnd;
    const chunks = this.queueProgress.buffers;
    this.#worker.postMessage({ kind: "begin", progress: this.progress.buffer, chunks, ...message });
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
    this.#worker.postMessage({ kind: "forget", topic, position, queues } satisfies TopicDeletion);
    this.progress.wake();
  }

  wake(): void {
    this.progress.wake();
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case "arrivals":
        this.progress.heard();
        this.#events.onArrivals();
        return;
      case "synced":
        this.#events.onSynced(message);
        return;
      case "finding":
        this.#events.onFinding(message.text, message.phyOffset);
        return;
      case "forgotten":
        this.#events.onForgotten(message.slots);
        return;
      case "stalled":
        this.#events.onStalled(message.text);
        return;
      case "failed":
        this.#fail(message.code in ERRORS ? (message.code as ErrorCode) : "COMETMQ_IO", message.message);
    }
  }

  #fail(code: ErrorCode, message: string): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#events.onFailure(new CometError(code, message));
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
