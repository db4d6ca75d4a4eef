/** What a store holds, in numbers: for a person who wants to know whether all is there, and where to look if not. */
import { topicOf } from "./message-line.js";
import type { QueueView } from "./queue-view.js";
import type { StoreDump } from "./store-dump.js";

export interface LogSummary {
  recordCount: number;
  blankCount: number;
  /** Records whose CRC is wrong; they are served as they are. */
  wrongCrcCount: number;
  /** Store times of the first and the last record, 0 without any. */
  firstTimestamp: number;
  lastTimestamp: number;
}

export interface QueueSummary {
  readonly topic: string;
  readonly queueId: number;
  readonly cqType: string;
  readonly minOffset: number;
  readonly maxOffset: number;
  entryCount: number;
  /** Entries that lead to no record. */
  withoutRecordCount: number;
  /** Entries that lead to a record of another offset or queue; light message queues have none of their own. */
  misplacedCount: number;
  firstTimestamp: number;
  lastTimestamp: number;
}

const LMQ_PREFIX = "%LMQ%";

/** Reads the log. */
export function summarizeLog(dump: StoreDump): LogSummary {
  const summary: LogSummary = {
    recordCount: 0,
    blankCount: 0,
    wrongCrcCount: 0,
    firstTimestamp: 0,
    lastTimestamp: 0,
  };
  for (const line of dump.log.lines()) {
    if (line.type === "blank") summary.blankCount++;
    if (line.type !== "log" || typeof line.storeTimestamp !== "number") continue;
    if (summary.recordCount++ === 0) summary.firstTimestamp = line.storeTimestamp;
    summary.lastTimestamp = line.storeTimestamp;
    if (line.crcOk === false) summary.wrongCrcCount++;
  }
  return summary;
}

/** Reads one queue after the other, and the records they lead to. */
export function* summarizeQueues(dump: StoreDump): Generator<QueueSummary> {
  for (const queue of dump.queues()) yield summarizeQueue(dump, queue);
}

function summarizeQueue({ log }: StoreDump, queue: QueueView): QueueSummary {
  const { topic, queueId, cqType, minOffset, maxOffset } = queue;
  const counts = { entryCount: 0, withoutRecordCount: 0, misplacedCount: 0, firstTimestamp: 0, lastTimestamp: 0 };
  for (const entry of queue.entries(minOffset)) {
    counts.entryCount++;
    const bytes = log.bytesAt(entry.phyOffset, entry.sizeBytes);
    const record = bytes === undefined ? undefined : log.decode(bytes);
    if (bytes === undefined || record === undefined) {
      counts.withoutRecordCount++;
      continue;
    }
    if (counts.firstTimestamp === 0) counts.firstTimestamp = record.storeTimestamp;
    counts.lastTimestamp = record.storeTimestamp;
    const isOwn = record.queueOffset === entry.queueOffset && record.queueId === queueId;
    if (!topic.startsWith(LMQ_PREFIX) && !(isOwn && topicOf(record, bytes) === topic)) counts.misplacedCount++;
  }
  return { topic, queueId, cqType, minOffset, maxOffset, ...counts };
}
