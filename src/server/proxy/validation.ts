/** What names and values of the API may be (proxy/grpc/v2/common/GrpcValidator.java, client/Validators.java). */
import { Code } from "../../grpc/enums.js";
import type { Resource } from "../../grpc/messages.js";
import type { BrokerContext } from "../broker/context.js";
import { isBlank, SYSTEM_GROUP_PREFIX, TOPIC_LENGTH_MAX, GROUP_LENGTH_MAX } from "../broker/names.js";
import { ProxyError } from "./proxy-error.js";

const LEGAL = /^[%|a-zA-Z0-9_-]+$/;
const ALLOWED = "allowing only ^[%|a-zA-Z0-9_-]+$";
const CONTROL = /\p{Cc}/u;
/** Nobody reads namespaces; but answers repeat them, once for each queue. */
const NAMESPACE_CHARS_MAX = 255;

/** The topic's name. Throws ILLEGAL_TOPIC. */
export function checkTopic(broker: BrokerContext, resource: Resource | null | undefined): string {
  const topic = resource?.name ?? "";
  if (isBlank(topic)) throw new ProxyError(Code.ILLEGAL_TOPIC, "The specified topic is blank");
  if (topic.length > TOPIC_LENGTH_MAX) {
    const message = `The specified topic is longer than topic max length ${TOPIC_LENGTH_MAX}.`;
    throw new ProxyError(Code.ILLEGAL_TOPIC, message);
  }
  if (!LEGAL.test(topic)) {
    throw new ProxyError(Code.ILLEGAL_TOPIC, `The specified topic[${topic}] contains illegal characters, ${ALLOWED}`);
  }
  if (broker.topics.isSystemTopic(topic)) throw new ProxyError(Code.ILLEGAL_TOPIC, "cannot access system topic");
  if ((resource?.resourceNamespace?.length ?? 0) > NAMESPACE_CHARS_MAX) {
    throw new ProxyError(Code.ILLEGAL_TOPIC, `the namespace is longer than ${NAMESPACE_CHARS_MAX}`);
  }
  return topic;
}

/** The group's name. Throws ILLEGAL_CONSUMER_GROUP. */
export function checkGroup(resource: Resource | null | undefined): string {
  const group = resource?.name ?? "";
  if (isBlank(group)) throw new ProxyError(Code.ILLEGAL_CONSUMER_GROUP, "the specified group is blank");
  if (group.length > GROUP_LENGTH_MAX) {
    const message = `the specified group[${group}] is longer than group max length: ${GROUP_LENGTH_MAX}.`;
    throw new ProxyError(Code.ILLEGAL_CONSUMER_GROUP, message);
  }
  if (!LEGAL.test(group)) {
    const message = `the specified group[${group}] contains illegal characters, ${ALLOWED}`;
    throw new ProxyError(Code.ILLEGAL_CONSUMER_GROUP, message);
  }
  if (group.startsWith(SYSTEM_GROUP_PREFIX)) {
    throw new ProxyError(Code.ILLEGAL_CONSUMER_GROUP, "cannot use system consumer group");
  }
  return group;
}

export function hasControlCharacter(text: string): boolean {
  return CONTROL.test(text);
}

export function checkInvisibleTime(broker: BrokerContext, invisibleMs: number, minMs = 0): void {
  const { maxInvisibleTimeMills } = broker.config;
  if (invisibleMs < minMs) {
    throw new ProxyError(Code.ILLEGAL_INVISIBLE_TIME, `the invisibleTime is too small. min is ${minMs}`);
  }
  if (maxInvisibleTimeMills > 0 && invisibleMs > maxInvisibleTimeMills) {
    throw new ProxyError(
      Code.ILLEGAL_INVISIBLE_TIME,
      `the invisibleTime is too large. max is ${maxInvisibleTimeMills}`,
    );
  }
}
