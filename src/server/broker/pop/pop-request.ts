/** What a pop asks for (remoting/protocol/header/PopMessageRequestHeader.java), judged as Apache judges it. */
import { ResponseCode } from "../../../remoting/codes.js";
import type { HeaderView } from "../../../remoting/header-view.js";
import type { Connection, SerializeType } from "../../../remoting/types.js";
import { type Answer, failure, quoted, requiredInteger, requiredText } from "../../answer.js";
import { PERM_READ } from "../../protocol/topic-config.js";
import type { BrokerContext } from "../context.js";
import { noSuchGroup } from "../dead-letters.js";
import type { SubscriptionData } from "../heartbeat-data.js";
import type { SubscriptionGroup } from "../subscription-group-config.js";
import type { Topic } from "../topic-config.js";
import { popRetryTopicV1, popRetryTopicV2 } from "./extra-info.js";
import type { PopFilter, PopFilters } from "./pop-filter.js";

/** Apache's, and what an ordered pop's bits hold. */
export const POP_MESSAGES_MAX = 32;
/** How much later than the client expects its answer a request may come. */
const LATE_MS_MAX = 500;
const ATTEMPT_ID_CHARS_MAX = 256;
const FAQ_URL = "https://rocketmq.apache.org/docs/bestPractice/06FAQ";

export interface PopRequest {
  readonly opaque: number;
  readonly serializeType: SerializeType;
  readonly group: SubscriptionGroup;
  readonly topic: Topic;
  /** Negative for every queue. */
  readonly queueId: number;
  readonly maxCount: number;
  readonly invisibleMs: number;
  readonly bornTime: number;
  readonly pollTime: number;
  readonly initMode: number;
  readonly isOrdered: boolean;
  readonly attemptId: string | undefined;
  readonly filter: PopFilter;
}

/** Topic and group of a request that reads messages; a refusal where it may not. */
export function readTarget(
  context: BrokerContext,
  header: HeaderView,
  connection: Connection,
  what: string,
): { topic: Topic; group: SubscriptionGroup; queueId: number } | Answer {
  const { config, groups, topics } = context;
  const groupName = requiredText(header, "consumerGroup");
  const topicName = requiredText(header, "topic");
  const queueId = requiredInteger(header, "queueId");
  if ((config.brokerPermission & PERM_READ) === 0) {
    return failure(ResponseCode.NO_PERMISSION, `the broker[${connection.localHost}] ${what} message is forbidden`);
  }
  const topic = topics.get(topicName);
  if (topic === undefined) return noSuchTopic(topicName);
  if ((topic.perm & PERM_READ) === 0) {
    return failure(ResponseCode.NO_PERMISSION, `the topic[${topicName}] ${what} message is forbidden`);
  }
  if (queueId >= topic.readQueueNums) {
    return failure(ResponseCode.INVALID_PARAMETER, illegalQueue(topic, queueId, connection));
  }
  const group = groups.find(groupName);
  if (group === undefined) return noSuchGroup(groupName);
  if (group.consumeEnable) return { topic, group, queueId };
  return failure(ResponseCode.NO_PERMISSION, `subscription group no permission, ${groupName}`);
}

export function noSuchTopic(name: string): Answer {
  const remark = `topic[${quoted(name)}] not exist, apply first please! \nSee ${FAQ_URL} for further details.`;
  return failure(ResponseCode.TOPIC_NOT_EXIST, remark);
}

export function illegalQueue(topic: Topic, queueId: number, { remoteAddress }: Connection): string {
  return `queueId[${queueId}] is illegal, topic:[${topic.name}] topicConfig.readQueueNums:[${topic.readQueueNums}] consumer:[${remoteAddress}]`;
}

