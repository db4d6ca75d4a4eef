/**
 * One step of dispatch, shared by the worker's endless loop and the inline driver: dispatch a batch, publish what grew,
 * make a segment if one is wanted, write the index when there is a pause or somebody waits for it.
 */
import type { SegmentMaker } from "../commitlog/segment-source.js";
import type { Dispatcher } from "./dispatcher.js";
import { type QueueProgress, SegmentFailure, type SharedProgress } from "./shared-progress.js";

/** Records between two publications: bounds how late a reader hears of a message under load. */
const BATCH_RECORDS = 1024;
/**
 * Under load over many queues a write for each record would cost more than all the rest: then units are held back until
 * a queue has so many on average, or so many records have passed. Who lags behind does not make anybody wait by that.
 */
const UNITS_A_WRITE = 24;
/** The same while somebody waits for messages: then they come sooner, at the price of more writes. */
const UNITS_A_WRITE_AWAITED = 8;
const HELD_RECORDS_MAX = 262_144;
/** Records between two writes of the index under load. */
const INDEX_RECORDS = 16384;

export class DispatchLoop {
  readonly #dispatcher: Dispatcher;
  readonly #maker: SegmentMaker;
  readonly #progress: SharedProgress;
  readonly #publish: (slot: number, maxOffset: number) => void;
  readonly #tell: () => void;
  #sinceIndex = 0;
  /** Records dispatched since units were written. */
  #heldRecords = 0;

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
      // Tens of thousands of queues, each with a file to be made, can take minutes on a busy machine: no thread that spins.
      progress.turnEnded();
    };
  }

  /**
   * Dispatches below `limit`. True when there was something to do and more may wait. After it threw for a full disk it
   * can be called again. With `mayHold` what was dispatched may not be published yet; a call without it does that.
   */
  step(limit: number = this.#progress.confirmed, mayHold = false): boolean {
    // First of all: the appender may be waiting for it.
    const made = this.makeSegment();
    const count = this.#dispatcher.run(limit, BATCH_RECORDS);
    this.#heldRecords += count;
    if (mayHold && count === BATCH_RECORDS && this.#isWorthHolding()) return true;
    // The position moves without a record where a segment was ended by a blank.
    if (this.#dispatcher.position > this.#progress.dispatched || this.#dispatcher.queuesDirty) {
      this.#dispatcher.flushQueues(this.#publish);
      this.#progress.dispatched = this.#dispatcher.position;
      if (this.#progress.mustTell()) this.#tell();
      this.#sinceIndex += this.#heldRecords;
      this.#heldRecords = 0;
      if (this.#sinceIndex >= INDEX_RECORDS) this.flushIndex();
    }
    if (this.#isIndexOwed()) this.flushIndex();
    return made || count > 0;
  }

  #isWorthHolding(): boolean {
    const units = this.#progress.isAwaited ? UNITS_A_WRITE_AWAITED : UNITS_A_WRITE;
    const wanted = Math.min(HELD_RECORDS_MAX, this.#dispatcher.dirtyCount * units);
    return this.#heldRecords < wanted;
  }

  flushIndex(): void {
    const isOwed = this.#isIndexOwed();
    this.#dispatcher.flushIndex();
    this.#sinceIndex = 0;
    this.#progress.indexed = this.#dispatcher.position;
    if (isOwed && this.#progress.mustTell()) this.#tell();
  }

  /** Somebody waits for the index to hold what is dispatched by now. */
  #isIndexOwed(): boolean {
    const { indexed, indexWanted } = this.#progress;
    return indexed < indexWanted && indexWanted <= this.#dispatcher.position;
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
