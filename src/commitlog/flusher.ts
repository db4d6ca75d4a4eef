/**
 * Makes the log durable: one fdatasync at a time over everything appended before it began, so that all who wait share
 * it (group commit). A sync that fails is never tried again over the same range, for the kernel has marked the pages
 * clean: the failure is kept and reported, and the store turns read-only.
 */
import type { Clock, Timer } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import { ioError } from "../io/system-error.js";
import type { CommitLog } from "./commit-log.js";

export interface FlusherOptions {
  log: CommitLog;
  clock: Clock;
  /** Longest time between an append and its sync with asynchronous flush. */
  intervalMs: number;
  flushedPosition: number;
  /** Called after each sync with what is durable now. */
  onFlushed: (flushedPosition: number, storeTimestamp: number) => void;
  onFailure: (error: CometError) => void;
}

export class Flusher {
  readonly #log: CommitLog;
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #onFlushed: FlusherOptions["onFlushed"];
  readonly #onFailure: FlusherOptions["onFailure"];
  #flushedPosition: number;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #wanted = false;
  #startedTo: number;
  #failure: CometError | undefined;

  constructor(options: FlusherOptions) {
    this.#log = options.log;
    this.#clock = options.clock;
    this.#intervalMs = options.intervalMs;
    this.#flushedPosition = options.flushedPosition;
    this.#startedTo = options.flushedPosition;
    this.#onFlushed = options.onFlushed;
    this.#onFailure = options.onFailure;
  }

  /** Every byte below is on the disk. */
  get flushedPosition(): number {
    return this.#flushedPosition;
  }

  /** What the sync under way, or else the last one, makes durable: whoever needs more waits for the next. */
  get startedTo(): number {
    return this.#startedTo;
  }

  get failure(): CometError | undefined {
    return this.#failure;
  }

  /** Something was appended: it will be synced within the interval. */
  schedule(): void {
    if (this.#timer !== undefined || this.#failure !== undefined) return;
    this.#timer = this.#clock.schedule(this.#intervalMs, () => {
      this.#timer = undefined;
      this.flushNow();
    });
  }

  /** Syncs at once, or right after the sync under way. `onFlushed` tells when. */
  flushNow(): void {
    if (this.#running !== undefined) {
      this.#wanted = true;
      return;
    }
    if (this.#failure !== undefined || this.#log.appendPosition === this.#flushedPosition) return;
    this.#running = this.#flush().finally(() => {
      this.#running = undefined;
      if (!this.#wanted) return;
      this.#wanted = false;
      this.flushNow();
    });
  }

  async #flush(): Promise<void> {
    const { segments } = this.#log;
    let target = this.#flushedPosition;
    let storeTimestamp: number;
    try {
      this.#log.publish();
      target = this.#log.appendPosition;
      this.#startedTo = target;
      storeTimestamp = this.#log.lastStoreTimestamp;
      for (let offset = this.#flushedPosition; offset < target; ) {
        const base = segments.baseOf(offset);
        await segments.at(offset)?.sync();
        offset = base + segments.segmentBytes;
      }
    } catch (error) {
      const isKnown = error instanceof CometError;
      this.#failure = isKnown ? error : ioError("sync", segments.pathOf(segments.baseOf(this.#flushedPosition)), error);
      this.#onFailure(this.#failure);
      return;
    }
    this.#flushedPosition = target;
    this.#onFlushed(target, storeTimestamp);
  }

  /** Resolves when everything appended so far is durable; rejects with the failure that prevents it. */
  async drain(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    while (this.#failure === undefined && this.#flushedPosition < this.#log.appendPosition) {
      this.flushNow();
      await this.#running;
    }
    if (this.#failure !== undefined) throw this.#failure;
  }
}
