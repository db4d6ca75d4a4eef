/** Code 46: may a consumer subscribe like this? (broker/processor/ClientManageProcessor.java#checkClientConfig) */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, quoted, SUCCESS } from "../answer.js";
import { mapMember, parseBody } from "../protocol/members.js";
import type { BrokerContext } from "./context.js";
import { isTagType, readSubscriptionData } from "./heartbeat-data.js";
import { serve } from "./serve.js";

export function registerCheckClientConfig(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.CHECK_CLIENT_CONFIG, checkClientConfig);
}

function checkClientConfig(context: BrokerContext, { body }: Request): Answer {
  const subscription =
    body.length === 0 ? undefined : mapMember(parseBody(body, "CheckClientRequestBody"), "subscriptionData");
  if (subscription === undefined) return SUCCESS;
  const { expressionType, subString } = readSubscriptionData(subscription);
  if (isTagType(expressionType)) return SUCCESS;
  if (!context.config.enablePropertyFilter) {
    const remark = `The broker does not support consumer to filter message by ${quoted(expressionType)}`;
    return failure(ResponseCode.SYSTEM_ERROR, remark);
  }
  const problem = context.checkExpression(expressionType, subString);
  return problem === undefined ? SUCCESS : failure(ResponseCode.SUBSCRIPTION_PARSE_FAILED, quoted(problem));
}
