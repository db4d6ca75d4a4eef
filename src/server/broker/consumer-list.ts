/** Code 38: the members of a group (broker/processor/ConsumerManageProcessor.java#getConsumerListByGroup). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { serve } from "./serve.js";

export function registerConsumerList(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.GET_CONSUMER_LIST_BY_GROUP, consumerList);
}

function consumerList(context: BrokerContext, { header }: Request): Answer {
  const name = requiredText(header, "consumerGroup");
  const consumerIdList = context.consumers.get(name)?.clientIds() ?? [];
  if (consumerIdList.length > 0) return jsonAnswer({ consumerIdList });
  return failure(ResponseCode.SYSTEM_ERROR, `no consumer for this group, ${quoted(name)}`);
}
