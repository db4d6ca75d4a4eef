/** Where a request may come from: one address, or a network in CIDR notation (common/utils/IPAddressUtils.java). */
import { BlockList, isIP } from "node:net";

export interface AddressRange {
  /** As given. */
  readonly text: string;
  /** `host` is numeric, without a port. */
  contains(host: string): boolean;
}

/** Undefined for what is neither an address nor a network. */
export function addressRange(text: string): AddressRange | undefined {
  const [address = "", prefix, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return undefined;
  const list = new BlockList();
  const type = family === 4 ? "ipv4" : "ipv6";
  if (prefix === undefined) {
    list.addAddress(address, type);
  } else {
    const bits = /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
    if (bits < 0 || bits > (family === 4 ? 32 : 128)) return undefined;
    list.addSubnet(address, bits, type);
  }
  return {
    text,
    contains: (host) => {
      const hostFamily = isIP(host);
      return hostFamily !== 0 && list.check(host, hostFamily === 4 ? "ipv4" : "ipv6");
    },
  };
}

/** The host of `10.0.0.7:50312` or `[2001:db8::1]:50312`. */
export function hostOf(address: string): string {
  const host = address.slice(0, address.lastIndexOf(":"));
  return host.startsWith("[") ? host.slice(1, -1) : host;
}
