/** Dispatch without a thread: for disks only one thread can see, and for simulations. */
import { CometError } from "../base/errors.js";
import { InlineSegmentSource, type SegmentMaker } from "../commitlog/segment-source.js";
import type { Dispatch, DispatchEvents, QueueSlot } from "./dispatch.js";
import { DispatchLoop } from "./dispatch-loop.js";
import type { Dispatcher } from "./dispatcher.js";
import type { QueueProgress, SharedProgress } from "./shared-progress.js";

export class InlineDispatch implements Dispatch {
  readonly threaded = false;
  readonly progress: SharedProgress;
  readonly queueProgress: QueueProgress;
  readonly source: InlineSegmentSource;
  readonly #dispatcher: Dispatcher;
  readonly #loop: DispatchLoop;
  readonly #events: DispatchEvents;
  #failed = false;

  constructor(
    dispatcher: Dispatcher,
    maker: SegmentMaker,
    progress: SharedProgress,
    queueProgress: QueueProgress,
    events: DispatchEvents,
  ) {
    this.progress = progress;
    this.queueProgress = queueProgress;
    this.#events = events;
    this.#dispatcher = dispatcher;
    this.source = new InlineSegmentSource(maker);
    this.progress.dispatched = dispatcher.position;
    this.#loop = new DispatchLoop(dispatcher, maker, progress, queueProgress, () => {
      this.progress.heard();
      this.#events.onArrivals();
    });
  }

  /** `deletedBefore` of the queue table knows already. */
  forget(topic: string, _position: number, queues: readonly QueueSlot[]): void {
    this.#dispatcher.forget(topic);
    for (const { slot } of queues) this.queueProgress.setMaxOffset(slot, 0);
    this.#events.onForgotten(queues.map(({ slot }) => slot));
  }

  announce(_topic: string, _queueId: number, slot: number): void {
    this.queueProgress.reserve(slot);
  }

  /** Never throws: what a full disk did not take is tried again with the next call, anything else is for good. */
  holdProcess(): void {}

  wake(): void {
    if (this.#failed) return;
    try {
      this.#workOff();
    } catch (error) {
      const cause =
        error instanceof CometError ? error : new CometError("COMETMQ_IO", "Dispatch failed.", { cause: error });
      if (cause.code === "COMETMQ_DISK_FULL") {
        this.#events.onStalled(cause.message);
        return;
      }
      this.#failed = true;
      this.#events.onFailure(cause);
    }
  }

  #workOff(): void {
    while (this.#loop.step()) {}
    this.#loop.flushIndex();
  }

  async stop(): Promise<void> {
    if (!this.#failed) this.#workOff();
    await this.#dispatcher.close();
    const { position, tailFrom, lastStoreTimestamp, indexMsgTimestamp, counts } = this.#dispatcher;
    this.#events.onSynced({ position, tailFrom, storeTimestamp: lastStoreTimestamp, indexMsgTimestamp, counts });
  }
}
