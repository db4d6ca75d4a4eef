/**
 * Whose PROXY headers say who a client is. Apache believes everybody, and so does CometMQ as long as an address opens
 * nothing; once access control is on, whoever reaches the port could name one that a policy or a white list lets in.
 */
import { CometError } from "../../base/errors.js";
import { addressRange } from "../../remoting/address-range.js";
import type { ProxyTrust } from "../../remoting/proxy-entrance.js";
import type { BrokerConfig } from "../broker/broker-options.js";
import { isAccessControlled } from "./access-options.js";

const everybody: ProxyTrust = () => true;
const nobody: ProxyTrust = () => false;

/** proxyProtocolTrustedAddresses: `*`, or addresses and networks between commas. Throws COMETMQ_CONFIG. */
export function proxyTrustOf(config: BrokerConfig): ProxyTrust {
  const text = config.proxyProtocolTrustedAddresses.trim();
  if (text === "") return isAccessControlled(config) ? nobody : everybody;
  if (text === "*") return everybody;
  const ranges = text.split(",").map((part) => rangeOf(part.trim()));
  return (host) => ranges.some((range) => range.contains(host));
}

function rangeOf(text: string) {
  const range = addressRange(text);
  if (range !== undefined) return range;
  const problem = `${text.slice(0, 80)} is no address, and no network as 10.0.0.0/8`;
  throw new CometError("COMETMQ_CONFIG", `proxyProtocolTrustedAddresses: ${problem}.`);
}
