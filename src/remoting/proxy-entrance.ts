/**
 * What a listening port does with who comes through a proxy: reads the header that says whom it speaks for
 * (proxy-header.ts), judges whether that is believed, and gives the socket back with the bytes behind it unread, as
 * Apache does (HandshakeHandler and HAProxyMessageHandler in remoting/netty/NettyRemotingServer.java). A TLS handshake
 * comes behind the header.
 *
 * A header that is there needs no place; those that come in pieces are bounded in number, time and size.
 */
import type { Socket } from "node:net";
import type { Clock, Timer } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import { addressText, hostText } from "./address.js";
import { type ClientAddress, parseProxyHeader, PROXY_HEADER_BYTES_MAX, type ProxyHeader } from "./proxy-header.js";

const HEADER_MS_MAX = 10_000;
const HEADERS_MAX = 1024;
const PIECES_BYTES_MIN = 256;
const NO_BYTES = Buffer.alloc(0);

/** Says whether the header of a proxy at this numeric address is believed. */
export type ProxyTrust = (host: string) => boolean;

export interface ProxyEntranceOptions {
  /** Everybody is believed without it, as by Apache. */
  readonly trust: ProxyTrust | undefined;
  /** What listens, for log lines. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Takes a paused socket; without `client` the proxy speaks for itself, or is not believed. */
  readonly onClient: (socket: Socket, client: ClientAddress | undefined) => void;
}

interface Waiting {
  readonly socket: Socket;
  readonly timer: Timer;
  readonly received: (chunk: Buffer) => void;
  readonly closed: () => void;
  bytes: Buffer;
  byteCount: number;
}

export class ProxyEntrance {
  readonly #options: ProxyEntranceOptions;
  readonly #waiting = new Map<Socket, Waiting>();
  /** The log said so: the bound on headers was reached; somebody was not believed. */
  #full = false;
  #doubted = false;
  #closed = false;

  constructor(options: ProxyEntranceOptions) {
    this.#options = options;
  }

  /** Sockets whose header is not whole. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Goes on with a paused socket that nobody listens to, and whose unread bytes begin as a header does. */
  take(socket: Socket): void {
    if (this.#closed) {
      socket.destroy();
      return;
    }
    const bytes = (socket.read() as Buffer | null) ?? NO_BYTES;
    const header = parseProxyHeader(bytes);
    if (header.kind === "partial") this.#wait(socket, bytes);
    else this.#admit(socket, bytes, header);
  }

  /** Ends those that wait, and takes no more. */
  close(): void {
    this.#closed = true;
    for (const socket of this.#waiting.keys()) socket.destroy();
  }

  #admit(socket: Socket, bytes: Buffer, header: Exclude<ProxyHeader, { kind: "partial" }>): void {
    if (header.kind === "malformed") {
      this.#refuse(socket, `its PROXY header is malformed: ${header.reason}`);
      return;
    }
    if (bytes.length > header.headerBytes) socket.unshift(bytes.subarray(header.headerBytes));
    this.#options.onClient(socket, this.#believed(socket, header.client));
  }

  #believed(socket: Socket, client: ClientAddress | undefined): ClientAddress | undefined {
    const { trust, log, name } = this.#options;
    if (client === undefined || trust === undefined) return client;
    if (trust(hostText(socket.remoteAddress ?? "0.0.0.0"))) return client;
    if (!this.#doubted) {
      const fields = { remote: remoteOf(socket), client: addressText(client.address, client.port) };
      const text = `a PROXY header is not believed, the ${name} knows this client by the proxy's address`;
      log.warn(fields, `${text}: see proxyProtocolTrustedAddresses; said once`);
    }
    this.#doubted = true;
    return undefined;
  }

  #refuse(socket: Socket, reason: string): void {
    this.#options.log.warn({ remote: remoteOf(socket) }, `a client of the ${this.#options.name} is cut off: ${reason}`);
    socket.on("error", () => {});
    socket.destroy();
  }

  #wait(socket: Socket, first: Buffer): void {
    const { clock, log, name } = this.#options;
    if (this.#waiting.size >= HEADERS_MAX) {
      if (!this.#full) log.warn({ headersMax: HEADERS_MAX }, `the ${name} waits for all the PROXY headers that it may`);
      this.#full = true;
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    this.#full = false;
    const waiting: Waiting = {
      socket,
      timer: clock.schedule(HEADER_MS_MAX, () => {
        this.#letGo(waiting);
        this.#refuse(socket, `its PROXY header is not whole after ${HEADER_MS_MAX} ms`);
      }),
      received: (chunk) => this.#received(waiting, chunk),
      closed: () => this.#letGo(waiting),
      bytes: NO_BYTES,
      byteCount: 0,
    };
    keep(waiting, first);
    this.#waiting.set(socket, waiting);
    socket.on("error", ignore);
    socket.on("close", waiting.closed);
    socket.on("data", waiting.received);
    socket.resume();
  }

  #received(waiting: Waiting, chunk: Buffer): void {
    keep(waiting, chunk);
    const bytes = waiting.bytes.subarray(0, waiting.byteCount);
    const header = parseProxyHeader(bytes);
    if (header.kind === "partial") return;
    this.#letGo(waiting);
    waiting.socket.pause();
    this.#admit(waiting.socket, bytes, header);
  }

  #letGo({ socket, timer, received, closed }: Waiting): void {
    this.#waiting.delete(socket);
    timer.cancel();
    socket.off("data", received);
    socket.off("close", closed);
    socket.off("error", ignore);
  }
}

/** Adds a chunk to what has come, in a buffer that grows with it. */
function keep(waiting: Waiting, chunk: Buffer): void {
  const { bytes, byteCount } = waiting;
  const neededBytes = byteCount + chunk.length;
  if (neededBytes > bytes.length) {
    const grown = Math.max(PIECES_BYTES_MIN, Math.min(2 * bytes.length, PROXY_HEADER_BYTES_MAX));
    waiting.bytes = Buffer.allocUnsafeSlow(Math.max(grown, neededBytes));
    bytes.copy(waiting.bytes, 0, 0, byteCount);
  }
  chunk.copy(waiting.bytes, byteCount);
  waiting.byteCount = neededBytes;
}

function remoteOf(socket: Socket): string {
  return addressText(socket.remoteAddress ?? "0.0.0.0", socket.remotePort ?? 0);
}

function ignore(): void {}
