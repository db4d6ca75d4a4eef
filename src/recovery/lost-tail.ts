/**
 * Pass 4 of recovery: what lies behind the log's end. Bytes that are no record (torn, stale, flipped) would be read as
 * records again once new ones have grown up to them, so they are copied to `lost+found` and zeroed. Whole segments
 * behind the end stay if nothing was written into them (made ahead of need), else they are moved aside.
 */
import type { Clock } from "../base/clock.js";
import { systemCode } from "../base/errors.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import { segmentName } from "../commitlog/segment-queue.js";
import type { Disk, DiskFile, Segment } from "../io/disk.js";
import { mayHaveHoles, type StoreEnd } from "./abort-file.js";

const CHUNK_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** What does not belong to a log that ends at some offset. */
export interface LostTail {
  /** Whole segments, the last one first. */
  readonly segments: readonly { readonly baseOffset: number; readonly isUsed: boolean }[];
  /** The bytes [fromOffset, toOffset) of the segment in which the log ends. */
  readonly fromOffset: number;
  readonly toOffset: number;
  /** All bytes up to the last one that is not zero, and whole segments in use. */
  readonly cutBytes: number;
}

/**
 * Looks, and changes nothing. Where pages may be missing in any length, all that is behind the end is read: records behind
 * a long hole would be found again once new ones, of the same length mostly, have grown up to one of them.
 */
export function judgeTail(segments: SegmentQueue, endOffset: number, lastEnd: StoreEnd): LostTail {
  const { segmentBytes } = segments;
  const holes = mayHaveHoles(lastEnd);
  const behind: { baseOffset: number; isUsed: boolean }[] = [];
  for (let base = segments.endOffset - segmentBytes; base > endOffset; base -= segmentBytes) {
    behind.push({ baseOffset: base, isUsed: !looksEmpty(segments.at(base)!, holes) });
  }
  // A hole in the middle ends the log, and what follows it is moved aside; empty ones at the very end stay.
  const lost = behind.some(({ isUsed }) => isUsed) ? behind : [];
  let cutBytes = lost.filter(({ isUsed }) => isUsed).length * segmentBytes;
  let toOffset = endOffset;
  const segment = segments.at(endOffset);
  if (segment !== undefined && (holes || startsUsed(segment, endOffset - segment.baseOffset))) {
    const lastUsed = lastUsedByte(segment, endOffset - segment.baseOffset);
    if (lastUsed >= 0) toOffset = segment.baseOffset + lastUsed + 1;
    cutBytes += toOffset - endOffset;
  }
  return { segments: lost, fromOffset: endOffset, toOffset, cutBytes };
}

/** Of a RecoveryOptions. */
interface ClearOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly segments: SegmentQueue;
  readonly storeDirectory: string;
  readonly lastEnd: StoreEnd;
}

/** Returns how many bytes up to the last one that is not zero were taken out of the log. */
export function clearAfterEnd(options: ClearOptions, endOffset: number): number {
  const { disk, clock, segments, storeDirectory, lastEnd } = options;
  const nowMs = clock.nowMs();
  const lost = `${storeDirectory}/lost+found`;
  const tail = judgeTail(segments, endOffset, lastEnd);
  if (tail.cutBytes > 0) disk.makeDirectory(lost);
  const pathFor = (phyOffset: number): string => `${lost}/commitlog-${segmentName(phyOffset)}-${nowMs}`;
  for (const { baseOffset, isUsed } of tail.segments) {
    try {
      segments.detachLast(pathFor(baseOffset));
    } catch (error) {
      // The log has a device of its own, which a rename does not leave.
      if (systemCode((error as Error).cause) !== "EXDEV") throw error;
      const segment = segments.at(baseOffset)!;
      if (isUsed) copyOut(disk, segment, 0, lastUsedByte(segment, 0) + 1, pathFor(baseOffset));
      segments.removeLast();
    }
  }
  if (tail.toOffset === endOffset) return tail.cutBytes;
  const segment = segments.at(endOffset)!;
  const [from, to] = [endOffset - segment.baseOffset, tail.toOffset - segment.baseOffset];
  copyOut(disk, segment, from, to, pathFor(endOffset));
  clear(segment, from, to);
  segment.syncNow();
  return tail.cutBytes;
}

const SAMPLE_BYTES = 4096;
/** A process that was killed leaves at most one record or batch begun: its first bytes are zero, then come others. */
export const STRETCH_BYTES = 8 * 1024 * 1024;

/** Reads the beginning, then a page of each megabyte: a log has records in every stretch of that length, or a blank. */
function looksEmpty(segment: Segment, holes: boolean): boolean {
  if (holes) return lastUsedByte(segment, 0) < 0;
  if (startsUsed(segment, 0)) return false;
  for (let at = STRETCH_BYTES; at < segment.sizeBytes; at += CHUNK_BYTES) {
    if (!isZero(segment.read(at, Math.min(SAMPLE_BYTES, segment.sizeBytes - at)))) return false;
  }
  return true;
}

/** Whether one of the next STRETCH_BYTES is not zero, as far as the segment reaches. */
export function startsUsed(segment: Segment, position: number): boolean {
  const to = Math.min(segment.sizeBytes, position + STRETCH_BYTES);
  for (let at = position; at < to; at += CHUNK_BYTES) {
    if (!isZero(segment.read(at, Math.min(CHUNK_BYTES, to - at)))) return true;
  }
  return false;
}

function isZero(bytes: Buffer): boolean {
  return bytes.compare(ZEROS, 0, bytes.length) === 0;
}

/** Position of the last byte from `position` on that is not zero, or -1. */
function lastUsedByte(segment: Segment, position: number): number {
  for (let end = segment.sizeBytes; end > position; ) {
    const start = Math.max(position, end - CHUNK_BYTES);
    const bytes = segment.read(start, end - start);
    if (!isZero(bytes)) {
      let i = bytes.length - 1;
      while (bytes[i] === 0) i--;
      return start + i;
    }
    end = start;
  }
  return -1;
}

/** Copies [from, to) into a file at `path`, durable when it returns; pages of zeros are holes there. */
function copyOut(disk: Disk, segment: Segment, from: number, to: number, path: string): void {
  const copy: DiskFile = disk.openFile(path, true);
  try {
    for (let at = from; at < to; at += CHUNK_BYTES) {
      const bytes = Buffer.from(segment.read(at, Math.min(CHUNK_BYTES, to - at)));
      if (!isZero(bytes)) copy.writeAt(bytes, 0, bytes.length, at - from);
    }
    copy.syncNow();
  } finally {
    copy.close();
  }
}

function clear(segment: Segment, from: number, to: number): void {
  const zeros = Buffer.alloc(Math.min(CHUNK_BYTES, to - from));
  for (let at = from; at < to; at += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, to - at);
    if (!isZero(segment.read(at, length))) segment.write(zeros, 0, length, at);
  }
}
