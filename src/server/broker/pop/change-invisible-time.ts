/** Code 200053: a popped message stays with its consumer for longer, or less long (ChangeInvisibleTimeProcessor.java). */
import { ResponseCode } from "../../../remoting/codes.js";
import type { HeaderView } from "../../../remoting/header-view.js";
import type { Connection } from "../../../remoting/types.js";
import { type Answer, failure, requiredInteger, requiredText } from "../../answer.js";
import type { BrokerContext } from "../context.js";
import { topicQueue } from "../topic-config.js";
import { POP_ORDER_REVIVE_QUEUE, readExtraInfo } from "./extra-info.js";
import { failedAnswer, handleProblem } from "./handle-answer.js";
import { illegalQueue, lengthProblem, noSuchTopic } from "./pop-request.js";
import type { PopState } from "./pop-state.js";

export function changeInvisibleTime(
  context: BrokerContext,
  state: PopState,
  header: HeaderView,
  client: Connection,
): Answer {
  const group = requiredText(header, "consumerGroup");
  const topicName = requiredText(header, "topic");
  const queueId = requiredInteger(header, "queueId");
  const extraInfo = requiredText(header, "extraInfo");
  const queueOffset = requiredInteger(header, "offset");
  const asked = requiredInteger(header, "invisibleTime");
  const topic = context.topics.get(topicName);
  if (topic === undefined) return noSuchTopic(topicName);
  if (queueId < 0 || queueId >= topic.readQueueNums) {
    return failure(ResponseCode.MESSAGE_ILLEGAL, illegalQueue(topic, queueId, client));
  }
  const queue = topicQueue(context.store, topic, queueId);
  const minOffset = context.store.minOffset(queue);
  const maxOffset = context.store.maxOffset(queue, queueOffset);
  if (queueOffset < minOffset || queueOffset >= maxOffset) {
    const remark = `offset is illegal, key:${topicName}@${queueId}, offset:${queueOffset}, store:${minOffset}~${maxOffset}`;
    return failure(ResponseCode.NO_MESSAGE, remark);
  }
  const problem = lengthProblem(context, "invisibleTime", asked);
  if (problem !== undefined) return problem;
  const { popTime, invisibleMs, reviveQueueId, brokerName } = readExtraInfo(extraInfo);
  const handle = { group, topic: topicName, queueId, queueOffset, popTime, invisibleMs };
  const isOrdered = reviveQueueId === POP_ORDER_REVIVE_QUEUE;
  const outcome = isOrdered
    ? state.changeInvisibleTimeOrdered(handle, asked)
    : state.changeInvisibleTime(handle, asked);
  if (typeof outcome === "object" && "done" in outcome) {
    const fields = { invisibleTime: outcome.invisibleMs, popTime: outcome.popTime, reviveQid: reviveQueueId };
    return { code: ResponseCode.SUCCESS, fields };
  }
  if (typeof outcome === "object") return failedAnswer(outcome.failed);
  // What an ordered pop is past has nothing to be extended, and Apache says so with an answer without fields.
  if (outcome === "nothing" && isOrdered) {
    return { code: ResponseCode.SUCCESS, fields: { invisibleTime: 0, popTime: 0, reviveQid: 0 } };
  }
  const remark = `The message ${topicName}@${queueId}@${queueOffset} is acknowledged.`;
  return handleProblem(context, outcome, handle, brokerName) ?? failure(ResponseCode.NO_MESSAGE, remark);
}
