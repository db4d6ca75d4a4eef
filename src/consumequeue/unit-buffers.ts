/**
 * Buffers for units that wait to be written, lent to queues and taken back: thousands of idle queues hold none, and a
 * busy one grows through three sizes. One pool per thread.
 */
const SIZES_BYTES = [512, 4096, 32768] as const;
/** Free buffers kept of each size: some 11 MiB in all. */
const KEPT = [16384, 512, 32] as const;

export interface UnitBuffer {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Which of the sizes this is. */
  readonly rank: number;
  usedBytes: number;
}

export class UnitBuffers {
  readonly #free: UnitBuffer[][] = SIZES_BYTES.map(() => []);

  /** An empty buffer of the smallest size. */
  take(): UnitBuffer {
    return this.#take(0);
  }

  /** The next larger one with the same content, or undefined when there is none; `full` is taken back. */
  grow(full: UnitBuffer): UnitBuffer | undefined {
    if (full.rank === SIZES_BYTES.length - 1) return undefined;
    const larger = this.#take(full.rank + 1);
    full.bytes.copy(larger.bytes, 0, 0, full.usedBytes);
    larger.usedBytes = full.usedBytes;
    this.give(full);
    return larger;
  }

  give(buffer: UnitBuffer): void {
    const free = this.#free[buffer.rank]!;
    buffer.usedBytes = 0;
    if (free.length < KEPT[buffer.rank]!) free.push(buffer);
  }

  #take(rank: number): UnitBuffer {
    const free = this.#free[rank]!.pop();
    if (free !== undefined) return free;
    const bytes = Buffer.allocUnsafeSlow(SIZES_BYTES[rank]!);
    return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), rank, usedBytes: 0 };
  }
}
