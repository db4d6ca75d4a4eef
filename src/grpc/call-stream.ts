/**
 * One call on its HTTP/2 stream: reads the request's messages, writes the answer's, ends with the status in trailers
 * (PROTOCOL-HTTP2 of gRPC). Deadlines are the client's to keep: it resets the stream when its own has passed, so the
 * server arms no timer for a call.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Clock } from "../base/clock.js";
import { framed, MessageReader, type ReadBudget, type ReadProblem } from "./message-reader.js";
import type { Codec } from "./proto.js";
import { type GrpcCall, type GrpcPeer, type GrpcStream, RpcStatus } from "./types.js";

const HEADERS = { ":status": 200, "content-type": "application/grpc" };
const DETAILS_CHARS_MAX = 1024;
const OK_TRAILERS = { "grpc-status": "0" };
/** A client that has so many bytes unread on one stream gets no more on it. */
const UNREAD_BYTES_MAX = 1_048_576;
const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

const PROBLEMS: Readonly<Record<ReadProblem, readonly [RpcStatus, string]>> = {
  "too large": [RpcStatus.RESOURCE_EXHAUSTED, "gRPC message exceeds maximum size"],
  "no room": [RpcStatus.RESOURCE_EXHAUSTED, "too many half-received messages are held"],
  malformed: [RpcStatus.INTERNAL, "the message's framing is malformed"],
  "unknown encoding": [RpcStatus.UNIMPLEMENTED, "the message's encoding is not supported"],
};

/** Bytes that a connection's client has not read. */
export interface Unread {
  bytes: number;
}

export interface CallStreamOptions<P extends GrpcPeer> {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly peer: P;
  readonly clock: Clock;
  readonly response: Codec<object>;
  readonly messageBytesMax: number;
  readonly budget: ReadBudget;
  readonly unread: Unread;
}

export class CallStream<P extends GrpcPeer> implements GrpcCall<P>, GrpcStream<P> {
  readonly peer: P;
  readonly #options: CallStreamOptions<P>;
  readonly #stream: ServerHttp2Stream;
  readonly #reader: MessageReader;
  readonly #deadlineMs: number;
  #status: RpcStatus = RpcStatus.OK;
  #details = "";
  #ended = false;
  #closed = false;
  #cancelCallbacks: (() => void)[] = [];

  constructor(options: CallStreamOptions<P>) {
    const { stream, headers, peer, clock, messageBytesMax, budget } = options;
    this.#options = options;
    this.#stream = stream;
    this.peer = peer;
    this.#reader = new MessageReader(messageBytesMax, budget, this.header("grpc-encoding") || "identity");
    this.#deadlineMs = clock.monotonicMs() + timeoutMs(headers["grpc-timeout"]);
    stream.on("error", () => {});
    stream.once("close", () => this.#finished());
  }

  get call(): this {
    return this;
  }

  /** Calls `received` for each message and `done` when the client has sent its last. */
  read(received: (bytes: Buffer) => void, done: () => void): void {
    this.#stream.on("data", (chunk: Buffer) => {
      if (this.#ended) return;
      const problem = this.#reader.push(chunk, received);
      if (problem !== undefined) this.endWith(...PROBLEMS[problem]);
    });
    this.#stream.once("end", () => {
      if (this.#ended) return;
      if (this.#reader.isInside) this.endWith(RpcStatus.INTERNAL, "the last message is not whole");
      else done();
    });
  }

  header(name: string): string {
    const value = this.#options.headers[name];
    return typeof value === "string" ? value : (value?.[0] ?? "");
  }

  get remainingMs(): number {
    return this.#deadlineMs - this.#options.clock.monotonicMs();
  }

  get cancelled(): boolean {
    return this.#closed || this.#stream.aborted || this.#stream.destroyed;
  }

  onCancel(callback: () => void): void {
    if (this.cancelled) callback();
    else this.#cancelCallbacks.push(callback);
  }

  write(message: object): boolean {
    const stream = this.#stream;
    if (this.#ended || this.cancelled || stream.writableLength > UNREAD_BYTES_MAX) return false;
    this.#begin();
    const bytes = framed(this.#options.response.encode(message));
    const { unread } = this.#options;
    unread.bytes += bytes.length;
    stream.write(bytes, () => {
      unread.bytes -= bytes.length;
    });
    return true;
  }

  /** The one message of the answer, and the end. */
  answer(message: object): void {
    if (this.#ended || this.cancelled) return;
    this.#begin();
    this.#ended = true;
    const bytes = framed(this.#options.response.encode(message));
    const { unread } = this.#options;
    unread.bytes += bytes.length;
    this.#stream.end(bytes, () => {
      unread.bytes -= bytes.length;
    });
  }

  end(): void {
    this.endWith(RpcStatus.OK, "");
  }

  fail(code: "INVALID_ARGUMENT" | "INTERNAL", details: string): void {
    this.endWith(RpcStatus[code], details);
  }

  endWith(status: RpcStatus, details: string): void {
    if (this.#ended || this.cancelled) return;
    this.#ended = true;
    this.#status = status;
    this.#details = details;
    const stream = this.#stream;
    if (stream.headersSent || status === RpcStatus.OK) {
      this.#begin();
      stream.end();
    } else {
      stream.respond({ ...HEADERS, ...statusHeaders(status, details) }, { endStream: true });
      this.#leave();
    }
  }

  /** What the client still sends is not read. */
  #leave(): void {
    const stream = this.#stream;
    if (!stream.readableEnded && !stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
  }

  #begin(): void {
    const stream = this.#stream;
    if (stream.headersSent) return;
    stream.respond(HEADERS, { waitForTrailers: true });
    stream.once("wantTrailers", () => {
      if (stream.destroyed) return;
      stream.sendTrailers(this.#status === RpcStatus.OK ? OK_TRAILERS : statusHeaders(this.#status, this.#details));
      setImmediate(() => this.#leave());
    });
  }

  #finished(): void {
    this.#closed = true;
    this.#reader.release();
    const callbacks = this.#cancelCallbacks;
    this.#cancelCallbacks = [];
    if (!this.#ended) for (const callback of callbacks) callback();
    this.#ended = true;
  }
}

/** As trailers, or as headers when there is nothing else. */
export function statusHeaders(status: RpcStatus, details: string): Record<string, string> {
  return { "grpc-status": String(status), "grpc-message": percentEncoded(details.slice(0, DETAILS_CHARS_MAX)) };
}

function timeoutMs(header: string | string[] | undefined): number {
  const [, digits, unit] = TIMEOUT.exec(typeof header === "string" ? header : "") ?? [];
  return digits === undefined ? Number.POSITIVE_INFINITY : Number(digits) * UNIT_MS[unit!]!;
}

/** Everything but printable ASCII as bytes in hexadecimal. */
function percentEncoded(text: string): string {
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
