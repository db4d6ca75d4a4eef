/**
 * The one seam to @grpc/grpc-js: methods are functions over decoded messages, calls are `GrpcCall`. What the library
 * does by itself: HTTP/2, message framing and compression, deadlines, cancellation, unknown methods, idle connections.
 */
import {
  type ConnectionInjector,
  type Deadline,
  type Metadata,
  Server,
  type sendUnaryData,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  status,
} from "@grpc/grpc-js";
import type { Socket } from "node:net";
import type { Clock } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import { loadMethods, type Method } from "./proto.js";

/** What grpc-java answers with for bytes that are no message (JumpToApplicationThreadServerStreamListener). */
const BAD_MESSAGE = { code: status.UNKNOWN, details: "Application error processing RPC" };
const IDLE_MS_MAX = 120_000;
const STREAMS_PER_CONNECTION_MAX = 4096;

/** Both ends of a client's connection. */
export interface GrpcPeer {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
}

export interface GrpcCall<P extends GrpcPeer = GrpcPeer> {
  readonly peer: P;
  /** The metadata value, empty when there is none. */
  header(name: string): string;
  /** Milliseconds to the client's deadline; Infinity without one. */
  readonly remainingMs: number;
  /** The client has gone, or its deadline has passed. */
  readonly cancelled: boolean;
  /** Called once if the call ends before its answer has gone out. */
  onCancel(callback: () => void): void;
}

/** Rejections end the call with INTERNAL, and are logged; what a client did wrong belongs into the answer. */
export type UnaryMethod<P extends GrpcPeer> = (call: GrpcCall<P>, request: object) => Promise<object>;

/** Sends any number of messages with `write`; false asks to stop, for the client has gone. */
export type StreamingMethod<P extends GrpcPeer> = (
  call: GrpcCall<P>,
  request: object,
  write: (message: object) => boolean,
) => Promise<void>;

/** One stream in both directions. */
export interface GrpcStream<P extends GrpcPeer> {
  readonly call: GrpcCall<P>;
  /** False when the stream has ended, or when the client does not read what it is sent. */
  write(message: object): boolean;
  end(): void;
  fail(code: "INVALID_ARGUMENT" | "INTERNAL", details: string): void;
}

export interface StreamListener {
  received(message: object): void;
  /** Once, however the stream ends. */
  ended(): void;
}

export type BidiMethod<P extends GrpcPeer> = (stream: GrpcStream<P>) => StreamListener;

/** By the method's name. */
export interface GrpcMethods<P extends GrpcPeer> {
  readonly unary: Readonly<Record<string, UnaryMethod<P>>>;
  readonly streaming: Readonly<Record<string, StreamingMethod<P>>>;
  readonly bidi: Readonly<Record<string, BidiMethod<P>>>;
}

export interface GrpcServerOptions<P extends GrpcPeer> {
  readonly methods: GrpcMethods<P>;
  readonly messageBytesMax: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Makes what calls see of a new connection. */
  readonly peerOf: (peer: GrpcPeer) => P;
  readonly onPeerGone: (peer: P) => void;
}

/** Messages that a stream has been sent and its client has not read; with more of them it gets no others. */
const UNREAD_MESSAGES_MAX = 256;

export class GrpcServer<P extends GrpcPeer> {
  readonly #options: GrpcServerOptions<P>;
  readonly #server: Server;
  readonly #injector: ConnectionInjector;
  /** By remote address and port, as `getPeer` names them. */
  readonly #peers = new Map<string, P>();

