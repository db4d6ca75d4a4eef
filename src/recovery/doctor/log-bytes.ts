/**
 * The bytes of one segment after another, read forwards in stretches into one buffer. What a file lacks of its length
 * reads as zeros, and so does what the device refuses to give, which is reported.
 */
import type { Disk, DiskFile } from "../../io/disk.js";
import type { LogFile } from "./log-files.js";

const STRETCH_BYTES = 1024 * 1024;
const BLOCK_BYTES = 4096;

export class LogBytes {
  bytes: Buffer = Buffer.allocUnsafeSlow(STRETCH_BYTES);
  view: DataView = new DataView(this.bytes.buffer, this.bytes.byteOffset, STRETCH_BYTES);
  /** Positions in the segment that are at hand; `bytes[0]` is that of `from`. */
  from = 0;
  to = 0;
  readonly #disk: Disk;
  readonly #segmentBytes: number;
  readonly #onUnreadable: (file: LogFile, position: number) => void;
  #file: LogFile | undefined;
  #handle: DiskFile | undefined;

  constructor(disk: Disk, segmentBytes: number, onUnreadable: (file: LogFile, position: number) => void) {
    this.#disk = disk;
    this.#segmentBytes = segmentBytes;
    this.#onUnreadable = onUnreadable;
  }

  /** Has `length` bytes from `position` of `file` on at hand, or all to the segment's end. Returns their index. */
  reach(file: LogFile, position: number, length: number): number {
    if (this.#file === file && position >= this.from && position + length <= this.to) return position - this.from;
    if (this.#file !== file) this.#open(file);
    const count = Math.min(Math.max(length, STRETCH_BYTES), this.#segmentBytes - position);
    if (this.bytes.length < count) {
      this.bytes = Buffer.allocUnsafeSlow(count);
      this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, count);
    }
    this.#read(file, position, count);
    this.from = position;
    this.to = position + count;
    return 0;
  }

  #open(file: LogFile): void {
    this.close();
    this.#handle = file.sizeBytes > 0 ? this.#disk.openFile(file.path, false) : undefined;
    this.#file = file;
  }

  #read(file: LogFile, position: number, count: number): void {
    let got = 0;
    try {
      got = this.#handle?.readAt(this.bytes, 0, count, position) ?? 0;
    } catch {
      got = count;
      for (let at = 0; at < count; at += BLOCK_BYTES) this.#readBlock(file, at, position, count);
    }
    this.bytes.fill(0, got, count);
  }

  #readBlock(file: LogFile, at: number, position: number, count: number): void {
    const length = Math.min(BLOCK_BYTES, count - at);
    this.bytes.fill(0, at, at + length);
    try {
      this.#handle!.readAt(this.bytes, at, length, position + at);
    } catch {
      this.#onUnreadable(file, position + at);
    }
  }

  close(): void {
    this.#handle?.close();
    this.#handle = undefined;
    this.#file = undefined;
    this.from = 0;
    this.to = 0;
  }
}
