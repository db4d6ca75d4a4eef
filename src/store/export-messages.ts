/**
 * The messages of a store, one by one in the order of the log: read-only, streaming, and past damage, up to where the log
 * would end if the store were opened. Queues and index are only asked where to begin, so a store without them exports all
 * the same; so does one that does not open, to its last record.
 */
import type { Clock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import type { Disk } from "../io/disk.js";
import { PropertyScan } from "../record/properties.js";
import { PropertyName } from "../record/property-names.js";
import type { RecordView } from "../record/record-view.js";
import { liveRecords } from "../recovery/doctor/live-records.js";
import type { DeletedTopics } from "../recovery/deleted-topics.js";
import { filesEnd, listLog, type LogLayout } from "../recovery/doctor/log-files.js";
import { type LogEnd, LogWalk, WalkStep } from "../recovery/doctor/log-walk.js";
import { type Outlook, outlookOf } from "../recovery/doctor/outlook.js";
import { QueueReading, QueueUnits } from "../recovery/doctor/queue-units.js";
import type { StoreFacts } from "../recovery/doctor/store-facts.js";
import { isFiller } from "../recovery/quarantine.js";
import { type BodyForm, type MessageLine, messageLineOf } from "./message-line.js";
import { SEGMENT_BYTES } from "./options.js";

/** What is left out is not asked for. Beginnings are included, ends are not. */
export interface ExportFilter {
  readonly topic?: string;
  readonly queueId?: number;
  readonly fromOffset?: number;
  readonly toOffset?: number;
  readonly fromTime?: number;
  readonly toTime?: number;
  /** The unique key, or one of the keys. */
  readonly key?: string;
  readonly limit?: number;
}

export interface ExportOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly facts: StoreFacts;
  readonly filter: ExportFilter;
  readonly bodyForm: BodyForm;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface ExportReport {
  readonly messageCount: number;
  /** Stretches of the log, and their bytes, that are no messages any more. */
  readonly damagedCount: number;
  readonly damagedBytes: number;
  /**
   * Messages whose `__CRC32#` does not fit, or is lacking where brokers ask for it: recovery keeps them, and they are
   * among the others.
   */
  readonly wrongPropertyCrcCount: number;
  /** Undefined when nothing wanted could come any more before the log's end. */
  readonly end: LogEnd | undefined;
}

const PROGRESS_RECORDS = 4096;
const UNIQ_KEY = 0;
const KEYS = 1;

export function* exportMessages(options: ExportOptions): Generator<MessageLine, ExportReport> {
  const { disk, clock, facts, filter, bodyForm, onProgress } = options;
  const layout = listLog(disk, facts.places.commitLog, facts.segmentBytes, SEGMENT_BYTES);
  const wanted = new Wanted(filter, facts.deletedTopics);
  const wantedFrom = startOffset(disk, facts, filter, layout);
  const outlook = outlookOf(disk, facts, layout, clock.nowMs());
  const from = allowedStart(outlook, wantedFrom, layout);
  const isLive = liveRecords(disk, facts);
  const walk = new LogWalk({ disk, layout, propertyCrc: facts.propertyCrc, isLive, outlook });
  let messageCount = 0;
  let damagedCount = 0;
  let damagedBytes = 0;
  let wrongPropertyCrcCount = 0;
  let steps = 0;
  walk.seek(from);
  for (let step = walk.next(); step !== WalkStep.END; step = walk.next()) {
    if (++steps % PROGRESS_RECORDS === 0) onProgress?.(walk.to - from, filesEnd(layout) - from);
    if (step === WalkStep.BLANK) continue;
    const isKept = step === WalkStep.FLAWED && walk.flaw === "property-crc";
    if (step !== WalkStep.RECORD && !isKept) {
      damagedCount++;
      damagedBytes += walk.to - walk.from;
      continue;
    }
    if (wanted.isOver(walk.record, walk.bytes)) break;
    if (isFiller(walk.record, walk.bytes) || !wanted.takes(walk.record, walk.bytes)) continue;
    if (isKept || walk.crcNote !== "") wrongPropertyCrcCount++;
    yield messageLineOf(walk.record, walk.bytes, bodyForm);
    if (++messageCount === filter.limit) break;
  }
  walk.close();
  return { messageCount, damagedCount, damagedBytes, wrongPropertyCrcCount, end: walk.end };
}

/** Where the log might end before `phyOffset`, only a walk from its begin tells. */
function allowedStart(outlook: Outlook | undefined, phyOffset: number, { files }: LogLayout): number {
  const begin = files[0]?.base ?? 0;
  if (outlook === undefined || phyOffset === begin) return phyOffset;
  try {
    return outlook.mayBeginAt(phyOffset) ? phyOffset : begin;
  } catch (error) {
    if (error instanceof CometError) return begin;
    throw error;
  }
}

/** The first record that can be wanted; a queue knows it exactly, a time to the nearest segment. */
function startOffset(disk: Disk, facts: StoreFacts, filter: ExportFilter, layout: LogLayout): number {
  const begin = layout.files[0]?.base ?? 0;
  const { topic, queueId, fromOffset, fromTime } = filter;
  if (topic !== undefined && queueId !== undefined && !facts.batchTopics.has(topic)) {
    const reading = new QueueReading(disk, facts.queueFileBytes);
    const directory = `${facts.places.consumeQueue}/${topic}/${queueId}`;
    const units = new QueueUnits(reading, directory, topic, queueId);
    const isThere = units.read(fromOffset ?? units.firstOffset) && units.counts && !units.isBlank;
    const { phyOffset } = units;
    reading.close();
    // An entry that leads elsewhere would hide messages: the record itself must say the same.
    if (isThere && phyOffset >= begin && begins(disk, layout, phyOffset, filter)) return phyOffset;
  }
  return fromTime === undefined ? begin : segmentBefore(disk, layout, fromTime);
}

function begins(
  disk: Disk,
  layout: LogLayout,
  phyOffset: number,
  { topic, queueId, fromOffset }: ExportFilter,
): boolean {
  const walk = new LogWalk({ disk, layout });
  walk.seek(phyOffset);
  const { record } = walk;
  const isRecord = walk.next() === WalkStep.RECORD && walk.from === phyOffset;
  const found = isRecord ? walk.bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength) : "";
  walk.close();
  return found === topic && record.queueId === queueId && record.queueOffset === (fromOffset ?? 0);
}

