/** A message as a request, and what a broker answers (SendMessageRequestHeaderV2, SendMessageResponseHeader). */
import { encodeMessageBatch } from "../record/message-batch.js";
import { formatProperties } from "../record/properties.js";
import { PropertyName } from "../record/property-names.js";
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import type { Fields, RemoteAnswer } from "../remoting/types.js";
import { ResponseError } from "./errors.js";
import type { OutgoingMessage } from "./message.js";
import type { MessageQueue } from "./message-queue.js";
import { AUTO_CREATE_TOPIC_KEY_TOPIC, DEFAULT_TOPIC_QUEUE_NUMS } from "./route-table.js";

/**
 * How safe a stored message is (client/producer/SendStatus.java): each of them means that the broker has it. The last
 * three, that it did not come to a disk or to a slave in the time that the broker's configuration asks for.
 */
export type SendStatus = "SEND_OK" | "FLUSH_DISK_TIMEOUT" | "FLUSH_SLAVE_TIMEOUT" | "SLAVE_NOT_AVAILABLE";

const STATUSES: ReadonlyMap<number, SendStatus> = new Map([
  [ResponseCode.SUCCESS, "SEND_OK"],
  [ResponseCode.FLUSH_DISK_TIMEOUT, "FLUSH_DISK_TIMEOUT"],
  [ResponseCode.FLUSH_SLAVE_TIMEOUT, "FLUSH_SLAVE_TIMEOUT"],
  [ResponseCode.SLAVE_NOT_AVAILABLE, "SLAVE_NOT_AVAILABLE"],
]);

/** Where a message lies, and how safely. */
export interface SendResult {
  readonly status: SendStatus;
  /** The unique id that consumers see. */
  readonly messageId: string;
  /** Where the message lies in its broker's log; empty where a broker gives none. */
  readonly offsetMessageId: string;
  readonly queue: MessageQueue;
  /** Its place in the queue, from 0. */
  readonly queueOffset: number;
  readonly transactionId: string | undefined;
  /** Takes a timed message back, see `recall`. */
  readonly recallHandle: string | undefined;
  readonly regionId: string | undefined;
  /** Whether the broker wants the message traced. */
  readonly traceOn: boolean;
}

export interface SendRequest {
  readonly code: number;
  readonly fields: Fields;
  readonly body: Uint8Array;
}

export interface SendParts {
  readonly producerGroup: string;
  readonly queue: MessageQueue;
  readonly sysFlag: number;
  readonly bornTimestamp: number;
  readonly body: Uint8Array;
}

export function sendRequest(message: OutgoingMessage, parts: SendParts): SendRequest {
  const isReply = message.properties.get(PropertyName.MESSAGE_TYPE) === REPLY_TYPE;
  const code = isReply ? RequestCode.SEND_REPLY_MESSAGE_V2 : RequestCode.SEND_MESSAGE_V2;
  const properties = formatProperties(message.properties);
  return { code, fields: fieldsOf(message.topic, message.flag, properties, false, parts), body: parts.body };
}

export const REPLY_TYPE = "reply";

/** Messages of one topic as one request. */
export function batchRequest(messages: readonly OutgoingMessage[], parts: Omit<SendParts, "body">): SendRequest {
  const body = encodeMessageBatch(messages);
  const properties = formatProperties([[PropertyName.WAIT_STORE_MSG_OK, "true"]]);
  const fields = fieldsOf(messages[0]!.topic, 0, properties, true, { ...parts, body });
  return { code: RequestCode.SEND_BATCH_MESSAGE, fields, body };
}

function fieldsOf(topic: string, flag: number, properties: string, batch: boolean, parts: SendParts): Fields {
  return {
    a: parts.producerGroup,
    b: topic,
    c: AUTO_CREATE_TOPIC_KEY_TOPIC,
    d: DEFAULT_TOPIC_QUEUE_NUMS,
    e: parts.queue.queueId,
    f: parts.sysFlag,
    g: parts.bornTimestamp,
    h: flag,
    i: properties,
    j: 0,
    k: false,
    m: batch,
    n: parts.queue.brokerName,
  };
}

/** The results of the messages sent with one request, in order; ResponseError when the broker did not take them. */
export function sendResults(
  answer: RemoteAnswer,
  address: string,
  queue: MessageQueue,
  uniqueIds: readonly string[],
): SendResult[] {
  const status = STATUSES.get(answer.code);
  if (status === undefined) throw new ResponseError(address, answer.code, answer.remark);
  const { msgId = "", queueId, queueOffset, transactionId, recallHandle, MSG_REGION, TRACE_ON } = answer.fields;
  const offsetIds = msgId.split(",");
  const at: MessageQueue = { ...queue, queueId: queueId === undefined ? queue.queueId : Number(queueId) };
  return uniqueIds.map((messageId, i) => ({
    status,
    messageId,
    offsetMessageId: offsetIds[i] ?? offsetIds[0]!,
    queue: at,
    queueOffset: Number(queueOffset ?? 0) + i,
    transactionId,
    recallHandle,
    regionId: MSG_REGION,
    traceOn: TRACE_ON !== "false",
  }));
}
