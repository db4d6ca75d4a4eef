/**
 * The header by which a proxy in front of a port says whom it speaks for: HAProxy's PROXY protocol, version 1 in text and
 * version 2 in binary (haproxy.org/download/2.8/doc/proxy-protocol.txt). What is taken, and what closes the connection,
 * is what Netty's HAProxyMessageDecoder does, which Apache has before its Remoting and gRPC ports.
 *
 *   "PROXY" SP ("TCP4" | "TCP6") SP source SP destination SP source port SP destination port CRLF, or "PROXY UNKNOWN" … CRLF
 *   signature 12 bytes   version and command u8   family and transport u8   length u16   addresses   TLVs
 *
 * Only the source is of use here. TLVs are passed over, for nothing goes by them; in Apache neither, but for extensions.
 */
import { isIP } from "node:net";
import { bytesText } from "./address.js";

/** Whom a proxy speaks for: numeric, as a socket tells its own peer. */
export interface ClientAddress {
  readonly address: string;
  readonly port: number;
}

export type ProxyHeader =
  /** It may become one. */
  | { readonly kind: "partial" }
  | { readonly kind: "malformed"; readonly reason: string }
  /** `client` is undefined where the proxy speaks for itself, or does not know. */
  | { readonly kind: "whole"; readonly headerBytes: number; readonly client: ClientAddress | undefined };

const V1_START = Buffer.from("PROXY ");
/** With its line end. */
const V1_BYTES_MAX = 107;
const V2_SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V2_FIXED_BYTES = 16;
const TLV_FIXED_BYTES = 3;
const PARTIAL = { kind: "partial" } as const;

/** A header of version 2 has at most so many bytes, TLVs included. */
export const PROXY_HEADER_BYTES_MAX = V2_FIXED_BYTES + 65535;
/** So many bytes tell a header from everything else that is spoken on a port. */
export const PROXY_WORD_BYTES = 4;
/** The least first byte of one. */
export const PROXY_BYTE_MIN = 0x0d;

const Command = { LOCAL: 0, PROXY: 1 } as const;
const Family = { UNSPEC: 0, IPV4: 1, IPV6: 2, UNIX: 3 } as const;

interface AddressShape {
  /** Of a source; a destination has as many. */
  readonly hostBytes: number;
  /** Of all four parts. */
  readonly blockBytes: number;
}

const SHAPES: ReadonlyMap<number, AddressShape> = new Map([
  [Family.IPV4, { hostBytes: 4, blockBytes: 12 }],
  [Family.IPV6, { hostBytes: 16, blockBytes: 36 }],
  [Family.UNIX, { hostBytes: 108, blockBytes: 216 }],
]);

/** Whether `bytes`, as far as they go, begin as a header does: the first four decide. */
export function beginsAsProxyHeader(bytes: Buffer, start = 0): boolean {
  return beginsAs(V1_START, bytes, start) || beginsAs(V2_SIGNATURE, bytes, start);
}

function beginsAs(mark: Buffer, bytes: Buffer, start: number): boolean {
  const end = Math.min(bytes.length, start + PROXY_WORD_BYTES);
  for (let i = start; i < end; i++) if (bytes[i] !== mark[i - start]) return false;
  return end > start;
}

/** Reads the header that all received bytes begin with. Never throws. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (bytes.length === 0) return PARTIAL;
  const isText = bytes[0] === V1_START[0];
  const mark = isText ? V1_START : V2_SIGNATURE;
  const seen = Math.min(bytes.length, mark.length);
  if (bytes.compare(mark, 0, seen, 0, seen) !== 0) return malformed("it does not begin as one");
  return isText ? parseText(bytes) : parseBinary(bytes);
}

function parseText(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf("\r\n");
  if (end < 0) return bytes.length < V1_BYTES_MAX ? PARTIAL : malformed(`no line end in ${V1_BYTES_MAX} bytes`);
  const headerBytes = end + 2;
  const [, protocol = "", ...parts] = bytes.toString("latin1", 0, end).split(" ");
  if (protocol === "UNKNOWN") return { kind: "whole", headerBytes, client: undefined };
  const family = protocol === "TCP4" ? 4 : protocol === "TCP6" ? 6 : 0;
  if (family === 0) return malformed("its protocol is none of TCP4, TCP6 and UNKNOWN");
  if (parts.length !== 4) return malformed("it has not two addresses and two ports");
  const [source = "", destination = "", ...ports] = parts;
  if (!isAddress(source, family) || !isAddress(destination, family)) return malformed(`an address is not ${protocol}`);
  const [port = 0, destinationPort = 0] = ports.map((text) => (/^\d{1,5}$/.test(text) ? Number(text) : 0));
  if (!isPort(port) || !isPort(destinationPort)) return malformed("a port is not one of 1 to 65535");
  return { kind: "whole", headerBytes, client: { address: source, port } };
}

function isAddress(text: string, family: number): boolean {
  return isIP(text) === family && !text.includes("%");
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65535;
}

function parseBinary(bytes: Buffer): ProxyHeader {
  if (bytes.length < V2_FIXED_BYTES) return PARTIAL;
  const [versionAndCommand = 0, familyAndTransport = 0] = bytes.subarray(V2_SIGNATURE.length);
  const command = versionAndCommand & 15;
  const family = familyAndTransport >> 4;
  const transport = familyAndTransport & 15;
  if (versionAndCommand >> 4 !== 2) return malformed(`its version is ${versionAndCommand >> 4}`);
  if (command > Command.PROXY) return malformed(`its command is ${command}`);
  const headerBytes = V2_FIXED_BYTES + bytes.readUInt16BE(14);
  if (bytes.length < headerBytes) return PARTIAL;
  if (command === Command.LOCAL || familyAndTransport === 0) return { kind: "whole", headerBytes, client: undefined };
  const shape = SHAPES.get(family);
  if (shape === undefined || transport < 1 || transport > 2) {
    return malformed(`its family and transport are 0x${familyAndTransport.toString(16)}`);
  }
  const tlvStart = V2_FIXED_BYTES + shape.blockBytes;
  if (tlvStart > headerBytes) return malformed("its addresses are cut short");
  if (!areTlvs(bytes, tlvStart, headerBytes)) return malformed("a TLV goes past its end");
  return { kind: "whole", headerBytes, client: family === Family.UNIX ? undefined : sourceOf(bytes, shape) };
}

/** Apache takes the word of a proxy that names no port for nothing. */
function sourceOf(bytes: Buffer, { hostBytes }: AddressShape): ClientAddress | undefined {
  const port = bytes.readUInt16BE(V2_FIXED_BYTES + 2 * hostBytes);
  return port === 0
    ? undefined
    : { address: bytesText(bytes.subarray(V2_FIXED_BYTES, V2_FIXED_BYTES + hostBytes)), port };
}

/** Up to four bytes at the end are none, to Netty. */
function areTlvs(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (end - at > TLV_FIXED_BYTES + 1) at += TLV_FIXED_BYTES + bytes.readUInt16BE(at + 1);
  return at <= end;
}

function malformed(reason: string): ProxyHeader {
  return { kind: "malformed", reason };
}
