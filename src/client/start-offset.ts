/** Where a consumer begins in a queue (RebalancePushImpl.computePullFromWhereWithException). */
import type { ClientInstance } from "./client-instance.js";
import type { MessageQueue } from "./message-queue.js";
import type { OffsetStore } from "./offset-store.js";
import type { ConsumeFrom } from "./push-options.js";
import { maxOffset, searchOffset } from "./queue-offsets.js";

export const RETRY_GROUP_TOPIC_PREFIX = "%RETRY%";

export async function startOffset(
  instance: ClientInstance,
  offsets: OffsetStore,
  queue: MessageQueue,
  from: ConsumeFrom,
): Promise<number> {
  const committed = await offsets.load(queue);
  if (committed !== undefined && committed >= 0) return committed;
  const isRetry = queue.topic.startsWith(RETRY_GROUP_TOPIC_PREFIX);
  if (from === "last") return isRetry ? 0 : maxOffset(instance, queue);
  if (from === "first") return 0;
  return isRetry ? maxOffset(instance, queue) : searchOffset(instance, queue, Number(from.timestamp));
}
