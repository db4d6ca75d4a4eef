/**
 * HPACK (RFC 7541): header fields of a connection, against the static and a dynamic table. The decoder keeps the table
 * that the peer's encoder drives, bounded by what HTTP/2 begins with; the encoder here never makes an entry, so its blocks
 * can be made once for all connections.
 */
import { HeaderField, Headers } from "./headers.js";
import { encodedInteger, HpackCursor } from "./hpack-integer.js";
import { huffmanDecode, huffmanEncode } from "./huffman.js";

export const TABLE_BYTES_MAX = 4096;
/** Of a list as RFC 9113 counts it; what is beyond is decoded, for the table's sake, and not kept. */
export const HEADER_LIST_BYTES_MAX = 65_535;
const HEADER_FIELDS_MAX = 128;
/** Blocks seen lately, which clients repeat call by call. */
const BLOCKS_KEPT = 8;
const KEPT_BLOCK_BYTES_MAX = 256;

const STATIC = [
  ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204",
  ":status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate",
  "accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control",
  "content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type",
  "cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since",
  "last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after",
  "server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate",
]
  .join("|")
  .split("|")
  .map((text) => {
    const space = text.indexOf(" ");
    return space < 0 ? new HeaderField(text, "") : new HeaderField(text.slice(0, space), text.slice(space + 1));
  });

interface KeptBlock {
  bytes: Buffer;
  length: number;
  headers: Headers;
}

let scratch: Buffer = Buffer.allocUnsafeSlow(4096);

export class HpackDecoder {
  /** The oldest entry lies at `#first`. */
  #entries: HeaderField[] = [];
  #first = 0;
  #tableBytes = 0;
  #tableBytesMax = TABLE_BYTES_MAX;
  readonly #kept: KeptBlock[] = [];
  #nextKept = 0;
  readonly #cursor = new HpackCursor();
  #changed = false;

