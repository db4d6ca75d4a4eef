/** Dispatch without a thread: for disks only one thread can see, and for simulations. */
import { InlineSegmentSource, type SegmentMaker } from "../commitlog/segment-source.js";
import type { Dispatch, DispatchEvents } from "./dispatch.js";
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

  announce(_topic: string, _queueId: number, slot: number): void {
    this.queueProgress.reserve(slot);
  }

  wake(): void {
    while (this.#loop.step()) {}
    this.#loop.flushIndex();
  }

  async stop(): Promise<void> {
    this.wake();
    await this.#dispatcher.close();
    const { position, tailFrom, lastStoreTimestamp, indexMsgTimestamp } = this.#dispatcher;
    this.#events.onSynced({ position, tailFrom, storeTimestamp: lastStoreTimestamp, indexMsgTimestamp });
  }
}
