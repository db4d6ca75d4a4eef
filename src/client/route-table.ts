/**
 * Routes of the topics that somebody here sends to or reads from: asked for at first use, again every 30 seconds and
 * when a broker failed. A topic that does not exist yet has, for producers, the route of the topic that new ones are
 * made after.
 */
import { NoRouteError } from "./errors.js";
import type { NameServers } from "./name-servers.js";
import { type BrokerData, MASTER_ID, sameRoute, type TopicRoute } from "./topic-route.js";

/** TopicValidator.AUTO_CREATE_TOPIC_KEY_TOPIC */
export const AUTO_CREATE_TOPIC_KEY_TOPIC = "TBW102";
/** What a producer asks for when its topic is to be made. */
export const DEFAULT_TOPIC_QUEUE_NUMS = 4;

export class RouteTable {
  readonly #nameServers: NameServers;
  readonly #routes = new Map<string, TopicRoute>();
  readonly #asking = new Map<string, Promise<TopicRoute | undefined>>();
  /** What new topics are made after; undefined while nobody has asked. */
  #template: TopicRoute | undefined;
  /** By broker name. */
  readonly #brokers = new Map<string, BrokerData>();
  readonly #onChange: (topic: string) => void;

  constructor(nameServers: NameServers, onChange: (topic: string) => void) {
    this.#nameServers = nameServers;
    this.#onChange = onChange;
  }

  /** The known route, or the one that a name server has; undefined when there is none. */
  async get(topic: string): Promise<TopicRoute | undefined> {
    return this.#routes.get(topic) ?? this.refresh(topic);
  }

  /** For sending: a topic without a route gets that of TBW102, with as many queues as new topics have. */
  async getForPublish(topic: string): Promise<TopicRoute> {
    const own = await this.get(topic);
    if (own !== undefined) return own;
    const template = await this.#nameServers.route(AUTO_CREATE_TOPIC_KEY_TOPIC);
    if (template === undefined)
      throw new NoRouteError(topic, "it does not exist, and no broker makes topics by itself");
    this.#template = template;
    this.#learn(template);
    const queues = template.queues.map((queue) => {
      const count = Math.min(DEFAULT_TOPIC_QUEUE_NUMS, queue.readQueueNums);
      return { ...queue, readQueueNums: count, writeQueueNums: count };
    });
    return { ...template, queues };
  }

  /** Asks now, once for all who ask at the same time. What was known stays when nobody answers. */
  refresh(topic: string): Promise<TopicRoute | undefined> {
    let asking = this.#asking.get(topic);
    if (asking === undefined) {
      asking = this.#ask(topic).finally(() => this.#asking.delete(topic));
      this.#asking.set(topic, asking);
    }
    return asking;
  }

  /** Brokers that no route names any more are forgotten. */
  async refreshAll(): Promise<void> {
    await Promise.allSettled([...this.#routes.keys()].map((topic) => this.refresh(topic)));
    const routes = [...this.#routes.values(), ...(this.#template === undefined ? [] : [this.#template])];
    const present = new Set(routes.flatMap(({ brokers }) => brokers.map(({ brokerName }) => brokerName)));
    for (const brokerName of this.#brokers.keys()) if (!present.has(brokerName)) this.#brokers.delete(brokerName);
  }

  /** Of the master, or of the broker with `brokerId` if there is one. */
  addressOf(brokerName: string, brokerId: number = MASTER_ID): string | undefined {
    const addresses = this.#brokers.get(brokerName)?.addresses;
    return addresses?.get(brokerId) ?? addresses?.get(MASTER_ID);
  }

  /** Any server of the broker: its master, else the first slave. */
  readableAddressOf(brokerName: string, brokerId: number = MASTER_ID): string | undefined {
    return this.addressOf(brokerName, brokerId) ?? this.#brokers.get(brokerName)?.addresses.values().next().value;
  }

  brokerOf(brokerName: string): BrokerData | undefined {
    return this.#brokers.get(brokerName);
  }

  /** Brokers that some present route names. */
  brokers(): Iterable<BrokerData> {
    return this.#brokers.values();
  }

  async #ask(topic: string): Promise<TopicRoute | undefined> {
    const route = await this.#nameServers.route(topic);
    const known = this.#routes.get(topic);
    if (route === undefined) {
      // A name server that has just started knows nothing yet: what was known goes on.
      return known;
    }
    this.#learn(route);
    this.#routes.set(topic, route);
    if (known === undefined || !sameRoute(known, route)) this.#onChange(topic);
    return route;
  }

  #learn(route: TopicRoute): void {
    for (const broker of route.brokers) this.#brokers.set(broker.brokerName, broker);
  }
}
