/**
 * The gRPC server, on HTTP/2 of our own. Not on @grpc/grpc-js, which was tried: it takes half as much processor time again
 * for a call as node:http2, and it ends calls with a deadline of more than 24 days at once, which is what Apache's Java
 * client sets for its telemetry stream. Nor on node:http2, which spent two thirds of a call in its streams.
 *
 * Bounds: streams of a connection, bytes of a message, half-received bytes of all connections, unread bytes of one and,
 * by the rules of Remoting's, of all. A
 * connection without calls is closed after two minutes; one whose peer does not answer a ping within a minute is cut.
 */
import type { Socket } from "node:net";
import type { Clock, Timer } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import { Connection } from "../http2/connection.js";
import { ErrorCode } from "../http2/frames.js";
import { hpackEncode } from "../http2/hpack.js";
import type { Stream } from "../http2/stream.js";
import { BufferPool } from "../remoting/buffer-pool.js";
import { OutputBudget } from "../remoting/output-budget.js";
import type { ClientAddress } from "../remoting/proxy-header.js";
import { ReceiveBuffer } from "../remoting/receive-buffer.js";
import { Turns } from "../remoting/turns.js";
import { type CallLimits, CallStream, type RequestTaker, statusFields } from "./call-stream.js";
import type { ReadBudget } from "./message-reader.js";
import { type Codec, loadMethods, type Method } from "./proto.js";
import { type Answer, type GrpcMethods, type GrpcPeer, RpcStatus } from "./types.js";

/** What grpc-java answers with for bytes that are no message (JumpToApplicationThreadServerStreamListener). */
const BAD_MESSAGE = "Application error processing RPC";
const SWEEP_MS = 60_000;
/** Sweeps without a call after which a connection is closed: Apache's grpcClientIdleTimeMills. */
const IDLE_SWEEPS_MAX = 2;
const STREAMS_PER_CONNECTION_MAX = 4096;
const HALF_RECEIVED_BYTES_MAX = 536_870_912;
const UNREAD_BYTES_MAX = 67_108_864;
const UNREAD_TOTAL_BYTES_MAX = 1_073_741_824;
const METHOD_CHARS_MAX = 200;
const ENCODINGS = ["identity", "gzip", "deflate"];

export interface GrpcServerOptions<P extends GrpcPeer> {
  readonly methods: GrpcMethods<P>;
  readonly messageBytesMax: number;
  /** Unread answers of all connections, past which those are cut off that have not read for ten seconds; 1 GiB. */
  readonly unreadTotalBytesMax?: number | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called before answers are sent; false when what they tell is not so after all: their connection is cut. */
  readonly beforeSend?: (() => boolean) | undefined;
  /** Makes what calls see of a new connection. */
  readonly peerOf: (peer: GrpcPeer) => P;
  readonly onPeerGone: (peer: P) => void;
}

interface Connected<P extends GrpcPeer> {
  readonly peer: P;
  idleSweeps: number;
  /** A ping is not answered yet. */
  pinged: boolean;
}

interface Served<P extends GrpcPeer> {
  readonly response: Codec<object>;
  readonly begin: (call: CallStream<P>) => RequestTaker<P>;
}

/** Answers with the one message of the method, or with nothing where it has written its messages. */
type Handler<P extends GrpcPeer> = (call: CallStream<P>, request: object) => Answer | undefined | Promise<undefined>;

export class GrpcServer<P extends GrpcPeer> {
  readonly #options: GrpcServerOptions<P>;
  readonly #connections = new Map<Connection, Connected<P>>();
  readonly #methods = new Map<string, Served<P>>();
  /** Paths of the API's methods that nobody serves. */
  readonly #unserved: ReadonlySet<string>;
  readonly #budget: ReadBudget = { bytes: 0, bytesMax: HALF_RECEIVED_BYTES_MAX };
  readonly #limits: CallLimits;
  readonly #pool = new BufferPool();
  readonly #receiveBuffer = new ReceiveBuffer();
  readonly #turns = new Turns();
  readonly #outputBudget: OutputBudget;
  #sweep: Timer | undefined;
  #onAllGone: (() => void) | undefined;

