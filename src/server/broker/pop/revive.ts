/**
 * Gives out again what nobody has acknowledged in time (broker/processor/PopReviveService.java#reviveRetry): a copy goes
 * to the retry topic of group and topic, or to the group's dead letters when it was tried often enough. The group's offset
 * moves past the message when the copy is on the disk.
 */
import { CometError } from "../../../base/errors.js";
import { createMessageId } from "../../../record/message-id.js";
import { decodeProperties, encodeProperties, inApacheOrder } from "../../../record/properties.js";
import { PropertyName } from "../../../record/property-names.js";
import { RecordView } from "../../../record/record-view.js";
import type { MessageStore } from "../../../store/message-store.js";
import { PutStatus } from "../../../store/types.js";
import { PERM_READ, PERM_WRITE } from "../../protocol/topic-config.js";
import type { BrokerContext } from "../context.js";
import { deadLetterTopic } from "../dead-letters.js";
import { copyMessage, emptyMessage, emptyPutResult, forgetBytes } from "../message-copy.js";
import { isRetryTopic } from "../names.js";
import type { SubscriptionGroup } from "../subscription-group-config.js";
import { Topic, topicQueue } from "../topic-config.js";
import { WallAlarm } from "../wall-alarm.js";
import { normalTopicOf, popRetryTopicV1, popRetryTopicV2 } from "./extra-info.js";
import type { Lease } from "./leases.js";
import type { PopState } from "./pop-state.js";

/** What one turn of the event loop gives out again at the most. */
const TURN_MESSAGES_MAX = 128;
/** After a put that failed, or a message that could not be read. */
const RETRY_MS = 1000;
const RETRY_QUEUE_NUMS = 1;
/** Of the HashMap in which Apache puts a retry's properties together. */
const JAVA_BUCKETS = 16;

type Fate = "put" | "dropped" | "failed" | "unsaved";

export class Revive {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #state: PopState;
  readonly #record = new RecordView();
  readonly #message = emptyMessage();
  readonly #result = emptyPutResult();
  readonly #alarm: WallAlarm;
  #timerMs = Number.POSITIVE_INFINITY;
  #running = false;
  #putsFail = false;
  /** A topic that a kill made unknown would be read by nobody: these are on the disk. */
  readonly #savedTopics = new WeakSet<Topic>();
  /** A topic is being saved: all wait for that. */
  #saving = false;

  constructor(context: BrokerContext, store: MessageStore, state: PopState) {
    this.#context = context;
    this.#store = store;
    this.#state = state;
    this.#alarm = new WallAlarm(context.clock, () => this.#turn());
  }

  start(): void {
    this.#running = true;
    this.schedule();
  }

  close(): void {
    this.#running = false;
    this.#alarm.cancel();
  }

  /** Whenever a lease may run out earlier than any other did. */
  schedule(): void {
    const first = this.#state.leases.first();
    if (!this.#running || this.#saving || first === undefined || first.deadlineMs >= this.#timerMs) return;
    const { clock } = this.#context;
    const delayMs = Math.max(0, first.deadlineMs - clock.nowMs());
    this.#timerMs = clock.nowMs() + delayMs;
    this.#alarm.set(delayMs);
  }

  #turn(): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    if (!this.#running || this.#store.failure !== undefined) return;
    const nowMs = this.#context.clock.nowMs();
    const put: Lease[] = [];
    for (let i = 0; i < TURN_MESSAGES_MAX; i++) {
      const lease = this.#state.leases.first();
      if (lease === undefined || lease.deadlineMs > nowMs) break;
      const fate = this.#tryRevive(lease);
      if (fate === "unsaved") break;
      if (fate === "failed") this.#state.leases.postpone(lease, nowMs + RETRY_MS);
      else if (fate === "put") put.push(lease);
    }
    forgetBytes(this.#message);
    if (put.length > 0) void this.#settleWhenDurable(put);
    this.schedule();
  }

  /** A power cut may take what is not on the disk: the offset that is saved must not be ahead of it. */
  async #settleWhenDurable(leases: readonly Lease[]): Promise<void> {
    try {
      await this.#store.whenFlushed(this.#state.journal.position);
    } catch {
      return;
    }
    for (const lease of leases) {
      lease.isSettled = true;
      this.#state.commit(lease.queue, "PopRevive");
    }
  }

