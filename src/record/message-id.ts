/**
 * The offset message id: upper-case hex of store address, port (4) and physical offset (8), so 32 characters for an
 * IPv4 store host and 56 for an IPv6 one (common/message/MessageDecoder.createMessageId). It is where the message lies;
 * the unique id that clients make is another one.
 */
import { hostText } from "./host.js";
import { IPV4_HOST_BYTES, IPV6_HOST_BYTES } from "./layout.js";

const TWO_32 = 4294967296;
const HEX = Buffer.from("0123456789ABCDEF", "latin1");

export const MESSAGE_ID_CHARS_MAX = 2 * (IPV6_HOST_BYTES + 8);

/** What an offset message id says. */
export interface MessageId {
  /** Of the broker, as `hostText` prints it. */
  readonly storeHost: string;
  readonly phyOffset: number;
}

/** Writes the bytes that the id is the hex of at `target[at]`; returns where they end. */
export function writeMessageIdBytes(target: Uint8Array, at: number, storeHost: Uint8Array, phyOffset: number): number {
  let end = at;
  for (let i = 0; i < storeHost.length; i++) target[end++] = storeHost[i]!;
  const high = Math.floor(phyOffset / TWO_32);
  writeUint32(target, end, high);
  writeUint32(target, end + 4, phyOffset - high * TWO_32);
  return end + 8;
}

/** Writes the id as ASCII at `target[at]`; returns where it ends. Allocates nothing. */
export function writeMessageId(target: Uint8Array, at: number, storeHost: Uint8Array, phyOffset: number): number {
  let end = at;
  for (let i = 0; i < storeHost.length; i++) {
    const byte = storeHost[i]!;
    target[end] = HEX[byte >> 4]!;
    target[end + 1] = HEX[byte & 15]!;
    end += 2;
  }
  const high = Math.floor(phyOffset / TWO_32);
  writeHex32(target, end, high);
  writeHex32(target, end + 8, phyOffset - high * TWO_32);
  return end + 16;
}

/** The id of the record at `phyOffset` in the store with the host bytes `storeHost`. */
export function createMessageId(storeHost: Uint8Array, phyOffset: number): string {
  const ascii = Buffer.allocUnsafe(2 * (storeHost.length + 8));
  writeMessageId(ascii, 0, storeHost, phyOffset);
  return ascii.toString("latin1");
}

/** Undefined when `text` is no such id, or its offset can be in no log. */
export function parseMessageId(text: string): MessageId | undefined {
  const length = text.length / 2 - 8;
  if ((length !== IPV4_HOST_BYTES && length !== IPV6_HOST_BYTES) || !/^[0-9A-Fa-f]+$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "hex");
  const phyOffset = bytes.readUInt32BE(length) * TWO_32 + bytes.readUInt32BE(length + 4);
  if (!Number.isSafeInteger(phyOffset)) return undefined;
  return { storeHost: hostText(bytes, 0, length), phyOffset };
}

function writeUint32(target: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) target[at + i] = value >>> (24 - 8 * i);
}

function writeHex32(target: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 8; i++) target[at + i] = HEX[(value >>> (28 - 4 * i)) & 15]!;
}
