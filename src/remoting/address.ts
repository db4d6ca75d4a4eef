/** Socket addresses as Apache prints them and as records store them. */

const IPV4_IN_IPV6 = "::ffff:";
const MAPPED = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]);

/** The 4 or 16 bytes of a numeric address; an IPv4 address that came mapped into IPv6 has 4. Zeroes when it is none. */
export function addressBytes(address: string): Buffer {
  const zone = address.indexOf("%");
  const plain = zone < 0 ? address : address.slice(0, zone);
  const mapped = plain.toLowerCase().startsWith(IPV4_IN_IPV6) && plain.includes(".");
  const text = mapped ? plain.slice(IPV4_IN_IPV6.length) : plain;
  return text.includes(":") ? ipv6Bytes(text) : ipv4Bytes(text);
}

/** The record's form of a host: its address bytes and the port in 4 bytes. */
export function hostBytes(address: string, port: number): Buffer {
  const host = addressBytes(address);
  const bytes = Buffer.alloc(host.length + 4);
  host.copy(bytes);
  bytes.writeInt32BE(port, host.length);
  return bytes;
}

/** `10.0.0.7`, or Java's full form `2001:db8:0:0:0:0:0:1`. */
export function hostText(address: string): string {
  return bytesText(addressBytes(address));
}

/** The same of 4 or 16 bytes; an IPv4 address that is mapped into IPv6 is told as what it is. */
export function bytesText(address: Buffer): string {
  const isMapped = address.length === 16 && address.subarray(0, 12).equals(MAPPED);
  const bytes = isMapped ? address.subarray(12) : address;
  if (bytes.length === 4) return bytes.join(".");
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(bytes.readUInt16BE(i).toString(16));
  return groups.join(":");
}

/** `10.0.0.7:10911`, `[2001:db8:0:0:0:0:0:1]:10911`. */
export function addressText(address: string, port: number): string {
  const host = hostText(address);
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function ipv4Bytes(text: string): Buffer {
  const parts = text.split(".").map(Number);
  return Buffer.from(parts.length === 4 && parts.every((part) => part >= 0 && part <= 255) ? parts : [0, 0, 0, 0]);
}

/** Groups of up to four hexadecimal digits, `::` for the zeroes between, the last four bytes perhaps dotted. */
function ipv6Bytes(text: string): Buffer {
  const bytes = Buffer.alloc(16);
  const [head = "", tail] = text.split("::");
  const left = groupBytes(head);
  const right = tail === undefined ? [] : groupBytes(tail);
  if (left.length + right.length > 16) return bytes;
  bytes.set(left, 0);
  bytes.set(right, 16 - right.length);
  return bytes;
}

function groupBytes(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (group.includes(".")) return [...ipv4Bytes(group)];
    const value = Number.parseInt(group, 16) || 0;
    return [(value >> 8) & 255, value & 255];
  });
}
