/**
 * A broker: an open store, the tables, and the server that answers for them. `start` returns when it serves;  `close`
 * answers what is in flight, makes everything durable and lets go.
 */
import { type Clock, systemClock } from "../../base/clock.js";
import type { CometError } from "../../base/errors.js";
import { type Logger, silentLogger } from "../../base/log.js";
import type { Backend, Disk } from "../../io/disk.js";
import { parseDelayLevels } from "../../record/tags-code.js";
import type { RecoveryProgress } from "../../recovery/recover.js";
import { RemotingServer } from "../../remoting/server.js";
import { isLoopback } from "../../remoting/tls-options.js";
import type { Processor } from "../../remoting/types.js";
import { MessageStore } from "../../store/message-store.js";
import { isAccessControlled } from "../auth/access-options.js";
import { guarded, strangerRefusal } from "../auth/guard.js";
import { type Access, openAccess } from "../auth/open-access.js";
import { proxyTrustOf } from "../auth/proxy-trust.js";
import type { RouteTable } from "../namesrv/route-table.js";
import { adoptTopics } from "./adopt-topics.js";
import type { ConfigReading } from "./broker-config.js";
import type { BrokerConfig } from "./broker-options.js";
import { BrokerStore } from "./broker-store.js";
import { type BrokerContext, openBrokerContext } from "./context.js";
import { FastFailure } from "./fast-failure.js";
import { FlushWaiters } from "./flush-waiters.js";
import { type BrokerHooks, hookProcessors } from "./hooks.js";
import { closeSavers, type Housekeeping, startHousekeeping } from "./housekeeping.js";
import { PopService } from "./pop/pop-service.js";
import { registerTableProcessors } from "./processors.js";
import { PullMessage } from "./pull-message.js";
import type { TopicRouteData } from "../protocol/topic-route-data.js";
import { advertisedHost, hostPort, Registration } from "./registration.js";
import { ReplyMessage } from "./reply-message.js";
import { registerResetOffset } from "./reset-offset.js";
import { ScheduleMessageService } from "./schedule-message.js";
import { SendBack } from "./send-back.js";
import { SendMessage } from "./send-message.js";
import { StoreHosts } from "./store-hosts.js";
import { RecallMessage } from "./timer/recall-message.js";
import { TimerAdmin } from "./timer/timer-admin.js";
import { TimerMessageStore } from "./timer/timer-message-store.js";
import { tlsClientOptions, tlsServerOptions } from "./tls-config.js";
import { TransactionService } from "./transaction/transaction-service.js";

/** Where clients with `vipChannelEnabled` look for a broker: so far below the port that they are told. */
const FAST_PORT_OFFSET = 2;

export interface BrokerOptions {
  readonly reading: Pick<ConfigReading, "config"> & Partial<ConfigReading>;
  readonly disk?: Disk | undefined;
  readonly backend?: Backend | "auto" | undefined;
  readonly clock?: Clock | undefined;
  readonly log?: Logger | undefined;
  /** The name server of the same process: the broker registers with it without a connection. */
  readonly routeTable?: RouteTable | undefined;
  /** Topics that this one calls ordered, which others tell a broker in their answers. */
  readonly orderedTopics?: (() => Iterable<string>) | undefined;
  /** Where that one listens, on this broker's own address. */
  readonly namesrvPort?: number | undefined;
  /** What the embedding program does before and after requests. */
  readonly hooks?: BrokerHooks | undefined;
  /** Of the same process's name server; the broker opens its own without. */
  readonly access?: Access | undefined;
  /** The store can take no more messages; the broker goes on answering reads. */
  readonly onFailure?: ((error: CometError) => void) | undefined;
  readonly onRecoveryProgress?: ((progress: RecoveryProgress) => void) | undefined;
}

/** What works by itself beside the requests, from the time when the broker serves until it has answered the last one. */
interface BrokerService {
  start(): void;
  /** Answers those who wait: the broker is closing. */
  quiesce?(): void;
  close(): Promise<void> | void;
}

