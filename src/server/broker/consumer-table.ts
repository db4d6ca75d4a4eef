/**
 * Who consumes (broker/client/ConsumerManager.java): groups with live members, known from heartbeats. A change of a
 * group is told to all its members, once for all that changed in one turn of the event loop (code 40), so that they
 * share the queues anew at once.
 */
import type { Clock, Timer } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import { RequestCode } from "../../remoting/codes.js";
import type { Connection } from "../../remoting/types.js";
import type { BrokerConfig } from "./broker-options.js";
import type { ClientIdentity } from "./client-channel.js";
import { charsOf, ConsumerGroup, describeSubscriptions } from "./consumer-group.js";
import { entryOf } from "./entry-of.js";
import type { ConsumerData, SubscriptionData } from "./heartbeat-data.js";

export interface ConsumerLimits {
  readonly groupsPerConnectionMax: number;
  /** Of all subscriptions that are kept. */
  readonly subscriptionCharsMax: number;
  /** The same of what consumers without heartbeats said in their pulls. */
  readonly pulledCharsMax: number;
}

/** Ten thousand groups have a tenth of it. */
export const CONSUMER_LIMITS: ConsumerLimits = {
  groupsPerConnectionMax: 1024,
  subscriptionCharsMax: 67_108_864,
  pulledCharsMax: 16_777_216,
};

/** For what else depends on consumers, such as compiled filters. */
export interface ConsumerListener {
  subscribed?(group: string, subscriptions: readonly SubscriptionData[]): void;
  /** The last member has gone. */
  groupGone?(group: string): void;
}

interface PulledSubscription {
  readonly subscription: SubscriptionData;
  readonly chars: number;
  seenMs: number;
}

export class ConsumerTable {
  readonly listeners: ConsumerListener[] = [];
  readonly #groups = new Map<string, ConsumerGroup>();
  readonly #groupsOfConnection = new Map<number, Set<string>>();
  /** Topic to the groups that subscribe to it. No set is empty. */
  readonly #groupsOfTopic = new Map<string, Set<string>>();
  /** Group to topic: what consumers that send no heartbeat said in their pulls. */
  readonly #pulled = new Map<string, Map<string, PulledSubscription>>();
  #pulledChars = 0;
  #heldChars = 0;
  /** A subscription or group was one too many, and the log said so. */
  #full = false;
  readonly #changedGroups = new Set<string>();
  readonly #config: BrokerConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #limits: ConsumerLimits;
  #notifyTimer: Timer | undefined;

  constructor(config: BrokerConfig, clock: Clock, log: Logger, limits: ConsumerLimits = CONSUMER_LIMITS) {
    this.#config = config;
    this.#limits = limits;
    this.#clock = clock;
    this.#log = log;
  }

  get(group: string): ConsumerGroup | undefined {
    return this.#groups.get(group);
  }

  values(): IterableIterator<ConsumerGroup> {
    return this.#groups.values();
  }

  /** What the group subscribes to in `topic`, as heartbeats or, without any, pulls have it. */
  findSubscription(group: string, topic: string): SubscriptionData | undefined {
    const told = this.#groups.get(group)?.subscriptions.get(topic);
    return told ?? this.#pulled.get(group)?.get(topic)?.subscription;
  }

  subscriptionCount(group: string): number {
    return this.#groups.get(group)?.subscriptions.size ?? 0;
  }

  groupsOf(topic: string): ReadonlySet<string> {
    return this.#groupsOfTopic.get(topic) ?? new Set();
  }

