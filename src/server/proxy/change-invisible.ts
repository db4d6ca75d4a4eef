/**
 * ChangeInvisibleDuration, and the requests of the broker's that all that prolongs or ends an invisibility comes down
 * to: change of the invisible time, acknowledgement (proxy/processor/ConsumerProcessor.java).
 */
import { Code } from "../../grpc/enums.js";
import { type ChangeInvisibleDurationRequest, toMs } from "../../grpc/messages.js";
import type { LocalConnection } from "../../remoting/local-connection.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { RemoteAnswer } from "../../remoting/types.js";
import { type ProxyServices, REQUEST_MS_MAX, type RpcContext } from "./proxy.js";
import { OK, ProxyError, brokerStatus } from "./proxy-error.js";
import {
  checkNotExpired,
  decodeReceiptHandle,
  encodeReceiptHandle,
  type ReceiptHandle,
  realTopic,
} from "./receipt-handle.js";
import { checkGroup, checkInvisibleTime, checkTopic } from "./validation.js";

/** Of whom a message is, as its consumer names it. */
export interface Held {
  readonly group: string;
  readonly topic: string;
}

export async function changeInvisibleDuration(
  proxy: ProxyServices,
  context: RpcContext,
  request: ChangeInvisibleDurationRequest,
): Promise<object> {
  const topic = checkTopic(proxy.broker, request.topic);
  const group = checkGroup(request.group);
  const invisibleMs = toMs(request.invisibleDuration);
  checkInvisibleTime(proxy.broker, invisibleMs);
  await proxy.receipts.renewal(context.clientId, group, request.messageId, request.receiptHandle);
  const text = proxy.receipts.remove(context.clientId, group, request.messageId, request.receiptHandle);
  const handle = decodeReceiptHandle(text ?? request.receiptHandle);
  const receiptHandle = await changeInvisible(proxy, context.peer.connection, handle, { group, topic }, invisibleMs);
  return { status: OK, receiptHandle };
}

/** Answers the new handle. Throws INVALID_RECEIPT_HANDLE, or what the broker refuses it with. */
export async function changeInvisible(
  proxy: ProxyServices,
  connection: LocalConnection,
  handle: ReceiptHandle,
  { group, topic }: Held,
  invisibleMs: number,
): Promise<string> {
  checkNotExpired(handle, proxy.clock.nowMs());
  const request = { ...fieldsOf(handle, group, topic), invisibleTime: invisibleMs };
  const code = RequestCode.CHANGE_MESSAGE_INVISIBLETIME;
  const answer = await connection.request(code, request, undefined, REQUEST_MS_MAX);
  // Asking again does not help, and Apache's clients do so for ever after any other code.
  if (answer.code === ResponseCode.NO_MESSAGE) throw new ProxyError(Code.INVALID_RECEIPT_HANDLE, answer.remark);
  if (answer.code !== ResponseCode.SUCCESS) {
    throw refusalOf(answer.code, answer.remark, "changeInvisibleDuration failed: status is abnormal");
  }
  const { popTime, invisibleTime, reviveQid } = answer.fields;
  return encodeReceiptHandle({
    ...handle,
    retrieveTime: Number(popTime),
    invisibleTime: Number(invisibleTime),
    reviveQueueId: Number(reviveQid),
  });
}

/** Rejects with INVALID_RECEIPT_HANDLE, or with what the broker refuses it with. */
export async function acknowledge(
  proxy: ProxyServices,
  connection: LocalConnection,
  handle: ReceiptHandle,
  held: Held,
): Promise<void> {
  await acknowledgeNow(proxy, connection, handle, held);
}

/** The same, without a promise where the broker answers at once; throws then. */
export function acknowledgeNow(
  proxy: ProxyServices,
  connection: LocalConnection,
  handle: ReceiptHandle,
  { group, topic }: Held,
): undefined | Promise<undefined> {
  checkNotExpired(handle, proxy.clock.nowMs());
  const fields = fieldsOf(handle, group, topic);
  const answer = connection.ask(RequestCode.ACK_MESSAGE, fields, undefined, REQUEST_MS_MAX);
  return answer instanceof Promise ? answer.then(checkAcknowledged) : checkAcknowledged(answer);
}

function checkAcknowledged({ code, remark }: RemoteAnswer): undefined {
  if (code !== ResponseCode.SUCCESS) throw refusalOf(code, remark, "ack failed: status is abnormal");
}

function refusalOf(code: number, remark: string, text: string): ProxyError {
  const status = brokerStatus(code, remark);
  if (status.code !== Code.INTERNAL_SERVER_ERROR) return new ProxyError(status.code, status.message);
  return new ProxyError(status.code, remark === "" ? text : `${text}, ${remark}`);
}

function fieldsOf(handle: ReceiptHandle, consumerGroup: string, topic: string) {
  const { queueId, offset, text } = handle;
  return { consumerGroup, topic: realTopic(handle, topic, consumerGroup), queueId, extraInfo: text, offset };
}
