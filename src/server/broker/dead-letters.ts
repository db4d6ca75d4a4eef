/** When a message has been tried often enough: the dead letter topic of its group (SendMessageProcessor#handleRetryAndDLQ). */
import { ResponseCode } from "../../remoting/codes.js";
import { versionOrdinal } from "../../remoting/mq-version.js";
import { type Answer, failure, quoted } from "../answer.js";
import { PERM_READ, PERM_WRITE } from "../protocol/topic-config.js";
import type { BrokerContext } from "./context.js";
import { dlqTopic, groupOfRetryTopic } from "./names.js";
import type { SubscriptionGroup } from "./subscription-group-config.js";
import type { Topic } from "./topic-config.js";

export const DLQ_QUEUE_NUMS = 1;
const FAQ_URL = "https://rocketmq.apache.org/docs/bestPractice/06FAQ";
/** Clients from this version on may say how often they want a message to be tried. */
const MAX_RECONSUME_TIMES_VERSION = versionOrdinal("3.4.9")!;

export function noSuchGroup(group: string): Answer {
  const remark = `subscription group not exist, ${quoted(group)} \nSee ${FAQ_URL} for further details.`;
  return failure(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, remark);
}

/** How often a message of the group is tried again; `asked` is what the client wants, if it says. */
export function maxReconsumeTimes(group: SubscriptionGroup, clientVersion: number, asked: number | undefined): number {
  return asked !== undefined && clientVersion >= MAX_RECONSUME_TIMES_VERSION ? asked : group.retryMaxTimes;
}

/** Made if it is missing; a refusal when it may not be made. */
export function deadLetterTopic({ topics }: BrokerContext, group: string): Topic | Answer {
  const name = dlqTopic(group);
  const topic = topics.createInSendMessageBack(name, DLQ_QUEUE_NUMS, PERM_WRITE | PERM_READ, false, 0);
  return topic ?? failure(ResponseCode.SYSTEM_ERROR, `topic[${quoted(name)}] not exist`);
}

/**
 * Where a message goes that a client sends to `retryTopic` by itself: undefined for there, else the dead letter topic,
 * or a refusal. A group that holds queue locks consumes in order and does not try again.
 */
export function endOfRetries(
  context: BrokerContext,
  retryTopic: string,
  reconsumeTimes: number,
  clientVersion: number,
  maxTimesAsked: number | undefined,
): Topic | Answer | undefined {
  const groupName = groupOfRetryTopic(retryTopic);
  const group = context.groups.find(groupName);
  if (group === undefined) return noSuchGroup(groupName);
  const isOrdered = !context.queueLocks.isLockAllExpired(groupName);
  if (!isOrdered && reconsumeTimes <= maxReconsumeTimes(group, clientVersion, maxTimesAsked)) return undefined;
  context.log.info({ group: groupName, reconsumeTimes, isOrdered }, "a message that was tried goes to dead letters");
  return deadLetterTopic(context, groupName);
}
