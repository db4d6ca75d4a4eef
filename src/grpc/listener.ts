/**
 * The port of the gRPC endpoint: plain text and TLS on one, told apart by the first byte as Apache's proxy does, behind
 * the header of a PROXY protocol or without (proxy/grpc/ProxyAndTlsProtocolNegotiator.java). Sockets are handed on with their bytes unread; who speaks something
 * else is told so.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../base/clock.js";
import { CometError, systemCode } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { addressText } from "../remoting/address.js";
import { ProxyEntrance, type ProxyTrust } from "../remoting/proxy-entrance.js";
import { beginsAsProxyHeader, type ClientAddress, PROXY_WORD_BYTES } from "../remoting/proxy-header.js";
import { StrangerLog } from "../remoting/stranger-log.js";
import { TlsEntrance } from "../remoting/tls-entrance.js";
import type { TlsServerOptions } from "../remoting/tls-options.js";

const NAME = "gRPC endpoint";
const FIRST_BYTES_MS_MAX = 10_000;
const CONNECTIONS_MAX = 16_384;
const BACKLOG = 1024;
const TLS_HANDSHAKE = 0x16;
/** The preface of HTTP/2 begins with it, and no method of HTTP/1 does. */
const PREFACE = "PRI";
const HTTP1_BYTE_MIN = 0x41;
const HTTP1_BYTE_MAX = 0x5a;

export interface GrpcListenerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tls: TlsServerOptions;
  readonly clock: Clock;
  readonly log: Logger;
  readonly connectionsMax?: number | undefined;
  /** Whose PROXY headers tell who a client is; everybody's by default, as Apache's. */
  readonly proxyTrust?: ProxyTrust | undefined;
  /** Takes a socket that speaks HTTP/2, in plain text or after its TLS handshake; `client` is whom a proxy speaks for. */
  readonly onSocket: (socket: Socket, client: ClientAddress | undefined) => void;
}

export class GrpcListener {
  readonly #options: GrpcListenerOptions;
  readonly #entrance: TlsEntrance;
  readonly #proxyEntrance: ProxyEntrance;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #full = false;

