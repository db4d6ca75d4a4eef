/**
 * The clients of the endpoint, by client id, with the settings and the telemetry stream of each
 * (proxy/grpc/v2/channel/GrpcChannelManager.java, GrpcClientChannel.java). To the broker each is a connection in its
 * tables of producers and consumers; what the broker pushes there goes out on the telemetry stream.
 */
import type { Clock, Timer } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { Code } from "../../grpc/enums.js";
import type { Settings, TelemetryCommand } from "../../grpc/messages.js";
import type { GrpcStream } from "../../grpc/types.js";
import { LocalConnection, type LocalClient, type LocalPeering } from "../../remoting/local-connection.js";
import type { Fields, RemoteAnswer } from "../../remoting/types.js";
import type { BrokerConfig } from "../broker/broker-options.js";
import type { ClientIdentity } from "../broker/client-channel.js";
import type { RpcContext, ProxyPeer } from "./proxy.js";
import { ProxyError } from "./proxy-error.js";

const CLIENTS_MAX = 100_000;
const CLIENT_ID_CHARS_MAX = 1024;
const SWEEPS = 4;
const CALLS_PER_CLIENT_MAX = 64;
const SETTINGS_CHARS_MAX = 1_048_576;
const ALL_SETTINGS_CHARS_MAX = 134_217_728;

interface WaitingCall {
  readonly resolve: (answer: RemoteAnswer) => void;
  readonly timer: Timer;
}

/** What the broker asks a client for, in the client's terms. */
export interface ClientRequests {
  pushed(client: ProxyClient, code: number, fields: Fields, body: Uint8Array | undefined): void;
  /** Writes the command that asks for an answer under `nonce`; false when there is none for this code. */
  called(client: ProxyClient, code: number, fields: Fields, body: Uint8Array | undefined, nonce: string): boolean;
}

export class ProxyClient implements LocalClient {
  readonly clientId: string;
  readonly connection: LocalConnection;
  settings: Settings | undefined;
  /** Of its settings, as the table counts them. */
  settingsChars = 0;
  lastSeenMs = 0;
  readonly #clock: Clock;
  readonly #requests: ClientRequests;
  readonly #language: number;
  readonly #version: number;
  readonly #calls = new Map<string, WaitingCall>();
  #stream: GrpcStream<ProxyPeer> | undefined;
  #lastNonce = 0;

  constructor(context: RpcContext, table: ClientTableOptions, language: number, version: number) {
    this.clientId = context.clientId;
    this.#clock = table.clock;
    this.#requests = table.requests;
    this.#language = language;
    this.#version = version;
    this.connection = new LocalConnection(table.peering, { ...context.call.peer, language }, this);
  }

  /** As the broker's tables want it. */
  get identity(): ClientIdentity {
    const { connection, clientId } = this;
    return { connection, clientId, language: this.#language, version: this.#version };
  }

  /** Commands go to the stream that was opened last. */
  attach(stream: GrpcStream<ProxyPeer>): void {
    this.#stream = stream;
  }

  detach(stream: GrpcStream<ProxyPeer>): void {
    if (this.#stream === stream) this.#stream = undefined;
  }

  /** False when there is no stream, or when its client does not read. */
  write(command: TelemetryCommand): boolean {
    return this.#stream?.write(command) ?? false;
  }

  end(): void {
    this.#stream?.end();
  }

  pushed(code: number, fields: Fields, body: Uint8Array | undefined): void {
    this.#requests.pushed(this, code, fields, body);
  }

  called(code: number, fields: Fields, body: Uint8Array | undefined, timeoutMs: number): Promise<RemoteAnswer> {
    const nonce = String(this.#lastNonce++);
    if (this.#calls.size >= CALLS_PER_CLIENT_MAX || !this.#requests.called(this, code, fields, body, nonce)) {
      return Promise.reject(new CometError("COMETMQ_REMOTE", `${this.clientId} does not take this request.`));
    }
    return new Promise((resolve, reject) => {
      const timer = this.#clock.schedule(timeoutMs, () => {
        this.#calls.delete(nonce);
        reject(new CometError("COMETMQ_TIMEOUT", `${this.clientId} did not answer within ${timeoutMs} ms.`));
      });
      this.#calls.set(nonce, { resolve, timer });
    });
  }

  /** Takes the client's answer to the call under `nonce`; one that nobody waits for is dropped. */
  answered(nonce: string, answer: RemoteAnswer): void {
    const call = this.#calls.get(nonce);
    if (call === undefined) return;
    this.#calls.delete(nonce);
    call.timer.cancel();
    call.resolve(answer);
  }
}

export interface ClientTableOptions {
  readonly peering: LocalPeering;
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly requests: ClientRequests;
  /** Of the settings of all clients, as JSON has them: 128 Mi. */
  readonly settingsCharsMax?: number;
}

export class ClientTable {
  /** Called when a client has gone, for whatever reason. */
  onGone: (client: ProxyClient) => void = () => {};
  readonly #clients = new Map<string, ProxyClient>();
  readonly #options: ClientTableOptions;
  #sweep: Timer | undefined;
  #settingsChars = 0;

