/**
 * What a producer, a consumer or an admin stands on: routes, connections, heartbeats, and the requests that brokers send
 * (client/impl/factory/MQClientInstance.java). Each has one of its own.
 */
import type { Clock } from "../base/clock.js";
import type { RemotingClient } from "../remoting/client.js";
import { RequestCode } from "../remoting/codes.js";
import type { Fields, Processor, RemoteAnswer } from "../remoting/types.js";
import { BrokerConnections } from "./broker-connections.js";
import { BrokerNotFoundError, expectSuccessFrom, ResponseError } from "./errors.js";
import { checkClientBody, type ConsumerData, heartbeatBody, type SubscriptionData } from "./heartbeat.js";
import { NameServers } from "./name-servers.js";
import type { CallOptions, ClientSettings } from "./options.js";
import type { ReceivedFrom } from "./received-message.js";
import { RouteTable } from "./route-table.js";
import { MASTER_ID, subscribeQueues } from "./topic-route.js";
import { localAddress } from "./unique-id.js";
import { Periodic } from "./waiting.js";

/** What heartbeats say, and what brokers may ask of it. */
export interface ClientRole {
  readonly producerGroup?: string;
  readonly consumerGroup?: string;
  consumerData?(): ConsumerData;
  /** Requests that brokers send to it. */
  readonly processors?: ReadonlyMap<number, Processor>;
  /** A topic's route is new or another one than before. */
  onRouteChange?(topic: string): void;
}

let lastInstance = 0;

export class ClientInstance {
  readonly settings: ClientSettings;
  readonly clientId: string;
  readonly nameServers: NameServers;
  readonly routes: RouteTable;
  readonly brokers: BrokerConnections;
  readonly #role: ClientRole;
  readonly #timers: Periodic[] = [];
  #closing: Promise<void> | undefined;

  constructor(settings: ClientSettings, role: ClientRole) {
    this.settings = settings;
    this.clientId = settings.clientId ?? `${localAddress()}@${process.pid}#${++lastInstance}`;
    this.#role = role;
    this.nameServers = new NameServers(settings);
    this.routes = new RouteTable(this.nameServers, (topic) => role.onRouteChange?.(topic));
    const processors = role.processors ?? new Map<number, Processor>();
    this.brokers = new BrokerConnections(settings, processors, (client, address) => this.#heartbeat(client, address));
  }

  get clock(): Clock {
    return this.settings.clock;
  }

  get namespace(): string | undefined {
    return this.settings.namespace;
  }

  /** For decoding what a broker sent. */
  from(brokerName: string): ReceivedFrom {
    return { brokerName, namespace: this.namespace };
  }

  /** Begins to poll routes and to send heartbeats. */
  start(): void {
    const { clock, pollNameServerIntervalMs, heartbeatBrokerIntervalMs } = this.settings;
    this.#timers.push(
      new Periodic(clock, pollNameServerIntervalMs, () => this.#pollRoutes()),
      new Periodic(clock, heartbeatBrokerIntervalMs, () => this.sendHeartbeats()),
    );
  }

  /** Calls the master of `brokerName`; the answer, whatever its code. */
  async callBroker(
    brokerName: string,
    code: number,
    fields: Fields,
    body?: Uint8Array,
    options: CallOptions = {},
  ): Promise<RemoteAnswer> {
    return this.callAddress(this.masterOf(brokerName), code, fields, body, options);
  }

  callAddress(
    address: string,
    code: number,
    fields: Fields,
    body?: Uint8Array,
    options: CallOptions = {},
  ): Promise<RemoteAnswer> {
    const timeoutMs = options.timeoutMs ?? this.settings.requestTimeoutMs;
    return this.brokers.call(address, code, fields, body, { timeoutMs, signal: options.signal });
  }

  masterOf(brokerName: string): string {
    const address = this.routes.addressOf(brokerName);
    if (address === undefined) throw new BrokerNotFoundError(brokerName);
    return address;
  }

  /** To every broker of the routes known: all servers for a consumer, masters for others. Never rejects. */
  async sendHeartbeats(): Promise<void> {
    const consumes = this.#role.consumerData !== undefined;
    const calls: Promise<unknown>[] = [];
    for (const { addresses } of this.routes.brokers()) {
      for (const [id, address] of addresses) {
        if (id === MASTER_ID || consumes) calls.push(this.#heartbeatTo(address));
      }
    }
    await Promise.all(calls);
  }

  /**
   * Rejects with ResponseError where a broker does not take an SQL92 expression: Apache's leaves pulls with it unanswered.
   * Who cannot be asked is not waited for.
   */
  async checkFilters(group: string, subscriptions: Iterable<SubscriptionData>): Promise<void> {
    for (const subscription of subscriptions) {
      const { topic, expressionType } = subscription;
      const route = expressionType === "TAG" ? undefined : await this.routes.get(topic);
      const queues = route === undefined ? [] : subscribeQueues(topic, route);
      const body = checkClientBody(this.clientId, group, subscription);
      for (const brokerName of new Set(queues.map((queue) => queue.brokerName))) {
        try {
          const address = this.masterOf(brokerName);
          expectSuccessFrom(address, await this.callAddress(address, RequestCode.CHECK_CLIENT_CONFIG, {}, body));
        } catch (error) {
          if (error instanceof ResponseError) throw error;
          this.settings.log.warn({ err: error, brokerName, topic }, "nobody could say whether an expression is sound");
        }
      }
    }
  }

  /** Says good-bye to the brokers and ends every connection and timer. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const timer of this.#timers) timer.stop();
    const { producerGroup, consumerGroup } = this.#role;
    if (producerGroup !== undefined || consumerGroup !== undefined) {
      const fields = { clientID: this.clientId, producerGroup, consumerGroup };
      const goodBye = this.brokers
        .connected()
        .map((address) => this.callAddress(address, RequestCode.UNREGISTER_CLIENT, fields));
      await Promise.allSettled(goodBye);
    }
    await Promise.allSettled([this.brokers.close(), this.nameServers.close()]);
  }

  async #pollRoutes(): Promise<void> {
    await this.routes.refreshAll();
    const addresses = new Set([...this.routes.brokers()].flatMap((broker) => [...broker.addresses.values()]));
    this.brokers.closeOthers(addresses);
  }

  /** A broker that is connected hears of this client; connecting alone does it too. */
  async #heartbeatTo(address: string): Promise<void> {
    const body = this.#heartbeatBody();
    if (body === undefined) return;
    try {
      await this.callAddress(address, RequestCode.HEART_BEAT, {}, body);
    } catch (error) {
      this.settings.log.debug({ err: error, address }, "a heartbeat failed");
    }
  }

  async #heartbeat(client: RemotingClient, address: string): Promise<void> {
    const body = this.#heartbeatBody();
    if (body === undefined) return;
    const answer = await client.call(RequestCode.HEART_BEAT, {}, body, this.settings.requestTimeoutMs);
    if (answer.code !== 0)
      this.settings.log.warn({ address, code: answer.code, remark: answer.remark }, "heartbeat refused");
  }

  #heartbeatBody(): Buffer | undefined {
    const { producerGroup } = this.#role;
    const consumer = this.#role.consumerData?.();
    if (producerGroup === undefined && consumer === undefined) return undefined;
    const producers = producerGroup === undefined ? [] : [producerGroup];
    return heartbeatBody(this.clientId, producers, consumer === undefined ? [] : [consumer]);
  }
}
