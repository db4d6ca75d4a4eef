/** Code 202: offsets and times of a topic's queues (broker/processor/AdminBrokerProcessor.java#getTopicStatsInfo). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { type FastjsonInput, JavaDouble } from "../../remoting/fastjson.js";
import type { Processor } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { messageQueueJson } from "./message-queue.js";
import { serveSettled } from "./serve.js";
import { topicQueue } from "./topic-config.js";

export function registerTopicStats(processors: Map<number, Processor>, context: BrokerContext): void {
  serveSettled(processors, context, RequestCode.GET_TOPIC_STATS_INFO, (_, { header }) => {
    const name = requiredText(header, "topic");
    return () => topicStats(context, name);
  });
}

function topicStats({ config, stats, store, topics }: BrokerContext, name: string): Answer {
  const topic = topics.get(name);
  if (topic === undefined) return failure(ResponseCode.TOPIC_NOT_EXIST, `topic[${quoted(name)}] not exist`);
  const offsetTable = new Map<object, FastjsonInput>();
  const queueCount = Math.max(topic.writeQueueNums, topic.readQueueNums);
  for (let queueId = 0; queueId < queueCount; queueId++) {
    const queue = topicQueue(store, topic, queueId);
    const maxOffset = Math.max(0, store.maxOffset(queue));
    offsetTable.set(messageQueueJson({ topic: name, brokerName: config.brokerName, queueId }), {
      lastUpdateTimestamp: maxOffset > 0 ? store.messageStoreTimestamp(queue, maxOffset - 1) : 0,
      maxOffset,
      minOffset: Math.max(0, store.minOffset(queue)),
    });
  }
  return jsonAnswer({ offsetTable, topicPutTps: new JavaDouble(stats.topicPutTps(topic)) });
}
