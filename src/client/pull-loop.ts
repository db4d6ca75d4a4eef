/** Pulls one queue as long as it belongs to this consumer and there is room (DefaultMQPushConsumerImpl.pullMessage). */
import { ResponseCode } from "../remoting/codes.js";
import type { ClientInstance } from "./client-instance.js";
import { ClientClosedError, ResponseError } from "./errors.js";
import type { SubscriptionData } from "./heartbeat.js";
import type { OffsetStore } from "./offset-store.js";
import type { ProcessQueue } from "./process-queue.js";
import { isWanted, pullMessages } from "./pull-request.js";
import type { ReceivedMessage } from "./received-message.js";
import { pause } from "./waiting.js";

const BROKER_SUSPEND_MAX_MS = 15_000;
const DELAY_WHEN_EXCEPTION_MS = 3000;
/** A change of the queue wakes it sooner. */
const DELAY_WHEN_FLOW_CONTROL_MS = 200;
/** The first failures are looked at sooner: a broker that was restarted is there again in a moment. */
const DELAY_FIRST_MS = 200;
/** Nothing came and nobody waited: the broker is full of waiting pulls. */
const DELAY_WHEN_BUSY_MS = 50;

export interface PullLoopSettings {
  readonly group: string;
  readonly pullBatchSize: number;
  readonly pullThresholdForQueue: number;
  readonly pullThresholdBytesForQueue: number;
  /** Shared among the queues of a topic, instead of the two above. */
  readonly pullThresholdForTopic?: number | undefined;
  readonly pullThresholdBytesForTopic?: number | undefined;
  /** Undefined where order keeps the span small by itself. */
  readonly spanMax: number | undefined;
  /** Pulls only while the queue is locked at its broker. */
  readonly needsLock: boolean;
  readonly commitsByPull: boolean;
  readonly lite: boolean;
}

export interface PullLoopOwner {
  /** Undefined once the topic is not subscribed any more. */
  subscription(topic: string): SubscriptionData | undefined;
  submit(processQueue: ProcessQueue, messages: readonly ReceivedMessage[]): void;
  isPaused(): boolean;
  /** How many queues of the topic this consumer has; at least 1. */
  queueCount(topic: string): number;
  /** Drops the queue and begins it anew at `offset`: the one asked for is out of range, or an operator reset it. */
  restart(processQueue: ProcessQueue, offset: number): Promise<void>;
  /** Nothing that was pulled of the queue is still to be committed. */
  isConsumed(processQueue: ProcessQueue): boolean;
}

export class PullLoop {
  readonly #instance: ClientInstance;
  readonly #settings: PullLoopSettings;
  readonly #offsets: OffsetStore;
  readonly #owner: PullLoopOwner;

  constructor(instance: ClientInstance, settings: PullLoopSettings, offsets: OffsetStore, owner: PullLoopOwner) {
    this.#instance = instance;
    this.#settings = settings;
    this.#offsets = offsets;
    this.#owner = owner;
  }

  /** Resolves when the queue is dropped. Never rejects. */
  async follow(processQueue: ProcessQueue): Promise<void> {
    const { clock, log } = this.#instance.settings;
    const { queue, signal } = processQueue;
    let failures = 0;
    let brokerId = 0;
    while (!processQueue.dropped) {
      const subscription = this.#owner.subscription(queue.topic);
      // A queue whose topic is not subscribed any more is dropped soon, unless it is subscribed again before.
      if (subscription === undefined || !this.#mayPull(processQueue)) {
        await processQueue.changed.wait(clock, DELAY_WHEN_FLOW_CONTROL_MS, signal);
        continue;
      }
      try {
        brokerId = await this.#pull(processQueue, subscription, brokerId);
        failures = 0;
      } catch (error) {
        if (processQueue.dropped || error instanceof ClientClosedError) return;
        log.warn({ err: error, ...queue }, "a pull failed");
        brokerId = 0;
        await this.#recover(queue.topic, error);
        await pause(clock, failures++ < 5 ? DELAY_FIRST_MS : DELAY_WHEN_EXCEPTION_MS, signal);
      }
    }
  }

  #mayPull(processQueue: ProcessQueue): boolean {
    const { pullThresholdForTopic, pullThresholdBytesForTopic, spanMax, needsLock } = this.#settings;
    if (this.#owner.isPaused()) return false;
    const { topic } = processQueue.queue;
    const share = (all: number | undefined, byDefault: number) =>
      all === undefined ? byDefault : Math.max(1, Math.floor(all / this.#owner.queueCount(topic)));
    if (processQueue.count >= share(pullThresholdForTopic, this.#settings.pullThresholdForQueue)) return false;
    if (processQueue.bytes >= share(pullThresholdBytesForTopic, this.#settings.pullThresholdBytesForQueue))
      return false;
    if (spanMax !== undefined && processQueue.span > spanMax) return false;
    return !needsLock || processQueue.locked;
  }

  /** The broker to ask next time. */
  async #pull(processQueue: ProcessQueue, subscription: SubscriptionData, brokerId: number): Promise<number> {
    const { group, pullBatchSize, commitsByPull, lite } = this.#settings;
    const { clock } = this.#instance;
    const { queue, signal, nextOffset } = processQueue;
    const begun = clock.monotonicMs();
    processQueue.lastPullMs = clock.nowMs();
    const result = await pullMessages(this.#instance, {
      consumerGroup: group,
      queue,
      queueOffset: nextOffset,
      maxMsgNums: pullBatchSize,
      subscription,
      commitOffset: commitsByPull ? this.#offsets.peek(queue) : undefined,
      suspendTimeoutMs: BROKER_SUSPEND_MAX_MS,
      brokerId,
      withSubscription: lite,
      lite,
      signal,
    });
    // A reset has moved the queue meanwhile, or it went to somebody else: what came is not wanted.
    if (processQueue.dropped || processQueue.nextOffset !== nextOffset) return brokerId;
    if (result.status === "OFFSET_ILLEGAL") {
      const moved = { ...queue, offset: nextOffset, next: result.nextBeginOffset };
      this.#instance.settings.log.warn(moved, "the broker moved a queue's offset");
      await this.#owner.restart(processQueue, result.nextBeginOffset);
      return result.suggestWhichBrokerId;
    }
    processQueue.nextOffset = result.nextBeginOffset;
    // The broker goes by what the group subscribes to when a message comes, which may be later than the pull.
    const wanted = this.#owner.subscription(queue.topic) ?? subscription;
    const messages = result.messages.filter((message) => isWanted(message, wanted));
    if (messages.length > 0) {
      processQueue.put(messages);
      this.#owner.submit(processQueue, messages);
    } else {
      if (this.#owner.isConsumed(processQueue)) this.#offsets.update(queue, result.nextBeginOffset);
      const atOnce = result.status === "NO_NEW_MSG" && clock.monotonicMs() - begun < DELAY_WHEN_BUSY_MS;
      if (atOnce) await pause(clock, DELAY_WHEN_BUSY_MS, signal);
    }
    return result.suggestWhichBrokerId;
  }

  /** A broker that does not know this consumer hears of it; a queue that may be elsewhere is looked for. */
  async #recover(topic: string, error: unknown): Promise<void> {
    const code = error instanceof ResponseError ? error.responseCode : undefined;
    if (code === ResponseCode.SUBSCRIPTION_NOT_EXIST || code === ResponseCode.SUBSCRIPTION_NOT_LATEST) {
      await this.#instance.sendHeartbeats();
    } else {
      await this.#instance.routes.refresh(topic).catch(() => undefined);
    }
  }
}
