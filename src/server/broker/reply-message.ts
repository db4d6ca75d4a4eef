/**
 * Codes 324 and 325: the reply to a request that one client sent another as a message
 * (broker/processor/ReplyMessageProcessor.java). It is pushed to the client that waits for it, code 326, which the
 * property REPLY_TO_CLIENT names; with storeReplyMessageEnable it is stored in the reply topic as well. Who sent the
 * reply is told what became of the push.
 */
import { CometError } from "../../base/errors.js";
import { hostText } from "../../record/host.js";
import { createMessageId } from "../../record/message-id.js";
import { encodeProperties, formatProperties, parseProperties } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { HeaderView } from "../../remoting/header-view.js";
import type { Connection, Fields, Processor, Request, SerializeType } from "../../remoting/types.js";
import type { MessageStore } from "../../store/message-store.js";
import { PutStatus } from "../../store/types.js";
import { type Answer, answerOf, failure, quoted, SUCCESS } from "../answer.js";
import { LIGHT_QUEUES_REMARK } from "./batch-body.js";
import type { BrokerContext } from "./context.js";
import { emptyMessage, emptyPutResult, forgetBytes } from "./message-copy.js";
import { isNotAllowedSendTopic, validateTopic } from "./names.js";
import { batchQueuesRemark, putRefusal, wrongField } from "./put-remark.js";
import { type FieldNames, LETTERS, LONG_NAMES } from "./send-fields.js";
import type { StoreHosts } from "./store-hosts.js";
import { Topic, topicQueue } from "./topic-config.js";

/** Apache's Broker2Client#callClient. */
const TIMEOUT_MS = 10_000;
/** Replies that wait for their client's answer. */
const IN_FLIGHT_MAX = 10_000;
/** A client that does not take what it was sent is sent nothing more. */
const UNSENT_BYTES_MAX = 8 * 1024 * 1024;
/** sysFlag bits of hosts, transactions and inner batches are not a client's to set. */
const CLIENT_SYS_FLAGS = ~0xbc;

interface Reply {
  readonly topic: Topic;
  readonly queueId: number;
  readonly flag: number;
  readonly sysFlag: number;
  readonly bornTimestamp: number;
  readonly reconsumeTimes: number;
  readonly defaultTopicQueueNums: number;
  readonly properties: ReadonlyMap<string, string>;
}

export class ReplyMessage {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #hosts: StoreHosts;
  readonly #message = emptyMessage();
  readonly #result = emptyPutResult();
  #inFlight = 0;
  #queueTurn = 0;

  constructor(context: BrokerContext, store: MessageStore, hosts: StoreHosts) {
    this.#context = context;
    this.#store = store;
    this.#hosts = hosts;
  }

  register(processors: Map<number, Processor>): void {
    const process =
      (names: FieldNames): Processor =>
      (request, connection) =>
        this.#process(request, connection, names);
    processors.set(RequestCode.SEND_REPLY_MESSAGE, process(LONG_NAMES));
    processors.set(RequestCode.SEND_REPLY_MESSAGE_V2, process(LETTERS));
  }

  #process(request: Request, connection: Connection, names: FieldNames): void {
    const { opaque, serializeType, isOneway } = request.header;
    let reply: Reply | undefined;
    const read = () => {
      const given = this.#read(request, connection, names);
      if ("code" in given) return given;
      reply = given;
      return SUCCESS;
    };
    const problem = answerOf(read, request, connection, this.#context.log);
    if (reply === undefined) {
      this.#answer(connection, opaque, serializeType, problem, {});
      return;
    }
    const pushed = this.#push(request, connection, names, reply);
    const fields = this.#stored(request, connection, reply);
    void pushed.then((answer) => {
      if (connection.closed || isOneway) return;
      this.#answer(connection, opaque, serializeType, answer, fields);
      connection.flush();
    });
  }

