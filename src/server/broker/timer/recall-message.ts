/**
 * Code 370: a producer takes back a message that waits (broker/processor/RecallMessageProcessor.java). The recall is a
 * message itself, put into the timer topic for the moment that the other one is due at, and found there before it.
 */
import { encodeProperties } from "../../../record/properties.js";
import { PropertyName } from "../../../record/property-names.js";
import { RequestCode, ResponseCode } from "../../../remoting/codes.js";
import type { HeaderView } from "../../../remoting/header-view.js";
import type { Connection, Processor, Request } from "../../../remoting/types.js";
import type { MessageStore } from "../../../store/message-store.js";
import { PutStatus } from "../../../store/types.js";
import { type Answer, answerOf, failure, quoted, requiredText } from "../../answer.js";
import { PERM_WRITE } from "../../protocol/topic-config.js";
import type { BrokerContext } from "../context.js";
import type { FlushWaiters } from "../flush-waiters.js";
import { emptyMessage, emptyPutResult } from "../message-copy.js";
import { putRefusal } from "../put-remark.js";
import type { StoreHosts } from "../store-hosts.js";
import { parseRecallHandle, type RecallHandle } from "./recall-handle.js";
import { findTimer } from "./timer-list.js";
import type { TimerMessageStore } from "./timer-message-store.js";
import { outMsOf } from "./timer-properties.js";

const BODY = Buffer.from("0");
const TAG = "_RECALL_TAG_";

export interface RecallMessageOptions {
  readonly context: BrokerContext;
  readonly store: MessageStore;
  readonly hosts: StoreHosts;
  /** Undefined in a broker that has none. */
  readonly timers: TimerMessageStore | undefined;
  readonly waiters: FlushWaiters;
}

interface Recall {
  readonly topic: string;
  readonly uniqueKey: string;
  readonly deliverMs: number;
  readonly producerGroup?: string | undefined;
  readonly bornHost: Buffer;
  readonly storeHost: Buffer;
}

export class RecallMessage {
  readonly #context: BrokerContext;
  readonly #store: MessageStore;
  readonly #hosts: StoreHosts;
  readonly #timers: TimerMessageStore | undefined;
  readonly #waiters: FlushWaiters;
  readonly #message = emptyMessage();
  readonly #result = emptyPutResult();

  constructor({ context, store, hosts, timers, waiters }: RecallMessageOptions) {
    this.#context = context;
    this.#store = store;
    this.#hosts = hosts;
    this.#timers = timers;
    this.#waiters = waiters;
  }

