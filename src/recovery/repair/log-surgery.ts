/**
 * Changes to the files of the log, each in the same order: what is going to be overwritten is copied to lost+found and
 * synced, then overwritten and synced. So at no moment are bytes only in memory, and doing it twice does no harm.
 */
import { segmentName } from "../../commitlog/segment-queue.js";
import type { Disk } from "../../io/disk.js";
import { MAGIC_BLANK, MAGIC_POSITION } from "../../record/layout.js";
import { encodeFiller, fillerLengths } from "../quarantine.js";

const CHUNK_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(CHUNK_BYTES);
const BLANK_HEAD_BYTES = 8;

export class LogSurgery {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #lost: string;

  /** `lost` is where copies go; it is made when the first one is. */
  constructor(disk: Disk, directory: string, segmentBytes: number, lost: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#lost = lost;
  }

  #pathOf(phyOffset: number): string {
    return `${this.#directory}/${segmentName(phyOffset - (phyOffset % this.#segmentBytes))}`;
  }

  fill(phyOffset: number, lengthBytes: number, storeTimestamp: number, propertyCrc: boolean): void {
    this.#keep(this.#pathOf(phyOffset), phyOffset % this.#segmentBytes, lengthBytes, phyOffset);
    this.#write(this.#pathOf(phyOffset), (file) => {
      let at = phyOffset;
      for (const length of fillerLengths(lengthBytes, propertyCrc)) {
        const damaged = Buffer.alloc(length);
        file.readAt(damaged, 0, length, at % this.#segmentBytes);
        file.writeAt(encodeFiller(damaged, at, storeTimestamp, propertyCrc), 0, length, at % this.#segmentBytes);
        at += length;
      }
    });
  }

  blank(phyOffset: number, lengthBytes: number): void {
    this.#keep(this.#pathOf(phyOffset), phyOffset % this.#segmentBytes, lengthBytes, phyOffset);
    this.#write(this.#pathOf(phyOffset), (file) => {
      file.writeAt(blankHead(lengthBytes), 0, BLANK_HEAD_BYTES, phyOffset % this.#segmentBytes);
    });
  }

  zero(phyOffset: number, lengthBytes: number): void {
    this.#keep(this.#pathOf(phyOffset), phyOffset % this.#segmentBytes, lengthBytes, phyOffset);
    this.#write(this.#pathOf(phyOffset), (file) => {
      for (let done = 0; done < lengthBytes; done += CHUNK_BYTES) {
        const count = Math.min(CHUNK_BYTES, lengthBytes - done);
        file.writeAt(ZEROS, 0, count, (phyOffset % this.#segmentBytes) + done);
      }
    });
  }

  /** Cuts or lengthens a file to the segment size. */
  resize(phyOffset: number): void {
    const path = this.#pathOf(phyOffset);
    const excess = this.#disk.sizeOf(path) - this.#segmentBytes;
    if (excess > 0) this.#keep(path, this.#segmentBytes, excess, phyOffset + this.#segmentBytes);
    this.#write(path, (file) => file.truncate(this.#segmentBytes));
  }

  /** Files of nothing but a blank for [from, from + lengthBytes); they take no room on the disk. */
  makeBlankSegments(from: number, lengthBytes: number): void {
    for (let base = from; base < from + lengthBytes; base += this.#segmentBytes) {
      const file = this.#disk.openFile(this.#pathOf(base), true);
      try {
        file.truncate(this.#segmentBytes);
        file.writeAt(blankHead(this.#segmentBytes), 0, BLANK_HEAD_BYTES, 0);
        file.syncNow();
      } finally {
        file.close();
      }
    }
  }

  /** The copy is named by the log offset of its first byte, and its length. */
  #keep(path: string, position: number, lengthBytes: number, phyOffset: number): void {
    const directory = `${this.#lost}/commitlog`;
    this.#disk.makeDirectory(directory);
    const copyPath = `${directory}/${segmentName(phyOffset)}-${lengthBytes}`;
    const source = this.#disk.openFile(path, false);
    const copy = this.#disk.openFile(copyPath, true);
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, lengthBytes));
    try {
      for (let done = 0; done < lengthBytes; done += chunk.length) {
        const count = Math.min(chunk.length, lengthBytes - done);
        chunk.fill(0);
        source.readAt(chunk, 0, count, position + done);
        copy.writeAt(chunk, 0, count, done);
      }
      copy.syncNow();
    } finally {
      source.close();
      copy.close();
    }
  }

  #write(path: string, change: (file: ReturnType<Disk["openFile"]>) => void): void {
    const file = this.#disk.openFile(path, false);
    try {
      change(file);
      file.syncNow();
    } finally {
      file.close();
    }
  }
}

function blankHead(lengthBytes: number): Buffer {
  const head = Buffer.alloc(BLANK_HEAD_BYTES);
  head.writeInt32BE(lengthBytes, 0);
  head.writeInt32BE(MAGIC_BLANK, MAGIC_POSITION);
  return head;
}
