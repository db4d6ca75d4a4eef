/** The end of topics: noted durably where in the log it was, then queues and files go (see recovery/deleted-topics.ts). */
import { fitDeletedTopics, replaceDeletedTopics } from "../recovery/deleted-topics.js";
import type { StoreParts } from "./store-parts.js";
import type { StoreQueue } from "./store-queue.js";

/**
 * The note is written beside the work of the event loop, one at a time. Its topics are sealed meanwhile: a message that
 * came between the place that is noted and the end of the queues would belong to neither topic of that name.
 */
export class TopicDeletions {
  readonly #parts: StoreParts;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  /** Resolves with the queues that are gone, each retired. Rejects as the disk does, and then nothing has changed. */
  delete(topics: readonly string[]): Promise<StoreQueue[]> {
    const deletion = this.#last.then(() => this.#delete(topics));
    this.#last = deletion.catch(() => undefined);
    return deletion;
  }

  /** Resolves when those under way have ended, well or not. */
  async ended(): Promise<void> {
    await this.#last;
  }

  async #delete(topics: readonly string[]): Promise<StoreQueue[]> {
    const { commitLog, deletedTopics, disk, dispatch, paths, queues, segments } = this.#parts;
    const used = topics.filter((topic) => queues.ofTopic(topic).some(({ nextOffset }) => nextOffset > 0));
    // One of batch queues may come again as one of ordinary ones.
    for (const topic of topics) if (!used.includes(topic)) queues.unseal(topic);
    if (used.length === 0) return [];
    for (const topic of used) queues.seal(topic);
    const position = commitLog.appendPosition;
    const places = new Map(deletedTopics);
    for (const topic of used) places.set(topic, position);
    const fitting = fitDeletedTopics(places, segments.firstOffset, position);
    try {
      await replaceDeletedTopics(disk, paths.deletedTopics, fitting);
    } catch (error) {
      for (const topic of used) queues.unseal(topic);
      throw error;
    }
    deletedTopics.clear();
    for (const [topic, place] of fitting) deletedTopics.set(topic, place);
    return used.flatMap((topic) => {
      const gone = queues.remove(topic);
      const slots = gone.map(({ queueId, slot }) => ({ queueId, slot }));
      dispatch.forget(topic, position, slots);
      return gone;
    });
  }
}
