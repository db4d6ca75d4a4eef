/**
 * SendMessage (proxy/grpc/v2/producer/SendMessageActivity.java, processor/ProducerProcessor.java). Messages of one
 * request that belong into one queue go to the broker as one batch; others one after the other, each with its own
 * result: Apache's proxy looks at the first only.
 */
import { javaHash } from "../../base/java-hash.js";
import { Code, Encoding, MessageType } from "../../grpc/enums.js";
import { type Message, type SendMessageRequest, type SendResultEntry, type Status, toMs } from "../../grpc/messages.js";
import type { Answer } from "../../grpc/types.js";
import { encodeMessageBatch } from "../../record/message-batch.js";
import { PropertyName } from "../../record/property-names.js";
import { formatProperties } from "../../record/properties.js";
import { parseMessageId } from "../../record/message-id.js";
import { COMPRESSED_FLAG, TRANSACTION_PREPARED_TYPE } from "../../record/sys-flag.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { RemoteAnswer } from "../../remoting/types.js";
import { PERM_WRITE } from "../protocol/topic-config.js";
import { messageTypeOf } from "../broker/attributes.js";
import { AUTO_CREATE_TOPIC, DLQ_TOPIC_PREFIX, RETRY_TOPIC_PREFIX } from "../broker/names.js";
import type { Topic } from "../broker/topic-config.js";
import { consistentHash } from "./consistent-hash.js";
import { type ProxyServices, REQUEST_MS_MAX, type RpcContext } from "./proxy.js";
import { brokerStatus, OK, ProxyError, statusOf } from "./proxy-error.js";
import { findTopic } from "./query-route.js";
import { sentProperties } from "./sent-properties.js";
import { checkTopic } from "./validation.js";

const MESSAGES_MAX = 4096;
const DEFAULT_TOPIC_QUEUE_NUMS = 4;
/** What a message in a batch has besides its body, mostly. */
const BATCHED_BYTES_MORE = 1024;

interface Sendable {
  readonly message: Message;
  readonly messageId: string;
  readonly properties: ReadonlyMap<string, string>;
  readonly type: string;
  readonly messageGroup: string;
}

export function sendMessage(proxy: ProxyServices, context: RpcContext, request: SendMessageRequest): Answer {
  const { messages } = request;
  const [first] = messages;
  if (first === undefined) throw new ProxyError(Code.MESSAGE_CORRUPTED, "no message to send");
  if (messages.length > MESSAGES_MAX) throw new ProxyError(Code.BAD_REQUEST, `more than ${MESSAGES_MAX} messages`);
  const name = checkTopic(proxy.broker, first.topic);
  const sendables = messages.map((message) => sendableOf(proxy, context, message, name));
  checkTypes(proxy, name, sendables);
  const topic = findTopic(proxy, name);
  if (sendables.length === 1) {
    const entry = sendOne(proxy, context, topic, sendables[0]!);
    return entry instanceof Promise ? entry.then(resultOfOne) : resultOfOne(entry);
  }
  // Bodies lie where they were received until this returns.
  const kept = sendables.map((one) => ({ ...one, message: { ...one.message, body: Buffer.from(one.message.body) } }));
  return sendAll(proxy, context, topic, kept);
}

async function sendAll(
  proxy: ProxyServices,
  context: RpcContext,
  topic: Topic,
  sendables: readonly Sendable[],
): Promise<object> {
  const entries = fitsOneBatch(proxy, sendables) ? await sendBatch(context, topic, sendables) : [];
  if (entries.length === 0) {
    for (const sendable of sendables) entries.push(await sendOne(proxy, context, topic, sendable));
  }
  return { status: commonStatus(entries.map(({ status }) => status)), entries };
}

function resultOfOne(entry: SendResultEntry): object {
  return { status: entry.status, entries: [entry] };
}

/** OK or the refusal that all have, MULTIPLE_RESULTS when they differ. */
export function commonStatus(statuses: readonly Status[]): Status {
  const [first] = statuses;
  if (first === undefined) return statusOf(Code.INTERNAL_SERVER_ERROR, "the result is empty");
  return statuses.every(({ code }) => code === first.code) ? first : statusOf(Code.MULTIPLE_RESULTS);
}

