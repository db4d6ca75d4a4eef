/**
 * What a client shows to end or prolong the invisibility of a message (common/consumer/ReceiptHandle.java): where the
 * message and its checkpoint lie, nine values between spaces. The broker's own has the first eight.
 */
import { Code } from "../../grpc/enums.js";
import { HandleParts, popRetryTopicV1, popRetryTopicV2 } from "../broker/pop/extra-info.js";
import { ProxyError } from "./proxy-error.js";

const VALUES_MIN = 8;
const CHARS_MAX = 4096;
export const TopicKind = { NORMAL: "0", RETRY: "1", RETRY_V2: "2" } as const;

export interface ReceiptHandle {
  readonly startOffset: number;
  readonly retrieveTime: number;
  readonly invisibleTime: number;
  readonly reviveQueueId: number;
  /** A value of TopicKind. */
  readonly topicType: string;
  readonly brokerName: string;
  readonly queueId: number;
  readonly offset: number;
  /** -1 when the handle does not say it. */
  readonly phyOffset: number;
  readonly text: string;
}

const parts = new HandleParts();

/** Throws INVALID_RECEIPT_HANDLE. */
export function decodeReceiptHandle(text: string): ReceiptHandle {
  if (text.length > CHARS_MAX) throw invalid("Parse failed, dataList size 0");
  parts.cut(text);
  if (parts.count < VALUES_MIN) throw invalid(`Parse failed, dataList size ${parts.count}`);
  return {
    startOffset: numberAt(0),
    retrieveTime: numberAt(1),
    invisibleTime: numberAt(2),
    reviveQueueId: numberAt(3),
    topicType: parts.text(4),
    brokerName: parts.text(5),
    queueId: numberAt(6),
    offset: numberAt(7),
    phyOffset: parts.count > VALUES_MIN ? numberAt(VALUES_MIN) : -1,
    text,
  };
}

function numberAt(index: number): number {
  const value = parts.integer(index);
  if (Number.isNaN(value)) throw invalid(`Parse failed, value ${index} is no number`);
  return value;
}

export function encodeReceiptHandle(handle: Omit<ReceiptHandle, "text">): string {
  const { startOffset, retrieveTime, invisibleTime, reviveQueueId, topicType, brokerName, queueId, offset } = handle;
  const checkpoint = `${startOffset} ${retrieveTime} ${invisibleTime} ${reviveQueueId}`;
  return `${checkpoint} ${topicType} ${brokerName} ${queueId} ${offset} ${handle.phyOffset}`;
}

export function nextVisibleMs({ retrieveTime, invisibleTime }: ReceiptHandle): number {
  return retrieveTime + invisibleTime;
}

/** Throws INVALID_RECEIPT_HANDLE when the message is visible again. */
export function checkNotExpired(handle: ReceiptHandle, nowMs: number): void {
  if (nextVisibleMs(handle) <= nowMs) throw invalid("receipt handle is expired");
}

/** The topic that the message lies in, for a consumer of `topic` (common/KeyBuilder.java). */
export function realTopic({ topicType }: ReceiptHandle, topic: string, group: string): string {
  if (topicType === TopicKind.RETRY) return popRetryTopicV1(group, topic);
  return topicType === TopicKind.RETRY_V2 ? popRetryTopicV2(group, topic) : topic;
}

function invalid(message: string): ProxyError {
  return new ProxyError(Code.INVALID_RECEIPT_HANDLE, message);
}
