/** Codes 17 and 18: make or change topics (broker/processor/AdminBrokerProcessor.java#updateAndCreateTopic). */
import { CometError } from "../../base/errors.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, optionalInt, quoted, requiredInt, requiredText, SUCCESS } from "../answer.js";
import { asMap, listMember, parseBody } from "../protocol/members.js";
import { readTopicConfig, type TopicConfig } from "../protocol/topic-config.js";
import { MESSAGE_TYPE_ATTRIBUTE, parseAttributeChanges } from "./attributes.js";
import type { BrokerContext } from "./context.js";
import { validateTopic } from "./names.js";
import { savedAnswer } from "./saved-answer.js";
import { serve } from "./serve.js";

const PERM_MAX = 15;

/** Attributes are changes, keys with their sign. */
type TopicRequest = TopicConfig;

export function registerCreateTopic(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.UPDATE_AND_CREATE_TOPIC, createTopic);
  serve(processors, context, RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, createTopicList);
}

function createTopic(context: BrokerContext, request: Request, connection: Connection): Answer | Promise<Answer> {
  return createTopics(context, [readTopicRequest(request)], connection);
}

function createTopicList(context: BrokerContext, { body }: Request, connection: Connection): Answer | Promise<Answer> {
  const list = listMember(parseBody(body, "CreateTopicListRequestBody"), "topicConfigList");
  const topics = list.map((topic) => readTopicConfig(asMap(topic, "topicConfigList"), ""));
  return createTopics(context, topics, connection);
}

export function readTopicRequest({ header }: Request): TopicRequest {
  const topicFilterType = requiredText(header, "topicFilterType");
  if (topicFilterType !== "SINGLE_TAG" && topicFilterType !== "MULTI_TAG") {
    throw new CometError("COMETMQ_BAD_REQUEST", `topicFilterType = [${quoted(topicFilterType)}] value invalid.`);
  }
  return {
    topicName: requiredText(header, "topic"),
    readQueueNums: requiredInt(header, "readQueueNums"),
    writeQueueNums: requiredInt(header, "writeQueueNums"),
    perm: requiredInt(header, "perm"),
    topicFilterType,
    topicSysFlag: optionalInt(header, "topicSysFlag") ?? 0,
    order: header.boolean("order") ?? false,
    attributes: parseAttributeChanges(header.text("attributes")),
  };
}

/** All or none. */
function createTopics(
  context: BrokerContext,
  requests: readonly TopicRequest[],
  connection: Connection,
): Answer | Promise<Answer> {
  const { topics, log } = context;
  for (const request of requests) {
    const problem = problemOf(context, request);
    if (problem !== undefined) return failure(ResponseCode.INVALID_PARAMETER, quoted(problem));
  }
  const changes = requests.filter(({ attributes, ...settings }) => !topics.isAsRequested(settings, attributes));
  topics.updateAll(changes);
  const changed = changes.map(({ topicName }) => topicName);
  if (changed.length > 0) log.info({ topics: changed, client: connection.remoteAddress }, "topics made or changed");
  return savedAnswer(topics.saver, { ...SUCCESS, remark: "not set any response code" });
}

/** What is wrong with the request, if anything. */
export function problemOf({ config, topics }: BrokerContext, request: TopicRequest): string | undefined {
  const { topicName, attributes, perm } = request;
  const nameProblem = validateTopic(topicName);
  if (nameProblem !== "") return nameProblem;
  if (config.validateSystemTopicWhenUpdateTopic && topics.isSystemTopic(topicName)) {
    return `The topic[${topicName}] is conflict with system topic.`;
  }
  for (const [name, count] of Object.entries({ read: request.readQueueNums, write: request.writeQueueNums })) {
    if (count >= 0 && count <= config.topicQueueCountMax) continue;
    return `${name}QueueNums ${count} is out of range, allowing 0 to ${config.topicQueueCountMax}.`;
  }
  if (perm < 0 || perm > PERM_MAX) return `The permission ${perm} is out of range.`;
  if (!config.enableMixedMessageType && attributes.get(`+${MESSAGE_TYPE_ATTRIBUTE}`) === "MIXED") {
    return "MIXED message type is not supported.";
  }
  return undefined;
}
