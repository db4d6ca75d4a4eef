/**
 * White-listed hosts as 4.x writes them: `*`, `10.0.0.7`, `10.0.0.*`, `10.0.1-5.*`, `10.0.0.{7,9}`, `10.0.0.7,10.0.0.9`
 * and whole IPv6 addresses (acl/plain/RemoteAddressStrategyFactory.java).
 */
import { addressRange } from "../../remoting/address-range.js";

export type HostPattern = (host: string) => boolean;

const OCTET = String.raw`(?:\*|\d{1,3}(?:-\d{1,3})?|\{\d{1,3}(?:,\d{1,3})*\})`;
const DOTTED = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);

/** Undefined for what is no such pattern. */
export function hostPattern(text: string): HostPattern | undefined {
  const trimmed = text.trim();
  if (/^\*(\.\*){0,3}$/.test(trimmed)) return () => true;
  const parts = trimmed.includes("{") ? [trimmed] : trimmed.split(",").map((part) => part.trim());
  const patterns = parts.map(onePattern);
  if (patterns.some((pattern) => pattern === undefined)) return undefined;
  return (host) => patterns.some((pattern) => pattern!(host));
}

function onePattern(text: string): HostPattern | undefined {
  if (!DOTTED.test(text)) {
    const range = addressRange(text);
    return range && ((host) => range.contains(host));
  }
  const tests = text.split(".").map(octetTest);
  return (host) => {
    const octets = host.split(".").map(Number);
    return octets.length === 4 && octets.every((octet, i) => tests[i]!(octet));
  };
}

function octetTest(text: string): (octet: number) => boolean {
  if (text === "*") return () => true;
  if (text.startsWith("{")) {
    const listed = new Set(text.slice(1, -1).split(",").map(Number));
    return (octet) => listed.has(octet);
  }
  const [low, high = low] = text.split("-").map(Number);
  return (octet) => octet >= low! && octet <= high!;
}
