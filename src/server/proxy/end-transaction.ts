/** EndTransaction (proxy/grpc/v2/transaction/EndTransactionActivity.java, processor/TransactionProcessor.java). */
import { Code, TransactionResolution, TransactionSource } from "../../grpc/enums.js";
import type { EndTransactionRequest } from "../../grpc/messages.js";
import { TRANSACTION_COMMIT_TYPE, TRANSACTION_NOT_TYPE, TRANSACTION_ROLLBACK_TYPE } from "../../record/sys-flag.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { isBlank } from "../broker/names.js";
import type { ProxyServices, RpcContext } from "./proxy.js";
import { brokerError, OK, ProxyError } from "./proxy-error.js";
import { checkTopic } from "./validation.js";

export async function endTransaction(
  proxy: ProxyServices,
  context: RpcContext,
  request: EndTransactionRequest,
): Promise<object> {
  const topic = checkTopic(proxy.broker, request.topic);
  const { transactionId, messageId } = request;
  if (isBlank(transactionId)) throw new ProxyError(Code.INVALID_TRANSACTION_ID, "transaction id cannot be empty");
  const half = proxy.transactions.take(topic, transactionId);
  if (half === undefined) throw new ProxyError(Code.INTERNAL_SERVER_ERROR, "cannot found transaction data");
  const answer = context.peer.connection.tell(RequestCode.END_TRANSACTION, {
    topic,
    producerGroup: topic,
    commitOrRollback: commitOrRollback(request.resolution),
    fromTransactionCheck: request.source === TransactionSource.SOURCE_SERVER_CHECK,
    msgId: messageId,
    transactionId,
    tranStateTableOffset: half.queueOffset,
    commitLogOffset: half.phyOffset,
  });
  // A client that left it open gets no answer of the broker's, and the broker asks again.
  if (answer !== undefined && answer.code !== ResponseCode.SUCCESS) throw brokerError(answer);
  return { status: OK };
}

function commitOrRollback(resolution: number): number {
  if (resolution === TransactionResolution.COMMIT) return TRANSACTION_COMMIT_TYPE;
  return resolution === TransactionResolution.ROLLBACK ? TRANSACTION_ROLLBACK_TYPE : TRANSACTION_NOT_TYPE;
}
