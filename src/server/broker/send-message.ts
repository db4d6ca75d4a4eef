/**
 * Codes 10, 310 and 320: a message, or a batch of them, to the log (broker/processor/SendMessageProcessor.java). The hot
 * path of producing: fields are read where they lie in the received frame, the body is copied once, into the log, and
 * nothing is allocated for a message that is taken.
 */

import { recordSize } from "../../commitlog/append.js";
import { PROPERTIES_BYTES_MAX } from "../../record/layout.js";
import { MESSAGE_ID_CHARS_MAX, writeMessageId, writeMessageIdBytes } from "../../record/message-id.js";
import { PropertyName } from "../../record/property-names.js";
import { INNER_BATCH_FLAG, MULTI_TAGS_FLAG, TRANSACTION_MASK } from "../../record/sys-flag.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import { encodedName, prepareFields } from "../../remoting/field-names.js";
import type { HeaderView } from "../../remoting/header-view.js";
import { SendAnswers } from "../../remoting/send-answer.js";
import { type Connection, type Processor, type Request, SerializeType } from "../../remoting/types.js";
import type { MessageStore } from "../../store/message-store.js";
import { PutStatus, type QueueHandle } from "../../store/types.js";
import { PERM_WRITE } from "../protocol/topic-config.js";
import { BatchBody, INNER_BATCH_REMARK, LIGHT_QUEUES_REMARK, TRANSACTION_BATCH_REMARK } from "./batch-body.js";
import type { BrokerContext } from "./context.js";
import { endOfRetries } from "./dead-letters.js";
import type { FlushWaiters } from "./flush-waiters.js";
import { emptyMessage, emptyPutResult } from "./message-copy.js";
import { isNotAllowedSendTopic, isRetryTopic, validateGroup, validateTopic } from "./names.js";
import { batchQueuesRemark, putRefusal, wrongField } from "./put-remark.js";
import type { ScheduleMessageService } from "./schedule-message.js";
import { type FieldNames, LETTERS, LONG_NAMES } from "./send-fields.js";
import type { StoreHosts } from "./store-hosts.js";
import { StoredProperties } from "./stored-properties.js";
import type { RecallHandleWriter } from "./timer/recall-handle.js";
import type { TimerMessageStore, Wait } from "./timer/timer-message-store.js";
import { judgeTimer, refuseHalf } from "./timer/timer-verdict.js";
import { Topic, topicQueue } from "./topic-config.js";
import type { Transactions } from "./transaction/transactions.js";

const MSG_ID = encodedName("msgId");
const QUEUE_ID = encodedName("queueId");
const QUEUE_OFFSET = encodedName("queueOffset");
const TRANSACTION_ID = encodedName("transactionId");
const RECALL_HANDLE = encodedName("recallHandle");

/** One put in so many is timed. */
const TIMED_PUTS = 64;
const INT_MAX = 2147483647;
const INT_MIN = -2147483648;
/** sysFlag bits of the hosts and of transactions are the broker's to set. */
const CLIENT_SYS_FLAGS = ~0x3c;

export class SendMessage {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #hosts: StoreHosts;
  readonly #properties: StoredProperties;
  readonly #schedule: ScheduleMessageService;
  readonly #transactions: Transactions;
  readonly #timers: TimerMessageStore | undefined;
  readonly #waiters: FlushWaiters;
  readonly #message = emptyMessage();
  readonly #batch = new BatchBody();
  readonly #result = emptyPutResult();
  #regionId: string | undefined;
  #traceOn: boolean | undefined;
  #prepared = prepareFields([]);
  readonly #answers = new SendAnswers();
  readonly #messageId = Buffer.alloc(MESSAGE_ID_CHARS_MAX);
  /** Of the request at hand, as sent. */
  #queueId = 0;
  #defaultTopicQueueNums = 0;
  #putTurn = 0;
  /** What the producer can recall the message with, when it waits for its time. */
  #recallHandle: RecallHandleWriter | undefined;
  /** What it waits for; undefined where only its properties say that in full. */
  #waiting: Wait | undefined;
  /** What `#refuse` was told. */
  #code = 0;
  #remark = "";