/** Throws COMETMQ_BAD_REQUEST for a field that is missing or no number. */
export function readPopRequest(
  context: BrokerContext,
  filters: PopFilters,
  header: HeaderView,
  connection: Connection,
): PopRequest | Answer {
  const maxCount = requiredInteger(header, "maxMsgNums");
  const invisibleMs = requiredInteger(header, "invisibleTime");
  const pollTime = requiredInteger(header, "pollTime");
  const bornTime = requiredInteger(header, "bornTime");
  const initMode = requiredInteger(header, "initMode");
  if (bornTime !== 0 && context.clock.nowMs() - bornTime - pollTime > LATE_MS_MAX) {
    const remark = `the broker[${connection.localHost}] pop message is timeout too much`;
    return failure(ResponseCode.POLLING_TIMEOUT, remark);
  }
  if (maxCount > POP_MESSAGES_MAX) {
    const remark = `the broker[${connection.localHost}] pop message's num is greater than ${POP_MESSAGES_MAX}`;
    return failure(ResponseCode.INVALID_PARAMETER, remark);
  }
  const problem = lengthProblem(context, "invisibleTime", invisibleMs);
  if (problem !== undefined) return problem;
  const attemptId = header.text("attemptId");
  if (attemptId !== undefined && attemptId.length > ATTEMPT_ID_CHARS_MAX) {
    const remark = `The field attemptId is longer than ${ATTEMPT_ID_CHARS_MAX} characters.`;
    return failure(ResponseCode.INVALID_PARAMETER, remark);
  }
  const filter = filters.of(header.text("expType"), header.text("exp"));
  if (typeof filter === "string") {
    return failure(ResponseCode.SUBSCRIPTION_PARSE_FAILED, `parse the consumer's subscription failed: ${filter}`);
  }
  // Last, for it may make the group.
  const target = readTarget(context, header, connection, "pop");
  if (!("topic" in target)) return target;
  noteSubscription(context, target.group, target.topic, filter);
  return {
    opaque: header.opaque,
    serializeType: header.serializeType,
    ...target,
    maxCount: Math.max(1, maxCount),
    invisibleMs,
    bornTime,
    pollTime: header.isOneway ? 0 : pollTime,
    initMode,
    isOrdered: header.boolean("order") === true,
    attemptId,
    filter,
  };
}

/** A lease that ends with the century, or before it began, is refused: nobody meant it. */
export function lengthProblem(context: BrokerContext, field: string, ms: number): Answer | undefined {
  const msMax = context.config.popInvisibleTimeMax;
  if (ms >= 0 && ms <= msMax) return undefined;
  return failure(ResponseCode.INVALID_PARAMETER, `The field ${field} is ${ms}, expected 0 to ${msMax} milliseconds.`);
}

/** A consumer that sends no heartbeat is known by what it pops. */
function noteSubscription(
  { config, consumers }: BrokerContext,
  group: SubscriptionGroup,
  topic: Topic,
  { expressionType, expression: subString, tags }: PopFilter,
): void {
  const retry = (config.enableRetryTopicV2 ? popRetryTopicV2 : popRetryTopicV1)(group.name, topic.name);
  const isNoted = isLike(consumers.seenSubscription(group.name, topic.name), expressionType, subString);
  if (isNoted && isLike(consumers.seenSubscription(group.name, retry), "TAG", "*")) return;
  const common = { classFilterMode: false, subVersion: 0 };
  const tagsSet = tags === undefined ? [] : subString.split("||").map((tag) => tag.trim());
  const codeSet = tags ?? new Set<number>();
  const mine = { expressionType, subString, tagsSet, codeSet, tagFilter: tags };
  consumers.noteSubscription(group.name, { ...common, ...mine, topic: topic.name });
  const all = { expressionType: "TAG", subString: "*", tagsSet: [], codeSet: new Set<number>(), tagFilter: undefined };
  consumers.noteSubscription(group.name, { ...common, ...all, topic: retry });
}

function isLike(known: SubscriptionData | undefined, expressionType: string, subString: string): boolean {
  if (known === undefined || known.classFilterMode || known.subVersion !== 0) return false;
  return known.expressionType === expressionType && known.subString === subString;
}
