import { CometError } from "#src/base/errors.js";
import type { Segment } from "#src/io/disk.js";
import { MemoryDisk } from "#src/io/memory-disk.js";

/** A memory disk whose log is synced when the test says so, or not at all. */
export class HeldDisk extends MemoryDisk {
  held = false;
  readonly #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];

  override openSegment(path: string, baseOffset: number, sizeBytes: number): Segment {
    const segment = super.openSegment(path, baseOffset, sizeBytes);
    segment.sync = () =>
      this.held ? new Promise((resolve, reject) => this.#waiting.push({ resolve, reject })) : Promise.resolve();
    return segment;
  }

  get syncsUnderWay(): number {
    return this.#waiting.length;
  }

  /** Lets the syncs under way end well; later ones are held still. */
  letGo(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  fail(): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new CometError("COMETMQ_IO", "The disk is broken."));
  }
}
