/**
 * One index file: where in the commit log the messages of a key lie. Written by the dispatch thread through IndexWriter,
 * read by any thread. The bytes are Apache's (store/index/IndexFile, IndexHeader), everything big-endian:
 *
 *   header, 40    begin and end store timestamp 8 + 8, begin and end log offset 8 + 8, used slots 4, index count 4
 *   slots         maxHashSlotNum x 4: number of the slot's newest entry, 0 for none
 *   entries       maxIndexNum x 20: key hash 4, log offset 8, seconds since the begin timestamp 4, older entry of the slot 4
 *
 * Entry 0 is never used, so the index count begins at 1 and a file holds maxIndexNum - 1 entries. An entry only ever
 * points at one with a smaller number: whoever follows a chain and insists on that is sure to come to its end.
 * With Apache's sizes a file has 420 MB, nearly all of it a hole: only what is written occupies the disk.
 */
import { CometError } from "../base/errors.js";
import { readInt64, writeInt64 } from "../base/int64.js";
import type { Disk, DiskFile } from "../io/disk.js";

export const INDEX_HEADER_BYTES = 40;
export const INDEX_SLOT_BYTES = 4;
export const INDEX_ENTRY_BYTES = 20;

/** Positions inside an entry. */
export const ENTRY_PHY_OFFSET = 4;
export const ENTRY_TIME_DIFF = 12;
export const ENTRY_PREVIOUS = 16;

const INT32_MAX = 0x7fffffff;

/** Under Apache's option names. A file's length does not tell one from the other, so they are never guessed. */
export interface IndexSizes {
  readonly maxHashSlotNum: number;
  readonly maxIndexNum: number;
}

export const DEFAULT_INDEX_SIZES: IndexSizes = { maxHashSlotNum: 5_000_000, maxIndexNum: 20_000_000 };

/** What is wrong with a file of the index directory; nothing is changed by finding it. */
export interface IndexProblem {
  readonly path: string;
  readonly kind: "foreign" | "empty" | "size" | "header" | "slot" | "entry";
  readonly detail: string;
}

/** Length of a file of these sizes; COMETMQ_CONFIG when they make no file that Apache could open. */
export function indexFileBytes(sizes: IndexSizes): number {
  const { maxHashSlotNum, maxIndexNum } = sizes;
  const bytes = entryPosition(sizes, maxIndexNum);
  if (!Number.isInteger(maxHashSlotNum) || maxHashSlotNum < 1) {
    throw new CometError("COMETMQ_CONFIG", `maxHashSlotNum is ${maxHashSlotNum}, it must be at least 1.`);
  }
  if (!Number.isInteger(maxIndexNum) || maxIndexNum < 2) {
    throw new CometError("COMETMQ_CONFIG", `maxIndexNum is ${maxIndexNum}, it must be at least 2.`);
  }
  if (bytes > INT32_MAX) {
    throw new CometError(
      "COMETMQ_CONFIG",
      `maxHashSlotNum and maxIndexNum make an index file of ${bytes} bytes (2^31-1 at most).`,
    );
  }
  return bytes;
}

export function slotPosition(slot: number): number {
  return INDEX_HEADER_BYTES + slot * INDEX_SLOT_BYTES;
}

export function entryPosition(sizes: IndexSizes, entryNumber: number): number {
  return INDEX_HEADER_BYTES + sizes.maxHashSlotNum * INDEX_SLOT_BYTES + entryNumber * INDEX_ENTRY_BYTES;
}

/** The first 40 bytes as numbers. Only the owner of the file changes them. */
export class IndexHeader {
  beginTimestamp = 0;
  endTimestamp = 0;
  beginPhyOffset = 0;
  endPhyOffset = 0;
  hashSlotCount = 0;
  /** Number of the next entry: never below 1. */
  indexCount = 1;
}

/**
 * Fills `header` from 40 bytes. Returns what is implausible about them, or the empty string; the index count is brought
 * into 1..maxIndexNum in any case, so that no reader leaves the file.
 */
export function decodeHeader(view: DataView, sizes: IndexSizes, header: IndexHeader): string {
  header.beginTimestamp = readInt64(view, 0);
  header.endTimestamp = readInt64(view, 8);
  header.beginPhyOffset = readInt64(view, 16);
  header.endPhyOffset = readInt64(view, 24);
  header.hashSlotCount = view.getInt32(32);
  const indexCount = view.getInt32(36);
  // A file that was made and never written to has 0 here.
  header.indexCount = indexCount <= 0 ? 1 : Math.min(indexCount, sizes.maxIndexNum);
  if (indexCount < 0 || indexCount > sizes.maxIndexNum)
    return `index count ${indexCount} of at most ${sizes.maxIndexNum}`;
  if (!ordered(header.beginPhyOffset, header.endPhyOffset)) {
    return `log offsets ${header.beginPhyOffset} to ${header.endPhyOffset}`;
  }
  if (!isPlausibleTime(header.beginTimestamp) || !isPlausibleTime(header.endTimestamp)) {
    return `timestamps ${header.beginTimestamp} to ${header.endTimestamp}`;
  }
  const usedMax = Math.min(sizes.maxHashSlotNum, header.indexCount - 1);
  if (header.hashSlotCount < 0 || header.hashSlotCount > usedMax) return `${header.hashSlotCount} used slots`;
  return "";
}

