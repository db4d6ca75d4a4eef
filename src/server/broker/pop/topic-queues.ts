/**
 * The queues of topics on all their brokers, as name servers know them (broker/topic/TopicRouteInfoManager.java): asked
 * once, then again in the background when somebody wants to know what is no longer fresh. Where no name server knows a
 * topic this broker's own queues are all there are.
 */

import { PERM_READ } from "../../protocol/topic-config.js";
import type { TopicRouteData } from "../../protocol/topic-route-data.js";
import type { BrokerContext } from "../context.js";
import type { MessageQueue } from "../message-queue.js";

export type TopicRoutes = (topic: string) => Promise<TopicRouteData | undefined>;

const FRESH_MS = 5000;
const KEPT_MS = 60_000;
const TOPICS_MAX = 4096;

interface Known {
  readonly queues: readonly MessageQueue[] | undefined;
  readonly atMs: number;
}

export class TopicQueues {
  readonly #context: BrokerContext;
  readonly #routes: TopicRoutes;
  readonly #known = new Map<string, Known>();
  readonly #asked = new Map<string, Promise<void>>();

  constructor(context: BrokerContext, routes: TopicRoutes) {
    this.#context = context;
    this.#routes = routes;
  }

  /** Whether `queuesOf` has something to answer with. */
  knows(topic: string): boolean {
    return this.#ageMs(topic) < KEPT_MS;
  }

  #ageMs(topic: string): number {
    const known = this.#known.get(topic);
    return known === undefined ? Number.POSITIVE_INFINITY : this.#context.clock.monotonicMs() - known.atMs;
  }

  /** Undefined where nobody knows the topic. */
  queuesOf(topic: string): readonly MessageQueue[] | undefined {
    if (this.#ageMs(topic) > FRESH_MS) void this.learn(topic);
    return this.#known.get(topic)?.queues ?? ownQueues(this.#context, topic);
  }

  /** Resolves when `knows` is true. */
  learn(topic: string): Promise<void> {
    const asked = this.#asked.get(topic) ?? this.#ask(topic);
    this.#asked.set(topic, asked);
    return asked;
  }

  async #ask(topic: string): Promise<void> {
    const route = await this.#routes(topic).catch(() => undefined);
    this.#asked.delete(topic);
    if (this.#known.size >= TOPICS_MAX) this.#known.clear();
    const queues = route === undefined ? undefined : queuesOfRoute(topic, route);
    this.#known.set(topic, { queues, atMs: this.#context.clock.monotonicMs() });
  }
}

function queuesOfRoute(topic: string, { queueDatas }: TopicRouteData): MessageQueue[] {
  return queueDatas
    .filter(({ perm }) => (perm & PERM_READ) !== 0)
    .flatMap(({ brokerName, readQueueNums }) =>
      Array.from({ length: Math.max(0, readQueueNums) }, (_, queueId) => ({ topic, brokerName, queueId })),
    );
}

/** The queues of a topic on this broker; undefined where it has none to be read. */
function ownQueues({ config, topics }: BrokerContext, name: string): MessageQueue[] | undefined {
  const topic = topics.get(name);
  if (topic === undefined || (topic.perm & PERM_READ) === 0) return undefined;
  const { brokerName } = config;
  return Array.from({ length: topic.readQueueNums }, (_, queueId) => ({ topic: name, brokerName, queueId }));
}
