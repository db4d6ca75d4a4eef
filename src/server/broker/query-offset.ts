/** Code 14: where a group goes on in a queue (broker/processor/ConsumerManageProcessor.java#queryConsumerOffset). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, missing, requiredInt, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { existingQueue } from "./queue-lookup.js";
import { serve } from "./serve.js";

export function registerQueryOffset(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.QUERY_CONSUMER_OFFSET, queryOffset);
}

function queryOffset(context: BrokerContext, { header }: Request): Answer {
  const group = header.text("consumerGroup");
  if (group === undefined) return missing(ResponseCode.QUERY_NOT_FOUND, "consumerGroup");
  const topic = requiredText(header, "topic");
  const queueId = requiredInt(header, "queueId");
  const offset = context.offsets.nextOffset(group, topic, queueId);
  if (offset >= 0) return { code: ResponseCode.SUCCESS, fields: { offset } };
  if (header.boolean("setZeroIfNotFound") === false) {
    return failure(ResponseCode.QUERY_NOT_FOUND, "Not found, do not set to zero, maybe this group boot first");
  }
  // A young queue is read from its start, whatever the consumer would choose: nothing of it is old yet.
  const queue = existingQueue(context, topic, queueId);
  if (queue !== undefined && context.store.minOffset(queue) <= 0 && context.store.isInMemory(queue, 0)) {
    return { code: ResponseCode.SUCCESS, fields: { offset: 0 } };
  }
  const remark = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
  return failure(ResponseCode.QUERY_NOT_FOUND, remark);
}
