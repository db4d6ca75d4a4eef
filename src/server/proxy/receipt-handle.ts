/**
 * What a client shows to end or prolong the invisibility of a message (common/consumer/ReceiptHandle.java): where the
 * message and its checkpoint lie, nine values between spaces. The broker's own has the first eight.
 */
import { Code } from "../../grpc/enums.js";
import { popRetryTopicV1, popRetryTopicV2 } from "../broker/pop/extra-info.js";
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

/** Throws INVALID_RECEIPT_HANDLE. */
export function decodeReceiptHandle(text: string): ReceiptHandle {
  const values = text.length > CHARS_MAX ? [] : text.split(" ");
  if (values.length < VALUES_MIN) throw invalid(`Parse failed, dataList size ${values.length}`);
  const number = (index: number): number => {
    const value = values[index] ?? "";
    if (!/^-?\d{1,16}$/.test(value)) throw invalid(`Parse failed, value ${index} is no number`);
    return Number(value);
  };
  return {
    startOffset: number(0),
    retrieveTime: number(1),
    invisibleTime: number(2),
    reviveQueueId: number(3),
    topicType: values[4]!,
    brokerName: values[5]!,
    queueId: number(6),
    offset: number(7),
    phyOffset: values.length > VALUES_MIN ? number(VALUES_MIN) : -1,
    text,
  };
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
