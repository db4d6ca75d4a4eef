/**
 * Blocks of units that readers hold in memory: a fixed number for all readers of a thread, each lent to one reader
 * until another needs it more. So fifty thousand readers cost no more than those that read.
 */
import { UNIT_BYTES } from "./unit.js";

/** 8,160 bytes: one read of the system call's own cost brings several of a consumer's pulls. */
export const BLOCK_UNITS = 408;
const BLOCKS_MAX = 512;

export interface BlockOwner {
  /** The block now belongs to another reader. */
  loseBlock(): void;
}

export interface Block {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Queue offsets [start, end) are held; entries within never change. */
  start: number;
  end: number;
  owner: BlockOwner | undefined;
  /** Read since the hand last passed. */
  used: boolean;
}

export class BlockPool {
  readonly #blocks: Block[] = [];
  readonly #limit: number;
  #hand = 0;

  constructor(limit: number = BLOCKS_MAX) {
    this.#limit = Math.max(1, limit);
  }

  /** A block for `owner`: a free one, a new one, or one that went unused for a round. */
  lend(owner: BlockOwner): Block {
    const block = this.#find();
    block.owner?.loseBlock();
    block.owner = owner;
    block.start = 0;
    block.end = 0;
    block.used = true;
    return block;
  }

  giveBack(block: Block): void {
    block.owner = undefined;
    block.used = false;
  }

  #find(): Block {
    if (this.#blocks.length < this.#limit) {
      const bytes = Buffer.allocUnsafeSlow(BLOCK_UNITS * UNIT_BYTES);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const block: Block = { bytes, view, start: 0, end: 0, owner: undefined, used: false };
      this.#blocks.push(block);
      return block;
    }
    for (;;) {
      const block = this.#blocks[this.#hand]!;
      this.#hand = (this.#hand + 1) % this.#blocks.length;
      if (!block.used) return block;
      block.used = false;
    }
  }
}
