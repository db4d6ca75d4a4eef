/**
 * Code 222: a group shall go on elsewhere (AdminBrokerProcessor.java#resetOffsetInner, the way that needs no client to
 * help; without useServerSideResetOffset it is the clients' affair, see reset-offset-in-clients). To be registered only
 * together with a pull that takes resets (`queryThenEraseResetOffset`): until the group has read from there, its commits
 * do not count.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { FastjsonInput } from "../../remoting/fastjson.js";
import type { Processor, Request } from "../../remoting/types.js";
import {
  type Answer,
  failure,
  jsonAnswer,
  missing,
  optionalInt,
  optionalInteger,
  quoted,
  requiredInteger,
  requiredText,
} from "../answer.js";
import type { BrokerContext } from "./context.js";
import { messageQueueJson } from "./message-queue.js";
import { hasQueue, offsetAtTime } from "./queue-lookup.js";
import { resetOffsetInClients } from "./reset-offset-in-clients.js";
import { savedAnswer } from "./saved-answer.js";
import { serveSettled } from "./serve.js";
import { type Topic, topicQueue } from "./topic-config.js";

export function registerResetOffset(processors: Map<number, Processor>, context: BrokerContext): void {
  serveSettled(processors, context, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, resetOffset);
}

interface Reset {
  readonly name: string;
  readonly group: string;
  readonly timestamp: number;
  readonly queueId: number;
  readonly offset: number;
}

function resetOffset(context: BrokerContext, request: Request): () => Answer | Promise<Answer> {
  const { header } = request;
  if (!context.config.useServerSideResetOffset) return resetOffsetInClients(context, request);
  const name = requiredText(header, "topic");
  const group = header.text("group");
  if (group === undefined) return () => missing(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, "group");
  const timestamp = requiredInteger(header, "timestamp");
  const queueId = optionalInt(header, "queueId") ?? -1;
  const offset = optionalInteger(header, "offset") ?? -1;
  return () => resetIn(context, { name, group, timestamp, queueId, offset });
}

function resetIn(context: BrokerContext, reset: Reset): Answer | Promise<Answer> {
  const { config, groups, log, offsets, topics } = context;
  const { name, group, timestamp, queueId, offset } = reset;
  const topic = topics.get(name);
  if (topic === undefined) return failure(ResponseCode.TOPIC_NOT_EXIST, `Topic ${quoted(name)} does not exist`);
  if (groups.get(group) === undefined) {
    return failure(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${quoted(group)} does not exist`);
  }
  const queueIds = queueId >= 0 ? [queueId] : Array.from({ length: topic.readQueueNums }, (_, id) => id);
  if (queueIds.length === 0 || !queueIds.every((id) => hasQueue(topic, id))) {
    return failure(ResponseCode.SYSTEM_ERROR, "No queues to reset.");
  }
  const wanted = queueId >= 0 && offset !== -1 ? offset : undefined;
  const problem = wanted === undefined ? undefined : rangeProblem(context, topic, queueId, wanted);
  if (problem !== undefined) return failure(ResponseCode.SYSTEM_ERROR, problem);

  const offsetTable = new Map<object, FastjsonInput>();
  for (const id of queueIds) {
    const target = wanted ?? offsetAtTime(context, topic, id, timestamp);
    offsets.assignResetOffset(name, group, id, target);
    offsetTable.set(messageQueueJson({ topic: name, brokerName: config.brokerName, queueId: id }), target);
  }
  log.info({ topic: name, group, queueIds, timestamp }, "offsets reset");
  return savedAnswer(offsets.saver, jsonAnswer({ offsetTable }));
}

function rangeProblem({ store }: BrokerContext, topic: Topic, queueId: number, offset: number): string | undefined {
  const queue = topicQueue(store, topic, queueId);
  const min = store.minOffset(queue);
  const max = store.maxOffset(queue);
  if (offset >= Math.max(0, min) && offset <= max + 1) return undefined;
  return `Target offset ${offset} not in consume queue range [${min}-${max}]`;
}
