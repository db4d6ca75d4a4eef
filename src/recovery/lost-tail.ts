/**
 * Pass 4 of recovery: what lies behind the log's end. Bytes that are no record (torn, stale, flipped) would be read as
 * records again once new ones have grown up to them, so they are copied to `lost+found` and zeroed. Whole segments
 * behind the end stay if nothing was written into them (made ahead of need), else they are moved aside.
 */
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import { segmentName } from "../commitlog/segment-queue.js";
import type { Disk, DiskFile, Segment } from "../io/disk.js";

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

/** Looks, and changes nothing. */
export function judgeTail(segments: SegmentQueue, endOffset: number): LostTail {
  const { segmentBytes } = segments;
  const behind: { baseOffset: number; isUsed: boolean }[] = [];
  for (let base = segments.endOffset - segmentBytes; base > endOffset; base -= segmentBytes) {
    behind.push({ baseOffset: base, isUsed: !looksEmpty(segments.at(base)!) });
  }
  // A hole in the middle ends the log, and what follows it is moved aside; empty ones at the very end stay.
  const lost = behind.some(({ isUsed }) => isUsed) ? behind : [];
  let cutBytes = lost.filter(({ isUsed }) => isUsed).length * segmentBytes;
  let toOffset = endOffset;
  const segment = segments.at(endOffset);
  if (segment !== undefined && startsUsed(segment, endOffset - segment.baseOffset)) {
    toOffset = segment.baseOffset + lastUsedByte(segment, endOffset - segment.baseOffset) + 1;
    cutBytes += toOffset - endOffset;
  }
  return { segments: lost, fromOffset: endOffset, toOffset, cutBytes };
}

/** Returns how many bytes up to the last one that is not zero were taken out of the log. */
export function clearAfterEnd(
  disk: Disk,
  segments: SegmentQueue,
  endOffset: number,
  storeDirectory: string,
  nowMs: number,
): number {
  const lost = `${storeDirectory}/lost+found`;
  const tail = judgeTail(segments, endOffset);
  if (tail.cutBytes > 0) disk.makeDirectory(lost);
  for (const { baseOffset } of tail.segments) {
    segments.detachLast(`${lost}/commitlog-${segmentName(baseOffset)}-${nowMs}`);
  }
  if (tail.toOffset === endOffset) return tail.cutBytes;
  const segment = segments.at(endOffset)!;
  const copy = disk.openFile(`${lost}/commitlog-${segmentName(endOffset)}-${nowMs}`, true);
  try {
    moveOut(segment, endOffset - segment.baseOffset, tail.toOffset - segment.baseOffset, copy);
  } finally {
    copy.close();
  }
  segment.syncNow();
  return tail.cutBytes;
}

const SAMPLE_BYTES = 4096;
/** A process that was killed leaves at most one record or batch begun: its first bytes are zero, then come others. */
export const STRETCH_BYTES = 8 * 1024 * 1024;

/** Reads the beginning, then a page of each megabyte: a log has records in every stretch of that length, or a blank. */
function looksEmpty(segment: Segment): boolean {
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

/** Copies [from, to) into `copy`, and zeroes it once the copy is durable. */
function moveOut(segment: Segment, from: number, to: number, copy: DiskFile): void {
  for (let at = from; at < to; at += CHUNK_BYTES) {
    const bytes = Buffer.from(segment.read(at, Math.min(CHUNK_BYTES, to - at)));
    copy.writeAt(bytes, 0, bytes.length, at - from);
  }
  copy.syncNow();
  const zeros = Buffer.alloc(Math.min(CHUNK_BYTES, to - from));
  for (let at = from; at < to; at += CHUNK_BYTES) segment.write(zeros, 0, Math.min(CHUNK_BYTES, to - at), at);
}
