/**
 * Dispatch into batch consume queues: the queues of topics with the attribute `queue.type` = `BatchCQ`, which get no
 * ordinary consume queue (store/queue/BatchConsumeQueue, store/queue/ConsumeQueueStore). Such topics are few.
 */
import { BatchConsumeQueue } from "../consumequeue/batch-consume-queue.js";
import { queueDirectory } from "../consumequeue/queue-directory.js";
import type { QueueContext } from "../consumequeue/queue-files.js";
import { PropertyScan } from "../record/properties.js";
import { PropertyName } from "../record/property-names.js";
import type { RecordView } from "../record/record-view.js";

const BASE = 0;
const COUNT = 1;

interface BatchTopic {
  readonly topic: string;
  readonly topicBytes: Buffer;
  readonly queues: Map<number, BatchConsumeQueue>;
}

export class BatchDispatch {
  readonly #context: QueueContext;
  readonly #root: string;
  readonly #topics: readonly BatchTopic[];
  readonly #properties = new PropertyScan([PropertyName.INNER_BASE, PropertyName.INNER_NUM]);

  /** `root` is the store's `batchconsumequeue` directory. */
  constructor(context: QueueContext, root: string, topics: Iterable<string>) {
    this.#context = context;
    this.#root = root;
    this.#topics = [...topics].map((topic) => ({ topic, topicBytes: Buffer.from(topic), queues: new Map() }));
  }

  get queues(): BatchConsumeQueue[] {
    return this.#topics.flatMap(({ queues }) => [...queues.values()]);
  }

  /** Takes in a queue whose end is known; its topic is one of those given. */
  adopt(queue: BatchConsumeQueue): void {
    this.#topics.find(({ topic }) => topic === queue.topic)?.queues.set(queue.queueId, queue);
  }

  /** The topic that the record belongs to, if it is one of those here. */
  topicOf(record: RecordView, bytes: Buffer): BatchTopic | undefined {
    const { topicStart, topicLength } = record;
    for (const topic of this.#topics) {
      const { topicBytes } = topic;
      if (topicBytes.length === topicLength && topicBytes.compare(bytes, topicStart, topicStart + topicLength) === 0)
        return topic;
    }
    return undefined;
  }

  /** Adds the unit of a record of `topic`; false when its properties make no unit. */
  put(topic: BatchTopic, record: RecordView, bytes: Buffer, phyOffset: number, tagsCode: number): boolean {
    const queue = topic.queues.get(record.queueId) ?? this.#open(topic, record.queueId);
    const { totalSize: sizeBytes, storeTimestamp } = record;
    const { baseOffset, count } = this.#range(record, bytes);
    return queue.append({ phyOffset, sizeBytes, tagsCode, storeTimestamp, baseOffset, count }) !== "invalid";
  }

  #open({ topic, queues }: BatchTopic, queueId: number): BatchConsumeQueue {
    const queue = new BatchConsumeQueue(this.#context, queueDirectory(this.#root, topic, queueId), topic, queueId);
    queue.load();
    queue.recover("normal");
    queues.set(queueId, queue);
    return queue;
  }

  /** The queue offsets of a record's messages. One that is no batch is a single message at its own queue offset. */
  #range(record: RecordView, bytes: Buffer): { baseOffset: number; count: number } {
    const { propertiesStart, propertiesLength } = record;
    this.#properties.scan(bytes, propertiesStart, propertiesStart + propertiesLength);
    const base = this.#properties.text(bytes, BASE);
    const count = this.#properties.text(bytes, COUNT);
    if (base === undefined || count === undefined) return { baseOffset: record.queueOffset, count: 1 };
    return { baseOffset: integer(base), count: integer(count) };
  }

  flush(): void {
    for (const { queues } of this.#topics) for (const queue of queues.values()) queue.flush();
  }

  sync(): Promise<void>[] {
    return this.queues.map((queue) => queue.sync());
  }
}

/** -1 where Apache would refuse to read a number. */
function integer(text: string): number {
  return /^[+-]?\d{1,15}$/.test(text) ? Number(text) : -1;
}