export class Broker {
  readonly context: BrokerContext;
  readonly store: MessageStore;
  /** Undefined without timers (timerWheelEnable). */
  readonly timerAdmin: TimerAdmin | undefined;
  /** Whoever is in this process may hand requests to them without a connection. */
  readonly processors: ReadonlyMap<number, Processor>;
  readonly #server: RemotingServer;
  readonly #pull: PullMessage;
  readonly #services: readonly BrokerService[];
  readonly #registration: Registration;
  readonly #housekeeping: Housekeeping;
  #closing: Promise<void> | undefined;

  private constructor(
    context: BrokerContext,
    store: MessageStore,
    processors: ReadonlyMap<number, Processor>,
    server: RemotingServer,
    pull: PullMessage,
    services: readonly BrokerService[],
    timerAdmin: TimerAdmin | undefined,
    registration: Registration,
  ) {
    this.context = context;
    this.store = store;
    this.processors = processors;
    this.#server = server;
    this.#pull = pull;
    this.timerAdmin = timerAdmin;
    this.#services = services;
    this.#registration = registration;
    this.#housekeeping = startHousekeeping(context);
    for (const service of services) service.start();
  }

  /** Rejects with what keeps the store from opening or the port from being taken. */
  static async start(options: BrokerOptions): Promise<Broker> {
    const { reading, clock = systemClock, log = silentLogger } = options;
    const { config } = reading;
    warnIfOpen(config, log);
    const store = await openBrokerStore(options, config, clock, log);
    /** To be undone, last first, where it does not come to a broker. */
    const begun: (() => Promise<void> | void)[] = [() => store.close()];
    try {
      const access = options.access ?? openAccess({ reading, disk: store.disk, clock, log });
      if (access !== undefined) begun.push(() => access.close());
      await access?.save();
      let port = config.listenPort;
      const { context, reports } = openBrokerContext({
        reading,
        store: new BrokerStore(store, config),
        access,
        disk: store.disk,
        clock,
        log,
        brokerAddress: () => hostPort(config.brokerIP1 || advertisedHost(config.bindAddress), port),
      });
      begun.push(() => closeSavers(context));
      await adoptTopics(context, store, reports);
      const processors = new Map<number, Processor>();
      registerTableProcessors(processors, context);
      registerResetOffset(processors, context);
      const waiters = waitersOf(store, clock, options.onFailure);
      const hosts = new StoreHosts(() => port, config.brokerIP1);
      const schedule = new ScheduleMessageService(context, store);
      const timers = config.timerWheelEnable ? new TimerMessageStore(context, store) : undefined;
      if (timers !== undefined) begun.push(() => timers.index.close());
      timers?.open();
      const transactions = new TransactionService(context, store, schedule, waiters);
      transactions.register(processors);
      new SendMessage(context, store, hosts, schedule, transactions.transactions, timers, waiters).register(processors);
      const recall = new RecallMessage({ context, store, hosts, timers, waiters });
      recall.register(processors);
      const timerAdmin = timers === undefined ? undefined : new TimerAdmin(context, store, timers, recall);
      new ReplyMessage(context, store, hosts).register(processors);
      new SendBack(context, store, hosts, schedule, waiters).register(processors);
      const pull = new PullMessage(context, store);
      pull.register(processors);
      const pop = new PopService(context, store, waiters);
      let registration: Registration | undefined;
      pop.register(processors, async (topic) => registration?.topicRoute(topic));
      pop.recover();
      if (options.hooks !== undefined) hookProcessors(processors, options.hooks, context);
      const server = serverOf(context, store, access, processors, waiters);
      const { routeTable, namesrvPort, orderedTopics } = options;
      const tls = tlsClientOptions(reading, store.disk);
      registration = new Registration(context, routeTable, tls, namesrvPort, orderedTopics);
      await server.listen();
      begun.push(() => server.close());
      port = server.port;
      const services: BrokerService[] = [schedule, transactions, pop];
      if (timers !== undefined) services.push(timers);
      const broker = new Broker(context, store, processors, server, pull, services, timerAdmin, registration);
      begun.splice(0, begun.length, () => broker.close());
      await registration.start();
      return broker;
    } catch (error) {
      for (const undo of begun.reverse()) await undo();
      throw error;
    }
  }

