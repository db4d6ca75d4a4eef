/** Methods and calls as the server of an endpoint sees them. */

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
  /** The client has gone, or has given up. */
  readonly cancelled: boolean;
  /** Called once if the call ends before its answer has gone out. */
  onCancel(callback: () => void): void;
}

/** An answer, or none yet: most calls are answered at once, and need no promise. */
export type Answer = object | Promise<object>;

/**
 * Bytes in the request are views, good until this returns; what is needed later is copied.
 *
 * Rejections end the call with INTERNAL, and are logged; what a client did wrong belongs into the answer.
 */
export type UnaryMethod<P extends GrpcPeer> = (call: GrpcCall<P>, request: object) => Answer;

/**
 * Sends any number of messages with `write`; false asks to stop, for the client has gone. The call ends when this has
 * returned, or what it promises is there.
 */
export type StreamingMethod<P extends GrpcPeer> = (
  call: GrpcCall<P>,
  request: object,
  write: (message: object) => boolean,
) => undefined | Promise<undefined>;

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

/** Status codes of gRPC itself, for calls that get no answer of their method. */
export const RpcStatus = {
  OK: 0,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
} as const;
export type RpcStatus = (typeof RpcStatus)[keyof typeof RpcStatus];
