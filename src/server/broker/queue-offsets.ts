/**
 * Codes 29 to 32: what offsets and times a queue has (broker/processor/AdminBrokerProcessor.java). A queue that does not
 * exist answers like an empty one.
 */
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Processor, Request } from "../../remoting/types.js";
import { type Answer, processorOf, requiredInteger, requiredText } from "../namesrv/answer.js";
import type { BrokerContext } from "./context.js";
import { existingQueue } from "./queue-lookup.js";
import type { QueueHandle } from "./store-port.js";

export function registerQueueOffsets(processors: Map<number, Processor>, context: BrokerContext): void {
  const { store } = context;
  const ask = (code: number, handler: (request: Request, queue: QueueHandle | undefined) => Answer) => {
    processors.set(
      code,
      processorOf((request) => handler(request, namedQueue(context, request))),
    );
  };
  ask(RequestCode.GET_MAX_OFFSET, (_, queue) => offsetAnswer(queue === undefined ? 0 : store.maxOffset(queue)));
  ask(RequestCode.GET_MIN_OFFSET, (_, queue) => offsetAnswer(queue === undefined ? 0 : store.minOffset(queue)));
  ask(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, ({ header }, queue) => {
    const timestamp = requiredInteger(header, "timestamp");
    const boundary = header.text("boundaryType")?.toUpperCase() === "UPPER" ? "UPPER" : "LOWER";
    return offsetAnswer(queue === undefined ? 0 : store.offsetByTime(queue, timestamp, boundary));
  });
  ask(RequestCode.GET_EARLIEST_MSG_STORETIME, (_, queue) => {
    const timestamp = queue === undefined ? -1 : store.earliestStoreTimestamp(queue);
    return { code: ResponseCode.SUCCESS, fields: { timestamp } };
  });
}

function namedQueue(context: BrokerContext, { header }: Request): QueueHandle | undefined {
  return existingQueue(context, requiredText(header, "topic"), requiredInteger(header, "queueId"));
}

function offsetAnswer(offset: number): Answer {
  return { code: ResponseCode.SUCCESS, fields: { offset } };
}
