/**
 * Walks a whole log record by record and does not stop at damage: it looks for the next place where a record certainly
 * begins (magic code, its own place in the log as its physical offset, parts that add up, CRC) and goes on from there.
 * So one bad record is one step, and everything behind it is still seen. Memory does not grow with the log.
 *
 * What is behind the log's end may look the same: whole records from before a cut, which Apache leaves on the disk, or
 * those of a batch that was not written whole. An outlook tells what opening the store would make of them; where there is
 * none, `isLive` tells older records from those behind damage, and without either every whole record counts.
 */
import { CometError } from "../../base/errors.js";
import type { Disk } from "../../io/disk.js";
import {
  BLANK_BYTES_MIN,
  MAGIC_BLANK,
  MAGIC_POSITION,
  PHY_OFFSET_POSITION,
  PROPERTY_CRC_BYTES,
} from "../../record/layout.js";
import { readInt64 } from "../../base/int64.js";
import { asciiName } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import { checkPropertyCrc } from "../../record/property-crc.js";
import { checkBody, RecordVerdict, RecordView } from "../../record/record-view.js";
import { LogBytes } from "./log-bytes.js";
import type { LogFile, LogLayout } from "./log-files.js";
import type { Ending, Outlook } from "./outlook.js";

export const WalkStep = {
  /** `record` holds a sound one. */
  RECORD: 1,
  /** Bytes [from, to) are a record by its fields, but `flaw` says why it is not to be trusted. */
  FLAWED: 2,
  /** Bytes [from, to) are nothing known; a record follows at `to`, or in a later segment. */
  DAMAGE: 3,
  /** The segments for [from, to) are missing. */
  HOLE: 4,
  /** The rest of a segment, [from, to), is unused; `blankBytes` is what the blank says of its length. */
  BLANK: 5,
  /** The log's end, at `from`; see `end`. */
  END: 6,
} as const;
export type WalkStep = (typeof WalkStep)[keyof typeof WalkStep];

export type Flaw = "crc" | "property-crc" | "offset" | "torn";

/** What is odd about the whole-record CRC of a record that is sound otherwise. */
export type CrcNote = "" | "stale" | "lacking";

/** Whether `__CRC32#` must be there and right (forceVerifyPropCRC), is written, or nobody knows. */
export type PropertyCrcPolicy = "required" | "written" | "unknown";

type IsLive = (walk: LogWalk) => boolean;

export interface WalkOptions {
  readonly disk: Disk;
  readonly layout: LogLayout;
  readonly propertyCrc?: PropertyCrcPolicy;
  /** Asked for a sound record that follows damage; it lies at `record.phyOffset`. */
  readonly isLive?: IsLive;
  readonly outlook?: Outlook | undefined;
  readonly onUnreadable?: (file: LogFile, position: number) => void;
}

/** What lies behind the log's end. */
export interface LogEnd {
  readonly endOffset: number;
  /** Log offset behind the last byte in the end's own segment that is not zero; `endOffset` when there is none. */
  tornTo: number;
  /** Whole records behind the end that are no part of the log. */
  staleCount: number;
  /** What opening the store would do about it; undefined where nobody knows. */
  readonly ending: Ending | undefined;
  /** Later segments that are no part of the log: with something in them, or made ahead of need. */
  readonly usedFiles: LogFile[];
  readonly emptyFiles: LogFile[];
}

const CRC_PREFIX = Buffer.concat([asciiName(PropertyName.CRC32), Uint8Array.of(1)]);
/** The first three bytes of both record magics. */
const MAGIC_PREFIX = Buffer.from("daa320", "hex");
const BLANK_MAGIC = Buffer.from("cbd43194", "hex");
const CHUNK_BYTES = 256 * 1024;
/** What of a record must be at hand to see whether it says that it lies here. */
const HEAD_BYTES = PHY_OFFSET_POSITION + 8;
const ZEROS = Buffer.alloc(CHUNK_BYTES + BLANK_BYTES_MIN);
/** Larger than any record a broker takes: such a size is believed only of a record that knows its place. */
const DOUBTFUL_BYTES = 64 * 1024 * 1024;

