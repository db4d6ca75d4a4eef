/** The producer (client/producer/DefaultMQProducer.java). */
import { randomUUID } from "node:crypto";
import { PropertyName } from "../record/property-names.js";
import { RequestCode } from "../remoting/codes.js";
import { shown } from "../base/given-values.js";
import { checkCall, positive } from "./arguments.js";
import { brokerProcessor } from "./broker-requests.js";
import { ClientInstance, type ClientRole } from "./client-instance.js";
import { ClientClosedError, expectSuccessFrom, MessageError } from "./errors.js";
import type { Message, OutgoingMessage } from "./message.js";
import type { MessageQueue } from "./message-queue.js";
import { checkSend, MessageSender, type SenderSettings, type SendOptions, type SendReport } from "./message-sender.js";
import {
  CALL_OPTIONS,
  type CallOptions,
  type ClientSettings,
  checkStart,
  checkTopic,
  type StartOptions,
  settingsOf,
} from "./options.js";
import { OwnCallbacks } from "./own-callbacks.js";
import type { ReceivedMessage } from "./received-message.js";
import { type Reply, ReplyWaiters } from "./reply-waiters.js";
import { PRODUCER_OPTIONS, type ProducerOptions, type ProducerSettings, senderSettings } from "./sender-settings.js";
import { type TraceDispatcher, traceDispatcherOf, traceOfSend } from "./trace-dispatcher.js";
import { REPLY_TYPE, type SendResult } from "./send-request.js";
import { abortable } from "./waiting.js";

/** Of a request that waits for its reply. */
export interface RequestOptions extends SendOptions {
  /** For the reply (3 s); the request has a part of it. */
  readonly timeoutMs?: number;
}

/** A batch stays below a message's limit with its properties, too. */
const BATCH_MESSAGE_OVERHEAD_BYTES = 256;
const REPLY_TOPIC_POSTFIX = "REPLY_TOPIC";

/** Sends messages: to one queue after the other, to that of a key, or to one named. */
export class Producer implements AsyncDisposable {
  readonly #instance: ClientInstance;
  readonly #sender: MessageSender;
  readonly #settings: SenderSettings;
  readonly #replies: ReplyWaiters;
  readonly #trace: TraceDispatcher | undefined;
  /** @internal */
  protected readonly callbacks = new OwnCallbacks();
  #closing: Promise<void> | undefined;

  /** Throws COMETMQ_CONFIG for options that cannot be. Servers are connected when they are needed. */
  static async start(options: ProducerOptions, startOptions: StartOptions = {}): Promise<Producer> {
    checkStart("Producer.start", options, PRODUCER_OPTIONS, startOptions);
    startOptions.signal?.throwIfAborted();
    return new Producer(settingsOf(options), senderSettings(options), new Map());
  }

