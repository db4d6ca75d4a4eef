/** A queue as JSON bodies name it (common/message/MessageQueue.java), also as a key of maps. */
import type { FastjsonValue } from "../../remoting/fastjson.js";
import { asMap, intMember, textMember } from "../protocol/members.js";

export interface MessageQueue {
  readonly topic: string;
  readonly brokerName: string;
  readonly queueId: number;
}

export function readMessageQueue(value: FastjsonValue): MessageQueue {
  const map = asMap(value, "A message queue");
  return {
    topic: textMember(map, "topic") ?? "",
    brokerName: textMember(map, "brokerName") ?? "",
    queueId: intMember(map, "queueId", 0),
  };
}

export function messageQueueJson({ brokerName, queueId, topic }: MessageQueue) {
  return { brokerName, queueId, topic };
}
