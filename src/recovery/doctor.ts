/**
 * Examines a store that nobody uses, Apache's as well as ours, and changes nothing. What it finds comes out one by one
 * while it goes (as bbolt's Check does), in one walk over the log:
 *
 *   - every record: parts, place, body CRC, property CRC; after damage it goes on where the next record certainly begins
 *   - every queue entry and every index entry against the record it stands for, by cursors that move with the walk
 *   - then what is left: entries beyond the log, chains of the index, checkpoints, configuration, strange files
 *
 * Memory does not grow with the log: a cursor a queue, shared file handles and blocks, 16 bytes a damaged stretch, and 8
 * bytes a slot of one index file. What the device refuses to give is a finding, not an end.
 */
import type { Clock } from "../base/clock.js";
import { segmentName } from "../commitlog/segment-queue.js";
import type { Disk } from "../io/disk.js";
import { BLANK_BYTES_MIN } from "../record/layout.js";
import { BatchCheck } from "./doctor/batch-check.js";
import { type Finding, type FindingCode, Findings, type Place, type Severity } from "./doctor/finding.js";
import { IndexCheck } from "./doctor/index-check.js";
import { filesEnd, holesOf, listLog, type LogFile, type LogLayout } from "./doctor/log-files.js";
import { type Flaw, type LogWalk, WalkStep } from "./doctor/log-walk.js";
import { OffsetRanges } from "./doctor/offset-ranges.js";
import { openWalk } from "./doctor/open-walk.js";
import type { Ending } from "./doctor/outlook.js";
import { QueueCheck } from "./doctor/queue-check.js";
import { QueueTargets } from "./doctor/queue-targets.js";
import { checkAbortFile, checkCheckpoints, checkConfig, checkDeletedTopics, listOthers } from "./doctor/side-files.js";
import { relativePath, type StoreFacts } from "./doctor/store-facts.js";
import { END_WORDS } from "./continuation.js";
import { isFiller } from "./quarantine.js";

export interface DoctorOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly facts: StoreFacts;
  /** Whether a broker would understand the text of a configuration file. */
  readonly isConfig: (text: Buffer) => boolean;
  readonly onProgress?: (progress: DoctorProgress) => void;
}

export interface DoctorProgress {
  readonly doing: "log" | "queues" | "index";
  readonly done: number;
  readonly total: number;
}

/** What was examined, whatever was found. */
export interface DoctorReport {
  readonly segmentBytes: number;
  readonly segmentCount: number;
  readonly beginOffset: number;
  readonly endOffset: number;
  readonly recordCount: number;
  readonly recordBytes: number;
  readonly firstStoreTimestamp: number;
  readonly lastStoreTimestamp: number;
  /** Records carry a CRC of the whole record (enabledAppendPropCRC). */
  readonly hasPropertyCrc: boolean;
  readonly queueCount: number;
  /** Entries that lead to their messages. */
  readonly queueEntryCount: number;
  readonly indexFileCount: number;
  readonly indexEntryCount: number;
  /** Stretches of the log that are no records; fillers that stand for some. */
  readonly damaged: OffsetRanges;
  readonly filled: OffsetRanges;
  /** What opening the store does with what lies behind the log's end; undefined where it would refuse the log. */
  readonly ending: Ending | undefined;
  /** Queues ("topic/queueId") with an entry for a damaged message. */
  readonly queuesIntoDamage: ReadonlySet<string>;
  readonly findingCounts: Readonly<Record<Severity, number>>;
}

const DEFAULT_SEGMENT_BYTES = 1024 * 1024 * 1024;
const PROGRESS_RECORDS = 4096;
const PROGRESS_QUEUES = 64;

const FLAWS: Readonly<Record<Flaw, readonly [FindingCode, string]>> = {
  crc: ["log.crc", "the body is not the one its CRC was made of"],
  "property-crc": ["log.property-crc", "the record is not the one its __CRC32# was made of"],
  offset: ["log.offset", "the record says that it lies elsewhere"],
  torn: ["log.cut-short", "the record's end was not written"],
};

/** Yields findings as they are made; returns what was examined. */
export function examineStore(options: DoctorOptions): Generator<Finding, DoctorReport> {
  return new Examination(options).run();
}

