/** Codes 200052 and 200055: messages without a lease (broker/processor/PeekMessageProcessor.java), and who waits. */
import { ResponseCode } from "../../../remoting/codes.js";
import type { HeaderView } from "../../../remoting/header-view.js";
import type { Connection } from "../../../remoting/types.js";
import type { MessageStore } from "../../../store/message-store.js";
import { type GetResult, GetStatus } from "../../../store/types.js";
import { type Answer, requiredInteger } from "../../answer.js";
import type { BrokerContext } from "../context.js";
import { type Topic, topicQueue } from "../topic-config.js";
import { popRetryTopicV1, popRetryTopicV2 } from "./extra-info.js";
import type { PopPolling } from "./pop-polling.js";
import { POP_MESSAGES_MAX, readTarget } from "./pop-request.js";
import type { PopState } from "./pop-state.js";

export function peekMessage(
  context: BrokerContext,
  store: MessageStore,
  state: PopState,
  header: HeaderView,
  client: Connection,
): Answer {
  const asked = requiredInteger(header, "maxMsgNums");
  const target = readTarget(context, header, client, "peeking");
  if (!("topic" in target)) return target;
  store.catchUp();
  const { topic, group, queueId } = target;
  const maxCount = Math.max(1, Math.min(asked, POP_MESSAGES_MAX));
  const bytesMax = context.config.maxTransferBytesOnMessageInMemory;
  const bodies: Buffer[] = [];
  let totalBytes = 0;
  let restNum = 0;
  for (const [from, id] of queuesToPeek(context, topic, group.name, queueId)) {
    const queue = topicQueue(context.store, from, id);
    const offset = state.peekOffset(group.name, from.name, queue);
    restNum += Math.max(0, store.maxOffset(queue) - offset);
    // One message at least goes out, however large; a further queue's only if there is room.
    if (bodies.length >= maxCount || totalBytes >= bytesMax) continue;
    const limits = { maxCount: maxCount - bodies.length, maxBytes: bytesMax - totalBytes };
    const result = emptyResult();
    const status = store.get(queue, offset, limits, undefined, result);
    if (status === GetStatus.OFFSET_TOO_SMALL || status === GetStatus.OFFSET_OVERFLOW_BADLY) {
      store.get(queue, result.nextBeginOffset, limits, undefined, result);
    }
    bodies.push(...result.records);
    totalBytes += result.totalBytes;
  }
  const found = bodies.length > 0;
  const code = found ? ResponseCode.SUCCESS : ResponseCode.PULL_NOT_FOUND;
  const fields = { invisibleTime: 0, popTime: 0, restNum, reviveQid: 0 };
  return {
    code,
    remark: found ? "FOUND" : "NO_MESSAGE_IN_QUEUE",
    fields,
    body: found ? Buffer.concat(bodies) : undefined,
  };
}

function* queuesToPeek(
  { topics }: BrokerContext,
  topic: Topic,
  group: string,
  queueId: number,
): IterableIterator<[Topic, number]> {
  if (queueId >= 0) yield [topic, queueId];
  else for (let id = 0; id < topic.readQueueNums; id++) yield [topic, id];
  for (const name of [popRetryTopicV1(group, topic.name), popRetryTopicV2(group, topic.name)]) {
    const retry = topics.get(name);
    for (let id = 0; id < (retry?.readQueueNums ?? 0); id++) yield [retry!, id];
  }
}

function emptyResult(): GetResult {
  const offsets = { nextBeginOffset: 0, minOffset: 0, maxOffset: 0 };
  const found = { records: [], queueOffsets: [], totalBytes: 0, suggestPullingFromSlave: false };
  return { status: GetStatus.FOUND, ...offsets, ...found };
}

export function pollingInfo(
  context: BrokerContext,
  polling: PopPolling,
  header: HeaderView,
  client: Connection,
): Answer {
  const target = readTarget(context, header, client, "peeking");
  if (!("topic" in target)) return target;
  const pollingNum = polling.countOf(target.topic.name, target.group.name, target.queueId);
  return { code: ResponseCode.SUCCESS, fields: { pollingNum } };
}
