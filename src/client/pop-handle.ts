/** What a pop's answer says of its messages, and the handle made of it (remoting/protocol/header/ExtraInfoUtil.java). */
import type { ReceivedMessage } from "./received-message.js";
import { RETRY_GROUP_TOPIC_PREFIX } from "./start-offset.js";

const SEPARATOR = " ";
/** Places in a handle: start offset, pop time, invisible time, revive queue, topic mark, broker, queue, offset. */
const POP_TIME_PLACE = 1;
const TOPIC_MARK_PLACE = 4;

export interface PopFields {
  readonly popTime: string;
  readonly invisibleTime: string;
  readonly reviveQid: string;
  /** `mark queue offset`, several between semicolons. */
  readonly startOffsetInfo: string;
  /** Of ordered pops: `mark queue count` or `mark qoQUEUE%OFFSET count`, several between semicolons. */
  readonly orderCountInfo?: string;
}

/** The handle of a message that brought none along. */
export function popHandle(message: ReceivedMessage, group: string, fields: PopFields): string {
  const { queue, queueOffset } = message;
  const mark = markOf(queue.topic, group);
  const start = valuesOf(fields.startOffsetInfo).get(`${mark}${SEPARATOR}${queue.queueId}`) ?? queueOffset;
  const { popTime, invisibleTime, reviveQid } = fields;
  const parts = [start, popTime, invisibleTime, reviveQid, mark, queue.brokerName, queue.queueId, queueOffset];
  return parts.join(SEPARATOR);
}

/** The topic that the message of a handle lies in: the retry topic of the group perhaps. */
export function topicOfHandle(handle: string, topic: string, group: string): string {
  const mark = handle.split(SEPARATOR)[TOPIC_MARK_PLACE];
  if (mark === "1") return `${RETRY_GROUP_TOPIC_PREFIX}${group}_${topic}`;
  return mark === "2" ? `${RETRY_GROUP_TOPIC_PREFIX}${group}+${topic}` : topic;
}

/** The same message after its time was changed. */
export function renewedHandle(handle: string, fields: Omit<PopFields, "startOffsetInfo">): string {
  const parts = handle.split(SEPARATOR);
  parts.splice(POP_TIME_PLACE, 3, fields.popTime, fields.invisibleTime, fields.reviveQid);
  return parts.join(SEPARATOR);
}

function markOf(topic: string, group: string): "0" | "1" | "2" {
  if (topic.startsWith(`${RETRY_GROUP_TOPIC_PREFIX}${group}+`)) return "2";
  return topic.startsWith(`${RETRY_GROUP_TOPIC_PREFIX}${group}_`) ? "1" : "0";
}

/** How often a message of an ordered pop was given out before; undefined where it was not. */
export function attemptsBefore(
  { queue, queueOffset }: ReceivedMessage,
  group: string,
  { orderCountInfo = "" }: PopFields,
): number | undefined {
  const counts = valuesOf(orderCountInfo);
  const mark = markOf(queue.topic, group);
  const ofMessage = counts.get(`${mark}${SEPARATOR}qo${queue.queueId}%${queueOffset}`);
  const count = Number(ofMessage ?? counts.get(`${mark}${SEPARATOR}${queue.queueId}`));
  return count > 0 ? count : undefined;
}

/** By mark and queue, or mark and place. */
function valuesOf(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const piece of text.split(";")) {
    const [mark, place, value] = piece.split(SEPARATOR);
    if (value !== undefined) values.set(`${mark}${SEPARATOR}${place}`, value);
  }
  return values;
}
