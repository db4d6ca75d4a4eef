/** Codes 41 and 42: ordered consumers take and give back queues (broker/processor/AdminBrokerProcessor.java). */
import { CometError } from "../../base/errors.js";
import { RequestCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, jsonAnswer, SUCCESS } from "../answer.js";
import { listMember, parseBody, textMember } from "../protocol/members.js";
import type { BrokerContext } from "./context.js";
import { type MessageQueue, messageQueueJson, readMessageQueue } from "./message-queue.js";
import { hasQueue } from "./queue-lookup.js";
import { serve } from "./serve.js";

const QUEUES_MAX = 8192;
const NAME_CHARS_MAX = 255;
const CLIENT_ID_CHARS_MAX = 1024;

interface LockRequest {
  readonly group: string;
  readonly clientId: string;
  readonly queues: readonly MessageQueue[];
}

export function registerLockQueues(processors: Map<number, Processor>, context: BrokerContext): void {
  serve(processors, context, RequestCode.LOCK_BATCH_MQ, lockQueues);
  serve(processors, context, RequestCode.UNLOCK_BATCH_MQ, unlockQueues);
}

function lockQueues(context: BrokerContext, request: Request): Answer | Promise<Answer> {
  const { queueLocks } = context;
  const { group, queues, clientId } = readLockRequest(request);
  const lockable = queues.filter((queue) => isLockable(context, queue));
  const answer = jsonAnswer({ lockOKMQSet: queueLocks.tryLock(group, lockable, clientId).map(messageQueueJson) });
  // A lock that could not be saved is one all the same, until the broker is started again.
  return queueLocks.saver.saveIfDirty()?.then(() => answer) ?? answer;
}

function unlockQueues({ queueLocks }: BrokerContext, request: Request): Answer {
  const { group, queues, clientId } = readLockRequest(request);
  queueLocks.unlock(group, queues, clientId);
  return SUCCESS;
}

/** Locks of what does not exist would only fill the memory. */
function isLockable({ topics }: BrokerContext, { topic, brokerName, queueId }: MessageQueue): boolean {
  const known = topics.get(topic);
  return known !== undefined && hasQueue(known, queueId) && brokerName.length <= NAME_CHARS_MAX;
}

function readLockRequest({ body }: Request): LockRequest {
  const map = parseBody(body, "LockBatchRequestBody");
  const group = textMember(map, "consumerGroup") ?? "";
  const clientId = textMember(map, "clientId") ?? "";
  const list = listMember(map, "mqSet");
  const tooLong = group.length > NAME_CHARS_MAX || clientId.length > CLIENT_ID_CHARS_MAX;
  if (group === "" || clientId === "" || tooLong) {
    throw new CometError("COMETMQ_BAD_REQUEST", "consumerGroup or clientId is missing or too long.");
  }
  if (list.length > QUEUES_MAX) {
    throw new CometError("COMETMQ_BAD_REQUEST", `mqSet has more than ${QUEUES_MAX} queues.`);
  }
  return { group, clientId, queues: list.map(readMessageQueue) };
}