  #answer(connection: Connection, opaque: number, type: SerializeType, answer: Answer, fields: Fields): void {
    const { regionId, traceOn } = this.#context.config;
    const region = { MSG_REGION: regionId, TRACE_ON: traceOn };
    const given = answer.code === ResponseCode.SUCCESS ? { ...region, ...fields } : region;
    connection.writer.response(opaque, type, answer.code, answer.remark, given);
  }

  /** The reply, or why it is refused. */
  #read(request: Request, connection: Connection, names: FieldNames): Reply | Answer {
    const { config, clock } = this.#context;
    const { header } = request;
    const int = (name: keyof FieldNames, absent?: number) => integerOf(header, names, name, absent);
    if (clock.nowMs() < config.startAcceptSendRequestTimeStamp) {
      const until = new Date(config.startAcceptSendRequestTimeStamp).toISOString();
      return failure(ResponseCode.SYSTEM_ERROR, `broker unable to service, until ${until}`);
    }
    if (request.bodyEnd - request.bodyStart > config.maxMessageSize) {
      return putRefusal(PutStatus.MESSAGE_ILLEGAL, config.maxMessageSize, undefined);
    }
    const defaultTopicQueueNums = int("defaultTopicQueueNums", 0);
    const topic = this.#topic(header, names, connection, defaultTopicQueueNums);
    if (!(topic instanceof Topic)) return topic;
    const given = int("queueId");
    if (given >= Math.max(topic.writeQueueNums, topic.readQueueNums)) {
      const remark = `request queueId[${given}] is illegal, topic ${topic.name} has ${topic.writeQueueNums} write queues`;
      return failure(ResponseCode.INVALID_PARAMETER, remark);
    }
    const properties = parseProperties(header.text(names.properties) ?? "");
    if (properties.has(PropertyName.INNER_MULTI_DISPATCH)) {
      return failure(ResponseCode.SYSTEM_ERROR, LIGHT_QUEUES_REMARK);
    }
    properties.set(PropertyName.MSG_REGION, config.regionId).set(PropertyName.TRACE_SWITCH, String(config.traceOn));
    return {
      topic,
      queueId: given >= 0 ? given : this.#anyQueueId(topic),
      flag: int("flag"),
      sysFlag: int("sysFlag"),
      bornTimestamp: timeOf(header, names),
      reconsumeTimes: int("reconsumeTimes", 0),
      defaultTopicQueueNums,
      properties,
    };
  }

  #anyQueueId(topic: Topic): number {
    this.#queueTurn = (this.#queueTurn + 1) & 0x7fffffff;
    return topic.writeQueueNums > 0 ? this.#queueTurn % topic.writeQueueNums : 0;
  }

  #topic(header: HeaderView, names: FieldNames, connection: Connection, queueNums: number): Topic | Answer {
    const { topics } = this.#context;
    const name = header.text(names.topic);
    if (name === undefined) return failure(ResponseCode.SYSTEM_ERROR, wrongField("topic", undefined, ""));
    const problem = validateTopic(name);
    if (problem !== "") return failure(ResponseCode.INVALID_PARAMETER, quoted(problem));
    if (isNotAllowedSendTopic(name)) {
      return failure(ResponseCode.NO_PERMISSION, `Sending message to topic[${name}] is forbidden.`);
    }
    const defaultTopic = header.text(names.defaultTopic) ?? "";
    const known = topics.get(name);
    const topic =
      known ?? topics.createInSendMessage(name, defaultTopic, connection.remoteAddress, Math.max(1, queueNums), 0);
    if (topic?.hasBatchQueues) return failure(ResponseCode.SYSTEM_ERROR, batchQueuesRemark(topic));
    return topic ?? failure(ResponseCode.TOPIC_NOT_EXIST, `topic[${name}] not exist, apply first please!`);
  }

  /** Resolves with what the waiting client said. What is needed of the request is read before this returns. */
  async #push(request: Request, connection: Connection, names: FieldNames, reply: Reply): Promise<Answer> {
    const { log, producers } = this.#context;
    const clientId = reply.properties.get(PropertyName.MESSAGE_REPLY_TO_CLIENT);
    if (clientId === undefined) {
      const remark = `reply message properties[${PropertyName.MESSAGE_REPLY_TO_CLIENT}] is null`;
      return failure(ResponseCode.SYSTEM_ERROR, remark);
    }
    const target = producers.findConnection(clientId);
    if (target === undefined || target.closed) {
      const remark = `push reply message fail, channel of <${quoted(clientId)}> not found.`;
      return failure(ResponseCode.SYSTEM_ERROR, remark);
    }
    if (this.#inFlight >= IN_FLIGHT_MAX || (target.unsentBytes ?? 0) > UNSENT_BYTES_MAX) {
      return failure(ResponseCode.SYSTEM_BUSY, `too many replies wait for <${quoted(clientId)}> or others`);
    }
    const fields = this.#pushFields(request.header, connection, names, reply);
    const body = request.bytes.subarray(request.bodyStart, request.bodyEnd);
    this.#inFlight++;
    try {
      const { code, remark } = await target.call(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, fields, body, TIMEOUT_MS);
      if (code === ResponseCode.SUCCESS) return { code };
      log.warn({ clientId, code, remark }, "a client does not take the reply it was sent");
    } catch (error) {
      if (!(error instanceof CometError)) throw error;
      log.warn({ clientId, err: error }, "a reply does not reach its client");
    } finally {
      this.#inFlight--;
    }
    return failure(ResponseCode.SYSTEM_ERROR, `push reply message to ${quoted(clientId)} fail.`);
  }

  /** ReplyMessageRequestHeader. */
  #pushFields(header: HeaderView, connection: Connection, names: FieldNames, reply: Reply): Fields {
    const nowMs = this.#context.clock.nowMs();
    const storeHost = this.#hosts.of(connection);
    const { topic, queueId, sysFlag, flag, bornTimestamp, reconsumeTimes, defaultTopicQueueNums } = reply;
    const properties = new Map(reply.properties).set(PropertyName.PUSH_REPLY_TIME, String(nowMs));
    return {
      producerGroup: header.text(names.producerGroup) ?? "",
      topic: topic.name,
      defaultTopic: header.text(names.defaultTopic) ?? "",
      ...{ defaultTopicQueueNums, queueId, sysFlag, bornTimestamp, flag, reconsumeTimes },
      properties: formatProperties(properties),
      unitMode: header.boolean(names.unitMode) === true,
      bornHost: connection.remoteAddress,
      storeHost: hostText(storeHost, 0, storeHost.length),
      storeTimestamp: nowMs,
    };
  }

  /** Stores the reply, where that is wanted; what the answer says of it. A reply that can not be stored is still one. */
  #stored(request: Request, connection: Connection, reply: Reply): Fields {
    const { config, log, stats, store } = this.#context;
    const { topic, queueId, sysFlag, flag, bornTimestamp, reconsumeTimes, properties } = reply;
    // The zeros keep clients from stumbling over fields that are not there.
    const nothing = { msgId: "0", queueId, queueOffset: 0 };
    if (!config.storeReplyMessageEnable) return nothing;
    const message = this.#message;
    Object.assign(message, { flag, bornTimestamp, reconsumeTimes, sysFlag: sysFlag & CLIENT_SYS_FLAGS });
    message.queue = topicQueue(store, topic, queueId);
    message.bornHost = connection.remoteHost;
    message.storeHost = this.#hosts.of(connection);
    message.body = request.bytes;
    message.bodyStart = request.bodyStart;
    message.bodyLength = request.bodyEnd - request.bodyStart;
    message.properties = encodeProperties(properties);
    message.propertiesLength = message.properties.length;
    const status = this.#store.put(message, this.#result);
    const msgId = createMessageId(message.storeHost, this.#result.phyOffset);
    forgetBytes(message);
    if (status !== PutStatus.PUT_OK) {
      stats.putsFailed++;
      log.warn({ topic: topic.name, status }, "a reply can not be stored");
      return nothing;
    }
    stats.recordPut(topic, 1, this.#result.sizeBytes);
    return { msgId, queueId, queueOffset: this.#result.queueOffset };
  }
}

/** Throws COMETMQ_BAD_REQUEST, which names the field, for what is no such integer. */
function integerOf(header: HeaderView, names: FieldNames, name: keyof FieldNames, absent?: number): number {
  const value = header.integer(names[name]) ?? absent ?? Number.NaN;
  if (Number.isInteger(value) && (value | 0) === value) return value;
  throw new CometError("COMETMQ_BAD_REQUEST", wrongField(name, header.text(names[name]), "an integer of 32 bits"));
}

function timeOf(header: HeaderView, names: FieldNames): number {
  const value = header.integer(names.bornTimestamp) ?? Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  const given = header.text(names.bornTimestamp);
  throw new CometError("COMETMQ_BAD_REQUEST", wrongField("bornTimestamp", given, "a time in ms"));
}
