/** The consumer that is asked for messages (client/consumer/DefaultLitePullConsumer.java). */
import type { OptionNames } from "../base/option-names.js";
import type { AllocateStrategy } from "./allocate.js";
import { checkCall, checkList, checkQueue, positive, yesOrNo } from "./arguments.js";
import { ClientInstance } from "./client-instance.js";
import { CONSUMER_OPTIONS, ConsumeTrace, type ConsumeTraceOptions } from "./consume-trace.js";
import { consumerProcessors } from "./consumer-requests.js";
import { ClientClosedError, configError } from "./errors.js";
import { type ConsumerData, type FilterExpression, type SubscriptionData, subscriptionOf } from "./heartbeat.js";
import { type MessageQueue, queueKey } from "./message-queue.js";
import { BrokerOffsetStore } from "./offset-store.js";
import {
  CALL_OPTIONS,
  type CallOptions,
  type ClientOptions,
  checkGroup,
  checkStart,
  checkTopic,
  START_OPTIONS,
  type StartOptions,
  settingsOf,
} from "./options.js";
import { ProcessQueue } from "./process-queue.js";
import { PullLoop } from "./pull-loop.js";
import {
  type ConsumeFrom,
  checkedFrom,
  checkedStrategy,
  checkedSubscriptions,
  consumeFromWhere,
} from "./push-options.js";
import { Rebalancer } from "./rebalancer.js";
import type { ReceivedMessage } from "./received-message.js";
import { startOffset } from "./start-offset.js";
import { ConsumeReturnType } from "./trace.js";
import { abortable, Bell, orClosed, Periodic } from "./waiting.js";

/** How a pull consumer is set up. `group` and one of `subscriptions` and `queues` are needed. */
export interface LitePullConsumerOptions extends ClientOptions, ConsumeTraceOptions {
  readonly group: string;
  /** Topics whose queues are shared with the other consumers of the group. Either this or `queues`. */
  readonly subscriptions?: Readonly<Record<string, FilterExpression>>;
  /** These queues, whatever other consumers do. */
  readonly queues?: readonly MessageQueue[];
  /** Where the group begins in a queue for which it has no offset ("last"). */
  readonly consumeFrom?: ConsumeFrom;
  /** Who of the group gets which queues (`allocateAveragely`). */
  readonly allocateStrategy?: AllocateStrategy;
  /** Commits what an earlier `poll` gave, or what the loop is done with (true). Otherwise only `commit` does. */
  readonly autoCommit?: boolean;
  /** Milliseconds (5000). */
  readonly autoCommitIntervalMs?: number;
  /** Messages of a pull at most (32). */
  readonly pullBatchSize?: number;
  /** No pull while so many messages of a queue wait to be polled (1000). */
  readonly pullThresholdForQueue?: number;
  /** No pull while so many bytes of a queue wait to be polled (100 MiB). */
  readonly pullThresholdBytesForQueue?: number;
}

const OPTIONS: OptionNames<LitePullConsumerOptions> = {
  ...CONSUMER_OPTIONS,
  group: true,
  subscriptions: true,
  queues: true,
  consumeFrom: true,
  allocateStrategy: true,
  autoCommit: true,
  autoCommitIntervalMs: true,
  pullBatchSize: true,
  pullThresholdForQueue: true,
  pullThresholdBytesForQueue: true,
};

/** How long to wait, and for how much. */
export interface PollOptions {
  /** How long to wait for the first message (5 s). */
  readonly timeoutMs?: number;
  /** At most so many (32). */
  readonly maxCount?: number;
  readonly signal?: AbortSignal;
}

const POLL_OPTIONS: OptionNames<PollOptions> = { timeoutMs: true, maxCount: true, signal: true };

interface Given {
  readonly processQueue: ProcessQueue;
  readonly offset: number;
}