  constructor(options: GrpcServerOptions<P>) {
    this.#options = options;
    this.#server = new Server({
      "grpc.enable_channelz": 0,
      "grpc.max_receive_message_length": options.messageBytesMax,
      "grpc.max_send_message_length": -1,
      "grpc.max_connection_idle_ms": IDLE_MS_MAX,
      "grpc.max_concurrent_streams": STREAMS_PER_CONNECTION_MAX,
    });
    const methods = loadMethods();
    for (const [name, handler] of Object.entries(options.methods.unary)) this.#addUnary(methods.get(name)!, handler);
    for (const [name, handler] of Object.entries(options.methods.streaming)) {
      this.#addStreaming(methods.get(name)!, handler);
    }
    for (const [name, handler] of Object.entries(options.methods.bidi)) this.#addBidi(methods.get(name)!, handler);
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  /** Serves a socket that speaks HTTP/2 and whose bytes are unread. */
  accept(socket: Socket): void {
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    if (remoteAddress === undefined || remotePort === undefined || socket.destroyed) {
      socket.destroy();
      return;
    }
    const key = `${remoteAddress}:${remotePort}`;
    const peer = this.#options.peerOf({
      remoteAddress,
      remotePort,
      localAddress: localAddress ?? "0.0.0.0",
      localPort: localPort ?? 0,
    });
    this.#peers.set(key, peer);
    socket.once("close", () => {
      if (this.#peers.get(key) === peer) this.#peers.delete(key);
      this.#options.onPeerGone(peer);
    });
    this.#injector.injectConnection(socket);
  }

  /** Connections that are served. */
  get peerCount(): number {
    return this.#peers.size;
  }

  /** Answers what is in flight for at most `graceMs`, then ends every stream. */
  close(graceMs: number): Promise<void> {
    this.#injector.drain(graceMs);
    return new Promise((resolve) => {
      const force = this.#options.clock.schedule(graceMs, () => this.#server.forceShutdown());
      this.#server.tryShutdown(() => {
        force.cancel();
        resolve();
      });
    });
  }

  #addUnary(method: Method, handler: UnaryMethod<P>): void {
    this.#server.register<Buffer, object>(
      method.path,
      (call: ServerUnaryCall<Buffer, object>, callback: sendUnaryData<object>) => {
        const peer = this.#peers.get(call.getPeer());
        const request = decode(method, call.request);
        if (peer === undefined || request === undefined) {
          callback(BAD_MESSAGE);
          return;
        }
        handler(new LibraryCall(call, peer, this.#options.clock), request).then(
          (response) => callback(null, response),
          (err: unknown) => {
            this.#options.log.error({ err }, `${method.name} failed`);
            callback({ code: status.INTERNAL, details: `${method.name} failed.` });
          },
        );
      },
      method.response.encode,
      identity,
      "unary",
    );
  }

  #addStreaming(method: Method, handler: StreamingMethod<P>): void {
    const serve = async (call: ServerWritableStream<Buffer, object>): Promise<void> => {
      call.on("error", () => {});
      const peer = this.#peers.get(call.getPeer());
      const request = decode(method, call.request);
      if (peer === undefined || request === undefined) {
        call.emit("error", BAD_MESSAGE);
        return;
      }
      const write = (message: object): boolean => {
        if (call.cancelled || call.destroyed) return false;
        call.write(message);
        return true;
      };
      try {
        await handler(new LibraryCall(call, peer, this.#options.clock), request, write);
        call.end();
      } catch (err) {
        this.#options.log.error({ err }, `${method.name} failed`);
        call.emit("error", { code: status.INTERNAL, details: `${method.name} failed.` });
      }
    };
    this.#server.register<Buffer, object>(
      method.path,
      (call: ServerWritableStream<Buffer, object>) => void serve(call),
      method.response.encode,
      identity,
      "serverStream",
    );
  }

  #addBidi(method: Method, handler: BidiMethod<P>): void {
    this.#server.register<Buffer, object>(
      method.path,
      (call: ServerDuplexStream<Buffer, object>) => {
        call.on("error", () => {});
        const peer = this.#peers.get(call.getPeer());
        if (peer === undefined) {
          call.emit("error", BAD_MESSAGE);
          return;
        }
        const stream = new LibraryStream(call, new LibraryCall(call, peer, this.#options.clock));
        const listener = handler(stream);
        let ended = false;
        const end = (): void => {
          if (ended) return;
          ended = true;
          listener.ended();
          stream.end();
        };
        call.on("data", (bytes: Buffer) => {
          const message = decode(method, bytes);
          if (message === undefined) call.emit("error", BAD_MESSAGE);
          else if (!ended) listener.received(message);
        });
        call.on("end", end);
        call.on("cancelled", end);
        call.on("close", end);
        call.on("error", end);
      },
      method.response.encode,
      identity,
      "bidi",
    );
  }
}

function identity(bytes: Buffer): Buffer {
  return bytes;
}

function decode(method: Method, bytes: Buffer): object | undefined {
  try {
    return method.request.decode(bytes);
  } catch {
    return undefined;
  }
}

interface LibrarySurface {
  readonly cancelled: boolean;
  readonly metadata: Metadata;
  getDeadline(): Deadline;
  on(event: "cancelled", callback: () => void): unknown;
}

class LibraryCall<P extends GrpcPeer> implements GrpcCall<P> {
  readonly peer: P;
  readonly #call: LibrarySurface;
  readonly #clock: Clock;

  constructor(call: LibrarySurface, peer: P, clock: Clock) {
    this.#call = call;
    this.peer = peer;
    this.#clock = clock;
  }

  header(name: string): string {
    const value = this.#call.metadata.get(name)[0];
    return typeof value === "string" ? value : "";
  }

  get remainingMs(): number {
    return Number(this.#call.getDeadline()) - this.#clock.nowMs();
  }

  get cancelled(): boolean {
    return this.#call.cancelled;
  }

  onCancel(callback: () => void): void {
    this.#call.on("cancelled", callback);
  }
}

class LibraryStream<P extends GrpcPeer> implements GrpcStream<P> {
  readonly call: GrpcCall<P>;
  readonly #stream: ServerDuplexStream<Buffer, object>;
  #ended = false;
  #unread = 0;

  constructor(stream: ServerDuplexStream<Buffer, object>, call: GrpcCall<P>) {
    this.#stream = stream;
    this.call = call;
  }

  write(message: object): boolean {
    if (this.#ended || this.call.cancelled || this.#unread >= UNREAD_MESSAGES_MAX) return false;
    this.#unread++;
    this.#stream.write(message, () => {
      this.#unread--;
    });
    return true;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.end();
  }

  fail(code: "INVALID_ARGUMENT" | "INTERNAL", details: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.emit("error", { code: status[code], details });
  }
}
