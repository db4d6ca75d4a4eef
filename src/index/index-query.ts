/**
 * Look-ups by key for the serving thread: it lists and reads the index files for itself, so what it sees is what the
 * dispatch thread has flushed. The answers are those of Apache's IndexService#queryOffset and IndexFile#selectPhyOffset,
 * oddities included: the time of an entry is up to 999 ms early, and hashes that collide are all returned. The caller
 * reads the messages and keeps those that have the key.
 *
 * The dispatch thread writes entries, then the header, then slots. Here the slot is read before the header, so a slot
 * never seems to point past the end because the two belong to different moments.
 *
 * Chains are bounded: an entry points at an older one or the chain ends there, with a problem in the result. A frequent
 * key may share its hash with one that is not found for millions of entries: whoever serves others goes in steps.
 */
import type { Disk } from "../io/disk.js";
import { EntryReader } from "./entry-reader.js";
import {
  IndexFile,
  type IndexProblem,
  type IndexSizes,
  indexFileBytes,
  isIndexFileName,
  slotPosition,
} from "./index-file.js";
import { type IndexKind, indexKeyHash } from "./index-key.js";

const OPEN_FILES_MAX = 8;
const VISITED_ENTRIES_MAX = 2_000_000;
/** Of one step: about a millisecond. To turn to another file counts as many entries as it takes time. */
const STEP_ENTRIES = 20_000;
const FILE_ENTRIES = 400;

/** Messages of `topic` that were indexed under `key`, the newest `countMax` of them. */
export interface KeyQuery {
  readonly topic: string;
  readonly key: string;
  readonly kind: IndexKind;
  readonly countMax: number;
  /** Store times that count, both included; all of them where they are left out. */
  readonly beginMs?: number | undefined;
  readonly endMs?: number | undefined;
}

export interface IndexQueryResult {
  /** Log offsets, newest first. */
  readonly phyOffsets: number[];
  /** How far the newest index file has got. */
  indexLastUpdateTimestamp: number;
  indexLastUpdatePhyOffset: number;
  /** True when the walk was given up after `visitedEntriesMax` entries: there may be more. */
  isCutShort: boolean;
  readonly problems: IndexProblem[];
}

/** One look-up on its way through the files. */
interface Search {
  readonly keyHash: number;
  readonly countMax: number;
  readonly beginMs: number;
  readonly endMs: number;
  readonly maxPhyOffset: number;
  readonly result: IndexQueryResult;
  /** Others may look for something between two steps. */
  readonly reader: () => EntryReader;
  visitsLeft: number;
  stepLeft: number;
}

export interface IndexQueryOptions {
  readonly visitedEntriesMax?: number;
  readonly stepEntries?: number;
}

export class IndexQuery {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #sizes: IndexSizes;
  readonly #visitedEntriesMax: number;
  readonly #stepEntries: number;
  readonly #slot = new DataView(new ArrayBuffer(4));
  /** Oldest first, as listed last. A full file's header is read once. */
  #files: IndexFile[] = [];
  #spareReader: EntryReader | undefined;

  constructor(disk: Disk, directory: string, sizes: IndexSizes, options: IndexQueryOptions = {}) {
    this.#disk = disk;
    this.#directory = directory;
    this.#sizes = sizes;
    this.#visitedEntriesMax = options.visitedEntriesMax ?? VISITED_ENTRIES_MAX;
    this.#stepEntries = options.stepEntries ?? STEP_ENTRIES;
  }

  /** What the index has of it, newest first. Offsets at or past `maxPhyOffset`, the log's end, are left out. */
  query(query: KeyQuery, maxPhyOffset?: number): IndexQueryResult {
    const steps = this.querySteps(query, maxPhyOffset);
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    return step.value;
  }

