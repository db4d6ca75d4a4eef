/**
 * Writes a message of protobuf from its end to its begin, so that the length of what is inside another message is known
 * when it is to be written. Fields are given in the opposite of their order, the bytes are those of one that writes
 * forward. It writes into one buffer again and again, and takes no numbers below zero.
 */
import { PREFIX_BYTES, writePrefix } from "./message-frame.js";

const BUFFER_BYTES = 65_536;
/** A buffer that one large message has made larger than this is not kept. */
const KEPT_BYTES_MAX = 1_048_576;
const VARINT_BYTES_MAX = 10;
/** Native calls are worth their while from here on. */
const SHORT_CHARS = 64;
const LENGTH_DELIMITED = 2;
const TWO_28 = 0x10000000;

export class BackwardWriter {
  bytes: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  /** What is written is `bytes[at, bytes.length)`. */
  at = BUFFER_BYTES;
  /** A number came that is not written here. */
  failed = false;

  begin(): void {
    if (this.bytes.length > KEPT_BYTES_MAX) this.bytes = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    this.at = this.bytes.length;
    this.failed = false;
  }

  /** Written so far. */
  get byteCount(): number {
    return this.bytes.length - this.at;
  }

  /** Makes all that was written since `byteCount` was `before` the message in field `id`. */
  message(id: number, before: number): void {
    this.#room(2 * VARINT_BYTES_MAX);
    this.#varint(this.byteCount - before);
    this.#varint((id << 3) | LENGTH_DELIMITED);
  }

  /** Nothing where it is the default, which has no bytes. */
  string(id: number, text: string | undefined): void {
    if (text !== undefined && text !== "") this.#string(id, text);
  }

  /** Of a field that is optional, whose default has bytes. */
  optionalString(id: number, text: string | null | undefined): void {
    if (text !== null && text !== undefined) this.#string(id, text);
  }

  #string(id: number, text: string): void {
    const { length } = text;
    this.#room(3 * length + 2 * VARINT_BYTES_MAX);
    let byteCount = length;
    if (length > SHORT_CHARS || !this.#writeAscii(text)) {
      byteCount = Buffer.byteLength(text);
      this.bytes.write(text, this.at - byteCount, "utf8");
    }
    this.at -= byteCount;
    this.#varint(byteCount);
    this.#varint((id << 3) | LENGTH_DELIMITED);
  }

  #writeAscii(text: string): boolean {
    const { bytes } = this;
    const { length } = text;
    const start = this.at - length;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      bytes[start + i] = unit;
    }
    return true;
  }

  bytesField(id: number, value: Uint8Array): void {
    if (value.length === 0) return;
    this.#room(value.length + 2 * VARINT_BYTES_MAX);
    this.at -= value.length;
    this.bytes.set(value, this.at);
    this.#varint(value.length);
    this.#varint((id << 3) | LENGTH_DELIMITED);
  }

  /** Any integer type of protobuf's that is no fixed nor zigzag one. */
  integer(id: number, value: number | undefined): void {
    if (value !== undefined && value !== 0) this.#integer(id, value);
  }

  optionalInteger(id: number, value: number | null | undefined): void {
    if (value !== null && value !== undefined) this.#integer(id, value);
  }

  #integer(id: number, value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) {
      this.failed = true;
      return;
    }
    this.#room(2 * VARINT_BYTES_MAX);
    this.#varint(value);
    this.#varint(id << 3);
  }

  /** Makes all that was written a message on a stream of gRPC. */
  framePrefix(): void {
    const length = this.byteCount;
    this.#room(PREFIX_BYTES);
    this.at -= PREFIX_BYTES;
    writePrefix(this.bytes, this.at, length);
  }

  #varint(value: number): void {
    if (value < 0x80) {
      this.bytes[--this.at] = value;
      return;
    }
    let count = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) count++;
    this.at -= count;
    const { bytes } = this;
    let at = this.at;
    let rest = value;
    for (; rest >= TWO_28; rest = Math.floor(rest / 0x80)) bytes[at++] = (rest % 0x80) | 0x80;
    for (; rest >= 0x80; rest >>>= 7) bytes[at++] = (rest & 0x7f) | 0x80;
    bytes[at] = rest;
  }

  #room(byteCount: number): void {
    if (this.at >= byteCount) return;
    const { bytes, at } = this;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * bytes.length, bytes.length + byteCount));
    this.at = larger.length - (bytes.length - at);
    bytes.copy(larger, this.at, at);
    this.bytes = larger;
  }
}
