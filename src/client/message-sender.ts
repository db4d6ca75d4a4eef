/**
 * Sends messages to the brokers of their topics, with retries at others and within a time (the sending part of
 * client/impl/producer/DefaultMQProducerImpl.java). Producers stand on it.
 */
import { CometError } from "../base/errors.js";
import type { OptionNames } from "../base/option-names.js";
import { compressBody } from "../record/compression.js";
import { CompressionType, withCompression } from "../record/sys-flag.js";
import { ResponseCode } from "../remoting/codes.js";
import { checkCall, checkFunction, checkQueue, yesOrNo } from "./arguments.js";
import type { ClientInstance } from "./client-instance.js";
import { ClientClosedError, MessageError, NoRouteError, ResponseError, SendError, TimeoutError } from "./errors.js";
import { LatencyFaultTolerance } from "./latency-fault.js";
import { type Message, type OutgoingMessage, outgoingOf } from "./message.js";
import { compareTexts, type MessageQueue } from "./message-queue.js";
import { QueueRotation, queueByHash } from "./queue-choice.js";
import { SendRoom } from "./send-room.js";
import { batchRequest, type SendRequest, type SendResult, sendRequest, sendResults } from "./send-request.js";
import { publishQueues } from "./topic-route.js";
import { UniqueIds } from "./unique-id.js";
import { abortable, within } from "./waiting.js";

/** DefaultMQProducer's retryResponseCodes, and a broker's plea for patience. */
const RETRY_RESPONSE_CODES: ReadonlySet<number> = new Set([
  ResponseCode.TOPIC_NOT_EXIST,
  ResponseCode.SERVICE_NOT_AVAILABLE,
  ResponseCode.SYSTEM_ERROR,
  ResponseCode.SYSTEM_BUSY,
  ResponseCode.NO_PERMISSION,
  ResponseCode.NO_BUYER_ID,
  ResponseCode.NOT_IN_CURRENT_UNIT,
  ResponseCode.FLOW_CONTROL,
]);

/** For a newer route between attempts. */
const ROUTE_PATIENCE_MS = 1000;

const COMPRESSION_TYPES = {
  lz4: CompressionType.LZ4,
  zstd: CompressionType.ZSTD,
  zlib: CompressionType.ZLIB,
} as const;
/** How bodies are compressed. A consumer of RocketMQ 4 reads zlib only. */
export type Compression = keyof typeof COMPRESSION_TYPES;

export interface SenderSettings {
  readonly producerGroup: string;
  readonly sendMsgTimeout: number;
  readonly sendMsgMaxTimeoutPerRequest: number | undefined;
  readonly retryTimesWhenSendFailed: number;
  readonly retryAnotherBrokerWhenNotStoreOK: boolean;
  readonly compression: Compression;
  readonly compressMsgBodyOverHowmuch: number;
  readonly compressLevel: number | undefined;
  readonly maxMessageSize: number;
  readonly sendLatencyFaultEnable: boolean;
  readonly failFast: boolean;
  readonly backPressureForAsyncSendNum: number;
  readonly backPressureForAsyncSendSize: number;
  /** Told of every message once it is known whether a broker has it. */
  readonly onSent?: (report: SendReport) => void;
}

export interface SendReport {
  readonly message: OutgoingMessage;
  /** Undefined when the send failed. */
  readonly result: SendResult | undefined;
  readonly bornTimestamp: number;
  readonly costMs: number;
}

/** Of one send. */
export interface SendOptions {
  /** This queue and no other; there are no retries then. */
  readonly queue?: MessageQueue;
  /** Chooses the queue, and to choose none is an error; there are no retries then. `queues` is sorted and not empty. */
  readonly selectQueue?: (queues: readonly MessageQueue[], message: Message) => MessageQueue;
  /** One attempt, and no wait while too much is on its way: what fails is told at once. The producer's by default. */
  readonly failFast?: boolean;
  /** For everything, retries included. */
  readonly timeoutMs?: number;
  /** Ends the wait, with the signal's reason; the message may have been stored. */
  readonly signal?: AbortSignal;
}

export const SEND_OPTIONS: OptionNames<SendOptions> = {
  queue: true,
  selectQueue: true,
  failFast: true,
  timeoutMs: true,
  signal: true,
};

