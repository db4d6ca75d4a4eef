/** Dispatch without a thread: for disks only one thread can see, and for simulations. */
import type { Clock, Timer } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import { InlineSegmentSource, type SegmentMaker } from "../commitlog/segment-source.js";
import type { Dispatch, DispatchEvents, QueueSlot } from "./dispatch.js";
import { DispatchLoop } from "./dispatch-loop.js";
import type { Dispatcher } from "./dispatcher.js";
import { QueueExpiry, type QueueName } from "./queue-expiry.js";
import { RoomWait } from "./room-wait.js";
import { type QueueProgress, type SharedProgress, State } from "./shared-progress.js";

export interface InlineDispatchOptions {
  dispatcher: Dispatcher;
  maker: SegmentMaker;
  progress: SharedProgress;
  queueProgress: QueueProgress;
  /** See QueueExpiryOptions. */
  slotCount: () => number;
  nameOf: (slot: number) => QueueName | undefined;
  clock: Clock;
  events: DispatchEvents;
}

export class InlineDispatch implements Dispatch {
  readonly threaded = false;
  readonly progress: SharedProgress;
  readonly queueProgress: QueueProgress;
  readonly source: InlineSegmentSource;
  readonly #dispatcher: Dispatcher;
  readonly #loop: DispatchLoop;
  readonly #expiry: QueueExpiry;
  readonly #room: RoomWait;
  readonly #clock: Clock;
  readonly #events: DispatchEvents;
  readonly #workTask = () => {
    while (this.#loop.step()) {}
    this.#loop.flushIndex();
    return true;
  };
  #queuesSyncedPosition: number;
  #retry: Timer | undefined;

  constructor(options: InlineDispatchOptions) {
    const { dispatcher, maker, progress, queueProgress, slotCount, nameOf, clock, events } = options;
    this.progress = progress;
    this.queueProgress = queueProgress;
    this.#events = events;
    this.#clock = clock;
    this.#dispatcher = dispatcher;
    this.source = new InlineSegmentSource(maker, clock);
    this.progress.dispatched = dispatcher.position;
    this.progress.indexed = dispatcher.position;
    this.#queuesSyncedPosition = dispatcher.position;
    this.#loop = new DispatchLoop(dispatcher, maker, progress, queueProgress, () => {
      this.progress.heard();
      this.#events.onArrivals();
    });
    const monotonicMs = () => clock.monotonicMs();
    this.#room = new RoomWait(monotonicMs, events);
    const onStep = events.onExpiry;
    this.#expiry = new QueueExpiry({ dispatcher, slotCount, nameOf, monotonicMs, onStep });
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

  holdProcess(): void {}

  /** Never throws: what a full disk did not take is tried again, anything else is for good. */
  wake(): void {
    if (this.progress.state >= State.STOPPED) return;
    try {
      this.#room.attempt(this.#workTask);
    } catch (error) {
      this.#fail(error);
      return;
    }
    if (this.#room.failure === undefined) return;
    this.#retry ??= this.#clock.schedule(this.#room.delayMs, () => {
      this.#retry = undefined;
      this.wake();
    });
  }

  #fail(error: unknown): void {
    this.progress.state = State.FAILED;
    this.#events.onFailure(
      error instanceof CometError ? error : new CometError("COMETMQ_IO", "Dispatch failed.", { cause: error }),
    );
  }

  get queuesSyncedPosition(): number {
    return this.#queuesSyncedPosition;
  }

  async sync(): Promise<void> {
    this.wake();
    if (this.progress.state >= State.STOPPED) return;
    try {
      await this.#sync((dispatcher) => dispatcher.syncWritten());
    } catch (error) {
      this.#fail(error);
    }
  }

  async #sync(run: (dispatcher: Dispatcher) => Promise<void>): Promise<void> {
    const { written } = this.#dispatcher;
    await run(this.#dispatcher);
    this.#queuesSyncedPosition = written.queuesPosition;
    const { indexMsgTimestamp } = this.#dispatcher;
    this.#events.onSynced({ ...written, indexMsgTimestamp });
  }

  expire(minPhyOffset: number): void {
    this.#dispatcher.cursor.forgetBefore(minPhyOffset);
    this.#expiry.begin(minPhyOffset);
    try {
      while (this.#expiry.step()) {}
    } catch (error) {
      this.#fail(error);
    }
  }

  async stop(): Promise<void> {
    if (this.progress.state < State.STOPPED) this.wake();
    this.#retry?.cancel();
    if (this.#room.failure !== undefined) throw this.#room.failure;
    if (this.progress.state === State.FAILED) return;
    await this.#sync((dispatcher) => dispatcher.close());
    this.progress.state = State.STOPPED;
  }
}
