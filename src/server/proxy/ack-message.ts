/** AckMessage: each entry by itself, as Apache's proxy does unless told otherwise (grpc/v2/consumer/AckMessageActivity.java). */
import { Code } from "../../grpc/enums.js";
import type { AckMessageEntry, AckMessageRequest, Status } from "../../grpc/messages.js";
import type { Answer } from "../../grpc/types.js";
import { acknowledgeNow, type Held } from "./change-invisible.js";
import type { ProxyServices, RpcContext } from "./proxy.js";
import { OK, ProxyError, statusOf, statusOfError } from "./proxy-error.js";
import { decodeReceiptHandle } from "./receipt-handle.js";
import { commonStatus } from "./send-message.js";
import { checkGroup, checkTopic } from "./validation.js";

const ENTRIES_MAX = 4096;

export function ackMessage(proxy: ProxyServices, context: RpcContext, request: AckMessageRequest): Answer {
  const topic = checkTopic(proxy.broker, request.topic);
  const group = checkGroup(request.group);
  if (request.entries.length > ENTRIES_MAX) throw new ProxyError(Code.BAD_REQUEST, `more than ${ENTRIES_MAX} entries`);
  const [first] = request.entries;
  if (first !== undefined && request.entries.length === 1) {
    const entry = ackOne(proxy, context, { group, topic }, first);
    return entry instanceof Promise ? entry.then(resultOfOne) : resultOfOne(entry);
  }
  const entries = request.entries.map((entry) => ackOne(proxy, context, { group, topic }, entry));
  return entries.some((entry) => entry instanceof Promise)
    ? Promise.all(entries).then(resultOf)
    : resultOf(entries as AckResult[]);
}

function resultOfOne(entry: AckResult): object {
  return { status: entry.status, entries: [entry] };
}

function resultOf(entries: readonly AckResult[]): object {
  if (entries.length === 0) {
    return { status: statusOf(Code.INTERNAL_SERVER_ERROR, "ack message result is empty"), entries };
  }
  return { status: commonStatus(entries.map(({ status }) => status)), entries };
}

interface AckResult {
  readonly status: Status;
  readonly messageId: string;
  readonly receiptHandle: string;
}

function ackOne(
  proxy: ProxyServices,
  context: RpcContext,
  held: Held,
  entry: AckMessageEntry,
): AckResult | Promise<AckResult> {
  const { clientId, peer } = context;
  const { messageId, receiptHandle } = entry;
  const renewal = proxy.receipts.renewal(clientId, held.group, messageId, receiptHandle);
  if (renewal !== undefined) return renewal.then(() => ackOne(proxy, context, held, entry));
  const acknowledged = (): AckResult => ({ status: OK, messageId, receiptHandle });
  const refused = (error: unknown) => ({ status: statusOfError(error, proxy.log), messageId, receiptHandle });
  try {
    const newest = proxy.receipts.remove(clientId, held.group, messageId, receiptHandle);
    const handle = decodeReceiptHandle(newest ?? receiptHandle);
    const done = acknowledgeNow(proxy, peer.connection, handle, held);
    return done === undefined ? acknowledged() : done.then(acknowledged, refused);
  } catch (error) {
    return refused(error);
  }
}
