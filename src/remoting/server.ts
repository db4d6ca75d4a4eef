/**
 * The listening end: accepts connections, has their requests handled by processors (see connection.ts), closes who is
 * silent for too long. The bounds are Apache's where it has them (remoting/netty/NettyServerConfig.java).
 */
import { createServer, type Server, type Socket } from "node:net";
import { assert } from "../base/assert.js";
import { type Clock, systemClock, type Timer } from "../base/clock.js";
import { CometError, systemCode } from "../base/errors.js";
import { type Logger, silentLogger } from "../base/log.js";
import { AssemblyBudget } from "./assembly-budget.js";
import { BufferPool } from "./buffer-pool.js";
import { type ConnectionSettings, RemotingConnection } from "./connection.js";
import { FlowControl, type FlowLimits } from "./flow-control.js";
import { FRAME_BYTES_MAX } from "./frame-decoder.js";
import { HeaderView } from "./header-view.js";
import { OutputBudget } from "./output-budget.js";
import { ProxyEntrance, type ProxyTrust } from "./proxy-entrance.js";
import { type ClientAddress, PROXY_BYTE_MIN } from "./proxy-header.js";
import { ReceiveBuffer } from "./receive-buffer.js";
import { StrangerLog } from "./stranger-log.js";
import { TlsEntrance } from "./tls-entrance.js";
import type { TlsServerOptions } from "./tls-options.js";
import { Turns } from "./turns.js";
import { type Connection, type Processor, SerializeType, type StrangerRefusal } from "./types.js";

const HOST = "127.0.0.1";
const IDLE_MS_MAX = 120_000;
/** An idle connection is closed after this many sweeps without a byte: within a quarter more than the time allowed. */
const IDLE_SWEEPS_MAX = 4;
const CONNECTIONS_MAX = 16_384;
const OUTPUT_PAUSE_BYTES = 1_048_576;
const OUTPUT_BYTES_MAX = 67_108_864;
const OUTPUT_TOTAL_BYTES_MAX = 1_073_741_824;
const ASSEMBLY_BYTES_MAX = 536_870_912;
const SOCKET_BUFFER_BYTES = 1_048_576;
const GRACE_MS = 5000;
const BACKLOG = 1024;

export interface RemotingServerOptions {
  /** 127.0.0.1 by default. */
  readonly host?: string;
  /** 0, the default, takes a free one. */
  readonly port?: number;
  /** A second port for the same clients; a warning and nothing more when it can not be had. */
  readonly alsoPort?: number | undefined;
  /** Without it TLS clients are refused. */
  readonly tls?: TlsServerOptions | undefined;
  /** Whose PROXY headers tell who a client is; everybody's by default, as Apache's. */
  readonly proxyTrust?: ProxyTrust | undefined;
  /** What listens here, for log lines and the text that strangers get: "broker", "name server". */
  readonly name?: string;
  /** Looked up for each request, so later additions count. */
  readonly processors: ReadonlyMap<number, Processor>;
  /** What the sender of a code that nobody serves is told instead of that, if anything; with NO_PERMISSION. */
  readonly strangerRefusal?: StrangerRefusal | undefined;
  /** When requests are answered busy; never without it. */
  readonly flowLimits?: FlowLimits | undefined;
  readonly clock?: Clock;
  readonly log?: Logger;
  /** 16777216: a whole frame with its length word. */
  readonly frameBytesMax?: number;
  /** 512 MiB: half-received frames of all connections together. */
  readonly assemblyBytesMax?: number;
  /** 16384: further ones are closed at once. */
  readonly connectionsMax?: number;
  /** 1 MiB: with more unsent bytes a connection is not read. */
  readonly outputPauseBytes?: number;
  /** 64 MiB: with more unsent bytes a connection is closed. */
  readonly outputBytesMax?: number;
  /** Called before answers are sent; false when what they tell is not so after all: their connection is cut. */
  readonly beforeSend?: (() => boolean) | undefined;
  /** 1 GiB over all connections: past it those are closed that have not read for ten seconds. */
  readonly outputTotalBytesMax?: number;
  /** 120 s without a byte in either direction; 0 for never. */
  readonly idleMsMax?: number;
  /**
   * A TLS client is seen twice: it is a connection until its first bytes tell, and another one after its handshake. So is
   * the client of a proxy, after the proxy's header.
   */
  readonly onConnect?: (connection: Connection) => void;
}

