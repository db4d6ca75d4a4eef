/** What a producer recalls a message with (common/producer/RecallMessageHandle.java): `v1 topic broker time id`, in Base64. */
import { copyBytes } from "../../../base/copy-bytes.js";
import { DECIMAL_BYTES_MAX, writeDecimal } from "../../../remoting/decimal.js";
import { parseJavaLong } from "./timer-properties.js";

const VERSION = "v1";
const SPACE = 32;
const PADDING = 61;
const BASE64_DIGITS = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
const HANDLE_CHARS_MAX = 4096;
/** Java's decoder takes the URL's alphabet, whole, with padding or without. */
const BASE64_URL = /^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}(?:==)?|[A-Za-z0-9_-]{3}=?)?$/;

export interface RecallHandle {
  readonly topic: string;
  readonly brokerName: string;
  /** TIMER_OUT_MS + 1; -1 for what is no number. */
  readonly timestampMs: number;
  readonly uniqueKey: string;
}

export function formatRecallHandle(topic: string, brokerName: string, outMs: number, uniqueKey: string): string {
  const text = Buffer.from(`${VERSION} ${topic} ${brokerName} ${outMs + 1} ${uniqueKey}`).toString("base64url");
  return text.padEnd(text.length + ((4 - (text.length % 4)) % 4), "=");
}

/** Writes handles into one buffer: each is valid until the next. */
export class RecallHandleWriter {
  /** The handle is `bytes[0, length)`. */
  bytes = Buffer.alloc(0);
  length = 0;
  #text = Buffer.alloc(0);
  #topic = "";
  #brokerName = "";
  /** What handles of that topic begin with, in `#text`; and so much of it as makes whole digits stands in `bytes`. */
  #prefixBytes = 0;
  #encodedBytes = 0;

  /** The unique key is `keys[keyStart, keyEnd)`. */
  write(topic: string, brokerName: string, outMs: number, keys: Buffer, keyStart: number, keyEnd: number): void {
    if (topic !== this.#topic || brokerName !== this.#brokerName) this.#begin(topic, brokerName);
    this.#reserve(this.#prefixBytes + DECIMAL_BYTES_MAX + 1 + keyEnd - keyStart);
    let end = writeDecimal(this.#text, this.#prefixBytes, outMs + 1);
    this.#text[end++] = SPACE;
    end = copyBytes(this.#text, end, keys, keyStart, keyEnd);
    this.#encode(this.#encodedBytes, end);
  }

  toString(): string {
    return this.bytes.toString("latin1", 0, this.length);
  }

  #begin(topic: string, brokerName: string): void {
    this.#topic = topic;
    this.#brokerName = brokerName;
    const prefix = `${VERSION} ${topic} ${brokerName} `;
    this.#prefixBytes = 0;
    this.#reserve(Buffer.byteLength(prefix));
    this.#prefixBytes = this.#text.write(prefix);
    this.#encodePrefix();
  }

  #encodePrefix(): void {
    this.#encodedBytes = this.#prefixBytes - (this.#prefixBytes % 3);
    this.#encode(0, this.#encodedBytes);
  }

  #reserve(textBytes: number): void {
    if (this.#text.length >= textBytes) return;
    const grown = Buffer.allocUnsafeSlow(textBytes * 2);
    this.#text.copy(grown, 0, 0, this.#prefixBytes);
    this.#text = grown;
    this.bytes = Buffer.allocUnsafeSlow(Math.ceil(grown.length / 3) * 4);
    this.#encodePrefix();
  }

  /** The text `[start, end)`; `start` is a multiple of three. */
  #encode(start: number, end: number): void {
    const { bytes } = this;
    const text = this.#text;
    let to = (start / 3) * 4;
    for (let at = start; at < end; at += 3) {
      const left = end - at;
      const triple = (text[at]! << 16) | (left > 1 ? text[at + 1]! << 8 : 0) | (left > 2 ? text[at + 2]! : 0);
      bytes[to++] = BASE64_DIGITS[triple >> 18]!;
      bytes[to++] = BASE64_DIGITS[(triple >> 12) & 63]!;
      bytes[to++] = left > 1 ? BASE64_DIGITS[(triple >> 6) & 63]! : PADDING;
      bytes[to++] = left > 2 ? BASE64_DIGITS[triple & 63]! : PADDING;
    }
    this.length = to;
  }
}

/** Undefined for what is no handle. */
export function parseRecallHandle(handle: string): RecallHandle | undefined {
  if (handle.length > HANDLE_CHARS_MAX || !BASE64_URL.test(handle)) return undefined;
  const items = Buffer.from(handle, "base64url").toString("utf8").split(" ");
  const [version, topic, brokerName, timestampText, uniqueKey] = items;
  if (version !== VERSION || topic === undefined || brokerName === undefined) return undefined;
  if (timestampText === undefined || uniqueKey === undefined || !isKey(uniqueKey)) return undefined;
  const ms = parseJavaLong(timestampText);
  return { topic, brokerName, timestampMs: Number.isSafeInteger(ms) ? ms : -1, uniqueKey };
}

/** It becomes the value of a property. */
function isKey(text: string): boolean {
  return text !== "" && !/\p{Cc}/u.test(text);
}