/** A consumer that is asked: `poll`, or `for await`. Positions are its own to `seek` and `commit`. */
export class LitePullConsumer implements AsyncDisposable, AsyncIterable<ReceivedMessage> {
  readonly group: string;
  /** @internal */
  readonly settings = { orderly: false };
  /** @internal */
  readonly startedMs: number;
  readonly #instance: ClientInstance;
  readonly #offsets: BrokerOffsetStore;
  readonly #subscriptions = new Map<string, SubscriptionData>();
  readonly #fixed: readonly MessageQueue[] | undefined;
  readonly #from: ConsumeFrom;
  readonly #autoCommit: boolean;
  readonly #queues = new Map<string, ProcessQueue>();
  readonly #pullLoop: PullLoop;
  readonly #rebalancer: Rebalancer;
  readonly #trace: ConsumeTrace | undefined;
  readonly #arrived = new Bell();
  readonly #stop = new AbortController();
  #timer: Periodic | undefined;
  /** By queue: what the last polls gave and is not committed yet. */
  readonly #given = new Map<string, Given>();
  #turn = 0;
  #closing: Promise<void> | undefined;

  /** Resolves when the consumer has its queues. Rejects with COMETMQ_CONFIG, or NoNameServerError. */
  static async start(options: LitePullConsumerOptions, startOptions: StartOptions = {}): Promise<LitePullConsumer> {
    checkStart("LitePullConsumer.start", options, OPTIONS, startOptions);
    const { signal } = startOptions;
    signal?.throwIfAborted();
    const autoCommitIntervalMs = positive("autoCommitIntervalMs", options.autoCommitIntervalMs, 5000);
    const consumer = new LitePullConsumer(options);
    return orClosed(consumer, consumer.#start(autoCommitIntervalMs), signal);
  }

  private constructor(options: LitePullConsumerOptions) {
    const settings = settingsOf(options);
    this.group = checkGroup(options.group, settings);
    const { queues } = options;
    if (queues !== undefined) {
      checkList("queues", queues);
      for (const queue of queues) checkQueue("One of queues", queue);
    }
    this.#fixed = queues?.map((queue) => ({ ...queue, topic: checkTopic(queue.topic, settings) }));
    this.#from = checkedFrom(options.consumeFrom ?? "last");
    this.#autoCommit = yesOrNo("autoCommit", options.autoCommit, true);
    if ((options.subscriptions === undefined) === (options.queues === undefined)) {
      throw configError("Give subscriptions or queues, one of them.");
    }
    const wanted =
      queues === undefined
        ? options.subscriptions!
        : Object.fromEntries(options.queues!.map(({ topic }) => [topic, "*"] as const));
    const version = settings.clock.nowMs();
    for (const [topic, filter] of checkedSubscriptions(wanted, settings))
      this.#subscriptions.set(topic, subscriptionOf(topic, filter, version));
    this.startedMs = version;
    this.#instance = new ClientInstance(settings, {
      consumerGroup: this.group,
      consumerData: () => this.#consumerData(),
      processors: consumerProcessors(this.#state(), settings.log),
      onRouteChange: () => void this.#rebalancer.rebalance(),
    });
    this.#trace = ConsumeTrace.of(this.#instance, options, this.group);
    this.#offsets = new BrokerOffsetStore(this.#instance, this.group);
    const strategy = checkedStrategy(options.allocateStrategy);
    this.#rebalancer = new Rebalancer(
      this.#instance,
      { consumerGroup: this.group, strategy },
      {
        topics: () => (this.#fixed === undefined ? this.#subscriptions.keys() : []),
        assign: (queue) => this.#assign(queue),
        revoke: (queue) => this.#revoke(queue),
      },
    );
    const pull = {
      group: this.group,
      pullBatchSize: positive("pullBatchSize", options.pullBatchSize, 32),
      pullThresholdForQueue: positive("pullThresholdForQueue", options.pullThresholdForQueue, 1000),
      pullThresholdBytesForQueue: positive(
        "pullThresholdBytesForQueue",
        options.pullThresholdBytesForQueue,
        104_857_600,
      ),
      spanMax: undefined,
      needsLock: false,
      commitsByPull: false,
      lite: true,
    };
    this.#pullLoop = new PullLoop(this.#instance, pull, this.#offsets, {
      subscription: (topic) => this.#subscriptions.get(topic),
      submit: () => this.#arrived.ring(),
      isPaused: () => false,
      queueCount: () => 1,
      restart: async ({ queue }, offset) => this.#moveTo(queue, offset, true),
      isConsumed: ({ count, queue }) => this.#autoCommit && count === 0 && !this.#given.has(queueKey(queue)),
    });
  }

  /** Unique in the group: what brokers know this consumer by. */
  get clientId(): string {
    return this.#instance.clientId;
  }

  /** The queues that this consumer has now. */
  get assignment(): MessageQueue[] {
    return [...this.#queues.values()].map(({ queue }) => queue);
  }

  /** Messages as soon as there are any; none after `timeoutMs`. Rejects with the signal's reason, or ClientClosedError. */
  async poll(options: PollOptions = {}): Promise<ReceivedMessage[]> {
    checkCall("poll", options, POLL_OPTIONS);
    const { timeoutMs = 5000, signal } = options;
    const maxCount = positive("maxCount", options.maxCount, 32);
    if (this.#autoCommit) this.#commitGiven();
    const { clock } = this.#instance;
    const deadline = clock.monotonicMs() + timeoutMs;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#stop.signal.aborted) throw new ClientClosedError("consumer");
      const messages = this.#take(maxCount);
      const leftMs = deadline - clock.monotonicMs();
      // What is given out counts as consumed: nothing says when its work is done.
      if (messages.length > 0) this.#trace?.begin(messages)(ConsumeReturnType.SUCCESS, 0);
      if (messages.length > 0 || leftMs <= 0) return messages;
      await abortable(this.#arrived.wait(clock, leftMs, this.#stop.signal), signal);
    }
  }

  /**
   * All messages, for ever, until the consumer is closed or the signal aborted. With `autoCommit`, a message counts as consumed when the loop asks
   * for the next one; one at which the loop was left does not.
   */
  async *messages(options: Pick<PollOptions, "signal"> = {}): AsyncGenerator<ReceivedMessage, void, void> {
    checkCall("messages", options, START_OPTIONS);
    const { signal } = options;
    for (;;) {
      let messages: ReceivedMessage[];
      try {
        messages = await this.poll({ maxCount: 1, timeoutMs: 60_000, ...(signal && { signal }) });
      } catch (error) {
        if (signal?.aborted || error instanceof ClientClosedError) return;
        throw error;
      }
      yield* messages;
    }
  }

  /** `messages` without options: `for await (const message of consumer)`. */
  [Symbol.asyncIterator](): AsyncGenerator<ReceivedMessage, void, void> {
    return this.messages();
  }

  /** Saves that everything given so far is consumed. Rejects where a broker could not be told; another call tries again. */
  async commit(options: CallOptions = {}): Promise<void> {
    checkCall("commit", options, CALL_OPTIONS);
    if (this.#stop.signal.aborted) throw new ClientClosedError("consumer");
    this.#commitGiven();
    await this.#offsets.save(options);
  }

  /**
   * The next message of a queue that this consumer has comes from `offset` on. That is committed like what `poll` gives:
   * without `autoCommit` only by `commit`.
   */
  seek(queue: MessageQueue, offset: number): void {
    this.#moveTo(queue, offset, this.#autoCommit);
  }

  #moveTo(queue: MessageQueue, offset: number, committed: boolean): void {
    if (this.#stop.signal.aborted) throw new ClientClosedError("consumer");
    checkQueue("queue", queue);
    // No default: what is left out by mistake would be the beginning.
    positive("offset", offset ?? Number.NaN, 0, 0);
    const old = this.#queues.get(queueKey(queue));
    if (old === undefined)
      throw configError(`Queue ${queue.queueId} of ${queue.topic} at ${queue.brokerName} is not assigned.`);
    old.drop();
    const processQueue = new ProcessQueue(old.queue, offset, this.#instance.clock);
    this.#given.delete(queueKey(queue));
    if (committed) this.#offsets.update(queue, offset);
    else this.#given.set(queueKey(queue), { processQueue, offset });
    this.#begin(processQueue);
  }

  /** Saves offsets (with `autoCommit`), says good-bye to the brokers, ends every connection and timer. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(autoCommitIntervalMs: number): Promise<void> {
    this.#instance.start();
    for (const topic of [...this.#subscriptions.keys()]) await this.#instance.routes.get(topic);
    await this.#instance.checkFilters(this.group, this.#subscriptions.values());
    await this.#instance.sendHeartbeats();
    if (this.#fixed === undefined) await this.#rebalancer.start();
    for (const queue of this.#fixed ?? []) {
      this.#begin(new ProcessQueue(queue, await this.#startOffset(queue), this.#instance.clock));
    }
    if (this.#stop.signal.aborted) return;
    this.#timer = new Periodic(this.#instance.clock, autoCommitIntervalMs, () => this.#offsets.persist());
  }

  async #close(): Promise<void> {
    this.#timer?.stop();
    this.#stop.abort();
    await this.#rebalancer.stop();
    for (const processQueue of this.#queues.values()) processQueue.drop();
    await this.#offsets.persist();
    await this.#trace?.close();
    await this.#instance.close();
  }

  /** From each queue in turn, so that none is left behind. */
  #take(maxCount: number): ReceivedMessage[] {
    const queues = [...this.#queues.values()];
    const messages: ReceivedMessage[] = [];
    for (let i = 0; i < queues.length && messages.length < maxCount; i++) {
      const processQueue = queues[(this.#turn + i) % queues.length]!;
      const some = processQueue.head(maxCount - messages.length);
      if (some.length === 0) continue;
      processQueue.remove(some);
      messages.push(...some);
      const offset = some.at(-1)!.queueOffset + 1;
      this.#given.set(queueKey(processQueue.queue), { processQueue, offset });
    }
    this.#turn++;
    return messages;
  }

  #commitGiven(): void {
    for (const { processQueue, offset } of this.#given.values()) {
      if (!processQueue.dropped) this.#offsets.update(processQueue.queue, offset);
    }
    this.#given.clear();
  }

  #begin(processQueue: ProcessQueue): void {
    this.#queues.set(queueKey(processQueue.queue), processQueue);
    void this.#pullLoop.follow(processQueue);
  }

  async #assign(queue: MessageQueue): Promise<boolean> {
    try {
      this.#begin(new ProcessQueue(queue, await this.#startOffset(queue), this.#instance.clock));
      return true;
    } catch (error) {
      this.#instance.settings.log.warn({ err: error, ...queue }, "a queue could not be taken");
      return false;
    }
  }

  async #revoke(queue: MessageQueue): Promise<void> {
    this.#queues.get(queueKey(queue))?.drop();
    this.#queues.delete(queueKey(queue));
    this.#given.delete(queueKey(queue));
    await this.#offsets.persist();
    this.#offsets.forget(queue);
  }

  #startOffset(queue: MessageQueue): Promise<number> {
    return startOffset(this.#instance, this.#offsets, queue, this.#from);
  }

  #consumerData(): ConsumerData {
    return {
      groupName: this.group,
      consumeType: "CONSUME_ACTIVELY",
      messageModel: "CLUSTERING",
      consumeFromWhere: consumeFromWhere(this.#from),
      subscriptions: this.#fixed === undefined ? [...this.#subscriptions.values()] : [],
    };
  }

  /** What brokers may ask of it. */
  #state() {
    const consumer = this;
    return {
      group: this.group,
      startedMs: this.startedMs,
      settings: this.settings,
      get processQueues() {
        return consumer.#queues.values();
      },
      get offsets() {
        return consumer.#offsets;
      },
      from: (brokerName: string) => this.#instance.from(brokerName),
      consumerData: () => this.#consumerData(),
      consumersChanged: () => void this.#rebalancer.rebalance(),
      resetOffsets: async (offsets: ReadonlyMap<string, number>) => {
        for (const [key, offset] of offsets) {
          const known = this.#queues.get(key);
          if (known !== undefined) this.#moveTo(known.queue, offset, true);
        }
        await this.#offsets.persist();
      },
      consumeDirectly: async () => ({ consumed: false, delayLevel: 0, error: "this consumer pulls", timedOut: false }),
    };
  }
}
