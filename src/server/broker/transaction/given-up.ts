/**
 * Transactions that nobody ends: they lie in TRANS_CHECK_MAX_TIME_TOPIC (DefaultTransactionalMessageCheckListener) until
 * an administrator has them asked about again, with code 323 (AdminBrokerProcessor.java#resumeCheckHalfMessage).
 */
import { parseMessageId } from "../../../record/message-id.js";
import { RequestCode, ResponseCode } from "../../../remoting/codes.js";
import type { Processor } from "../../../remoting/types.js";
import type { MessageStore } from "../../../store/message-store.js";
import { PutStatus } from "../../../store/types.js";
import { type Answer, failure, quoted, requiredText, SUCCESS } from "../../answer.js";
import { type Asker, topicRefusal } from "../../auth/record-access.js";
import { PERM_READ, PERM_WRITE } from "../../protocol/topic-config.js";
import type { BrokerContext } from "../context.js";
import { emptyMessage, emptyPutResult } from "../message-copy.js";
import { TRANSACTION_CHECK_MAX_TOPIC } from "../names.js";
import { putRefusal } from "../put-remark.js";
import { serve } from "../serve.js";
import type { Topic } from "../topic-config.js";
import { HalfMessage } from "./half-message.js";
import type { Transactions } from "./transactions.js";

/** Made if it is missing; undefined when the bound on topics forbids it. */
export function giveUpTopic({ topics }: BrokerContext): Topic | undefined {
  return topics.createInSendMessageBack(TRANSACTION_CHECK_MAX_TOPIC, 1, PERM_READ | PERM_WRITE, false, 0);
}

export function registerResumeCheck(
  processors: Map<number, Processor>,
  context: BrokerContext,
  store: MessageStore,
  transactions: Transactions,
): void {
  serve(processors, context, RequestCode.RESUME_CHECK_HALF_MESSAGE, (_, request, connection) =>
    resume(context, store, transactions, { access: context.access, request, connection }),
  );
}

function resume(context: BrokerContext, store: MessageStore, transactions: Transactions, asker: Asker): Answer {
  const msgId = requiredText(asker.request.header, "msgId");
  const half = new HalfMessage();
  const phyOffset = parseMessageId(msgId)?.phyOffset ?? -1;
  if (!half.readGivenUp(store.lookUp, phyOffset)) {
    const remark = `no message of ${TRANSACTION_CHECK_MAX_TOPIC} has the id ${quoted(msgId)}`;
    return failure(ResponseCode.SYSTEM_ERROR, remark);
  }
  const refusal = topicRefusal(asker, half.realTopic ?? "", "Update");
  if (refusal !== undefined) return failure(ResponseCode.NO_PERMISSION, refusal);
  const message = emptyMessage();
  const result = emptyPutResult();
  half.fillAsked(message, 0);
  message.queue = transactions.halfQueue;
  const status = store.put(message, result);
  if (status !== PutStatus.PUT_OK) {
    const { remark } = putRefusal(status, context.config.maxMessageSize, store.failure);
    return failure(ResponseCode.SYSTEM_ERROR, `Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed: ${remark}`);
  }
  context.stats.recordPut(transactions.topic, 1, result.sizeBytes);
  const { realTopic, uniqueKey } = half;
  if (realTopic !== undefined && context.topics.get(realTopic) !== undefined)
    context.transactionMetrics.add(realTopic, 1, result.storeTimestamp);
  context.log.info({ realTopic, uniqueKey }, "a transaction that was given up is asked about again");
  return SUCCESS;
}
