/** ForwardMessageToDeadLetterQueue, and the same for messages that were tried too often (processor/ProducerProcessor.java). */
import { Code } from "../../grpc/enums.js";
import type { ForwardMessageToDeadLetterQueueRequest } from "../../grpc/messages.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { LocalConnection } from "../../remoting/local-connection.js";
import { acknowledge, type Held } from "./change-invisible.js";
import { type ProxyServices, REQUEST_MS_MAX, type RpcContext } from "./proxy.js";
import { brokerError, OK, ProxyError } from "./proxy-error.js";
import { decodeReceiptHandle, type ReceiptHandle, realTopic } from "./receipt-handle.js";
import { checkGroup, checkTopic } from "./validation.js";

/** Asks for no retry. */
const DEAD_LETTER_LEVEL = -1;

export async function forwardMessageToDeadLetterQueue(
  proxy: ProxyServices,
  context: RpcContext,
  request: ForwardMessageToDeadLetterQueueRequest,
): Promise<object> {
  const topic = checkTopic(proxy.broker, request.topic);
  const group = checkGroup(request.group);
  const { messageId } = request;
  await proxy.receipts.renewal(context.clientId, group, messageId, request.receiptHandle);
  const newest = proxy.receipts.remove(context.clientId, group, messageId, request.receiptHandle);
  const handle = decodeReceiptHandle(newest ?? request.receiptHandle);
  await sendToDeadLetters(proxy, context.peer.connection, handle, { group, topic }, messageId);
  return { status: OK };
}

/** Then acknowledges the message; that nobody waits for. */
export async function sendToDeadLetters(
  proxy: ProxyServices,
  connection: LocalConnection,
  handle: ReceiptHandle,
  held: Held,
  messageId: string,
): Promise<void> {
  if (handle.phyOffset < 0) throw new ProxyError(Code.INVALID_RECEIPT_HANDLE, "commit log offset is empty");
  const { group, topic } = held;
  const fields = {
    offset: handle.phyOffset,
    group,
    delayLevel: DEAD_LETTER_LEVEL,
    originMsgId: messageId,
    originTopic: realTopic(handle, topic, group),
    unitMode: false,
    maxReconsumeTimes: 0,
  };
  const code = RequestCode.CONSUMER_SEND_MSG_BACK;
  const answer = await connection.request(code, fields, undefined, REQUEST_MS_MAX);
  if (answer.code !== ResponseCode.SUCCESS) throw brokerError(answer);
  acknowledge(proxy, proxy.ownConnection, handle, held).catch((err: unknown) => {
    proxy.log.info({ err, messageId }, "a dead letter could not be acknowledged and will come again");
  });
}
