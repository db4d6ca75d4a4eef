/**
 * Topics that only the store knows. One made by a send is in `topics.json` a moment later, for a send does not wait for
 * the disk (Apache's does): a broker killed in between has acknowledged messages of a topic nobody knows. And a
 * `topics.json` that was damaged may lack any. Where either can be, what lies in the store is made a topic again.
 *
 * Not after an orderly end with a whole file: then somebody has taken the topic out.
 *
 * A message that waits in a topic of the system, for its time or for its commit, names a topic that may have nothing else
 * in the store. Those put since the file was saved are looked through.
 */
import { join } from "node:path";
import { decodeRecord } from "../../record/decode.js";
import { PropertyName } from "../../record/property-names.js";
import type { MessageStore } from "../../store/message-store.js";
import { emptyGetResult, type QueueHandle } from "../../store/types.js";
import { PERM_READ, PERM_WRITE } from "../protocol/topic-config.js";
import type { BrokerContext } from "./context.js";
import type { LoadReport } from "./json-config-file.js";
import { SCHEDULE_TOPIC, TIMER_TOPIC } from "./default-topics.js";
import { isSafeName, LIGHT_QUEUE_PREFIX, TRANSACTION_HALF_TOPIC } from "./names.js";

/** Where messages wait that are meant for other topics. */
const WAITING_TOPICS: ReadonlySet<string> = new Set([SCHEDULE_TOPIC, TIMER_TOPIC, TRANSACTION_HALF_TOPIC]);
const READ_LIMITS = { maxCount: 1000, maxBytes: 4 * 1024 * 1024 };
/** More make no topic, whatever a message says. */
const QUEUE_ID_MAX = 1023;

export async function adoptTopics(
  context: BrokerContext,
  store: MessageStore,
  reports: readonly LoadReport[],
): Promise<void> {
  const { config, log, topics } = context;
  const path = join(config.storePathRootDir, "config", "topics.json");
  const outcome = reports.find((report) => report.path === path)?.outcome;
  if (!store.recovery.aborted && outcome !== "recovered" && outcome !== "lost") return;
  const queueCounts = new Map<string, number>();
  const adopt = (topic: string, queueId: number): void => {
    if (topics.get(topic) !== undefined || topics.isSystemTopic(topic) || topic.startsWith(LIGHT_QUEUE_PREFIX)) return;
    if (isSafeName(topic)) queueCounts.set(topic, Math.max(queueCounts.get(topic) ?? 0, queueId + 1));
  };
  for (const { topic, queueId } of store.allQueues()) adopt(topic, queueId);
  const savedMs = outcome === "loaded" || outcome === "recovered" ? topics.dataVersion.timestamp : 0;
  await store.settled();
  for (const queue of store.allQueues()) {
    if (WAITING_TOPICS.has(queue.topic)) eachOrigin(store, queue, savedMs, adopt);
  }
  for (const [topic, queueCount] of queueCounts) {
    // A producer that knows more queues than have got messages sends to them still.
    const queueNums = topic.startsWith("%") ? queueCount : Math.max(queueCount, config.defaultTopicQueueNums);
    topics.createInSendMessageBack(topic, queueNums, PERM_READ | PERM_WRITE, false, 0);
    log.warn({ topic, queueNums }, "a topic that only the store knew is a topic again");
  }
}

/** Tells where the messages of `queue` that were put since `sinceMs` are meant for. */
function eachOrigin(
  store: MessageStore,
  queue: QueueHandle,
  sinceMs: number,
  tell: (topic: string, queueId: number) => void,
): void {
  const result = emptyGetResult();
  const end = store.maxOffset(queue);
  for (let offset = store.lookUp.offsetByTime(queue, sinceMs, "LOWER"); offset < end; ) {
    store.get(queue, offset, READ_LIMITS, undefined, result);
    for (const record of result.records) {
      const { properties } = decodeRecord(record);
      const topic = properties.get(PropertyName.REAL_TOPIC);
      const queueId = Number(properties.get(PropertyName.REAL_QUEUE_ID));
      if (topic !== undefined && Number.isInteger(queueId)) tell(topic, Math.max(0, Math.min(QUEUE_ID_MAX, queueId)));
    }
    if (result.nextBeginOffset <= offset) return;
    offset = result.nextBeginOffset;
  }
}
