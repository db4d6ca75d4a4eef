/** Code 215: a topic goes, with its offsets and its queues (broker/processor/AdminBrokerProcessor.java#deleteTopic). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, missing, quoted } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { isBlank, retryTopic } from "./names.js";
import { savedAnswer } from "./saved-answer.js";
import { serve } from "./serve.js";

export function registerDeleteTopic(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.DELETE_TOPIC_IN_BROKER, deleteTopic);
}

async function deleteTopic(context: BrokerContext, { header }: Request, connection: Connection): Promise<Answer> {
  const { config, log, offsets, staticTopics, topics } = context;
  const name = header.text("topic");
  if (name === undefined) return missing(ResponseCode.INVALID_PARAMETER, "topic");
  if (isBlank(name)) return failure(ResponseCode.INVALID_PARAMETER, "The specified topic is blank.");
  if (config.validateSystemTopicWhenUpdateTopic && topics.isSystemTopic(name)) {
    return failure(ResponseCode.INVALID_PARAMETER, `The topic[${quoted(name)}] is conflict with system topic.`);
  }
  const doomed = [name];
  if (config.clearRetryTopicWhenDeleteTopic) {
    for (const group of offsets.groupsOf(name)) doomed.push(...popRetryTopics(name, group));
  }
  // Messages first, for that may fail; no names reach the store but those of topics.
  await context.store.deleteTopics(doomed.filter((topic) => topics.get(topic) !== undefined));
  for (const topic of doomed) forget(context, topic);
  log.info({ topics: doomed, client: connection.remoteAddress }, "topics deleted");
  return savedAnswer([topics.saver, offsets.saver, staticTopics.saver]);
}

/** Both generations of the names that POP consumption gives its retry topics (common/KeyBuilder.java). */
function popRetryTopics(topic: string, group: string): string[] {
  return [`${retryTopic(group)}+${topic}`, `${retryTopic(group)}_${topic}`];
}

/**
 * Members of live groups hold offsets of the topic in their memory. Should it be made again, they would begin behind its
 * first messages: they are to start at 0 then.
 */
function forget({ consumers, offsets, staticTopics, stats, topics }: BrokerContext, name: string): void {
  const topic = topics.get(name);
  const readers = [...consumers.groupsOf(name)];
  offsets.removeTopic(name);
  staticTopics.delete(name);
  if (topic === undefined) return;
  for (const group of readers) offsets.expectRestart(group, name, Math.max(topic.readQueueNums, topic.writeQueueNums));
  topics.delete(name);
  stats.forgetTopic(name);
}