  /** For `start`, and for producers that answer further requests of brokers. */
  protected constructor(
    settings: ClientSettings,
    sender: ProducerSettings,
    processors: NonNullable<ClientRole["processors"]>,
  ) {
    this.#settings = sender;
    this.#replies = new ReplyWaiters(settings.clock);
    const reply = brokerProcessor((request) => this.#replies.take(request), settings.log);
    this.#instance = new ClientInstance(settings, {
      producerGroup: sender.producerGroup,
      processors: new Map([...processors, [RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, reply]]),
    });
    this.#trace = sender.enableMsgTrace ? traceDispatcherOf(this.#instance, sender) : undefined;
    const onSent =
      this.#trace &&
      ((report: SendReport) => {
        // Of messages that the broker says it does not trace there is no half of a trace either.
        if (report.result?.traceOn !== false) this.#trace?.add(traceOfSend(report, this.#instance, this.group));
      });
    this.#sender = new MessageSender(this.#instance, { ...sender, ...(onSent && { onSent }) });
    this.#instance.start();
  }

  /** Of the producers that do the same work. */
  get group(): string {
    return this.#settings.producerGroup;
  }

  /** Unique in the group: what brokers know this producer by. */
  get clientId(): string {
    return this.#instance.clientId;
  }

  /**
   * Resolves when a broker has the message, as safely as `status` says. Rejects with MessageError, NoRouteError,
   * ResponseError, SendError when several attempts failed, or CometError with COMETMQ_TIMEOUT or COMETMQ_CONNECT.
   */
  async send(message: Message, options: SendOptions = {}): Promise<SendResult> {
    const own = this.namespaced(message);
    checkSend("send", options);
    return this.#sender.send(own, this.#sender.outgoing(own), options);
  }

  /** Resolves when the message is on its way; whether a broker has stored it, nobody says. */
  async sendOneway(message: Message, options: SendOptions = {}): Promise<void> {
    const own = this.namespaced(message);
    checkSend("sendOneway", options);
    await this.#sender.sendOneway(own, this.#sender.outgoing(own), options);
  }

  /**
   * Sends messages of one topic in as few requests as their sizes allow; a result for each, in order. Messages of a batch
   * have no delays, and go to one queue: that of `orderKey` if all have the same.
   */
  async sendBatch(messages: readonly Message[], options: SendOptions = {}): Promise<SendResult[]> {
    if (!Array.isArray(messages)) throw new MessageError(`The messages are ${shown(messages)}, no list.`);
    if (messages.length === 0) return [];
    for (const message of messages) checkMessage(message);
    checkSend("sendBatch", options);
    checkBatch(messages);
    const own = messages.map((message) => this.namespaced(message));
    const outgoing = own.map((message) => this.#sender.outgoing(message));
    return this.#sender.hold(this.#sendInBatches(own, outgoing, options));
  }

  async #sendInBatches(
    messages: readonly Message[],
    outgoing: readonly OutgoingMessage[],
    options: SendOptions,
  ): Promise<SendResult[]> {
    const results: SendResult[] = [];
    for (let from = 0; from < messages.length; ) {
      const to = endOfBatch(outgoing, from, this.#settings.maxMessageSize);
      results.push(...(await this.#sender.sendBatch(messages.slice(from, to), outgoing.slice(from, to), options)));
      from = to;
    }
    return results;
  }

  /** Sends a message and waits for a consumer's `reply`. Rejects with RequestTimeoutError when none comes in time. */
  async request(message: Message, options: RequestOptions = {}): Promise<Reply> {
    checkSend("request", options);
    const timeoutMs = positive("timeoutMs", options.timeoutMs, this.#settings.sendMsgTimeout);
    const own = this.namespaced(message);
    const outgoing = this.#sender.outgoing(own);
    const correlationId = randomUUID();
    outgoing.properties.set(PropertyName.CORRELATION_ID, correlationId);
    outgoing.properties.set(PropertyName.MESSAGE_REPLY_TO_CLIENT, this.clientId);
    outgoing.properties.set(PropertyName.MESSAGE_TTL, String(timeoutMs));
    const reply = this.#replies.wait(correlationId, timeoutMs, options.signal);
    // A reply can come before the answer to the send does, and an error of the send is the one to tell.
    reply.catch(() => undefined);
    const sent = this.#sender.send(own, outgoing, { ...options, timeoutMs });
    try {
      await Promise.race([sent, reply]);
      return await reply;
    } finally {
      sent.catch(() => undefined);
    }
  }

  /** Answers a message that came by `request`. Throws MessageError for any other. */
  async reply(request: ReceivedMessage, body: string | Uint8Array, options: SendOptions = {}): Promise<SendResult> {
    checkSend("reply", options);
    const given: unknown = request?.properties;
    const properties: ReadonlyMap<string, string> = given instanceof Map ? given : new Map();
    const cluster = properties.get(PropertyName.CLUSTER);
    const correlationId = properties.get(PropertyName.CORRELATION_ID);
    const client = properties.get(PropertyName.MESSAGE_REPLY_TO_CLIENT);
    if (cluster === undefined || correlationId === undefined || client === undefined) {
      throw new MessageError("This message asks for no reply.");
    }
    const message: Message = { topic: `${cluster}_${REPLY_TOPIC_POSTFIX}`, body };
    const outgoing = this.#sender.outgoing(message);
    outgoing.properties.set(PropertyName.MESSAGE_TYPE, REPLY_TYPE);
    outgoing.properties.set(PropertyName.CORRELATION_ID, correlationId);
    outgoing.properties.set(PropertyName.MESSAGE_REPLY_TO_CLIENT, client);
    outgoing.properties.set(PropertyName.MESSAGE_TTL, properties.get(PropertyName.MESSAGE_TTL) ?? "3000");
    return this.#sender.send(message, outgoing, options);
  }

  /** Takes a timed message back before it is delivered; the unique id of what was recalled. */
  async recall(topic: string, recallHandle: string, options: CallOptions = {}): Promise<string> {
    checkCall("recall", options, CALL_OPTIONS);
    const text: unknown = recallHandle;
    const decoded = typeof text === "string" ? Buffer.from(text, "base64url").toString("utf8") : "";
    const brokerName = decoded.split(" ")[2];
    if (brokerName === undefined) throw new MessageError("This is no recall handle.");
    const [queue] = await this.publishQueues(topic, options);
    const fields = { producerGroup: this.group, topic: queue!.topic, recallHandle, n: brokerName };
    const address = this.#instance.masterOf(brokerName);
    const answer = await this.#instance.callAddress(address, RequestCode.RECALL_MESSAGE, fields, undefined, options);
    return expectSuccessFrom(address, answer).fields.msgId ?? "";
  }

  /** The queues that messages of `topic` can be sent to. */
  async publishQueues(topic: string, options: CallOptions = {}): Promise<MessageQueue[]> {
    checkCall("publishQueues", options, CALL_OPTIONS);
    options.signal?.throwIfAborted();
    if (this.#closing !== undefined) throw new ClientClosedError("producer");
    return abortable(this.#sender.queues(checkTopic(topic, this.#instance)), options.signal);
  }

  /**
   * Waits for what is on its way, transactions included, says good-bye to the brokers, ends every connection and timer. A
   * local transaction or check of this producer that calls it is not held up: it resolves at once, and the rest is done
   * when the function has returned, whose word counts.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.callbacks.closed(this.#closing);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** For producers made of this one. */
  protected get instance(): ClientInstance {
    return this.#instance;
  }

  protected get trace(): TraceDispatcher | undefined {
    return this.#trace;
  }

  /** Of producers made of this one. */
  protected get sender(): MessageSender {
    return this.#sender;
  }

  /** With its whole topic. */
  protected namespaced(message: Message): Message {
    checkMessage(message);
    const topic = checkTopic(message.topic, this.#instance);
    return topic === message.topic ? message : { ...message, topic };
  }

  async #close(): Promise<void> {
    await this.#sender.close();
    await this.#trace?.close();
    this.#replies.failAll(new ClientClosedError("producer"));
    await this.#instance.close();
  }
}

function checkMessage(message: Message): void {
  if (typeof message !== "object" || message === null)
    throw new MessageError(`The message is ${shown(message)}, no object with topic and body.`);
}

function checkBatch(messages: readonly Message[]): void {
  const [first] = messages;
  for (const { topic, orderKey, delayLevel, delayMs, deliverAt, waitStoreMsgOk } of messages) {
    if (topic !== first!.topic) throw new MessageError("The messages of a batch have one topic.");
    if (orderKey !== first!.orderKey) throw new MessageError("The messages of a batch have one orderKey.");
    if (waitStoreMsgOk !== first!.waitStoreMsgOk)
      throw new MessageError("The messages of a batch have one waitStoreMsgOk.");
    if ((delayLevel ?? delayMs ?? deliverAt) !== undefined)
      throw new MessageError("Messages of a batch have no delay.");
  }
}

/** Where the request ends that begins with message `from`. */
function endOfBatch(messages: readonly OutgoingMessage[], from: number, bytesMax: number): number {
  let bytes = 0;
  let to = from;
  for (; to < messages.length; to++) {
    const { body, properties } = messages[to]!;
    bytes += body.length + BATCH_MESSAGE_OVERHEAD_BYTES;
    for (const [name, value] of properties) bytes += 3 * (name.length + value.length);
    if (bytes > bytesMax && to > from) break;
  }
  return to;
}