function sendableOf(proxy: ProxyServices, context: RpcContext, message: Message, topic: string): Sendable {
  if (message.topic?.name !== topic) throw new ProxyError(Code.MESSAGE_CORRUPTED, "topic in message is not same");
  const { enableMessageBodyEmptyCheck, maxMessageSize } = proxy.broker.config;
  if (enableMessageBodyEmptyCheck && message.body.length === 0) {
    throw new ProxyError(Code.MESSAGE_BODY_EMPTY, "message body cannot be empty");
  }
  if (message.body.length > maxMessageSize) {
    throw new ProxyError(Code.MESSAGE_BODY_TOO_LARGE, `message body cannot exceed the max ${maxMessageSize}`);
  }
  const properties = sentProperties(proxy, context, message, topic);
  return {
    message,
    messageId: message.systemProperties?.messageId ?? "",
    properties,
    type: typeOf(properties),
    messageGroup: message.systemProperties?.messageGroup ?? "",
  };
}

/** As TopicMessageType#parseFromMessageProperty, for the properties that a client can bring about by whatever way. */
function typeOf(properties: ReadonlyMap<string, string>): string {
  if (properties.get(PropertyName.TRANSACTION_PREPARED) === "true") return "TRANSACTION";
  if (properties.has(PropertyName.TIMER_DELIVER_MS)) return "DELAY";
  if (properties.has(PropertyName.SHARDING_KEY)) return "FIFO";
  return properties.has(PropertyName.PRIORITY) ? "PRIORITY" : "NORMAL";
}

/** A topic that is not there takes no type: as by Apache's proxy it is this that its sender is told. */
function checkTypes({ broker }: ProxyServices, name: string, sendables: readonly Sendable[]): void {
  if (!broker.config.enableTopicMessageTypeCheck) return;
  if (name.startsWith(RETRY_TOPIC_PREFIX) || name.startsWith(DLQ_TOPIC_PREFIX)) return;
  const topic = broker.topics.get(name);
  const expected = topic === undefined ? "UNSPECIFIED" : messageTypeOf(topic.attributes);
  for (const { type } of sendables) {
    if (type === expected || expected === "MIXED") continue;
    const text = `TopicMessageType validate failed, the expected type is ${expected}, but actual type is ${type}`;
    const why = topic === undefined ? `${text}: there is no topic ${name}` : text;
    throw new ProxyError(Code.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, why);
  }
}

/** Neither transactions nor delays can be in a batch of the broker's, and its one queue is that of one group. */
function fitsOneBatch({ broker }: ProxyServices, sendables: readonly Sendable[]): boolean {
  const [first, ...others] = sendables;
  if (first === undefined || others.length === 0) return false;
  let bytes = 0;
  for (const { message } of sendables) bytes += message.body.length + BATCHED_BYTES_MORE;
  if (bytes > broker.config.maxMessageSize) return false;
  return sendables.every(
    ({ type, message, messageGroup }) =>
      (type === "NORMAL" || type === "FIFO") && messageGroup === first.messageGroup && sysFlagOf(message) === 0,
  );
}

function sendOne(
  proxy: ProxyServices,
  context: RpcContext,
  topic: Topic,
  sendable: Sendable,
): SendResultEntry | Promise<SendResultEntry> {
  const { message, properties } = sendable;
  const fields = fieldsOf(topic, sendable, sysFlagOf(message), formatProperties(properties), false);
  const { connection } = context.peer;
  const answer = connection.ask(RequestCode.SEND_MESSAGE, fields, message.body, REQUEST_MS_MAX);
  const ended = (answered: RemoteAnswer): SendResultEntry => {
    if (isStored(answered) && sendable.type === "TRANSACTION") rememberHalf(proxy, topic.name, answered);
    return entryOf(answered, sendable.messageId, 0);
  };
  return answer instanceof Promise ? answer.then(ended) : ended(answer);
}

