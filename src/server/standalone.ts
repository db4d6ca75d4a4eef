/**
 * Name server, broker and gRPC endpoint of one process: what `cometmq start` runs, and what the library exports as
 * `Broker`. The parts need no connection between them, and clients are told the address they came by.
 */
import { join } from "node:path";
import type { Clock } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { checkClockAndLog, shown } from "../base/given-values.js";
import { checkOptionNames, type OptionNames } from "../base/option-names.js";
import type { Backend, Disk } from "../io/disk.js";
import { FileDisk } from "../io/file-disk.js";
import type { RecoveryProgress } from "../recovery/recover.js";
import type { MessageStore } from "../store/message-store.js";
import { whitelist } from "./auth/access-options.js";
import { type Access, openAccess } from "./auth/open-access.js";
import { proxyTrustOf } from "./auth/proxy-trust.js";
import { Broker } from "./broker/broker.js";
import { BROKER_NAME, brokerConfigOf, type ConfigReading } from "./broker/broker-config.js";
import { type BrokerConfig, OPTIONS } from "./broker/broker-options.js";
import type { BrokerHooks } from "./broker/hooks.js";
import { advertisedHost, hostPort } from "./broker/registration.js";
import type { TimerAdmin } from "./broker/timer/timer-admin.js";
import { tlsServerOptions } from "./broker/tls-config.js";
import { addressOfConnection, NameServer } from "./namesrv/namesrv.js";
import type { GrpcEndpoint } from "./proxy/endpoint.js";

const NAMESRV_PORT = 9876;

/** How a broker is started; only `dataDir` is needed. */
export interface StandaloneOptions {
  /** The store's directory (storePathRootDir); made where it is missing. */
  readonly dataDir: string;
  /** Address to listen on: 127.0.0.1 by default. */
  readonly host?: string | undefined;
  /** The broker's port: 10911 by default, 0 for a free one. */
  readonly port?: number | undefined;
  /** 9876 by default, or a free one where `port` is 0. False: none here, so name others in `config.namesrvAddr`. */
  readonly namesrvPort?: number | false | undefined;
  /** 8081 by default, or a free one where `port` is 0. False: none. */
  readonly grpcPort?: number | false | undefined;
  /** Any other property of a broker, by its Apache name. */
  readonly config?: Partial<BrokerConfig> | undefined;
  /** A configuration file that was read already, in place of `config`. */
  readonly reading?: ConfigReading | undefined;
  /** Sees every request before and after. */
  readonly hooks?: BrokerHooks | undefined;
  /** Says nothing by default. */
  readonly log?: Logger | undefined;
  /** In place of the system's, for tests. */
  readonly clock?: Clock | undefined;
  /** How files are reached; by default the best that loads. */
  readonly backend?: Backend | "auto" | undefined;
  /** In place of files: memory, or one of your own. */
  readonly disk?: Disk | undefined;
  /** The store can take no more messages; the broker goes on answering reads. */
  readonly onFailure?: ((error: CometError) => void) | undefined;
  /** Now and then while a long recovery goes on. */
  readonly onRecoveryProgress?: ((progress: RecoveryProgress) => void) | undefined;
}

const OPTION_NAMES: OptionNames<StandaloneOptions> = {
  dataDir: true,
  host: true,
  port: true,
  namesrvPort: true,
  grpcPort: true,
  config: true,
  reading: true,
  hooks: true,
  log: true,
  clock: true,
  backend: true,
  disk: true,
  onFailure: true,
  onRecoveryProgress: true,
};

/** Name server, broker and gRPC endpoint in this process. */
export class Standalone {
  /** The parts, for programs that go deeper; their members may change between releases. */
  readonly broker: Broker;
  /** Undefined with `namesrvPort: false`. */
  readonly nameServer: NameServer | undefined;
  readonly #grpc: GrpcEndpoint | undefined;
  #closing: Promise<void> | undefined;

  private constructor(broker: Broker, nameServer: NameServer | undefined, grpc: GrpcEndpoint | undefined) {
    this.broker = broker;
    this.nameServer = nameServer;
    this.#grpc = grpc;
  }

  /** Resolves when everything serves. Rejects with what keeps a part from starting; the others are closed then. */
  static async start(options: StandaloneOptions): Promise<Standalone> {
    checkOptionNames("Broker.start", options ?? {}, OPTION_NAMES);
    // Without it the store would begin in the default directory.
    const dataDir: unknown = (options as StandaloneOptions | undefined)?.dataDir;
    if (typeof dataDir !== "string" || dataDir === "")
      throw new CometError("COMETMQ_CONFIG", "Broker.start needs dataDir, the path of the store's directory.");
    checkClockAndLog(options);
    checkPlaces(options);
    const reading = readingOf(options);
    const files = options.disk ?? new FileDisk("file");
    const { clock, log } = options;
    const access = openAccess({ reading, disk: files, clock, log });
    const nameServer = await startNameServer(options, reading.config, files, access);
    let broker: Broker | undefined;
    try {
      const { hooks, backend, disk, onFailure, onRecoveryProgress } = options;
      const routeTable = nameServer?.server.routeTable;
      const orderedTopics = nameServer && (() => nameServer.server.orderedTopics());
      const namesrvPort = nameServer?.server.port;
      const parts = {
        routeTable,
        orderedTopics,
        namesrvPort,
        access,
        hooks,
        log,
        clock,
        backend,
        disk,
        onFailure,
        onRecoveryProgress,
      };
      broker = await Broker.start({ reading, ...parts });
      nameServer?.serves(broker);
      const grpc = await startGrpc(options, broker, files);
      return new Standalone(broker, nameServer?.server, grpc);
    } catch (error) {
      await broker?.close();
      await nameServer?.server.close();
      throw error;
    }
  }

