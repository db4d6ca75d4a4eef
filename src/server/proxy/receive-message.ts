/**
 * ReceiveMessage: a pop of the broker's, its messages streamed (proxy/grpc/v2/consumer/ReceiveMessageActivity.java,
 * ReceiveMessageResponseStreamWriter.java, processor/ConsumerProcessor.java). What can not be delivered, because its
 * client has gone, becomes visible to others after a second.
 */
import { Code } from "../../grpc/enums.js";
import { fromMs, type ReceiveMessageRequest, type Settings, toMs } from "../../grpc/messages.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { LocalConnection } from "../../remoting/local-connection.js";
import type { RemoteAnswer } from "../../remoting/types.js";
import { PERM_READ } from "../protocol/topic-config.js";
import type { SubscriptionData } from "../broker/heartbeat-data.js";
import { acknowledge, changeInvisible, type Held } from "./change-invisible.js";
import { receiveSettings } from "./client-settings.js";
import { subscriptionOf } from "./filter-expression.js";
import { sendToDeadLetters } from "./forward-to-dlq.js";
import { messageIdOf, messageOfRecord } from "./message-of-record.js";
import { type PoppedMessage, poppedMessages } from "./pop-result.js";
import { type ProxyServices, REQUEST_MS_MAX, type RpcContext } from "./proxy.js";
import { brokerError, OK, ProxyError, statusOf, statusOfError } from "./proxy-error.js";
import { findTopic } from "./query-route.js";
import { decodeReceiptHandle } from "./receipt-handle.js";
import { checkGroup, checkInvisibleTime, checkTopic } from "./validation.js";

const BATCH_MAX = 32;
const NACK_INVISIBLE_MS = 1000;
/** ConsumeInitMode.MAX. */
const INIT_MODE_MAX = 1;
/** Clients before this version know no ILLEGAL_POLLING_TIME. */
const ILLEGAL_POLLING_TIME_SINCE = "5.0.3";

interface Receive extends Held {
  readonly pollMs: number;
  readonly invisibleMs: number;
  readonly batchSize: number;
  readonly subscription: SubscriptionData;
  readonly fifo: boolean;
  readonly maxAttempts: number;
  readonly attemptId: string | undefined;
  readonly autoRenew: boolean;
}

type Write = (message: object) => boolean;

export function receiveMessage(
  proxy: ProxyServices,
  context: RpcContext,
  request: ReceiveMessageRequest,
  write: Write,
): undefined | Promise<undefined> {
  if (context.clientId === "") {
    write({ status: statusOf(Code.CLIENT_ID_REQUIRED, "client id cannot be empty") });
    return undefined;
  }
  const refuse = (error: unknown): void => {
    write({ status: statusOfError(error, proxy.log) });
  };
  const end = (): undefined => {
    write({ deliveryTimestamp: fromMs(proxy.clock.nowMs()) });
  };
  // On a connection of its own, which ends with the call: so a poll whose client has gone is not waited for.
  const connection = new LocalConnection(proxy.peering, context.peer.connection);
  const close = (): void => connection.close();
  try {
    const receive = receiveOf(proxy, context, request);
    const answer = pop(proxy, connection, receive);
    if (answer instanceof Promise) {
      context.call.onCancel(close);
      const delivered = answer.then((popped) => deliver(proxy, context, receive, popped, write));
      return delivered.catch(refuse).finally(close).then(end);
    }
    deliver(proxy, context, receive, answer, write);
  } catch (error) {
    refuse(error);
  }
  close();
  return end();
}

function receiveOf(proxy: ProxyServices, context: RpcContext, request: ReceiveMessageRequest): Receive {
  const { broker, clients } = proxy;
  const raw = clients.get(context.clientId)?.settings;
  if (raw === undefined) {
    throw new ProxyError(Code.UNRECOGNIZED_CLIENT_TYPE, "cannot find client settings for this client");
  }
  const pollMs = pollMsOf(proxy, context, request, raw);
  const { fifo, maxAttempts } = receiveSettings(broker, raw);
  const topic = checkTopic(broker, request.messageQueue?.topic);
  const group = checkGroup(request.group);
  const autoRenew = broker.config.enableProxyAutoRenew && request.autoRenew;
  const invisibleMs = autoRenew ? broker.config.defaultInvisibleTimeMills : toMs(request.invisibleDuration);
  if (!autoRenew) checkInvisibleTime(broker, invisibleMs, broker.config.minInvisibleTimeMillsForRecv);
  const subscription = subscriptionOf(topic, request.filterExpression, proxy.clock.nowMs());
  const { perm, readQueueNums } = findTopic(proxy, topic);
  if ((perm & PERM_READ) === 0 || readQueueNums <= 0) throw new ProxyError(Code.FORBIDDEN, "no readable queue");
  return {
    topic,
    group,
    pollMs,
    invisibleMs,
    batchSize: Math.max(1, Math.min(request.batchSize, BATCH_MAX)),
    subscription,
    fifo,
    maxAttempts,
    attemptId: request.attemptId ?? undefined,
    autoRenew,
  };
}

