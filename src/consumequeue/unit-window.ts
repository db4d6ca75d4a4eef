/** Units of one queue read many at a time, for a caller that looks at one after the other: recovery, which holds all to the log. */
import type { QueueFiles } from "./queue-files.js";
import { UNIT_BYTES } from "./unit.js";

const WINDOW_BYTES = 200 * UNIT_BYTES;

export class UnitWindow {
  readonly #files: QueueFiles;
  readonly #bytes = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  readonly view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, WINDOW_BYTES);
  #start = 0;
  #length = 0;

  constructor(files: QueueFiles) {
    this.#files = files;
  }

  /** Where in `view` the unit at `position` lies, which is before the files' end; -1 where it cannot be read. */
  reach(position: number): number {
    const at = position - this.#start;
    if (at >= 0 && at < this.#length) return at;
    // What lies behind the end may be written any time.
    const wanted = Math.min(WINDOW_BYTES, this.#files.endBytes - position);
    const got = this.#files.read(this.#bytes, 0, wanted, position);
    this.#start = position;
    this.#length = got - (got % UNIT_BYTES);
    return this.#length > 0 ? 0 : -1;
  }

  /** Units before the end are no longer as they were. */
  forget(): void {
    this.#length = 0;
  }
}