export class LogWalk {
  readonly record = new RecordView();
  readonly layout: LogLayout;
  /** See WalkStep. */
  from = 0;
  to = 0;
  flaw: Flaw = "crc";
  blankBytes = 0;
  /** After DAMAGE: nothing but zeros. */
  isZeros = false;
  /** Store timestamp of the last sound record; 0 before the first. */
  lastStoreTimestamp = 0;
  /**
   * Of a sound record: it has a `__CRC32#` that does not fit, in a store that is not known to write it; or it lacks one in
   * a store where brokers ask for it.
   */
  crcNote: CrcNote = "";
  end: LogEnd | undefined;
  /** Some record had a `__CRC32#` that fits. */
  hasPropertyCrc = false;
  readonly #bytes: LogBytes;
  readonly #propertyCrc: PropertyCrcPolicy;
  readonly #isLive: IsLive;
  #index = 0;
  #position = 0;
  #checkedIndex = -1;
  /** Index of the next segment known to hold something live, when that was looked for; else -1. */
  #liveIndex = -1;
  #outlook: Outlook | undefined;
  /** Up to the record that lies there nothing is part of the log, by the outlook. */
  #liveFrom = 0;
  /** Store timestamps of the last two records that recovery takes for such. */
  #takenTimestamp = 0;
  #takenTimestampBefore = 0;

  constructor(options: WalkOptions) {
    this.layout = options.layout;
    this.#propertyCrc = options.propertyCrc ?? "unknown";
    this.#isLive = options.isLive ?? (() => true);
    this.#outlook = options.outlook;
    this.#bytes = new LogBytes(options.disk, options.layout.segmentBytes, options.onUnreadable ?? (() => {}));
  }

  /** What the record's positions point into, until the next step. */
  get bytes(): Buffer {
    return this.#bytes.bytes;
  }

  /** Log offset of the record; `record.phyOffset` is what it says itself. */
  get phyOffset(): number {
    return this.#file!.base + this.#bytes.from + this.record.position;
  }

  get #file(): LogFile | undefined {
    return this.layout.files[this.#index];
  }

  /** Goes on at `phyOffset`, where a record begins, or at the first file behind it. */
  seek(phyOffset: number): void {
    const { files, segmentBytes } = this.layout;
    const index = files.findIndex(({ base }) => base + segmentBytes > phyOffset);
    this.#index = index < 0 ? files.length : index;
    this.#position = index < 0 ? 0 : Math.max(0, phyOffset - files[index]!.base);
    this.#checkedIndex = this.#index;
    this.#liveIndex = -1;
    this.#liveFrom = 0;
    this.end = undefined;
  }

