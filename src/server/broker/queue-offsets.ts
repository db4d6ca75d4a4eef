/**
 * Codes 29 to 32: what offsets and times a queue has (broker/processor/AdminBrokerProcessor.java). A queue that does not
 * exist answers like an empty one.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, requiredInt, requiredInteger, requiredText } from "../answer.js";
import type { BrokerContext } from "./context.js";
import { existingQueue } from "./queue-lookup.js";
import { serve, serveSettled } from "./serve.js";
import type { QueueHandle } from "./store-port.js";

export function registerQueueOffsets(processors: Map<number, Processor>, context: BrokerContext): void {
  serveSettled(processors, context, RequestCode.GET_MAX_OFFSET, maxOffset);
  serve(processors, context, RequestCode.GET_MIN_OFFSET, minOffset);
  serveSettled(processors, context, RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, offsetByTime);
  serveSettled(processors, context, RequestCode.GET_EARLIEST_MSG_STORETIME, earliestStoreTime);
}

function maxOffset(context: BrokerContext, request: Request): () => Answer {
  const queueNow = namedQueue(context, request);
  return () => {
    const queue = queueNow();
    return offsetAnswer(queue === undefined ? 0 : context.store.maxOffset(queue));
  };
}

function minOffset(context: BrokerContext, request: Request): Answer {
  const queue = namedQueue(context, request)();
  return offsetAnswer(queue === undefined ? 0 : context.store.minOffset(queue));
}

function offsetByTime(context: BrokerContext, request: Request): () => Answer {
  const queueNow = namedQueue(context, request);
  const timestamp = requiredInteger(request.header, "timestamp");
  const boundary = request.header.text("boundaryType")?.toUpperCase() === "UPPER" ? "UPPER" : "LOWER";
  return () => {
    const queue = queueNow();
    return offsetAnswer(queue === undefined ? 0 : context.store.offsetByTime(queue, timestamp, boundary));
  };
}

function earliestStoreTime(context: BrokerContext, request: Request): () => Answer {
  const queueNow = namedQueue(context, request);
  return () => {
    const queue = queueNow();
    const timestamp = queue === undefined ? -1 : context.store.earliestStoreTimestamp(queue);
    return { code: ResponseCode.SUCCESS, fields: { timestamp } };
  };
}

/** The queue that is asked about, to be looked up when the answer is made: it may go while that waits. */
function namedQueue(context: BrokerContext, { header }: Request): () => QueueHandle | undefined {
  const topic = requiredText(header, "topic");
  const queueId = requiredInt(header, "queueId");
  return () => existingQueue(context, topic, queueId);
}

function offsetAnswer(offset: number): Answer {
  return { code: ResponseCode.SUCCESS, fields: { offset } };
}