/** Throws COMETMQ_CONFIG for what `where` could not do anything with. */
export function checkSend(where: string, options: SendOptions): void {
  checkCall(where, options, SEND_OPTIONS);
  const { queue, selectQueue, failFast } = options;
  if (queue !== undefined) checkQueue("queue", queue);
  if (selectQueue !== undefined) checkFunction("selectQueue", selectQueue);
  if (failFast !== undefined) yesOrNo("failFast", failFast, false);
}

type RequestFor = (queue: MessageQueue) => SendRequest;

export class MessageSender {
  readonly #instance: ClientInstance;
  readonly #settings: SenderSettings;
  readonly #faults: LatencyFaultTolerance;
  readonly #rotation: QueueRotation;
  readonly #uniqueIds: UniqueIds;
  readonly #room: SendRoom;
  readonly #inFlight = new Set<Promise<unknown>>();
  #closed = false;

  constructor(instance: ClientInstance, settings: SenderSettings) {
    this.#instance = instance;
    this.#settings = settings;
    this.#faults = new LatencyFaultTolerance(instance.clock);
    this.#rotation = new QueueRotation(this.#faults);
    this.#uniqueIds = new UniqueIds(instance.clock);
    this.#room = new SendRoom(settings.backPressureForAsyncSendNum, settings.backPressureForAsyncSendSize);
  }