/** A time that seconds can be counted from. */
export function isPlausibleTime(timestamp: number): boolean {
  return timestamp >= 0 && Number.isSafeInteger(timestamp);
}

function ordered(beginPhyOffset: number, endPhyOffset: number): boolean {
  return beginPhyOffset >= 0 && beginPhyOffset <= endPhyOffset && Number.isSafeInteger(endPhyOffset);
}

export function encodeHeader(view: DataView, header: IndexHeader): void {
  writeInt64(view, 0, header.beginTimestamp);
  writeInt64(view, 8, header.endTimestamp);
  writeInt64(view, 16, header.beginPhyOffset);
  writeInt64(view, 24, header.endPhyOffset);
  view.setInt32(32, header.hashSlotCount);
  view.setInt32(36, header.indexCount);
}

/** A file of the directory with its header; the handle is opened when it is first needed. */
export class IndexFile {
  readonly name: string;
  readonly path: string;
  readonly sizes: IndexSizes;
  readonly header = new IndexHeader();
  readonly #disk: Disk;
  #handle: DiskFile | undefined;
  #pendingSync: Promise<void> | undefined;

  constructor(disk: Disk, directory: string, name: string, sizes: IndexSizes) {
    this.#disk = disk;
    this.name = name;
    this.path = `${directory}/${name}`;
    this.sizes = sizes;
  }

  get handle(): DiskFile {
    this.#handle ??= this.#disk.openFile(this.path, false);
    return this.#handle;
  }

  get isFull(): boolean {
    return this.header.indexCount >= this.sizes.maxIndexNum;
  }

  /** Reads the header; returns what is implausible about it, or the empty string. */
  load(): string {
    const bytes = new Uint8Array(INDEX_HEADER_BYTES);
    this.handle.readAt(bytes, 0, INDEX_HEADER_BYTES, 0);
    return decodeHeader(new DataView(bytes.buffer), this.sizes, this.header);
  }

  /** Makes the file: a hole of the full length, and a header that goes on from the full file before it. */
  create(before: IndexHeader | undefined): void {
    const bytes = indexFileBytes(this.sizes);
    const handle = this.#disk.openFile(this.path, true);
    try {
      handle.truncate(bytes);
      this.#handle = handle;
      if (before !== undefined) {
        this.header.beginTimestamp = this.header.endTimestamp = before.endTimestamp;
        this.header.beginPhyOffset = this.header.endPhyOffset = before.endPhyOffset;
      }
      this.writeHeader();
    } catch (error) {
      this.#handle = undefined;
      handle.close();
      this.#disk.remove(this.path);
      throw error;
    }
  }

  writeHeader(): void {
    const bytes = new Uint8Array(INDEX_HEADER_BYTES);
    encodeHeader(new DataView(bytes.buffer), this.header);
    this.handle.writeAt(bytes, 0, INDEX_HEADER_BYTES, 0);
  }

  /** fdatasync on a pool thread. */
  sync(): Promise<void> {
    const pending = this.handle.sync().finally(() => {
      if (this.#pendingSync === pending) this.#pendingSync = undefined;
    });
    this.#pendingSync = pending;
    return pending;
  }

  /** The handle goes when a sync under way has ended, for its number may be given to another file at once. */
  close(): void {
    const handle = this.#handle;
    const pending = this.#pendingSync;
    this.#handle = this.#pendingSync = undefined;
    if (handle === undefined) return;
    if (pending === undefined) handle.close();
    else pending.catch(() => {}).finally(() => handle.close());
  }

  remove(): void {
    this.close();
    this.#disk.remove(this.path);
  }
}

/** Whether Apache or we can have given this name: `yyyyMMddHHmmssSSS`, 17 digits of a year before 9000. */
export function isIndexFileName(name: string): boolean {
  return /^[0-8]\d{16}$/.test(name);
}

/** The name of a file made at `nowMs` (local time); always after `lastName`, for files are ordered by name alone. */
export function indexFileName(nowMs: number, lastName: string): string {
  const at = new Date(nowMs);
  const digits = (value: number, count: number) => String(value).padStart(count, "0");
  const name =
    digits(at.getFullYear(), 4) +
    digits(at.getMonth() + 1, 2) +
    digits(at.getDate(), 2) +
    digits(at.getHours(), 2) +
    digits(at.getMinutes(), 2) +
    digits(at.getSeconds(), 2) +
    digits(at.getMilliseconds(), 3);
  return name > lastName ? name : nextName(lastName);
}

/** One more, as a decimal number: the clock went back, or two files were made within a millisecond. */
function nextName(name: string): string {
  const nines = /9*$/.exec(name)![0].length;
  const at = name.length - nines - 1;
  return name.slice(0, at) + String(Number(name[at]) + 1) + "0".repeat(nines);
}
