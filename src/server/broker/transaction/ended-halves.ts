/**
 * How half messages have ended, by their offsets in the half queue: a byte for each, in blocks that exist only where
 * something has ended. Kept from some way behind the point that every half message before is done with, so that an end
 * that comes twice, or late for a message that was put back since, is known for what it is.
 */

export const HalfState = {
  /** Not ended, or so long ago that it is forgotten. */
  OPEN: 0,
  COMMITTED: 1,
  ROLLED_BACK: 2,
  /** Known from an op record, which does not say how. */
  ENDED: 3,
} as const;
export type HalfState = (typeof HalfState)[keyof typeof HalfState];

const BLOCK = 65536;
/** Blocks behind the done point: a million half messages. */
const BLOCKS_BEHIND = 16;

export class EndedHalves {
  readonly #blocks = new Map<number, Uint8Array>();
  #firstBlock = 0;

  /** Forgets what lies far behind `halfOffset`, before which everything is done. */
  trim(halfOffset: number): void {
    const first = Math.floor(halfOffset / BLOCK) - BLOCKS_BEHIND;
    if (first <= this.#firstBlock) return;
    this.#firstBlock = first;
    for (const block of this.#blocks.keys()) if (block < first) this.#blocks.delete(block);
  }

  get(halfOffset: number): HalfState {
    const block = this.#blocks.get(Math.floor(halfOffset / BLOCK));
    return block === undefined ? HalfState.OPEN : (block[halfOffset % BLOCK] as HalfState);
  }

  /** The first word stands. */
  mark(halfOffset: number, state: HalfState): void {
    const index = Math.floor(halfOffset / BLOCK);
    if (index < this.#firstBlock) return;
    let block = this.#blocks.get(index);
    if (block === undefined) {
      block = new Uint8Array(BLOCK);
      this.#blocks.set(index, block);
    }
    if (block[halfOffset % BLOCK] === HalfState.OPEN) block[halfOffset % BLOCK] = state;
  }
}
