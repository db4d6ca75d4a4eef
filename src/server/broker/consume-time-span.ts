/** Code 303: from when to when a queue's messages are, and how far behind a group is (AdminBrokerProcessor.java). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { FastjsonInput } from "../../remoting/fastjson.js";
import type { Processor } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { messageQueueJson } from "./message-queue.js";
import { serveSettled } from "./serve.js";
import { type Topic, topicQueue } from "./topic-config.js";

export function registerConsumeTimeSpan(processors: Map<number, Processor>, context: BrokerContext): void {
  serveSettled(processors, context, RequestCode.QUERY_CONSUME_TIME_SPAN, (_, { header }) => {
    const name = requiredText(header, "topic");
    const group = requiredText(header, "group");
    return () => consumeTimeSpan(context, name, group);
  });
}

function consumeTimeSpan(context: BrokerContext, name: string, group: string): Answer {
  const topic = context.topics.get(name);
  if (topic === undefined) return failure(ResponseCode.TOPIC_NOT_EXIST, `topic[${quoted(name)}] not exist`);
  const consumeTimeSpanSet: FastjsonInput[] = [];
  for (let queueId = 0; queueId < topic.writeQueueNums; queueId++) {
    consumeTimeSpanSet.push(queueTimeSpan(context, group, topic, queueId));
  }
  return jsonAnswer({ consumeTimeSpanSet });
}

function queueTimeSpan(context: BrokerContext, group: string, topic: Topic, queueId: number): FastjsonInput {
  const { clock, config, offsets, store } = context;
  const queue = topicQueue(store, topic, queueId);
  const maxOffset = store.maxOffset(queue);
  const minTimeStamp = store.earliestStoreTimestamp(queue);
  const maxTimeStamp = store.messageStoreTimestamp(queue, maxOffset - 1);
  const consumed = offsets.queryOffset(group, topic.name, queueId);
  const consumeTimeStamp = consumed > 0 ? store.messageStoreTimestamp(queue, consumed - 1) : minTimeStamp;
  // A group that has committed nothing, or what is gone, is as old as the first message.
  const next = Math.max(consumed, store.minOffset(queue));
  const nextTime = next < maxOffset ? store.messageStoreTimestamp(queue, next) : -1;
  return {
    consumeTimeStamp,
    consumeTimeStampStr: timeText(consumeTimeStamp),
    delayTime: nextTime < 0 ? 0 : clock.nowMs() - nextTime,
    maxTimeStamp,
    maxTimeStampStr: timeText(maxTimeStamp),
    messageQueue: messageQueueJson({ topic: topic.name, brokerName: config.brokerName, queueId }),
    minTimeStamp,
    minTimeStampStr: timeText(minTimeStamp),
  };
}

/** Local time as `2026-11-21#08:43:31:922` (UtilAll.YYYY_MM_DD_HH_MM_SS_SSS). */
function timeText(timeMs: number): string {
  const time = new Date(timeMs);
  const two = (value: number) => String(value).padStart(2, "0");
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  return `${date}#${clock}:${String(time.getMilliseconds()).padStart(3, "0")}`;
}