async function sendBatch(
  context: RpcContext,
  topic: Topic,
  sendables: readonly Sendable[],
): Promise<SendResultEntry[]> {
  const first = sendables[0]!;
  const parts = sendables.map(({ message, properties }) => ({ flag: 0, body: message.body, properties }));
  const properties = formatProperties(first.properties);
  const fields = fieldsOf(topic, first, 0, properties, true);
  const body = encodeMessageBatch(parts);
  const answer = await context.peer.connection.request(RequestCode.SEND_MESSAGE, fields, body, REQUEST_MS_MAX);
  return sendables.map(({ messageId }, index) => entryOf(answer, messageId, index));
}

/** SendMessageRequestHeader. */
function fieldsOf(
  topic: Topic,
  { message, messageGroup }: Sendable,
  sysFlag: number,
  properties: string,
  batch: boolean,
) {
  return {
    producerGroup: topic.name,
    topic: topic.name,
    defaultTopic: AUTO_CREATE_TOPIC,
    defaultTopicQueueNums: DEFAULT_TOPIC_QUEUE_NUMS,
    queueId: queueIdOf(topic, messageGroup),
    bornTimestamp: toMs(message.systemProperties?.bornTimestamp),
    flag: 0,
    reconsumeTimes: 0,
    sysFlag,
    properties,
    batch,
  };
}

/** -1 leaves the choice to the broker, which takes its queues in turn. */
function queueIdOf(topic: Topic, messageGroup: string): number {
  if ((topic.perm & PERM_WRITE) === 0 || topic.writeQueueNums <= 0) {
    throw new ProxyError(Code.FORBIDDEN, "no writable queue");
  }
  return messageGroup === "" ? -1 : consistentHash(javaHash(messageGroup), topic.writeQueueNums);
}

function sysFlagOf({ systemProperties }: Message): number {
  const compressed = systemProperties?.bodyEncoding === Encoding.GZIP ? COMPRESSED_FLAG : 0;
  return systemProperties?.messageType === MessageType.TRANSACTION
    ? compressed | TRANSACTION_PREPARED_TYPE
    : compressed;
}

function isStored({ code }: RemoteAnswer): boolean {
  return code === ResponseCode.SUCCESS;
}

function rememberHalf(proxy: ProxyServices, producerGroup: string, { fields }: RemoteAnswer): void {
  const phyOffset = parseMessageId(fields.msgId ?? "")?.phyOffset;
  const { transactionId } = fields;
  if (phyOffset === undefined || transactionId === undefined) return;
  proxy.transactions.add(producerGroup, transactionId, { queueOffset: Number(fields.queueOffset), phyOffset });
}

/** `index` of the message in its batch, whose messages lie one after the other. */
function entryOf({ code, remark, fields }: RemoteAnswer, messageId: string, index: number): SendResultEntry {
  if (code === ResponseCode.SUCCESS) {
    return {
      status: OK,
      messageId,
      transactionId: index === 0 ? (fields.transactionId ?? "") : messageId,
      offset: Number(fields.queueOffset ?? 0) + index,
      recallHandle: fields.recallHandle ?? "",
    };
  }
  const status = PERSISTENCE.get(code);
  if (status === undefined) return { status: brokerStatus(code, remark), messageId };
  return { status: statusOf(status[0], `send message failed, sendStatus=${status[1]}`), messageId };
}

const PERSISTENCE: ReadonlyMap<number, readonly [Code, string]> = new Map<number, readonly [Code, string]>([
  [ResponseCode.FLUSH_DISK_TIMEOUT, [Code.MASTER_PERSISTENCE_TIMEOUT, "FLUSH_DISK_TIMEOUT"]],
  [ResponseCode.FLUSH_SLAVE_TIMEOUT, [Code.SLAVE_PERSISTENCE_TIMEOUT, "FLUSH_SLAVE_TIMEOUT"]],
  [ResponseCode.SLAVE_NOT_AVAILABLE, [Code.HA_NOT_AVAILABLE, "SLAVE_NOT_AVAILABLE"]],
]);
