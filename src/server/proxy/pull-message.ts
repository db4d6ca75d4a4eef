/** PullMessage: a queue from an offset on, for consumers that keep their progress themselves. */
import { Code } from "../../grpc/enums.js";
import { type PullMessageRequest, toMs } from "../../grpc/messages.js";
import { decodeRecords } from "../../record/decode.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { LocalConnection } from "../../remoting/local-connection.js";
import { subscriptionOf } from "./filter-expression.js";
import { messageOfRecord } from "./message-of-record.js";
import { queueOf } from "./offsets.js";
import { type ProxyServices, REQUEST_MS_MAX, type RpcContext } from "./proxy.js";
import { brokerError, OK, ProxyError, statusOf, statusOfError } from "./proxy-error.js";
import { checkGroup } from "./validation.js";

const BATCH_MAX = 32;
const SUSPEND_FLAG = 2;
const SUBSCRIPTION_FLAG = 4;

export async function pullMessage(
  proxy: ProxyServices,
  context: RpcContext,
  request: PullMessageRequest,
  write: (message: object) => boolean,
): Promise<undefined> {
  try {
    await pull(proxy, context, request, write);
  } catch (error) {
    write({ status: statusOfError(error, proxy.log) });
  }
  return undefined;
}

async function pull(
  proxy: ProxyServices,
  context: RpcContext,
  request: PullMessageRequest,
  write: (message: object) => boolean,
): Promise<void> {
  if (context.clientId === "") throw new ProxyError(Code.CLIENT_ID_REQUIRED, "client id cannot be empty");
  const consumerGroup = checkGroup(request.group);
  const { topic, queueId } = queueOf(proxy, request.messageQueue);
  if (request.offset < 0) throw new ProxyError(Code.ILLEGAL_OFFSET, "the offset is negative");
  const { subString, expressionType } = subscriptionOf(topic, request.filterExpression, 0);
  const { grpcClientConsumerMaxLongPollingTimeoutMillis: pollMsMax } = proxy.broker.config;
  const asked = Math.min(toMs(request.longPollingTimeout), pollMsMax, context.call.remainingMs);
  const suspendMs = Math.max(0, Math.floor(asked));
  const fields = {
    consumerGroup,
    topic,
    queueId,
    queueOffset: request.offset,
    maxMsgNums: Math.max(1, Math.min(request.batchSize, BATCH_MAX)),
    sysFlag: suspendMs > 0 ? SUSPEND_FLAG | SUBSCRIPTION_FLAG : SUBSCRIPTION_FLAG,
    commitOffset: 0,
    suspendTimeoutMillis: suspendMs,
    subscription: subString,
    subVersion: 0,
    expressionType,
  };
  const connection = new LocalConnection(proxy.peering, context.peer);
  context.call.onCancel(() => connection.close());
  try {
    const answer = await connection.request(RequestCode.PULL_MESSAGE, fields, undefined, suspendMs + REQUEST_MS_MAX);
    const { code } = answer;
    const nextOffset = Number(answer.fields.nextBeginOffset ?? request.offset);
    if (code === ResponseCode.SUCCESS) {
      write({ status: OK });
      for (const record of decodeRecords(answer.body)) if (!write({ message: messageOfRecord(record) })) return;
    } else if (code === ResponseCode.PULL_OFFSET_MOVED) {
      write({ status: statusOf(Code.ILLEGAL_OFFSET, "the offset lies outside of the queue") });
    } else if (code === ResponseCode.PULL_NOT_FOUND || code === ResponseCode.PULL_RETRY_IMMEDIATELY) {
      write({ status: statusOf(Code.MESSAGE_NOT_FOUND, "no new message") });
    } else {
      throw brokerError(answer);
    }
    write({ nextOffset });
  } finally {
    connection.close();
  }
}
