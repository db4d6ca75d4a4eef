/** The push consumer (client/consumer/DefaultMQPushConsumer.java): pulls by itself and calls a handler. */
import type { Clock, Timer } from "../base/clock.js";
import { RequestCode } from "../remoting/codes.js";
import { checkCall } from "./arguments.js";
import { ClientInstance } from "./client-instance.js";
import { ConsumeTrace } from "./consume-trace.js";
import { consumerProcessors, type ConsumerState } from "./consumer-requests.js";
import { ConcurrentDelivery, type Delivery, type DeliverySettings, OrderlyDelivery } from "./delivery.js";
import { ClientClosedError, configError, expectSuccessFrom } from "./errors.js";
import { type ConsumerData, type FilterExpression, type SubscriptionData, subscriptionOf } from "./heartbeat.js";
import { type MessageQueue, queueKey } from "./message-queue.js";
import { BrokerOffsetStore, FileOffsetStore, type OffsetStore } from "./offset-store.js";
import { withNamespace } from "./namespace.js";
import { checkStart, checkTopic, START_OPTIONS, type StartOptions, settingsOf } from "./options.js";
import { OwnCallbacks } from "./own-callbacks.js";
import { ProcessQueue } from "./process-queue.js";
import { PullLoop } from "./pull-loop.js";
import {
  checkedSubscriptions,
  consumeFromWhere,
  PUSH_CONSUMER_OPTIONS,
  type PushConsumerOptions,
  type PushSettings,
  pushSettings,
} from "./push-options.js";
import { QueueLocks } from "./queue-locks.js";
import { Rebalancer } from "./rebalancer.js";
import type { ReceivedFrom, ReceivedMessage } from "./received-message.js";
import { type Outcome, runHandler } from "./run-handler.js";
import { RETRY_GROUP_TOPIC_PREFIX, startOffset } from "./start-offset.js";
import { ConsumeReturnType } from "./trace.js";
import { localAddress } from "./unique-id.js";
import { abortable, orClosed, pause, Periodic } from "./waiting.js";

const LOCK_INTERVAL_MS = 20_000;
/** While a queue lacks its lock, or a broker does not answer. */
const LOCK_RETRY_MS = 1000;
/** A queue that goes holds up the others for so long at most; its lock goes when its handler is done. */
const UNLOCK_WAIT_MS = 1000;
const MAX_RECONSUME_TIMES = 16;

/** Pulls by itself and calls a handler: until it has returned, its message is not consumed. */
export class PushConsumer implements AsyncDisposable, ConsumerState {
  /** @internal */
  readonly settings: PushSettings;
  /** @internal */
  readonly startedMs: number;
  readonly #instance: ClientInstance;
  readonly #offsets: OffsetStore;
  readonly #subscriptions = new Map<string, SubscriptionData>();
  readonly #queues = new Map<string, ProcessQueue>();
  /** Queues that went while a handler was at work: nobody else is to have them before it is done. */
  readonly #leaving = new Map<string, MessageQueue>();
  readonly #locks: QueueLocks;
  readonly #rebalancer: Rebalancer;
  readonly #delivery: Delivery;
  readonly #pullLoop: PullLoop;
  readonly #timers: Periodic[] = [];
  readonly #callbacks = new OwnCallbacks();
  readonly #trace: ConsumeTrace | undefined;
  #lockRetry: Timer | undefined;
  #subVersion = 0;
  #paused = false;
  #closing: Promise<void> | undefined;

