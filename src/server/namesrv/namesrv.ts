/**
 * The name server: it tells clients which brokers have a topic (namesrv/NamesrvController.java). It keeps nothing but
 * the key-value file; brokers tell the rest anew every 30 s. A broker in the same process registers with
 * `routeTable.register` and needs no connection.
 */
import { type Clock, systemClock, type Timer } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { type Logger, silentLogger } from "../../base/log.js";
import { checkOptionNames, type OptionNames } from "../../base/option-names.js";
import type { Disk } from "../../io/disk.js";
import type { ProxyTrust } from "../../remoting/proxy-entrance.js";
import { RemotingServer } from "../../remoting/server.js";
import { TLS_SERVER_OPTIONS, type TlsServerOptions } from "../../remoting/tls-options.js";
import type { Connection, Processor } from "../../remoting/types.js";
import { processorOf } from "../answer.js";
import { guarded, strangerRefusal } from "../auth/guard.js";
import type { Access } from "../auth/open-access.js";
import { RepeatLog } from "../repeat-log.js";
import { brokerHandlers } from "./broker-requests.js";
import { configHandlers } from "./config-requests.js";
import { KvConfig, NAMESPACE_ORDER_TOPIC_CONFIG } from "./kv-config.js";
import { NamesrvConfig, type NamesrvSettings } from "./namesrv-config.js";
import { type AddressFor, RouteTable } from "./route-table.js";
import type { NameServerState } from "./state.js";
import { topicHandlers } from "./topic-requests.js";

const HOST = "127.0.0.1";
const PORT = 9876;

/** How a name server is started; everything has a default. */
export interface NameServerOptions {
  /** 127.0.0.1 by default. */
  readonly host?: string | undefined;
  /** 9876 by default; 0 takes a free one. */
  readonly port?: number | undefined;
  readonly clock?: Clock | undefined;
  /** Says nothing by default. */
  readonly log?: Logger | undefined;
  /** Where the key-value settings are kept, on `disk`; in memory only without it. */
  readonly kvConfigPath?: string | undefined;
  readonly disk?: Disk | undefined;
  readonly settings?: Partial<NamesrvSettings> | undefined;
  /** What clients are told of a broker in place of what it registered; `addressOfConnection` makes one. */
  readonly addressFor?: AddressFor | undefined;
  /** @internal Who may do what; everybody everything without it. */
  readonly access?: Access | undefined;
  /** @internal Codes that are answered to anybody all the same. */
  readonly openCodes?: ReadonlySet<string> | undefined;
  /** Without it, clients with TLS are served on loopback only, and without a certificate that means anything. */
  readonly tls?: TlsServerOptions | undefined;
  /** @internal Whose PROXY headers tell who a client is; everybody's without it, or nobody's where `access` is. */
  readonly proxyTrust?: ProxyTrust | undefined;
  /** Connections that are silent for so long are closed; 120 s by default, never for 0. */
  readonly idleMsMax?: number | undefined;
}

const OPTION_NAMES: OptionNames<NameServerOptions> = {
  host: true,
  port: true,
  clock: true,
  log: true,
  kvConfigPath: true,
  disk: true,
  settings: true,
  addressFor: true,
  access: true,
  openCodes: true,
  tls: true,
  proxyTrust: true,
  idleMsMax: true,
};

/** An `AddressFor` that answers with the host the client came by: it has just reached the process under that name. */
export function addressOfConnection(port: number): AddressFor {
  return (_brokerName: string, connection: Connection) => {
    const host = connection.localHost;
    return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  };
}

/** By request code; also for a server that answers more than a name server does. */
export function namesrvProcessors(state: NameServerState): Map<number, Processor> {
  const handlers = [...brokerHandlers(state), ...topicHandlers(state), ...configHandlers(state)];
  return new Map(handlers.map(([code, handler]) => [code, processorOf(handler, state.log)]));
}

/** A name server alone: where brokers register and clients ask for routes. */
export class NameServer {
  /** @internal */
  readonly routeTable: RouteTable;
  /** @internal */
  readonly kvConfig: KvConfig;
  /** @internal */
  readonly config: NamesrvConfig;
  readonly #server: RemotingServer;
  readonly #clock: Clock;
  #scan: Timer | undefined;

  private constructor(state: NameServerState, server: RemotingServer) {
    this.routeTable = state.routeTable;
    this.kvConfig = state.kvConfig;
    this.config = state.config;
    this.#server = server;
    this.#clock = state.clock;
  }

  /** Rejects with COMETMQ_LISTEN or COMETMQ_CONFIG. */
  static async start(options: NameServerOptions = {}): Promise<NameServer> {
    checkOptionNames("NameServer.start", options, OPTION_NAMES);
    if (options.tls !== undefined) checkOptionNames("tls", options.tls, TLS_SERVER_OPTIONS);
    const { host = HOST, port = PORT, clock = systemClock, kvConfigPath, disk } = options;
    const log = new RepeatLog(options.log ?? silentLogger, clock);
    if (kvConfigPath !== undefined && disk === undefined) {
      throw new CometError("COMETMQ_CONFIG", "kvConfigPath needs a disk.");
    }
    const config = new NamesrvConfig(options.settings);
    const state: NameServerState = {
      routeTable: new RouteTable({ clock, log, config, addressFor: options.addressFor }),
      kvConfig: kvConfigPath === undefined ? KvConfig.inMemory() : KvConfig.open(disk!, kvConfigPath),
      config,
      clock,
      log,
      startedMs: clock.monotonicMs(),
    };
    const { access, openCodes, tls = {}, idleMsMax } = options;
    const handlers = namesrvProcessors(state);
    const processors = access?.enforced === true ? guarded(handlers, access.control, openCodes) : handlers;
    const server = new RemotingServer({
      host,
      port,
      name: "name server",
      processors,
      strangerRefusal: access?.enforced === true ? strangerRefusal(access.control) : undefined,
      clock,
      log,
      tls,
      proxyTrust: options.proxyTrust ?? (access?.enforced === true ? () => false : undefined),
      ...(idleMsMax === undefined ? {} : { idleMsMax }),
    });
    await server.listen();
    config.fixed.set("bindAddress", host).set("listenPort", server.port);
    if (kvConfigPath !== undefined) config.fixed.set("kvConfigPath", kvConfigPath);
    const nameServer = new NameServer(state, server);
    nameServer.#scheduleScan();
    log.info({ host, port: server.port }, "name server started");
    return nameServer;
  }

  /** @internal Those that it tells a broker of this process are ordered. */
  orderedTopics(): Iterable<string> {
    if (!this.config.settings.returnOrderTopicConfigToBroker) return [];
    return this.kvConfig.list(NAMESPACE_ORDER_TOPIC_CONFIG)?.keys() ?? [];
  }

  /** The one it listens on. */
  get port(): number {
    return this.#server.port;
  }

  #scheduleScan(): void {
    const scan = (): void => {
      this.routeTable.scanNotActiveBroker();
      this.#scheduleScan();
    };
    this.#scan = this.#clock.schedule(this.config.settings.scanNotActiveBrokerInterval, scan, true);
  }

  /** Ends every connection; settings are on the disk then. */
  async close(): Promise<void> {
    this.#scan?.cancel();
    await this.#server.close();
    await this.kvConfig.settled();
  }
}
