/**
 * Checks the index against the log in the same walk: entries lie in the files in the order of the log, so one cursor
 * over all files meets each record with its own entries. They must carry the hashes of its keys, and no others; entries
 * in between point at no record. Chains and slots are checked file by file afterwards (8 bytes a slot are held).
 *
 * Entries for tags are not asked for, though known: older releases of Apache do not write them. Two equal entries for
 * one record are in order, for a recovery may index the record at the index's end once more.
 */
import { readInt64 } from "../../base/int64.js";
import { IndexDirectory } from "../../index/index-directory.js";
import {
  ENTRY_PHY_OFFSET,
  entryPosition,
  INDEX_ENTRY_BYTES,
  type IndexFile,
  type IndexProblem,
} from "../../index/index-file.js";
import { extendHash, extendHashSign, extendTagSign, storedHash } from "../../index/index-key.js";
import { inspectIndexFile } from "../../index/index-repair.js";
import type { Disk } from "../../io/disk.js";
import { PropertyScan } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import type { RecordView } from "../../record/record-view.js";
import { TRANSACTION_ROLLBACK_TYPE, transactionType } from "../../record/sys-flag.js";
import type { FindingCode, Findings } from "./finding.js";
import type { LogKnowledge } from "./queue-check.js";
import { relativePath, type StoreFacts } from "./store-facts.js";

const BLOCK_ENTRIES = 4096;
const SPACE = 0x20;
const UNIQ_KEY = 0;
const KEYS = 1;
const TAGS = 2;

interface MissingRun {
  readonly firstPhyOffset: number;
  lastPhyOffset: number;
  count: number;
}

interface EntryRun {
  readonly code: FindingCode;
  readonly file: IndexFile;
  readonly entryNumber: number;
  readonly phyOffset: number;
  count: number;
}

