/** UpdateOffset, GetOffset and QueryOffset: the progress of groups that pull. Apache's proxy has none of them yet. */
import { Code, QueryOffsetPolicy } from "../../grpc/enums.js";
import {
  type GetOffsetRequest,
  type MessageQueue,
  type QueryOffsetRequest,
  toMs,
  type UpdateOffsetRequest,
} from "../../grpc/messages.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { Fields, RemoteAnswer } from "../../remoting/types.js";
import { type ProxyServices, REQUEST_MS_MAX, type RpcContext } from "./proxy.js";
import { brokerError, OK, ProxyError } from "./proxy-error.js";
import { findTopic } from "./query-route.js";
import { checkGroup, checkTopic } from "./validation.js";

export async function updateOffset(
  proxy: ProxyServices,
  context: RpcContext,
  request: UpdateOffsetRequest,
): Promise<object> {
  const consumerGroup = checkGroup(request.group);
  const { topic, queueId } = queueOf(proxy, request.messageQueue);
  const commitOffset = request.offset;
  if (commitOffset < 0) throw new ProxyError(Code.ILLEGAL_OFFSET, "the offset is negative");
  await ask(context, RequestCode.UPDATE_CONSUMER_OFFSET, { consumerGroup, topic, queueId, commitOffset });
  return { status: OK };
}

export async function getOffset(proxy: ProxyServices, context: RpcContext, request: GetOffsetRequest): Promise<object> {
  const consumerGroup = checkGroup(request.group);
  const { topic, queueId } = queueOf(proxy, request.messageQueue);
  const fields = { consumerGroup, topic, queueId, setZeroIfNotFound: false };
  const answer = await ask(context, RequestCode.QUERY_CONSUMER_OFFSET, fields);
  return { status: OK, offset: Number(answer.fields.offset) };
}

export async function queryOffset(
  proxy: ProxyServices,
  context: RpcContext,
  request: QueryOffsetRequest,
): Promise<object> {
  const { topic, queueId } = queueOf(proxy, request.messageQueue);
  let answer: RemoteAnswer;
  switch (request.queryOffsetPolicy) {
    case QueryOffsetPolicy.BEGINNING:
      answer = await ask(context, RequestCode.GET_MIN_OFFSET, { topic, queueId });
      break;
    case QueryOffsetPolicy.END:
      answer = await ask(context, RequestCode.GET_MAX_OFFSET, { topic, queueId, committed: true });
      break;
    case QueryOffsetPolicy.TIMESTAMP: {
      const timestamp = toMs(request.timestamp);
      answer = await ask(context, RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, { topic, queueId, timestamp });
      break;
    }
    default:
      throw new ProxyError(Code.BAD_REQUEST, `there is no query offset policy ${request.queryOffsetPolicy}`);
  }
  return { status: OK, offset: Number(answer.fields.offset) };
}

/** Throws ILLEGAL_TOPIC, TOPIC_NOT_FOUND, or BAD_REQUEST for a queue that the topic does not have. */
export function queueOf(proxy: ProxyServices, queue: MessageQueue | null): { topic: string; queueId: number } {
  const topic = checkTopic(proxy.broker, queue?.topic);
  const { readQueueNums } = findTopic(proxy, topic);
  const queueId = queue?.id ?? -1;
  if (queueId >= 0 && queueId < readQueueNums) return { topic, queueId };
  throw new ProxyError(Code.BAD_REQUEST, `topic ${topic} has ${readQueueNums} queues, and none with id ${queueId}`);
}

async function ask(context: RpcContext, code: number, fields: Fields): Promise<RemoteAnswer> {
  const answer = await context.peer.connection.request(code, fields, undefined, REQUEST_MS_MAX);
  if (answer.code === ResponseCode.SUCCESS) return answer;
  if (answer.code === ResponseCode.QUERY_NOT_FOUND) throw new ProxyError(Code.OFFSET_NOT_FOUND, answer.remark);
  throw brokerError(answer);
}
