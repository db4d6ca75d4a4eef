/**
 * What a store holds, at a glance: segments, queues, index files, checkpoints. Read from file names, heads and ends, so
 * it takes seconds on a large store; with `count` the whole log is walked, and numbers are exact and damage is known.
 */
import type { Clock } from "../base/clock.js";
import { BATCH_UNIT_BYTES, batchEndOffset, batchUnitCounts, readBatchUnit } from "../consumequeue/batch-unit.js";
import { listQueues, type QueueLocation } from "../consumequeue/queue-directory.js";
import { queueFileName } from "../consumequeue/queue-files.js";
import { IndexDirectory } from "../index/index-directory.js";
import type { Disk } from "../io/disk.js";
import { RecordVerdict, RecordView } from "../record/record-view.js";
import { abortFileExists, readAbortPid } from "./abort-file.js";
import { StoreCheckpoint } from "./checkpoint.js";
import { type DispatchCheckpoint, readDispatchCheckpoint } from "./dispatch-checkpoint.js";
import { LogBytes } from "./doctor/log-bytes.js";
import { fileAt, filesEnd, holesOf, listLog, type LogFile, type LogLayout } from "./doctor/log-files.js";
import { WalkStep } from "./doctor/log-walk.js";
import { openWalk } from "./doctor/open-walk.js";
import { OffsetRanges } from "./doctor/offset-ranges.js";
import { listQueueFiles, QueueReading, QueueUnits } from "./doctor/queue-units.js";
import type { StoreFacts } from "./doctor/store-facts.js";
import { isFiller } from "./quarantine.js";

export interface SegmentSummary {
  readonly name: string;
  readonly base: number;
  readonly sizeBytes: number;
  /** Up to the log's end. */
  readonly usedBytes: number;
  /** Counted, or estimated from the first records' sizes. */
  readonly recordCount: number;
  /** Of its first record; 0 when it does not begin with one. */
  readonly firstStoreTimestamp: number;
}

export interface QueueSummary {
  readonly topic: string;
  readonly queueId: number;
  readonly isBatch: boolean;
  readonly minOffset: number;
  readonly maxOffset: number;
  /** Log offset of the first message, and behind the last one; both 0 without messages. */
  readonly firstPhyOffset: number;
  readonly endPhyOffset: number;
  /** 0 without messages. */
  readonly lastStoreTimestamp: number;
}

export interface IndexSummary {
  readonly name: string;
  readonly entryCount: number;
  readonly entryMax: number;
  readonly usedSlots: number;
  readonly slotMax: number;
  readonly beginTimestamp: number;
  readonly endTimestamp: number;
  readonly beginPhyOffset: number;
  readonly endPhyOffset: number;
}

export interface StoreSurvey {
  readonly segmentBytes: number;
  readonly isCounted: boolean;
  readonly segments: readonly SegmentSummary[];
  readonly beginOffset: number;
  readonly endOffset: number;
  /** Behind the last file. */
  readonly filesEnd: number;
  readonly recordCount: number;
  readonly firstStoreTimestamp: number;
  readonly lastStoreTimestamp: number;
  readonly queues: readonly QueueSummary[];
  readonly indexFiles: readonly IndexSummary[];
  readonly indexProblems: readonly string[];
  /** Missing segments; damage and fillers are known after a count only. */
  readonly holes: readonly { from: number; to: number }[];
  readonly damaged: OffsetRanges;
  readonly filled: OffsetRanges;
  readonly wrongSizes: readonly string[];
  readonly checkpoint: StoreCheckpoint;
  readonly dispatchCheckpoint: DispatchCheckpoint | undefined;
  readonly isAborted: boolean;
  readonly abortPid: number | undefined;
}

export interface SurveyOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly facts: StoreFacts;
  /** Walk the whole log. */
  readonly count: boolean;
  readonly onProgress?: (done: number, total: number) => void;
}

const DEFAULT_SEGMENT_BYTES = 1024 * 1024 * 1024;
const SAMPLE_BYTES = 256 * 1024;
const PROGRESS_RECORDS = 4096;

export function surveyStore(options: SurveyOptions): StoreSurvey {
  return new Survey(options).run();
}

class Survey {
  readonly #options: SurveyOptions;
  readonly #layout: LogLayout;
  readonly #bytes: LogBytes;
  readonly #record = new RecordView();
  readonly #counts = new Map<number, number>();
  readonly #damaged = new OffsetRanges();
  readonly #filled = new OffsetRanges();
  #endOffset = 0;
  #lastStoreTimestamp = 0;

