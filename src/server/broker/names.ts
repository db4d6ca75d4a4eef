/**
 * What a topic or a group may be called (common/topic/TopicValidator.java), and the names that Apache reserves. Topic
 * names become directory names: nothing that has not passed `validateTopic` or `isSafeName` may reach a table.
 */
export const RETRY_TOPIC_PREFIX = "%RETRY%";
export const DLQ_TOPIC_PREFIX = "%DLQ%";
/** Queues of their own, which no topic stands for (MixAll.LMQ_PREFIX). */
export const LIGHT_QUEUE_PREFIX = "%LMQ%";
export const SYSTEM_TOPIC_PREFIX = "rmq_sys_";
export const SYSTEM_GROUP_PREFIX = "CID_RMQ_SYS_";
export const AUTO_CREATE_TOPIC = "TBW102";
export const TRANSACTION_HALF_TOPIC = "RMQ_SYS_TRANS_HALF_TOPIC";
export const TRANSACTION_OP_TOPIC = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
export const TRANSACTION_CHECK_MAX_TOPIC = "TRANS_CHECK_MAX_TIME_TOPIC";
/** Half messages of Apache's broker with transRocksDBEnable, whose state lies in a RocksDB that is not read here. */
export const ROCKSDB_HALF_TOPIC = "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC";

/** CometMQ's own: see pop/pop-journal.ts. Apache leaves it alone. */
export const POP_JOURNAL_TOPIC = `${SYSTEM_TOPIC_PREFIX}COMETMQ_POP_LOG`;

export const TOPIC_LENGTH_MAX = 127;
export const RETRY_OR_DLQ_TOPIC_LENGTH_MAX = 255;
/** A retry topic of POP is `%RETRY%GROUP_TOPIC` and must stay a file name. */
export const GROUP_LENGTH_MAX = 120;

const LEGAL = /^[%|a-zA-Z0-9_-]+$/;
const SAFE = /^[%|a-zA-Z0-9_.+-]{1,255}$/;
const PATTERN = "contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$";

/** Topics that clients may not send to. */
const NOT_ALLOWED_SEND: ReadonlySet<string> = new Set([
  "SCHEDULE_TOPIC_XXXX",
  TRANSACTION_HALF_TOPIC,
  TRANSACTION_OP_TOPIC,
  TRANSACTION_CHECK_MAX_TOPIC,
  "SELF_TEST_TOPIC",
  "OFFSET_MOVED_EVENT",
  ROCKSDB_HALF_TOPIC,
  "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
  POP_JOURNAL_TOPIC,
]);

/** Reserved whatever the configuration; a broker adds those named after itself. */
export const SYSTEM_TOPICS: readonly string[] = [
  AUTO_CREATE_TOPIC,
  "SCHEDULE_TOPIC_XXXX",
  "BenchmarkTest",
  TRANSACTION_HALF_TOPIC,
  "RMQ_SYS_TRACE_TOPIC",
  TRANSACTION_OP_TOPIC,
  TRANSACTION_CHECK_MAX_TOPIC,
  "SELF_TEST_TOPIC",
  "OFFSET_MOVED_EVENT",
  "CHECKPOINT_TOPIC",
  ROCKSDB_HALF_TOPIC,
  "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
];

export function isBlank(text: string): boolean {
  return text.trim() === "";
}

/** What is wrong with `topic`, in Apache's words; empty when nothing is. */
export function validateTopic(topic: string): string {
  if (isBlank(topic)) return "The specified topic is blank.";
  if (!LEGAL.test(topic)) return `The specified topic: ${topic}, ${PATTERN}`;
  if (topic.startsWith(RETRY_TOPIC_PREFIX) || topic.startsWith(DLQ_TOPIC_PREFIX)) {
    if (topic.length <= RETRY_OR_DLQ_TOPIC_LENGTH_MAX) return "";
    const limit = `longer than topic max length: ${RETRY_OR_DLQ_TOPIC_LENGTH_MAX}`;
    return `The specified topic is DLQ or Retry topic: ${topic}, and it's ${limit}`;
  }
  if (topic.length <= TOPIC_LENGTH_MAX) return "";
  return `The specified topic: ${topic}, is longer than topic max length: ${TOPIC_LENGTH_MAX}`;
}

/** What is wrong with `group`, in Apache's words; empty when nothing is. */
export function validateGroup(group: string): string {
  if (isBlank(group)) return "The specified group is blank.";
  if (!LEGAL.test(group)) return `The specified group: ${group}, ${PATTERN}`;
  if (group.length <= GROUP_LENGTH_MAX) return "";
  return `The specified group: ${group}, is longer than group max length: ${GROUP_LENGTH_MAX}`;
}

/**
 * Whether `name` may be a directory. Wider than `validateTopic`, for names that brokers make without asking it: host
 * names have dots, and POP's newer retry topics are `%RETRY%GROUP+TOPIC`.
 */
export function isSafeName(name: string): boolean {
  return SAFE.test(name) && name !== "." && name !== "..";
}

export function isNotAllowedSendTopic(topic: string): boolean {
  return NOT_ALLOWED_SEND.has(topic);
}

export function isRetryTopic(topic: string): boolean {
  return topic.startsWith(RETRY_TOPIC_PREFIX);
}

export function retryTopic(group: string): string {
  return RETRY_TOPIC_PREFIX + group;
}

/** The retry topics of POP name the topic too: `%RETRY%GROUP+TOPIC`, or `%RETRY%GROUP_TOPIC`, which cannot be told. */
export function groupOfRetryTopic(topic: string): string {
  const [group = "", name, ...rest] = topic.slice(RETRY_TOPIC_PREFIX.length).split("+");
  return name === undefined || name === "" || rest.length > 0 ? topic.slice(RETRY_TOPIC_PREFIX.length) : group;
}

export function dlqTopic(group: string): string {
  return DLQ_TOPIC_PREFIX + group;
}
