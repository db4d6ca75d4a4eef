/**
 * Which member of a group holds which queue, for ordered consumption (broker/client/rebalance/RebalanceLockManager.java).
 * A lock that is not renewed for 60 s may be taken by another.
 *
 * Apache forgets locks when a broker ends, and whoever asks first after a restart gets a queue whose holder still goes
 * through messages of it. Here they are kept, as `config/queueLocks.json`, which Apache passes over: a restarted broker
 * keeps queues for their holders as long as these may believe in their locks.
 */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { FastjsonInput, FastjsonMap } from "../../remoting/fastjson.js";
import { asKey, asMap, textMember } from "../protocol/members.js";
import { ConfigSaver } from "./config-saver.js";
import { entryOf } from "./entry-of.js";
import type { JsonConfigFile, LoadReport, Omissions } from "./json-config-file.js";
import { type MessageQueue, messageQueueJson, readMessageQueue } from "./message-queue.js";
import { isSafeName } from "./names.js";

const LOCK_MAX_LIVE_MS = 60_000;
/** A client holds itself for the holder so long after the last answer (ProcessQueue.REBALANCE_LOCK_MAX_LIVE_TIME). */
const CLIENT_BELIEVES_MS = 30_000;
/** Expired ones included, until they are forgotten. */
const LOCKS_MAX = 524_288;

interface Lock {
  readonly queue: MessageQueue;
  clientId: string;
  renewedMs: number;
}

function keyOf({ topic, brokerName, queueId }: MessageQueue): string {
  return JSON.stringify([topic, brokerName, queueId]);
}

export interface QueueLockTableOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly file?: JsonConfigFile | undefined;
  readonly locksMax?: number | undefined;
}

export class QueueLockTable {
  /** Who is told that a queue is its own is told so once that is saved (`saveIfDirty`). */
  readonly saver: ConfigSaver;
  /** Group to queue. No inner map is empty. */
  readonly #groups = new Map<string, Map<string, Lock>>();
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #file: JsonConfigFile | undefined;
  readonly #locksMax: number;
  #count = 0;
  /** There were as many as there may be, and the log said so. */
  #full = false;

  constructor({ clock, log, file, locksMax = LOCKS_MAX }: QueueLockTableOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#file = file;
    this.#locksMax = locksMax;
    this.saver = new ConfigSaver(file, () => this.#toJson(), clock, log);
  }

  load(): LoadReport | undefined {
    return this.#file?.load((content, omissions) => this.#take(content, omissions));
  }

  #take(content: FastjsonMap, omissions: Omissions): void {
    const table = content.get("lockTable");
    const renewedMs = this.#clock.monotonicMs() - (LOCK_MAX_LIVE_MS - CLIENT_BELIEVES_MS);
    for (const [key, list] of table instanceof Map ? table : []) {
      try {
        const group = asKey(key, "lockTable");
        for (const value of Array.isArray(list) ? list : []) {
          const map = asMap(value, "a lock");
          const queue = readMessageQueue(map);
          const clientId = textMember(map, "clientId") ?? "";
          if (!isSafeName(group) || !isSafeName(queue.topic) || clientId === "" || this.#count >= this.#locksMax) {
            omissions.drop(`a lock of ${group} on ${queue.topic}`);
          } else {
            const locks = entryOf(this.#groups, group, () => new Map<string, Lock>());
            const lockKey = keyOf(queue);
            if (!locks.has(lockKey)) this.#count++;
            locks.set(lockKey, { queue, clientId, renewedMs });
          }
        }
      } catch (error) {
        omissions.drop("an entry of lockTable", error);
      }
    }
  }

  #toJson(): FastjsonInput {
    const lockTable = new Map<string, FastjsonInput>();
    for (const [group, locks] of this.#groups) {
      lockTable.set(
        group,
        Array.from(locks.values(), ({ queue, clientId }) => ({ ...messageQueueJson(queue), clientId })),
      );
    }
    return { lockTable };
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
      if (lock === undefined && !this.#hasRoom()) continue;
      if (lock === undefined) this.#count++;
      if (lock?.clientId !== clientId) this.saver.markDirty();
      locks.set(key, { queue, clientId, renewedMs: nowMs });
      held.set(key, queue);
    }
    if (locks.size > 0) this.#groups.set(group, locks);
    return [...held.values()];
  }

  #hasRoom(): boolean {
    if (this.#count < this.#locksMax) return true;
    if (!this.#full) this.#log.warn({ locksMax: this.#locksMax }, "no more queues can be locked; said once");
    this.#full = true;
    return false;
  }

  /** Locks of other clients stay. */
  unlock(group: string, queues: readonly MessageQueue[], clientId: string): void {
    const locks = this.#groups.get(group);
    if (locks === undefined) return;
    for (const queue of queues) {
      const key = keyOf(queue);
      if (locks.get(key)?.clientId !== clientId) continue;
      locks.delete(key);
      this.#count--;
      this.saver.markDirty();
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
      for (const [key, lock] of locks) {
        if (!this.#isExpired(lock, nowMs)) continue;
        locks.delete(key);
        this.#count--;
        this.saver.markDirty();
      }
      if (locks.size === 0) this.#groups.delete(group);
    }
  }

  #isExpired(lock: Lock, nowMs: number): boolean {
    return nowMs - lock.renewedMs > LOCK_MAX_LIVE_MS;
  }
}
