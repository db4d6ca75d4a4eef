/** Handles on the files of an OverlayDisk: they read through to the disk below and write into memory. */
import { assert } from "../base/assert.js";
import type { Disk, DiskFile, Segment } from "./disk.js";
import type { BelowBytes, OverlayContent } from "./overlay-content.js";

export class OverlayFile implements DiskFile, BelowBytes {
  readonly path: string;
  readonly #content: OverlayContent;
  readonly #disk: Disk;
  readonly #onClose: () => void;
  #below: DiskFile | undefined;
  #isOpen = true;

  constructor(path: string, content: OverlayContent, disk: Disk, onClose: () => void) {
    this.path = path;
    this.#content = content;
    this.#disk = disk;
    this.#onClose = onClose;
  }

  readInto(target: Uint8Array, start: number, length: number, position: number): void {
    this.#below ??= this.#disk.openFile(this.#content.belowPath!, false, true);
    const got = this.#below.readAt(target, start, length, position);
    target.fill(0, start + got, start + length);
  }

  readAt(target: Uint8Array, start: number, length: number, position: number): number {
    return this.#content.read(this, target, start, length, position);
  }

  writeAt(source: Uint8Array, start: number, length: number, position: number): void {
    this.#content.write(this, source, start, length, position);
  }

  sizeBytes(): number {
    return this.#content.sizeBytes;
  }

  truncate(sizeBytes: number): void {
    this.#content.truncate(sizeBytes);
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  syncNow(): void {}

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#below?.close();
    this.#onClose();
  }
}

/** What was not changed is read as the disk below reads it: as a view where that maps the file. */
export class OverlaySegment implements Segment, BelowBytes {
  readonly path: string;
  readonly baseOffset: number;
  readonly sizeBytes: number;
  readonly whole = undefined;
  readonly #content: OverlayContent;
  readonly #disk: Disk;
  readonly #onClose: () => void;
  #below: Segment | undefined;
  #isOpen = true;

  constructor(path: string, baseOffset: number, content: OverlayContent, disk: Disk, onClose: () => void) {
    this.path = path;
    this.baseOffset = baseOffset;
    this.sizeBytes = content.sizeBytes;
    this.#content = content;
    this.#disk = disk;
    this.#onClose = onClose;
  }

  #belowSegment(): Segment {
    const { belowPath } = this.#content;
    this.#below ??= this.#disk.openSegment(belowPath!, this.baseOffset, this.#disk.sizeOf(belowPath!), false);
    return this.#below;
  }

  readInto(target: Uint8Array, start: number, length: number, position: number): void {
    target.set(this.#belowSegment().read(position, length), start);
  }

  write(source: Uint8Array, start: number, length: number, position: number): void {
    assert(position >= 0 && length >= 0 && position + length <= this.sizeBytes, "written within the segment");
    this.#content.write(this, source, start, length, position);
  }

  read(position: number, length: number): Buffer {
    assert(position >= 0 && length >= 0 && position + length <= this.sizeBytes, "read within the segment");
    if (length > 0 && this.#content.isBelow(position, length)) return this.#belowSegment().read(position, length);
    const bytes = Buffer.allocUnsafe(length);
    this.#content.read(this, bytes, 0, length, position);
    return bytes;
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  syncNow(): void {}

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#below?.close();
    this.#onClose();
  }
}
