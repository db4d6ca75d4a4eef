/** Codes 401 and 402: how groups read topics (QueryAssignmentProcessor.java#setMessageRequestMode, AdminBrokerProcessor). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted } from "../answer.js";
import { parseBody } from "../protocol/members.js";
import type { BrokerContext } from "./context.js";
import { readMessageRequestMode } from "./message-request-mode.js";
import { isRetryTopic } from "./names.js";
import { savedAnswer } from "./saved-answer.js";
import { serve } from "./serve.js";

export function registerRequestModeRequests(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.SET_MESSAGE_REQUEST_MODE, setRequestMode);
  serve(processors, context, RequestCode.GET_ALL_MESSAGE_REQUEST_MODE, allRequestModes);
}

function setRequestMode(
  { groups, log, requestModes, topics }: BrokerContext,
  { body }: Request,
): Answer | Promise<Answer> {
  const mode = readMessageRequestMode(parseBody(body, "SetMessageRequestModeRequestBody"));
  if (isRetryTopic(mode.topic)) return failure(ResponseCode.NO_PERMISSION, "retry topic is not allowed to set mode");
  if (topics.get(mode.topic) === undefined) {
    return failure(ResponseCode.TOPIC_NOT_EXIST, `topic[${quoted(mode.topic)}] not exist`);
  }
  if (groups.find(mode.consumerGroup) === undefined) {
    return failure(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, "subscription group does not exist");
  }
  requestModes.set(mode);
  log.info({ ...mode }, "request mode set");
  return savedAnswer(requestModes.saver);
}

function allRequestModes({ requestModes }: BrokerContext): Answer {
  return jsonAnswer(requestModes.toJson());
}