class Examination {
  readonly #options: DoctorOptions;
  readonly #facts: StoreFacts;
  readonly #findings = new Findings();
  readonly #layout: LogLayout;
  readonly #damaged = new OffsetRanges();
  readonly #filled = new OffsetRanges();
  readonly #targets: QueueTargets;
  readonly #walk: LogWalk;
  readonly #queues: QueueCheck;
  readonly #batches: BatchCheck;
  readonly #index: IndexCheck;
  readonly #counts: Record<Severity, number> = { error: 0, warning: 0, info: 0 };
  readonly #unreadable = new Set<number>();
  #recordCount = 0;
  #recordBytes = 0;
  #firstStoreTimestamp = 0;
  #previousTimestamp = 0;
  /** The last thing in the log is no sound record: it is known already that something was lost there. */
  #endsInDamage = false;

  constructor(options: DoctorOptions) {
    const { disk, facts } = options;
    this.#options = options;
    this.#facts = facts;
    this.#layout = listLog(disk, facts.places.commitLog, facts.segmentBytes, DEFAULT_SEGMENT_BYTES);
    const beginOffset = this.#layout.files[0]?.base ?? 0;
    const log = { beginOffset, damaged: this.#damaged, filled: this.#filled };
    this.#targets = new QueueTargets(facts);
    this.#queues = new QueueCheck(disk, facts, log, this.#findings);
    this.#batches = new BatchCheck(disk, facts, log, this.#findings);
    this.#index = new IndexCheck(disk, facts, log, this.#findings);
    this.#walk = openWalk({
      disk,
      clock: options.clock,
      facts,
      layout: this.#layout,
      onUnreadable: (file, position) => this.#noteUnreadable(file, position),
    });
  }

  *run(): Generator<Finding, DoctorReport> {
    const { disk, facts, clock, isConfig } = this.#options;
    checkAbortFile(disk, facts, this.#findings);
    this.#judgeLayout();
    yield* this.#drain();
    yield* this.#walkLog();
    const { endOffset } = this.#walk.end!;
    let done = 0;
    const total = this.#queues.queueCount + this.#batches.queueCount;
    for (const check of [this.#queues, this.#batches]) {
      for (const _ of check.finish(endOffset)) {
        if (++done % PROGRESS_QUEUES === 0) this.#options.onProgress?.({ doing: "queues", done, total });
        yield* this.#drain();
      }
    }
    done = 0;
    for (const _ of this.#index.finish(endOffset)) {
      this.#options.onProgress?.({ doing: "index", done: ++done, total: this.#index.directory.files.length });
      yield* this.#drain();
    }
    const beginOffset = this.#layout.files[0]?.base ?? 0;
    const { lastStoreTimestamp } = this.#walk;
    const endsInDamage = this.#endsInDamage;
    const extent = { endOffset, lastStoreTimestamp, endsInDamage, recordCount: this.#recordCount };
    checkCheckpoints(disk, facts, extent, clock.nowMs(), this.#findings);
    checkDeletedTopics(disk, facts, this.#findings);
    checkConfig(disk, facts, isConfig, this.#findings);
    listOthers(disk, facts, this.#findings);
    yield* this.#drain();
    return this.#report(beginOffset, endOffset);
  }

  *#drain(): Generator<Finding> {
    for (const finding of this.#findings.drain()) {
      this.#counts[finding.severity]++;
      yield finding;
    }
  }

  #judgeLayout(): void {
    const { exists, segmentBytes, files, foreign, misaligned, directory } = this.#layout;
    const path = relativePath(this.#facts.places, directory);
    const isUsed = this.#queues.queueCount > 0 || this.#index.directory.files.length > 0;
    if (!exists && isUsed) this.#findings.add("log.missing", { path }, "there is no commit log");
    for (const name of foreign) {
      const isLeftover = name.endsWith(".reserving");
      const what = isLeftover ? "a segment was being made" : "this is no segment";
      this.#findings.add(isLeftover ? "log.empty" : "log.foreign", { path: `${path}/${name}` }, what);
    }
    for (const { name } of misaligned) {
      this.#findings.add("log.misaligned", { path: `${path}/${name}` }, `no multiple of ${segmentBytes}`);
    }
    for (const { name, sizeBytes, base } of files) {
      // One of no length at the end was being made; opening the store removes it.
      if (sizeBytes === segmentBytes || (sizeBytes === 0 && base === files.at(-1)!.base)) continue;
      const what = `${sizeBytes} bytes, segments have ${segmentBytes}`;
      this.#findings.add("log.size", { path: `${path}/${name}`, phyOffset: base }, what);
    }
  }

  *#walkLog(): Generator<Finding> {
    const walk = this.#walk;
    const beginOffset = this.#layout.files[0]?.base ?? 0;
    const total = filesEnd(this.#layout) - beginOffset;
    let steps = 0;
    for (let step = walk.next(); step !== WalkStep.END; step = walk.next()) {
      if (step === WalkStep.RECORD) this.#takeRecord();
      else this.#takeOther(step);
      if (step !== WalkStep.BLANK) this.#endsInDamage = step !== WalkStep.RECORD;
      if (this.#findings.pending.length > 0) yield* this.#drain();
      if (++steps % PROGRESS_RECORDS !== 0) continue;
      this.#options.onProgress?.({ doing: "log", done: walk.to - beginOffset, total });
    }
    this.#endsInDamage ||= walk.end!.tornTo > walk.end!.endOffset;
    this.#judgeEnd();
    yield* this.#drain();
  }

  #takeRecord(): void {
    const walk = this.#walk;
    const { record, bytes, from } = walk;
    if (this.#recordCount === 0) this.#firstStoreTimestamp = record.storeTimestamp;
    else if (record.storeTimestamp < this.#previousTimestamp) {
      const what = `stored ${this.#previousTimestamp - record.storeTimestamp} ms before the record in front of it`;
      this.#findings.add("log.time", this.#place(from, record.totalSize), what);
    }
    this.#previousTimestamp = record.storeTimestamp;
    if (isFiller(record, bytes)) {
      this.#filled.add(from, walk.to);
      this.#findings.add("log.filler", this.#place(from, record.totalSize), "a filler");
      return;
    }
    this.#recordCount++;
    this.#recordBytes += record.totalSize;
    if (walk.crcNote !== "") {
      const isStale = walk.crcNote === "stale";
      const what = isStale ? "__CRC32# does not fit the record" : "forceVerifyPropCRC is set, but there is no __CRC32#";
      this.#findings.add(isStale ? "log.stale-crc" : "log.no-crc", this.#place(from, record.totalSize), what);
    }
    const isSound = this.#targets.visit(record, bytes, (target) => {
      const { tagsCode } = this.#targets;
      if (target.isBatch) this.#batches.put(target, from, record.totalSize, tagsCode, record.storeTimestamp);
      else this.#queues.put(target, from, record.totalSize, tagsCode);
    });
    if (!isSound) {
      const topic = bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength);
      const what = `no queue can be called ${JSON.stringify(topic)} ${record.queueId}, offset ${record.queueOffset}`;
      this.#findings.add("queue.name", this.#place(from, record.totalSize), what);
    }
    this.#index.put(record, bytes, from);
  }

  #takeOther(step: WalkStep): void {
    const walk = this.#walk;
    const { from, to } = walk;
    if (step === WalkStep.BLANK) {
      if (walk.blankBytes === to - from) return;
      const left = `${to - from} are left`;
      const isTooShort = to - from < BLANK_BYTES_MIN;
      const what = isTooShort ? `${left}, too few for a blank` : `a blank says ${walk.blankBytes} bytes where ${left}`;
      this.#findings.add("log.blank", this.#place(from, to - from), what);
      return;
    }
    this.#damaged.add(from, to);
    if (step === WalkStep.HOLE) {
      const what = `the segments for log offsets ${from} to ${to} are missing`;
      const path = relativePath(this.#facts.places, this.#layout.directory);
      this.#findings.add("log.hole", { path, phyOffset: from, lengthBytes: to - from }, what);
    } else if (step === WalkStep.DAMAGE) {
      const what = walk.isZeros ? "zeros where records were" : "bytes that are no record";
      this.#findings.add("log.damage", this.#place(from, to - from), `${to - from} ${what}`);
    } else {
      const [code, what] = FLAWS[walk.flaw];
      this.#findings.add(code, { ...this.#place(from, to - from), ...this.#identity() }, what + this.#shownIdentity());
    }
  }

  #place(phyOffset: number, lengthBytes: number): Place {
    const { segmentBytes, directory } = this.#layout;
    const position = phyOffset % segmentBytes;
    const path = relativePath(this.#facts.places, `${directory}/${segmentName(phyOffset - position)}`);
    return { path, position, phyOffset, lengthBytes, storeTimestamp: this.#walk.lastStoreTimestamp };
  }

  /** What a flawed record says of itself. */
  #identity(): { topic: string; queueId: number } {
    const { record, bytes } = this.#walk;
    const topic = bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength);
    return { topic, queueId: record.queueId };
  }

  #shownIdentity(): string {
    const { topic, queueId } = this.#identity();
    return ` (${JSON.stringify(topic)} queue ${queueId} offset ${this.#walk.record.queueOffset})`;
  }

  #judgeEnd(): void {
    const { endOffset, tornTo, staleCount, usedFiles, emptyFiles, ending } = this.#walk.end!;
    const reason = ending?.reason ?? "torn";
    if (ending?.refusal !== undefined) this.#findings.add("log.format", this.#place(endOffset, 0), ending.refusal);
    // Only of the older ones nobody expects that they are there.
    const isStale = staleCount > 0 && reason === "torn";
    const code = isStale ? "log.stale" : "log.torn";
    const kind = isStale ? "records of an earlier time" : END_WORDS[reason];
    const records = staleCount > 0 ? ` (whole records: ${staleCount})` : "";
    if (tornTo > endOffset) {
      const what = `the log ends at ${endOffset}; the ${tornTo - endOffset} bytes behind are ${kind}${records}`;
      this.#findings.add(code, this.#place(endOffset, tornTo - endOffset), what);
    }
    // Opening refuses what lies there, even if it is of no use.
    const holeEnd = holesOf(this.#layout).find(({ from }) => from >= endOffset)?.to ?? Number.POSITIVE_INFINITY;
    for (const { base } of usedFiles) {
      const what = `the log ends at ${endOffset}; in this segment behind its end are ${kind}${records}`;
      this.#findings.add(base >= holeEnd ? "log.hole" : code, this.#place(base, 0), what);
    }
    if (this.#endsInDamage && ending !== undefined && ending.notedEnd > endOffset) {
      const what = `the log is shorter than it was: it reached ${ending.notedEnd}, and ends at ${endOffset}`;
      this.#findings.add("log.shorter", this.#place(endOffset, ending.notedEnd - endOffset), what);
    }
    for (const { base } of emptyFiles) {
      const isCutOff = base >= holeEnd;
      const what = isCutOff ? "an empty segment, and the one in front of it is missing" : "an empty segment";
      this.#findings.add(isCutOff ? "log.hole" : "log.empty", this.#place(base, 0), what);
    }
  }

  #noteUnreadable(file: LogFile, position: number): void {
    if (this.#unreadable.has(file.base + position)) return;
    this.#unreadable.add(file.base + position);
    this.#findings.add(
      "log.unreadable",
      this.#place(file.base + position, 4096),
      "the device does not give these bytes",
    );
  }

  #report(beginOffset: number, endOffset: number): DoctorReport {
    return {
      segmentBytes: this.#layout.segmentBytes,
      segmentCount: this.#layout.files.length,
      beginOffset,
      endOffset,
      recordCount: this.#recordCount,
      recordBytes: this.#recordBytes,
      firstStoreTimestamp: this.#firstStoreTimestamp,
      lastStoreTimestamp: this.#walk.lastStoreTimestamp,
      hasPropertyCrc: this.#walk.hasPropertyCrc || this.#facts.propertyCrc !== "unknown",
      queueCount: this.#queues.queueCount + this.#batches.queueCount,
      queueEntryCount: this.#queues.entryCount + this.#batches.entryCount,
      indexFileCount: this.#index.directory.files.length,
      indexEntryCount: this.#index.entryCount,
      damaged: this.#damaged,
      filled: this.#filled,
      ending: this.#walk.end!.ending,
      queuesIntoDamage: new Set([...this.#queues.intoDamage, ...this.#batches.intoDamage]),
      findingCounts: this.#counts,
    };
  }
}
