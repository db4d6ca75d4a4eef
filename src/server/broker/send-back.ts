/**
 * Code 36: a consumer could not cope with a message and gives it back (AbstractSendMessageProcessor#consumerSendMsgBack).
 * A copy goes to the group's retry topic, by way of a delay level, or to its dead letters when it was tried often enough.
 */
import { createMessageId } from "../../record/message-id.js";
import { decodeProperties, encodeProperties, inApacheOrder } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import { RecordView } from "../../record/record-view.js";
import { isQueued } from "../../record/sys-flag.js";
import { RequestCode, ResponseCode } from "../../remoting/codes.js";
import type { HeaderView } from "../../remoting/header-view.js";
import type { Connection, Processor, Request } from "../../remoting/types.js";
import type { MessageStore } from "../../store/message-store.js";
import { PutStatus } from "../../store/types.js";
import {
  type Answer,
  answerOf,
  failure,
  optionalInt,
  requiredInt,
  requiredInteger,
  requiredText,
  SUCCESS,
} from "../answer.js";
import { consumedRefusal } from "../auth/record-access.js";
import { PERM_READ, PERM_WRITE } from "../protocol/topic-config.js";
import type { BrokerContext } from "./context.js";
import { deadLetterTopic, maxReconsumeTimes, noSuchGroup } from "./dead-letters.js";
import type { FlushWaiters } from "./flush-waiters.js";
import { copyMessage, emptyMessage, emptyPutResult, forgetBytes } from "./message-copy.js";
import { isBlank, retryTopic } from "./names.js";
import { flushAnswer, putRefusal } from "./put-remark.js";
import type { ScheduleMessageService } from "./schedule-message.js";
import type { StoreHosts } from "./store-hosts.js";
import { markDelayed } from "./stored-properties.js";
import type { SubscriptionGroup } from "./subscription-group-config.js";
import { Topic, topicQueue } from "./topic-config.js";

/** Of a message that was never tried; each further try waits one level longer. */
const FIRST_DELAY_LEVEL = 3;
const UNIT_SUBSCRIPTION_FLAG = 2;

interface SendBackRequest {
  readonly group: string;
  readonly offset: number;
  /** Negative for dead letters, 0 for the broker's choice. */
  readonly delayLevel: number;
  readonly originTopic: string | undefined;
  readonly unitMode: boolean;
  readonly clientVersion: number;
  readonly maxReconsumeTimes: number | undefined;
}

export class SendBack {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #hosts: StoreHosts;
  readonly #schedule: ScheduleMessageService;
  readonly #waiters: FlushWaiters;
  readonly #record = new RecordView();
  readonly #message = emptyMessage();
  readonly #result = emptyPutResult();
  #queueTurn = 0;

  constructor(
    context: BrokerContext,
    store: MessageStore,
    hosts: StoreHosts,
    schedule: ScheduleMessageService,
    waiters: FlushWaiters,
  ) {
    this.#context = context;
    this.#store = store;
    this.#hosts = hosts;
    this.#schedule = schedule;
    this.#waiters = waiters;
  }

