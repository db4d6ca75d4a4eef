/**
 * Bringing an index file back in line with the commit log, before anybody writes to it again.
 *
 * Apache never cuts an index back: after the log has lost its tail, old keys point into whatever is written there next,
 * and what is appended below the index's end is taken for known and never indexed. But the file holds all that is
 * needed: entries are in log order, and each remembers what its slot was before it came. So `cutEntries` takes the
 * newest entries off one by one, puts the slots back, and leaves exactly the file that was there when the log had that
 * length; the header's end becomes that of the last entry kept, so new appends are indexed. It costs what is removed.
 *
 * After a crash the pages of a file may be of different ages. Entries are the truth then: `rebuildSlots` reads them from
 * the first on, keeps those that are in order, and makes the slots anew. (Apache throws the whole file away.)
 */
import { readInt64 } from "../base/int64.js";
import { EntryReader } from "./entry-reader.js";
import {
  ENTRY_PHY_OFFSET,
  ENTRY_PREVIOUS,
  ENTRY_TIME_DIFF,
  entryPosition,
  INDEX_ENTRY_BYTES,
  type IndexFile,
  type IndexHeader,
  isPlausibleTime,
} from "./index-file.js";
import { SlotTable } from "./slot-table.js";

const BLOCK_ENTRIES = 8192;
const SECTOR_BYTES = 512;

/** What the entries say, whatever header and slots do. */
interface EntryScan {
  /** Entries 1 to indexCount - 1 are in order. */
  indexCount: number;
  lastPhyOffset: number;
  lastTimeDiff: number;
  hashSlotCount: number;
  /** For each slot its newest entry. */
  readonly slots: Int32Array;
}

/**
 * Takes off the entries at or past `maxPhyOffset`; `before` is the header of the file in front, if there is one. Returns
 * how many were taken off, or -1 when header, slots and entries contradict each other: then nothing was written.
 */
export function cutEntries(file: IndexFile, maxPhyOffset: number, before: IndexHeader | undefined): number {
  const { header, sizes } = file;
  const slots = new SlotTable(file.handle, sizes.maxHashSlotNum, false);
  const entry = new EntryReader();
  entry.reset(file);
  let kept = header.indexCount - 1;
  let hashSlotCount = header.hashSlotCount;
  for (; kept > 0; kept--) {
    if (!entry.read(kept)) return -1;
    if (kept === header.indexCount - 1 && entry.phyOffset !== header.endPhyOffset) return -1;
    if (entry.phyOffset >= 0 && entry.phyOffset < maxPhyOffset) break;
    const isSound = entry.keyHash >= 0 && entry.previous >= 0 && entry.previous < kept;
    if (!isSound || slots.exchange(entry.keyHash % sizes.maxHashSlotNum, entry.previous) !== kept) return -1;
    if (entry.previous === 0) hashSlotCount--;
  }
  const removed = header.indexCount - 1 - kept;
  const endPhyOffset = kept > 0 ? entry.phyOffset : (before?.endPhyOffset ?? 0);
  if (removed === 0 && header.endPhyOffset === endPhyOffset) return 0;
  slots.writeBack();
  const timeDiff = kept > 0 ? entry.timeDiff : 0;
  setEnd(file, kept + 1, endPhyOffset, timeDiff, removed === 0, before);
  header.hashSlotCount = Math.max(0, hashSlotCount);
  file.writeHeader();
  clearEntries(file, kept + 1, kept + 1 + removed);
  return removed;
}

/**
 * Keeps the entries that are in order and below `maxPhyOffset`, and makes slots and header say the same. Returns how
 * many of the entries that the header counts were lost. A sound file is read and not written. `mayBeTorn`: it was
 * not synced before a crash, so an entry that lies across two disk sectors may be half there.
 */
