/** Codes 43 and 314: all offsets of all groups, and one group's copied to another (AdminBrokerProcessor.java). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { isBlank, validateGroup } from "./names.js";
import { savedAnswer } from "./saved-answer.js";
import { serve } from "./serve.js";

export function registerAllConsumerOffset(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.GET_ALL_CONSUMER_OFFSET, ({ offsets }) => jsonAnswer(offsets.toJson()));
  serve(processors, context, RequestCode.CLONE_GROUP_OFFSET, cloneGroupOffset);
}

function cloneGroupOffset(
  { config, consumers, groups, offsets, topics }: BrokerContext,
  { header }: Request,
): Answer | Promise<Answer> {
  const srcGroup = requiredText(header, "srcGroup");
  const destGroup = requiredText(header, "destGroup");
  const problem = validateGroup(destGroup);
  if (problem !== "") return failure(ResponseCode.INVALID_PARAMETER, quoted(problem));
  // Nobody has to have made the group.
  if (groups.get(destGroup) === undefined && !offsets.has(destGroup) && offsets.groupCount >= config.groupCountMax) {
    return failure(ResponseCode.SYSTEM_ERROR, "there are too many groups");
  }
  const topic = header.text("topic");
  const names = topic === undefined || isBlank(topic) ? offsets.topicsOf(srcGroup) : [topic];
  const live = header.boolean("offline") !== true && consumers.subscriptionCount(srcGroup) > 0;
  for (const name of names) {
    if (topics.get(name) === undefined) continue;
    if (live && consumers.findSubscription(srcGroup, name) === undefined) continue;
    offsets.cloneOffset(srcGroup, destGroup, name);
  }
  return savedAnswer(offsets.saver);
}
