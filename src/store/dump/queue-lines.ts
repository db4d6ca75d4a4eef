/** Every queue: its bounds, its messages, and what offsets belong to some times. */
import type { KeyQueries } from "./key-queries.js";
import type { DumpLine } from "./line.js";
import { messageLine, propertiesOf, topicOf } from "./message-line.js";
import type { QueueEntry, QueueView } from "./queue-view.js";
import type { RecordLog } from "./record-log.js";

/** `queries` gets the keys of the messages. */
export function* queueLines(queue: QueueView, log: RecordLog, queries: KeyQueries): Generator<DumpLine> {
  const { topic, queueId, minOffset, maxOffset } = queue;
  yield {
    type: "queue",
    topic,
    queueId,
    cqType: queue.cqType,
    minOffset,
    maxOffset,
    maxPhysicOffset: queue.maxPhyOffset,
    minOffsetByStore: minOffset,
    maxOffsetByStore: maxOffset,
  };
  const times = new TimesOfQueue(queue, log);
  for (const entry of queue.entries(minOffset)) {
    const bytes = log.bytesAt(entry.phyOffset, entry.sizeBytes);
    const record = bytes === undefined ? undefined : log.decode(bytes);
    yield messageLine(queue, entry, bytes, record);
    if (bytes === undefined || record === undefined) continue;
    times.add(entry, record.storeTimestamp);
    queries.add(topicOf(record, bytes), propertiesOf(record, bytes));
  }
  for (const timestamp of times.around()) {
    const lower = queue.offsetByTime(timestamp, "LOWER");
    const upper = queue.offsetByTime(timestamp, "UPPER");
    yield { type: "offsetByTime", topic, queueId, timestamp, lower, upper };
  }
}

/** Entries that follow one another and all have a record. */
interface Run {
  readonly fromOffset: number;
  endOffset: number;
  count: number;
}

/** The store times of a queue's first, middle and last message, of which the middle one is read again in the end. */
class TimesOfQueue {
  readonly #queue: QueueView;
  readonly #log: RecordLog;
  readonly #runs: Run[] = [];
  #count = 0;
  #first = 0;
  #last = 0;

  constructor(queue: QueueView, log: RecordLog) {
    this.#queue = queue;
    this.#log = log;
  }

  add(entry: QueueEntry, timestamp: number): void {
    if (this.#count++ === 0) this.#first = timestamp;
    this.#last = timestamp;
    const run = this.#runs.at(-1);
    if (run !== undefined && run.endOffset === entry.queueOffset) {
      run.endOffset = entry.nextOffset;
      run.count++;
    } else this.#runs.push({ fromOffset: entry.queueOffset, endOffset: entry.nextOffset, count: 1 });
  }

  /** The times worth asking for: those three, and what is just before or behind them. */
  around(): Iterable<number> {
    if (this.#count === 0) return [];
    const middle = this.#middle();
    return new Set([this.#first - 1, this.#first, middle, middle + 1, this.#last, this.#last + 1]);
  }

  #middle(): number {
    let skipped = Math.floor(this.#count / 2);
    for (const run of this.#runs) {
      if (skipped < run.count) return this.#timestampIn(run, skipped);
      skipped -= run.count;
    }
    return this.#last;
  }

  #timestampIn(run: Run, nth: number): number {
    let left = nth;
    for (const { phyOffset, sizeBytes } of this.#queue.entries(run.fromOffset)) {
      if (left-- > 0) continue;
      const bytes = this.#log.bytesAt(phyOffset, sizeBytes);
      return (bytes === undefined ? undefined : this.#log.decode(bytes)?.storeTimestamp) ?? this.#last;
    }
    return this.#last;
  }
}
