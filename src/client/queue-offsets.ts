/** What brokers know of a queue's offsets, asked one at a time. */
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import type { ClientInstance } from "./client-instance.js";
import { expectSuccessFrom } from "./errors.js";
import type { MessageQueue } from "./message-queue.js";
import type { CallOptions } from "./options.js";

/** The offset that the next message will have. */
export function maxOffset(instance: ClientInstance, queue: MessageQueue, options?: CallOptions): Promise<number> {
  return offsetOf(instance, RequestCode.GET_MAX_OFFSET, queue, {}, options);
}

/** The offset of the oldest message that is still there. */
export function minOffset(instance: ClientInstance, queue: MessageQueue, options?: CallOptions): Promise<number> {
  return offsetOf(instance, RequestCode.GET_MIN_OFFSET, queue, {}, options);
}

/** The first message stored at `timestamp` or later. */
export function searchOffset(
  instance: ClientInstance,
  queue: MessageQueue,
  timestamp: number,
  options?: CallOptions,
): Promise<number> {
  return offsetOf(instance, RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, queue, { timestamp }, options);
}

/** When the oldest message of the queue was stored; -1 without one. */
export async function earliestStoreTime(
  instance: ClientInstance,
  queue: MessageQueue,
  options?: CallOptions,
): Promise<number> {
  const answer = await call(instance, RequestCode.GET_EARLIEST_MSG_STORETIME, queue, {}, options);
  return Number(answer.fields.timestamp ?? -1);
}

/** What the group has committed; undefined when it never did. */
export async function committedOffset(
  instance: ClientInstance,
  consumerGroup: string,
  queue: MessageQueue,
  options?: CallOptions,
): Promise<number | undefined> {
  const fields = { consumerGroup, topic: queue.topic, queueId: queue.queueId, bname: queue.brokerName };
  const address = instance.masterOf(queue.brokerName);
  const answer = await instance.callAddress(address, RequestCode.QUERY_CONSUMER_OFFSET, fields, undefined, options);
  if (answer.code === ResponseCode.QUERY_NOT_FOUND) return undefined;
  return Number(expectSuccessFrom(address, answer).fields.offset);
}

export async function commitOffset(
  instance: ClientInstance,
  consumerGroup: string,
  queue: MessageQueue,
  offset: number,
  options?: CallOptions,
): Promise<void> {
  const { topic, queueId, brokerName } = queue;
  const fields = { consumerGroup, topic, queueId, commitOffset: offset, bname: brokerName };
  const address = instance.masterOf(brokerName);
  expectSuccessFrom(
    address,
    await instance.callAddress(address, RequestCode.UPDATE_CONSUMER_OFFSET, fields, undefined, options),
  );
}

async function offsetOf(
  instance: ClientInstance,
  code: number,
  queue: MessageQueue,
  more: { timestamp?: number },
  options: CallOptions | undefined,
): Promise<number> {
  return Number((await call(instance, code, queue, more, options)).fields.offset);
}

async function call(
  instance: ClientInstance,
  code: number,
  { topic, queueId, brokerName }: MessageQueue,
  more: { timestamp?: number },
  options: CallOptions | undefined,
) {
  const address = instance.masterOf(brokerName);
  const fields = { topic, queueId, bname: brokerName, ...more };
  return expectSuccessFrom(address, await instance.callAddress(address, code, fields, undefined, options));
}