  /** The same in steps of bounded work. Between them the index may go on, and files may go. */
  *querySteps(query: KeyQuery, maxPhyOffset = Number.MAX_SAFE_INTEGER): Generator<void, IndexQueryResult> {
    const { topic, key, kind, countMax, beginMs = 0, endMs = Number.POSITIVE_INFINITY } = query;
    const result: IndexQueryResult = {
      phyOffsets: [],
      indexLastUpdateTimestamp: 0,
      indexLastUpdatePhyOffset: 0,
      isCutShort: false,
      problems: [],
    };
    const keyHash = indexKeyHash(topic, key, kind);
    const visitsLeft = this.#visitedEntriesMax;
    let reader: EntryReader | undefined;
    const search: Search = {
      ...{ keyHash, countMax, beginMs, endMs, maxPhyOffset, result, visitsLeft },
      reader: () => {
        reader ??= this.#spareReader ?? new EntryReader();
        this.#spareReader = undefined;
        return reader;
      },
      stepLeft: this.#stepEntries,
    };
    this.#refresh();
    const files = this.#files;
    try {
      for (let i = files.length - 1; i >= 0; i--) {
        const file = files[i]!;
        const goesOn = yield* this.#visit(file, i === files.length - 1, search);
        if (i < files.length - OPEN_FILES_MAX) file.close();
        if (!goesOn) break;
      }
    } finally {
      this.#spareReader ??= reader;
      // Let go of meanwhile, and opened again.
      if (files !== this.#files) for (const file of files) if (!this.#files.includes(file)) file.close();
    }
    return result;
  }

  /** Lets go of the files. Also to be called when the index was cut back: full files are read again then. */
  close(): void {
    for (const file of this.#files) file.close();
    this.#files = [];
  }

  /** Takes up files made since the last time, and lets go of those that are gone. */
  #refresh(): void {
    const names = this.#disk.list(this.#directory).filter(isIndexFileName);
    const before = this.#files;
    if (names.length === before.length && names.every((name, i) => name === before[i]!.name)) return;
    const known = new Map(before.map((file) => [file.name, file]));
    const sizeBytes = indexFileBytes(this.#sizes);
    const files: IndexFile[] = [];
    for (const name of names) {
      const file = known.get(name) ?? new IndexFile(this.#disk, this.#directory, name, this.#sizes);
      if (!known.delete(name) && this.#disk.sizeOf(file.path) !== sizeBytes) continue;
      files.push(file);
    }
    for (const gone of known.values()) gone.close();
    for (const old of files.slice(0, -OPEN_FILES_MAX)) old.close();
    this.#files = files;
  }

  /** Adds the file's matches; false when no older file can have more. */
  *#visit(file: IndexFile, isNewest: boolean, search: Search): Generator<void, boolean> {
    const { result } = search;
    search.stepLeft -= FILE_ENTRIES;
    if (search.stepLeft <= 0) yield* this.#pause(search);
    const slot = search.keyHash % this.#sizes.maxHashSlotNum;
    let entryNumber: number;
    try {
      entryNumber = this.#readSlot(file, slot);
      if (!file.isFull) {
        const implausible = file.load();
        if (implausible !== "") result.problems.push({ path: file.path, kind: "header", detail: implausible });
      }
    } catch (error) {
      // Retention may have removed it after it was listed.
      if (this.#disk.sizeOf(file.path) < 0) return true;
      throw error;
    }
    const { header } = file;
    if (isNewest) {
      result.indexLastUpdateTimestamp = header.endTimestamp;
      result.indexLastUpdatePhyOffset = header.endPhyOffset;
    }
    if (entryNumber < 0 || entryNumber > header.indexCount) {
      result.problems.push({ path: file.path, kind: "slot", detail: `slot ${slot} points at entry ${entryNumber}` });
    } else if (entryNumber > 0 && header.indexCount > 1 && overlaps(file, search)) {
      try {
        yield* this.#walk(file, entryNumber, search);
      } catch (error) {
        if (this.#disk.sizeOf(file.path) >= 0) throw error;
      }
    }
    return header.beginTimestamp >= search.beginMs && result.phyOffsets.length < search.countMax && !result.isCutShort;
  }

  #readSlot(file: IndexFile, slot: number): number {
    this.#slot.setInt32(0, 0);
    file.handle.readAt(new Uint8Array(this.#slot.buffer), 0, 4, slotPosition(slot));
    return this.#slot.getInt32(0);
  }

  *#pause(search: Search): Generator<void, void> {
    search.stepLeft = this.#stepEntries;
    yield;
  }

  *#walk(file: IndexFile, newest: number, search: Search): Generator<void, void> {
    const { result, keyHash, beginMs, endMs } = search;
    const fileBegin = file.header.beginTimestamp;
    const entry = search.reader();
    entry.reset(file);
    for (let at = newest; result.phyOffsets.length < search.countMax; at = entry.previous) {
      if (search.visitsLeft-- <= 0) {
        result.isCutShort = true;
        return;
      }
      if (--search.stepLeft <= 0) yield* this.#pause(search);
      if (!entry.read(at) || entry.timeDiff < 0) {
        result.problems.push({ path: file.path, kind: "entry", detail: `entry ${at} is not readable` });
        return;
      }
      if (entry.previous < 0 || entry.previous >= at) {
        result.problems.push({
          path: file.path,
          kind: "entry",
          detail: `entry ${at} points at entry ${entry.previous}`,
        });
      }
      const time = fileBegin + entry.timeDiff * 1000;
      const matches = entry.keyHash === keyHash && time >= beginMs && time <= endMs;
      if (matches && entry.phyOffset >= 0 && entry.phyOffset < search.maxPhyOffset)
        result.phyOffsets.push(entry.phyOffset);
      if (entry.previous <= 0 || entry.previous >= at || time < beginMs) return;
    }
  }
}

function overlaps(file: IndexFile, search: Search): boolean {
  const { beginTimestamp, endTimestamp } = file.header;
  const { beginMs: begin, endMs: end } = search;
  if (begin < beginTimestamp && end > endTimestamp) return true;
  if (begin >= beginTimestamp && begin <= endTimestamp) return true;
  return end >= beginTimestamp && end <= endTimestamp;
}
