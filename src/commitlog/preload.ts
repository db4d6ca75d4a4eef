/**
 * Has segments that were made ahead of need read into the page cache, whole, one after the other, on pool threads
 * (warmMapedFileEnable). Memory for a page that was never touched has to be found, on a virtual machine often by the
 * host; so it is paid for before anybody waits. Only a hint: under pressure the kernel takes the pages back.
 */
import type { Disk } from "../io/disk.js";
import type { SegmentQueue } from "./segment-queue.js";
import type { SegmentSource } from "./segment-source.js";

export class SegmentPreload {
  readonly #disk: Disk;
  readonly #segments: SegmentQueue;
  readonly #source: SegmentSource;
  #loadedTo: number;
  #loading: Promise<void> | undefined;

  /** Begins with the segment of `appendPosition`. */
  constructor(disk: Disk, segments: SegmentQueue, source: SegmentSource, appendPosition: number) {
    this.#disk = disk;
    this.#segments = segments;
    this.#source = source;
    this.#loadedTo = segments.baseOf(appendPosition);
  }

  /** Segments may have been made since the last call. Returns at once. */
  advance(): void {
    if (this.#loading !== undefined || this.#disk.preload === undefined) return;
    if (this.#loadedTo >= this.#source.readyEnd) return;
    const path = this.#segments.pathOf(this.#loadedTo);
    this.#loadedTo += this.#segments.segmentBytes;
    this.#loading = this.#disk.preload(path).finally(() => {
      this.#loading = undefined;
      this.advance();
    });
  }

  /** Resolves when all that was made so far is loaded. */
  async loaded(): Promise<void> {
    this.advance();
    while (this.#loading !== undefined) await this.#loading;
  }
}