  register(processors: Map<number, Processor>): void {
    processors.set(RequestCode.CONSUMER_SEND_MSG_BACK, (request, connection) => this.#process(request, connection));
  }

  #process(request: Request, connection: Connection): void {
    const { opaque, serializeType, isOneway } = request.header;
    this.#result.sizeBytes = 0;
    const answer = answerOf((given) => this.#sendBack(given, connection), request, connection, this.#context.log);
    forgetBytes(this.#message);
    const { phyOffset, sizeBytes } = this.#result;
    // The consumer passes the message over once it is told that the broker has it.
    if (this.#store.syncFlush && answer.code === ResponseCode.SUCCESS && sizeBytes > 0) {
      if (isOneway) return;
      this.#waiters.add({
        position: phyOffset + sizeBytes,
        connection,
        deadlineMs: this.#context.clock.monotonicMs() + this.#context.config.syncFlushTimeout,
        answer: (outcome) => {
          const { code, remark } = flushAnswer(outcome, this.#store.failure);
          connection.writer.response(opaque, serializeType, code, remark);
        },
      });
      return;
    }
    connection.writer.response(opaque, serializeType, answer.code, answer.remark);
  }

  #sendBack(given: Request, connection: Connection): Answer {
    const { config, groups } = this.#context;
    const request = sendBackRequest(given.header);
    const group = groups.find(request.group);
    if (group === undefined) return noSuchGroup(request.group);
    if ((config.brokerPermission & PERM_WRITE) === 0) {
      return failure(ResponseCode.NO_PERMISSION, `the broker[${connection.localHost}] sending message is forbidden`);
    }
    // The group does without retries: the message is done with.
    if (group.retryQueueNums <= 0) return SUCCESS;
    const topic = this.#retryTopic(group, request.unitMode);
    if (!(topic instanceof Topic)) return topic;
    const record = this.#store.lookUp.readRecord(request.offset, this.#record);
    if (record === undefined) {
      return failure(ResponseCode.SYSTEM_ERROR, `look message by offset failed, ${request.offset}`);
    }
    const refusal = this.#refusal(given, connection, request.group, record);
    if (refusal !== undefined) return failure(ResponseCode.NO_PERMISSION, refusal);
    return this.#put(request, group, topic, record, connection);
  }

