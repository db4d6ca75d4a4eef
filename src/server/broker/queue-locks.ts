/**
 * Which member of a group holds which queue, for ordered consumption (broker/client/rebalance/RebalanceLockManager.java).
 * A lock that is not renewed for 60 s may be taken by another. Locks live in memory only.
 */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { MessageQueue } from "./message-queue.js";

const LOCK_MAX_LIVE_MS = 60_000;

interface Lock {
  clientId: string;
  renewedMs: number;
}

function keyOf({ topic, brokerName, queueId }: MessageQueue): string {
  return JSON.stringify([topic, brokerName, queueId]);
}

export class QueueLockTable {
  /** Group to queue. No inner map is empty. */
  readonly #groups = new Map<string, Map<string, Lock>>();
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  /** The queues that `clientId` now holds: those it held, which are renewed, and those nobody else holds. */
  tryLock(group: string, queues: readonly MessageQueue[], clientId: string): MessageQueue[] {
    const nowMs = this.#clock.monotonicMs();
    let locks = this.#groups.get(group);
    if (locks === undefined) locks = new Map();
    const held = new Map<string, MessageQueue>();
    for (const queue of queues) {
      const key = keyOf(queue);
      const lock = locks.get(key);
      if (lock !== undefined && lock.clientId !== clientId) {
        if (!this.#isExpired(lock, nowMs)) {
          this.#log.debug({ group, queue, clientId, holder: lock.clientId }, "the queue is locked by another client");
          continue;
        }
        this.#log.warn({ group, queue, clientId, holder: lock.clientId }, "an expired lock changes hands");
      }
      locks.set(key, { clientId, renewedMs: nowMs });
      held.set(key, queue);
    }
    if (locks.size > 0) this.#groups.set(group, locks);
    return [...held.values()];
  }

  /** Locks of other clients stay. */
  unlock(group: string, queues: readonly MessageQueue[], clientId: string): void {
    const locks = this.#groups.get(group);
    if (locks === undefined) return;
    for (const queue of queues) {
      const key = keyOf(queue);
      if (locks.get(key)?.clientId === clientId) locks.delete(key);
    }
    if (locks.size === 0) this.#groups.delete(group);
  }

  /** Whether nobody in the group holds a queue: then it may be read in any order. */
  isLockAllExpired(group: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    for (const lock of this.#groups.get(group)?.values() ?? []) if (!this.#isExpired(lock, nowMs)) return false;
    return true;
  }

  /** Forgets expired locks. */
  scan(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [group, locks] of this.#groups) {
      for (const [key, lock] of locks) if (this.#isExpired(lock, nowMs)) locks.delete(key);
      if (locks.size === 0) this.#groups.delete(group);
    }
  }

  #isExpired(lock: Lock, nowMs: number): boolean {
    return nowMs - lock.renewedMs > LOCK_MAX_LIVE_MS;
  }
}