  #tryRevive(lease: Lease): Fate {
    try {
      return this.#revive(lease);
    } catch (error) {
      if (!(error instanceof CometError)) throw error;
      return this.#fail(lease, error.message);
    }
  }

  #revive(lease: Lease): Fate {
    const { groups, store, topics } = this.#context;
    const { queue, queueOffset } = lease;
    const group = groups.get(queue.group);
    const topic = topics.get(queue.topic);
    const origin = normalTopicOf(queue.topic, queue.group) ?? queue.topic;
    if (group === undefined || topic === undefined || topics.get(origin) === undefined) {
      return this.#drop(lease, "its topic or group is gone");
    }
    const handle = topicQueue(store, topic, queue.queueId);
    const { lookUp } = this.#store;
    const record = lookUp.readRecord(lookUp.phyOffsetOf(handle, queueOffset), this.#record);
    // Whatever lies there now, only the message that was popped is given out.
    if (record === undefined || !this.#isOf(topic, queue.queueId, record)) {
      return this.#drop(lease, "it can not be read, or is gone with its segment of the log");
    }
    return this.#put(lease, group, origin, record);
  }

  #isOf(topic: Topic, queueId: number, record: Buffer): boolean {
    const { topicStart, topicLength } = this.#record;
    if (this.#record.queueId !== queueId || topicLength !== topic.nameBytes.length) return false;
    return record.compare(topic.nameBytes, 0, topicLength, topicStart, topicStart + topicLength) === 0;
  }

  #put(lease: Lease, group: SubscriptionGroup, origin: string, record: Buffer): Fate {
    const message = this.#message;
    const { queue } = lease;
    const { reconsumeTimes } = this.#record;
    const isDead = reconsumeTimes + 1 > group.retryMaxTimes;
    const target = isDead ? deadLetterTopic(this.#context, group.name) : this.#retryTopic(queue.topic, group, origin);
    if (!(target instanceof Topic)) return this.#fail(lease, "its retry or dead letter topic can not be made");
    if (!this.#isSaved(target, lease)) return "unsaved";
    copyMessage(record, this.#record, message);
    message.reconsumeTimes = reconsumeTimes + 1;
    const isSpread = this.#context.config.useSeparateRetryQueue && queue.queueId < target.writeQueueNums;
    message.queue = topicQueue(this.#context.store, target, isSpread && !isDead ? queue.queueId : 0);
    const properties = this.#properties(lease, record, origin, isDead);
    message.properties = encodeProperties(inApacheOrder(properties, JAVA_BUCKETS));
    message.propertiesStart = 0;
    message.propertiesLength = message.properties.length;
    const status = this.#store.put(message, this.#result);
    if (status === PutStatus.MESSAGE_ILLEGAL || status === PutStatus.PROPERTIES_SIZE_EXCEEDED) {
      return this.#drop(lease, "it is larger than maxMessageSize allows today");
    }
    if (status !== PutStatus.PUT_OK) return this.#fail(lease, `the store does not take it (status ${status})`);
    this.#putsFail = false;
    this.#context.stats.recordPut(target, 1, this.#result.sizeBytes);
    if (isDead) {
      const fields = { group: group.name, topic: origin, uniqueKey: properties.get("UNIQ_KEY"), reconsumeTimes };
      this.#context.log.info(fields, "a message that was tried goes to dead letters");
    }
    // Should the journal not take it, the message comes twice after a crash.
    this.#state.journal.settled(queue, [lease.queueOffset]);
    this.#state.leases.release(lease);
    return "put";
  }

  /** Otherwise all is tried again when the topic is on the disk. */
  #isSaved(target: Topic, lease: Lease): boolean {
    const saving = this.#savedTopics.has(target) ? undefined : this.#context.topics.saver.saveIfDirty();
    if (saving === undefined) {
      this.#savedTopics.add(target);
      return true;
    }
    this.#saving = true;
    void saving.then((problem) => {
      this.#saving = false;
      if (problem === undefined) {
        this.#savedTopics.add(target);
        this.#turn();
      } else {
        this.#fail(lease, "its retry or dead letter topic can not be saved");
        const nowMs = this.#context.clock.nowMs();
        const isLeased = lease.queue.leases.get(lease.queueOffset) === lease;
        if (isLeased && lease.deadlineMs <= nowMs) this.#state.leases.postpone(lease, nowMs + RETRY_MS);
        this.schedule();
      }
    });
    return false;
  }

  #properties(lease: Lease, record: Buffer, origin: string, isDead: boolean): Map<string, string> {
    const { propertiesStart, propertiesLength, storeHostStart, storeHostLength, reconsumeTimes } = this.#record;
    const properties = decodeProperties(record, propertiesStart, propertiesStart + propertiesLength);
    if (reconsumeTimes === 0 || !properties.has(PropertyName.FIRST_POP_TIME)) {
      properties.set(PropertyName.FIRST_POP_TIME, String(lease.popTime));
    }
    properties.set(PropertyName.ORIGIN_GROUP, lease.queue.group);
    // Handles are of one pop: a copy would never be known by them.
    properties.delete(PropertyName.POP_CK);
    properties.delete(PropertyName.CRC32);
    if (!isDead) return properties;
    if (!properties.has(PropertyName.ORIGIN_MESSAGE_ID)) {
      const storeHost = record.subarray(storeHostStart, storeHostStart + storeHostLength);
      properties.set(PropertyName.ORIGIN_MESSAGE_ID, createMessageId(storeHost, this.#record.phyOffset));
    }
    properties.set(PropertyName.RETRY_TOPIC, origin);
    return properties;
  }

  /** What was popped from a retry topic goes back there; undefined when there can be none. */
  #retryTopic(popped: string, group: SubscriptionGroup, origin: string): Topic | undefined {
    const { config, offsets, topics } = this.#context;
    const fresh = config.enableRetryTopicV2 ? popRetryTopicV2(group.name, origin) : popRetryTopicV1(group.name, origin);
    const name = isRetryTopic(popped) ? popped : fresh;
    const known = topics.get(name);
    if (known !== undefined) return known;
    const queueNums = config.useSeparateRetryQueue ? topics.get(origin)!.writeQueueNums : RETRY_QUEUE_NUMS;
    const topic = topics.createInSendMessageBack(name, queueNums, PERM_READ | PERM_WRITE, false, 0);
    if (topic === undefined) return undefined;
    for (let queueId = 0; queueId < queueNums; queueId++) {
      if (offsets.queryOffset(group.name, name, queueId) < 0) {
        offsets.commitOffset("initPopRetryOffset", group.name, name, queueId, 0);
      }
    }
    return topic;
  }

  /** Nobody can be given the message any more. It stays where it is, as far as it is there. */
  #drop(lease: Lease, why: string): Fate {
    const { group, topic, queueId } = lease.queue;
    const fields = { group, topic, queueId, queueOffset: lease.queueOffset };
    this.#context.log.error(fields, `a message that was popped is not given out again: ${why}`);
    this.#state.journal.settled(lease.queue, [lease.queueOffset]);
    this.#state.leases.settle(lease);
    this.#state.commit(lease.queue, "PopRevive");
    return "dropped";
  }

  #fail(lease: Lease, why: string): Fate {
    const { group, topic, queueId } = lease.queue;
    if (!this.#putsFail) {
      const fields = { group, topic, queueId, queueOffset: lease.queueOffset };
      this.#context.log.warn(fields, `messages can not be given out again now, will try again: ${why}`);
    }
    this.#putsFail = true;
    return "failed";
  }
}