export class RemotingServer {
  readonly #options: RemotingServerOptions;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #strangerLog: Logger;
  /** Of connections as they come. */
  readonly #settings: ConnectionSettings;
  /** Of those of which a proxy has said whose they are. */
  readonly #proxiedSettings: ConnectionSettings;
  /** Of connections after their TLS handshake. */
  readonly #secureSettings: ConnectionSettings;
  readonly #entrance: TlsEntrance | undefined;
  readonly #proxyEntrance: ProxyEntrance;
  readonly #flow: FlowControl | undefined;
  readonly #connections = new Set<RemotingConnection>();
  readonly #server: Server;
  #alsoServer: Server | undefined;
  #sweepTimer: Timer | undefined;
  /** The bound on connections was reached, and the log said so. */
  #full = false;
  #closing: Promise<void> | undefined;

  constructor(options: RemotingServerOptions) {
    this.#options = options;
    this.#name = options.name ?? "broker";
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? silentLogger;
    this.#strangerLog = new StrangerLog(this.#log, this.#clock);
    const frameBytesMax = options.frameBytesMax ?? FRAME_BYTES_MAX;
    assert(frameBytesMax < PROXY_BYTE_MIN * 2 ** 24, "a frame never begins as TLS or a PROXY header does");
    this.#flow = options.flowLimits && new FlowControl(options.flowLimits, this.#clock, this.#log);
    this.#secureSettings = {
      name: this.#name,
      processors: options.processors,
      clock: this.#clock,
      log: this.#log,
      strangerLog: this.#strangerLog,
      frameBytesMax,
      outputPauseBytes: options.outputPauseBytes ?? OUTPUT_PAUSE_BYTES,
      outputBytesMax: options.outputBytesMax ?? OUTPUT_BYTES_MAX,
      serializeType: SerializeType.JSON,
      pool: new BufferPool(),
      budget: new AssemblyBudget(options.assemblyBytesMax ?? ASSEMBLY_BYTES_MAX, this.#clock),
      outputBudget: new OutputBudget(options.outputTotalBytesMax ?? OUTPUT_TOTAL_BYTES_MAX, this.#clock),
      turns: new Turns(),
      flow: this.#flow,
      receiveBuffer: undefined,
      header: new HeaderView(),
      unknownCodes: new Set(),
      strangerRefusal: options.strangerRefusal,
      beforeSend: options.beforeSend,
      onClosed: (connection) => this.#connections.delete(connection),
    };
    this.#entrance = options.tls && this.#makeEntrance(options.tls);
    this.#proxyEntrance = this.#makeProxyEntrance();
    const receiveBuffer = new ReceiveBuffer();
    this.#proxiedSettings = { ...this.#secureSettings, entrance: this.#entrance, receiveBuffer };
    this.#settings = { ...this.#proxiedSettings, proxyEntrance: this.#proxyEntrance };
    this.#server = this.#makeServer();
  }

  #makeEntrance(tls: TlsServerOptions): TlsEntrance {
    return new TlsEntrance({
      tls,
      host: this.#options.host ?? HOST,
      name: this.#name,
      clock: this.#clock,
      log: this.#strangerLog,
      onSecure: (socket, client) => this.#begin(socket, this.#secureSettings, client),
    });
  }

