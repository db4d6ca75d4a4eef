/**
 * The queues a dispatcher writes to, found by the bytes of a record: topic and queue id, without making a string. A
 * queue is opened when its first record comes by.
 */
import { isDirectoryName, queueDirectory } from "../consumequeue/queue-directory.js";
import { ConsumeQueue } from "../consumequeue/consume-queue.js";
import type { QueueContext } from "../consumequeue/queue-files.js";
import { countsOf, type QueueCounts } from "./derived-counts.js";

export interface DispatchQueue {
  readonly queue: ConsumeQueue;
  readonly topicBytes: Buffer;
  readonly slot: number;
  /** Units wait for a flush; set and cleared by the dispatcher. */
  dirty: boolean;
  /** Flushed units wait for a sync. */
  unsynced: boolean;
  /** What was in the queue when it was opened here. */
  before: QueueCounts;
}

/** What the appending thread knows of the queues. */
export interface KnownQueues {
  /** The slot of a queue in the shared tables. */
  slotOf(topic: string, queueId: number): number;
  /** Units the queue has in its files. */
  maxOffsetOf(slot: number): number;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export class QueueTable {
  readonly #context: QueueContext;
  readonly #root: string;
  readonly #known: KnownQueues;
  readonly #byHash = new Map<number, DispatchQueue[]>();
  readonly all: DispatchQueue[] = [];

  /** `root` is the store's `consumequeue` directory. */
  constructor(context: QueueContext, root: string, known: KnownQueues) {
    this.#context = context;
    this.#root = root;
    this.#known = known;
  }

  /**
   * The queue `queueId` of the topic in `bytes[start, start + length)`; undefined when no directory may have that name.
   */
  find(bytes: Buffer, start: number, length: number, queueId: number): DispatchQueue | undefined {
    const candidates = this.#byHash.get(hashOf(bytes, start, length, queueId));
    if (candidates !== undefined) {
      for (let i = 0; i < candidates.length; i++) {
        const entry = candidates[i]!;
        if (entry.queue.queueId === queueId && sameBytes(bytes, start, length, entry.topicBytes)) return entry;
      }
    }
    const topic = bytes.toString("utf8", start, start + length);
    // Bytes that are no UTF-8 would be another queue each time, in one directory.
    const isText = sameBytes(bytes, start, length, Buffer.from(topic));
    return queueId >= 0 && isText && isDirectoryName(topic) ? this.#open(topic, queueId) : undefined;
  }

  #open(topic: string, queueId: number): DispatchQueue {
    const queue = new ConsumeQueue(this.#context, queueDirectory(this.#root, topic, queueId), topic, queueId);
    queue.load();
    const entry = this.adopt(queue);
    queue.resume(this.#known.maxOffsetOf(entry.slot));
    entry.before = countsOf(queue);
    return entry;
  }

  /** Takes in a queue whose end is known. */
  adopt(queue: ConsumeQueue): DispatchQueue {
    const topicBytes = Buffer.from(queue.topic);
    const slot = this.#known.slotOf(queue.topic, queue.queueId);
    const entry: DispatchQueue = { queue, topicBytes, slot, dirty: false, unsynced: false, before: countsOf(queue) };
    const hash = hashOf(topicBytes, 0, topicBytes.length, queue.queueId);
    const candidates = this.#byHash.get(hash);
    if (candidates === undefined) this.#byHash.set(hash, [entry]);
    else candidates.push(entry);
    this.all.push(entry);
    return entry;
  }
}

function hashOf(bytes: Buffer, start: number, length: number, queueId: number): number {
  let hash = FNV_OFFSET ^ queueId;
  for (let i = start; i < start + length; i++) hash = Math.imul(hash ^ bytes[i]!, FNV_PRIME);
  return hash;
}

function sameBytes(bytes: Buffer, start: number, length: number, wanted: Buffer): boolean {
  if (length !== wanted.length) return false;
  for (let i = 0; i < length; i++) if (bytes[start + i] !== wanted[i]) return false;
  return true;
}
