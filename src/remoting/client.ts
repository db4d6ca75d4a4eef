/**
 * The calling end: one server's address, connected when needed and again after a loss. The broker talks to name servers
 * with it, the command line to both.
 */
import { connect, type Socket } from "node:net";
import { type Clock, systemClock } from "../base/clock.js";
import { CometError, systemCode } from "../base/errors.js";
import { type Logger, silentLogger } from "../base/log.js";
import { AssemblyBudget } from "./assembly-budget.js";
import { BufferPool } from "./buffer-pool.js";
import { ResponseCode, responseCodeName } from "./codes.js";
import { type AnswerTaker, type ConnectionSettings, RemotingConnection } from "./connection.js";
import { FRAME_BYTES_MAX } from "./frame-decoder.js";
import { HeaderView } from "./header-view.js";
import { ReceiveBuffer } from "./receive-buffer.js";
import type { TlsClientOptions } from "./tls-options.js";
import { Turns } from "./turns.js";
import { type Connection, type Fields, type Processor, type RemoteAnswer, SerializeType } from "./types.js";

/** Apache's connectTimeoutMillis. */
const CONNECT_TIMEOUT_MS = 3000;
/** Calls that ran out of time for so long, and no answer at all: nobody reads at the other end of this connection. */
const SILENCE_MS_MAX = 2500;
const OUTPUT_BYTES_MAX = 268_435_456;
const NO_PROCESSORS: ReadonlyMap<number, Processor> = new Map();

export interface RemotingClientOptions {
  /** Of the requests sent; JSON by default. */
  readonly serializeType?: SerializeType;
  readonly connectTimeoutMs?: number;
  /** Requests that the server sends. */
  readonly processors?: ReadonlyMap<number, Processor>;
  /** Each time a connection is gone. */
  readonly onDisconnect?: () => void;
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly frameBytesMax?: number;
  /** For many requests at a time, written to `connection.writer`. */
  readonly onAnswer?: AnswerTaker;
  /** Adds to the fields of each request who sends it. */
  readonly signer?: ((fields: Fields, body?: Uint8Array) => Fields) | undefined;
  /** Speaks TLS; plain text without it. */
  readonly tls?: TlsClientOptions | undefined;
}