  /** Undefined for a block that is none; the connection's table is no longer the peer's then. */
  decode(bytes: Buffer, start: number, end: number): Headers | undefined {
    const kept = this.#find(bytes, start, end);
    if (kept !== undefined) return kept;
    this.#cursor.at = start;
    this.#cursor.failed = false;
    this.#changed = false;
    const fields: HeaderField[] = [];
    let listBytes = 0;
    let isBeyond = false;
    while (this.#cursor.at < end) {
      const byte = bytes[this.#cursor.at]!;
      if ((byte & 0xe0) === 0x20) {
        if (fields.length > 0 || isBeyond || !this.#resize(bytes, end)) return undefined;
        continue;
      }
      const field = this.#field(bytes, end, byte);
      if (field === undefined || this.#cursor.failed) return undefined;
      listBytes += field.bytes;
      if (listBytes > HEADER_LIST_BYTES_MAX || fields.length >= HEADER_FIELDS_MAX) isBeyond = true;
      else fields.push(field);
    }
    const headers = new Headers(fields, listBytes, isBeyond);
    if (this.#changed) this.#kept.length = 0;
    else if (end - start <= KEPT_BLOCK_BYTES_MAX) this.#keep(bytes, start, end, headers);
    return headers;
  }

  #find(bytes: Buffer, start: number, end: number): Headers | undefined {
    const length = end - start;
    for (let i = 0; i < this.#kept.length; i++) {
      const block = this.#kept[i]!;
      if (block.length !== length) continue;
      let same = 0;
      while (same < length && block.bytes[same] === bytes[start + same]) same++;
      if (same === length) return block.headers;
    }
    return undefined;
  }

  #keep(bytes: Buffer, start: number, end: number, headers: Headers): void {
    const length = end - start;
    let block = this.#kept[this.#nextKept];
    if (block === undefined) {
      block = { bytes: Buffer.allocUnsafeSlow(KEPT_BLOCK_BYTES_MAX), length, headers };
      this.#kept.push(block);
    }
    bytes.copy(block.bytes, 0, start, end);
    block.length = length;
    block.headers = headers;
    this.#nextKept = (this.#kept.indexOf(block) + 1) % BLOCKS_KEPT;
  }

  #field(bytes: Buffer, end: number, byte: number): HeaderField | undefined {
    if ((byte & 0x80) !== 0) return this.#entry(this.#cursor.integer(bytes, end, 0x7f));
    const isIndexed = (byte & 0x40) !== 0;
    const nameIndex = this.#cursor.integer(bytes, end, isIndexed ? 0x3f : 0x0f);
    const name = nameIndex === 0 ? this.#string(bytes, end) : this.#entry(nameIndex)?.name;
    if (name === undefined || this.#cursor.failed) return undefined;
    const field = new HeaderField(name, this.#string(bytes, end));
    if (isIndexed && !this.#cursor.failed) this.#add(field);
    return field;
  }

  #entry(index: number): HeaderField | undefined {
    if (index <= STATIC.length) return STATIC[index - 1];
    const at = this.#entries.length - (index - STATIC.length);
    return at < this.#first ? undefined : this.#entries[at];
  }

  #add(field: HeaderField): void {
    this.#changed = true;
    this.#evictTo(this.#tableBytesMax - field.bytes);
    if (field.bytes > this.#tableBytesMax) return;
    this.#entries.push(field);
    this.#tableBytes += field.bytes;
  }

  #evictTo(bytesMax: number): void {
    while (this.#tableBytes > bytesMax && this.#first < this.#entries.length) {
      this.#tableBytes -= this.#entries[this.#first++]!.bytes;
    }
    if (this.#first > 64 && this.#first * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
  }

  #resize(bytes: Buffer, end: number): boolean {
    const size = this.#cursor.integer(bytes, end, 0x1f);
    if (this.#cursor.failed || size > TABLE_BYTES_MAX) return false;
    this.#changed = true;
    this.#tableBytesMax = size;
    this.#evictTo(size);
    return true;
  }

  #string(bytes: Buffer, end: number): string {
    if (this.#cursor.at >= end) {
      this.#cursor.failed = true;
      return "";
    }
    const isHuffman = (bytes[this.#cursor.at]! & 0x80) !== 0;
    const length = this.#cursor.integer(bytes, end, 0x7f);
    const start = this.#cursor.at;
    this.#cursor.at += length;
    if (this.#cursor.failed || this.#cursor.at > end) {
      this.#cursor.failed = true;
      return "";
    }
    if (!isHuffman) return bytes.toString("latin1", start, this.#cursor.at);
    if (scratch.length < 2 * length) scratch = Buffer.allocUnsafeSlow(2 * length);
    const decoded = huffmanDecode(bytes, start, this.#cursor.at, scratch);
    if (decoded < 0) {
      this.#cursor.failed = true;
      return "";
    }
    return scratch.toString("latin1", 0, decoded);
  }
}

/** A block that makes no entry in the peer's table. Names are lower case, values ASCII. */
export function hpackEncode(fields: readonly (readonly [string, string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) {
    const whole = STATIC.findIndex((entry) => entry.name === name && entry.value === value && value !== "");
    if (whole >= 0) {
      parts.push(encodedInteger(0x80, 0x7f, whole + 1));
      continue;
    }
    const nameIndex = STATIC.findIndex((entry) => entry.name === name) + 1;
    parts.push(encodedInteger(0, 0x0f, nameIndex));
    if (nameIndex === 0) parts.push(encodedString(name));
    parts.push(encodedString(value));
  }
  return Buffer.concat(parts);
}

function encodedString(text: string): Buffer {
  const plain = Buffer.from(text, "latin1");
  const huffman = huffmanEncode(plain);
  return huffman.length < plain.length
    ? Buffer.concat([encodedInteger(0x80, 0x7f, huffman.length), huffman])
    : Buffer.concat([encodedInteger(0, 0x7f, plain.length), plain]);
}
