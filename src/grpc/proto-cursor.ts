/**
 * Reads a message of protobuf field by field. It knows what usual clients send: strings in ASCII, integers from 0 to 2^53.
 * Whatever else comes makes it fail, and is for the codec of protobufjs to read or to refuse.
 */
const NAMES = 128;
const NAME_BYTES_MAX = 127;
const NO_BYTES = Buffer.alloc(0);
const INT32_MAX = 0x7fffffff;

interface KnownName {
  readonly bytes: Buffer;
  readonly text: string;
}

export class ProtoCursor {
  bytes: Buffer = NO_BYTES;
  at = 0;
  failed = false;
  /** Names of topics and groups seen lately: the same string each time, and its hash. */
  readonly #names: (KnownName | undefined)[] = new Array(NAMES).fill(undefined);

  begin(bytes: Buffer): void {
    this.bytes = bytes;
    this.at = 0;
    this.failed = false;
  }

  /** Ends the reading: what was read is not good. */
  fail(): void {
    this.failed = true;
    this.at = Number.MAX_SAFE_INTEGER;
  }

  varint(end: number): number {
    const { bytes } = this;
    let byte = this.at < end ? bytes[this.at++]! : 0x80;
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    for (let scale = 0x80; this.at < end && scale <= 2 ** 49; scale *= 0x80) {
      byte = bytes[this.at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80 && value <= Number.MAX_SAFE_INTEGER) return value;
      if (byte < 0x80) break;
    }
    this.fail();
    return 0;
  }

  int32(end: number): number {
    const value = this.varint(end);
    if (value > INT32_MAX) this.fail();
    return value;
  }

  /** Where what has a length ends, which is no later than `end`. */
  endOf(end: number): number {
    const length = this.varint(end);
    if (this.at + length <= end) return this.at + length;
    this.fail();
    return 0;
  }

  text(end: number): string {
    const to = this.endOf(end);
    const from = this.at;
    if (this.failed || !this.#isAscii(from, to)) {
      this.fail();
      return "";
    }
    this.at = to;
    return this.bytes.toString("latin1", from, to);
  }

  /** A text that many calls have. */
  name(end: number): string {
    const { bytes } = this;
    const from = this.at;
    const length = from < end ? bytes[from]! : 0;
    const to = from + 1 + length;
    if (length === 0 || length > NAME_BYTES_MAX || to > end) return this.text(end);
    const slot = (length * 31 + bytes[to - 1]! * 7 + bytes[from + 1 + (length >> 1)]!) % NAMES;
    const known = this.#names[slot];
    if (known !== undefined && known.bytes.length === length && isAt(known.bytes, bytes, from + 1)) {
      this.at = to;
      return known.text;
    }
    const text = this.text(end);
    if (!this.failed) this.#names[slot] = { bytes: Buffer.from(bytes.subarray(from + 1, to)), text };
    return text;
  }

  /** A view. */
  bytesOf(end: number): Buffer {
    const to = this.endOf(end);
    const from = this.at;
    if (this.failed) return NO_BYTES;
    this.at = to;
    return this.bytes.subarray(from, to);
  }

  #isAscii(from: number, to: number): boolean {
    const { bytes } = this;
    for (let i = from; i < to; i++) if (bytes[i]! >= 0x80) return false;
    return true;
  }
}

function isAt(name: Buffer, bytes: Buffer, at: number): boolean {
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[at + i]) return false;
  return true;
}
