/**
 * Who has which message: the leases of all popped messages of this broker, in memory. A lease begins when a message is
 * popped and ends when it is settled: acknowledged, or put into a retry or dead letter topic. A queue of a group counts as
 * consumed up to the oldest message that is not settled, whatever happened behind it.
 *
 * Only the event loop works on them; what has to outlive the process goes into the journal (pop-journal.ts).
 */
import { entryOf } from "../entry-of.js";
import { type HeapItem, IndexedHeap } from "./indexed-heap.js";

const ORDER_SLACK = 64;

export interface Lease extends HeapItem {
  readonly queue: LeaseQueue;
  readonly queueOffset: number;
  /** With the offset this is the handle's identity: it changes with each extension. */
  popTime: number;
  invisibleMs: number;
  /** Wall time at which it runs out; later than `popTime + invisibleMs` when giving the message out again failed. */
  deadlineMs: number;
  /** The offset may move past it. */
  isSettled: boolean;
}

/** One queue as one group pops it. */
export class LeaseQueue {
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
  /** The next message to be popped. */
  popOffset: number;
  /** By queue offset. */
  readonly leases = new Map<number, Lease>();
  lastUsedMs = 0;
  /** In the order of offsets, from `#head` on. Settled ones go when they come to stand first, or are too many. */
  #order: Lease[] = [];
  #head = 0;
  #compactAt = ORDER_SLACK;

  constructor(group: string, topic: string, queueId: number, popOffset: number) {
    this.group = group;
    this.topic = topic;
    this.queueId = queueId;
    this.popOffset = popOffset;
  }

  /** Everything below is settled. */
  get settledOffset(): number {
    const order = this.#order;
    while (this.#head < order.length && order[this.#head]!.isSettled) this.#head++;
    if (this.#head < order.length) return Math.min(order[this.#head]!.queueOffset, this.popOffset);
    this.#order = [];
    this.#head = 0;
    return this.popOffset;
  }

  /** Offsets come in ascending order, but for those that are restored. */
  push(lease: Lease): void {
    this.leases.set(lease.queueOffset, lease);
    this.#order.push(lease);
    if (this.#order.length < this.#compactAt) return;
    this.#order = this.#order.filter(({ isSettled }) => !isSettled);
    this.#head = 0;
    this.#compactAt = 2 * this.#order.length + ORDER_SLACK;
  }

  /** After leases were restored in any order. Those that are given out again stay until their copies are durable. */
  sort(): void {
    this.#order = this.#order
      .slice(this.#head)
      .filter(({ isSettled }) => !isSettled)
      .sort((a, b) => a.queueOffset - b.queueOffset);
    this.#head = 0;
  }

  /** The group goes on elsewhere: what it has leased below stays with it, but holds nothing up. */
  detach(): void {
    this.#order = [];
    this.#head = 0;
  }
}

export class LeaseTable {
  /** Group to topic to queue id. No inner map is empty. */
  readonly #groups = new Map<string, Map<string, Map<number, LeaseQueue>>>();
  readonly #heap = new IndexedHeap<Lease>(runsOutBefore);

  /** Messages that are leased now. */
  get size(): number {
    return this.#heap.size;
  }

  find(group: string, topic: string, queueId: number): LeaseQueue | undefined {
    return this.#groups.get(group)?.get(topic)?.get(queueId);
  }

  add(group: string, topic: string, queueId: number, popOffset: number): LeaseQueue {
    const topics = entryOf(this.#groups, group, () => new Map<string, Map<number, LeaseQueue>>());
    const queues = entryOf(topics, topic, () => new Map<number, LeaseQueue>());
    return entryOf(queues, queueId, () => new LeaseQueue(group, topic, queueId, popOffset));
  }

  *queues(): IterableIterator<LeaseQueue> {
    for (const topics of this.#groups.values()) {
      for (const queues of topics.values()) yield* queues.values();
    }
  }

  /** The lease that runs out first. */
  first(): Lease | undefined {
    return this.#heap.first();
  }

  lease(queue: LeaseQueue, queueOffset: number, popTime: number, invisibleMs: number): Lease {
    const known = queue.leases.get(queueOffset);
    if (known !== undefined) this.settle(known);
    const deadlineMs = popTime + invisibleMs;
    const lease = { queue, queueOffset, popTime, invisibleMs, deadlineMs, isSettled: false, heapIndex: -1 };
    queue.push(lease);
    this.#heap.add(lease);
    return lease;
  }

  renew(lease: Lease, popTime: number, invisibleMs: number): void {
    lease.popTime = popTime;
    lease.invisibleMs = invisibleMs;
    this.postpone(lease, popTime + invisibleMs);
  }

  postpone(lease: Lease, deadlineMs: number): void {
    lease.deadlineMs = deadlineMs;
    this.#heap.moved(lease);
  }

  settle(lease: Lease): void {
    this.release(lease);
    lease.isSettled = true;
  }

  /** The message is taken care of, but nothing may move past it before `isSettled` is set. */
  release(lease: Lease): void {
    this.#heap.remove(lease);
    if (lease.queue.leases.get(lease.queueOffset) === lease) lease.queue.leases.delete(lease.queueOffset);
  }

  /** An administrator sends the group to `popOffset`: what comes again from there on is leased to nobody any more. */
  move(queue: LeaseQueue, popOffset: number): void {
    for (const lease of [...queue.leases.values()]) if (lease.queueOffset >= popOffset) this.settle(lease);
    queue.detach();
    queue.popOffset = popOffset;
  }

  remove(queue: LeaseQueue): void {
    for (const lease of [...queue.leases.values()]) this.settle(lease);
    const topics = this.#groups.get(queue.group);
    const queues = topics?.get(queue.topic);
    if (queues?.get(queue.queueId) !== queue) return;
    queues.delete(queue.queueId);
    if (queues.size > 0) return;
    topics!.delete(queue.topic);
    if (topics!.size === 0) this.#groups.delete(queue.group);
  }

  removeTopic(topic: string): boolean {
    const doomed = [...this.queues()].filter((queue) => queue.topic === topic);
    for (const queue of doomed) this.remove(queue);
    return doomed.length > 0;
  }

  removeGroup(group: string): boolean {
    const doomed = [...(this.#groups.get(group)?.values() ?? [])].flatMap((queues) => [...queues.values()]);
    for (const queue of doomed) this.remove(queue);
    return doomed.length > 0;
  }
}

/** What runs out together is given out again in the order of the queue. */
function runsOutBefore(a: Lease, b: Lease): boolean {
  if (a.deadlineMs !== b.deadlineMs) return a.deadlineMs < b.deadlineMs;
  return a.queueOffset < b.queueOffset;
}
