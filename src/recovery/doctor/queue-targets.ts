/**
 * Which queues a record belongs to, and where in them (store/CommitLog#checkMessageAndReturnSize, ConsumeQueue,
 * BatchConsumeQueue, LmqDispatch): its own queue, and those that INNER_MULTI_DISPATCH names. The bytes say it all, so
 * the same answer judges queues and rebuilds them.
 */
import { isDirectoryName } from "../../consumequeue/queue-directory.js";
import { PropertyScan } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import type { RecordView } from "../../record/record-view.js";
import { isQueued } from "../../record/sys-flag.js";
import { deliveryTagsCode, SCHEDULE_TOPIC } from "../../record/tags-code.js";
import type { StoreFacts } from "./store-facts.js";

export interface QueueTarget {
  topic: string;
  queueId: number;
  queueOffset: number;
  /** Messages in the record; more than 1 in batch queues only. */
  count: number;
  isBatch: boolean;
}

const INNER_BASE = 0;
const INNER_NUM = 1;
const MULTI_DISPATCH = 2;
const MULTI_OFFSET = 3;

export class QueueTargets {
  /** Of the record last looked at. */
  tagsCode = 0;
  readonly #facts: StoreFacts;
  readonly #target: QueueTarget = { topic: "", queueId: 0, queueOffset: 0, count: 1, isBatch: false };
  readonly #scan = new PropertyScan([
    PropertyName.INNER_BASE,
    PropertyName.INNER_NUM,
    PropertyName.INNER_MULTI_DISPATCH,
    PropertyName.INNER_MULTI_QUEUE_OFFSET,
  ]);

  constructor(facts: StoreFacts) {
    this.#facts = facts;
  }

  /**
   * Calls `visit` for each queue of the record, of which a deleted topic's has none; the object is reused. False when the
   * record names a queue that can be none.
   */
  visit(record: RecordView, bytes: Buffer, visit: (target: QueueTarget) => void): boolean {
    if (!isQueued(record.sysFlag)) return true;
    const topic = bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength);
    this.tagsCode = deliveryTagsCode(record, bytes, this.#facts.delayLevels);
    this.#scan.scan(bytes, record.propertiesStart, record.propertiesStart + record.propertiesLength);
    if (record.queueId < 0 || record.queueOffset < 0 || !isDirectoryName(topic)) return false;
    if (!isText(topic, record, bytes)) return false;
    if (record.phyOffset < this.#deletedBefore(topic)) return true;
    const target = this.#target;
    target.topic = topic;
    target.queueId = record.queueId;
    target.queueOffset = record.queueOffset;
    target.count = 1;
    target.isBatch = this.#facts.batchTopics.has(topic);
    if (target.isBatch) this.#asBatch(bytes, target);
    visit(target);
    if (this.#facts.multiDispatch && !target.isBatch) this.#visitMulti(topic, record, bytes, visit);
    return true;
  }

  #asBatch(bytes: Buffer, target: QueueTarget): void {
    const base = this.#scan.text(bytes, INNER_BASE);
    const count = this.#scan.text(bytes, INNER_NUM);
    if (base === undefined || count === undefined) return;
    target.queueOffset = Number(base);
    target.count = Number(count);
  }

  #deletedBefore(topic: string): number {
    return this.#facts.deletedTopics.get(topic) ?? 0;
  }

  #visitMulti(topic: string, record: RecordView, bytes: Buffer, visit: (target: QueueTarget) => void): void {
    const names = this.#scan.text(bytes, MULTI_DISPATCH);
    const offsets = this.#scan.text(bytes, MULTI_OFFSET);
    if (names === undefined || offsets === undefined || !isMultiDispatched(topic)) return;
    const queues = javaSplit(names);
    const queueOffsets = javaSplit(offsets);
    if (queues.length !== queueOffsets.length) return;
    for (const [i, name] of queues.entries()) {
      if (name.includes("/")) continue;
      // Apache's dispatcher stops at the first one without a number.
      if (!/^\d{1,15}$/.test(queueOffsets[i]!)) return;
      if (!isDirectoryName(name) || record.phyOffset < this.#deletedBefore(name)) continue;
      const target = this.#target;
      target.topic = name;
      target.queueId = name.startsWith("%LMQ%") ? 0 : record.queueId;
      target.queueOffset = Number(queueOffsets[i]);
      target.count = 1;
      target.isBatch = false;
      visit(target);
    }
  }
}

/** Bytes that are no UTF-8 would be another topic whenever they are read. */
function isText(topic: string, { topicStart, topicLength }: RecordView, bytes: Buffer): boolean {
  const again = Buffer.from(topic, "utf8");
  return again.length === topicLength && again.compare(bytes, topicStart, topicStart + topicLength) === 0;
}

/** MultiDispatchUtils.isNeedHandleMultiDispatch. */
function isMultiDispatched(topic: string): boolean {
  return !topic.startsWith("%RETRY%") && !topic.startsWith("rmq_sys_") && topic !== SCHEDULE_TOPIC;
}

/** Java's split at commas: empty pieces at the end do not count. */
function javaSplit(text: string): string[] {
  const pieces = text.split(",");
  while (pieces.length > 1 && pieces.at(-1) === "") pieces.pop();
  return pieces;
}
