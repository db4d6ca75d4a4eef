/** What clients are told of a handle that names no message they have. */
import { ResponseCode } from "../../../remoting/codes.js";
import type { PutStatus } from "../../../store/types.js";
import { type Answer, failure, quoted } from "../../answer.js";
import type { BrokerContext } from "../context.js";
import type { Handle, Outcome } from "./pop-state.js";

/** Undefined where there is nothing to complain of. */
export function handleProblem(
  { config }: BrokerContext,
  outcome: Extract<Outcome, string>,
  { topic, queueId, queueOffset, popTime, invisibleMs }: Handle,
  brokerName: string,
): Answer | undefined {
  const key = `${topic}@${queueId}@${queueOffset}`;
  if (brokerName !== config.brokerName) {
    const remark = `The field extraInfo is of the broker ${quoted(brokerName)}, and this is ${config.brokerName}.`;
    return failure(ResponseCode.MESSAGE_ILLEGAL, remark);
  }
  switch (outcome) {
    case "never popped":
      return failure(ResponseCode.NO_MESSAGE, `The group was never given the message of the field offset, ${key}.`);
    case "expired": {
      const endedAt = new Date(popTime + invisibleMs);
      const when = Number.isNaN(endedAt.getTime()) ? "long ago" : `at ${endedAt.toISOString()}`;
      const remark = `The handle in the field extraInfo ran out ${when}; the message ${key} is given out again.`;
      return failure(ResponseCode.NO_MESSAGE, remark);
    }
    case "overtaken":
      return failure(ResponseCode.NO_MESSAGE, `The message ${key} has a newer handle than the field extraInfo has.`);
    case "illegal":
      return failure(ResponseCode.MESSAGE_ILLEGAL, `offset is illegal, key:${key}: it is none of those popped.`);
    default:
      return undefined;
  }
}

/** The journal did not take it, so nothing has changed. */
export function failedAnswer(status: PutStatus): Answer {
  return failure(
    ResponseCode.SYSTEM_ERROR,
    `The broker can not store this now (status ${status}); nothing has changed.`,
  );
}
