/**
 * The consumer whose every message is acknowledged by itself: the broker keeps what was received out of sight for a time,
 * and gives it to somebody else after that (pop; POP_MESSAGE, ACK_MESSAGE, CHANGE_MESSAGE_INVISIBLETIME).
 */
import type { OptionNames } from "../base/option-names.js";
import { PropertyName } from "../record/property-names.js";
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import { shown } from "../base/given-values.js";
import { checkCall, positive, yesOrNo } from "./arguments.js";
import { ClientInstance } from "./client-instance.js";
import { CONSUMER_OPTIONS, ConsumeTrace, type ConsumeTraceOptions, type EndTrace } from "./consume-trace.js";
import { ClientClosedError, configError, expectSuccessFrom, NoRouteError, ResponseError } from "./errors.js";
import { type FilterExpression, type SubscriptionData, subscriptionOf } from "./heartbeat.js";
import { withNamespace } from "./namespace.js";
import {
  CALL_OPTIONS,
  type CallOptions,
  type ClientOptions,
  checkGroup,
  checkStart,
  START_OPTIONS,
  type StartOptions,
  settingsOf,
} from "./options.js";
import { attemptsBefore, type PopFields, popHandle, renewedHandle, topicOfHandle } from "./pop-handle.js";
import { isWanted } from "./pull-request.js";
import { checkedSubscriptions, consumeFromWhere } from "./push-options.js";
import { type ReceivedMessage, receivedMessages, setAttempts } from "./received-message.js";
import { subscribeQueues } from "./topic-route.js";
import { ConsumeReturnType } from "./trace.js";
import { abortable, Bell, orClosed, pause } from "./waiting.js";

const POP_COUNT_MAX = 32;
/** A broker is asked again after so long, however long somebody waits. */
const POP_WAIT_MS_MAX = 30_000;
/** Brokers hold a pop so long and a little longer. */
const ANSWER_MARGIN_MS = 10_000;
const DELAY_WHEN_EXCEPTION_MS = 500;
const INIT_MODE_MIN = 0;
const INIT_MODE_MAX = 1;

/** How a simple consumer is set up. `group` and `subscriptions` are needed. */
export interface SimpleConsumerOptions extends ClientOptions, ConsumeTraceOptions {
  readonly group: string;
  /** Topics, and what is wanted of each: `{ orders: "*", payments: "card \|\| cash" }`. */
  readonly subscriptions: Readonly<Record<string, FilterExpression>>;
  /** How long a received message stays out of sight (60 s). */
  readonly invisibleMs?: number;
  /** Where a group begins in a topic that is new to it ("last"). */
  readonly consumeFrom?: "last" | "first";
  /**
   * Queue by queue in order (false): while messages of a queue wait for their acknowledgement, nobody of the group is given
   * more of it. What is not acknowledged in time comes again, and what follows it after that.
   */
  readonly orderly?: boolean;
}

const OPTIONS: OptionNames<SimpleConsumerOptions> = {
  ...CONSUMER_OPTIONS,
  group: true,
  subscriptions: true,
  invisibleMs: true,
  consumeFrom: true,
  orderly: true,
};

/** How long to wait, for how much, and how long it stays out of sight. */
export interface ReceiveOptions {
  /** At most so many (16, no more than 32). */
  readonly maxCount?: number;
  /** How long to wait for the first message (15 s). */
  readonly waitMs?: number;
  /** That of the consumer by default. */
  readonly invisibleMs?: number;
  readonly signal?: AbortSignal;
}

const RECEIVE_OPTIONS: OptionNames<ReceiveOptions> = {
  maxCount: true,
  waitMs: true,
  invisibleMs: true,
  signal: true,
};

/** A message that waits for its acknowledgement. */
export interface PoppedMessage {
  readonly message: ReceivedMessage;
  /** By when it is visible again, as this machine's clock has it. */
  readonly visibleAgainMs: number;
  /** It is consumed, and comes no more. Rejects with ResponseError where its time was over. */
  ack(options?: CallOptions): Promise<void>;
  /** It is visible again after `invisibleMs` from now. 0 gives it back at once. */
  changeInvisible(invisibleMs: number, options?: CallOptions): Promise<void>;
}

