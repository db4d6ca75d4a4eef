/** What brokers ask of consumers (client/impl/ClientRemotingProcessor.java). */
import type { Logger } from "../base/log.js";
import { decodeRecord } from "../record/decode.js";
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import { integerIn, mapIn, parseFastjson, type FastjsonInput, textIn, toFastjson } from "../remoting/fastjson.js";
import { CURRENT_VERSION, versionName } from "../remoting/mq-version.js";
import type { Processor } from "../remoting/types.js";
import {
  type BrokerAnswer,
  type BrokerRequest,
  type BrokerRequestHandler,
  brokerProcessor,
} from "./broker-requests.js";
import { type ConsumerData, subscriptionJson } from "./heartbeat.js";
import { type MessageQueue, queueKey } from "./message-queue.js";
import type { OffsetStore } from "./offset-store.js";
import type { ProcessQueue } from "./process-queue.js";
import { type ReceivedFrom, type ReceivedMessage, receivedOf } from "./received-message.js";
import type { Outcome } from "./run-handler.js";

/** What of a consumer is shown and done here. */
export interface ConsumerState {
  readonly group: string;
  readonly startedMs: number;
  readonly settings: { readonly orderly: boolean };
  readonly processQueues: Iterable<ProcessQueue>;
  readonly offsets: OffsetStore;
  from(brokerName: string): ReceivedFrom;
  consumerData(): ConsumerData;
  consumersChanged(): void;
  /** By `queueKey`. */
  resetOffsets(offsets: ReadonlyMap<string, number>): Promise<void>;
  consumeDirectly(message: ReceivedMessage): Promise<Outcome>;
}

export function consumerProcessors(consumer: ConsumerState, log: Logger): Map<number, Processor> {
  const handlers: [number, BrokerRequestHandler][] = [
    [RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, async () => consumer.consumersChanged() as undefined],
    [RequestCode.RESET_CONSUMER_CLIENT_OFFSET, (request) => resetOffsets(consumer, request)],
    [RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, async (request) => consumerStatus(consumer, request)],
    [RequestCode.GET_CONSUMER_RUNNING_INFO, async () => json(runningInfo(consumer))],
    [RequestCode.CONSUME_MESSAGE_DIRECTLY, (request) => consumeDirectly(consumer, request)],
  ];
  return new Map(handlers.map(([code, handler]) => [code, brokerProcessor(handler, log)]));
}

async function resetOffsets(
  consumer: ConsumerState,
  { fields, body }: BrokerRequest,
): Promise<BrokerAnswer | undefined> {
  if (fields.get("group") !== consumer.group) return refusal(`this client has no group ${fields.get("group")}`);
  const offsets = new Map<string, number>();
  for (const [key, offset] of mapIn(parseFastjson(body), "offsetTable") ?? []) {
    const [topic, brokerName] = [textIn(asMap(key), "topic"), textIn(asMap(key), "brokerName")];
    const queueId = integerIn(asMap(key), "queueId");
    if (topic === undefined || brokerName === undefined || queueId === undefined || typeof offset !== "number")
      continue;
    offsets.set(queueKey({ topic, brokerName, queueId }), offset);
  }
  await consumer.resetOffsets(offsets);
  return undefined;
}

function asMap(key: unknown) {
  return key instanceof Map ? key : undefined;
}

function consumerStatus(consumer: ConsumerState, { fields }: BrokerRequest): BrokerAnswer {
  const topic = fields.get("topic");
  const messageQueueTable = new Map<object, number>();
  for (const { queue } of consumer.processQueues) {
    const offset = consumer.offsets.peek(queue);
    if (queue.topic === topic && offset !== undefined) messageQueueTable.set(queueJson(queue), offset);
  }
  return json({ consumerTable: {}, messageQueueTable });
}

/** ConsumerRunningInfo */
function runningInfo(consumer: ConsumerState): FastjsonInput {
  const mqTable = new Map<object, FastjsonInput>();
  for (const processQueue of consumer.processQueues)
    mqTable.set(queueJson(processQueue.queue), queueInfo(consumer, processQueue));
  const data = consumer.consumerData();
  const topics = data.subscriptions.map(({ topic }) => topic);
  return {
    mqPopTable: {},
    mqTable,
    properties: {
      PROP_CLIENT_VERSION: versionName(CURRENT_VERSION),
      PROP_CONSUMEORDERLY: String(consumer.settings.orderly),
      PROP_CONSUMER_START_TIMESTAMP: String(consumer.startedMs),
      PROP_CONSUME_TYPE: data.consumeType,
      PROP_NAMESERVER_ADDR: "",
      PROP_THREADPOOL_CORE_SIZE: "1",
    },
    statusTable: Object.fromEntries(topics.map((topic) => [topic, NO_STATUS])),
    subscriptionSet: data.subscriptions.map(subscriptionJson),
    userConsumerInfo: {},
  };
}

const NO_STATUS = { consumeFailedMsgs: 0, consumeFailedTPS: 0, consumeOKTPS: 0, consumeRT: 0, pullRT: 0, pullTPS: 0 };

function queueInfo(consumer: ConsumerState, processQueue: ProcessQueue): FastjsonInput {
  const first = processQueue.firstOffset ?? 0;
  return {
    cachedMsgCount: processQueue.count,
    cachedMsgMaxOffset: first + processQueue.span,
    cachedMsgMinOffset: first,
    cachedMsgSizeInMiB: Math.floor(processQueue.bytes / 1048576),
    commitOffset: consumer.offsets.peek(processQueue.queue) ?? 0,
    droped: processQueue.dropped,
    lastConsumeTimestamp: processQueue.lastConsumeMs,
    lastLockTimestamp: 0,
    lastPullTimestamp: processQueue.lastPullMs,
    locked: processQueue.locked,
    transactionMsgCount: 0,
    transactionMsgMaxOffset: 0,
    transactionMsgMinOffset: 0,
    tryUnlockTimes: 0,
  };
}

async function consumeDirectly(consumer: ConsumerState, { fields, body }: BrokerRequest): Promise<BrokerAnswer> {
  const [message] = await receivedOf(decodeRecord(body), consumer.from(fields.get("brokerName") ?? ""));
  if (message === undefined) return refusal("there is no message in the body");
  const begun = performance.now();
  const { consumed, error } = await consumer.consumeDirectly(message);
  return json({
    autoCommit: true,
    consumeResult: consumed ? "CR_SUCCESS" : "CR_LATER",
    order: consumer.settings.orderly,
    remark: consumed ? undefined : String(error),
    spentTimeMills: Math.round(performance.now() - begun),
  });
}

function queueJson({ topic, brokerName, queueId }: MessageQueue): object {
  return { brokerName, queueId, topic };
}

function json(value: FastjsonInput): BrokerAnswer {
  return { code: ResponseCode.SUCCESS, body: Buffer.from(toFastjson(value)) };
}

function refusal(remark: string): BrokerAnswer {
  return { code: ResponseCode.SYSTEM_ERROR, remark };
}
