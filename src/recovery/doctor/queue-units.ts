/**
 * The units of one queue as its files hold them, whatever their state: nothing is refused, cut or written. Reading goes
 * through handles and blocks that all queues of a store share, so fifty thousand of them need no more memory than their
 * names.
 */
import { BlockPool } from "../../consumequeue/block-pool.js";
import { ConsumeQueueReader, type ReaderContext } from "../../consumequeue/consume-queue-reader.js";
import { FileCache } from "../../consumequeue/file-cache.js";
import { queueFileName } from "../../consumequeue/queue-files.js";
import { BLANK_SIZE_BYTES, UNIT_BYTES, UnitBatch } from "../../consumequeue/unit.js";
import type { Disk } from "../../io/disk.js";

const NAME = /^\d{20}$/;
const OPEN_FILES_MAX = 256;
const SCRATCH_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(SCRATCH_BYTES);
const TWO_32 = 2 ** 32;

export interface FileProblem {
  readonly name: string;
  readonly kind: "size" | "hole" | "foreign";
  readonly detail: string;
}

/** The names of one queue's directory, judged. */
export interface QueueListing {
  /** Bases in bytes, in order. */
  readonly bases: readonly number[];
  readonly problems: readonly FileProblem[];
}

export function listQueueFiles(disk: Disk, directory: string, fileBytes: number): QueueListing {
  const bases: number[] = [];
  const problems: FileProblem[] = [];
  const names = disk.list(directory);
  for (const name of names) {
    const base = Number(name);
    if (!NAME.test(name) || !Number.isSafeInteger(base)) {
      // One with the name of a queue's file keeps the store from being opened.
      const isNamed = NAME.test(name);
      const detail = isNamed ? "no queue reaches so far" : "not a queue's file";
      problems.push({ name, kind: isNamed ? "size" : "foreign", detail });
      continue;
    }
    const sizeBytes = disk.sizeOf(`${directory}/${name}`);
    if (sizeBytes === 0 && name === names.at(-1)) continue;
    if (sizeBytes !== fileBytes || base % fileBytes !== 0) {
      problems.push({ name, kind: "size", detail: `${sizeBytes} bytes, expected ${fileBytes}` });
    }
    const before = bases.at(-1);
    if (before !== undefined && base > before + fileBytes) {
      problems.push({ name, kind: "hole", detail: `files for bytes ${before + fileBytes} to ${base} are missing` });
    }
    bases.push(base);
  }
  return { bases, problems };
}

/** What the queues of one store share. */
export class QueueReading {
  readonly context: ReaderContext;
  readonly batch = new UnitBatch(1);
  readonly scratch = Buffer.alloc(SCRATCH_BYTES);

  constructor(disk: Disk, fileBytes: number) {
    this.context = { disk, cache: new FileCache(disk, OPEN_FILES_MAX), blocks: new BlockPool(), fileBytes };
  }

  close(): void {
    this.context.cache.close();
  }
}

export class QueueUnits {
  readonly topic: string;
  readonly queueId: number;
  readonly directory: string;
  /** Offsets that the files have room for: [firstOffset, filesEnd). Both 0 without files. */
  readonly firstOffset: number;
  readonly filesEnd: number;
  readonly problems: readonly FileProblem[];
  /** False when the files are not of one length, one after the other: their units are not to be read then. */
  readonly isReadable: boolean;
  readonly #reading: QueueReading;
  readonly #reader: ConsumeQueueReader;
  /** Of the unit last read. */
  phyOffset = 0;
  sizeBytes = 0;
  tagsHigh = 0;
  tagsLow = 0;

  constructor(reading: QueueReading, directory: string, topic: string, queueId: number) {
    const { disk, fileBytes } = reading.context;
    const { bases, problems } = listQueueFiles(disk, directory, fileBytes);
    this.#reading = reading;
    this.#reader = new ConsumeQueueReader(reading.context, directory);
    this.topic = topic;
    this.queueId = queueId;
    this.directory = directory;
    this.problems = problems;
    this.isReadable = problems.every(({ kind }) => kind === "foreign");
    this.firstOffset = (bases[0] ?? 0) / UNIT_BYTES;
    this.filesEnd = bases.length === 0 ? 0 : (bases.at(-1)! + fileBytes) / UNIT_BYTES;
  }