  next(): WalkStep {
    const { files, segmentBytes } = this.layout;
    if (this.end !== undefined) return WalkStep.END;
    if (this.#position >= segmentBytes) {
      this.#index++;
      this.#position = 0;
    }
    const file = this.#file;
    if (file === undefined) return this.#finish((files.at(-1)?.base ?? -segmentBytes) + segmentBytes);
    if (this.#checkedIndex !== this.#index) {
      this.#checkedIndex = this.#index;
      const before = files[this.#index - 1];
      if (before !== undefined && before.base + segmentBytes < file.base) {
        return this.#stretch(WalkStep.HOLE, before.base + segmentBytes, file.base);
      }
    }
    const verdict = this.#readAt(file, this.#position);
    if (this.#isPassedOver(file, verdict)) return this.#lost(file);
    if (verdict === RecordVerdict.RECORD) return this.#judged(file);
    if (verdict === RecordVerdict.BLANK) {
      this.blankBytes = this.record.totalSize;
      const from = this.#position;
      this.#position = segmentBytes;
      return this.#stretch(WalkStep.BLANK, file.base + from, file.base + segmentBytes);
    }
    return this.#lost(file);
  }

  #stretch(step: WalkStep, from: number, to: number): WalkStep {
    this.from = from;
    this.to = to;
    return step;
  }

  /**
   * As RecordView.read, but a blank of any length is one, as long as it fits into the segment, and so is what is left of
   * a segment where none fits (see LogCursor).
   */
  #readAt(file: LogFile, position: number): RecordVerdict {
    const rest = this.layout.segmentBytes - position;
    if (rest < BLANK_BYTES_MIN) {
      this.record.totalSize = 0;
      return RecordVerdict.BLANK;
    }
    let at = this.#bytes.reach(file, position, BLANK_BYTES_MIN);
    const { view } = this.#bytes;
    if (view.getInt32(at + MAGIC_POSITION) === MAGIC_BLANK) {
      this.record.totalSize = view.getInt32(at);
      return this.record.totalSize <= rest ? RecordVerdict.BLANK : RecordVerdict.MALFORMED;
    }
    const verdict = this.record.read(view, at, this.#bytes.to - this.#bytes.from);
    if (verdict !== RecordVerdict.TRUNCATED) return verdict;
    const needed = this.record.totalSize;
    if (needed > rest || (needed > DOUBTFUL_BYTES && !this.#knowsItsPlace(file, position))) {
      return RecordVerdict.MALFORMED;
    }
    at = this.#bytes.reach(file, position, needed);
    return this.record.read(this.#bytes.view, at, at + needed);
  }

  #knowsItsPlace(file: LogFile, position: number): boolean {
    if (this.layout.segmentBytes - position < HEAD_BYTES) return false;
    const at = this.#bytes.reach(file, position, HEAD_BYTES);
    return readInt64(this.#bytes.view, at + PHY_OFFSET_POSITION) === file.base + position;
  }

  /** By the outlook the log goes on behind this: whatever it looks like, but for the blank in front of a segment's end. */
  #isPassedOver({ base }: LogFile, verdict: RecordVerdict): boolean {
    if (base + this.#position >= this.#liveFrom) return false;
    return verdict !== RecordVerdict.BLANK || this.#liveFrom < base + this.layout.segmentBytes;
  }

  #judged(file: LogFile): WalkStep {
    const from = file.base + this.#position;
    const flaw = this.#flawOf(from);
    this.flaw = flaw ?? this.flaw;
    const { totalSize, storeTimestamp } = this.record;
    if (flaw === undefined || flaw === "property-crc") {
      this.#takenTimestampBefore = this.#takenTimestamp;
      this.#takenTimestamp = storeTimestamp;
    } else if (!this.#goesOn(from)) return this.#ended(file);
    this.#position += totalSize;
    if (flaw === undefined) {
      this.lastStoreTimestamp = storeTimestamp;
      return this.#stretch(WalkStep.RECORD, from, from + totalSize);
    }
    // What recovery would find inside of it is what counts.
    const isCut = this.#liveFrom > from && this.#liveFrom < from + totalSize;
    if (isCut) this.#position = this.#liveFrom - file.base;
    return this.#stretch(WalkStep.FLAWED, from, file.base + this.#position);
  }

  /** False where the log ends at what is no record, by the outlook; true where there is none. */
  #goesOn(from: number): boolean {
    if (this.#outlook === undefined || from < this.#liveFrom) return true;
    try {
      const next = this.#outlook.next(from, this.#takenTimestamp, this.#takenTimestampBefore);
      if (next === undefined) return false;
      this.#liveFrom = next;
    } catch (error) {
      this.#forgetOutlook(error);
    }
    return true;
  }

  #forgetOutlook(error: unknown): void {
    if (!(error instanceof CometError)) throw error;
    this.#outlook?.close();
    this.#outlook = undefined;
  }

  #flawOf(phyOffset: number): Flaw | undefined {
    const { record, bytes } = this;
    this.crcNote = "";
    if (record.phyOffset !== phyOffset) return "offset";
    if (record.hasNegativeLength || !checkBody(record, bytes)) return "crc";
    if (!this.#endsWhole(phyOffset)) return "torn";
    if (!this.#endsWithCrc()) {
      if (this.#propertyCrc === "required") this.crcNote = "lacking";
      return undefined;
    }
    if (checkPropertyCrc(record, bytes)) {
      this.hasPropertyCrc = true;
      return undefined;
    }
    // Without `enabledAppendPropCRC` the property is whatever a client sent along.
    if (this.#propertyCrc !== "unknown") return "property-crc";
    this.crcNote = "stale";
    return undefined;
  }

  #endsWhole(phyOffset: number): boolean {
    try {
      return this.#outlook?.endsWhole(this.record, this.bytes, phyOffset) ?? true;
    } catch (error) {
      this.#forgetOutlook(error);
      return true;
    }
  }

  #endsWithCrc(): boolean {
    const { propertiesStart, propertiesLength } = this.record;
    if (propertiesLength < PROPERTY_CRC_BYTES) return false;
    const at = propertiesStart + propertiesLength - PROPERTY_CRC_BYTES;
    return this.bytes.compare(CRC_PREFIX, 0, CRC_PREFIX.length, at, at + CRC_PREFIX.length) === 0;
  }

  /** Nothing known begins here: finds where the log goes on, or that it does not. */
  #lost(file: LogFile): WalkStep {
    const { segmentBytes, files } = this.layout;
    const from = this.#position;
    if (this.#outlook !== undefined) {
      if (!this.#goesOn(file.base + from)) return this.#ended(file);
      if (this.#liveFrom > file.base + from) return this.#damagedTo(file, this.#liveFrom);
    }
    const search = this.#search(this.#index, from + 1, this.#isLive);
    if (search.found >= 0) return this.#damagedTo(file, file.base + search.found);
    const end: LogEnd = {
      endOffset: file.base + from,
      tornTo: file.base + this.#usedFrom(file, from, search.usedTo),
      staleCount: search.staleCount,
      ending: undefined,
      usedFiles: [],
      emptyFiles: [],
    };
    for (let i = this.#index + 1; i < files.length && this.#liveIndex <= this.#index; i++) {
      const later = this.#search(i, 0, this.#isLive);
      end.staleCount += later.staleCount;
      if (later.found >= 0) this.#liveIndex = i;
      else if (later.usedTo > 0) end.usedFiles.push(files[i]!);
      else end.emptyFiles.push(files[i]!);
    }
    if (this.#liveIndex > this.#index) {
      this.isZeros = end.tornTo === end.endOffset;
      this.#position = segmentBytes;
      return this.#stretch(WalkStep.DAMAGE, file.base + from, file.base + segmentBytes);
    }
    return this.#endWith(end);
  }

  #endWith(end: LogEnd): WalkStep {
    this.end = end;
    this.close();
    return this.#stretch(WalkStep.END, end.endOffset, end.endOffset);
  }

  /** The log goes on at `phyOffset`: damage up to there, or to the blank at this segment's end. */
  #damagedTo(file: LogFile, phyOffset: number): WalkStep {
    const from = this.#position;
    const { segmentBytes } = this.layout;
    let to = phyOffset - file.base;
    if (to >= segmentBytes) {
      const blank = this.#search(this.#index, from + 1, undefined).found;
      to = blank < 0 ? segmentBytes : blank;
    }
    this.isZeros = this.#isZero(file, from, to);
    this.#position = to;
    return this.#stretch(WalkStep.DAMAGE, file.base + from, file.base + to);
  }

  /** The log ends at the position, by the outlook. */
  #ended(file: LogFile): WalkStep {
    const endOffset = file.base + this.#position;
    let ending: Ending;
    try {
      ending = this.#outlook!.ending(endOffset);
    } catch (error) {
      this.#forgetOutlook(error);
      return this.#lost(file);
    }
    const { files } = this.layout;
    const lost = new Set(ending.tail.segments.map(({ baseOffset }) => baseOffset));
    const behind = files.filter(({ base }) => base > endOffset);
    const used = behind.filter(({ base }) => lost.has(base));
    const isOwnUsed = ending.tail.toOffset > endOffset;
    let staleCount = isOwnUsed ? this.#search(this.#index, this.#position, () => false).staleCount : 0;
    for (const later of used) staleCount += this.#search(files.indexOf(later), 0, () => false).staleCount;
    return this.#endWith({
      endOffset,
      tornTo: ending.tail.toOffset,
      staleCount,
      ending,
      usedFiles: used,
      emptyFiles: behind.filter(({ base }) => !lost.has(base)),
    });
  }

  /** The byte at `from` itself was not searched. */
  #usedFrom(file: LogFile, from: number, usedTo: number): number {
    if (usedTo > from) return usedTo;
    const at = this.#bytes.reach(file, from, 1);
    return this.bytes[at] === 0 ? from : from + 1;
  }

  #isZero(file: LogFile, from: number, to: number): boolean {
    for (let chunk = from; chunk < to; chunk += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES, to - chunk);
      const at = this.#bytes.reach(file, chunk, length);
      if (lastUsed(this.bytes, at, at + length) >= 0) return false;
    }
    return true;
  }

  #finish(endOffset: number): WalkStep {
    const nothing = { tornTo: endOffset, staleCount: 0, ending: undefined, usedFiles: [], emptyFiles: [] };
    return this.#endWith({ endOffset, ...nothing });
  }

  /**
   * Looks through a segment from `start` on for something the log goes on with: a record that `isLive`, or the blank at its
   * end; only for that without `isLive`. `usedTo` is behind the last non-zero byte.
   */
  #search(
    index: number,
    start: number,
    isLive: IsLive | undefined,
  ): { found: number; usedTo: number; staleCount: number } {
    const file = this.layout.files[index]!;
    const { segmentBytes } = this.layout;
    let usedTo = 0;
    let staleCount = 0;
    for (let chunk = start; chunk < segmentBytes; chunk += CHUNK_BYTES) {
      const length = Math.min(CHUNK_BYTES + BLANK_BYTES_MIN, segmentBytes - chunk);
      const at = this.#bytes.reach(file, chunk, length);
      const used = lastUsed(this.bytes, at, at + length);
      if (used < 0) continue;
      usedTo = Math.max(usedTo, chunk + used - at + 1);
      for (const index of this.#candidates(at, at + length)) {
        const position = chunk + index - at;
        if (position >= chunk + CHUNK_BYTES) break;
        const verdict = this.#plausible(file, position, isLive);
        if (verdict === "live") return { found: position, usedTo, staleCount };
        if (verdict === "stale") staleCount++;
      }
    }
    return { found: -1, usedTo, staleCount };
  }

  /** Where in [from, to) of the bytes at hand a record or a blank might begin, by its magic code; in order. */
  #candidates(from: number, to: number): number[] {
    const within = this.bytes.subarray(0, to);
    const found: number[] = [];
    for (const magic of [MAGIC_PREFIX, BLANK_MAGIC]) {
      for (let at = within.indexOf(magic, from + MAGIC_POSITION); at >= 0; at = within.indexOf(magic, at + 1)) {
        found.push(at - MAGIC_POSITION);
      }
    }
    return found.sort((a, b) => a - b);
  }

  #plausible(file: LogFile, position: number, isLive: IsLive | undefined): "live" | "stale" | "no" {
    const { segmentBytes } = this.layout;
    const at = this.#bytes.reach(file, position, BLANK_BYTES_MIN);
    if (this.#bytes.view.getInt32(at + MAGIC_POSITION) === MAGIC_BLANK) {
      // Only where the log is known to go on does a blank say more than its eight bytes.
      const fits = this.#bytes.view.getInt32(at) === segmentBytes - position;
      return fits && this.#goesOnAfter(file) ? "live" : "no";
    }
    if (isLive === undefined || !this.#knowsItsPlace(file, position)) return "no";
    if (this.#readAt(file, position) !== RecordVerdict.RECORD) return "no";
    if (this.#flawOf(file.base + position) !== undefined) return "no";
    return isLive(this) ? "live" : "stale";
  }

  /** Whether the segment behind `file` begins with a sound record. */
  #goesOnAfter(file: LogFile): boolean {
    const next = this.layout.files[this.layout.files.indexOf(file) + 1];
    if (next === undefined || this.#readAt(next, 0) !== RecordVerdict.RECORD) return false;
    return this.#flawOf(next.base) === undefined;
  }

  close(): void {
    this.#bytes.close();
    this.#outlook?.close();
  }
}

/** Index of the last byte in [from, to) that is not zero, or -1. */
function lastUsed(bytes: Buffer, from: number, to: number): number {
  if (bytes.compare(ZEROS, 0, to - from, from, to) === 0) return -1;
  let at = to - 1;
  while (bytes[at] === 0) at--;
  return at;
}