  #refusal(request: Request, connection: Connection, group: string, record: Buffer): string | undefined {
    const { access } = this.#context;
    if (access?.enforced !== true) return undefined;
    const { topicStart, topicLength, propertiesStart, propertiesLength } = this.#record;
    const topic = record.toString("utf8", topicStart, topicStart + topicLength);
    const properties = decodeProperties(record, propertiesStart, propertiesStart + propertiesLength);
    return consumedRefusal({ access, request, connection }, group, topic, properties);
  }

  #retryTopic(group: SubscriptionGroup, unitMode: boolean): Topic | Answer {
    const name = retryTopic(group.name);
    const queueNums = Math.min(group.retryQueueNums, this.#context.config.topicQueueCountMax);
    const sysFlag = unitMode ? UNIT_SUBSCRIPTION_FLAG : 0;
    const perm = PERM_WRITE | PERM_READ;
    const topic = this.#context.topics.createInSendMessageBack(name, queueNums, perm, false, sysFlag);
    if (topic === undefined) return failure(ResponseCode.SYSTEM_ERROR, `topic[${name}] not exist`);
    if ((topic.perm & PERM_WRITE) !== 0) return topic;
    return failure(ResponseCode.NO_PERMISSION, `the topic[${name}] sending message is forbidden`);
  }

  #put(
    request: SendBackRequest,
    group: SubscriptionGroup,
    retry: Topic,
    record: Buffer,
    connection: Connection,
  ): Answer {
    const message = this.#message;
    copyMessage(record, this.#record, message);
    const properties = retryProperties(record, this.#record);
    const { reconsumeTimes } = this.#record;
    const tries = maxReconsumeTimes(group, request.clientVersion, request.maxReconsumeTimes);
    const isDead = request.delayLevel < 0 || reconsumeTimes >= tries;
    const target = isDead ? deadLetterTopic(this.#context, group.name) : retry;
    if (!(target instanceof Topic)) return target;
    const level = request.delayLevel === 0 ? FIRST_DELAY_LEVEL + reconsumeTimes : request.delayLevel;
    message.queue = topicQueue(this.#context.store, target, isDead ? 0 : this.#retryQueueId(group, retry));
    message.storeHost = this.#hosts.of(connection);
    message.reconsumeTimes = reconsumeTimes + 1;
    const isDelayed = this.#delay(properties, isDead ? 0 : level);
    message.properties = encodeProperties(inApacheOrder(properties));
    message.propertiesStart = 0;
    message.propertiesLength = message.properties.length;
    const answer = this.#append(isDelayed ? this.#schedule.topic : target);
    if (answer !== SUCCESS) return answer;
    // Only topics that exist are counted: the property may say anything.
    const origin = this.#context.topics.get(properties.get(PropertyName.RETRY_TOPIC)!);
    if (origin !== undefined) this.#context.stats.groupGets(group.name, origin.name).sendBacks.add(1);
    if (isDead) this.#logDead(request, properties);
    return answer;
  }

  /** The queues that the group has now, as far as the topic has them too: nobody would read from others. */
  #retryQueueId(group: SubscriptionGroup, retry: Topic): number {
    this.#queueTurn = (this.#queueTurn + 1) & 0x7fffffff;
    return this.#queueTurn % Math.max(1, Math.min(group.retryQueueNums, retry.readQueueNums));
  }

  /** Has the message wait in `level`; false when it is not to wait. What is in no queue cannot wait in one. */
  #delay(properties: Map<string, string>, level: number): boolean {
    const message = this.#message;
    if (level <= 0 || !isQueued(message.sysFlag)) {
      properties.set(PropertyName.DELAY_TIME_LEVEL, String(level));
      return false;
    }
    const levelInUse = Math.min(level, this.#schedule.levelMax);
    markDelayed(properties, levelInUse, message.queue.topic, message.queue.queueId);
    message.queue = this.#schedule.queueOf(levelInUse);
    return true;
  }

  #append(topic: Topic): Answer {
    const { config, stats } = this.#context;
    const status = this.#store.put(this.#message, this.#result);
    if (status !== PutStatus.PUT_OK) {
      stats.putsFailed++;
      const { remark } = putRefusal(status, config.maxMessageSize, this.#store.failure);
      return failure(ResponseCode.SYSTEM_ERROR, remark);
    }
    stats.recordPut(topic, 1, this.#result.sizeBytes);
    if (topic === this.#schedule.topic) this.#schedule.stored(this.#message.queue, this.#result);
    return SUCCESS;
  }

  #logDead({ group, originTopic, offset }: SendBackRequest, properties: ReadonlyMap<string, string>): void {
    const uniqueKey = properties.get(PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX);
    this.#context.log.info({ group, originTopic, offset, uniqueKey }, "a message that was tried goes to dead letters");
  }
}

function sendBackRequest(header: HeaderView): SendBackRequest {
  return {
    group: requiredText(header, "group"),
    offset: requiredInteger(header, "offset"),
    delayLevel: requiredInt(header, "delayLevel"),
    originTopic: header.text("originTopic"),
    unitMode: header.boolean("unitMode") === true,
    clientVersion: header.version,
    maxReconsumeTimes: optionalInt(header, "maxReconsumeTimes"),
  };
}

/** The message's own, and what it was before it was given back for the first time. */
function retryProperties(record: Buffer, fields: RecordView): Map<string, string> {
  const { propertiesStart, propertiesLength, topicStart, topicLength, storeHostStart, storeHostLength } = fields;
  const properties = decodeProperties(record, propertiesStart, propertiesStart + propertiesLength);
  if (isBlank(properties.get(PropertyName.ORIGIN_MESSAGE_ID) ?? "")) {
    const storeHost = record.subarray(storeHostStart, storeHostStart + storeHostLength);
    properties.set(PropertyName.ORIGIN_MESSAGE_ID, createMessageId(storeHost, fields.phyOffset));
  }
  if (!properties.has(PropertyName.RETRY_TOPIC)) {
    properties.set(PropertyName.RETRY_TOPIC, record.toString("utf8", topicStart, topicStart + topicLength));
  }
  properties.set(PropertyName.WAIT_STORE_MSG_OK, "false");
  properties.delete(PropertyName.CRC32);
  return properties;
}