  /**
   * Takes one group of a heartbeat. With `withoutSub` the subscriptions are those of an earlier heartbeat. `notify` is
   * the group's own switch. Answers whether members or subscribed topics changed.
   */
  register(client: ClientIdentity, data: ConsumerData, withoutSub: boolean, notify: boolean): boolean {
    const { connection } = client;
    if (connection.closed || this.#isOneTooMany(connection, data.groupName)) return false;
    const group = this.#groups.get(data.groupName) ?? this.#addGroup(data.groupName);
    const newMember = group.updateMember(client, data, this.#clock.nowMs(), this.#clock.monotonicMs());
    if (newMember) {
      this.#watch(connection).add(group.name);
      const { clientId } = client;
      this.#log.info({ group: group.name, clientId, client: connection.remoteAddress }, "new consumer");
    }
    const newTopics = withoutSub ? false : this.#takeSubscriptions(group, connection, data.subscriptions);
    const changed = newMember || newTopics;
    if (changed && notify && !group.isBroadcasting) this.#notifyLater(group.name);
    return changed;
  }

  #isOneTooMany({ id, remoteAddress }: Connection, group: string): boolean {
    const groups = this.#groupsOfConnection.get(id);
    if (groups === undefined || groups.size < this.#limits.groupsPerConnectionMax || groups.has(group)) return false;
    this.#tellFull({ group, client: remoteAddress }, "too many consumer groups on one connection");
    return true;
  }

  #tellFull(fields: object, text: string): void {
    if (!this.#full) this.#log.warn(fields, `${text}; said once`);
    this.#full = true;
  }

  /** Where there is no room for more, those from before stay. */
  #takeSubscriptions(
    group: ConsumerGroup,
    { id, remoteAddress }: Connection,
    subscriptions: readonly SubscriptionData[],
  ): boolean {
    const member = group.members.get(id)!;
    const description = describeSubscriptions(subscriptions);
    const newChars = charsOf(subscriptions) + description.length;
    const { subscriptionCharsMax } = this.#limits;
    if (this.#heldChars + newChars > subscriptionCharsMax) {
      const oldChars = charsOf(group.subscriptions.values()) + member.subscription.length;
      if (newChars > oldChars && this.#heldChars + newChars - oldChars > subscriptionCharsMax) {
        this.#tellFull({ group: group.name, client: remoteAddress }, "there is no room for more subscriptions");
        return false;
      }
    }
    const before = [...group.subscriptions.keys()];
    const changed = group.updateSubscriptions(subscriptions);
    if (changed) this.#indexTopics(group, before);
    member.subscription = description;
    this.#count(group);
    this.#reportAgreement(group);
    for (const listener of this.listeners) listener.subscribed?.(group.name, subscriptions);
    return changed;
  }

  #count(group: ConsumerGroup): void {
    let chars = charsOf(group.subscriptions.values());
    for (const { subscription } of group.members.values()) chars += subscription.length;
    this.#heldChars += chars - group.heldChars;
    group.heldChars = chars;
  }

  #indexTopics(group: ConsumerGroup, before: readonly string[]): void {
    for (const topic of before) {
      if (group.subscriptions.has(topic)) continue;
      const groups = this.#groupsOfTopic.get(topic);
      groups?.delete(group.name);
      if (groups?.size === 0) this.#groupsOfTopic.delete(topic);
    }
    for (const topic of group.subscriptions.keys()) {
      entryOf(this.#groupsOfTopic, topic, () => new Set<string>()).add(group.name);
    }
  }