  register(processors: Map<number, Processor>): void {
    processors.set(RequestCode.RECALL_MESSAGE, (request, connection) => this.#process(request, connection));
  }

  #process(request: Request, connection: Connection): void {
    const { opaque, serializeType, isOneway } = request.header;
    const { clock, config, log } = this.#context;
    this.#result.sizeBytes = 0;
    const { code, remark, fields } = answerOf(
      ({ header }) => this.#recall(header, connection),
      request,
      connection,
      log,
    );
    const answer = () => {
      const all = { MSG_REGION: config.regionId, ...fields };
      connection.writer.response(opaque, serializeType, code, remark, all);
    };
    const { phyOffset, sizeBytes } = this.#result;
    if (!this.#store.syncFlush || sizeBytes === 0) {
      answer();
      return;
    }
    if (isOneway) return;
    this.#waiters.add({
      position: phyOffset + sizeBytes,
      connection,
      deadlineMs: clock.monotonicMs() + config.syncFlushTimeout,
      answer: (outcome) => {
        if (outcome !== "failed") {
          answer();
          return;
        }
        const refusal = putRefusal(PutStatus.SERVICE_NOT_AVAILABLE, 0, this.#store.failure);
        connection.writer.response(opaque, serializeType, refusal.code, refusal.remark);
      },
    });
  }

  #recall(header: HeaderView, connection: Connection): Answer {
    const { config, clock, topics } = this.#context;
    const topic = requiredText(header, "topic");
    const handleText = requiredText(header, "recallHandle");
    if (!config.recallMessageEnable) {
      return failure(ResponseCode.NO_PERMISSION, "recall failed, operation is forbidden");
    }
    const isWritable = (config.brokerPermission & PERM_WRITE) !== 0 || config.allowRecallWhenBrokerNotWriteable;
    if (!isWritable || this.#timers === undefined || clock.nowMs() < config.startAcceptSendRequestTimeStamp) {
      return failure(ResponseCode.SERVICE_NOT_AVAILABLE, "recall failed, broker service not available");
    }
    if (topics.get(topic) === undefined) {
      return failure(ResponseCode.TOPIC_NOT_EXIST, `recall failed, the topic[${quoted(topic)}] not exist`);
    }
    const handle = parseRecallHandle(handleText);
    const problem = handle === undefined ? "recall handle is invalid" : this.#problemOf(handle, topic);
    if (handle === undefined || problem !== undefined) return failure(ResponseCode.ILLEGAL_OPERATION, problem!);
    const { timestampMs, uniqueKey } = handle;
    const timers = this.#timers;
    const producerGroup = header.text("producerGroup");
    const hosts = { bornHost: connection.remoteHost, storeHost: this.#hosts.of(connection) };
    return this.#put(timers, { topic, uniqueKey, deliverMs: timestampMs, producerGroup, ...hosts });
  }

  #problemOf(handle: RecallHandle, topic: string): string | undefined {
    const { config, clock } = this.#context;
    if (handle.topic !== topic) return "recall failed, topic not match";
    if (handle.brokerName !== config.brokerName) {
      return `recall failed, broker service not available: the recallHandle is of broker ${quoted(handle.brokerName)}`;
    }
    const leftMs = handle.timestampMs - clock.nowMs();
    if (leftMs > 0 && leftMs < config.timerMaxDelaySec * 1000) return undefined;
    return `recall failed, timestamp invalid: ${handle.timestampMs} of the recallHandle is not ahead`;
  }

  /**
   * Takes a message back for an operator, who knows no handle. False when none of `topic` with that unique key waits, or
   * it is too late.
   */
  cancel(topic: string, uniqueKey: string): boolean {
    const nowMs = this.#context.clock.nowMs();
    const timers = this.#timers;
    const outMs = findTimer(this.#store, topic, uniqueKey, nowMs);
    if (timers === undefined || outMs === undefined || outMs < nowMs || this.#context.topics.get(topic) === undefined)
      return false;
    const storeHost = this.#hosts.ofLocal();
    return this.#put(timers, { topic, uniqueKey, deliverMs: outMs + 1, bornHost: storeHost, storeHost }).code === 0;
  }

  #put(timers: TimerMessageStore, recall: Recall): Answer {
    const { topic, uniqueKey, deliverMs, producerGroup = "", bornHost, storeHost } = recall;
    const { config, clock, stats } = this.#context;
    const message = this.#message;
    const nowMs = clock.nowMs();
    message.properties = encodeProperties([
      [PropertyName.TIMER_DEL_UNIQKEY, config.appendTopicForTimerDeleteKey ? `${topic}+${uniqueKey}` : uniqueKey],
      [PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX, uniqueKey],
      [PropertyName.TIMER_DELIVER_MS, String(deliverMs)],
      [PropertyName.BORN_TIMESTAMP, String(nowMs)],
      [PropertyName.TRACE_CONTEXT, ""],
      [PropertyName.PRODUCER_GROUP, printable(producerGroup)],
      [PropertyName.TAGS, TAG],
      [PropertyName.TIMER_OUT_MS, String(outMsOf(deliverMs, config.timerPrecisionMs))],
      [PropertyName.REAL_TOPIC, topic],
      [PropertyName.REAL_QUEUE_ID, "0"],
    ]);
    message.propertiesStart = 0;
    message.propertiesLength = message.properties.length;
    message.queue = timers.queue;
    message.body = BODY;
    message.bodyStart = 0;
    message.bodyLength = BODY.length;
    message.bornTimestamp = nowMs;
    message.bornHost = bornHost;
    message.storeHost = storeHost;
    const status = this.#store.put(message, this.#result);
    if (status !== PutStatus.PUT_OK) {
      stats.putsFailed++;
      const { remark } = putRefusal(status, config.maxMessageSize, this.#store.failure);
      return failure(ResponseCode.SYSTEM_ERROR, `recall failed, execute error: ${remark}`);
    }
    stats.recordPut(timers.topic, 1, this.#result.sizeBytes);
    timers.stored(message, this.#result);
    return { code: ResponseCode.SUCCESS, fields: { msgId: uniqueKey } };
  }
}

/** A group's name becomes the value of a property. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "").slice(0, 255);
}