export class RemotingClient {
  readonly host: string;
  readonly port: number;
  readonly #clock: Clock;
  readonly #connectTimeoutMs: number;
  readonly #tls: TlsClientOptions | undefined;
  readonly #signer: RemotingClientOptions["signer"];
  readonly #settings: ConnectionSettings;
  #connection: RemotingConnection | undefined;
  #connecting: Promise<RemotingConnection> | undefined;
  #lastAnswerMs = Number.NEGATIVE_INFINITY;
  /** Since when calls have gone without an answer. */
  #silentSinceMs = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(host: string, port: number, options: RemotingClientOptions = {}) {
    this.host = host;
    this.port = port;
    this.#clock = options.clock ?? systemClock;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    this.#tls = options.tls;
    this.#signer = options.signer;
    this.#settings = {
      name: "client",
      processors: options.processors ?? NO_PROCESSORS,
      clock: this.#clock,
      log: options.log ?? silentLogger,
      frameBytesMax: options.frameBytesMax ?? FRAME_BYTES_MAX,
      outputPauseBytes: OUTPUT_BYTES_MAX,
      outputBytesMax: OUTPUT_BYTES_MAX,
      serializeType: options.serializeType ?? SerializeType.JSON,
      pool: new BufferPool(),
      budget: new AssemblyBudget(),
      turns: new Turns(),
      receiveBuffer: options.onAnswer === undefined || options.tls !== undefined ? undefined : new ReceiveBuffer(),
      header: new HeaderView(),
      unknownCodes: new Set(),
      onClosed: () => options.onDisconnect?.(),
      onAnswer: options.onAnswer,
    };
  }

  get connected(): boolean {
    return this.#connection !== undefined && !this.#connection.closed;
  }

  /** The connection as the server's pushes see it; undefined while there is none. */
  get connection(): Connection | undefined {
    return this.connected ? this.#connection : undefined;
  }

  /** Optional: `call` and `oneway` do it on demand. Rejects with COMETMQ_CONNECT; COMETMQ_CONFIG for unusable TLS files. */
  async connect(): Promise<void> {
    await this.#open();
  }

  /**
   * The answer, whatever its code. Rejects with COMETMQ_CONNECT, with COMETMQ_TIMEOUT, or with COMETMQ_REMOTE when the
   * connection is lost before the answer. The time for connecting, if need be, comes on top of `timeoutMs`. A connection
   * that has gone silent is given up, as the kernel would only after many minutes: the next call makes another one.
   */
  async call(code: number, fields: Fields, body: Uint8Array | undefined, timeoutMs: number): Promise<RemoteAnswer> {
    const connection = this.connected ? this.#connection! : await this.#open();
    const begunMs = this.#clock.monotonicMs();
    try {
      const answer = await connection.call(code, this.#signed(fields, body), body, timeoutMs);
      this.#lastAnswerMs = this.#clock.monotonicMs();
      this.#silentSinceMs = Number.POSITIVE_INFINITY;
      return answer;
    } catch (error) {
      if (error instanceof CometError && error.code === "COMETMQ_TIMEOUT") this.#unanswered(connection, begunMs);
      throw error;
    }
  }

  /** Done when the request is on its way to the socket. Rejects with COMETMQ_CONNECT. */
  async oneway(code: number, fields: Fields, body?: Uint8Array): Promise<void> {
    const connection = this.connected ? this.#connection! : await this.#open();
    connection.pushOneway(code, this.#signed(fields, body), body);
  }

  #unanswered(connection: RemotingConnection, begunMs: number): void {
    if (connection !== this.#connection || connection.closed) return;
    this.#silentSinceMs = Math.min(this.#silentSinceMs, Math.max(begunMs, this.#lastAnswerMs));
    if (this.#clock.monotonicMs() - this.#silentSinceMs >= SILENCE_MS_MAX) connection.destroy();
  }

  #signed(fields: Fields, body: Uint8Array | undefined): Fields {
    return this.#signer === undefined ? fields : this.#signer(fields, body);
  }

  /** Ends the connection after what was written, once and for all. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#connecting?.catch(() => undefined);
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.close();
    await new Promise<void>((done) => connection.onClose(done));
  }

  #open(): Promise<RemotingConnection> {
    this.#connecting ??= this.#dial().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #dial(): Promise<RemotingConnection> {
    const tls = this.#tls === undefined ? undefined : await import("./tls-client.js");
    return new Promise((resolve, reject) => {
      const fail = (reason: string, cause?: unknown) => {
        const message = `No connection to ${this.host}:${this.port} (${reason}).`;
        reject(new CometError("COMETMQ_CONNECT", message, { cause }));
      };
      if (this.#closed) {
        fail("this client is closed");
        return;
      }
      const { host, port } = this;
      const socket: Socket =
        tls === undefined ? connect({ host, port, noDelay: true }) : tls.connectTls(host, port, this.#tls!);
      const timer = this.#clock.schedule(this.#connectTimeoutMs, () => {
        socket.destroy();
        fail(`not within ${this.#connectTimeoutMs} ms`);
      });
      const refused = (error: Error) => {
        timer.cancel();
        fail(systemCode(error) || error.message, error);
      };
      socket.once("error", refused);
      socket.once(tls === undefined ? "connect" : "secureConnect", () => {
        timer.cancel();
        socket.off("error", refused);
        this.#connection = new RemotingConnection(socket, this.#settings);
        this.#silentSinceMs = Number.POSITIVE_INFINITY;
        resolve(this.#connection);
      });
    });
  }
}

/** The answer itself when its code is SUCCESS; throws COMETMQ_REMOTE with code and remark otherwise. */
export function expectSuccess(answer: RemoteAnswer): RemoteAnswer {
  if (answer.code === ResponseCode.SUCCESS) return answer;
  throw new CometError("COMETMQ_REMOTE", `${responseCodeName(answer.code)}: ${answer.remark}.`);
}
