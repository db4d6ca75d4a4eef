/**
 * Cuts the bytes of one stream into messages, which lie one after the other, each behind its prefix. What is
 * half-received counts against a budget that all streams share, and grows with what has arrived, never with what a
 * length promises.
 */
import { gunzipSync, inflateSync } from "node:zlib";
import { messageBytesAt, PREFIX_BYTES } from "./message-frame.js";

export type ReadProblem = "too large" | "no room" | "malformed" | "unknown encoding";

/** Bytes that unfinished messages may hold over all readers that share it. */
export interface ReadBudget {
  bytes: number;
  readonly bytesMax: number;
}

/** Takes one message. A passing one lies where others are received when the call has returned; any other is its taker's. */
export type TakeMessage = (message: Buffer, isPassing: boolean) => void;

export class MessageReader {
  readonly #messageBytesMax: number;
  readonly #budget: ReadBudget;
  readonly #encoding: string;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(messageBytesMax: number, budget: ReadBudget, encoding: string) {
    this.#messageBytesMax = messageBytesMax;
    this.#budget = budget;
    this.#encoding = encoding;
  }

  /** Calls `take` for each whole message, in order. After a problem the reader is done. */
  push(chunk: Buffer, take: TakeMessage): ReadProblem | undefined {
    const taken = this.#bytes === 0 ? takeWhole(chunk, this.#messageBytesMax, take) : 0;
    return taken === chunk.length ? undefined : this.#gather(Buffer.from(chunk.subarray(taken)), take);
  }

  #gather(chunk: Buffer, take: TakeMessage): ReadProblem | undefined {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#budget.bytes += chunk.length;
    if (this.#budget.bytes > this.#budget.bytesMax) return "no room";
    while (this.#bytes >= PREFIX_BYTES) {
      if (this.#chunks[0]!.length < PREFIX_BYTES) this.#join();
      const first = this.#chunks[0]!;
      const length = messageBytesAt(first, 0);
      if (length > this.#messageBytesMax) return "too large";
      if (this.#bytes < PREFIX_BYTES + length) return undefined;
      if (first.length < PREFIX_BYTES + length) this.#join();
      const whole = this.#chunks[0]!;
      const message = this.#plain(whole[0]!, whole.subarray(PREFIX_BYTES, PREFIX_BYTES + length));
      this.#drop(PREFIX_BYTES + length);
      if (typeof message === "string") return message;
      take(message, false);
    }
    return undefined;
  }

  /** A message has begun and not ended. */
  get isInside(): boolean {
    return this.#bytes > 0;
  }

  /** Gives back what it holds. */
  release(): void {
    this.#budget.bytes -= this.#bytes;
    this.#bytes = 0;
    this.#chunks = [];
  }

  #plain(compressed: number, bytes: Buffer): Buffer | ReadProblem {
    if (compressed === 0) return bytes;
    if (compressed !== 1) return "malformed";
    const maxOutputLength = this.#messageBytesMax;
    try {
      if (this.#encoding === "gzip") return gunzipSync(bytes, { maxOutputLength });
      if (this.#encoding === "deflate") return inflateSync(bytes, { maxOutputLength });
    } catch (error) {
      return (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE" ? "too large" : "malformed";
    }
    return this.#encoding === "identity" ? "malformed" : "unknown encoding";
  }

  #join(): void {
    this.#chunks = [Buffer.concat(this.#chunks, this.#bytes)];
  }

  /** `bytes` lie in the first chunk. */
  #drop(bytes: number): void {
    const first = this.#chunks[0]!;
    if (first.length === bytes) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(bytes);
    if (this.#chunks.length === 0) this.#chunks = [];
    this.#bytes -= bytes;
    this.#budget.bytes -= bytes;
  }
}

/** Calls `take` for messages at the begin of `chunk` that are there whole and uncompressed; answers their bytes. */
export function takeWhole(chunk: Buffer, messageBytesMax: number, take: TakeMessage): number {
  let at = 0;
  while (chunk.length - at >= PREFIX_BYTES && chunk[at] === 0) {
    const length = messageBytesAt(chunk, at);
    const end = at + PREFIX_BYTES + length;
    if (length > messageBytesMax || end > chunk.length) break;
    take(chunk.subarray(at + PREFIX_BYTES, end), true);
    at = end;
  }
  return at;
}
