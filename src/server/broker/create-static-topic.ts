/** Code 513: a static topic is made or gets more queues (AdminBrokerProcessor.java#updateAndCreateStaticTopic). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, quoted } from "../answer.js";
import { parseBody } from "../protocol/members.js";
import { readTopicQueueMappingDetail } from "../protocol/topic-queue-mapping.js";
import type { BrokerContext } from "./context.js";
import { problemOf, readTopicRequest } from "./create-topic.js";
import { savedAnswer } from "./saved-answer.js";
import { serve } from "./serve.js";

export function registerCreateStaticTopic(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC, createStaticTopic);
}

function createStaticTopic(context: BrokerContext, request: Request): Answer | Promise<Answer> {
  const { staticTopics, topics } = context;
  const { attributes, ...settings } = readTopicRequest(request);
  const detail = readTopicQueueMappingDetail(parseBody(request.body, "TopicQueueMappingDetail"));
  const queueCount = Math.min(settings.readQueueNums, settings.writeQueueNums);
  const problem =
    problemOf(context, { attributes, ...settings }) ??
    (detail.topic === settings.topicName ? undefined : "The mapping is another topic's.") ??
    (detail.hostedQueues.size <= queueCount ? undefined : "The mapping has more queues than the topic.");
  if (problem !== undefined) return failure(ResponseCode.INVALID_PARAMETER, quoted(problem));
  // The mapping first: the change of the topic is what makes the broker tell of both.
  const before = staticTopics.get(detail.topic);
  staticTopics.set(detail, request.header.boolean("force") === true);
  try {
    topics.update(settings, attributes);
  } catch (error) {
    staticTopics.putBack(detail.topic, before);
    throw error;
  }
  return savedAnswer([staticTopics.saver, topics.saver]);
}