  constructor(options: SurveyOptions) {
    const { disk, facts } = options;
    this.#options = options;
    this.#layout = listLog(disk, facts.places.commitLog, facts.segmentBytes, DEFAULT_SEGMENT_BYTES);
    this.#bytes = new LogBytes(disk, this.#layout.segmentBytes, () => {});
  }

  run(): StoreSurvey {
    const { disk, clock, facts, count } = this.#options;
    const { places } = facts;
    const layout = this.#layout;
    const queues = [...this.#simpleQueues(), ...this.#batchQueues()];
    if (count) this.#walk(layout.files[0]?.base ?? 0);
    else this.#walk(this.#lastKnown(queues));
    const segments = layout.files.map((file) => this.#segment(file));
    const index = IndexDirectory.load(disk, places.index, facts.indexSizes);
    const checkpoint = StoreCheckpoint.load(disk, places.checkpoint, clock.nowMs());
    checkpoint.close();
    this.#bytes.close();
    return {
      segmentBytes: layout.segmentBytes,
      isCounted: count,
      segments,
      beginOffset: layout.files[0]?.base ?? 0,
      endOffset: this.#endOffset,
      filesEnd: filesEnd(layout),
      recordCount: segments.reduce((sum, { recordCount }) => sum + recordCount, 0),
      firstStoreTimestamp: segments[0]?.firstStoreTimestamp ?? 0,
      lastStoreTimestamp: queues.reduce(
        (last, queue) => Math.max(last, queue.lastStoreTimestamp),
        this.#lastStoreTimestamp,
      ),
      queues,
      indexFiles: indexSummaries(index),
      indexProblems: index.problems.map(({ path, detail }) => `${path}: ${detail}`),
      holes: holesOf(layout),
      damaged: this.#damaged,
      filled: this.#filled,
      wrongSizes: layout.files.filter(({ sizeBytes }) => sizeBytes !== layout.segmentBytes).map(({ name }) => name),
      checkpoint,
      dispatchCheckpoint: readDispatchCheckpoint(disk, places.dispatchCheckpoint),
      isAborted: abortFileExists(disk, places.abort),
      abortPid: readAbortPid(disk, places.abort),
    };
  }

  /** A record boundary as near to the log's end as the queues know one, else the last segment that begins with a record. */
  #lastKnown(queues: readonly QueueSummary[]): number {
    const layout = this.#layout;
    const known = queues.reduce((max, { endPhyOffset }) => Math.max(max, endPhyOffset), -1);
    if (known >= 0 && known <= filesEnd(layout) && (known === 0 || fileAt(layout, known - 1) !== undefined)) {
      return known;
    }
    const used = layout.files.findLast((file) => this.#readRecord(file.base));
    return used?.base ?? layout.files[0]?.base ?? 0;
  }

  #walk(from: number): void {
    const { disk, clock, facts, count, onProgress } = this.#options;
    const walk = openWalk({ disk, clock, facts, layout: this.#layout });
    const { segmentBytes } = this.#layout;
    walk.seek(from);
    let steps = 0;
    for (let step = walk.next(); step !== WalkStep.END; step = walk.next()) {
      if (step === WalkStep.RECORD) {
        const base = walk.from - (walk.from % segmentBytes);
        if (count) this.#counts.set(base, (this.#counts.get(base) ?? 0) + 1);
        if (isFiller(walk.record, walk.bytes)) this.#filled.add(walk.from, walk.to);
      } else if (step !== WalkStep.BLANK) this.#damaged.add(walk.from, walk.to);
      if (++steps % PROGRESS_RECORDS === 0) onProgress?.(walk.to - from, filesEnd(this.#layout) - from);
    }
    this.#endOffset = walk.end!.endOffset;
    this.#lastStoreTimestamp = walk.lastStoreTimestamp;
  }

  #segment(file: LogFile): SegmentSummary {
    const { segmentBytes } = this.#layout;
    const usedBytes = Math.min(segmentBytes, Math.max(0, this.#endOffset - file.base));
    const hasFirst = usedBytes > 0 && this.#readRecord(file.base);
    const firstStoreTimestamp = hasFirst ? this.#record.storeTimestamp : 0;
    const recordCount = this.#options.count ? (this.#counts.get(file.base) ?? 0) : this.#estimate(file, usedBytes);
    const { name, base, sizeBytes } = file;
    return { name, base, sizeBytes, usedBytes, recordCount, firstStoreTimestamp };
  }

  #estimate(file: LogFile, usedBytes: number): number {
    let position = 0;
    let count = 0;
    while (position < Math.min(SAMPLE_BYTES, usedBytes)) {
      // A blank: these are all.
      if (!this.#readRecord(file.base + position)) return count;
      position += this.#record.totalSize;
      count++;
    }
    return count === 0 ? 0 : Math.round((count * usedBytes) / position);
  }

  /** Reads the record at `phyOffset`; false where there is none. */
  #readRecord(phyOffset: number): boolean {
    const file = fileAt(this.#layout, phyOffset);
    if (file === undefined) return false;
    const position = phyOffset - file.base;
    let at = this.#bytes.reach(file, position, 1);
    let verdict = this.#record.read(this.#bytes.view, at, this.#bytes.to - this.#bytes.from);
    const { totalSize } = this.#record;
    if (verdict === RecordVerdict.TRUNCATED && position + totalSize <= this.#layout.segmentBytes) {
      at = this.#bytes.reach(file, position, totalSize);
      verdict = this.#record.read(this.#bytes.view, at, this.#bytes.to - this.#bytes.from);
    }
    return verdict === RecordVerdict.RECORD && this.#record.phyOffset === phyOffset;
  }

  *#simpleQueues(): Generator<QueueSummary> {
    const { disk, facts } = this.#options;
    const reading = new QueueReading(disk, facts.queueFileBytes);
    const beginOffset = this.#layout.files[0]?.base ?? 0;
    for (const { topic, queueId, directory } of listQueues(disk, facts.places.consumeQueue).queues) {
      const units = new QueueUnits(reading, directory, topic, queueId);
      const maxOffset = units.end();
      const minOffset = units.firstInLog(beginOffset, maxOffset);
      const hasMessages = maxOffset > minOffset;
      const firstPhyOffset = hasMessages && units.read(minOffset) ? units.phyOffset : 0;
      const hasLast = hasMessages && units.read(maxOffset - 1) && !units.isBlank;
      const lastPhyOffset = units.phyOffset;
      const endPhyOffset = hasLast ? lastPhyOffset + units.sizeBytes : 0;
      units.release();
      const lastStoreTimestamp = hasLast && this.#readRecord(lastPhyOffset) ? this.#record.storeTimestamp : 0;
      yield { topic, queueId, isBatch: false, minOffset, maxOffset, firstPhyOffset, endPhyOffset, lastStoreTimestamp };
    }
    reading.close();
  }

  *#batchQueues(): Generator<QueueSummary> {
    const { disk, facts } = this.#options;
    for (const location of listQueues(disk, facts.places.batchConsumeQueue).queues) yield this.#batchQueue(location);
  }

  /** Such queues are few: their units are read one by one. */
  #batchQueue({ topic, queueId, directory }: QueueLocation): QueueSummary {
    const { disk, facts } = this.#options;
    const { bases } = listQueueFiles(disk, directory, facts.batchFileBytes);
    const bytes = Buffer.alloc(BATCH_UNIT_BYTES);
    const view = new DataView(bytes.buffer, bytes.byteOffset, BATCH_UNIT_BYTES);
    let summary: QueueSummary = {
      topic,
      queueId,
      isBatch: true,
      minOffset: 0,
      maxOffset: 0,
      firstPhyOffset: 0,
      endPhyOffset: 0,
      lastStoreTimestamp: 0,
    };
    for (const base of bases) {
      const file = disk.openFile(`${directory}/${queueFileName(base)}`, false);
      for (let at = 0; at < facts.batchFileBytes; at += BATCH_UNIT_BYTES) {
        if (file.readAt(bytes, 0, BATCH_UNIT_BYTES, at) < BATCH_UNIT_BYTES || !batchUnitCounts(view, 0)) break;
        const unit = readBatchUnit(view, 0);
        const isFirst = summary.endPhyOffset === 0;
        summary = {
          ...summary,
          minOffset: isFirst ? unit.queueOffset : summary.minOffset,
          firstPhyOffset: isFirst ? unit.phyOffset : summary.firstPhyOffset,
          maxOffset: batchEndOffset(view, 0),
          endPhyOffset: unit.phyOffset + unit.sizeBytes,
          lastStoreTimestamp: unit.storeTimestamp,
        };
      }
      file.close();
    }
    return summary;
  }
}

function indexSummaries(index: IndexDirectory): IndexSummary[] {
  const { maxHashSlotNum, maxIndexNum } = index.sizes;
  return index.files.map(({ name, header }) => ({
    name,
    entryCount: header.indexCount - 1,
    entryMax: maxIndexNum - 1,
    usedSlots: header.hashSlotCount,
    slotMax: maxHashSlotNum,
    beginTimestamp: header.beginTimestamp,
    endTimestamp: header.endTimestamp,
    beginPhyOffset: header.beginPhyOffset,
    endPhyOffset: header.endPhyOffset,
  }));
}
