/**
 * The gRPC server, on node:http2. Not on @grpc/grpc-js, which was tried: it takes half as much processor time again for
 * a call, and it ends calls with a deadline of more than 24 days at once, which is what Apache's Java client sets for its
 * telemetry stream.
 *
 * Bounds: streams of a connection, bytes of a message, half-received bytes of all connections, unread bytes of one. A
 * connection without calls is closed after two minutes; one whose peer does not answer a ping within a minute is cut.
 */
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Session } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Clock, Timer } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import { CallStream, statusHeaders, type Unread } from "./call-stream.js";
import type { ReadBudget } from "./message-reader.js";
import { type Codec, loadMethods, type Method } from "./proto.js";
import { type GrpcMethods, type GrpcPeer, RpcStatus } from "./types.js";

/** What grpc-java answers with for bytes that are no message (JumpToApplicationThreadServerStreamListener). */
const BAD_MESSAGE = "Application error processing RPC";
const SWEEP_MS = 60_000;
/** Sweeps without a call after which a connection is closed: Apache's grpcClientIdleTimeMills. */
const IDLE_SWEEPS_MAX = 2;
const STREAMS_PER_CONNECTION_MAX = 4096;
const STREAM_WINDOW_BYTES = 1_048_576;
const CONNECTION_WINDOW_BYTES = 8_388_608;
const SESSION_MEMORY_MB = 64;
const HALF_RECEIVED_BYTES_MAX = 536_870_912;
const UNREAD_BYTES_MAX = 67_108_864;
const METHOD_CHARS_MAX = 200;
const ENCODINGS = ["identity", "gzip", "deflate"];

export interface GrpcServerOptions<P extends GrpcPeer> {
  readonly methods: GrpcMethods<P>;
  readonly messageBytesMax: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Makes what calls see of a new connection. */
  readonly peerOf: (peer: GrpcPeer) => P;
  readonly onPeerGone: (peer: P) => void;
}

interface Connected<P extends GrpcPeer> {
  readonly peer: P;
  readonly unread: Unread;
  streamCount: number;
  idleSweeps: number;
  /** A ping is not answered yet. */
  pinged: boolean;
}

type Serve<P extends GrpcPeer> = (call: CallStream<P>) => void;

export class GrpcServer<P extends GrpcPeer> {
  readonly #options: GrpcServerOptions<P>;
  readonly #server: Http2Server;
  readonly #connections = new Map<ServerHttp2Session, Connected<P>>();
  readonly #methods = new Map<string, { readonly response: Codec<object>; readonly serve: Serve<P> }>();
  /** Paths of the API's methods that nobody serves. */
  readonly #unserved: ReadonlySet<string>;
  readonly #budget: ReadBudget = { bytes: 0, bytesMax: HALF_RECEIVED_BYTES_MAX };
  #accepting: P | undefined;
  #sweep: Timer | undefined;