  constructor(options: ClientTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#clients.size;
  }

  values(): IterableIterator<ProxyClient> {
    return this.#clients.values();
  }

  get(clientId: string): ProxyClient | undefined {
    return this.#clients.get(clientId);
  }

  /** The client of the call, made if it is new, with these settings. Throws TOO_MANY_REQUESTS. */
  take(context: RpcContext, settings: Settings, language: number, version: number): ProxyClient {
    const chars = JSON.stringify(settings).length;
    const knownChars = this.#clients.get(context.clientId)?.settingsChars ?? 0;
    const { settingsCharsMax = ALL_SETTINGS_CHARS_MAX } = this.#options;
    if (chars > SETTINGS_CHARS_MAX || this.#settingsChars - knownChars + chars > settingsCharsMax) {
      throw new ProxyError(Code.TOO_MANY_REQUESTS, "the settings are too long, or those of all clients together");
    }
    const client = this.#register(context, language, version);
    client.settings = settings;
    this.#settingsChars += chars - client.settingsChars;
    client.settingsChars = chars;
    return client;
  }

  #register(context: RpcContext, language: number, version: number): ProxyClient {
    const { clientId } = context;
    const known = this.#clients.get(clientId);
    if (known !== undefined) {
      this.seen(known);
      return known;
    }
    if (this.#clients.size >= CLIENTS_MAX || clientId.length > CLIENT_ID_CHARS_MAX) {
      throw new ProxyError(Code.TOO_MANY_REQUESTS, "there are too many clients, or the client id is too long");
    }
    const client = new ProxyClient(context, this.#options, language, version);
    this.#clients.set(clientId, client);
    this.seen(client);
    client.connection.onClose(() => {
      this.#clients.delete(clientId);
      this.#settingsChars -= client.settingsChars;
      client.end();
      this.onGone(client);
    });
    return client;
  }

  seen(client: ProxyClient): void {
    client.lastSeenMs = this.#options.clock.monotonicMs();
  }

  remove(client: ProxyClient): void {
    client.connection.close();
  }

  /** From now on clients that have sent no heartbeat in `channelExpiredTimeout` are forgotten. */
  start(): void {
    const { clock, config, log } = this.#options;
    this.#sweep = clock.schedule(config.channelExpiredTimeout / SWEEPS, () => {
      const deadlineMs = clock.monotonicMs() - config.channelExpiredTimeout;
      for (const client of [...this.#clients.values()]) {
        if (client.lastSeenMs >= deadlineMs) continue;
        log.info({ clientId: client.clientId }, "a gRPC client is silent and is forgotten");
        this.remove(client);
      }
      this.start();
    });
  }

  close(): void {
    this.#sweep?.cancel();
    for (const client of [...this.#clients.values()]) this.remove(client);
  }
}