/** The last segment whose first record is older than `fromTime`. Times of a log do not decrease, but by the clock. */
function segmentBefore(disk: Disk, layout: LogLayout, fromTime: number): number {
  const walk = new LogWalk({ disk, layout });
  let start = layout.files[0]?.base ?? 0;
  for (const { base } of layout.files) {
    walk.seek(base);
    if (walk.next() !== WalkStep.RECORD || walk.record.storeTimestamp >= fromTime) break;
    start = base;
  }
  walk.close();
  return start;
}

class Wanted {
  readonly #filter: ExportFilter;
  readonly #deleted: DeletedTopics;
  readonly #scan = new PropertyScan([PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX, PropertyName.KEYS]);

  constructor(filter: ExportFilter, deleted: DeletedTopics) {
    this.#filter = filter;
    this.#deleted = deleted;
  }

  takes(record: RecordView, bytes: Buffer): boolean {
    const { queueId, fromOffset, toOffset, fromTime, toTime, key } = this.#filter;
    if (queueId !== undefined && record.queueId !== queueId) return false;
    if (fromOffset !== undefined && record.queueOffset < fromOffset) return false;
    if (toOffset !== undefined && record.queueOffset >= toOffset) return false;
    if (fromTime !== undefined && record.storeTimestamp < fromTime) return false;
    if (toTime !== undefined && record.storeTimestamp >= toTime) return false;
    if (!this.#isTopic(record, bytes) || this.#isDeleted(record, bytes)) return false;
    return key === undefined || this.#hasKey(record, bytes, key);
  }

  /** Nothing wanted can come any more. */
  isOver(record: RecordView, bytes: Buffer): boolean {
    const { topic, queueId, toOffset } = this.#filter;
    if (topic === undefined || queueId === undefined || toOffset === undefined) return false;
    if (record.queueId !== queueId || record.queueOffset < toOffset || !this.#isTopic(record, bytes)) return false;
    // The topic that was deleted had its own offsets, and what follows has them anew.
    return !this.#isDeleted(record, bytes);
  }

  #isTopic({ topicStart, topicLength }: RecordView, bytes: Buffer): boolean {
    const { topic } = this.#filter;
    return topic === undefined || bytes.toString("utf8", topicStart, topicStart + topicLength) === topic;
  }

  #isDeleted({ phyOffset, topicStart, topicLength }: RecordView, bytes: Buffer): boolean {
    if (this.#deleted.size === 0) return false;
    return phyOffset < (this.#deleted.get(bytes.toString("utf8", topicStart, topicStart + topicLength)) ?? 0);
  }

  #hasKey({ propertiesStart, propertiesLength }: RecordView, bytes: Buffer, key: string): boolean {
    this.#scan.scan(bytes, propertiesStart, propertiesStart + propertiesLength);
    return (
      this.#scan.text(bytes, UNIQ_KEY) === key || (this.#scan.text(bytes, KEYS)?.split(" ").includes(key) ?? false)
    );
  }
}
