/** Consumer groups as administrators ask about them and change them. */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { toFastjson } from "../../remoting/fastjson.js";
import { readMessageQueue } from "../../server/broker/message-queue.js";
import {
  readSubscriptionGroupConfig,
  type SubscriptionGroupConfig,
  subscriptionGroupConfigJson,
} from "../../server/broker/subscription-group-config.js";
import {
  asKey,
  asMap,
  intMember,
  listMember,
  longMember,
  mapMember,
  parseBody,
  textMember,
} from "../../server/protocol/members.js";
import { type BrokerEntry, type Cluster, refusedBy } from "./cluster.js";

/** Apache makes them for itself (MixAll.java, TopicValidator.java). */
const SYSTEM_GROUPS = new Set([
  "DEFAULT_CONSUMER",
  "DEFAULT_PRODUCER",
  "TOOLS_CONSUMER",
  "FILTERSRV_CONSUMER",
  "SCHEDULE_CONSUMER",
  "CLIENT_INNER_PRODUCER",
  "SELF_TEST_C_GROUP",
  "SELF_TEST_P_GROUP",
  "CID_ONS-HTTP-PROXY",
  "CID_ONSAPI_PERMISSION",
  "CID_ONSAPI_OWNER",
  "CID_ONSAPI_PULL",
]);

export function isSystemGroup(group: string): boolean {
  return SYSTEM_GROUPS.has(group) || group.startsWith("CID_RMQ_SYS_") || group.startsWith("CID_SYS_RMQ_");
}

export interface QueueLag {
  readonly group: string;
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
  readonly brokerOffset: number;
  readonly consumerOffset: number;
  readonly lag: number;
  /** Store time of the last message consumed, 0 for none. */
  readonly lastTimestamp: number;
}

export interface Member {
  readonly clientId: string;
  readonly clientAddr: string;
  readonly language: string;
  readonly version: number;
}

export interface Members {
  readonly consumeType: string;
  readonly messageModel: string;
  /** Topic to expression. */
  readonly subscriptions: Readonly<Record<string, string>>;
  readonly members: readonly Member[];
}

export async function groupsOfBroker(
  cluster: Cluster,
  { address }: BrokerEntry,
): Promise<ReadonlyMap<string, SubscriptionGroupConfig>> {
  const body = await cluster.askJson(address, RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG);
  const groups = new Map<string, SubscriptionGroupConfig>();
  for (const [key, value] of mapMember(body, "subscriptionGroupTable") ?? []) {
    const name = asKey(key, "subscriptionGroupTable");
    groups.set(name, readSubscriptionGroupConfig(asMap(value, name), name));
  }
  return groups;
}

export async function putGroup(cluster: Cluster, address: string, config: SubscriptionGroupConfig): Promise<void> {
  const body = Buffer.from(toFastjson(subscriptionGroupConfigJson(config)));
  await cluster.ask(address, RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, body);
}

/** Nothing for a broker that knows nothing of the group. */
export async function lagOf(cluster: Cluster, address: string, group: string, topic?: string): Promise<QueueLag[]> {
  const answer = await cluster.call(address, RequestCode.GET_CONSUME_STATS, { consumerGroup: group, topic });
  if (answer.code === ResponseCode.TOPIC_NOT_EXIST || answer.code === ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST)
    return [];
  if (answer.code !== ResponseCode.SUCCESS) throw refusedBy(address, answer);
  const table = mapMember(parseBody(answer.body, "ConsumeStats"), "offsetTable") ?? [];
  return [...table].map(([key, value]) => {
    const queue = readMessageQueue(typeof key === "object" ? key : parseBody(String(key), "queue"));
    const stats = asMap(value, "offsetTable");
    const brokerOffset = longMember(stats, "brokerOffset", 0);
    const consumerOffset = longMember(stats, "consumerOffset", 0);
    const lag = Math.max(0, brokerOffset - consumerOffset);
    return { group, ...queue, brokerOffset, consumerOffset, lag, lastTimestamp: longMember(stats, "lastTimestamp", 0) };
  });
}

/** Undefined where nobody is there. */
export async function membersOf(cluster: Cluster, address: string, group: string): Promise<Members | undefined> {
  const answer = await cluster.call(address, RequestCode.GET_CONSUMER_CONNECTION_LIST, { consumerGroup: group });
  if (answer.code === ResponseCode.CONSUMER_NOT_ONLINE) return undefined;
  if (answer.code !== ResponseCode.SUCCESS) throw refusedBy(address, answer);
  const body = parseBody(answer.body, "ConsumerConnection");
  const subscriptions: [string, string][] = [...(mapMember(body, "subscriptionTable") ?? [])].map(([topic, value]) => [
    asKey(topic, "subscriptionTable"),
    textMember(asMap(value, "subscriptionTable"), "subString") ?? "*",
  ]);
  return {
    consumeType: textMember(body, "consumeType") ?? "",
    messageModel: textMember(body, "messageModel") ?? "",
    subscriptions: Object.fromEntries(subscriptions),
    members: listMember(body, "connectionSet").map((value) => {
      const member = asMap(value, "connectionSet");
      return {
        clientId: textMember(member, "clientId") ?? "",
        clientAddr: textMember(member, "clientAddr") ?? "",
        language: textMember(member, "language") ?? "",
        version: intMember(member, "version", 0),
      };
    }),
  };
}