  constructor(options: GrpcServerOptions<P>) {
    this.#options = options;
    const { clock, messageBytesMax } = options;
    this.#limits = { clock, messageBytesMax, budget: this.#budget };
    this.#outputBudget = new OutputBudget(options.unreadTotalBytesMax ?? UNREAD_TOTAL_BYTES_MAX, clock);
    const methods = loadMethods();
    const { unary, streaming, bidi } = options.methods;
    for (const [name, handler] of Object.entries(unary)) {
      const taker = this.#takerOf(methods.get(name)!, handler);
      this.#add(methods.get(name)!, () => taker);
    }
    for (const [name, handler] of Object.entries(streaming)) {
      const taker = this.#takerOf(methods.get(name)!, (call, request) =>
        handler(call, request, (message) => call.write(message)),
      );
      this.#add(methods.get(name)!, () => taker);
    }
    for (const [name, handler] of Object.entries(bidi)) {
      const method = methods.get(name)!;
      this.#add(method, (call) => {
        const listener = handler(call);
        call.onCancel(() => listener.ended());
        return {
          received: (_call, bytes) => {
            const message = this.#decode(method, call, bytes);
            if (message !== undefined) listener.received(message);
          },
          ended: () => {
            listener.ended();
            call.end();
          },
        };
      });
    }
    this.#unserved = new Set([...methods.values()].map(({ path }) => path).filter((path) => !this.#methods.has(path)));
    this.#scheduleSweep();
  }

  /** Serves a socket that speaks HTTP/2 and whose bytes are unread; `client` is whom its peer speaks for. */
  accept(socket: Socket, client?: ClientAddress): void {
    const { remoteAddress, remotePort, localAddress = "0.0.0.0", localPort = 0 } = socket;
    if (remoteAddress === undefined || remotePort === undefined || socket.destroyed) {
      socket.destroy();
      return;
    }
    const { clock, log } = this.#options;
    const remote = client ?? { address: remoteAddress, port: remotePort };
    const ends = { remoteAddress: remote.address, remotePort: remote.port, localAddress, localPort };
    const peer = this.#options.peerOf(ends);
    const connected: Connected<P> = { peer, idleSweeps: 0, pinged: false };
    const connection = new Connection(socket, {
      clock,
      pool: this.#pool,
      turns: this.#turns,
      receiveBuffer: "encrypted" in socket ? undefined : this.#receiveBuffer,
      streamsMax: STREAMS_PER_CONNECTION_MAX,
      outputBudget: this.#outputBudget,
      beforeSend: this.#options.beforeSend,
      onStream: (stream) => this.#called(connection, peer, stream),
      onFault: (code, reason) => {
        const level = code === ErrorCode.ENHANCE_YOUR_CALM ? "info" : "debug";
        log[level]({ remote: remote.address, reason }, "a gRPC connection is closed for a fault of its client");
      },
      onUnread: () => this.#tellUnread(peer),
      onClosed: () => {
        this.#connections.delete(connection);
        this.#options.onPeerGone(peer);
        if (this.#connections.size === 0) this.#onAllGone?.();
      },
    });
    this.#connections.set(connection, connected);
  }

  /** Of requests that have begun and not ended. */
  get halfReceivedBytes(): number {
    return this.#budget.bytes;
  }

  /** Answers of all connections that are not read. */
  get unreadBytes(): number {
    return this.#outputBudget.bytes;
  }

  /** Answers what is in flight for at most `graceMs`, then cuts every connection. */
  async close(graceMs: number): Promise<void> {
    this.#sweep?.cancel();
    const connections = [...this.#connections.keys()];
    if (connections.length === 0) return;
    const force = this.#options.clock.schedule(graceMs, () => {
      for (const connection of connections) connection.destroy();
    });
    const allGone = new Promise<void>((done) => {
      this.#onAllGone = done;
    });
    for (const connection of connections) connection.drain();
    await allGone;
    force.cancel();
  }

  #tellUnread({ remoteAddress }: P): void {
    this.#options.log.warn({ remote: remoteAddress }, "a gRPC client does not read what it is sent; it is cut off");
  }

  #add(method: Method, begin: (call: CallStream<P>) => RequestTaker<P>): void {
    this.#methods.set(method.path, { response: method.response, begin });
  }

  #called(connection: Connection, peer: P, stream: Stream): void {
    const { headers } = stream;
    const isPost = headers.get(":method") === "POST";
    const contentType = headers.get("content-type");
    if (!isPost || !contentType.startsWith("application/grpc")) {
      const reason = isPost ? `Content-Type '${contentType}'` : `Method '${headers.get(":method")}'`;
      refuse(stream, isPost ? "415" : "405", reason);
      return;
    }
    const path = headers.get(":path");
    const method = this.#methods.get(path);
    const call = new CallStream<P>(stream, peer, this.#limits, method?.response ?? NOTHING);
    const encoding = headers.get("grpc-encoding");
    if (method === undefined) {
      const name = path.slice(1, METHOD_CHARS_MAX);
      const reason = this.#unserved.has(path) ? `Method ${name} is unimplemented` : `Method not found: ${name}`;
      call.endWith(RpcStatus.UNIMPLEMENTED, reason);
    } else if (encoding !== "" && !ENCODINGS.includes(encoding)) {
      call.endWith(RpcStatus.UNIMPLEMENTED, `Can't find decompressor for ${encoding.slice(0, METHOD_CHARS_MAX)}`);
    } else if (connection.unreadBytes > UNREAD_BYTES_MAX) {
      connection.cutOff();
    } else {
      call.read(method.begin(call));
    }
  }

  /** Of a method with one request; with its answer where it has one. */
  #takerOf(method: Method, handler: Handler<P>): RequestTaker<P> {
    return {
      received: (call, bytes) => {
        call.request = call.messageCount === 1 ? this.#decode(method, call, bytes) : undefined;
      },
      ended: (call) => {
        const { request, messageCount } = call;
        if (request === undefined) {
          call.endWith(RpcStatus.INTERNAL, `${method.name} takes one message, and ${messageCount} came`);
          return;
        }
        call.request = undefined;
        try {
          const response = handler(call, request);
          if (response === undefined) call.end();
          else if (response instanceof Promise) this.#answerLater(method, call, response);
          else call.answer(response);
        } catch (err) {
          this.#failed(method, call, err);
        }
      },
    };
  }

  #answerLater(method: Method, call: CallStream<P>, answer: Promise<object | undefined>): void {
    const answered = answer.then((response) => {
      if (response === undefined) call.end();
      else call.answer(response);
    });
    answered.catch((err: unknown) => this.#failed(method, call, err));
  }

  #failed(method: Method, call: CallStream<P>, err: unknown): void {
    this.#options.log.error({ err }, `${method.name} failed`);
    call.endWith(RpcStatus.INTERNAL, `${method.name} failed`);
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
      for (const [connection, connected] of [...this.#connections]) this.#look(connection, connected);
      this.#scheduleSweep();
    });
  }

  #look(connection: Connection, connected: Connected<P>): void {
    if (connected.pinged || connection.closed) {
      connection.destroy();
      return;
    }
    connected.idleSweeps = connection.streamCount === 0 ? connected.idleSweeps + 1 : 0;
    if (connected.idleSweeps > IDLE_SWEEPS_MAX) {
      connection.drain();
      return;
    }
    connected.pinged = true;
    connection.ping(() => {
      connected.pinged = false;
    });
  }
}

/** For what is no call of gRPC's (io.grpc.netty.NettyServerHandler#onHeadersRead). */
function refuse(stream: Stream, status: string, reason: string): void {
  const trailers = statusFields(RpcStatus.INTERNAL, `${reason.slice(0, METHOD_CHARS_MAX)} is not supported`);
  stream.end(hpackEncode([[":status", status], ...trailers]));
}

const NOTHING: Codec<object> = {
  decode: () => ({}),
  encode: () => Buffer.alloc(0),
  encodeFramed: () => Buffer.alloc(0),
};
