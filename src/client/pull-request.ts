/** One pull of a queue (PullMessageRequestHeader, PullMessageResponseHeader; client/impl/consumer/PullAPIWrapper.java). */
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import type { ClientInstance } from "./client-instance.js";
import { NoRouteError, ResponseError } from "./errors.js";
import type { SubscriptionData } from "./heartbeat.js";
import type { MessageQueue } from "./message-queue.js";
import { type ReceivedMessage, receivedMessages } from "./received-message.js";

const COMMIT_OFFSET_FLAG = 1;
const SUSPEND_FLAG = 2;
const SUBSCRIPTION_FLAG = 4;
const LITE_PULL_FLAG = 16;
/** What a broker may hold a pull for longer than it was asked to, and the way there and back. */
const ANSWER_MARGIN_MS = 10_000;

export interface PullRequest {
  readonly consumerGroup: string;
  readonly queue: MessageQueue;
  readonly queueOffset: number;
  readonly maxMsgNums: number;
  readonly subscription: SubscriptionData;
  /** Saved by the broker on the way; undefined for nothing. */
  readonly commitOffset?: number | undefined;
  /** How long the broker may wait for a message. */
  readonly suspendTimeoutMs: number;
  /** The broker's own, by id: what its last answer suggested. */
  readonly brokerId: number;
  /** Brings the subscription along; without it the broker takes that of the heartbeat. */
  readonly withSubscription: boolean;
  readonly lite: boolean;
  readonly signal: AbortSignal | undefined;
}

export interface PullResult {
  readonly status: "FOUND" | "NO_NEW_MSG" | "NO_MATCHED_MSG" | "OFFSET_ILLEGAL";
  readonly nextBeginOffset: number;
  readonly minOffset: number;
  readonly maxOffset: number;
  readonly suggestWhichBrokerId: number;
  readonly messages: readonly ReceivedMessage[];
}

const STATUSES: ReadonlyMap<number, PullResult["status"]> = new Map([
  [ResponseCode.SUCCESS, "FOUND"],
  [ResponseCode.PULL_NOT_FOUND, "NO_NEW_MSG"],
  [ResponseCode.PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MSG"],
  [ResponseCode.PULL_OFFSET_MOVED, "OFFSET_ILLEGAL"],
]);

/** Rejects with NoRouteError, ResponseError, or as a call does. Messages are those that the broker chose; see `isWanted`. */
export async function pullMessages(instance: ClientInstance, request: PullRequest): Promise<PullResult> {
  const { queue, subscription, commitOffset, suspendTimeoutMs, signal } = request;
  const address = instance.routes.readableAddressOf(queue.brokerName, request.brokerId);
  if (address === undefined) throw new NoRouteError(queue.topic, `broker ${queue.brokerName} is in no route`);
  let sysFlag = 0;
  if (commitOffset !== undefined) sysFlag |= COMMIT_OFFSET_FLAG;
  if (suspendTimeoutMs > 0) sysFlag |= SUSPEND_FLAG;
  if (request.withSubscription) sysFlag |= SUBSCRIPTION_FLAG;
  if (request.lite) sysFlag |= LITE_PULL_FLAG;
  const fields = {
    consumerGroup: request.consumerGroup,
    topic: queue.topic,
    queueId: queue.queueId,
    queueOffset: request.queueOffset,
    maxMsgNums: request.maxMsgNums,
    sysFlag,
    commitOffset: commitOffset ?? 0,
    suspendTimeoutMillis: suspendTimeoutMs,
    subscription: request.withSubscription ? subscription.subString : undefined,
    subVersion: subscription.subVersion,
    expressionType: subscription.expressionType,
    bname: queue.brokerName,
  };
  const code = request.lite ? RequestCode.LITE_PULL_MESSAGE : RequestCode.PULL_MESSAGE;
  const timeoutMs = suspendTimeoutMs + ANSWER_MARGIN_MS;
  const answer = await instance.callAddress(address, code, fields, undefined, { timeoutMs, signal });
  const status = STATUSES.get(answer.code);
  if (status === undefined) throw new ResponseError(address, answer.code, answer.remark);
  const messages = status === "FOUND" ? await receivedMessages(answer.body, instance.from(queue.brokerName)) : [];
  return {
    status,
    nextBeginOffset: Number(answer.fields.nextBeginOffset ?? request.queueOffset),
    minOffset: Number(answer.fields.minOffset ?? 0),
    maxOffset: Number(answer.fields.maxOffset ?? 0),
    suggestWhichBrokerId: Number(answer.fields.suggestWhichBrokerId ?? 0),
    messages,
  };
}

/** Brokers choose by the hash of a tag; the tag itself is looked at here. */
export function isWanted(message: ReceivedMessage, { expressionType, tagsSet }: SubscriptionData): boolean {
  if (expressionType !== "TAG" || tagsSet.size === 0) return true;
  return message.tags !== undefined && tagsSet.has(message.tags);
}
