/**
 * Where the appender gets its next segment from. Segments are made ahead of need by another thread; the appender asks
 * early, and only if it has outrun the maker does it wait (as Apache's AllocateMappedFileService lets it), never longer
 * than the bound it gives.
 */
import type { Clock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";
import { segmentName } from "./segment-queue.js";

export interface SegmentSource {
  /** Log offset that files reach. */
  readonly readyEnd: number;
  /** Has segments made until the log's files reach `endOffset`; returns at once. */
  request(endOffset: number): void;
  /** True once files reach `endOffset`; waits up to `timeoutMs` for it. */
  waitFor(endOffset: number, timeoutMs: number): boolean;
  /** Why the last creation failed; undefined while all is well. */
  readonly failure: CometError | undefined;
}

/** After a failed attempt (a full disk), the next is made when this has passed. */
export const RETRY_MS = 1000;
/** Part of a segment that must be free besides it: units and index entries of its records, at 640 bytes a record. */
const DISPATCH_SHARE = 1 / 8;

/** Makes the files in `directory` from `readyEnd` up to `wantedEnd`; the work of whoever makes segments. */
export class SegmentMaker {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readyEnd: number;
  failure: CometError | undefined;

  constructor(disk: Disk, directory: string, segmentBytes: number, readyEnd: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.readyEnd = readyEnd;
  }

  /** Makes at most one segment; true when there was one to make and it is there now. */
  makeNext(wantedEnd: number): boolean {
    if (this.readyEnd >= wantedEnd) return false;
    try {
      this.#checkSpace();
      this.#disk.createSegment(`${this.#directory}/${segmentName(this.readyEnd)}`, this.#segmentBytes);
      this.readyEnd += this.#segmentBytes;
      this.failure = undefined;
      return true;
    } catch (error) {
      this.failure =
        error instanceof CometError
          ? error
          : new CometError("COMETMQ_IO", "A segment could not be made.", { cause: error });
      return false;
    }
  }

  /** The attempt itself would take the last block from under others, and what is in the log could not be dispatched. */
  #checkSpace(): void {
    const { freeBytes } = this.#disk.space(this.#directory);
    if (freeBytes >= this.#segmentBytes * (1 + DISPATCH_SHARE)) return;
    throw new CometError("COMETMQ_DISK_FULL", `${this.#directory} has ${freeBytes} bytes left, too few for a segment.`);
  }
}

/** For stores without threads: the file is made when it is asked for. */
export class InlineSegmentSource implements SegmentSource {
  readonly #maker: SegmentMaker;
  readonly #clock: Clock;
  #retryAtMs = 0;

  constructor(maker: SegmentMaker, clock: Clock) {
    this.#maker = maker;
    this.#clock = clock;
  }

  get readyEnd(): number {
    return this.#maker.readyEnd;
  }

  get failure(): CometError | undefined {
    return this.#maker.failure;
  }

  request(endOffset: number): void {
    if (this.#maker.readyEnd >= endOffset) return;
    const isFull = this.#maker.failure?.code === "COMETMQ_DISK_FULL";
    if (isFull && this.#clock.monotonicMs() < this.#retryAtMs) return;
    while (this.#maker.makeNext(endOffset)) {}
    this.#retryAtMs = this.#clock.monotonicMs() + RETRY_MS;
  }

  waitFor(endOffset: number): boolean {
    this.request(endOffset);
    return this.#maker.readyEnd >= endOffset;
  }
}
