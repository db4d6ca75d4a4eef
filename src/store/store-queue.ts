/** The store's own view of a queue handle, and the table of all of them. */
import { ConsumeQueueReader, type ReaderContext } from "../consumequeue/consume-queue-reader.js";
import { CometError } from "../base/errors.js";
import { shown } from "../base/given-values.js";
import { queueDirectory, queueNameProblem } from "../consumequeue/queue-directory.js";
import { SCHEDULE_TOPIC } from "../record/tags-code.js";
import type { FreshUnits } from "./fresh-units.js";
import type { QueueHandle } from "./types.js";

export class StoreQueue implements QueueHandle {
  readonly topic: string;
  readonly topicBytes: Buffer;
  readonly queueId: number;
  readonly slot: number;
  /** Offset of the next message to be appended. */
  nextOffset = 0;
  /** First offset whose record the log still holds. */
  minOffset = 0;
  quiet = false;
  /** Its units hold the times when messages are due, as dispatch reckons them. */
  readonly scheduled: boolean;
  /** Units that can be read before dispatch has written them; none yet where it is undefined. See queue-units.ts. */
  fresh: FreshUnits | undefined;
  /** It takes no messages: its topic is being deleted, or was, or has batch queues. */
  sealed = false;
  /** Its topic was deleted: it takes and has no messages. */
  retired = false;
  readonly reader: ConsumeQueueReader;

  constructor(topic: string, topicBytes: Buffer, queueId: number, slot: number, reader: ConsumeQueueReader) {
    this.topic = topic;
    this.topicBytes = topicBytes;
    this.queueId = queueId;
    this.slot = slot;
    this.reader = reader;
    this.scheduled = topic === SCHEDULE_TOPIC;
  }

  /** Files below are deleted, and so is what they pointed at; `minOffset` never moves back. */
  expire(minOffset: number): void {
    if (minOffset > this.minOffset) this.minOffset = minOffset;
    this.reader.closeBelow(minOffset);
  }

  retire(): void {
    this.sealed = true;
    this.retired = true;
    this.reader.retire();
  }
}

export class StoreQueues {
  readonly #root: string;
  readonly #context: ReaderContext;
  readonly #byTopic = new Map<string, Map<number, StoreQueue>>();
  /** By slot; a retired queue stands where there is no other. */
  readonly #bySlot: StoreQueue[] = [];
  readonly #freeSlots: number[] = [];
  readonly #sealedTopics = new Set<string>();

  constructor(root: string, context: ReaderContext) {
    this.#root = root;
    this.#context = context;
  }

  find(topic: string, queueId: number): StoreQueue | undefined {
    return this.#byTopic.get(topic)?.get(queueId);
  }

  /** Throws COMETMQ_CONFIG for names that cannot be a directory. */
  add(topic: string, queueId: number): StoreQueue {
    const problem = queueNameProblem(topic, queueId);
    if (problem !== undefined) throw new CometError("COMETMQ_CONFIG", problem);
    const reader = new ConsumeQueueReader(this.#context, queueDirectory(this.#root, topic, queueId));
    const slot = this.#freeSlots.pop() ?? this.#bySlot.length;
    const ofTopic = this.#byTopic.get(topic);
    const sibling = ofTopic?.values().next().value;
    const queue = new StoreQueue(topic, sibling?.topicBytes ?? Buffer.from(topic), queueId, slot, reader);
    queue.sealed = this.#sealedTopics.has(topic);
    this.#bySlot[slot] = queue;
    if (ofTopic === undefined) this.#byTopic.set(topic, new Map([[queueId, queue]]));
    else ofTopic.set(queueId, queue);
    return queue;
  }

  topics(): IterableIterator<string> {
    return this.#byTopic.keys();
  }

  ofTopic(topic: string): StoreQueue[] {
    return [...(this.#byTopic.get(topic)?.values() ?? [])];
  }

  /** Slots given out so far. */
  get slotCount(): number {
    return this.#bySlot.length;
  }

  /** Whether a handle is this store's, and its topic not deleted since. */
  has(queue: QueueHandle): boolean {
    return this.#bySlot[queue.slot] === queue;
  }

  /** This store's queue of a handle; its topic may be deleted. COMETMQ_CONFIG for the handle of another store. */
  own(handle: QueueHandle): StoreQueue {
    if (typeof handle !== "object" || handle === null)
      throw new CometError("COMETMQ_CONFIG", `queue is ${shown(handle)}, no handle of store.queue().`);
    const queue = handle as StoreQueue;
    if (this.#bySlot[queue.slot] === queue || queue.retired === true) return queue;
    throw new CometError(
      "COMETMQ_CONFIG",
      `queue is no handle of this store: ${typeof queue.topic === "string" ? queue.topic : shown(queue.topic)} ${shown(queue.queueId)}.`,
    );
  }

  /** The queue that has the slot; a retired one where the slot is free. */
  inSlot(slot: number): StoreQueue {
    return this.#bySlot[slot]!;
  }

  all(): StoreQueue[] {
    return this.#bySlot.filter(({ retired }) => !retired);
  }

  /** The queues of the topic, those to come included, take no messages until `unseal` or `remove`. */
  seal(topic: string): void {
    this.#sealedTopics.add(topic);
    for (const queue of this.ofTopic(topic)) queue.sealed = true;
  }

  unseal(topic: string): void {
    this.#sealedTopics.delete(topic);
    for (const queue of this.ofTopic(topic)) queue.sealed = false;
  }

  /** The topic was deleted: its queues are retired, and their slots stay theirs until `freeSlots`. */
  remove(topic: string): StoreQueue[] {
    const queues = this.ofTopic(topic);
    this.#byTopic.delete(topic);
    this.#sealedTopics.delete(topic);
    for (const queue of queues) queue.retire();
    return queues;
  }

  freeSlots(slots: readonly number[]): void {
    this.#freeSlots.push(...slots);
  }
}
