/**
 * Queues of topics that were deleted while members of a group read them. Members keep their offsets, and would begin
 * behind the first messages of a topic that is made again under the name: until a group has been sent to the beginning of
 * such a queue, its commits there do not count. Kept in memory only; the longest kept are let go of past a bound, for
 * most topics are not made again.
 */
import { entryOf } from "./entry-of.js";

const QUEUE_COUNT_MAX = 65_536;

export class ExpectedRestarts {
  /** Group to topic to queue ids, in the order of deletion; no map or set is empty. */
  readonly #groups = new Map<string, Map<string, Set<number>>>();
  readonly #queueCountMax: number;
  #queueCount = 0;

  constructor(queueCountMax: number = QUEUE_COUNT_MAX) {
    this.#queueCountMax = queueCountMax;
  }

  get queueCount(): number {
    return this.#queueCount;
  }

  has(group: string, topic: string, queueId: number): boolean {
    return this.#queueCount > 0 && this.#groups.get(group)?.get(topic)?.has(queueId) === true;
  }

  /** `queueCount` queues of the topic, from 0 on. */
  add(group: string, topic: string, queueCount: number): void {
    this.forgetTopicOf(group, topic);
    const kept = Math.min(queueCount, this.#queueCountMax);
    if (kept <= 0) return;
    this.#makeRoom(kept);
    const topics = this.#groups.get(group) ?? new Map<string, Set<number>>();
    // The group comes last: it has the newest.
    this.#groups.delete(group);
    this.#groups.set(group, topics);
    const queueIds = entryOf(topics, topic, () => new Set<number>());
    for (let queueId = 0; queueId < kept; queueId++) queueIds.add(queueId);
    this.#queueCount += kept;
  }

  /** True once for each queue. */
  take(group: string, topic: string, queueId: number): boolean {
    if (this.#queueCount === 0) return false;
    const queueIds = this.#groups.get(group)?.get(topic);
    if (queueIds?.delete(queueId) !== true) return false;
    this.#queueCount--;
    if (queueIds.size === 0) this.#drop(group, topic);
    return true;
  }

  forgetGroup(group: string): void {
    for (const queueIds of this.#groups.get(group)?.values() ?? []) this.#queueCount -= queueIds.size;
    this.#groups.delete(group);
  }

  forgetTopic(topic: string): void {
    if (this.#queueCount > 0) for (const group of this.#groups.keys()) this.forgetTopicOf(group, topic);
  }

  forgetTopicOf(group: string, topic: string): void {
    this.#queueCount -= this.#groups.get(group)?.get(topic)?.size ?? 0;
    this.#drop(group, topic);
  }

  #drop(group: string, topic: string): void {
    const topics = this.#groups.get(group);
    topics?.delete(topic);
    if (topics?.size === 0) this.#groups.delete(group);
  }

  #makeRoom(queueCount: number): void {
    for (const [group, topics] of this.#groups) {
      for (const topic of topics.keys()) {
        if (this.#queueCount + queueCount <= this.#queueCountMax) return;
        this.forgetTopicOf(group, topic);
      }
    }
  }
}
