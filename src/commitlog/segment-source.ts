/**
 * Where the appender gets its next segment from. Segments are made ahead of need by another thread; the appender asks
 * early, and only if it has outrun the maker does it wait (as Apache's AllocateMappedFileService lets it), never longer
 * than the bound it gives.
 */
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";
import { segmentName } from "./segment-queue.js";

export interface SegmentSource {
  /** Has segments made until the log's files reach `endOffset`; returns at once. */
  request(endOffset: number): void;
  /** True once files reach `endOffset`; waits up to `timeoutMs` for it. */
  waitFor(endOffset: number, timeoutMs: number): boolean;
  /** Why the last creation failed; undefined while all is well. */
  readonly failure: CometError | undefined;
}

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
}

/** For stores without threads: the file is made when it is asked for. */
export class InlineSegmentSource implements SegmentSource {
  readonly #maker: SegmentMaker;

  constructor(maker: SegmentMaker) {
    this.#maker = maker;
  }

  get failure(): CometError | undefined {
    return this.#maker.failure;
  }

  request(endOffset: number): void {
    while (this.#maker.makeNext(endOffset)) {}
  }

  waitFor(endOffset: number): boolean {
    this.request(endOffset);
    return this.#maker.readyEnd >= endOffset;
  }
}