  /** Throws COMETMQ_CONFIG. */
  constructor(options: GrpcListenerOptions) {
    const { host, clock } = options;
    const log = new StrangerLog(options.log, clock);
    this.#options = { ...options, log };
    this.#entrance = new TlsEntrance({
      tls: { ...options.tls, alpnProtocols: ["h2"] },
      host,
      name: NAME,
      clock,
      log,
      onSecure: (socket, client) => options.onSocket(socket, client),
    });
    this.#proxyEntrance = new ProxyEntrance({
      trust: options.proxyTrust,
      name: NAME,
      clock,
      log,
      onClient: (socket, client) => this.#awaitClient(socket, client),
    });
    this.#server = createServer({ noDelay: true, pauseOnConnect: false }, (socket) => this.#accepted(socket));
  }

  get port(): number {
    const address = this.#server.address();
    return address === null || typeof address === "string" ? 0 : address.port;
  }

  /** Accepted sockets that are not closed. */
  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Rejects with COMETMQ_LISTEN, or with COMETMQ_CONFIG for a certificate that can not be used. */
  async listen(): Promise<void> {
    await this.#entrance.open();
    const { host, port, log } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const refused = (cause: Error) => {
        this.#entrance.close();
        const message = `The ${NAME} cannot listen on ${host}:${port} (${systemCode(cause)}).`;
        reject(new CometError("COMETMQ_LISTEN", message, { cause }));
      };
      this.#server.once("error", refused);
      this.#server.listen({ host, port, backlog: BACKLOG }, () => {
        this.#server.off("error", refused);
        this.#server.on("error", (err) => log.error({ err }, `the ${NAME} cannot accept a connection`));
        resolve();
      });
    });
  }

  /** Accepts nothing more. */
  quiesce(): void {
    this.#server.close();
    this.#entrance.close();
    this.#proxyEntrance.close();
  }

  /** Cuts off who is left. */
  close(): void {
    this.quiesce();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accepted(socket: Socket): void {
    const { log, connectionsMax = CONNECTIONS_MAX } = this.#options;
    if (this.#sockets.size >= connectionsMax) {
      if (!this.#full) log.warn({ connectionsMax }, `the ${NAME} has all the connections it may have`);
      this.#full = true;
      socket.destroy();
      return;
    }
    this.#full = false;
    this.#sockets.add(socket);
    socket.on("error", (err) => log.debug({ err }, "connection error"));
    socket.once("close", () => this.#sockets.delete(socket));
    this.#awaitBytes(socket, (first) => {
      if (beginsAsProxyHeader(first)) {
        if (first.length < PROXY_WORD_BYTES) return false;
        stopReading(socket, first);
        this.#proxyEntrance.take(socket);
        return true;
      }
      return this.#route(socket, first, undefined);
    });
  }

  /** The header of his proxy is read. */
  #awaitClient(socket: Socket, client: ClientAddress | undefined): void {
    this.#awaitBytes(socket, (first) => this.#route(socket, first, client));
    socket.resume();
  }

  /** Reads until `take` has what it needs, which is then given the socket too. */
  #awaitBytes(socket: Socket, take: (first: Buffer) => boolean): void {
    const silent = this.#options.clock.schedule(FIRST_BYTES_MS_MAX, () => socket.destroy());
    const closed = () => silent.cancel();
    let first: Buffer = Buffer.alloc(0);
    const received = (chunk: Buffer): void => {
      first = first.length === 0 ? chunk : Buffer.concat([first, chunk]);
      socket.off("data", received);
      if (!take(first)) {
        socket.on("data", received);
        return;
      }
      silent.cancel();
      socket.off("close", closed);
    };
    socket.on("data", received);
    socket.once("close", closed);
  }

  #route(socket: Socket, first: Buffer, client: ClientAddress | undefined): boolean {
    if (first[0] !== TLS_HANDSHAKE && first.length < PREFACE.length) return false;
    const { mode = "permissive" } = this.#options.tls;
    if (first[0] === TLS_HANDSHAKE && this.#entrance.refusal === undefined) {
      stopReading(socket, first);
      this.#entrance.take(socket, client);
    } else if (mode !== "enforcing" && first.toString("latin1", 0, PREFACE.length) === PREFACE) {
      stopReading(socket, first);
      this.#options.onSocket(socket, client);
    } else {
      this.#refuse(socket, first, client);
    }
    return true;
  }

  #refuse(socket: Socket, first: Buffer, client: ClientAddress | undefined): void {
    socket.pause();
    const { address, port } = client ?? { address: socket.remoteAddress ?? "0.0.0.0", port: socket.remotePort ?? 0 };
    const remote = addressText(address, port);
    const byte = first[0]!;
    const isHttp1 = byte >= HTTP1_BYTE_MIN && byte <= HTTP1_BYTE_MAX && !first.toString("latin1").startsWith(PREFACE);
    const here = `port ${socket.localPort} is the ${NAME}'s, which speaks gRPC`;
    const reason =
      byte === TLS_HANDSHAKE
        ? `a TLS client came in, but ${here} without TLS (${this.#entrance.refusal})`
        : isHttp1
          ? `an HTTP/1 request came in, but ${here} over HTTP/2`
          : byte === 0
            ? `a Remoting client came in, but ${here}: it needs the broker's or the name server's port`
            : `a client came in that this port does not understand: ${here}`;
    this.#options.log.warn({ remote }, reason);
    if (isHttp1) {
      const text = `This is the CometMQ ${NAME}: ${reason}.\n`;
      const head = `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${text.length}\r\n`;
      socket.write(`${head}Connection: close\r\n\r\n${text}`);
    }
    socket.destroySoon();
  }
}

function stopReading(socket: Socket, unread: Buffer): void {
  socket.pause();
  socket.unshift(unread);
}
