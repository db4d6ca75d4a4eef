/**
 * Keeps the pages just ahead of the append position in the page cache, so that the appending thread never waits for
 * memory: all that is left of a page fault is that the first write maps the page and makes it dirty. How far ahead follows
 * the rate: an idle log warms a little, a busy one up to the bound.
 */
import type { Clock } from "../base/clock.js";
import type { Segment } from "../io/disk.js";

const STEP_BYTES_MIN = 256 * 1024;
const STEP_BYTES_MAX = 64 * 1024 * 1024;
/** A step that lasted less than this was too small; one that lasted sixteen times as long, too large. */
const STEP_MS = 60;

export class Warmer {
  readonly #clock: Clock;
  #stepBytes = STEP_BYTES_MIN;
  #warmedTo = 0;
  #steppedAtMs = 0;
  /** Position in the segment at which the next step is due. */
  nextPosition = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins anew in `segment`, whose next byte to be written is at `position`. */
  restart(segment: Segment, position: number): void {
    this.#warmedTo = position;
    this.advance(segment, position);
  }

  /** Warms the next step; appending has come to `position`. */
  advance(segment: Segment, position: number): void {
    const now = this.#clock.monotonicMs();
    const lasted = now - this.#steppedAtMs;
    this.#steppedAtMs = now;
    if (lasted < STEP_MS) this.#stepBytes = Math.min(STEP_BYTES_MAX, this.#stepBytes * 2);
    else if (lasted > STEP_MS * 16) this.#stepBytes = Math.max(STEP_BYTES_MIN, this.#stepBytes / 2);
    const from = Math.max(position, this.#warmedTo);
    const to = Math.min(segment.sizeBytes, position + 2 * this.#stepBytes);
    if (to > from) segment.warm(from, to);
    this.#warmedTo = Math.max(from, to);
    this.nextPosition = to >= segment.sizeBytes ? segment.sizeBytes : position + this.#stepBytes;
  }
}
