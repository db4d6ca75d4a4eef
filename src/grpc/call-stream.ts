/**
 * One call on its HTTP/2 stream: reads the request's messages, writes the answer's, ends with the status in trailers
 * (PROTOCOL-HTTP2 of gRPC). Deadlines are the client's to keep: it resets the stream when its own has passed, so the
 * server arms no timer for a call.
 */
import type { Clock } from "../base/clock.js";
import { hpackEncode } from "../http2/hpack.js";
import type { Stream, StreamListener } from "../http2/stream.js";
import { MessageReader, type ReadBudget, type ReadProblem, type TakeMessage, takeWhole } from "./message-reader.js";
import type { Codec } from "./proto.js";
import { type GrpcCall, type GrpcPeer, type GrpcStream, RpcStatus } from "./types.js";

const HEADERS: readonly (readonly [string, string])[] = [
  [":status", "200"],
  ["content-type", "application/grpc"],
];
const HEADERS_BLOCK = hpackEncode(HEADERS);
const OK_BLOCK = hpackEncode([["grpc-status", "0"]]);
const DETAILS_CHARS_MAX = 1024;
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

/** Takes the messages of a request. */
export interface RequestTaker<P extends GrpcPeer> {
  /** `bytes` are good until `ended` has returned. */
  received(call: CallStream<P>, bytes: Buffer): void;
  /** The client has sent its last. */
  ended(call: CallStream<P>): void;
}

/** What the calls of a server have in common. */
export interface CallLimits {
  readonly clock: Clock;
  readonly messageBytesMax: number;
  readonly budget: ReadBudget;
}

export class CallStream<P extends GrpcPeer> implements GrpcCall<P>, GrpcStream<P>, StreamListener {
  readonly peer: P;
  readonly #stream: Stream;
  readonly #limits: CallLimits;
  readonly #response: Codec<object>;
  readonly #startMs: number;
  /** Messages of the request. */
  messageCount = 0;
  /** The one that it is, once it is there. */
  request: object | undefined;
  #taker: RequestTaker<P> | undefined;
  #reader: MessageReader | undefined;
  #headersSent = false;
  #ended = false;
  #closed = false;
  #cancelCallbacks: (() => void)[] | undefined;

  constructor(stream: Stream, peer: P, limits: CallLimits, response: Codec<object>) {
    this.#stream = stream;
    this.peer = peer;
    this.#limits = limits;
    this.#response = response;
    this.#startMs = limits.clock.monotonicMs();
    stream.listener = this;
  }

  get call(): this {
    return this;
  }

  read(taker: RequestTaker<P>): void {
    this.#taker = taker;
  }

  header(name: string): string {
    return this.#stream.headers.get(name);
  }

  get remainingMs(): number {
    const { clock } = this.#limits;
    return this.#startMs + timeoutMs(this.header("grpc-timeout")) - clock.monotonicMs();
  }

  get cancelled(): boolean {
    return this.#closed;
  }

  onCancel(callback: () => void): void {
    if (this.#closed) callback();
    else if (this.#cancelCallbacks === undefined) this.#cancelCallbacks = [callback];
    else this.#cancelCallbacks.push(callback);
  }

  write(message: object): boolean {
    if (this.#ended || this.#closed || this.#stream.queuedBytes > UNREAD_BYTES_MAX) return false;
    this.#begin();
    this.#stream.write(this.#response.encodeFramed(message));
    return true;
  }

  /** The one message of the answer, and the end. */
  answer(message: object): void {
    if (this.#ended || this.#closed) return;
    const bytes = this.#response.encodeFramed(message);
    this.#ended = true;
    this.#begin();
    this.#stream.write(bytes);
    this.#stream.end(OK_BLOCK);
  }

  end(): void {
    this.endWith(RpcStatus.OK, "");
  }

  fail(code: "INVALID_ARGUMENT" | "INTERNAL", details: string): void {
    this.endWith(RpcStatus[code], details);
  }

  endWith(status: RpcStatus, details: string): void {
    if (this.#ended || this.#closed) return;
    this.#ended = true;
    if (status === RpcStatus.OK) {
      this.#begin();
      this.#stream.end(OK_BLOCK);
    } else {
      const trailers = statusFields(status, details);
      this.#stream.end(hpackEncode(this.#headersSent ? trailers : [...HEADERS, ...trailers]));
    }
  }

  received(bytes: Buffer, isLast: boolean): void {
    if (this.#ended) return;
    const { messageBytesMax, budget } = this.#limits;
    const take: TakeMessage = (message, isPassing) => {
      this.messageCount++;
      // A request is handled when it has ended; until then others may be received where this one lies.
      if (!this.#ended) this.#taker?.received(this, isPassing && !isLast ? Buffer.from(message) : message);
    };
    const taken = this.#reader === undefined ? takeWhole(bytes, messageBytesMax, take) : 0;
    if (taken === bytes.length) return;
    this.#reader ??= new MessageReader(messageBytesMax, budget, this.header("grpc-encoding") || "identity");
    const problem = this.#reader.push(taken === 0 ? bytes : bytes.subarray(taken), take);
    if (problem !== undefined) this.endWith(...PROBLEMS[problem]);
  }

  requestEnded(): void {
    if (this.#ended) return;
    if (this.#reader?.isInside === true) this.endWith(RpcStatus.INTERNAL, "the last message is not whole");
    else this.#taker?.ended(this);
  }

  closed(): void {
    this.#closed = true;
    this.#reader?.release();
    const callbacks = this.#cancelCallbacks;
    this.#cancelCallbacks = undefined;
    if (!this.#ended && callbacks !== undefined) for (const callback of callbacks) callback();
    this.#ended = true;
  }

  #begin(): void {
    if (this.#headersSent) return;
    this.#headersSent = true;
    this.#stream.respond(HEADERS_BLOCK);
  }
}

/** As trailers, or with headers when there is nothing else. */
export function statusFields(status: RpcStatus, details: string): (readonly [string, string])[] {
  return [
    ["grpc-status", String(status)],
    ["grpc-message", percentEncoded(details.slice(0, DETAILS_CHARS_MAX))],
  ];
}

function timeoutMs(header: string): number {
  const [, digits, unit] = TIMEOUT.exec(header) ?? [];
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
