/** Code 208: how far a group is behind in its queues (broker/processor/AdminBrokerProcessor.java#getConsumeStats). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { type FastjsonInput, JavaDouble } from "../../remoting/fastjson.js";
import type { Processor } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { messageQueueJson } from "./message-queue.js";
import { isBlank } from "./names.js";
import { serveSettled } from "./serve.js";
import { type Topic, topicQueue } from "./topic-config.js";

/** About what the 16 MiB of a frame, which is all that clients take, have room for. */
export const QUEUES_TOLD_MAX = 65_536;

export function registerConsumeStats(processors: Map<number, Processor>, context: BrokerContext): void {
  serveSettled(processors, context, RequestCode.GET_CONSUME_STATS, (_, { header }) => {
    const group = requiredText(header, "consumerGroup");
    const topicList = header.text("topicList");
    const topic = header.text("topic");
    return () => consumeStats(context, group, topicsToShow(context, group, topicList, topic));
  });
}

function consumeStats(context: BrokerContext, group: string, topicNames: ReadonlySet<string>): Answer {
  const { config, stats, topics } = context;
  const offsetTable = new Map<object, FastjsonInput>();
  let queueCount = 0;
  for (const name of topicNames) queueCount += topics.get(name)?.readQueueNums ?? 0;
  if (queueCount > QUEUES_TOLD_MAX) {
    const remark = `${queueCount} queues are asked for, and one answer tells of ${QUEUES_TOLD_MAX}: name fewer topics.`;
    return failure(ResponseCode.SYSTEM_ERROR, remark);
  }
  let consumeTps = 0;
  for (const name of topicNames) {
    const topic = topics.get(name);
    if (topic === undefined) continue;
    for (let queueId = 0; queueId < topic.readQueueNums; queueId++) {
      const key = messageQueueJson({ topic: name, brokerName: config.brokerName, queueId });
      offsetTable.set(key, queueStats(context, group, topic, queueId));
    }
    consumeTps += stats.groupGetTps(group, name);
  }
  return jsonAnswer({ consumeTps: new JavaDouble(consumeTps), offsetTable });
}

/** A list that the client gives is taken as it is; otherwise topics that the group does not subscribe to are left out. */
function topicsToShow(
  { consumers, offsets }: BrokerContext,
  group: string,
  topicList: string | undefined,
  topic: string | undefined,
): ReadonlySet<string> {
  const listed = (topicList ?? "").split(";").filter((name) => !isBlank(name));
  if (listed.length > 0) return new Set(listed);
  const names = topic === undefined || isBlank(topic) ? offsets.topicsOf(group) : [topic];
  if (consumers.subscriptionCount(group) === 0) return new Set(names);
  return new Set(names.filter((name) => consumers.findSubscription(group, name) !== undefined));
}

export function queueStats(
  { offsets, store }: Pick<BrokerContext, "offsets" | "store">,
  group: string,
  topic: Topic,
  queueId: number,
) {
  const queue = topicQueue(store, topic, queueId);
  const consumerOffset = Math.max(0, offsets.queryOffset(group, topic.name, queueId));
  const last = consumerOffset > 0 ? store.messageStoreTimestamp(queue, consumerOffset - 1) : 0;
  return {
    brokerOffset: Math.max(0, store.maxOffset(queue)),
    consumerOffset,
    lastTimestamp: Math.max(0, last),
    pullOffset: Math.max(consumerOffset, offsets.queryPullOffset(group, topic.name, queueId)),
  };
}
