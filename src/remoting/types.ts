/** The shape of a Remoting peer as processors see it. Byte formats: remoting/protocol/RemotingCommand.java. */
import type { FrameWriter } from "./frame-writer.js";
import type { HeaderView } from "./header-view.js";

export const SerializeType = { JSON: 0, ROCKETMQ: 1 } as const;
export type SerializeType = (typeof SerializeType)[keyof typeof SerializeType];

/** Ext fields to send: what is undefined is left out, numbers and booleans are written as Java prints them. */
export type Fields = { readonly [name: string]: string | number | boolean | undefined };

/**
 * One request. The object is reused: header and body are views on the receive buffer, valid until the processor
 * returns. What is needed later is copied.
 */
export interface Request {
  readonly header: HeaderView;
  /** The received bytes; the body is `bytes[bodyStart, bodyEnd)`. The hot path reads these and makes no view. */
  readonly bytes: Buffer;
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** The body as a view, made on first use; empty when there is none. */
  readonly body: Buffer;
}

/**
 * Handles one request in full and synchronously: it has written its response with `connection.writer` when it returns,
 * or kept `opaque` and serialize type to answer later and end with `connection.flush()`. It never throws for what came
 * over the wire; a throw is answered with SYSTEM_ERROR and logged. Responses written while a one-way request is handled
 * are dropped by the writer, so a processor need not ask; one that answers later looks at `header.isOneway` itself.
 */
export type Processor = (request: Request, connection: Connection) => void;

/** Undefined for those who may know which request codes there are, else what they are told. */
export type StrangerRefusal = (request: Request, connection: Connection) => string | undefined;

export interface Connection {
  /** Grows by one for each connection of the process. */
  readonly id: number;
  /** Peer as Apache prints it: `127.0.0.1:50312`. */
  readonly remoteAddress: string;
  /** Peer as in a record's born host: 4 or 16 address bytes and a 4-byte port. */
  readonly remoteHost: Buffer;
  /** The address the client came by, with the port: `127.0.0.1:10911`. */
  readonly localAddress: string;
  /** The same without the port. */
  readonly localHost: string;
  readonly closed: boolean;
  /** Output that the peer has not taken; undefined where nobody counts. */
  readonly unsentBytes?: number;
  /** Frames written here go out together when the current batch of requests is done, or with `flush`. */
  readonly writer: FrameWriter;
  /** Sends what `writer` holds; needed only outside a processor. */
  flush(): void;
  close(): void;
  /** Called once when the connection is gone. */
  onClose(callback: () => void): void;
  /** Sends a request to the peer (server push); one-way. */
  pushOneway(code: number, fields: Fields, body?: Uint8Array): void;
  /**
   * Sends a request to the peer and waits for its answer, whatever its code. Rejects with COMETMQ_TIMEOUT, or with
   * COMETMQ_REMOTE when the connection goes first.
   */
  call(code: number, fields: Fields, body: Uint8Array | undefined, timeoutMs: number): Promise<RemoteAnswer>;
}

export interface RemoteAnswer {
  readonly code: number;
  /** Empty when there is none. */
  readonly remark: string;
  /** Without a prototype. */
  readonly fields: Record<string, string>;
  readonly body: Buffer;
}
