/**
 * Pops and notifications that found nothing and wait for a message (broker/longpolling/PopLongPollingService.java). They
 * wait by topic and group, in the order in which they came: for one queue, or for all of them and the group's retry
 * topics. Nothing is polled; each is tried again when its topic has grown, when a lease or a lock ends, and at its
 * deadline.
 */
import type { Clock, Timer } from "../../../base/clock.js";
import type { Connection } from "../../../remoting/types.js";
import type { QueueHandle } from "../../../store/types.js";
import type { BrokerConfig } from "../broker-options.js";
import { entryOf } from "../entry-of.js";
import { popRetryTopicV1, popRetryTopicV2 } from "./extra-info.js";
import { type HeapItem, IndexedHeap } from "./indexed-heap.js";

export interface Waiter extends HeapItem {
  readonly topic: string;
  readonly group: string;
  /** Negative for every queue. */
  readonly queueId: number;
  readonly connection: Connection;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  /** Tries again; true when it has answered. With `last` it answers in any case. */
  readonly attempt: (last: boolean) => boolean;
}

/** Who waits for one topic in one group. */
class Room {
  readonly topic: string;
  readonly group: string;
  /** By queue id, -1 for all; in the order of arrival. No set is empty. */
  readonly waiting = new Map<number, Set<Waiter>>();
  isBusy = false;

  constructor(topic: string, group: string) {
    this.topic = topic;
    this.group = group;
  }

  /** The topics whose messages they may get. */
  get topics(): string[] {
    return [this.topic, popRetryTopicV1(this.group, this.topic), popRetryTopicV2(this.group, this.topic)];
  }
}

/** Answered so long before a client gives up. */
const EARLY_MS = 50;

