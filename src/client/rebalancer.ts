/**
 * Which queues this consumer has (client/impl/consumer/RebalanceImpl.java): found again every 20 seconds, and at once when
 * consumers of the group come or go or a route changes.
 */
import { RequestCode, ResponseCode } from "../remoting/codes.js";
import { listIn, parseFastjson } from "../remoting/fastjson.js";
import type { AllocateStrategy } from "./allocate.js";
import type { ClientInstance } from "./client-instance.js";
import { type MessageQueue, queueKey } from "./message-queue.js";
import { subscribeQueues } from "./topic-route.js";
import { Periodic } from "./waiting.js";

const REBALANCE_INTERVAL_MS = 20_000;
/** While a topic has no route, or a queue could not be taken yet. */
const RETRY_INTERVAL_MS = 1000;

export interface RebalanceOwner {
  topics(): Iterable<string>;
  /** Begins with a queue; false when it could not, for now. */
  assign(queue: MessageQueue): Promise<boolean>;
  revoke(queue: MessageQueue): Promise<void>;
  /** The assignment of a topic is another one than before. */
  onChange?(topic: string, queues: readonly MessageQueue[]): void;
}

export interface RebalanceSettings {
  readonly consumerGroup: string;
  /** Undefined for broadcasting: every consumer has all queues. */
  readonly strategy: AllocateStrategy | undefined;
}

export class Rebalancer {
  readonly #instance: ClientInstance;
  readonly #settings: RebalanceSettings;
  readonly #owner: RebalanceOwner;
  readonly #assigned = new Map<string, MessageQueue>();
  #timer: Periodic | undefined;
  #retry: { cancel(): void } | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(instance: ClientInstance, settings: RebalanceSettings, owner: RebalanceOwner) {
    this.#instance = instance;
    this.#settings = settings;
    this.#owner = owner;
  }

  /** Resolves after the first round. */
  async start(): Promise<void> {
    if (this.#stopped) return;
    this.#timer = new Periodic(this.#instance.clock, REBALANCE_INTERVAL_MS, () => this.rebalance());
    await this.rebalance();
  }

  /** Resolves when a round that began after this call is over. Never rejects. */
  rebalance(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    if (this.#running !== undefined) this.#again = true;
    this.#running ??= this.#rounds();
    return this.#running;
  }

  /** No queue is taken or given any more after this. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.stop();
    this.#retry?.cancel();
    await this.#running;
  }

  async #rounds(): Promise<void> {
    try {
      do {
        this.#again = false;
        const balanced = await this.#round();
        this.#retry?.cancel();
        if (!balanced && !this.#stopped) {
          this.#retry = this.#instance.clock.schedule(RETRY_INTERVAL_MS, () => void this.rebalance());
        }
      } while (this.#again && !this.#stopped);
    } finally {
      // Before anybody can ask again: what is asked for now is no part of these rounds.
      this.#running = undefined;
    }
  }

  /** Whether there is nothing left to try soon. */
  async #round(): Promise<boolean> {
    let balanced = true;
    const topics = new Set(this.#owner.topics());
    for (const topic of topics) {
      try {
        balanced = (await this.#rebalanceTopic(topic)) && balanced;
      } catch (error) {
        balanced = false;
        this.#instance.settings.log.warn({ err: error, topic }, "a topic could not be rebalanced");
      }
    }
    for (const queue of this.#assigned.values()) if (!topics.has(queue.topic)) await this.#give(queue);
    return balanced;
  }

  async #rebalanceTopic(topic: string): Promise<boolean> {
    const route = await this.#instance.routes.get(topic);
    if (route === undefined) return false;
    const queues = subscribeQueues(topic, route);
    const { strategy, consumerGroup } = this.#settings;
    const { clientId } = this.#instance;
    let own: readonly MessageQueue[] = queues;
    if (strategy !== undefined) {
      const clientIds = await this.#consumerIds(consumerGroup, queues);
      // The heartbeat has not arrived everywhere; what this consumer has stays with it.
      if (!clientIds.includes(clientId)) return false;
      own = strategy.allocate(clientId, queues, clientIds);
    }
    return this.#apply(topic, own);
  }

  async #apply(topic: string, own: readonly MessageQueue[]): Promise<boolean> {
    const wanted = new Set(own.map(queueKey));
    let changed = false;
    let complete = true;
    for (const [key, queue] of this.#assigned) {
      if (queue.topic !== topic || wanted.has(key)) continue;
      await this.#give(queue);
      changed = true;
    }
    const news = own.filter((queue) => !this.#assigned.has(queueKey(queue)));
    for (const queue of news) {
      if (this.#stopped) return true;
      if (await this.#owner.assign(queue)) {
        this.#assigned.set(queueKey(queue), queue);
        changed = true;
      } else {
        complete = false;
      }
    }
    if (changed) this.#owner.onChange?.(topic, own);
    return complete;
  }

  async #give(queue: MessageQueue): Promise<void> {
    this.#assigned.delete(queueKey(queue));
    await this.#owner.revoke(queue);
  }

  /**
   * Sorted; of the first broker that knows the group. Each once: Apache's lists a client for every connection, for two
   * minutes also for one that was cut before its heartbeat was served. Counted twice, a client leaves queues to nobody.
   */
  async #consumerIds(consumerGroup: string, queues: readonly MessageQueue[]): Promise<string[]> {
    let failure: unknown;
    for (const brokerName of new Set(queues.map((queue) => queue.brokerName))) {
      try {
        const address = this.#instance.routes.readableAddressOf(brokerName);
        if (address === undefined) continue;
        const answer = await this.#instance.callAddress(address, RequestCode.GET_CONSUMER_LIST_BY_GROUP, {
          consumerGroup,
        });
        if (answer.code !== ResponseCode.SUCCESS) continue;
        const ids = listIn(parseFastjson(answer.body), "consumerIdList") ?? [];
        return [...new Set(ids.filter((id) => typeof id === "string"))].sort();
      } catch (error) {
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
    return [];
  }
}