interface Place {
  readonly topic: string;
  readonly brokerName: string;
}

/** A consumer whose every message is acknowledged by itself, in any order, and comes again where it is not. */
export class SimpleConsumer implements AsyncDisposable, AsyncIterable<PoppedMessage> {
  readonly group: string;
  readonly #instance: ClientInstance;
  readonly #subscriptions = new Map<string, SubscriptionData>();
  readonly #invisibleMs: number;
  readonly #initMode: number;
  readonly #orderly: boolean;
  readonly #trace: ConsumeTrace | undefined;
  /** Received by a pop that had more, or that nobody waited for any more. */
  readonly #ready: Popped[] = [];
  readonly #arrived = new Bell();
  /** Pops that a broker holds. */
  readonly #waiting = new Set<string>();
  readonly #stop = new AbortController();
  #closing: Promise<void> | undefined;

  /** Rejects with COMETMQ_CONFIG, or NoNameServerError. */
  static async start(options: SimpleConsumerOptions, startOptions: StartOptions = {}): Promise<SimpleConsumer> {
    checkStart("SimpleConsumer.start", options, OPTIONS, startOptions);
    const { signal } = startOptions;
    signal?.throwIfAborted();
    const consumer = new SimpleConsumer(options);
    return orClosed(consumer, consumer.#start(), signal);
  }

  private constructor(options: SimpleConsumerOptions) {
    const settings = settingsOf(options);
    const { consumeFrom = "last" } = options;
    if (consumeFrom !== "last" && consumeFrom !== "first")
      throw configError(`consumeFrom is ${shown(consumeFrom)}, neither "last" nor "first".`);
    this.group = checkGroup(options.group, settings);
    this.#invisibleMs = positive("invisibleMs", options.invisibleMs, 60_000);
    this.#initMode = consumeFrom === "first" ? INIT_MODE_MIN : INIT_MODE_MAX;
    this.#orderly = yesOrNo("orderly", options.orderly, false);
    const version = settings.clock.nowMs();
    for (const [topic, filter] of checkedSubscriptions(options.subscriptions, settings)) {
      this.#subscriptions.set(topic, subscriptionOf(topic, filter, version));
    }
    this.#instance = new ClientInstance(settings, {
      consumerGroup: this.group,
      consumerData: () => ({
        groupName: this.group,
        consumeType: "CONSUME_POP",
        messageModel: "CLUSTERING",
        consumeFromWhere: consumeFromWhere(consumeFrom),
        subscriptions: [...this.#subscriptions.values()],
      }),
    });
    this.#trace = ConsumeTrace.of(this.#instance, options, this.group);
  }

  /** Unique in the group: what brokers know this consumer by. */
  get clientId(): string {
    return this.#instance.clientId;
  }