  /** The engine below: `cometmq/store`. */
  get store(): MessageStore {
    return this.broker.store;
  }

  /** Lists and cancels timer messages; undefined with `timerWheelEnable: false`. */
  get timers(): TimerAdmin | undefined {
    return this.broker.timerAdmin;
  }

  /** The broker's. */
  get port(): number {
    return this.broker.port;
  }

  /** Undefined without the endpoint. */
  get grpcPort(): number | undefined {
    return this.#grpc?.port;
  }

  /** What clients are configured with: `host:port` of the name server here, or those that the broker registers with. */
  get namesrvAddr(): string {
    const { config } = this.broker.context;
    return this.nameServer === undefined ? config.namesrvAddr : this.#at(this.nameServer.port);
  }

  /** `host:port` of the broker, for what goes past name servers. */
  get brokerAddr(): string {
    return this.#at(this.broker.port);
  }

  /** What RocketMQ 5 clients on gRPC are configured with; undefined without the endpoint. */
  get endpoints(): string | undefined {
    return this.#grpc === undefined ? undefined : this.#at(this.#grpc.port);
  }

  /** Answers what is in flight, makes everything durable and lets go. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#grpc?.close();
    } finally {
      try {
        await this.broker.close();
      } finally {
        await this.nameServer?.close();
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #at(port: number): string {
    return hostPort(advertisedHost(this.broker.context.config.bindAddress), port);
  }
}

/** Throws COMETMQ_CONFIG for what would fail only when something is opened, or not at all. */
function checkPlaces({ host, port, namesrvPort, grpcPort, disk }: StandaloneOptions): void {
  if (host !== undefined && (typeof host !== "string" || host === ""))
    throw new CometError("COMETMQ_CONFIG", `host is ${shown(host)}, no address.`);
  for (const [name, value] of Object.entries({ port, namesrvPort, grpcPort })) {
    const isPort = Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 65_535;
    if (isPort || value === undefined || (value === false && name !== "port")) continue;
    throw new CometError("COMETMQ_CONFIG", `${name} is ${shown(value)}, no port from 0 to 65535.`);
  }
  if (disk !== undefined && typeof (disk as Partial<Disk> | null)?.makeDirectory !== "function")
    throw new CometError("COMETMQ_CONFIG", `disk is ${shown(disk)}, no Disk.`);
}

function readingOf({ reading, config, dataDir, host, port }: StandaloneOptions): ConfigReading {
  const base = reading ?? brokerConfigOf({ brokerName: BROKER_NAME, ...config });
  const plain = brokerConfigOf({
    storePathRootDir: dataDir,
    ...(host === undefined ? {} : { bindAddress: host }),
    ...(port === undefined ? {} : { listenPort: port }),
  });
  const target = base.config as unknown as Record<string, unknown>;
  for (const name of plain.given) target[name] = plain.config[name as keyof BrokerConfig];
  return { ...base, given: new Set([...base.given, ...plain.given]) };
}

/** A name server that says of this process's broker: where you reach me, there it is. */
async function startNameServer(
  options: StandaloneOptions,
  config: BrokerConfig,
  disk: Disk,
  access: Access | undefined,
) {
  const { namesrvPort = config.listenPort === 0 ? 0 : NAMESRV_PORT, clock, log } = options;
  if (namesrvPort === false) return undefined;
  let broker: Broker | undefined;
  const server = await NameServer.start({
    access,
    openCodes: whitelist(config.namesrvAuthenticationWhitelist),
    host: config.bindAddress,
    port: namesrvPort,
    tls: tlsServerOptions(config, disk),
    proxyTrust: proxyTrustOf(config),
    clock,
    log,
    disk,
    kvConfigPath: join(config.storePathRootDir, "config", "kvConfig.json"),
    idleMsMax: config.serverChannelMaxIdleTimeSeconds * 1000,
    addressFor: (brokerName, connection) =>
      broker !== undefined && brokerName === config.brokerName && config.brokerIP1 === ""
        ? addressOfConnection(broker.port)(brokerName, connection)
        : undefined,
  });
  const serves = (started: Broker): void => {
    broker = started;
  };
  return { server, serves };
}

/** Loaded only where it is wanted. A port that nobody asked for may be taken: there is no endpoint then, and the log says so. */
async function startGrpc(options: StandaloneOptions, broker: Broker, files: Disk): Promise<GrpcEndpoint | undefined> {
  const { context, processors } = broker;
  if (options.grpcPort === false) return undefined;
  const { GrpcEndpoint } = await import("./proxy/endpoint.js");
  const isFree = context.config.listenPort === 0 && context.config.grpcServerPort === OPTIONS.grpcServerPort.initial;
  const port = options.grpcPort ?? (isFree ? 0 : undefined);
  const topicRoute = (topic: string) => broker.topicRoute(topic);
  const starting = GrpcEndpoint.start({ broker: context, processors, files, port, topicRoute });
  if (port !== undefined) return starting;
  return starting.catch((error: unknown) => {
    if (!(error instanceof CometError) || error.code !== "COMETMQ_LISTEN") throw error;
    context.log.warn({ err: error }, "no gRPC endpoint: its port is taken, --grpc-port (grpcPort) chooses another");
    return undefined;
  });
}
