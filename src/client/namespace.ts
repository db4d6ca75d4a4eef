/**
 * Names of topics and groups within a namespace (remoting/protocol/NamespaceUtil.java): `shop%orders`, and of a group's
 * retry topic `%RETRY%shop%group`. Brokers know the whole names only; the names that the application uses are without.
 */
const SEPARATOR = "%";
const PREFIX = /^(%RETRY%|%DLQ%)/;
/** Reserved names, which no namespace has for itself (TopicValidator.java, MixAll.isSysConsumerGroup). */
const SYSTEM_NAME = /^(rmq_sys_|RMQ_SYS_|CID_RMQ_SYS_)/;
const SYSTEM_NAMES: ReadonlySet<string> = new Set([
  "TBW102",
  "SCHEDULE_TOPIC_XXXX",
  "BenchmarkTest",
  "TRANS_CHECK_MAX_TIME_TOPIC",
  "SELF_TEST_TOPIC",
  "OFFSET_MOVED_EVENT",
  "CHECKPOINT_TOPIC",
]);

function isSystemName(name: string): boolean {
  return SYSTEM_NAMES.has(name) || SYSTEM_NAME.test(name);
}

/** The whole name; a name that has the namespace already stays. */
export function withNamespace(namespace: string | undefined, name: string): string {
  if (namespace === undefined || isSystemName(name)) return name;
  const prefix = PREFIX.exec(name)?.[0] ?? "";
  const rest = name.slice(prefix.length);
  return rest.startsWith(namespace + SEPARATOR) ? name : `${prefix}${namespace}${SEPARATOR}${rest}`;
}

/** The name that the application uses; one of another namespace stays. */
export function withoutNamespace(namespace: string | undefined, name: string): string {
  if (namespace === undefined) return name;
  const prefix = PREFIX.exec(name)?.[0] ?? "";
  const rest = name.slice(prefix.length);
  return rest.startsWith(namespace + SEPARATOR) ? prefix + rest.slice(namespace.length + SEPARATOR.length) : name;
}
