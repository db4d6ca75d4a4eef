/**
 * Hosts in records: 4 or 16 address bytes and a 4-byte port. As text they are `address:port`, the address as Java's
 * InetAddress.getHostAddress prints it: IPv6 in full, without brackets (`fe80:0:0:0:0:0:0:1:10911`).
 */
import { IPV4_HOST_BYTES } from "./layout.js";

const IPV6_GROUPS = 8;
const MAPPED_PREFIX_BYTES = 12;

/** The address of the host of `length` (8 or 20) bytes at `start`. */
export function hostAddress(bytes: Uint8Array, start: number, length: number): string {
  if (length === IPV4_HOST_BYTES) return ipv4Text(bytes, start);
  // Java makes an IPv4 address of an IPv4-mapped one.
  if (isMapped(bytes, start)) return ipv4Text(bytes, start + MAPPED_PREFIX_BYTES);
  let text = "";
  for (let i = 0; i < 16; i += 2) {
    text += `${i === 0 ? "" : ":"}${((bytes[start + i]! << 8) | bytes[start + i + 1]!).toString(16)}`;
  }
  return text;
}

/** The port of the host of `length` (8 or 20) bytes at `start`; a signed number, should it be nonsense. */
export function hostPort(bytes: Uint8Array, start: number, length: number): number {
  const at = start + length - 4;
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** `address:port` of the host of `length` (8 or 20) bytes at `start`. */
export function hostText(bytes: Uint8Array, start: number, length: number): string {
  return `${hostAddress(bytes, start, length)}:${hostPort(bytes, start, length)}`;
}

/**
 * Host bytes of a numeric address and a port: 8 for IPv4, 20 for IPv6. An IPv4-mapped address (`::ffff:10.0.0.1`, what a
 * socket for both families gives) becomes IPv4, a zone is left out. Undefined when it is no such address.
 */
export function encodeHost(address: string, port: number): Buffer | undefined {
  if (!Number.isInteger(port) || port < 0 || port > 65535) return undefined;
  const ip = parseIpv4(address) ?? parseIpv6(address);
  if (ip === undefined) return undefined;
  const short = ip.length === 16 && isMapped(ip, 0) ? ip.subarray(MAPPED_PREFIX_BYTES) : ip;
  const host = Buffer.alloc(short.length + 4);
  host.set(short);
  host.writeUInt32BE(port, short.length);
  return host;
}

/** Host bytes of `address:port` or `[address]:port`; undefined when it is not one. */
export function parseHost(text: string): Buffer | undefined {
  const colon = text.lastIndexOf(":");
  const port = text.slice(colon + 1);
  if (colon < 0 || !/^\d{1,5}$/.test(port)) return undefined;
  const address = text.slice(0, colon);
  const bare = address.startsWith("[") && address.endsWith("]") ? address.slice(1, -1) : address;
  return encodeHost(bare, Number(port));
}

function ipv4Text(bytes: Uint8Array, start: number): string {
  return `${bytes[start]}.${bytes[start + 1]}.${bytes[start + 2]}.${bytes[start + 3]}`;
}

function isMapped(bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[start + i] !== 0) return false;
  return bytes[start + 10] === 0xff && bytes[start + 11] === 0xff;
}

function parseIpv4(text: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const parts = match.slice(1).map(Number);
  return parts.every((part) => part <= 255) ? Uint8Array.from(parts) : undefined;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const zone = text.indexOf("%");
  const address = zone < 0 ? text : text.slice(0, zone);
  const halves = address.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = IPV6_GROUPS - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** Groups between colons as numbers; where `last`, the last may be an IPv4 address that stands for two. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    const ipv4 = last && i === parts.length - 1 ? parseIpv4(part) : undefined;
    if (ipv4 !== undefined) groups.push((ipv4[0]! << 8) | ipv4[1]!, (ipv4[2]! << 8) | ipv4[3]!);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}
