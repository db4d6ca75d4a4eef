/** The shape of a Remoting peer as processors see it. Byte formats: remoting/protocol/RemotingCommand.java. */
import type { FrameWriter } from "./frame-writer.js";
import type { HeaderView } from "./header-view.js";

export const SerializeType = { JSON: 0, ROCKETMQ: 1 } as const;
export type SerializeType = (typeof SerializeType)[keyof typeof SerializeType];

/**
 * One request. The object is reused: header and body are views on the receive buffer, valid until the processor
 * returns. What is needed later is copied.
 */
export interface Request {
  readonly header: HeaderView;
  readonly body: Buffer;
}

/**
 * Handles one request in full and synchronously: it has written its response with `connection.writer` when it returns,
 * or kept `opaque` and serialize type to answer later and end with `connection.flush()`. It never throws for what came
 * over the wire; a throw is answered with SYSTEM_ERROR and logged.
 */
export type Processor = (request: Request, connection: Connection) => void;

export interface Connection {
  /** Grows by one for each connection of the process. */
  readonly id: number;
  /** Peer as Apache prints it: `127.0.0.1:50312`. */
  readonly remoteAddress: string;
  /** Peer as in a record's born host: 4 or 16 address bytes and a 4-byte port. */
  readonly remoteHost: Buffer;
  /** The address the client came by. */
  readonly localAddress: string;
  readonly closed: boolean;
  /** Frames written here go out together when the current batch of requests is done, or with `flush`. */
  readonly writer: FrameWriter;
  /** Sends what `writer` holds; needed only outside a processor. */
  flush(): void;
  close(): void;
  /** Called once when the connection is gone. */
  onClose(callback: () => void): void;
  /** Sends a request to the client (server push); one-way. */
  pushOneway(code: number, fields: Record<string, string>, body?: Buffer): void;
  /** Sends a request to the client and waits for its answer; rejects with COMETMQ_TIMEOUT or COMETMQ_REMOTE. */
  call(code: number, fields: Record<string, string>, body: Buffer | undefined, timeoutMs: number): Promise<RemoteAnswer>;
}

export interface RemoteAnswer {
  readonly code: number;
  readonly remark: string;
  readonly fields: Record<string, string>;
  readonly body: Buffer;
}
