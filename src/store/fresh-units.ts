/** Units of a queue's last messages, which dispatch has not written yet: queue-units.ts keeps and reads them. */

/** Kept of a queue; a power of two. */
export const FRESH_UNITS_MAX = 16;

/** Those of the offsets from `first` to `end`, each in the ring at the place of its offset. */
export class FreshUnits {
  first = 0;
  end = 0;
  readonly phyOffset = new Float64Array(FRESH_UNITS_MAX);
  readonly sizeBytes = new Int32Array(FRESH_UNITS_MAX);
  readonly tagsHash = new Int32Array(FRESH_UNITS_MAX);
}