export function rebuildSlots(
  file: IndexFile,
  maxPhyOffset: number,
  before: IndexHeader | undefined,
  mayBeTorn: boolean,
): number {
  const { header, sizes } = file;
  const counted = header.indexCount;
  const isChanged = mendBegin(file);
  const scan = scanEntries(file, maxPhyOffset, mayBeTorn);
  if (mayBeTorn || scan.indexCount < counted) dropTornEntry(file, scan);
  const lost = counted - scan.indexCount;
  const slots = new SlotTable(file.handle, sizes.maxHashSlotNum, false);
  for (let slot = 0; slot < sizes.maxHashSlotNum; slot++) {
    if (slots.get(slot) !== scan.slots[slot]) slots.exchange(slot, scan.slots[slot]!);
  }
  slots.writeBack();
  const endPhyOffset = scan.indexCount > 1 ? scan.lastPhyOffset : (before?.endPhyOffset ?? 0);
  if (isChanged || lost !== 0 || header.endPhyOffset !== endPhyOffset || header.hashSlotCount !== scan.hashSlotCount) {
    const keepsTime = lost === 0 && isPlausibleTime(header.endTimestamp);
    setEnd(file, scan.indexCount, endPhyOffset, scan.lastTimeDiff, keepsTime, before);
    header.hashSlotCount = scan.hashSlotCount;
    file.writeHeader();
    clearEntries(file, scan.indexCount, counted);
  }
  return lost;
}

/** First contradiction between entries, slots and header, or the empty string. Changes nothing. */
export function inspectIndexFile(file: IndexFile): string {
  const scan = scanEntries(file, Number.MAX_SAFE_INTEGER, false);
  const { header, sizes } = file;
  if (scan.indexCount < header.indexCount)
    return `entry ${scan.indexCount} of ${header.indexCount - 1} is not in order`;
  const slots = new SlotTable(file.handle, sizes.maxHashSlotNum, false);
  for (let slot = 0; slot < sizes.maxHashSlotNum; slot++) {
    const found = slots.get(slot);
    if (found !== scan.slots[slot]) return `slot ${slot} points at entry ${found}, its newest is ${scan.slots[slot]}`;
  }
  if (scan.indexCount > 1 && header.endPhyOffset !== scan.lastPhyOffset) {
    return `the header ends at ${header.endPhyOffset}, the entries at ${scan.lastPhyOffset}`;
  }
  return header.hashSlotCount === scan.hashSlotCount
    ? ""
    : `${header.hashSlotCount} used slots instead of ${scan.hashSlotCount}`;
}

/**
 * The time of the last entry is known to the second only; early by up to 999 ms, as look-ups take it. An empty file is
 * as a new one: it goes on from the file before.
 */
function setEnd(
  file: IndexFile,
  indexCount: number,
  endPhyOffset: number,
  timeDiff: number,
  keepsTime: boolean,
  before: IndexHeader | undefined,
): void {
  const { header } = file;
  header.indexCount = indexCount;
  header.endPhyOffset = endPhyOffset;
  if (indexCount === 1) {
    header.beginPhyOffset = endPhyOffset;
    header.beginTimestamp = header.endTimestamp = before?.endTimestamp ?? 0;
  } else if (!keepsTime) {
    // The first entry counts its seconds from the file before, so it says nothing about its own time.
    header.endTimestamp = header.beginTimestamp + (indexCount === 2 ? 0 : timeDiff * 1000);
  }
}

/**
 * The begin timestamp is what entries count their seconds from. A broken one is taken back from the last entry, as long
 * as its time is known; without either, the entries are worth nothing. True when the header was changed.
 */
function mendBegin(file: IndexFile): boolean {
  const { header } = file;
  if (isPlausibleTime(header.beginTimestamp) || header.indexCount === 1) return false;
  const entry = new EntryReader();
  entry.reset(file);
  const last = header.indexCount - 1;
  const timeDiff = last > 1 && entry.read(last) ? entry.timeDiff * 1000 : 0;
  header.beginTimestamp = header.endTimestamp - timeDiff;
  if (!isPlausibleTime(header.endTimestamp) || !isPlausibleTime(header.beginTimestamp)) header.indexCount = 1;
  return true;
}

/**
 * Makes entries [from, to) what they are in a new file, so that a page lost in some later crash shows zeros and not an
 * entry of the past that fits. What is zero already, as in a hole, is not written.
 */
function clearEntries(file: IndexFile, from: number, to: number): void {
  const bytes = Buffer.alloc(BLOCK_ENTRIES * INDEX_ENTRY_BYTES);
  for (let number = from; number < to; number += BLOCK_ENTRIES) {
    const position = entryPosition(file.sizes, number);
    const length = Math.min(BLOCK_ENTRIES, to - number) * INDEX_ENTRY_BYTES;
    const got = file.handle.readAt(bytes, 0, length, position);
    if (bytes.subarray(0, got).every((byte) => byte === 0)) continue;
    file.handle.writeAt(bytes.fill(0), 0, got, position);
  }
}