  /** Checked, with properties and unique id. */
  outgoing(message: Message): OutgoingMessage {
    if (this.#closed) throw new ClientClosedError("producer");
    return outgoingOf(message, this.#uniqueIds.next(), this.#settings.maxMessageSize);
  }

  async queues(topic: string): Promise<MessageQueue[]> {
    const queues = publishQueues(topic, await this.#instance.routes.getForPublish(topic));
    if (queues.length === 0) throw new NoRouteError(topic, "it has no queue that can be written");
    return queues;
  }

  /** `sysFlag` is what the message has besides compression. */
  send(message: Message, outgoing: OutgoingMessage, options: SendOptions, sysFlag = 0): Promise<SendResult> {
    return this.hold(this.#send(message, outgoing, options, sysFlag));
  }

  async #send(message: Message, outgoing: OutgoingMessage, options: SendOptions, sysFlag: number): Promise<SendResult> {
    const bornTimestamp = this.#instance.clock.nowMs();
    const { body, compressedFlag } = await this.#compressed(outgoing);
    const { producerGroup } = this.#settings;
    const parts = { producerGroup, sysFlag: sysFlag | compressedFlag, bornTimestamp, body };
    const requestFor: RequestFor = (queue) => sendRequest(outgoing, { ...parts, queue });
    const deliver = (timeoutMs: number) =>
      this.#deliver(message, requestFor, [outgoing.uniqueId], { ...options, timeoutMs });
    const sending = this.#inRoom(body.length, options, deliver);
    const results = await this.#reported(sending, [outgoing], bornTimestamp);
    return results[0]!;
  }

  /** Messages of one topic as one request. */
  sendBatch(messages: readonly Message[], outgoing: readonly OutgoingMessage[], options: SendOptions) {
    const bornTimestamp = this.#instance.clock.nowMs();
    const { producerGroup } = this.#settings;
    const requestFor: RequestFor = (queue) =>
      batchRequest(outgoing, { producerGroup, queue, sysFlag: 0, bornTimestamp });
    const uniqueIds = outgoing.map(({ uniqueId }) => uniqueId);
    const bytes = outgoing.reduce((sum, { body }) => sum + body.length, 0);
    const deliver = (timeoutMs: number) =>
      this.#deliver(messages[0]!, requestFor, uniqueIds, { ...options, timeoutMs });
    const sending = this.#inRoom(bytes, options, deliver);
    return this.hold(this.#reported(sending, outgoing, bornTimestamp));
  }

  /** Done when the request is on its way to a socket; nobody hears whether it was stored. */
  sendOneway(message: Message, outgoing: OutgoingMessage, options: SendOptions): Promise<void> {
    return this.hold(this.#sendOneway(message, outgoing, options));
  }

  async #sendOneway(message: Message, outgoing: OutgoingMessage, options: SendOptions): Promise<void> {
    const bornTimestamp = this.#instance.clock.nowMs();
    const { body, compressedFlag } = await this.#compressed(outgoing);
    const timeoutMs = options.timeoutMs ?? this.#settings.sendMsgTimeout;
    const queues = await abortable(this.#queuesWithin(outgoing.topic, timeoutMs), options.signal);
    const queue = chosenQueue(queues, message, options) ?? this.#rotation.next(queues, undefined);
    const { producerGroup } = this.#settings;
    const request = sendRequest(outgoing, { producerGroup, queue, sysFlag: compressedFlag, bornTimestamp, body });
    const address = this.#instance.masterOf(queue.brokerName);
    const { code, fields } = request;
    const sent = this.#instance.brokers.oneway(address, code, fields, body, timeoutMs);
    await abortable(sent, options.signal);
  }

  /** No more is taken; resolves when everything on its way has its answer or error. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#inFlight);
  }

  async #reported(sending: Promise<SendResult[]>, messages: readonly OutgoingMessage[], bornTimestamp: number) {
    const { onSent } = this.#settings;
    if (onSent === undefined) return sending;
    const { clock } = this.#instance;
    const begun = clock.monotonicMs();
    let results: SendResult[] | undefined;
    try {
      results = await sending;
      return results;
    } finally {
      const costMs = clock.monotonicMs() - begun;
      for (const [i, message] of messages.entries()) onSent({ message, result: results?.[i], bornTimestamp, costMs });
    }
  }

  /** Runs `deliver` with the time that is left once there is room for it. */
  async #inRoom<T>(bytes: number, options: SendOptions, deliver: (timeoutMs: number) => Promise<T>): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.#settings.sendMsgTimeout;
    let leftMs = timeoutMs;
    if (!this.#room.tryEnter(bytes)) {
      if (options.failFast ?? this.#settings.failFast) throw this.#room.refusal();
      const { clock } = this.#instance;
      const begun = clock.monotonicMs();
      const { entered, giveUp } = this.#room.enter(bytes);
      try {
        await abortable(within(clock, timeoutMs, entered, "Too much was on its way: not sent"), options.signal);
      } catch (error) {
        giveUp();
        throw error;
      }
      leftMs = Math.max(1, Math.ceil(timeoutMs - (clock.monotonicMs() - begun)));
    }
    try {
      return await deliver(leftMs);
    } finally {
      this.#room.leave(bytes);
    }
  }

  /** `work` is on its way from now on: `close` waits for it. */
  hold<T>(work: Promise<T>): Promise<T> {
    this.#inFlight.add(work);
    const done = () => void this.#inFlight.delete(work);
    work.then(done, done);
    return work;
  }

  async #deliver(
    message: Message,
    requestFor: RequestFor,
    uniqueIds: readonly string[],
    options: SendOptions,
  ): Promise<SendResult[]> {
    const { clock } = this.#instance;
    const timeoutMs = options.timeoutMs ?? this.#settings.sendMsgTimeout;
    const deadline = clock.monotonicMs() + timeoutMs;
    let queues = await abortable(this.#queuesWithin(message.topic, timeoutMs), options.signal);
    const only = chosenQueue(queues, message, options);
    const once = only !== undefined || (options.failFast ?? this.#settings.failFast);
    const attemptsMax = once ? 1 : 1 + this.#settings.retryTimesWhenSendFailed;
    const attempts: { brokerName: string; error: unknown }[] = [];
    /** By a broker that has the message, though not as safely as was wished. */
    let stored: SendResult[] | undefined;
    for (let last: string | undefined; ; ) {
      const queue = only ?? this.#rotation.next(queues, last);
      last = queue.brokerName;
      const leftMs = Math.ceil(deadline - clock.monotonicMs());
      try {
        if (leftMs <= 0) throw new TimeoutError(`Not sent within ${timeoutMs} ms.`);
        const results = await this.#attempt(queue, requestFor(queue), uniqueIds, leftMs, options.signal);
        const lastTry = attempts.length + 1 >= attemptsMax;
        if (results[0]!.status === "SEND_OK" || !this.#settings.retryAnotherBrokerWhenNotStoreOK || lastTry)
          return results;
        stored = results;
        attempts.push({ brokerName: last, error: undefined });
      } catch (error) {
        if (options.signal?.aborted) throw error;
        attempts.push({ brokerName: last, error });
        if (attempts.length >= attemptsMax || leftMs <= 0 || !isWorthRetrying(error)) {
          if (stored !== undefined) return stored;
          throw sendError(message.topic, attempts);
        }
      }
      const patienceMs = Math.max(1, Math.min(ROUTE_PATIENCE_MS, Math.ceil(deadline - clock.monotonicMs())));
      queues = await abortable(this.#queuesAgain(message.topic, queues, patienceMs), options.signal);
    }
  }

  async #attempt(
    queue: MessageQueue,
    { code, fields, body }: SendRequest,
    uniqueIds: readonly string[],
    leftMs: number,
    signal: AbortSignal | undefined,
  ): Promise<SendResult[]> {
    const { clock } = this.#instance;
    const begun = clock.monotonicMs();
    const timeoutMs = Math.min(leftMs, this.#settings.sendMsgMaxTimeoutPerRequest ?? leftMs);
    try {
      const address = this.#instance.masterOf(queue.brokerName);
      const answer = await this.#instance.callAddress(address, code, fields, body, { timeoutMs, signal });
      this.#judge(queue, clock.monotonicMs() - begun, false);
      return sendResults(answer, address, queue, uniqueIds);
    } catch (error) {
      if (!(error instanceof ResponseError) && !signal?.aborted) this.#judge(queue, clock.monotonicMs() - begun, true);
      throw error;
    }
  }

  #judge({ brokerName }: MessageQueue, latencyMs: number, failed: boolean): void {
    if (this.#settings.sendLatencyFaultEnable) this.#faults.update(brokerName, latencyMs, failed);
  }

  #queuesWithin(topic: string, timeoutMs: number): Promise<MessageQueue[]> {
    return within(this.#instance.clock, timeoutMs, this.queues(topic), `No route to topic ${topic} came`);
  }

  /** After a failure the route may be another one; what is known serves where nobody answers. */
  async #queuesAgain(topic: string, known: MessageQueue[], patienceMs: number): Promise<MessageQueue[]> {
    const { clock, routes } = this.#instance;
    try {
      const renewed = routes.refresh(topic).then(() => this.queues(topic));
      return await within(clock, patienceMs, renewed, `No route to topic ${topic} came`);
    } catch {
      return known;
    }
  }

  async #compressed(outgoing: OutgoingMessage): Promise<{ body: Uint8Array; compressedFlag: number }> {
    const { compressMsgBodyOverHowmuch, compression, compressLevel } = this.#settings;
    const { body } = outgoing;
    if (body.length < compressMsgBodyOverHowmuch) return { body, compressedFlag: 0 };
    const type = COMPRESSION_TYPES[compression];
    const compressed = await compressBody(body, type, compressLevel);
    return { body: compressed, compressedFlag: withCompression(0, type) };
  }
}

/** The queue that options or order demand; undefined where any will do. */
function chosenQueue(queues: MessageQueue[], message: Message, options: SendOptions): MessageQueue | undefined {
  if (options.queue !== undefined) return options.queue;
  if (options.selectQueue !== undefined) {
    const chosen: MessageQueue | undefined = options.selectQueue(queues, message);
    // Any other queue would be the wrong one, and nobody would know.
    if (typeof chosen?.brokerName !== "string" || !Number.isSafeInteger(chosen.queueId))
      throw new MessageError("selectQueue has chosen no queue.");
    return chosen;
  }
  if (message.orderKey !== undefined) return queueByHash([...queues].sort(byBroker), message.orderKey);
  return undefined;
}

function byBroker(a: MessageQueue, b: MessageQueue): number {
  return compareTexts(a.brokerName, b.brokerName) || a.queueId - b.queueId;
}

function isWorthRetrying(error: unknown): boolean {
  if (error instanceof ResponseError) return RETRY_RESPONSE_CODES.has(error.responseCode);
  return error instanceof CometError && error.retryable;
}

/** The error itself when there was one attempt only. */
function sendError(topic: string, attempts: readonly { brokerName: string; error: unknown }[]): unknown {
  return attempts.length === 1 ? attempts[0]!.error : new SendError(topic, attempts);
}
