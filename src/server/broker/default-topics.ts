/** The topics that every broker has from its start (broker/topic/TopicConfigManager.java#init). */
import { DEFAULT_QUEUE_NUMS, PERM_INHERIT, PERM_READ, PERM_WRITE, type TopicConfig } from "../protocol/topic-config.js";
import type { BrokerConfig } from "./broker-options.js";
import { AUTO_CREATE_TOPIC, SYSTEM_TOPIC_PREFIX } from "./names.js";

const BENCHMARK_QUEUE_NUMS = 1024;
const DELAY_LEVEL_COUNT = 18;

export const SCHEDULE_TOPIC = "SCHEDULE_TOPIC_XXXX";
export const TIMER_TOPIC = "rmq_sys_wheel_timer";

export function replyTopic(clusterName: string): string {
  return `${clusterName}_REPLY_TOPIC`;
}

export function reviveTopic(clusterName: string): string {
  return `${SYSTEM_TOPIC_PREFIX}REVIVE_LOG_${clusterName}`;
}

function topic(topicName: string, queueNums: number, perm = PERM_READ | PERM_WRITE): TopicConfig {
  return {
    topicName,
    readQueueNums: queueNums,
    writeQueueNums: queueNums,
    perm,
    topicFilterType: "SINGLE_TAG",
    topicSysFlag: 0,
    order: false,
    attributes: new Map(),
  };
}

export function defaultTopics(config: BrokerConfig): TopicConfig[] {
  const inherited = (open: boolean) => PERM_INHERIT | (open ? PERM_READ | PERM_WRITE : 0);
  const topics = [
    topic("SELF_TEST_TOPIC", 1),
    topic("BenchmarkTest", BENCHMARK_QUEUE_NUMS),
    topic(config.brokerClusterName, DEFAULT_QUEUE_NUMS, inherited(config.clusterTopicEnable)),
    topic(config.brokerName, 1, inherited(config.brokerTopicEnable)),
    topic("OFFSET_MOVED_EVENT", 1),
    topic(SCHEDULE_TOPIC, DELAY_LEVEL_COUNT),
    topic(replyTopic(config.brokerClusterName), 1),
    topic(reviveTopic(config.brokerClusterName), config.reviveQueueNum),
    topic(`${SYSTEM_TOPIC_PREFIX}SYNC_BROKER_MEMBER_${config.brokerName}`, 1, PERM_INHERIT),
    topic("RMQ_SYS_TRANS_HALF_TOPIC", 1),
    topic("RMQ_SYS_TRANS_OP_HALF_TOPIC", 1),
    topic("RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC", 1),
    topic("RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC", 1),
  ];
  if (config.autoCreateTopicEnable)
    topics.push(topic(AUTO_CREATE_TOPIC, config.defaultTopicQueueNums, inherited(true)));
  if (config.traceTopicEnable) topics.push(topic(config.msgTraceTopicName, 1));
  if (config.timerWheelEnable) topics.push(topic(TIMER_TOPIC, 1));
  return topics;
}
