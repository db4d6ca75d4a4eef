/**
 * One consumer group as its live members make it (broker/client/ConsumerGroupInfo.java): who they are, and what the last
 * one to speak says the group subscribes to.
 */
import type { ClientChannel, ClientIdentity } from "./client-channel.js";
import type { ConsumeFromWhere, ConsumerData, ConsumeType, MessageModel, SubscriptionData } from "./heartbeat-data.js";
import { isTagType } from "./heartbeat-data.js";
import { isRetryTopic } from "./names.js";

const ENTRY_CHARS = 32;

export interface Member extends ClientChannel {
  /** What this member subscribes to, comparable between members; empty while it has not said. */
  subscription: string;
}

export class ConsumerGroup {
  readonly name: string;
  /** By connection id. */
  readonly members = new Map<number, Member>();
  readonly subscriptions = new Map<string, SubscriptionData>();
  consumeType: ConsumeType | undefined;
  messageModel: MessageModel | undefined;
  consumeFromWhere: ConsumeFromWhere | undefined;
  /** Of the last heartbeat in its second version. */
  fingerprint: number | undefined;
  /** Of what is kept of subscriptions, by the table. */
  heldChars = 0;
  /** What members subscribe to differently, as it was last logged; empty while they agree. */
  #disagreement = "";

  constructor(name: string) {
    this.name = name;
  }

  get isBroadcasting(): boolean {
    return this.messageModel === "BROADCASTING";
  }

  clientIds(): string[] {
    return Array.from(this.members.values(), (member) => member.clientId);
  }

  findMember(clientId: string): Member | undefined {
    for (const member of this.members.values()) if (member.clientId === clientId) return member;
    return undefined;
  }

  /** True when this is a new member. */
  updateMember(client: ClientIdentity, data: ConsumerData, nowMs: number, monotonicMs: number): boolean {
    this.consumeType = data.consumeType;
    this.messageModel = data.messageModel;
    this.consumeFromWhere = data.consumeFromWhere;
    const known = this.members.get(client.connection.id);
    const times = { lastUpdateTimestamp: nowMs, lastSeenMs: monotonicMs };
    if (known !== undefined && known.clientId === client.clientId) {
      Object.assign(known, times);
      return false;
    }
    this.members.set(client.connection.id, { ...client, ...times, subscription: known?.subscription ?? "" });
    return known === undefined;
  }

  /** Makes `subscriptions` the group's. True when topics have come or gone; newer versions alone do not count. */
  updateSubscriptions(subscriptions: readonly SubscriptionData[]): boolean {
    let changed = false;
    const topics = new Set<string>();
    for (const subscription of subscriptions) {
      topics.add(subscription.topic);
      const known = this.subscriptions.get(subscription.topic);
      if (known === undefined) changed = true;
      if (known === undefined || subscription.subVersion > known.subVersion) {
        this.subscriptions.set(subscription.topic, subscription);
      }
    }
    for (const topic of this.subscriptions.keys()) {
      if (topics.has(topic)) continue;
      this.subscriptions.delete(topic);
      changed = true;
    }
    return changed;
  }

  /**
   * Looks whether all members subscribe to the same. Answers who subscribes to what when they newly disagree, the empty
   * list when they agree again, and undefined when there is no news.
   */
  checkAgreement(): { clientId: string; subscription: string }[] | undefined {
    const different = new Set<string>();
    for (const { subscription } of this.members.values()) if (subscription !== "") different.add(subscription);
    const disagreement = different.size > 1 ? [...different].sort().join("\n") : "";
    if (disagreement === this.#disagreement) return undefined;
    this.#disagreement = disagreement;
    return this.disagreement();
  }

  /** Who subscribes to what, while members disagree; empty otherwise. */
  disagreement(): { clientId: string; subscription: string }[] {
    if (this.#disagreement === "") return [];
    return Array.from(this.members.values(), ({ clientId, subscription }) => ({ clientId, subscription }));
  }
}

/** What keeping subscriptions takes, near enough, in characters; a tag has its place in a list and a code in a set. */
export function charsOf(subscriptions: Iterable<SubscriptionData>): number {
  let chars = 0;
  for (const { topic, subString, expressionType, tagsSet, codeSet } of subscriptions) {
    chars += ENTRY_CHARS + topic.length + subString.length + expressionType.length;
    chars += ENTRY_CHARS * (tagsSet.length + codeSet.size);
    for (const tag of tagsSet) chars += tag.length;
  }
  return chars;
}

/** Subscriptions as a text that is the same for members that subscribe to the same. Retry topics are left out. */
export function describeSubscriptions(subscriptions: readonly SubscriptionData[]): string {
  return subscriptions
    .filter(({ topic }) => !isRetryTopic(topic))
    .map(({ topic, expressionType, subString, tagsSet }) => {
      const tags = isTagType(expressionType) && subString !== "*" && tagsSet.length > 0;
      return `${topic} ${expressionType} ${tags ? [...tagsSet].sort().join(" || ") : subString}`;
    })
    .sort()
    .join("; ");
}
