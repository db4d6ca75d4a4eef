/** Topics as administrators ask about them and change them. */
import { RequestCode } from "../../remoting/codes.js";
import { readMessageQueue } from "../../server/broker/message-queue.js";
import { DLQ_TOPIC_PREFIX, RETRY_TOPIC_PREFIX, SYSTEM_TOPIC_PREFIX, SYSTEM_TOPICS } from "../../server/broker/names.js";
import { asMap, listMember, longMember, mapMember, parseBody } from "../../server/protocol/members.js";
import { PERM_READ, PERM_WRITE, readTopicConfig, type TopicConfig } from "../../server/protocol/topic-config.js";
import { readTopicConfigWrapper } from "../../server/protocol/topic-config-wrapper.js";
import type { BrokerEntry, Cluster } from "./cluster.js";

/** With the sign that requests of changes have. */
export type AttributeChanges = ReadonlyMap<string, string>;

export interface QueueStats {
  readonly brokerName: string;
  readonly queueId: number;
  readonly minOffset: number;
  readonly maxOffset: number;
  readonly lastUpdateTimestamp: number;
}

/** Every topic of a broker, by name. */
export async function topicsOf(cluster: Cluster, { address }: BrokerEntry): Promise<ReadonlyMap<string, TopicConfig>> {
  const body = await cluster.askJson(address, RequestCode.GET_ALL_TOPIC_CONFIG);
  return readTopicConfigWrapper(body).topicConfigTable;
}

/** What brokers make for themselves and for groups. */
export function isSystemTopic(topic: string, brokers: readonly BrokerEntry[]): boolean {
  const isNamed = SYSTEM_TOPICS.includes(topic) || topic.startsWith(SYSTEM_TOPIC_PREFIX);
  const isOfGroup = topic.startsWith(RETRY_TOPIC_PREFIX) || topic.startsWith(DLQ_TOPIC_PREFIX);
  const isOfBroker = brokers.some(({ brokerName, cluster }) =>
    [brokerName, cluster, `${cluster}_REPLY_TOPIC`].includes(topic),
  );
  return isNamed || isOfGroup || isOfBroker;
}

export async function topicConfig(cluster: Cluster, address: string, topic: string): Promise<TopicConfig> {
  return readTopicConfig(await cluster.askJson(address, RequestCode.GET_TOPIC_CONFIG, { topic }), topic);
}

export async function putTopic(
  cluster: Cluster,
  address: string,
  config: Omit<TopicConfig, "attributes">,
  attributes: AttributeChanges,
): Promise<void> {
  const { topicName, readQueueNums, writeQueueNums, perm, topicFilterType, topicSysFlag, order } = config;
  const changes = [...attributes].map(([name, value]) => `${name}=${value}`).join(",");
  await cluster.ask(address, RequestCode.UPDATE_AND_CREATE_TOPIC, {
    topic: topicName,
    defaultTopic: "TBW102",
    readQueueNums,
    writeQueueNums,
    perm,
    topicFilterType,
    topicSysFlag,
    order,
    attributes: changes === "" ? undefined : changes,
  });
}

/** Everywhere; returns on which brokers. */
export async function dropTopic(cluster: Cluster, topic: string): Promise<string[]> {
  const { queueDatas, brokerDatas } = await cluster.route(topic);
  const names = queueDatas.map(({ brokerName }) => brokerName);
  for (const { address, brokerName } of await cluster.brokers()) {
    if (names.includes(brokerName)) await cluster.ask(address, RequestCode.DELETE_TOPIC_IN_BROKER, { topic });
  }
  for (const clusterName of new Set(brokerDatas.map((data) => data.cluster))) {
    await cluster.tellNamesrvs(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic, clusterName });
  }
  return names;
}

export async function queueStats(cluster: Cluster, address: string, topic: string): Promise<QueueStats[]> {
  const body = await cluster.askJson(address, RequestCode.GET_TOPIC_STATS_INFO, { topic });
  return [...(mapMember(body, "offsetTable") ?? [])]
    .map(([key, value]) => {
      const { brokerName, queueId } = readMessageQueue(typeof key === "object" ? key : parseBody(String(key), "queue"));
      const stats = asMap(value, "offsetTable");
      return {
        brokerName,
        queueId,
        minOffset: longMember(stats, "minOffset", 0),
        maxOffset: longMember(stats, "maxOffset", 0),
        lastUpdateTimestamp: longMember(stats, "lastUpdateTimestamp", 0),
      };
    })
    .sort((a, b) => a.queueId - b.queueId);
}

/** Groups that have consumed the topic, or do. */
export async function groupsOf(cluster: Cluster, address: string, topic: string): Promise<string[]> {
  const body = await cluster.askJson(address, RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, { topic });
  return listMember(body, "groupList").map(String);
}

/** `rw`, `r`, `w` or nothing of them. */
export function permText(perm: number): string {
  return `${(perm & PERM_READ) === 0 ? "" : "r"}${(perm & PERM_WRITE) === 0 ? "" : "w"}` || "-";
}