  get unitsPerFile(): number {
    return this.#reading.context.fileBytes / UNIT_BYTES;
  }

  /** Reads the unit at `queueOffset` into the fields; false where no file has it. */
  read(queueOffset: number): boolean {
    if (!this.isReadable || queueOffset < this.firstOffset || queueOffset >= this.filesEnd) return false;
    const { batch } = this.#reading;
    if (this.#reader.read(queueOffset, 1, this.filesEnd, batch) !== 1) return false;
    this.phyOffset = batch.phyOffset[0]!;
    this.sizeBytes = batch.sizeBytes[0]!;
    this.tagsHigh = batch.tagsCodeHigh[0]!;
    this.tagsLow = batch.tagsCodeLow[0]!;
    return true;
  }

  /** The unit last read is one, by recovery's rule. */
  get counts(): boolean {
    return this.phyOffset >= 0 && this.sizeBytes > 0;
  }

  /** The unit last read fills up a queue and points at no message. */
  get isBlank(): boolean {
    return this.phyOffset === 0 && this.sizeBytes === BLANK_SIZE_BYTES;
  }

  /** Offset behind the last unit, found by halving from the last file that begins with one. */
  end(): number {
    const { unitsPerFile } = this;
    let file = this.filesEnd - unitsPerFile;
    while (file > this.firstOffset && !(this.read(file) && this.counts)) file -= unitsPerFile;
    let low = file - 1;
    let high = Math.min(file + unitsPerFile, this.filesEnd);
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.read(middle) && this.counts) low = middle;
      else high = middle;
    }
    return Math.max(this.firstOffset, high);
  }

  /** First offset in [firstOffset, end) whose unit points at `minPhyOffset` or behind; `end` when none does. */
  firstInLog(minPhyOffset: number, end: number): number {
    let low = this.firstOffset - 1;
    let high = end;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      // A blank says nothing about where it is: the next unit that is none speaks for it.
      let spoken = middle;
      while (this.read(spoken) && this.isBlank && spoken + 1 < high) spoken++;
      if (this.isBlank || this.phyOffset < minPhyOffset) low = spoken;
      else high = middle;
    }
    return high;
  }

  /**
   * Offset of something that is not zero behind `end`, or -1: looks a stretch far into each file, for what follows is a
   * hole to its end.
   */
  strayBehind(end: number): number {
    const { scratch, context } = this.#reading;
    const { unitsPerFile } = this;
    if (!this.isReadable) return -1;
    for (let from = end; from < this.filesEnd; from = from - (from % unitsPerFile) + unitsPerFile) {
      const inFile = from % unitsPerFile;
      const path = `${this.directory}/${queueFileName((from - inFile) * UNIT_BYTES)}`;
      const wanted = Math.min(scratch.length, (unitsPerFile - inFile) * UNIT_BYTES);
      const got = context.cache.find(path)?.readAt(scratch, 0, wanted, inFile * UNIT_BYTES) ?? 0;
      if (scratch.compare(ZEROS, 0, got, 0, got) === 0) continue;
      return from + Math.floor(scratch.findIndex((byte) => byte !== 0) / UNIT_BYTES);
    }
    return -1;
  }

  /** Lets go of the block, so that another queue's reading need not take it away. */
  release(): void {
    this.#reader.invalidate();
  }
}

/** The tags code last read is `tagsCode`, a safe integer. */
export function isTagsCode(high: number, low: number, tagsCode: number): boolean {
  const wantedHigh = Math.floor(tagsCode / TWO_32);
  return high === wantedHigh && low === (tagsCode - wantedHigh * TWO_32) >> 0;
}
