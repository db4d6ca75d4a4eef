/**
 * The queues a dispatcher writes to, found by the bytes of a record: topic and queue id, without making a string. A
 * queue is opened when its first record comes by.
 */
import { CometError } from "../base/errors.js";
import { isDirectoryName, listQueuesOf, queueDirectory } from "../consumequeue/queue-directory.js";
import { ConsumeQueue } from "../consumequeue/consume-queue.js";
import type { QueueContext } from "../consumequeue/queue-files.js";
import { addCounts, countQueues, countsOf, type QueueCounts } from "./derived-counts.js";

export interface DispatchQueue {
  readonly queue: ConsumeQueue;
  /** The queue's, at hand: with thousands of queues each object that is looked into is a wait for memory. */
  readonly queueId: number;
  readonly topicBytes: Buffer;
  readonly slot: number;
  /** Units wait for a flush; set and cleared by the dispatcher. */
  dirty: boolean;
  /** Flushed units wait for a sync. */
  unsynced: boolean;
  /** What was in the queue when it was opened here. */
  before: QueueCounts;
  /** Records of its topic before this place belong to nobody: the topic was deleted there. */
  readonly deletedBefore: number;
}

/** What `deleteExpired` has come to. */
export interface ExpiredQueue {
  /** First queue offset that points into the log. */
  readonly minOffset: number;
  readonly deletedFiles: number;
  /** How the counts have changed of a queue that is not open. */
  readonly change: QueueCounts;
}

/** What the appending thread knows of the queues. */
export interface KnownQueues {
  /** The slot of a queue in the shared tables. */
  slotOf(topic: string, queueId: number): number;
  /** Units the queue has in its files. */
  maxOffsetOf(slot: number): number;
  /** Where the topic was deleted last; 0 when it never was. */
  deletedBefore(topic: string): number;
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
   * The queue `queueId` of the topic in `bytes[start, start + length)`, for a record at `phyOffset`; undefined when no
   * directory may have that name, "deleted" when the topic was deleted after the record and has no such queue since.
   */
  find(
    bytes: Buffer,
    start: number,
    length: number,
    queueId: number,
    phyOffset: number,
  ): DispatchQueue | "deleted" | undefined {
    const open = this.known(bytes, start, length, queueId);
    if (open !== undefined) return open;
    const topic = bytes.toString("utf8", start, start + length);
    // Bytes that are no UTF-8 would be another queue each time, in one directory.
    const isText = sameBytes(bytes, start, length, Buffer.from(topic));
    if (queueId < 0 || !isText || !isDirectoryName(topic)) return undefined;
    return phyOffset < this.#known.deletedBefore(topic) ? "deleted" : this.#open(topic, queueId);
  }

  /** The queue, if it is open. */
  known(bytes: Buffer, start: number, length: number, queueId: number): DispatchQueue | undefined {
    const candidates = this.#byHash.get(hashOf(bytes, start, length, queueId));
    if (candidates === undefined) return undefined;
    for (let i = 0; i < candidates.length; i++) {
      const entry = candidates[i]!;
      if (entry.queueId === queueId && sameBytes(bytes, start, length, entry.topicBytes)) return entry;
    }
    return undefined;
  }

  /** The same for a name at hand. */
  named(topic: string, queueId: number, phyOffset: number): DispatchQueue | "deleted" | undefined {
    const bytes = Buffer.from(topic);
    return this.find(bytes, 0, bytes.length, queueId, phyOffset);
  }

  #open(topic: string, queueId: number): DispatchQueue {
    const queue = this.#load(topic, queueId);
    const entry = this.adopt(queue);
    queue.resume(this.#known.maxOffsetOf(entry.slot));
    entry.before = countsOf(queue);
    return entry;
  }

  #load(topic: string, queueId: number): ConsumeQueue {
    const queue = new ConsumeQueue(this.#context, queueDirectory(this.#root, topic, queueId), topic, queueId);
    queue.load();
    return queue;
  }