  /** Messages as soon as there are any; none after `waitMs`. Rejects with the signal's reason, or ClientClosedError. */
  async receive(options: ReceiveOptions = {}): Promise<PoppedMessage[]> {
    checkCall("receive", options, RECEIVE_OPTIONS);
    const { waitMs = 15_000, signal } = options;
    if (typeof waitMs !== "number" || !(waitMs >= 0))
      throw configError(`waitMs is ${shown(waitMs)}, not a number from 0 on.`);
    const maxCount = Math.min(positive("maxCount", options.maxCount, 16), POP_COUNT_MAX);
    const invisibleMs = positive("invisibleMs", options.invisibleMs, this.#invisibleMs);
    const { clock } = this.#instance;
    const deadline = clock.monotonicMs() + waitMs;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#stop.signal.aborted) throw new ClientClosedError("consumer");
      const messages = this.#takeReady(maxCount);
      const leftMs = Math.ceil(deadline - clock.monotonicMs());
      if (messages.length > 0 || leftMs <= 0) return messages;
      const places = await abortable(this.#places(), signal);
      if (this.#stop.signal.aborted) continue;
      const arrived = this.#arrived.wait(clock, leftMs, this.#stop.signal);
      for (const place of places) {
        this.#popFrom(place, maxCount, Math.min(leftMs, POP_WAIT_MS_MAX), invisibleMs);
      }
      await abortable(arrived, signal);
    }
  }

  /** All messages, for ever, until the consumer is closed or the signal aborted. Each has to be acknowledged. */
  async *messages(options: Pick<ReceiveOptions, "signal"> = {}): AsyncGenerator<PoppedMessage, void, void> {
    checkCall("messages", options, START_OPTIONS);
    const { signal } = options;
    for (;;) {
      let messages: PoppedMessage[];
      try {
        messages = await this.receive({ maxCount: 1, ...(signal && { signal }) });
      } catch (error) {
        if (signal?.aborted || error instanceof ClientClosedError) return;
        throw error;
      }
      yield* messages;
    }
  }

  /** `messages` without options: `for await (const message of consumer)`. */
  [Symbol.asyncIterator](): AsyncGenerator<PoppedMessage, void, void> {
    return this.messages();
  }

  /** Gives back what nobody took, says good-bye to the brokers, ends every connection. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    this.#instance.start();
    for (const topic of this.#subscriptions.keys()) await this.#instance.routes.get(topic);
    await this.#instance.checkFilters(this.group, this.#subscriptions.values());
    await this.#instance.sendHeartbeats();
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#ready.splice(0).map((popped) => popped.changeInvisible(0)));
    await this.#trace?.close();
    await this.#instance.close();
  }

  #takeReady(maxCount: number): PoppedMessage[] {
    const now = this.#instance.clock.nowMs();
    const messages: PoppedMessage[] = [];
    while (messages.length < maxCount && this.#ready.length > 0) {
      const popped = this.#ready.shift()!;
      // Somebody else has it by now.
      if (popped.visibleAgainMs <= now) continue;
      popped.given(this.#trace);
      messages.push(popped);
    }
    return messages;
  }

  async #places(): Promise<Place[]> {
    const places: Place[] = [];
    for (const topic of this.#subscriptions.keys()) {
      const route = await this.#instance.routes.get(topic);
      const queues = route === undefined ? [] : subscribeQueues(topic, route);
      for (const brokerName of new Set(queues.map((queue) => queue.brokerName))) places.push({ topic, brokerName });
    }
    if (places.length === 0)
      throw new NoRouteError([...this.#subscriptions.keys()].join(), "no topic has a queue to read");
    return places;
  }

  /** One pop at a time from each place; what it brings is kept for whoever receives next. */
  #popFrom(place: Place, maxCount: number, waitMs: number, invisibleMs: number): void {
    const key = `${place.topic}\n${place.brokerName}`;
    if (this.#waiting.has(key)) return;
    this.#waiting.add(key);
    const { clock, log } = this.#instance.settings;
    void this.#pop(place, maxCount, waitMs, invisibleMs)
      .then((messages) => {
        this.#ready.push(...messages);
      })
      .catch(async (error: unknown) => {
        if (this.#stop.signal.aborted) return;
        log.warn({ err: error, ...place }, "a pop failed");
        await this.#instance.routes.refresh(place.topic).catch(() => undefined);
        await pause(clock, DELAY_WHEN_EXCEPTION_MS, this.#stop.signal);
      })
      .finally(() => {
        this.#waiting.delete(key);
        this.#arrived.ring();
      });
  }

  async #pop({ topic, brokerName }: Place, maxMsgNums: number, waitMs: number, invisibleMs: number) {
    const { clock } = this.#instance;
    const subscription = this.#subscriptions.get(topic)!;
    const address = this.#instance.masterOf(brokerName);
    const fields = {
      consumerGroup: this.group,
      topic,
      queueId: -1,
      maxMsgNums,
      invisibleTime: invisibleMs,
      pollTime: waitMs,
      bornTime: clock.nowMs(),
      initMode: this.#initMode,
      expType: subscription.expressionType,
      exp: subscription.subString,
      order: this.#orderly,
      bname: brokerName,
    };
    const timeoutMs = waitMs + ANSWER_MARGIN_MS;
    const call = { timeoutMs, signal: this.#stop.signal };
    const answer = await this.#instance.callAddress(address, RequestCode.POP_MESSAGE, fields, undefined, call);
    if (answer.code === ResponseCode.POLLING_TIMEOUT || answer.code === ResponseCode.PULL_NOT_FOUND) return [];
    if (answer.code !== ResponseCode.SUCCESS) throw new ResponseError(address, answer.code, answer.remark);
    const pop = answer.fields as unknown as PopFields;
    // The broker's clock may be another one.
    const visibleAgainMs = clock.nowMs() + invisibleMs;
    const popped: Popped[] = [];
    for (const message of await receivedMessages(answer.body, this.#instance.from(brokerName))) {
      const handle = message.properties.get(PropertyName.POP_CK) ?? popHandle(message, this.group, pop);
      if (this.#orderly) setAttempts(message, attemptsBefore(message, this.group, pop));
      const own = new Popped(this.#instance, this.group, message, handle, visibleAgainMs);
      if (isWanted(message, subscription)) popped.push(own);
      else void own.ack().catch(() => undefined);
    }
    return popped;
  }
}

class Popped implements PoppedMessage {
  readonly message: ReceivedMessage;
  visibleAgainMs: number;
  readonly #instance: ClientInstance;
  readonly #group: string;
  #handle: string;
  #givenMs = 0;
  #endTrace: EndTrace | undefined;

  constructor(
    instance: ClientInstance,
    group: string,
    message: ReceivedMessage,
    handle: string,
    visibleAgainMs: number,
  ) {
    this.message = message;
    this.visibleAgainMs = visibleAgainMs;
    this.#instance = instance;
    this.#group = group;
    this.#handle = handle;
  }

  async ack(options: CallOptions = {}): Promise<void> {
    checkCall("ack", options, CALL_OPTIONS);
    await this.#call(RequestCode.ACK_MESSAGE, {}, options);
    this.#ended(ConsumeReturnType.SUCCESS);
  }

  /** Somebody has it now. */
  given(trace: ConsumeTrace | undefined): void {
    this.#endTrace = trace?.begin([this.message]);
    this.#givenMs = this.#instance.clock.monotonicMs();
  }

  async changeInvisible(invisibleMs: number, options: CallOptions = {}): Promise<void> {
    checkCall("changeInvisible", options, CALL_OPTIONS);
    // No default: what is left out by mistake would give the message back.
    const invisibleTime = positive("invisibleMs", invisibleMs ?? Number.NaN, 0, 0);
    const { fields } = await this.#call(RequestCode.CHANGE_MESSAGE_INVISIBLETIME, { invisibleTime }, options);
    if (invisibleMs === 0) this.#ended(ConsumeReturnType.FAILED);
    // What an ordered pop is past has nothing to be extended: the answer has no fields then.
    if (fields.popTime === undefined) return;
    this.visibleAgainMs = this.#instance.clock.nowMs() + invisibleMs;
    this.#handle = renewedHandle(this.#handle, fields as unknown as PopFields);
  }

  #ended(returnType: number): void {
    this.#endTrace?.(returnType, this.#instance.clock.monotonicMs() - this.#givenMs);
    this.#endTrace = undefined;
  }

  async #call(code: number, more: { invisibleTime?: number }, options: CallOptions) {
    const { queue, queueOffset } = this.message;
    const topic = withNamespace(this.#instance.namespace, this.message.topic);
    const address = this.#instance.masterOf(queue.brokerName);
    const fields = {
      consumerGroup: this.#group,
      topic: topicOfHandle(this.#handle, topic, this.#group),
      queueId: queue.queueId,
      extraInfo: this.#handle,
      offset: queueOffset,
      bname: queue.brokerName,
      ...more,
    };
    return expectSuccessFrom(address, await this.#instance.callAddress(address, code, fields, undefined, options));
  }
}
