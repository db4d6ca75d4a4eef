/** Codes 300, 343 and 345: who consumes what (broker/processor/AdminBrokerProcessor.java). */
import { RequestCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, jsonAnswer, requiredText } from "../answer.js";
import { topicListJson } from "../protocol/topic-list.js";
import type { BrokerContext } from "./context.js";
import { subscriptionDataJson } from "./heartbeat-data.js";
import { serve } from "./serve.js";

export function registerSubscriptionQueries(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, groupsOfTopic);
  serve(processors, context, RequestCode.QUERY_TOPICS_BY_CONSUMER, topicsOfGroup);
  serve(processors, context, RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, subscription);
}

/** Groups that subscribe to the topic now, and those that have once committed an offset in it. */
function groupsOfTopic({ consumers, offsets }: BrokerContext, { header }: Request): Answer {
  const topic = requiredText(header, "topic");
  const groupList = new Set([...consumers.groupsOf(topic), ...offsets.groupsOf(topic)]);
  return jsonAnswer({ groupList: [...groupList] });
}

function topicsOfGroup({ brokerAddress, offsets }: BrokerContext, { header }: Request): Answer {
  const topicList = offsets.topicsOf(requiredText(header, "group"));
  return jsonAnswer(topicListJson({ brokerAddr: brokerAddress(), topicList }));
}

function subscription({ consumers }: BrokerContext, { header }: Request): Answer {
  const group = requiredText(header, "group");
  const topic = requiredText(header, "topic");
  const found = consumers.findSubscription(group, topic);
  return jsonAnswer({ group, subscriptionData: found && subscriptionDataJson(found), topic });
}
