/** Code 15: a group has got so far in a queue (broker/processor/ConsumerManageProcessor.java#updateConsumerOffset). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, missing, quoted, requiredText, SUCCESS } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";

export function registerUpdateOffset(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.UPDATE_CONSUMER_OFFSET, updateOffset);
}

function updateOffset(context: BrokerContext, { header }: Request, connection: Connection): Answer {
  const { config, groups, offsets, topics } = context;
  const group = header.text("consumerGroup");
  if (group === undefined) return missing(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, "consumerGroup");
  const topicName = requiredText(header, "topic");
  const queueId = header.integer("queueId") ?? Number.NaN;
  const offset = header.integer("commitOffset") ?? Number.NaN;
  if (groups.get(group) === undefined) {
    return failure(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${quoted(group)} not exist!`);
  }
  const topic = topics.get(topicName);
  if (topic === undefined) return failure(ResponseCode.TOPIC_NOT_EXIST, `Topic ${quoted(topicName)} not exist!`);
  // A topic may have been made smaller: what it had more of may still be drained.
  const queueCountMax = Math.max(topic.readQueueNums, topic.writeQueueNums, config.topicQueueCountMax);
  if (!(queueId >= 0 && queueId < queueCountMax)) {
    const given = quoted(header.text("queueId") ?? "null");
    return failure(ResponseCode.INVALID_PARAMETER, `QueueId ${given} is out of range, topic is ${topicName}`);
  }
  if (offset < 0 || !Number.isSafeInteger(offset)) {
    const given = quoted(header.text("commitOffset") ?? "null");
    return failure(ResponseCode.INVALID_PARAMETER, `Offset ${given} is out of range, topic is ${topicName}`);
  }
  if (offsets.hasOffsetReset(topicName, group, queueId)) {
    return { code: ResponseCode.SUCCESS, remark: "Offset has been previously reset" };
  }
  offsets.commitOffset(connection.remoteAddress, group, topicName, queueId, offset);
  return SUCCESS;
}
