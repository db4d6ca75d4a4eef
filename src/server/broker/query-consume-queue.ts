/** Code 321: entries of a queue as they lie in its file (broker/processor/AdminBrokerProcessor.java#queryConsumeQueue). */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { FastjsonInput } from "../../remoting/fastjson.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, failure, jsonAnswer, quoted, requiredInt, requiredInteger, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { subscriptionDataJson } from "./heartbeat-data.js";
import { existingQueue } from "./queue-lookup.js";
import { serveSettled } from "./serve.js";
import type { StoreUnit } from "./store-port.js";

const COUNT_MAX = 4096;

export function registerQueryConsumeQueue(processors: Map<number, Processor>, context: BrokerContext): void {
  serveSettled(processors, context, RequestCode.QUERY_CONSUME_QUEUE, queryConsumeQueue);
}

interface UnitsQuery {
  readonly topic: string;
  readonly queueId: number;
  readonly index: number;
  readonly count: number;
  readonly group: string | undefined;
}

function queryConsumeQueue(context: BrokerContext, { header }: Request): () => Answer {
  const topic = requiredText(header, "topic");
  const queueId = requiredInt(header, "queueId");
  const index = requiredInteger(header, "index");
  const count = Math.min(COUNT_MAX, requiredInt(header, "count"));
  const group = header.text("consumerGroup");
  return () => answerTo(context, { topic, queueId, index, count, group });
}

function answerTo(context: BrokerContext, { topic, queueId, index, count, group }: UnitsQuery): Answer {
  const { store } = context;
  const queue = existingQueue(context, topic, queueId);
  if (queue === undefined) return failure(ResponseCode.SYSTEM_ERROR, `${queueId}@${quoted(topic)} is not exist!`);
  const maxQueueIndex = store.maxOffset(queue);
  const minQueueIndex = store.minOffset(queue);
  // Apache answers nothing but this where no entry can be: its tools print the remark.
  if (!(index >= 0 && index <= maxQueueIndex)) {
    return { code: ResponseCode.SUCCESS, remark: `Index ${index} of ${queueId}@${topic} is not exist!` };
  }
  const queueData = store.readUnits(queue, Math.max(index, minQueueIndex), count).map(unitJson);
  const body = { ...filterOf(context, group, topic), maxQueueIndex, minQueueIndex, queueData };
  return { ...jsonAnswer(body), remark: "not set any response code" };
}

function unitJson({ phyOffset, sizeBytes, tagsCode }: StoreUnit): FastjsonInput {
  return { eval: false, physicOffset: phyOffset, physicSize: sizeBytes, tagsCode };
}

/** How `group` filters the topic. Tags alone are no filter data. */
function filterOf({ consumers }: BrokerContext, group: string | undefined, topic: string) {
  if (group === undefined) return {};
  const subscription = consumers.findSubscription(group, topic);
  if (subscription === undefined) return { filterData: `${quoted(group)}@${topic} is not online!` };
  return { filterData: "null", subscriptionData: subscriptionDataJson(subscription) };
}
