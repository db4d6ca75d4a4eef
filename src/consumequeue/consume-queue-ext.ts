/**
 * The extended queue, which a store written with `enableConsumeQueueExt` keeps beside a consume queue: a tags code that
 * is an address points here. Read only; CometMQ writes none (store/ConsumeQueueExt). A unit, big-endian:
 *
 *   size: i16 (20 + bitmap)   tagsCode: i64   storeTimestamp: i64   bitmapLength: i16   bitmap
 *
 * Address = offset in the files - 2^63. A file's rest that is too short for a unit begins with the i16 -1.
 */
import { readInt64 } from "../base/int64.js";
import type { FileCache } from "./file-cache.js";
import { queueFileName } from "./queue-files.js";
import { isExtAddress } from "./unit.js";

/** Default length of a file (mappedFileSizeConsumeQueueExt). */
export const CONSUME_QUEUE_EXT_FILE_BYTES = 48 * 1024 * 1024;

const HEAD_BYTES = 20;
const TWO_32 = 4294967296;

/** Filled by `get`; callers reuse one. */
export interface ExtUnit {
  sizeBytes: number;
  tagsCodeHigh: number;
  tagsCodeLow: number;
  storeTimestamp: number;
  bitmap: Buffer | undefined;
}

export function emptyExtUnit(): ExtUnit {
  return { sizeBytes: 0, tagsCodeHigh: 0, tagsCodeLow: 0, storeTimestamp: 0, bitmap: undefined };
}

/** The file offset an address stands for; exact below 2^53, and no file is larger. */
export function extPosition(addressHigh: number, addressLow: number): number {
  return ((addressHigh ^ 0x80000000) >>> 0) * TWO_32 + (addressLow >>> 0);
}

export class ConsumeQueueExt {
  readonly #cache: FileCache;
  readonly #directory: string;
  readonly #fileBytes: number;
  readonly #head = Buffer.allocUnsafeSlow(HEAD_BYTES);
  readonly #view = new DataView(this.#head.buffer, this.#head.byteOffset, HEAD_BYTES);

  constructor(cache: FileCache, directory: string, fileBytes: number = CONSUME_QUEUE_EXT_FILE_BYTES) {
    this.#cache = cache;
    this.#directory = directory;
    this.#fileBytes = fileBytes;
  }

  /** The unit at an address; false when the tags code is none, or nothing sound lies there. */
  get(addressHigh: number, addressLow: number, into: ExtUnit): boolean {
    if (!isExtAddress(addressHigh, addressLow)) return false;
    const position = extPosition(addressHigh, addressLow);
    if (!Number.isSafeInteger(position)) return false;
    const inFile = position % this.#fileBytes;
    const file = this.#cache.find(`${this.#directory}/${queueFileName(position - inFile)}`);
    if (file === undefined || file.readAt(this.#head, 0, HEAD_BYTES, inFile) < HEAD_BYTES) return false;
    const view = this.#view;
    const sizeBytes = view.getInt16(0);
    const bitmapBytes = view.getInt16(18);
    if (sizeBytes < HEAD_BYTES || bitmapBytes > sizeBytes - HEAD_BYTES) return false;
    let bitmap: Buffer | undefined;
    if (bitmapBytes > 0) {
      bitmap = Buffer.allocUnsafe(bitmapBytes);
      if (file.readAt(bitmap, 0, bitmapBytes, inFile + HEAD_BYTES) < bitmapBytes) return false;
    }
    into.sizeBytes = sizeBytes;
    into.tagsCodeHigh = view.getInt32(2);
    into.tagsCodeLow = view.getInt32(6);
    into.storeTimestamp = readInt64(view, 10);
    into.bitmap = bitmap;
    return true;
  }
}
