/** Codes 21, 305 and 351: what topics there are and how they are set (broker/processor/AdminBrokerProcessor.java). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredText } from "../answer.js";
import { type TopicConfig, topicConfigJson } from "../protocol/topic-config.js";
import { topicConfigAndMappingWrapperJson } from "../protocol/topic-config-wrapper.js";
import { topicListJson } from "../protocol/topic-list.js";
import type { BrokerContext } from "./context.js";
import { pageOf } from "./page.js";
import { serve } from "./serve.js";

export function registerTopicQueries(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.GET_ALL_TOPIC_CONFIG, allTopicConfig);
  serve(processors, context, RequestCode.GET_TOPIC_CONFIG, topicConfig);
  serve(processors, context, RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER, systemTopics);
}

function systemTopics({ topics }: BrokerContext): Answer {
  return jsonAnswer(topicListJson({ topicList: [...topics.systemTopics()] }));
}

function allTopicConfig({ config, staticTopics, topics }: BrokerContext, request: Request): Answer {
  const { dataVersion } = topics;
  const names = { sequence: "topicSeq", count: "maxTopicNum" };
  const page = pageOf(request, names, topics.values(), dataVersion, config);
  const wrapper = {
    dataVersion,
    mappingDataVersion: staticTopics.dataVersion,
    topicConfigTable: new Map<string, TopicConfig>(page.map((topic) => [topic.name, topic])),
    topicQueueMappingInfoMap: new Map(),
  };
  const body = topicConfigAndMappingWrapperJson(wrapper, staticTopics.detailsJson(page.map(({ name }) => name)));
  return { ...jsonAnswer(body), fields: { totalTopicNum: topics.size } };
}

function topicConfig({ staticTopics, topics }: BrokerContext, { header }: Request): Answer {
  const name = requiredText(header, "topic");
  const topic = topics.get(name);
  if (topic !== undefined) {
    const mapping = header.boolean("lo") === true ? staticTopics.detailsJson([name]).get(name) : undefined;
    return jsonAnswer({ ...topicConfigJson(topic), mappingDetail: mapping });
  }
  return failure(ResponseCode.TOPIC_NOT_EXIST, `No topic in this broker. topic: ${quoted(name)}`);
}
