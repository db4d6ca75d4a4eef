/**
 * One step of dispatch, shared by the worker's endless loop and the inline driver: dispatch a batch, publish what grew,
 * make a segment if one is wanted, write the index when there is a pause.
 */
import type { SegmentMaker } from "../commitlog/segment-source.js";
import type { Dispatcher } from "./dispatcher.js";
import { type QueueProgress, SegmentFailure, type SharedProgress } from "./shared-progress.js";

/** Records between two publications: bounds how late a reader hears of a message under load. */
const BATCH_RECORDS = 1024;
/** Records between two writes of the index under load. */
const INDEX_RECORDS = 16384;

export class DispatchLoop {
  readonly #dispatcher: Dispatcher;
  readonly #maker: SegmentMaker;
  readonly #progress: SharedProgress;
  readonly #publish: (slot: number, maxOffset: number) => void;
  readonly #tell: () => void;
  #sinceIndex = 0;

  constructor(
    dispatcher: Dispatcher,
    maker: SegmentMaker,
    progress: SharedProgress,
    queueProgress: QueueProgress,
    tell: () => void,
  ) {
    this.#dispatcher = dispatcher;
    this.#maker = maker;
    this.#progress = progress;
    this.#tell = tell;
    this.#publish = (slot, maxOffset) => {
      queueProgress.setMaxOffset(slot, maxOffset);
      progress.putArrival(slot);
    };
  }

  /** Dispatches below `limit`. True when there was something to do and more may wait. After it threw for a full disk it can be called again. */
  step(limit: number = this.#progress.confirmed): boolean {
    // First of all: the appender may be waiting for it.
    const made = this.makeSegment();
    const count = this.#dispatcher.run(limit, BATCH_RECORDS);
    // The position moves without a record where a segment was ended by a blank.
    if (this.#dispatcher.position > this.#progress.dispatched || this.#dispatcher.queuesDirty) {
      this.#dispatcher.flushQueues(this.#publish);
      this.#progress.dispatched = this.#dispatcher.position;
      if (this.#progress.mustTell()) this.#tell();
      this.#sinceIndex += count;
      if (this.#sinceIndex >= INDEX_RECORDS) this.flushIndex();
    }
    return made || count > 0;
  }

  flushIndex(): void {
    this.#dispatcher.flushIndex();
    this.#sinceIndex = 0;
  }

  /** Makes at most one segment; true when one was wanted and is there now. Never throws. */
  makeSegment(): boolean {
    const progress = this.#progress;
    const wanted = progress.wantedEnd;
    if (this.#maker.readyEnd >= wanted || progress.segmentFailure !== SegmentFailure.NONE) return false;
    const made = this.#maker.makeNext(wanted);
    const failure = this.#maker.failure?.code;
    const code =
      failure === undefined
        ? SegmentFailure.NONE
        : failure === "COMETMQ_DISK_FULL"
          ? SegmentFailure.DISK_FULL
          : SegmentFailure.OTHER;
    progress.segmentMade(this.#maker.readyEnd, code);
    return made;
  }
}
