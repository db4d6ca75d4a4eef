/** Servers and bare clients that speak TLS, with certificates made on the spot. */
import { once } from "node:events";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { type Certificate, makeLoopbackCertificate } from "#src/remoting/tls-certificate.js";
import type { TlsServerOptions } from "#src/remoting/tls-options.js";
import { RemotingServer, type RemotingServerOptions } from "#src/remoting/server.js";
import type { Connection, Processor } from "#src/remoting/types.js";
import { BareSocket, LineLog } from "./peers.js";

export const ECHO = 10;
export const FILL = 13;

const servers: RemotingServer[] = [];
const sockets: BareSocket[] = [];

/** For afterEach. */
export async function closeTls(): Promise<void> {
  for (const { socket } of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await server.close(100);
}

const processors = new Map<number, Processor>([
  [
    ECHO,
    ({ header, body }, { writer }) => writer.response(header.opaque, header.serializeType, 0, undefined, {}, body),
  ],
  [
    FILL,
    ({ header }, { writer }) => {
      writer.beginResponse(header.opaque, header.serializeType, 0);
      writer.endHeader();
      const bytes = header.integer("bytes")!;
      const at = writer.reserveBody(bytes);
      writer.buffer.fill(fillByte(header.opaque), at, at + bytes);
      writer.end();
    },
  ],
]);

/** Of an answer's body, so that one buffer cannot be taken for another. */
export function fillByte(opaque: number): number {
  return 0x21 + (opaque % 90);
}

export class TlsFixture {
  readonly log = new LineLog();
  readonly connections: Connection[] = [];
  server!: RemotingServer;

  async listen(tls: TlsServerOptions | undefined, options: Partial<RemotingServerOptions> = {}): Promise<this> {
    const onConnect = (connection: Connection) => this.connections.push(connection);
    this.server = new RemotingServer({ processors, log: this.log, onConnect, tls, ...options });
    servers.push(this.server);
    await this.server.listen();
    return this;
  }

  async plain(): Promise<BareSocket> {
    return kept(await BareSocket.open(this.server.port)).readFrames();
  }

  /** Rejects with what the handshake fails with. */
  async secure(options: ConnectionOptions = {}): Promise<BareSocket & { socket: TLSSocket }> {
    const { port } = this.server;
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
    await once(socket, "secureConnect");
    return kept(new BareSocket(socket)).readFrames() as BareSocket & { socket: TLSSocket };
  }
}

function kept(socket: BareSocket): BareSocket {
  sockets.push(socket);
  return socket;
}

/** PEM files by path, which a test may change. */
export class PemFiles {
  readonly files = new Map<string, Buffer>();

  readonly readFile = (path: string): Buffer | undefined => this.files.get(path);

  /** Writes a new certificate's `NAME.key` and `NAME.pem`. */
  add(name: string): Certificate {
    const made = makeLoopbackCertificate(Date.now());
    this.files.set(`${name}.key`, Buffer.from(made.key));
    this.files.set(`${name}.pem`, Buffer.from(made.cert));
    return made;
  }
}