  constructor(options: GrpcServerOptions<P>) {
    this.#options = options;
    const methods = loadMethods();
    const { unary, streaming, bidi } = options.methods;
    for (const [name, handler] of Object.entries(unary)) {
      this.#add(methods.get(name)!, (method, call) => this.#serveOne(method, call, handler));
    }
    for (const [name, handler] of Object.entries(streaming)) {
      this.#add(methods.get(name)!, (method, call) =>
        this.#serveOne(method, call, async (_call, request) => {
          await handler(call, request, (message) => call.write(message));
          return undefined;
        }),
      );
    }
    for (const [name, handler] of Object.entries(bidi)) {
      this.#add(methods.get(name)!, (method, call) => {
        const listener = handler(call);
        call.onCancel(() => listener.ended());
        const received = (bytes: Buffer): void => {
          const message = this.#decode(method, call, bytes);
          if (message !== undefined) listener.received(message);
        };
        call.read(received, () => {
          listener.ended();
          call.end();
        });
      });
    }
    this.#unserved = new Set([...methods.values()].map(({ path }) => path).filter((path) => !this.#methods.has(path)));
    this.#server = createServer({
      settings: { maxConcurrentStreams: STREAMS_PER_CONNECTION_MAX, initialWindowSize: STREAM_WINDOW_BYTES },
      maxSessionMemory: SESSION_MEMORY_MB,
    });
    this.#server.on("session", (session) => this.#connected(session));
    this.#server.on("stream", (stream, headers) => this.#called(stream, headers));
    this.#server.on("sessionError", (err) => options.log.debug({ err }, "a gRPC connection failed"));
    this.#scheduleSweep();
  }

  /** Serves a socket that speaks HTTP/2 and whose bytes are unread. */
  accept(socket: Socket): void {
    const { remoteAddress, remotePort, localAddress = "0.0.0.0", localPort = 0 } = socket;
    if (remoteAddress === undefined || remotePort === undefined || socket.destroyed) {
      socket.destroy();
      return;
    }
    const peer = this.#options.peerOf({ remoteAddress, remotePort, localAddress, localPort });
    this.#accepting = peer;
    this.#server.emit("connection", socket);
    // Taken by `#connected`, which is called meanwhile, unless the socket speaks no HTTP/2 after all.
    if (this.#accepting !== undefined) this.#options.onPeerGone(peer);
    this.#accepting = undefined;
  }

  /** Connections that are served. */
  get peerCount(): number {
    return this.#connections.size;
  }

  /** Of requests that have begun and not ended. */
  get halfReceivedBytes(): number {
    return this.#budget.bytes;
  }

  /** Answers what is in flight for at most `graceMs`, then cuts every connection. */
  async close(graceMs: number): Promise<void> {
    this.#sweep?.cancel();
    const sessions = [...this.#connections.keys()];
    const force = this.#options.clock.schedule(graceMs, () => {
      for (const session of sessions) session.destroy();
    });
    await Promise.all(
      sessions.map((session) => new Promise<void>((done) => (session.closed ? done() : session.close(done)))),
    );
    force.cancel();
  }

  #add(method: Method, serve: (method: Method, call: CallStream<P>) => void): void {
    this.#methods.set(method.path, { response: method.response, serve: (call) => serve(method, call) });
  }

  #connected(session: ServerHttp2Session): void {
    const peer = this.#accepting!;
    this.#accepting = undefined;
    this.#connections.set(session, { peer, unread: { bytes: 0 }, streamCount: 0, idleSweeps: 0, pinged: false });
    session.on("error", (err) => this.#options.log.debug({ err }, "a gRPC connection failed"));
    session.once("close", () => {
      this.#connections.delete(session);
      this.#options.onPeerGone(peer);
    });
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  }

  #called(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const session = stream.session as ServerHttp2Session | undefined;
    const connected = session && this.#connections.get(session);
    if (connected === undefined) {
      stream.destroy();
      return;
    }
    connected.streamCount++;
    stream.once("close", () => connected.streamCount--);
    const contentType = headers["content-type"] ?? "";
    if (headers[":method"] !== "POST" || !contentType.startsWith("application/grpc")) {
      stream.on("error", () => {});
      refuse(stream, headers);
      return;
    }
    const { clock, messageBytesMax } = this.#options;
    const path = String(headers[":path"] ?? "");
    const method = this.#methods.get(path);
    const { peer, unread } = connected;
    const response = method?.response ?? NOTHING;
    const budget = this.#budget;
    const call = new CallStream({ stream, headers, peer, clock, response, messageBytesMax, budget, unread });
    const encoding = call.header("grpc-encoding");
    if (method === undefined) {
      const name = path.slice(1, METHOD_CHARS_MAX);
      const reason = this.#unserved.has(path) ? `Method ${name} is unimplemented` : `Method not found: ${name}`;
      call.endWith(RpcStatus.UNIMPLEMENTED, reason);
    } else if (encoding !== "" && !ENCODINGS.includes(encoding)) {
      call.endWith(RpcStatus.UNIMPLEMENTED, `Can't find decompressor for ${encoding.slice(0, METHOD_CHARS_MAX)}`);
    } else if (unread.bytes > UNREAD_BYTES_MAX) {
      this.#options.log.warn(
        { remote: peer.remoteAddress },
        "a gRPC client does not read what it is sent; it is cut off",
      );
      session!.destroy();
    } else {
      method.serve(call);
    }
  }

  /** A method with one request; with its answer where it has one. */
  #serveOne(
    method: Method,
    call: CallStream<P>,
    handler: (call: CallStream<P>, request: object) => Promise<object | undefined>,
  ): void {
    let request: object | undefined;
    let count = 0;
    const received = (bytes: Buffer): void => {
      count++;
      request = count === 1 ? this.#decode(method, call, bytes) : undefined;
    };
    call.read(received, () => {
      if (request === undefined) {
        call.endWith(RpcStatus.INTERNAL, `${method.name} takes one message, and ${count} came`);
        return;
      }
      handler(call, request).then(
        (response) => {
          if (response === undefined) call.end();
          else call.answer(response);
        },
        (err: unknown) => {
          this.#options.log.error({ err }, `${method.name} failed`);
          call.endWith(RpcStatus.INTERNAL, `${method.name} failed`);
        },
      );
    });
  }

  #decode(method: Method, call: CallStream<P>, bytes: Buffer): object | undefined {
    try {
      return method.request.decode(bytes);
    } catch (err) {
      this.#options.log.info({ err, remote: call.peer.remoteAddress }, `a request for ${method.name} is no message`);
      call.endWith(RpcStatus.UNKNOWN, BAD_MESSAGE);
      return undefined;
    }
  }

  #scheduleSweep(): void {
    this.#sweep = this.#options.clock.schedule(SWEEP_MS, () => {
      for (const [session, connected] of [...this.#connections]) this.#look(session, connected);
      this.#scheduleSweep();
    });
  }

  #look(session: ServerHttp2Session, connected: Connected<P>): void {
    // What was closed a sweep ago, and one that HTTP/2 gave up for a flood of resets, does not end by itself.
    if (connected.pinged || session.closed) {
      session.destroy();
      return;
    }
    connected.idleSweeps = connected.streamCount === 0 ? connected.idleSweeps + 1 : 0;
    if (connected.idleSweeps > IDLE_SWEEPS_MAX) {
      session.close();
      return;
    }
    if (session.destroyed) return;
    connected.pinged = session.ping(() => {
      connected.pinged = false;
    });
  }
}

/** For what is no call of gRPC's (io.grpc.netty.NettyServerHandler#onHeadersRead). */
function refuse(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const method = String(headers[":method"]);
  const isPost = method === "POST";
  const reason = isPost ? `Content-Type '${headers["content-type"] ?? ""}'` : `Method '${method}'`;
  stream.on("error", () => {});
  const trailers = statusHeaders(RpcStatus.INTERNAL, `${reason.slice(0, METHOD_CHARS_MAX)} is not supported`);
  stream.respond({ ":status": isPost ? 415 : 405, ...trailers }, { endStream: true });
}

const NOTHING: Codec<object> = { decode: () => ({}), encode: () => Buffer.alloc(0) };