export class IndexCheck {
  /** Entries that were found in order. */
  entryCount = 0;
  readonly directory: IndexDirectory;
  readonly #facts: StoreFacts;
  readonly #log: LogKnowledge;
  readonly #findings: Findings;
  readonly #properties = new PropertyScan([
    PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX,
    PropertyName.KEYS,
    PropertyName.TAGS,
  ]);
  readonly #block = new DataView(new ArrayBuffer(BLOCK_ENTRIES * INDEX_ENTRY_BYTES));
  #fileIndex = 0;
  #entryNumber = 1;
  /** Entries [blockFirst, blockEnd) of the file are in the block. */
  #blockFirst = 0;
  #blockEnd = 0;
  readonly #hashes: number[] = [];
  /** Whether the entry of each key has come by. */
  readonly #seen: boolean[] = [];
  #missing: MissingRun | undefined;
  #run: EntryRun | undefined;

  constructor(disk: Disk, facts: StoreFacts, log: LogKnowledge, findings: Findings) {
    this.#facts = facts;
    this.#log = log;
    this.#findings = findings;
    this.directory = IndexDirectory.load(disk, facts.places.index, facts.indexSizes);
    for (const { path, kind, detail } of this.directory.problems) {
      findings.add(this.#codeOf(kind), { path: relativePath(facts.places, path) }, detail);
    }
  }

  /** A length that only some files have is theirs, not a matter of options. */
  #codeOf(kind: IndexProblem["kind"]): FindingCode {
    const isCutShort = kind === "size" && this.directory.files.length > 0;
    return isCutShort || kind === "slot" || kind === "entry" ? "index.structure" : `index.${kind}`;
  }

  /** Not where the store has no index, nor where files have another size than the options say. */
  get #isCompared(): boolean {
    return this.#facts.indexEnabled && this.directory.problems.every(({ kind }) => kind !== "size");
  }

  /** A sound record at `phyOffset`. */
  put(record: RecordView, bytes: Buffer, phyOffset: number): void {
    if (!this.#isCompared) return;
    this.#hash(record, bytes);
    const seen = this.#seen.fill(false);
    for (let at = this.#current(); at >= 0; at = this.#current()) {
      const entryOffset = readInt64(this.#block, at + ENTRY_PHY_OFFSET);
      if (entryOffset > phyOffset) break;
      if (entryOffset < phyOffset) this.#judgeOrphan(entryOffset);
      else this.#judgeEntry(this.#block.getInt32(at), phyOffset);
      this.#entryNumber++;
    }
    if (seen.includes(false)) this.#miss(phyOffset);
    else if (seen.length > 0) this.#endMissing();
  }

  /** Hashes of the record's keys, each of which must be in the index; that of its tags comes last and need not. */
  #hash(record: RecordView, bytes: Buffer): void {
    const hashes = this.#hashes;
    hashes.length = 0;
    this.#seen.length = 0;
    if (transactionType(record.sysFlag) === TRANSACTION_ROLLBACK_TYPE) return;
    const { starts, ends } = this.#properties;
    this.#properties.scan(bytes, record.propertiesStart, record.propertiesStart + record.propertiesLength);
    const topicHash = extendHashSign(extendHash(0, bytes, record.topicStart, record.topicStart + record.topicLength));
    if (starts[UNIQ_KEY]! >= 0)
      hashes.push(storedHash(extendHash(topicHash, bytes, starts[UNIQ_KEY]!, ends[UNIQ_KEY]!)));
    if (starts[KEYS]! >= 0) {
      const keysEnd = ends[KEYS]!;
      for (let start = starts[KEYS]!; start < keysEnd; ) {
        let end = start;
        while (end < keysEnd && bytes[end] !== SPACE) end++;
        if (end > start) hashes.push(storedHash(extendHash(topicHash, bytes, start, end)));
        start = end + 1;
      }
    }
    this.#seen.length = hashes.length;
    if (starts[TAGS]! >= 0) {
      hashes.push(storedHash(extendHash(extendTagSign(topicHash), bytes, starts[TAGS]!, ends[TAGS]!)));
    }
  }

  /** Position in the block of the next entry of all files; -1 when there is none. */
  #current(): number {
    const { files, sizes } = this.directory;
    for (;;) {
      const file = files[this.#fileIndex];
      if (file === undefined) return -1;
      if (this.#entryNumber >= file.header.indexCount) {
        file.close();
        this.#fileIndex++;
        this.#entryNumber = 1;
        this.#blockEnd = 0;
        continue;
      }
      if (this.#entryNumber >= this.#blockEnd || this.#entryNumber < this.#blockFirst) {
        const count = Math.min(BLOCK_ENTRIES, file.header.indexCount - this.#entryNumber);
        const target = new Uint8Array(this.#block.buffer, 0, count * INDEX_ENTRY_BYTES);
        target.fill(0);
        file.handle.readAt(target, 0, target.length, entryPosition(sizes, this.#entryNumber));
        this.#blockFirst = this.#entryNumber;
        this.#blockEnd = this.#entryNumber + count;
      }
      return (this.#entryNumber - this.#blockFirst) * INDEX_ENTRY_BYTES;
    }
  }

  /** One entry stands for all keys of its hash. */
  #judgeEntry(keyHash: number, phyOffset: number): void {
    let known = false;
    for (let i = 0; i < this.#hashes.length; i++) {
      if (this.#hashes[i] !== keyHash) continue;
      known = true;
      if (i < this.#seen.length) this.#seen[i] = true;
    }
    if (known || this.#log.filled.contains(phyOffset)) {
      this.entryCount++;
      this.#endRun();
    } else this.#fault("index.key", phyOffset);
  }

  #judgeOrphan(phyOffset: number): void {
    const { beginOffset, damaged, filled } = this.#log;
    if (phyOffset < beginOffset || damaged.contains(phyOffset) || filled.contains(phyOffset)) return;
    this.#fault("index.no-record", phyOffset);
  }

  #fault(code: FindingCode, phyOffset: number): void {
    const file = this.directory.files[this.#fileIndex]!;
    if (this.#run?.code === code && this.#run.file === file) {
      this.#run.count++;
      return;
    }
    this.#endRun();
    this.#run = { code, file, entryNumber: this.#entryNumber, phyOffset, count: 1 };
  }

  #endRun(): void {
    const run = this.#run;
    if (run === undefined) return;
    this.#run = undefined;
    const { code, file, entryNumber, phyOffset, count } = run;
    const entries = count === 1 ? `entry ${entryNumber}` : `${count} entries from ${entryNumber} on`;
    const what =
      code === "index.key"
        ? `${entries}: the message at ${phyOffset} has no key with this hash`
        : code === "index.beyond-log"
          ? `${entries} point beyond the log's end, at ${phyOffset} and behind`
          : `${entries}: at ${phyOffset} begins no message`;
    const position = entryPosition(this.directory.sizes, entryNumber);
    this.#findings.add(code, { path: relativePath(this.#facts.places, file.path), position, phyOffset }, what);
  }

  #miss(phyOffset: number): void {
    this.#missing ??= { firstPhyOffset: phyOffset, lastPhyOffset: phyOffset, count: 0 };
    this.#missing.lastPhyOffset = phyOffset;
    this.#missing.count++;
  }

  #endMissing(): void {
    if (this.#missing === undefined) return;
    const { firstPhyOffset, lastPhyOffset, count } = this.#missing;
    this.#missing = undefined;
    const path = relativePath(this.#facts.places, this.#facts.places.index);
    const none = this.directory.files.length === 0 ? ", for there is no index file" : "";
    const what = `${count} messages with keys, from ${firstPhyOffset} to ${lastPhyOffset}, are not in the index${none}`;
    this.#findings.add("index.missing", { path, phyOffset: firstPhyOffset }, what);
  }

  /** The log ends at `endOffset`; then files one by one. */
  *finish(endOffset: number): Generator<void> {
    for (let at = this.#isCompared ? this.#current() : -1; at >= 0; at = this.#current()) {
      const phyOffset = readInt64(this.#block, at + ENTRY_PHY_OFFSET);
      if (phyOffset >= endOffset) this.#fault("index.beyond-log", phyOffset);
      else this.#judgeOrphan(phyOffset);
      this.#entryNumber++;
    }
    this.#endRun();
    this.#endMissing();
    for (const file of this.directory.files) {
      const problem = inspectIndexFile(file);
      file.close();
      if (problem !== "") {
        this.#findings.add("index.structure", { path: relativePath(this.#facts.places, file.path) }, problem);
      }
      yield;
    }
  }
}