  /**
   * Resolves when the consumer has its queues of the topics that exist; of others, once they do. Rejects with
   * COMETMQ_CONFIG, NoNameServerError, or ResponseError for an expression that brokers do not take.
   */
  static async start(options: PushConsumerOptions, startOptions: StartOptions = {}): Promise<PushConsumer> {
    checkStart("PushConsumer.start", options, PUSH_CONSUMER_OPTIONS, startOptions);
    const { signal } = startOptions;
    signal?.throwIfAborted();
    const consumer = new PushConsumer(options);
    return orClosed(consumer, consumer.#start(), signal);
  }

  private constructor(options: PushConsumerOptions) {
    const settings = pushSettings(options);
    this.settings = settings;
    const shared = settings.broadcasting ? { clientId: `${localAddress()}@DEFAULT`, ...options } : options;
    const clientSettings = settingsOf(shared);
    for (const [topic, filter] of checkedSubscriptions(options.subscriptions, clientSettings))
      this.#setSubscription(clientSettings.clock, topic, filter);
    if (!settings.broadcasting) this.#setSubscription(clientSettings.clock, this.#retryTopic, "*");
    this.#instance = new ClientInstance(clientSettings, {
      consumerGroup: settings.group,
      consumerData: () => this.consumerData(),
      processors: consumerProcessors(this, clientSettings.log),
      onRouteChange: (topic) => {
        if (this.#subscriptions.has(topic)) void this.#rebalancer.rebalance();
      },
    });
    this.startedMs = this.#instance.clock.nowMs();
    const { broadcasting, group, strategy, orderly } = settings;
    this.#offsets = broadcasting
      ? new FileOffsetStore(this.#instance, settings.offsetsDirectory, this.#instance.clientId, group)
      : new BrokerOffsetStore(this.#instance, group);
    this.#locks = new QueueLocks(this.#instance, group);
    const rebalance = { consumerGroup: group, strategy: broadcasting ? undefined : strategy };
    this.#rebalancer = new Rebalancer(this.#instance, rebalance, {
      topics: () => this.#subscriptions.keys(),
      assign: (queue) => this.#assign(queue),
      revoke: (queue) => this.#revoke(queue),
    });
    this.#trace = ConsumeTrace.of(this.#instance, options, group);
    const delivery = this.#deliverySettings();
    this.#delivery = orderly ? new OrderlyDelivery(delivery) : new ConcurrentDelivery(delivery);
    const spanMax = orderly ? undefined : settings.spanMax;
    const needsLock = orderly && !broadcasting;
    const pull = { ...settings, spanMax, needsLock, commitsByPull: !broadcasting, lite: false };
    this.#pullLoop = new PullLoop(this.#instance, pull, this.#offsets, {
      subscription: (topic) => this.#subscriptions.get(topic),
      submit: (processQueue, messages) => this.#delivery.submit(processQueue, messages),
      isPaused: () => this.#paused,
      queueCount: (topic) => Math.max(1, this.assignment.filter((queue) => queue.topic === topic).length),
      restart: ({ queue }, offset) => this.resetOffsets(new Map([[queueKey(queue), offset]])),
      isConsumed: ({ count }) => count === 0,
    });
  }

  /** Its name as brokers know it, namespace included. */
  get group(): string {
    return this.settings.group;
  }

  /** By which brokers tell this client from the others of its group. */
  get clientId(): string {
    return this.#instance.clientId;
  }

  /** The queues that this consumer has now, retry topic included. */
  get assignment(): MessageQueue[] {
    return [...this.#queues.values()].map(({ queue }) => queue);
  }

  /** @internal */
  get processQueues(): Iterable<ProcessQueue> {
    return this.#queues.values();
  }

  /** @internal */
  get offsets(): OffsetStore {
    return this.#offsets;
  }

  /**
   * Adds a topic, or changes what is wanted of it. Rejects with ResponseError for an expression that brokers do not take. A
   * signal ends the wait; what brokers have heard of by then holds.
   */
  async subscribe(topic: string, filter: FilterExpression = "*", options: StartOptions = {}): Promise<void> {
    checkCall("subscribe", options, START_OPTIONS);
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#closing !== undefined) throw new ClientClosedError("consumer");
    const whole = checkTopic(topic, this.#instance);
    const subscription = subscriptionOf(whole, filter, this.#nextVersion(this.#instance.clock));
    await abortable(this.#instance.checkFilters(this.group, [subscription]), signal);
    this.#subscriptions.set(whole, subscription);
    await abortable(this.#tellAndRebalance(), signal);
  }

  /** Gives the queues of a topic back; those of the group's retry topic stay. */
  async unsubscribe(topic: string, options: StartOptions = {}): Promise<void> {
    checkCall("unsubscribe", options, START_OPTIONS);
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#closing !== undefined) throw new ClientClosedError("consumer");
    const whole = checkTopic(topic, this.#instance);
    if (whole === this.#retryTopic) throw configError("The retry topic stays.");
    this.#subscriptions.delete(whole);
    await abortable(this.#tellAndRebalance(), signal);
  }

  /** Pulls nothing more until `resume`; what was pulled is still consumed. */
  suspend(): void {
    this.#paused = true;
  }

  /** Ends `suspend`. */
  resume(): void {
    this.#paused = false;
    for (const { changed } of this.#queues.values()) changed.ring();
  }

  /**
   * Begins no further handler, waits for those at work (`awaitTerminationMs`), saves offsets, gives locks back, says
   * good-bye to the brokers, ends every connection and timer. Never rejects. A handler of this consumer that calls it is
   * not held up: it resolves at once, and the rest is done when the handler has returned, whose outcome counts.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#callbacks.closed(this.#closing);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  consumerData(): ConsumerData {
    return {
      groupName: this.group,
      consumeType: "CONSUME_PASSIVELY",
      messageModel: this.settings.broadcasting ? "BROADCASTING" : "CLUSTERING",
      consumeFromWhere: consumeFromWhere(this.settings.consumeFrom),
      subscriptions: [...this.#subscriptions.values()],
    };
  }

  /** @internal */
  from(brokerName: string): ReceivedFrom {
    return this.#instance.from(brokerName);
  }

  /**
   * NOTIFY_CONSUMER_IDS_CHANGED
   * @internal
   */
  consumersChanged(): void {
    void this.#rebalancer.rebalance();
  }

  /**
   * RESET_CONSUMER_CLIENT_OFFSET: what is held of these queues is dropped, and they begin anew.
   * @internal
   */
  async resetOffsets(offsets: ReadonlyMap<string, number>): Promise<void> {
    for (const [key, offset] of offsets) {
      const old = this.#queues.get(key);
      if (old === undefined) continue;
      old.drop();
      this.#offsets.update(old.queue, offset);
      const renewed = new ProcessQueue(old.queue, offset, this.#instance.clock);
      renewed.setLocked(old.locked);
      this.#begin(renewed);
    }
    await this.#offsets.persist();
  }

  /**
   * CONSUME_MESSAGE_DIRECTLY
   * @internal
   */
  consumeDirectly(message: ReceivedMessage): Promise<Outcome> {
    const { clock, log } = this.#instance.settings;
    const { handler, consumeTimeoutMs } = this.settings;
    const aside = new ProcessQueue(message.queue, message.queueOffset, clock);
    const callbacks = this.#callbacks;
    return runHandler({ handler, callbacks, consumeTimeoutMs, clock, log }, aside, [message]);
  }

  get #retryTopic(): string {
    return `${RETRY_GROUP_TOPIC_PREFIX}${this.settings.group}`;
  }

  async #tellAndRebalance(): Promise<void> {
    await this.#instance.sendHeartbeats();
    await this.#rebalancer.rebalance();
  }

  #setSubscription(clock: Clock, topic: string, filter: FilterExpression): void {
    this.#subscriptions.set(topic, subscriptionOf(topic, filter, this.#nextVersion(clock)));
  }

  /** Brokers take a changed subscription only with a later version, whatever the clock does. */
  #nextVersion(clock: Clock): number {
    this.#subVersion = Math.max(clock.nowMs(), this.#subVersion + 1);
    return this.#subVersion;
  }

  #deliverySettings(): DeliverySettings {
    const { clock, log } = this.#instance.settings;
    return {
      ...this.settings,
      callbacks: this.#callbacks,
      clock,
      log,
      offsets: this.#offsets,
      sendBack: (message, delayLevel) => this.#sendBack(message, delayLevel),
      observe: this.#trace && ((messages) => this.#observe(messages)),
    };
  }

  #observe(messages: readonly ReceivedMessage[]): (outcome: Outcome, elapsedMs: number) => void {
    const end = this.#trace!.begin(messages);
    const { SUCCESS, TIME_OUT, EXCEPTION } = ConsumeReturnType;
    return ({ consumed, timedOut }, elapsedMs) => end(consumed ? SUCCESS : timedOut ? TIME_OUT : EXCEPTION, elapsedMs);
  }

  async #start(): Promise<void> {
    if (this.#offsets.open !== undefined) await this.#offsets.open();
    this.#instance.start();
    // Whether a topic exists may change; that a name server answers is asked for.
    for (const topic of [...this.#subscriptions.keys()]) {
      const route = await this.#instance.routes.get(topic);
      if (route === undefined)
        this.#instance.settings.log.info({ topic }, "a topic that does not exist yet is waited for");
    }
    await this.#instance.checkFilters(this.group, this.#subscriptions.values());
    await this.#instance.sendHeartbeats();
    await this.#rebalancer.start();
    if (this.#closing !== undefined) return;
    const { clock } = this.#instance;
    this.#timers.push(new Periodic(clock, this.settings.persistIntervalMs, () => this.#offsets.persist()));
    if (this.settings.orderly && !this.settings.broadcasting) {
      this.#timers.push(new Periodic(clock, LOCK_INTERVAL_MS, () => this.#renewLocks()));
    }
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) timer.stop();
    this.#lockRetry?.cancel();
    this.#paused = true;
    await this.#rebalancer.stop();
    await this.#delivery.drain(this.settings.awaitTerminationMs);
    for (const processQueue of this.#queues.values()) processQueue.drop();
    await this.#offsets.persist();
    await this.#trace?.close();
    if (this.settings.orderly && !this.settings.broadcasting) {
      await this.#locks.unlock([...this.assignment, ...this.#leaving.values()]);
    }
    await this.#instance.close();
  }

  async #assign(queue: MessageQueue): Promise<boolean> {
    try {
      const needsLock = this.settings.orderly && !this.settings.broadcasting;
      if (needsLock && (await this.#locks.lock([queue])).get(queueKey(queue)) !== true) return false;
      const offset = await startOffset(this.#instance, this.#offsets, queue, this.settings.consumeFrom);
      const processQueue = new ProcessQueue(queue, offset, this.#instance.clock);
      if (needsLock) processQueue.setLocked(true);
      this.#begin(processQueue);
      return true;
    } catch (error) {
      this.#instance.settings.log.warn({ err: error, ...queue }, "a queue could not be taken");
      return false;
    }
  }

  #begin(processQueue: ProcessQueue): void {
    const key = queueKey(processQueue.queue);
    this.#queues.set(key, processQueue);
    this.#leaving.delete(key);
    this.#delivery.begin(processQueue);
    void this.#pullLoop.follow(processQueue);
  }

  async #revoke(queue: MessageQueue): Promise<void> {
    const processQueue = this.#queues.get(queueKey(queue));
    this.#queues.delete(queueKey(queue));
    if (processQueue === undefined) return;
    processQueue.drop();
    await this.#offsets.persist();
    this.#offsets.forget(queue);
    if (!this.settings.orderly || this.settings.broadcasting) return;
    await Promise.race([this.#handOver(queue), pause(this.#instance.clock, UNLOCK_WAIT_MS)]);
  }

  async #handOver(queue: MessageQueue): Promise<void> {
    const key = queueKey(queue);
    this.#leaving.set(key, queue);
    await this.#delivery.left(queue);
    // It may have come back.
    if (this.#leaving.delete(key)) await this.#locks.unlock([queue]);
  }

  /** A lock of which no broker has said that it is gone lasts for its time; one that is missing is soon asked for again. */
  async #renewLocks(): Promise<void> {
    this.#lockRetry?.cancel();
    const asked = this.assignment.map(queueKey);
    const answers = await this.#locks.lock([...this.assignment, ...this.#leaving.values()]);
    for (const [key, locked] of answers) this.#queues.get(key)?.setLocked(locked);
    const isMissing = asked.some((key) => answers.get(key) !== true && this.#queues.has(key));
    if (!isMissing || this.#closing !== undefined) return;
    this.#lockRetry = this.#instance.clock.schedule(LOCK_RETRY_MS, () => void this.#renewLocks());
  }

  async #sendBack(message: ReceivedMessage, delayLevel: number): Promise<void> {
    const { brokerName } = message.queue;
    const address = this.#instance.masterOf(brokerName);
    const fields = {
      offset: message.phyOffset,
      group: this.group,
      delayLevel,
      originMsgId: message.offsetMessageId,
      originTopic: withNamespace(this.#instance.namespace, message.topic),
      unitMode: false,
      maxReconsumeTimes: this.settings.maxReconsumeTimes ?? MAX_RECONSUME_TIMES,
      bname: brokerName,
    };
    expectSuccessFrom(address, await this.#instance.callAddress(address, RequestCode.CONSUMER_SEND_MSG_BACK, fields));
  }
}