  /** Members that subscribe differently lose messages: said once, with their names, when it begins and when it ends. */
  #reportAgreement(group: ConsumerGroup): void {
    const members = group.checkAgreement();
    if (members === undefined) return;
    if (members.length === 0) this.#log.info({ group: group.name }, "members of the group subscribe to the same again");
    else
      this.#log.warn(
        { group: group.name, members },
        "members of one group subscribe differently, messages may be missed",
      );
  }

  unregister(groupName: string, connection: Connection, notify: boolean): void {
    const group = this.#groups.get(groupName);
    if (group === undefined || !group.members.has(connection.id)) return;
    this.#groupsOfConnection.get(connection.id)?.delete(groupName);
    this.#removeMember(group, connection);
    if (notify && !group.isBroadcasting) this.#notifyLater(groupName);
  }

  /** Closes connections that have sent no heartbeat in `channelExpiredTimeout`, forgets what old pulls said. */
  scan(): void {
    const nowMs = this.#clock.monotonicMs();
    const deadlineMs = nowMs - this.#config.channelExpiredTimeout;
    for (const group of [...this.#groups.values()]) {
      for (const { connection, lastSeenMs, clientId } of [...group.members.values()]) {
        if (lastSeenMs >= deadlineMs) continue;
        this.#log.warn({ group: group.name, clientId }, "a consumer is silent, closing its connection");
        this.unregister(group.name, connection, true);
        connection.close();
      }
    }
    this.#scanPulled(nowMs - this.#config.subscriptionExpiredTimeout);
  }

  /** Takes the subscription that a pull carries, for consumers that send no heartbeat; in the place of old ones. */
  noteSubscription(group: string, subscription: SubscriptionData): void {
    const { topic } = subscription;
    this.#forgetPulled(group, topic);
    const chars = charsOf([subscription]);
    const { pulledCharsMax } = this.#limits;
    if (chars > pulledCharsMax) return;
    for (const [oldGroup, topics] of this.#pulled) {
      if (this.#pulledChars + chars <= pulledCharsMax) break;
      for (const oldTopic of topics.keys()) this.#forgetPulled(oldGroup, oldTopic);
    }
    this.#pulledChars += chars;
    const topics = entryOf(this.#pulled, group, () => new Map<string, PulledSubscription>());
    topics.set(topic, { subscription, chars, seenMs: this.#clock.monotonicMs() });
  }

  #forgetPulled(group: string, topic: string): void {
    const topics = this.#pulled.get(group);
    const pulled = topics?.get(topic);
    if (topics === undefined || pulled === undefined) return;
    this.#pulledChars -= pulled.chars;
    topics.delete(topic);
    if (topics.size === 0) this.#pulled.delete(group);
  }

  /** What was noted last of the two, which counts as noted again; undefined where nothing is. */
  seenSubscription(group: string, topic: string): SubscriptionData | undefined {
    const pulled = this.#pulled.get(group)?.get(topic);
    if (pulled !== undefined) pulled.seenMs = this.#clock.monotonicMs();
    return pulled?.subscription;
  }

  #scanPulled(deadlineMs: number): void {
    for (const [group, topics] of this.#pulled) {
      for (const [topic, { seenMs }] of topics) if (seenMs < deadlineMs) this.#forgetPulled(group, topic);
    }
  }

  #addGroup(name: string): ConsumerGroup {
    const group = new ConsumerGroup(name);
    this.#groups.set(name, group);
    return group;
  }

  #watch(connection: Connection): Set<string> {
    let groups = this.#groupsOfConnection.get(connection.id);
    if (groups === undefined) {
      groups = new Set();
      this.#groupsOfConnection.set(connection.id, groups);
      connection.onClose(() => this.#drop(connection));
    }
    return groups;
  }

  #drop(connection: Connection): void {
    const groups = this.#groupsOfConnection.get(connection.id);
    this.#groupsOfConnection.delete(connection.id);
    for (const name of groups ?? []) this.unregister(name, connection, true);
  }

  #removeMember(group: ConsumerGroup, connection: Connection): void {
    const member = group.members.get(connection.id)!;
    group.members.delete(connection.id);
    this.#log.info({ group: group.name, clientId: member.clientId, client: connection.remoteAddress }, "consumer gone");
    if (group.members.size > 0) {
      this.#count(group);
      this.#reportAgreement(group);
      return;
    }
    this.#groups.delete(group.name);
    const before = [...group.subscriptions.keys()];
    group.subscriptions.clear();
    this.#count(group);
    this.#indexTopics(group, before);
    for (const listener of this.listeners) listener.groupGone?.(group.name);
  }

  #notifyLater(group: string): void {
    this.#changedGroups.add(group);
    this.#notifyTimer ??= this.#clock.schedule(0, () => {
      this.#notifyTimer = undefined;
      this.#notify();
    });
  }

  #notify(): void {
    const groups = [...this.#changedGroups];
    this.#changedGroups.clear();
    if (!this.#config.notifyConsumerIdsChangedEnable) return;
    for (const consumerGroup of groups) {
      for (const { connection } of this.#groups.get(consumerGroup)?.members.values() ?? []) {
        if (!connection.closed) connection.pushOneway(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, { consumerGroup });
      }
    }
  }
}