export class PopPolling {
  readonly #clock: Clock;
  readonly #config: BrokerConfig;
  readonly #setInterest: (interested: boolean) => void;
  /** Topic to group. */
  readonly #rooms = new Map<string, Map<string, Room>>();
  /** By each topic that the room's waiters may get messages of. */
  readonly #byTopic = new Map<string, Set<Room>>();
  readonly #deadlines = new IndexedHeap<Waiter>((a, b) => a.deadlineMs < b.deadlineMs);
  readonly #byConnection = new Map<Connection, Set<Waiter>>();
  #timer: Timer | undefined;
  #timerMs = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(clock: Clock, config: BrokerConfig, setInterest: (interested: boolean) => void) {
    this.#clock = clock;
    this.#config = config;
    this.#setInterest = setInterest;
  }

  get count(): number {
    return this.#deadlines.size;
  }

  countOf(topic: string, group: string, queueId: number): number {
    return this.#rooms.get(topic)?.get(group)?.waiting.get(Math.max(-1, queueId))?.size ?? 0;
  }

  /** How long a request that came now may wait; 0 or less for not at all. Its client's clock may be anything. */
  waitMs(bornTime: number, pollTime: number): number {
    if (this.#closed || pollTime <= 0) return 0;
    const spentMs = bornTime === 0 ? 0 : Math.max(0, this.#clock.nowMs() - bornTime);
    return Math.min(pollTime, POLL_MS_MAX) - spentMs - EARLY_MS;
  }

  /** False when too many wait already. */
  park(waiter: Waiter): boolean {
    const { maxPopPollingSize, popPollingSize } = this.#config;
    const { topic, group, queueId, connection } = waiter;
    if (this.#closed || this.count >= maxPopPollingSize) return false;
    if (this.countOf(topic, group, queueId) > popPollingSize) return false;
    const room = this.#room(topic, group);
    entryOf(room.waiting, Math.max(-1, queueId), () => new Set<Waiter>()).add(waiter);
    if (this.#deadlines.size === 0) this.#setInterest(true);
    this.#deadlines.add(waiter);
    let mine = this.#byConnection.get(connection);
    if (mine === undefined) {
      mine = new Set();
      this.#byConnection.set(connection, mine);
      connection.onClose(() => this.#lost(connection));
    }
    mine.add(waiter);
    this.#setTimer();
    // Between the look that found nothing and the declared interest a message may have come.
    queueMicrotask(() => this.wake(topic, group, queueId));
    return true;
  }

  #room(topic: string, group: string): Room {
    const groups = entryOf(this.#rooms, topic, () => new Map<string, Room>());
    let room = groups.get(group);
    if (room === undefined) {
      room = new Room(topic, group);
      groups.set(group, room);
      for (const name of room.topics) entryOf(this.#byTopic, name, () => new Set<Room>()).add(room);
    }
    return room;
  }

  /** The queue has grown. */
  arrived(queue: QueueHandle): void {
    const rooms = this.#byTopic.get(queue.topic);
    if (rooms === undefined) return;
    for (const room of [...rooms]) this.#serve(room, room.topic === queue.topic ? queue.queueId : undefined);
  }

  /** There may be something for those who wait for `queueId`, or for every queue. */
  wake(topic: string, group: string, queueId: number): void {
    const room = this.#rooms.get(topic)?.get(group);
    if (room !== undefined) this.#serve(room, queueId < 0 ? undefined : queueId);
  }

  /** Without a queue id everybody in the room may find something. */
  #serve(room: Room, queueId: number | undefined): void {
    // An attempt that finds more than it takes wakes the next one itself, by way of this.
    if (room.isBusy) return;
    room.isBusy = true;
    const lists = queueId === undefined ? [...room.waiting.keys()] : [-1, queueId];
    for (const id of lists) {
      for (const waiter of [...(room.waiting.get(id) ?? [])]) {
        if (!this.#attempt(waiter, false)) break;
      }
    }
    room.isBusy = false;
  }

  #attempt(waiter: Waiter, last: boolean): boolean {
    if (waiter.heapIndex < 0) return true;
    const { connection } = waiter;
    if (!connection.closed && !waiter.attempt(last)) return false;
    this.#forget(waiter);
    if (!connection.closed) connection.flush();
    return true;
  }

  #forget(waiter: Waiter): void {
    this.#deadlines.remove(waiter);
    // The empty set stays until the connection goes, for that is when it is told of it.
    this.#byConnection.get(waiter.connection)?.delete(waiter);
    const queueId = Math.max(-1, waiter.queueId);
    const groups = this.#rooms.get(waiter.topic);
    const room = groups?.get(waiter.group);
    const list = room?.waiting.get(queueId);
    list?.delete(waiter);
    if (list?.size === 0) room!.waiting.delete(queueId);
    if (room?.waiting.size === 0) this.#closeRoom(room);
    if (this.#deadlines.size === 0) this.#setInterest(false);
  }

  #closeRoom(room: Room): void {
    const groups = this.#rooms.get(room.topic)!;
    groups.delete(room.group);
    if (groups.size === 0) this.#rooms.delete(room.topic);
    for (const name of room.topics) {
      const rooms = this.#byTopic.get(name);
      rooms?.delete(room);
      if (rooms?.size === 0) this.#byTopic.delete(name);
    }
  }

  /** Nobody is there to be answered any more. */
  #lost(connection: Connection): void {
    const waiters = this.#byConnection.get(connection) ?? [];
    this.#byConnection.delete(connection);
    for (const waiter of waiters) this.#forget(waiter);
  }

  #setTimer(): void {
    const first = this.#deadlines.first();
    if (first === undefined || first.deadlineMs >= this.#timerMs) return;
    this.#timer?.cancel();
    this.#timerMs = first.deadlineMs;
    const delayMs = Math.max(0, Math.ceil(first.deadlineMs - this.#clock.monotonicMs()));
    this.#timer = this.#clock.schedule(delayMs, () => this.#expire());
  }

  #expire(): void {
    this.#timer = undefined;
    this.#timerMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonicMs();
    for (;;) {
      const first = this.#deadlines.first();
      if (first === undefined || first.deadlineMs > nowMs) break;
      this.#attempt(first, true);
    }
    this.#setTimer();
  }

  /** Answers everybody at once: the broker is closing. */
  close(): void {
    this.#closed = true;
    for (;;) {
      const first = this.#deadlines.first();
      if (first === undefined) break;
      this.#attempt(first, true);
    }
    this.#timer?.cancel();
  }
}

const POLL_MS_MAX = 5 * 60_000;