  #makeProxyEntrance(): ProxyEntrance {
    return new ProxyEntrance({
      trust: this.#options.proxyTrust,
      name: this.#name,
      clock: this.#clock,
      log: this.#strangerLog,
      onClient: (socket, client) => {
        this.#begin(socket, this.#proxiedSettings, client);
        socket.resume();
      },
    });
  }

  #makeServer(): Server {
    return createServer({ noDelay: true, highWaterMark: SOCKET_BUFFER_BYTES }, (socket) => this.#accepted(socket));
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections;
  }

  /** TLS clients in their handshake and proxies in their header, who are no connections yet. */
  get handshakeCount(): number {
    return (this.#entrance?.handshakeCount ?? 0) + this.#proxyEntrance.waitingCount;
  }

  /** The port listened on; 0 before `listen` and after `close`. */
  get port(): number {
    const address = this.#server.address();
    return address === null || typeof address === "string" ? 0 : address.port;
  }

  /** Rejects with COMETMQ_LISTEN, or with COMETMQ_CONFIG for a certificate that can not be used. */
  async listen(): Promise<void> {
    const { port = 0, alsoPort } = this.#options;
    await this.#entrance?.open();
    await this.#listenOn(this.#server, port).catch((error: unknown) => {
      this.#entrance?.close();
      throw error;
    });
    this.#scheduleSweep();
    if (alsoPort === undefined) return;
    const server = this.#makeServer();
    try {
      await this.#listenOn(server, alsoPort);
      this.#alsoServer = server;
    } catch (err) {
      this.#log.warn({ err }, `the ${this.#name} does without its second port, ${alsoPort}`);
    }
  }

  #listenOn(server: Server, port: number): Promise<void> {
    const host = this.#options.host ?? HOST;
    return new Promise((resolve, reject) => {
      const refused = (cause: Error) => {
        const message = `The ${this.#name} cannot listen on ${host}:${port} (${systemCode(cause)}).`;
        reject(new CometError("COMETMQ_LISTEN", message, { cause }));
      };
      server.once("error", refused);
      server.listen({ host, port, backlog: BACKLOG }, () => {
        server.off("error", refused);
        server.on("error", (err) => this.#log.error({ err }, `the ${this.#name} cannot accept a connection`));
        resolve();
      });
    });
  }

  /** Stops accepting and reading. What is being answered still goes out, until `close`. */
  quiesce(): void {
    this.#server.close();
    this.#alsoServer?.close();
    this.#entrance?.close();
    this.#proxyEntrance.close();
    this.#sweepTimer?.cancel();
    for (const connection of this.#connections) connection.quiesce();
  }

  /** Sends what is answered and ends every connection, by force after `graceMs`. Also stops accepting. */
  close(graceMs: number = GRACE_MS): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    this.quiesce();
    for (const connection of [...this.#connections]) connection.close();
    const gone = [...this.#connections].map((connection) => new Promise<void>((done) => connection.onClose(done)));
    const force = this.#clock.schedule(graceMs, () => {
      for (const connection of [...this.#connections]) connection.destroy();
    });
    await Promise.all(gone);
    force.cancel();
  }

  #accepted(socket: Socket): void {
    const connectionsMax = this.#options.connectionsMax ?? CONNECTIONS_MAX;
    if (this.#connections.size + this.handshakeCount >= connectionsMax || this.#closing !== undefined) {
      if (!this.#full) this.#log.warn({ connectionsMax }, `the ${this.#name} has all the connections it may have`);
      this.#full = true;
      socket.destroy();
      return;
    }
    this.#full = false;
    this.#begin(socket, this.#settings);
  }

  #begin(socket: Socket, settings: ConnectionSettings, client?: ClientAddress): void {
    const connection = new RemotingConnection(socket, settings, client);
    this.#connections.add(connection);
    this.#options.onConnect?.(connection);
  }

  #scheduleSweep(): void {
    const idleMsMax = this.#options.idleMsMax ?? IDLE_MS_MAX;
    if (idleMsMax <= 0) return;
    this.#sweepTimer = this.#clock.schedule(Math.ceil(idleMsMax / IDLE_SWEEPS_MAX), () => {
      for (const connection of [...this.#connections]) {
        if (++connection.idleSweeps <= IDLE_SWEEPS_MAX) continue;
        this.#log.info({ remote: connection.remoteAddress }, `an idle connection is closed after ${idleMsMax} ms`);
        connection.close();
      }
      this.#scheduleSweep();
    });
  }
}
