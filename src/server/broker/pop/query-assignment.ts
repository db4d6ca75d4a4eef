/** Code 400: which queues a member of a group reads, and how (broker/processor/QueryAssignmentProcessor.java). */
import { CometError } from "../../../base/errors.js";
import { RequestCode } from "../../../remoting/codes.js";
import { parseFastjson } from "../../../remoting/fastjson.js";
import type { Processor, Request } from "../../../remoting/types.js";
import { type Answer, jsonAnswer, processorOf } from "../../answer.js";
import { parseBody, textMember } from "../../protocol/members.js";
import type { BrokerContext } from "../context.js";
import { type MessageQueue, messageQueueJson } from "../message-queue.js";
import type { MessageRequestMode } from "../message-request-mode.js";
import { isRetryTopic } from "../names.js";
import type { TopicQueues } from "./topic-queues.js";

/** Who wait for a name server. */
const LEARNERS_MAX = 4096;

type QueuesOf = (topic: string) => readonly MessageQueue[] | undefined;
type Strategy = (clientId: string, queues: readonly MessageQueue[], clientIds: readonly string[]) => MessageQueue[];

/** client/consumer/rebalance/AllocateMessageQueueAveragely(ByCircle).java, by the names that clients send. */
const STRATEGIES = new Map<string, Strategy>([
  ["AVG", averagely],
  ["AVG_BY_CIRCLE", byCircle],
]);

export function registerQueryAssignment(
  processors: Map<number, Processor>,
  context: BrokerContext,
  queues: TopicQueues,
): void {
  const answer = ({ body }: Request) => queryAssignment(context, (topic) => queues.queuesOf(topic), body);
  const known = processorOf(answer, context.log);
  const unknown = processorOf(
    async ({ body }) => {
      const copy = Buffer.from(body);
      await queues.learn(topicOf(copy));
      return queryAssignment(context, (topic) => queues.queuesOf(topic), copy);
    },
    context.log,
    LEARNERS_MAX,
  );
  processors.set(RequestCode.QUERY_ASSIGNMENT, (request, connection) => {
    const topic = topicOf(request.body);
    if (topic === "" || queues.knows(topic)) known(request, connection);
    else unknown(request, connection);
  });
}

/** Empty for a body that names none, which is refused later. */
function topicOf(body: Buffer): string {
  const map = body.length === 0 ? undefined : parseFastjson(body);
  const topic = map instanceof Map ? map.get("topic") : undefined;
  return typeof topic === "string" ? topic : "";
}

function queryAssignment(context: BrokerContext, topicQueues: QueuesOf, body: Buffer): Answer {
  const map = parseBody(body, "QueryAssignmentRequestBody");
  const topic = textMember(map, "topic");
  const group = textMember(map, "consumerGroup");
  const clientId = textMember(map, "clientId") ?? "";
  const model = textMember(map, "messageModel");
  if (topic === undefined) throw missing("topic");
  if (group === undefined) throw missing("consumerGroup");
  if (model !== "BROADCASTING" && model !== "CLUSTERING") {
    throw new CometError("COMETMQ_BAD_REQUEST", "The field messageModel is neither BROADCASTING nor CLUSTERING.");
  }
  const { mode, popShareQueueNum } = modeOf(context, topic, group);
  const isPop = mode === "POP";
  // Without a list the client keeps what it has.
  const queues =
    model === "BROADCASTING"
      ? topicQueues(topic)
      : assign(
          context,
          topicQueues(topic),
          group,
          clientId,
          textMember(map, "strategyName") ?? "",
          isPop,
          popShareQueueNum,
        );
  if (queues === undefined) return jsonAnswer({ messageQueueAssignments: undefined });
  return jsonAnswer({
    messageQueueAssignments: distinct(queues).map((queue) => ({ messageQueue: messageQueueJson(queue), mode })),
  });
}

function missing(field: string): CometError {
  return new CometError("COMETMQ_BAD_REQUEST", `The field ${field} is missing.`);
}

function modeOf(
  { config, requestModes }: BrokerContext,
  topic: string,
  group: string,
): Pick<MessageRequestMode, "mode" | "popShareQueueNum"> {
  const set = requestModes.get(topic, group);
  if (set !== undefined) return set;
  const mode = isRetryTopic(topic) ? "PULL" : config.defaultMessageRequestMode;
  return { mode, popShareQueueNum: mode === "POP" ? config.defaultPopShareQueueNum : 0 };
}

function assign(
  { config, consumers, log }: BrokerContext,
  queues: readonly MessageQueue[] | undefined,
  group: string,
  clientId: string,
  strategyName: string,
  isPop: boolean,
  shareNum: number,
): readonly MessageQueue[] | undefined {
  if (queues === undefined || !config.serverLoadBalancerEnable) return queues;
  const members = consumers.get(group);
  const strategy = STRATEGIES.get(strategyName);
  if (members === undefined || strategy === undefined || clientId === "" || queues.length === 0) {
    log.warn({ group, clientId, strategyName, queueCount: queues.length }, "no queues can be assigned");
    return undefined;
  }
  const clientIds = [...new Set(members.clientIds())].sort();
  const sorted = [...queues].sort(byName);
  return isPop ? forPop(strategy, clientId, sorted, clientIds, shareNum) : strategy(clientId, sorted, clientIds);
}

/** Queues shared by so many members are read by all of them, or each member's by those after it. */
function forPop(
  strategy: Strategy,
  clientId: string,
  queues: readonly MessageQueue[],
  clientIds: readonly string[],
  shareNum: number,
): MessageQueue[] {
  if (shareNum <= 0 || shareNum >= clientIds.length - 1) return queues.map((queue) => ({ ...queue, queueId: -1 }));
  const index = clientIds.indexOf(clientId);
  if (index < 0) return [];
  if (clientIds.length > queues.length) return [queues[index % queues.length]!];
  const assigned: MessageQueue[] = [];
  for (let i = 0; i <= shareNum; i++) {
    assigned.push(...strategy(clientIds[(index + i) % clientIds.length]!, queues, clientIds));
  }
  return assigned;
}

function averagely(clientId: string, queues: readonly MessageQueue[], clientIds: readonly string[]): MessageQueue[] {
  const index = clientIds.indexOf(clientId);
  if (index < 0) return [];
  const rest = queues.length % clientIds.length;
  const share = Math.floor(queues.length / clientIds.length);
  const start = index < rest ? index * (share + 1) : index * share + rest;
  return queues.slice(start, start + share + (index < rest ? 1 : 0));
}

function byCircle(clientId: string, queues: readonly MessageQueue[], clientIds: readonly string[]): MessageQueue[] {
  const index = clientIds.indexOf(clientId);
  return index < 0 ? [] : queues.filter((_, at) => at % clientIds.length === index);
}

function byName(a: MessageQueue, b: MessageQueue): number {
  if (a.brokerName !== b.brokerName) return a.brokerName < b.brokerName ? -1 : 1;
  return a.queueId - b.queueId;
}

function distinct(queues: readonly MessageQueue[]): MessageQueue[] {
  return [...new Map(queues.map((queue) => [`${queue.brokerName} ${queue.queueId}`, queue])).values()];
}
