/**
 * Topics that only the store knows. One made by a send is in `topics.json` a moment later, for a send does not wait for
 * the disk (Apache's does): a broker killed in between has acknowledged messages of a topic nobody knows. And a
 * `topics.json` that was damaged may lack any. Where either can be, what lies in the store is made a topic again.
 *
 * Not after an orderly end with a whole file: then somebody has taken the topic out.
 */
import { join } from "node:path";
import type { MessageStore } from "../../store/message-store.js";
import { PERM_READ, PERM_WRITE } from "../protocol/topic-config.js";
import type { BrokerContext } from "./context.js";
import type { LoadReport } from "./json-config-file.js";
import { isSafeName, LIGHT_QUEUE_PREFIX } from "./names.js";

export function adoptTopics(context: BrokerContext, store: MessageStore, reports: readonly LoadReport[]): void {
  const { config, log, topics } = context;
  const path = join(config.storePathRootDir, "config", "topics.json");
  const outcome = reports.find((report) => report.path === path)?.outcome;
  if (!store.recovery.aborted && outcome !== "recovered" && outcome !== "lost") return;
  const queueCounts = new Map<string, number>();
  for (const { topic, queueId } of store.allQueues()) {
    if (topics.get(topic) !== undefined || topics.isSystemTopic(topic) || topic.startsWith(LIGHT_QUEUE_PREFIX))
      continue;
    if (isSafeName(topic)) queueCounts.set(topic, Math.max(queueCounts.get(topic) ?? 0, queueId + 1));
  }
  for (const [topic, queueCount] of queueCounts) {
    // A producer that knows more queues than have got messages sends to them still.
    const queueNums = topic.startsWith("%") ? queueCount : Math.max(queueCount, config.defaultTopicQueueNums);
    topics.createInSendMessageBack(topic, queueNums, PERM_READ | PERM_WRITE, false, 0);
    log.warn({ topic, queueNums }, "a topic that only the store knew is a topic again");
  }
}
