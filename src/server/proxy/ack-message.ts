/** AckMessage: each entry by itself, as Apache's proxy does unless told otherwise (grpc/v2/consumer/AckMessageActivity.java). */
import { Code } from "../../grpc/enums.js";
import type { AckMessageEntry, AckMessageRequest } from "../../grpc/messages.js";
import { acknowledge, type Held } from "./change-invisible.js";
import type { ProxyServices, RpcContext } from "./proxy.js";
import { OK, ProxyError, statusOf, statusOfError } from "./proxy-error.js";
import { decodeReceiptHandle } from "./receipt-handle.js";
import { commonStatus } from "./send-message.js";
import { checkGroup, checkTopic } from "./validation.js";

const ENTRIES_MAX = 4096;

export async function ackMessage(
  proxy: ProxyServices,
  context: RpcContext,
  request: AckMessageRequest,
): Promise<object> {
  const topic = checkTopic(proxy.broker, request.topic);
  const group = checkGroup(request.group);
  if (request.entries.length > ENTRIES_MAX) throw new ProxyError(Code.BAD_REQUEST, `more than ${ENTRIES_MAX} entries`);
  const entries = await Promise.all(request.entries.map((entry) => ackOne(proxy, context, { group, topic }, entry)));
  if (entries.length === 0) {
    return { status: statusOf(Code.INTERNAL_SERVER_ERROR, "ack message result is empty"), entries };
  }
  return { status: commonStatus(entries.map(({ status }) => status)), entries };
}

async function ackOne(proxy: ProxyServices, { clientId, peer }: RpcContext, held: Held, entry: AckMessageEntry) {
  const { messageId, receiptHandle } = entry;
  try {
    const newest = proxy.receipts.remove(clientId, held.group, messageId, receiptHandle);
    await acknowledge(proxy, peer.connection, decodeReceiptHandle(newest ?? receiptHandle), held);
    return { status: OK, messageId, receiptHandle };
  } catch (error) {
    return { status: statusOfError(error, proxy.log), messageId, receiptHandle };
  }
}