  /**
   * Deletes files of a queue that only point before `minPhyOffset`. One that is not open is looked at and let go again:
   * ten thousand idle queues cost nothing afterwards.
   */
  deleteExpired(topic: string, queueId: number, slot: number, minPhyOffset: number): ExpiredQueue {
    const bytes = Buffer.from(topic);
    const open = this.known(bytes, 0, bytes.length, queueId)?.queue;
    if (open !== undefined) {
      const deletedFiles = open.deleteExpired(minPhyOffset);
      return { minOffset: open.minOffset, deletedFiles, change: countQueues([]) };
    }
    const queue = this.#load(topic, queueId);
    queue.resume(this.#known.maxOffsetOf(slot));
    const before = countsOf(queue);
    const deletedFiles = queue.deleteExpired(minPhyOffset);
    return { minOffset: queue.minOffset, deletedFiles, change: addCounts(countsOf(queue), before, -1) };
  }

  /** Takes in a queue whose end is known. */
  adopt(queue: ConsumeQueue): DispatchQueue {
    const topicBytes = Buffer.from(queue.topic);
    const slot = this.#known.slotOf(queue.topic, queue.queueId);
    const entry: DispatchQueue = {
      queue,
      queueId: queue.queueId,
      topicBytes,
      slot,
      dirty: false,
      unsynced: false,
      before: countsOf(queue),
      deletedBefore: this.#known.deletedBefore(queue.topic),
    };
    const hash = hashOf(topicBytes, 0, topicBytes.length, queue.queueId);
    const candidates = this.#byHash.get(hash);
    if (candidates === undefined) this.#byHash.set(hash, [entry]);
    else candidates.push(entry);
    this.all.push(entry);
    return entry;
  }

  /**
   * Puts queues whose files are open behind the others. Whoever writes to all of them and begins with those finds them
   * open still, where in any other order each would have been closed for the sake of one before it.
   */
  moveOpenLast(entries: DispatchQueue[]): void {
    if (!this.#context.cache.isFull) return;
    let openFrom = entries.length;
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i]!;
      if (!entry.queue.isOpen) continue;
      openFrom--;
      entries[i] = entries[openFrom]!;
      entries[openFrom] = entry;
    }
  }

  /** Makes what was flushed to these queues durable. */
  sync(entries: readonly DispatchQueue[]): Promise<void> {
    for (const entry of entries) entry.unsynced = false;
    return this.#context.cache.syncAll(entries.flatMap(({ queue }) => queue.takeUnsynced()));
  }

  /** Deletes the queues of a topic with their files. Those that were open are returned, not to be used any more. */
  forget(topic: string): { gone: DispatchQueue[]; before: QueueCounts } {
    const { disk } = this.#context;
    const gone = this.all.filter(({ queue }) => queue.topic === topic);
    let before = countQueues([]);
    for (const entry of gone) {
      before = addCounts(before, entry.before);
      const candidates = this.#byHash.get(hashOf(entry.topicBytes, 0, entry.topicBytes.length, entry.queue.queueId))!;
      candidates.splice(candidates.indexOf(entry), 1);
      this.all.splice(this.all.indexOf(entry), 1);
      entry.queue.destroy();
    }
    for (const { directory, queueId } of listQueuesOf(disk, this.#root, topic)) {
      const queue = new ConsumeQueue(this.#context, directory, topic, queueId);
      if (!isOurs(queue)) continue;
      before = addCounts(before, countsOf(queue));
      queue.destroy();
    }
    const directory = `${this.#root}/${topic}`;
    if (disk.isDirectory(directory) && disk.list(directory).length === 0) disk.remove(directory);
    return { gone, before };
  }
}

/** Finds the end of a queue that was not opened; false when the files are not such as this store makes them. */
function isOurs(queue: ConsumeQueue): boolean {
  try {
    queue.load();
    queue.recover("trusted");
    return true;
  } catch (error) {
    if (error instanceof CometError && error.code.startsWith("COMETMQ_STORE_")) return false;
    throw error;
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