  get port(): number {
    return this.#server.port;
  }

  /** `host:port` as it is registered with name servers. */
  get address(): string {
    return this.context.brokerAddress();
  }

  /** Where a topic is, also on other brokers; undefined where no name server knows it. */
  topicRoute(topic: string): Promise<TopicRouteData | undefined> {
    return this.#registration.topicRoute(topic);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#registration.close();
    this.#server.quiesce();
    this.#pull.longPolling.close();
    for (const service of this.#services) service.quiesce?.();
    // Who waits for the disk gets its answer before the connections go.
    if (this.store.syncFlush) await this.store.whenFlushed(this.store.maxPhyOffset).catch(() => {});
    await this.#server.close();
    for (const service of this.#services) await service.close();
    await this.#housekeeping.close();
    await this.store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function serverOf(
  { config, clock, log }: BrokerContext,
  store: MessageStore,
  access: Access | undefined,
  processors: ReadonlyMap<number, Processor>,
  waiters: FlushWaiters,
): RemotingServer {
  return new RemotingServer({
    host: config.bindAddress,
    port: config.listenPort,
    alsoPort: fastListenPort(config.listenPort),
    tls: tlsServerOptions(config, store.disk),
    proxyTrust: proxyTrustOf(config),
    name: "broker",
    processors: access?.enforced === true ? guarded(processors, access.control) : processors,
    strangerRefusal: access?.enforced === true ? strangerRefusal(access.control) : undefined,
    clock,
    log,
    flowLimits: new FastFailure(config, waiters),
    beforeSend: () => store.publish(),
    idleMsMax: config.serverChannelMaxIdleTimeSeconds * 1000,
  });
}

/** Those who wait for the store's disk. */
function waitersOf(store: MessageStore, clock: Clock, onFailure: BrokerOptions["onFailure"]): FlushWaiters {
  const waiters = new FlushWaiters(clock);
  store.onFlushed((position) => waiters.flushed(position));
  store.onFailure((error) => {
    waiters.failed();
    onFailure?.(error);
  });
  return waiters;
}

/** Whoever reaches the port may read and change everything: that is said once. */
function warnIfOpen(config: BrokerConfig, log: Logger): void {
  if (isLoopback(config.bindAddress) || isAccessControlled(config)) return;
  const text = "others than this machine can reach the broker, and access control is off: see authenticationEnabled";
  log.warn({ bindAddress: config.bindAddress }, text);
}

/** Apache's second port. Nobody looks for it below a port that was chosen freely. */
function fastListenPort(listenPort: number): number | undefined {
  return listenPort > FAST_PORT_OFFSET ? listenPort - FAST_PORT_OFFSET : undefined;
}

function openBrokerStore(
  options: BrokerOptions,
  config: BrokerConfig,
  clock: Clock,
  log: Logger,
): Promise<MessageStore> {
  const given = options.reading.given ?? new Set<string>();
  return MessageStore.open({
    directory: config.storePathRootDir,
    commitLogDirectory: config.storePathCommitLog === "" ? undefined : config.storePathCommitLog,
    backend: options.backend,
    disk: options.disk,
    clock,
    log,
    segmentBytes: given.has("mappedFileSizeCommitLog") ? config.mappedFileSizeCommitLog : undefined,
    queueFileBytes: given.has("mappedFileSizeConsumeQueue") ? config.mappedFileSizeConsumeQueue : undefined,
    indexSizes: { maxHashSlotNum: config.maxHashSlotNum, maxIndexNum: config.maxIndexNum },
    indexEnabled: config.messageIndexEnable,
    flushDiskType: config.flushDiskType,
    flushIntervalMs: config.flushIntervalCommitLog,
    warmMapedFileEnable: config.warmMapedFileEnable,
    maxMessageSize: config.maxMessageSize,
    retention: config,
    delayLevels: parseDelayLevels(config.messageDelayLevel),
    onRecoveryProgress: options.onRecoveryProgress,
  });
}