  constructor(
    context: BrokerContext,
    store: MessageStore,
    hosts: StoreHosts,
    schedule: ScheduleMessageService,
    transactions: Transactions,
    timers: TimerMessageStore | undefined,
    waiters: FlushWaiters,
  ) {
    this.#context = context;
    this.#store = store;
    this.#hosts = hosts;
    this.#schedule = schedule;
    this.#transactions = transactions;
    this.#timers = timers;
    this.#waiters = waiters;
    this.#properties = new StoredProperties(context.config);
  }

  register(processors: Map<number, Processor>): void {
    const letters: Processor = (request, connection) => this.#process(request, connection, LETTERS);
    processors.set(RequestCode.SEND_MESSAGE_V2, letters);
    processors.set(RequestCode.SEND_BATCH_MESSAGE, letters);
    processors.set(RequestCode.SEND_MESSAGE, (request, connection) => this.#process(request, connection, LONG_NAMES));
  }

  #process(request: Request, connection: Connection, names: FieldNames): void {
    const { header } = request;
    this.#code = ResponseCode.SUCCESS;
    this.#recallHandle = undefined;
    this.#waiting = undefined;
    const isBatch = header.code === RequestCode.SEND_BATCH_MESSAGE || header.boolean(names.batch) === true;
    // First what the request says by itself: one that is wrong makes no topic.
    const sound = this.#fillNumbers(header, names, isBatch) && this.#fillContent(request, names, isBatch, connection);
    const topic = sound ? this.#topic(header, names, connection) : undefined;
    const queue = topic === undefined ? undefined : this.#queue(topic, connection);
    const target = queue === undefined ? undefined : this.#route(header, names, topic!, queue, isBatch);
    if (queue === undefined || target === undefined) {
      this.#answerRefusal(header, connection);
      return;
    }
    const status = this.#put(request, target, isBatch);
    if (status !== PutStatus.PUT_OK) {
      if (this.#code === ResponseCode.SUCCESS) {
        const { code, remark } = putRefusal(status, this.#context.config.maxMessageSize, this.#store.failure);
        this.#refuse(code, remark);
      }
      this.#context.stats.putsFailed++;
      this.#answerRefusal(header, connection);
      return;
    }
    this.#context.stats.recordPut(target, this.#result.count, this.#result.sizeBytes);
    if (target === this.#schedule.topic) this.#schedule.stored(this.#message.queue, this.#result);
    else if (target === this.#transactions.topic) this.#transactions.stored(topic!.name, this.#result.storeTimestamp);
    else if (target === this.#timers?.topic) this.#timers.stored(this.#message, this.#result, this.#waiting);
    this.#answer(header, connection, queue.queueId, isBatch);
  }

  /** The clock is looked at for one put of some; those that wait for the disk are timed when they are answered. */
  #put(request: Request, target: Topic, isBatch: boolean): PutStatus {
    this.#putTurn = (this.#putTurn + 1) % TIMED_PUTS;
    const timed = this.#putTurn === 0 && !this.#store.syncFlush;
    const { clock, stats } = this.#context;
    const beginMs = timed ? clock.monotonicMs() : 0;
    const status = isBatch ? this.#putBatch(request, target) : this.#store.put(this.#message, this.#result);
    if (timed) stats.recordPutTime(clock.monotonicMs() - beginMs);
    return status;
  }

  #refuse(code: number, remark: string): undefined {
    this.#code = code;
    this.#remark = remark;
    return undefined;
  }

  /** The topic of the request, made if that is allowed. Undefined after `#refuse`. */
  #topic(header: HeaderView, names: FieldNames, connection: Connection): Topic | undefined {
    const { topics, clock, config } = this.#context;
    const index = header.find(names.topic);
    if (index < 0) return this.#refuse(ResponseCode.SYSTEM_ERROR, "the custom field <topic> is null");
    const { bytes, valueStart, valueEnd } = header;
    const known =
      header.escaped[index] === 0 ? topics.getBytes(bytes, valueStart[index]!, valueEnd[index]!) : undefined;
    if (known !== undefined && !topics.isSystemTopic(known.name)) return this.#writable(known, connection);
    const name = header.valueText(index);
    if (clock.nowMs() < config.startAcceptSendRequestTimeStamp) {
      const until = new Date(config.startAcceptSendRequestTimeStamp).toISOString();
      return this.#refuse(ResponseCode.SYSTEM_ERROR, `broker unable to service, until ${until}`);
    }
    const problem = validateTopic(name);
    if (problem !== "") return this.#refuse(ResponseCode.INVALID_PARAMETER, problem.slice(0, 512));
    if (isNotAllowedSendTopic(name)) {
      return this.#refuse(ResponseCode.NO_PERMISSION, `Sending message to topic[${name}] is forbidden.`);
    }
    const topic = known ?? topics.get(name) ?? this.#createTopic(header, names, name, connection);
    if (topic === undefined) {
      if (this.#code !== ResponseCode.SUCCESS) return undefined;
      const remark = `topic[${name}] not exist, apply first please! See ${FAQ_TOPIC_URL} for further details.`;
      return this.#refuse(ResponseCode.TOPIC_NOT_EXIST, remark);
    }
    return this.#writable(topic, connection);
  }

  #createTopic(header: HeaderView, names: FieldNames, name: string, connection: Connection): Topic | undefined {
    const { topics } = this.#context;
    const unitMode = header.boolean(names.unitMode) === true;
    const sysFlag = unitMode ? (isRetryTopic(name) ? 2 : 1) : 0;
    const defaultTopic = header.text(names.defaultTopic) ?? "";
    const queueNums = this.#defaultTopicQueueNums;
    if (queueNums < 1 && !isRetryTopic(name)) {
      const remark = `request defaultTopicQueueNums[${queueNums}] is illegal: topic ${name} would have no queue`;
      return this.#refuse(ResponseCode.INVALID_PARAMETER, remark);
    }
    const made = topics.createInSendMessage(name, defaultTopic, connection.remoteAddress, queueNums, sysFlag);
    if (made !== undefined || !isRetryTopic(name)) return made;
    return topics.createInSendMessageBack(name, 1, PERM_WRITE | 4, false, sysFlag);
  }

  #writable(topic: Topic, connection: Connection): Topic | undefined {
    const { config } = this.#context;
    if ((config.brokerPermission & PERM_WRITE) === 0 && topic.order) {
      return this.#refuse(
        ResponseCode.NO_PERMISSION,
        `the broker[${connection.localHost}] sending message is forbidden`,
      );
    }
    return topic.hasBatchQueues ? this.#refuse(ResponseCode.SYSTEM_ERROR, batchQueuesRemark(topic)) : topic;
  }

  #queue(topic: Topic, connection: Connection): QueueHandle | undefined {
    const given = this.#queueId;
    if (given >= Math.max(topic.writeQueueNums, topic.readQueueNums)) {
      const remark = `request queueId[${given}] is illegal, topic ${topic.name} has ${topic.writeQueueNums} write queues, Producer: ${connection.remoteAddress}`;
      return this.#refuse(ResponseCode.INVALID_PARAMETER, remark);
    }
    const priority = this.#properties.takePriority();
    this.#message.propertiesLength = this.#properties.length;
    if (priority >= 0) return topicQueue(this.#context.store, topic, Math.min(priority, topic.writeQueueNums - 1));
    const queueId = given >= 0 ? given : this.#anyQueueId(topic);
    return topicQueue(this.#context.store, topic, queueId);
  }

  #anyTurn = 0;

  /** A producer that names no queue gets them in turn. */
  #anyQueueId(topic: Topic): number {
    this.#anyTurn = (this.#anyTurn + 1) & 0x7fffffff;
    return topic.writeQueueNums > 0 ? this.#anyTurn % topic.writeQueueNums : 0;
  }

  /** The numbers of the reused message; false after `#refuse`. */
  #fillNumbers(header: HeaderView, names: FieldNames, isBatch: boolean): boolean {
    const message = this.#message;
    this.#queueId = this.#int(header, names.queueId);
    message.flag = this.#int(header, names.flag);
    message.reconsumeTimes = this.#int(header, names.reconsumeTimes, 0);
    this.#defaultTopicQueueNums = this.#int(header, names.defaultTopicQueueNums, 0);
    const sysFlag = this.#int(header, names.sysFlag);
    message.sysFlag = sysFlag & CLIENT_SYS_FLAGS;
    message.bornTimestamp = header.integer(names.bornTimestamp) ?? Number.NaN;
    if (!Number.isSafeInteger(message.bornTimestamp)) this.#refuseField(header, names.bornTimestamp, "a time in ms");
    if (this.#code !== ResponseCode.SUCCESS) return false;
    const isInner = (sysFlag & INNER_BATCH_FLAG) !== 0;
    if (!isInner && !(isBatch && (sysFlag & TRANSACTION_MASK) !== 0)) return true;
    this.#refuse(ResponseCode.MESSAGE_ILLEGAL, isInner ? INNER_BATCH_REMARK : TRANSACTION_BATCH_REMARK);
    return false;
  }

  /** A field of 32 bits; 0 after `#refuse`. One that must be there has no `absent`. */
  #int(header: HeaderView, name: string, absent = Number.NaN): number {
    const value = header.integer(name) ?? absent;
    if (value >= INT_MIN && value <= INT_MAX) return value;
    this.#refuseField(header, name, "an integer of 32 bits");
    return 0;
  }

  #refuseField(header: HeaderView, name: string, expected: string): void {
    const field = Object.entries(LETTERS).find(([, letter]) => letter === name)?.[0] ?? name;
    this.#refuse(ResponseCode.SYSTEM_ERROR, wrongField(field, header.text(name), expected));
  }

  /** Body, properties and hosts of the reused message; false after `#refuse`. */
  #fillContent(request: Request, names: FieldNames, isBatch: boolean, connection: Connection): boolean {
    const { header } = request;
    const message = this.#message;
    const properties = this.#properties;
    const bodyLength = request.bodyEnd - request.bodyStart;
    const { maxMessageSize } = this.#context.config;
    if (
      bodyLength > maxMessageSize ||
      !properties.take(header, header.find(names.properties)) ||
      (properties.length > PROPERTIES_BYTES_MAX && !isBatch)
    ) {
      const { code, remark } = putRefusal(PutStatus.MESSAGE_ILLEGAL, maxMessageSize, undefined);
      this.#refuse(code, remark);
      return false;
    }
    const problem = this.#contentProblem(bodyLength, isBatch);
    if (problem !== "") {
      this.#refuse(ResponseCode.MESSAGE_ILLEGAL, problem);
      return false;
    }
    const unsupported = properties.unsupported();
    if (unsupported !== undefined) {
      const isLight = unsupported === PropertyName.INNER_MULTI_DISPATCH;
      const remark = `this broker does not do what the property ${unsupported} asks for`;
      this.#refuse(ResponseCode.SYSTEM_ERROR, isLight ? LIGHT_QUEUES_REMARK : remark);
      return false;
    }
    message.bornHost = connection.remoteHost;
    message.storeHost = this.#hosts.of(connection);
    message.body = request.bytes;
    message.bodyStart = request.bodyStart;
    message.bodyLength = bodyLength;
    message.properties = properties.bytes;
    message.propertiesStart = 0;
    message.propertiesLength = properties.length;
    return true;
  }

  #contentProblem(bodyLength: number, isBatch: boolean): string {
    const { delayLevel, innerBatch } = this.#properties;
    if (bodyLength === 0) return "the message body is empty";
    if (innerBatch) return INNER_BATCH_REMARK;
    if (Number.isNaN(delayLevel)) return "the property DELAY is no integer of 32 bits";
    return isBatch && (delayLevel > 0 || this.#properties.namesTime) ? "a batch can not be delayed" : "";
  }

  /**
   * The topic that the message is put into: what it was sent to, the dead letters of a group that has tried it often
   * enough, or that of the delay levels. Undefined after `#refuse`.
   */
  #route(header: HeaderView, names: FieldNames, topic: Topic, queue: QueueHandle, isBatch: boolean): Topic | undefined {
    const message = this.#message;
    message.queue = queue;
    let target: Topic | undefined = topic;
    if (!isBatch && isRetryTopic(topic.name)) target = this.#retry(header, names, topic);
    if (target === undefined) return undefined;
    if (target.topicFilterType === "MULTI_TAG") message.sysFlag |= MULTI_TAGS_FLAG;
    const { delayLevel } = this.#properties;
    const isPrepared = this.#properties.isPrepared(message.reconsumeTimes) && !isBatch && !isRetryTopic(topic.name);
    if (isPrepared) return this.#prepare(header, names, target);
    if (delayLevel <= 0) return this.#properties.namesTime ? this.#wait(target) : target;
    const level = Math.min(delayLevel, this.#schedule.levelMax);
    this.#properties.delay(level, target.name, message.queue.queueId);
    message.propertiesLength = this.#properties.length;
    message.queue = this.#schedule.queueOf(level);
    return this.#schedule.topic;
  }

  /** Makes the message one that waits for the end of its transaction. Undefined after `#refuse`. */
  #prepare(header: HeaderView, names: FieldNames, topic: Topic): Topic | undefined {
    const { config, brokerAddress, clock } = this.#context;
    const message = this.#message;
    const properties = this.#properties;
    if (config.rejectTransactionMessage) {
      const remark = `the broker[${brokerAddress()}] sending transaction message is forbidden`;
      return this.#refuse(ResponseCode.NO_PERMISSION, remark);
    }
    const delayed = properties.waits ? refuseHalf(properties, config, clock.nowMs(), this.#timers) : undefined;
    if (delayed !== undefined) return this.#refuse(delayed.code, delayed.remark);
    const hasGroup = properties.hasProducerGroup;
    const producerGroup = hasGroup ? "" : (header.text(names.producerGroup) ?? "");
    const problem = hasGroup ? "" : validateGroup(producerGroup);
    if (problem !== "") return this.#refuse(ResponseCode.INVALID_PARAMETER, problem.slice(0, 512));
    properties.prepare(topic.name, message.queue.queueId, hasGroup, producerGroup);
    message.propertiesLength = properties.length;
    message.queue = this.#transactions.halfQueue;
    return this.#transactions.topic;
  }

  /** A message that names a time goes among the timers, unless its time is over. */
  #wait(target: Topic): Topic | undefined {
    const properties = this.#properties;
    const message = this.#message;
    const { clock, config } = this.#context;
    const timers = this.#timers;
    const verdict = judgeTimer(properties, config, clock.nowMs(), timers);
    if (verdict.kind === "refused") return this.#refuse(verdict.code, verdict.remark);
    if (verdict.kind === "now" || timers === undefined) return target;
    properties.wait(verdict.outMs, target.name, message.queue.queueId);
    message.propertiesLength = properties.length;
    message.queue = timers.queue;
    this.#recallHandle = timers.recallHandle(target.name, verdict.outMs, properties);
    if (!properties.hasTimerMarks) this.#waiting = { topic: target.name, verdict };
    return timers.topic;
  }

  /** A client that could not send a message back sends it to the retry topic by itself. */
  #retry(header: HeaderView, names: FieldNames, topic: Topic): Topic | undefined {
    const message = this.#message;
    const maxTimesAsked = header.integer(names.maxReconsumeTimes);
    if (Number.isNaN(maxTimesAsked)) {
      this.#refuseField(header, names.maxReconsumeTimes, "an integer of 32 bits");
      return undefined;
    }
    const end = endOfRetries(this.#context, topic.name, message.reconsumeTimes, header.version, maxTimesAsked);
    if (end === undefined) return topic;
    if (!(end instanceof Topic)) return this.#refuse(end.code, end.remark ?? "");
    this.#properties.endRetries();
    message.propertiesLength = this.#properties.length;
    message.queue = topicQueue(this.#context.store, end, 0);
    return end;
  }

  /** One record for each message of the batch body. */
  #putBatch(request: Request, topic: Topic): PutStatus {
    const problem = isRetryTopic(topic.name)
      ? `batch request does not support retry group ${topic.name}`
      : this.#batch.read(request, topic, this.#message);
    if (problem === "") return this.#store.putBatch(this.#batch.messages, this.#result);
    this.#refuse(ResponseCode.MESSAGE_ILLEGAL, problem);
    return PutStatus.MESSAGE_ILLEGAL;
  }

  #answerRefusal(header: HeaderView, connection: Connection): void {
    const { writer } = connection;
    writer.beginResponse(header.opaque, header.serializeType, this.#code, this.#remark);
    this.#regionFields(connection);
    writer.endHeader();
    writer.end();
  }

  /** The same in every answer, until the configuration changes. */
  #regionFields(connection: Connection): void {
    const { regionId, traceOn } = this.#context.config;
    if (regionId !== this.#regionId || traceOn !== this.#traceOn) {
      this.#regionId = regionId;
      this.#traceOn = traceOn;
      this.#prepared = prepareFields([
        ["MSG_REGION", regionId],
        ["TRACE_ON", String(traceOn)],
      ]);
    }
    connection.writer.preparedFields(this.#prepared);
  }

  #answer(header: HeaderView, connection: Connection, queueId: number, isBatch: boolean): void {
    const { opaque, serializeType } = header;
    const properties = this.#properties;
    if (this.#store.syncFlush && properties.waitsForFlush) {
      if (!header.isOneway) this.#answerWhenFlushed(opaque, serializeType, connection, queueId, isBatch);
      return;
    }
    const { writer } = connection;
    const handle = this.#recallHandle;
    if (serializeType === SerializeType.JSON && !isBatch) {
      const { phyOffset, queueOffset } = this.#result;
      const { regionId, traceOn } = this.#context.config;
      const answer = this.#answers.of(regionId, traceOn, this.#message.storeHost);
      const { uniqueKeyStart: start, uniqueKeyEnd: end } = properties;
      if (answer.write(writer, opaque, phyOffset, queueId, queueOffset, properties.bytes, start, end, handle)) return;
    }
    writer.beginResponse(opaque, serializeType, ResponseCode.SUCCESS);
    this.#regionFields(connection);
    if (isBatch) {
      writer.field("msgId", this.#batchIds());
    } else {
      const end = writeMessageIdBytes(this.#messageId, 0, this.#message.storeHost, this.#result.phyOffset);
      writer.hexField(MSG_ID, this.#messageId, 0, end);
    }
    writer.integerField(QUEUE_ID, queueId);
    writer.integerField(QUEUE_OFFSET, this.#result.queueOffset);
    writer.bytesField(TRANSACTION_ID, properties.bytes, properties.uniqueKeyStart, properties.uniqueKeyEnd);
    if (handle !== undefined) writer.bytesField(RECALL_HANDLE, handle.bytes, 0, handle.length);
    writer.endHeader();
    writer.end();
  }

  #batchIds(): string {
    const ids: string[] = [];
    let phyOffset = this.#result.phyOffset;
    for (const message of this.#batch.messages) {
      const end = writeMessageId(this.#messageId, 0, message.storeHost, phyOffset);
      ids.push(this.#messageId.toString("latin1", 0, end));
      phyOffset += recordSize(message);
    }
    return ids.join(",");
  }

  #answerWhenFlushed(
    opaque: number,
    serializeType: SerializeType,
    connection: Connection,
    queueId: number,
    isBatch: boolean,
  ): void {
    const { phyOffset, sizeBytes, queueOffset } = this.#result;
    const { bytes, uniqueKeyStart, uniqueKeyEnd } = this.#properties;
    const end = writeMessageId(this.#messageId, 0, this.#message.storeHost, phyOffset);
    const msgId = isBatch ? this.#batchIds() : this.#messageId.toString("latin1", 0, end);
    const transactionId = bytes.toString("utf8", uniqueKeyStart, uniqueKeyEnd);
    const { clock, config, stats } = this.#context;
    const recallHandle = this.#recallHandle?.toString();
    const beginMs = clock.monotonicMs();
    this.#waiters.add({
      position: phyOffset + sizeBytes,
      connection,
      deadlineMs: beginMs + config.syncFlushTimeout,
      answer: (outcome) => {
        stats.recordPutTime(clock.monotonicMs() - beginMs);
        const { writer } = connection;
        if (outcome === "failed") {
          const refusal = putRefusal(PutStatus.SERVICE_NOT_AVAILABLE, 0, this.#store.failure);
          writer.beginResponse(opaque, serializeType, refusal.code, refusal.remark);
          this.#regionFields(connection);
        } else {
          const code = outcome === "flushed" ? ResponseCode.SUCCESS : ResponseCode.FLUSH_DISK_TIMEOUT;
          writer.beginResponse(opaque, serializeType, code);
          this.#regionFields(connection);
          writer.fields({ msgId, queueId, queueOffset, transactionId, recallHandle });
        }
        writer.endHeader();
        writer.end();
      },
    });
  }
}

const FAQ_TOPIC_URL = "https://rocketmq.apache.org/docs/bestPractice/06FAQ";