function pollMsOf(
  { broker }: ProxyServices,
  { call }: RpcContext,
  request: ReceiveMessageRequest,
  settings: Settings,
): number {
  const minMs = broker.config.grpcClientConsumerMinLongPollingTimeoutMillis;
  const maxMs = broker.config.grpcClientConsumerMaxLongPollingTimeoutMillis;
  const { remainingMs } = call;
  const asked =
    request.longPollingTimeout == null
      ? remainingMs - toMs(settings.requestTimeout) / 2
      : toMs(request.longPollingTimeout);
  const pollMs = Math.floor(Math.min(maxMs, Math.max(minMs, asked)));
  if (pollMs <= remainingMs) return pollMs;
  if (remainingMs >= minMs) return Math.floor(remainingMs);
  const isOld = call.header("x-mq-client-version") < ILLEGAL_POLLING_TIME_SINCE;
  throw new ProxyError(
    isOld ? Code.BAD_REQUEST : Code.ILLEGAL_POLLING_TIME,
    "The deadline time remaining is not enough for polling, please check network condition",
  );
}

function pop(
  proxy: ProxyServices,
  connection: LocalConnection,
  receive: Receive,
): RemoteAnswer | Promise<RemoteAnswer> {
  const fields = {
    consumerGroup: receive.group,
    topic: receive.topic,
    queueId: -1,
    maxMsgNums: receive.batchSize,
    invisibleTime: receive.invisibleMs,
    pollTime: receive.pollMs,
    bornTime: proxy.clock.nowMs(),
    initMode: INIT_MODE_MAX,
    expType: receive.subscription.expressionType,
    exp: receive.subscription.subString,
    order: receive.fifo,
    attemptId: receive.attemptId,
  };
  return connection.askOnce(RequestCode.POP_MESSAGE, fields, receive.pollMs + REQUEST_MS_MAX);
}

function deliver(
  proxy: ProxyServices,
  context: RpcContext,
  receive: Receive,
  answer: RemoteAnswer,
  write: Write,
): void {
  switch (answer.code) {
    case ResponseCode.SUCCESS:
      break;
    case ResponseCode.POLLING_FULL:
      write({ status: statusOf(Code.TOO_MANY_REQUESTS, "polling full") });
      return;
    case ResponseCode.POLLING_TIMEOUT:
    case ResponseCode.PULL_NOT_FOUND:
      write({ status: statusOf(Code.MESSAGE_NOT_FOUND, "no new message") });
      return;
    default:
      throw brokerError(answer);
  }
  const popped = poppedMessages(answer, proxy.broker.config.brokerName, receive.fifo);
  const wanted = popped.filter((message) => isWanted(proxy, receive, message));
  if (wanted.length === 0) {
    write({ status: statusOf(Code.MESSAGE_NOT_FOUND, "no match message") });
    return;
  }
  const client = proxy.clients.get(context.clientId);
  if (receive.autoRenew && client === undefined) {
    for (const message of wanted) giveBack(proxy, receive, message);
    const text = `The client [${context.clientId}] is disconnected.`;
    throw new ProxyError(Code.MESSAGE_NOT_FOUND, text);
  }
  let isThere = write({ status: OK });
  for (const message of wanted) {
    const { record, handle, reconsumeTimes } = message;
    const delivery = { topic: receive.topic, receiptHandle: handle, reconsumeTimes };
    isThere = isThere && write({ message: messageOfRecord(record, delivery) });
    if (!isThere) {
      giveBack(proxy, receive, message);
    } else if (receive.autoRenew && client !== undefined) {
      const { group, topic } = receive;
      proxy.receipts.add(client, { group, topic, messageId: messageIdOf(record), reconsumeTimes, handle });
    }
  }
}

/**
 * Whether the client gets the message. Tags are looked at again, for the broker knows only their hashes; a message tried
 * too often goes to the dead letters.
 */
function isWanted(proxy: ProxyServices, receive: Receive, { record, handle, reconsumeTimes }: PoppedMessage): boolean {
  const { tagsSet } = receive.subscription;
  const tag = record.properties.get("TAGS");
  const decoded = () => decodeReceiptHandle(handle);
  if (tagsSet.length > 0 && (tag === undefined || !tagsSet.includes(tag))) {
    quietly(proxy, acknowledge(proxy, proxy.ownConnection, decoded(), receive));
    return false;
  }
  if (reconsumeTimes < receive.maxAttempts) return true;
  quietly(proxy, sendToDeadLetters(proxy, proxy.ownConnection, decoded(), receive, messageIdOf(record)));
  return false;
}

function giveBack(proxy: ProxyServices, receive: Receive, { handle }: PoppedMessage): void {
  const decoded = decodeReceiptHandle(handle);
  quietly(proxy, changeInvisible(proxy, proxy.ownConnection, decoded, receive, NACK_INVISIBLE_MS));
}

/** The message comes again if this fails. */
function quietly(proxy: ProxyServices, work: Promise<unknown>): void {
  work.catch((err: unknown) => proxy.log.info({ err }, "a received message could not be ended; it will come again"));
}
