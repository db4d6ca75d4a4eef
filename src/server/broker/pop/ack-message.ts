/**
 * Codes 200051 and 200151: popped messages are done with (broker/processor/AckMessageProcessor.java). The answer waits
 * until the acknowledgement is on the disk where messages do.
 */
import { CometError } from "../../../base/errors.js";
import { ResponseCode } from "../../../remoting/codes.js";
import type { FastjsonMap } from "../../../remoting/fastjson.js";
import type { HeaderView } from "../../../remoting/header-view.js";
import type { Connection } from "../../../remoting/types.js";
import { type Answer, failure, quoted, requiredInteger, requiredText, SUCCESS } from "../../answer.js";
import { asMap, intMember, listMember, longMember, parseBody, textMember } from "../../protocol/members.js";
import type { BrokerContext } from "../context.js";
import { topicQueue } from "../topic-config.js";
import { POP_ORDER_REVIVE_QUEUE, readExtraInfo, realTopic } from "./extra-info.js";
import { failedAnswer, handleProblem } from "./handle-answer.js";
import { illegalQueue, noSuchTopic } from "./pop-request.js";
import type { Handle, Outcome, PopState } from "./pop-state.js";

/** Of one batch: groups of messages, and bytes of the bits that name them. */
const BATCH_ACKS_MAX = 4096;
const BATCH_BITS_BYTES_MAX = 64 * 1024;

export function ackMessage(context: BrokerContext, state: PopState, header: HeaderView, client: Connection): Answer {
  const group = requiredText(header, "consumerGroup");
  const topicName = requiredText(header, "topic");
  const queueId = requiredInteger(header, "queueId");
  const extraInfo = requiredText(header, "extraInfo");
  const queueOffset = requiredInteger(header, "offset");
  const topic = context.topics.get(topicName);
  if (topic === undefined) return noSuchTopic(topicName);
  if (queueId < 0 || queueId >= topic.readQueueNums) {
    return failure(ResponseCode.MESSAGE_ILLEGAL, illegalQueue(topic, queueId, client));
  }
  const queue = topicQueue(context.store, topic, queueId);
  const minOffset = context.store.minOffset(queue);
  const maxOffset = context.store.maxOffset(queue, queueOffset);
  if (queueOffset < minOffset || queueOffset > maxOffset) {
    const remark = `offset is illegal, key:${topicName}@${queueId}, commit:${queueOffset}, store:${minOffset}~${maxOffset}`;
    return failure(ResponseCode.NO_MESSAGE, remark);
  }
  const { popTime, invisibleMs, reviveQueueId, brokerName } = readExtraInfo(extraInfo);
  const handle = { group, topic: topicName, queueId, queueOffset, popTime, invisibleMs };
  const outcome = ackOne(state, handle, reviveQueueId, client);
  if (typeof outcome === "object" && "done" in outcome) return SUCCESS;
  if (typeof outcome === "object") return failedAnswer(outcome.failed);
  return handleProblem(context, outcome, handle, brokerName) ?? SUCCESS;
}

function ackOne(state: PopState, handle: Handle, reviveQueueId: number, { remoteAddress }: Connection): Outcome {
  return reviveQueueId === POP_ORDER_REVIVE_QUEUE ? state.ackOrdered(handle, remoteAddress) : state.ack(handle);
}

/** As Apache does it, one message that can not be acknowledged fails the others only where nothing can be stored. */
export function batchAckMessage(context: BrokerContext, state: PopState, body: Buffer, client: Connection): Answer {
  if (body.length === 0) return failure(ResponseCode.NO_MESSAGE, "The body is empty: it names no acknowledgements.");
  const acks = listMember(parseBody(body, "BatchAckMessageRequestBody"), "acks");
  if (acks.length === 0) return failure(ResponseCode.NO_MESSAGE, "The field acks is empty.");
  if (acks.length > BATCH_ACKS_MAX) {
    throw new CometError("COMETMQ_BAD_REQUEST", `The field acks has more than ${BATCH_ACKS_MAX} entries.`);
  }
  // Whatever is wrong with one is found before anything is done with another.
  const batches = acks.map((ack) => readBatch(asMap(ack, "An entry of acks")));
  let worst: Answer = SUCCESS;
  for (const batch of batches) {
    const answer = ackBatch(context, state, batch, client);
    if (answer.code !== ResponseCode.SUCCESS) worst = answer;
  }
  return worst;
}

interface Batch {
  readonly group: string;
  readonly topic: string;
  readonly queueId: number;
  readonly reviveQueueId: number;
  readonly startOffset: number;
  readonly popTime: number;
  readonly invisibleMs: number;
  /** Java's BitSet: bit i stands for `startOffset + i`. */
  readonly bits: Buffer;
}

function readBatch(map: FastjsonMap): Batch {
  const text = (short: string, long: string) => textMember(map, short) ?? textMember(map, long) ?? "";
  const long = (short: string, name: string) => longMember(map, short, longMember(map, name, 0));
  const group = text("c", "consumerGroup");
  const mark = text("r", "retry");
  const topic = realTopic(text("t", "topic"), group, mark === "" ? "0" : mark);
  if (topic === undefined) {
    throw new CometError("COMETMQ_BAD_REQUEST", `The field retry is ${quoted(mark)}, expected 0, 1 or 2.`);
  }
  const bits = Buffer.from(text("b", "bitSet"), "base64");
  if (bits.length > BATCH_BITS_BYTES_MAX) {
    throw new CometError("COMETMQ_BAD_REQUEST", `The field bitSet has more than ${BATCH_BITS_BYTES_MAX} bytes.`);
  }
  return {
    group,
    topic,
    queueId: intMember(map, "q", intMember(map, "queueId", 0)),
    reviveQueueId: intMember(map, "rq", intMember(map, "reviveQueueId", 0)),
    startOffset: long("so", "startOffset"),
    popTime: long("pt", "popTime"),
    invisibleMs: long("it", "invisibleTime"),
    bits,
  };
}

function ackBatch(context: BrokerContext, state: PopState, batch: Batch, client: Connection): Answer {
  const { group, topic: topicName, queueId, popTime, invisibleMs, reviveQueueId } = batch;
  const topic = context.topics.get(topicName);
  if (topic === undefined || queueId < 0 || queueId >= topic.readQueueNums) return SUCCESS;
  const queue = topicQueue(context.store, topic, queueId);
  const minOffset = context.store.minOffset(queue);
  const maxOffset = context.store.maxOffset(queue, batch.startOffset + batch.bits.length * 8 - 1);
  let worst: Answer = SUCCESS;
  for (let bit = 0; bit < batch.bits.length * 8; bit++) {
    if ((batch.bits[bit >> 3]! & (1 << (bit & 7))) === 0) continue;
    const queueOffset = batch.startOffset + bit;
    if (queueOffset < minOffset || queueOffset > maxOffset) continue;
    const handle = { group, topic: topicName, queueId, queueOffset, popTime, invisibleMs };
    const outcome = ackOne(state, handle, reviveQueueId, client);
    if (typeof outcome === "object" && "failed" in outcome) worst = failedAnswer(outcome.failed);
    else if (outcome === "expired" || outcome === "overtaken" || outcome === "illegal") {
      worst = handleProblem(context, outcome, handle, context.config.brokerName) ?? worst;
    }
  }
  return worst;
}
