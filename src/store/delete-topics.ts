/** The end of topics: noted durably where in the log it was, then queues and files go (see recovery/deleted-topics.ts). */
import { fitDeletedTopics, writeDeletedTopics } from "../recovery/deleted-topics.js";
import type { StoreParts } from "./store-parts.js";
import type { StoreQueue } from "./store-queue.js";

/** Returns the queues that are gone, each retired. Throws as the disk does, and then nothing has changed. */
export function deleteTopics(parts: StoreParts, topics: readonly string[]): StoreQueue[] {
  const { commitLog, deletedTopics, disk, dispatch, paths, queues, segments } = parts;
  const position = commitLog.appendPosition;
  const used = topics.filter((topic) => queues.ofTopic(topic).some(({ nextOffset }) => nextOffset > 0));
  if (used.length === 0) return [];
  const places = new Map(deletedTopics);
  for (const topic of used) places.set(topic, position);
  const fitting = fitDeletedTopics(places, segments.firstOffset, position);
  writeDeletedTopics(disk, paths.deletedTopics, fitting);
  deletedTopics.clear();
  for (const [topic, place] of fitting) deletedTopics.set(topic, place);
  return used.flatMap((topic) => {
    const gone = queues.remove(topic);
    const slots = gone.map(({ queueId, slot }) => ({ queueId, slot }));
    dispatch.forget(topic, position, slots);
    return gone;
  });
}
