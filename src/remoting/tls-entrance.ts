/**
 * What a listening port does with TLS clients: whether it takes them (Apache's three modes), and who is at his handshake
 * now. Bounded in number and in time, for a handshake is work and memory that nobody has shown a right to.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock, Timer } from "../base/clock.js";
import { CometError } from "../base/errors.js";
import type { Logger } from "../base/log.js";
import { addressText } from "./address.js";
import type { ClientAddress } from "./proxy-header.js";
import type { TlsAcceptor } from "./tls-acceptor.js";
import { hasCertificate, isLoopback, type TlsServerOptions } from "./tls-options.js";

const HANDSHAKE_MS_MAX = 10_000;
const HANDSHAKES_MAX = 1024;

export interface TlsEntranceOptions {
  readonly tls: TlsServerOptions;
  /** Listened on. */
  readonly host: string;
  /** What listens, for log lines. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onSecure: (socket: TLSSocket, client: ClientAddress | undefined) => void;
}

interface Handshake {
  readonly socket: Socket;
  readonly client: ClientAddress | undefined;
  readonly remote: string;
  readonly timer: Timer;
  /** Why it fails, as far as it is known. */
  reason: string;
}

export class TlsEntrance {
  readonly #options: TlsEntranceOptions;
  /** Clients without TLS are refused. */
  readonly enforced: boolean;
  /** Why TLS clients are refused; undefined when they are taken. */
  readonly refusal: string | undefined;
  readonly #handshakesMax: number;
  /** By the addresses of both ends, which is how a secured socket is known again. */
  readonly #handshakes = new Map<string, Handshake>();
  #acceptor: Promise<TlsAcceptor> | undefined;
  /** The bound on handshakes was reached, and the log said so. */
  #full = false;
  #closed = false;

  /** Throws COMETMQ_CONFIG. */
  constructor(options: TlsEntranceOptions) {
    this.#options = options;
    const { tls, host, name } = options;
    const { mode = "permissive", testMode = true } = tls;
    this.#handshakesMax = tls.handshakesMax ?? HANDSHAKES_MAX;
    this.enforced = mode === "enforcing";
    const available = hasCertificate("tls.server", tls) || (testMode && isLoopback(host));
    if (mode === "disabled") this.refusal = "tls.server.mode is disabled";
    else if (!available) this.refusal = "no certificate; set tls.server.keyPath and tls.server.certPath";
    if (this.enforced && this.refusal !== undefined) {
      const message = `tls.server.mode=enforcing: the ${name} on ${host} has ${this.refusal}.`;
      throw new CometError("COMETMQ_CONFIG", message);
    }
  }

  /** Sockets in their handshake. */
  get handshakeCount(): number {
    return this.#handshakes.size;
  }

  /** Reads a configured certificate, so that one that cannot be used keeps the port from opening: COMETMQ_CONFIG. */
  async open(): Promise<void> {
    if (this.refusal === undefined && hasCertificate("tls.server", this.#options.tls)) await this.#load();
  }

  /** Begins the handshake of a client whose first bytes were unread; `client` is whom a proxy speaks for. */
  take(socket: Socket, client?: ClientAddress): void {
    const { clock, log, name, tls } = this.#options;
    if (this.#handshakes.size >= this.#handshakesMax || this.#closed) {
      const fields = { handshakesMax: this.#handshakesMax };
      if (!this.#full) log.warn(fields, `the ${name} has all the TLS handshakes at a time that it may have`);
      this.#full = true;
      socket.destroy();
      return;
    }
    this.#full = false;
    const handshakeMsMax = tls.handshakeMsMax ?? HANDSHAKE_MS_MAX;
    const handshake: Handshake = {
      socket,
      client,
      remote: addressText(client?.address ?? socket.remoteAddress ?? "0.0.0.0", client?.port ?? socket.remotePort ?? 0),
      reason: "",
      timer: clock.schedule(handshakeMsMax, () => {
        handshake.reason = `not done within ${handshakeMsMax} ms`;
        socket.destroy();
      }),
    };
    const key = keyOf(socket);
    this.#handshakes.set(key, handshake);
    socket.on("error", () => {});
    socket.once("close", () => this.#failed(key, handshake));
    const loading = this.#load();
    loading.then(
      (acceptor) => {
        if (!socket.destroyed) acceptor.accept(socket);
      },
      (err: unknown) => {
        // Without a free file handle, for one: the next client may find some.
        if (this.#acceptor === loading) this.#acceptor = undefined;
        log.error({ err }, "TLS can not be begun");
        socket.destroy();
      },
    );
  }

  /** Ends the handshakes that are under way, and takes no more. */
  close(): void {
    this.#closed = true;
    for (const { socket } of this.#handshakes.values()) socket.destroy();
    void this.#acceptor?.then((acceptor) => acceptor.close()).catch(() => {});
  }

  #load(): Promise<TlsAcceptor> {
    const { tls, clock, log } = this.#options;
    this.#acceptor ??= import("./tls-acceptor.js").then(
      (module) =>
        new module.TlsAcceptor({
          tls,
          clock,
          log,
          onSecure: (socket) => this.#secured(socket),
          onFailure: (socket, reason) => {
            const handshake = this.#handshakes.get(keyOf(socket));
            if (handshake !== undefined && handshake.reason === "") handshake.reason = reason;
          },
        }),
    );
    return this.#acceptor;
  }

  #secured(socket: TLSSocket): void {
    const key = keyOf(socket);
    const handshake = this.#handshakes.get(key);
    if (handshake === undefined) {
      socket.destroy();
      return;
    }
    this.#handshakes.delete(key);
    handshake.timer.cancel();
    this.#options.onSecure(socket, handshake.client);
  }

  #failed(key: string, handshake: Handshake): void {
    if (this.#handshakes.get(key) !== handshake) return;
    this.#handshakes.delete(key);
    handshake.timer.cancel();
    if (this.#closed) return;
    const { remote, reason } = handshake;
    // Who only goes away, as port checks do, is not worth a warning.
    if (reason === "") this.#options.log.debug({ remote }, "a TLS client left in its handshake");
    else this.#options.log.warn({ remote }, `a TLS handshake failed: ${reason}`);
  }
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
}