/**
 * Takes the last entry back when it may be torn: it lies across two disk sectors, and of the second one there are only
 * zeros, as if it had never reached the disk. A sector is longer than an entry, so what follows is not in order then,
 * or not counted. The replay adds the entry again.
 */
function dropTornEntry(file: IndexFile, scan: EntryScan): void {
  if (scan.indexCount === 1) return;
  const position = entryPosition(file.sizes, scan.indexCount - 1);
  if (!liesAcrossSectors(position)) return;
  const inFirstSector = SECTOR_BYTES - (position % SECTOR_BYTES);
  const bytes = Buffer.alloc(INDEX_ENTRY_BYTES);
  file.handle.readAt(bytes, 0, INDEX_ENTRY_BYTES, position);
  if (bytes.subarray(inFirstSector).some((byte) => byte !== 0)) return;
  const previous = bytes.readInt32BE(ENTRY_PREVIOUS);
  scan.slots[bytes.readInt32BE(0) % file.sizes.maxHashSlotNum] = previous;
  if (previous === 0) scan.hashSlotCount--;
  scan.indexCount--;
  const entry = new EntryReader();
  entry.reset(file);
  const isEmpty = scan.indexCount === 1 || !entry.read(scan.indexCount - 1);
  scan.lastPhyOffset = isEmpty ? 0 : entry.phyOffset;
  scan.lastTimeDiff = isEmpty ? 0 : entry.timeDiff;
}

function liesAcrossSectors(position: number): boolean {
  return (position % SECTOR_BYTES) + INDEX_ENTRY_BYTES > SECTOR_BYTES;
}

/**
 * `mayBeTorn`: of an entry across two sectors the first one may never have reached the disk. Its key hash is 0 then, and
 * with it perhaps nothing but the upper half of its offset is gone, which is 0 in most logs: where the slot of hash 0 and
 * its own agree, the rest fits. A key that does have hash 0 looks the same, so the scan stops there too; the replay adds
 * it again.
 */
function scanEntries(file: IndexFile, maxPhyOffset: number, mayBeTorn: boolean): EntryScan {
  const { header, sizes, handle } = file;
  const slots = new Int32Array(sizes.maxHashSlotNum);
  const view = new DataView(new ArrayBuffer(BLOCK_ENTRIES * INDEX_ENTRY_BYTES));
  const bytes = new Uint8Array(view.buffer);
  let lastPhyOffset = 0;
  let lastTimeDiff = 0;
  let hashSlotCount = 0;
  let number = 1;
  const stop = () => ({ indexCount: number, lastPhyOffset, lastTimeDiff, hashSlotCount, slots });
  while (number < header.indexCount) {
    const count = Math.min(BLOCK_ENTRIES, header.indexCount - number);
    const got = handle.readAt(bytes, 0, count * INDEX_ENTRY_BYTES, entryPosition(sizes, number));
    if (got < count * INDEX_ENTRY_BYTES) return stop();
    for (let at = 0; at < got; at += INDEX_ENTRY_BYTES, number++) {
      const keyHash = view.getInt32(at);
      const phyOffset = readInt64(view, at + ENTRY_PHY_OFFSET);
      const timeDiff = view.getInt32(at + ENTRY_TIME_DIFF);
      const previous = view.getInt32(at + ENTRY_PREVIOUS);
      if (keyHash < 0 || timeDiff < 0 || phyOffset < lastPhyOffset || phyOffset >= maxPhyOffset) return stop();
      const slot = keyHash % sizes.maxHashSlotNum;
      if (previous !== slots[slot]) return stop();
      // Where nothing came before it, a lost sector looks like a key of hash 0 at the log's beginning.
      if (keyHash === 0 && phyOffset === 0) return stop();
      if (keyHash === 0 && mayBeTorn && liesAcrossSectors(entryPosition(sizes, number))) return stop();
      if (previous === 0) hashSlotCount++;
      slots[slot] = number;
      lastPhyOffset = phyOffset;
      lastTimeDiff = timeDiff;
    }
  }
  return stop();
}
