/** From the options of either end to what node:tls takes. */
import { constants, X509Certificate } from "node:crypto";
import { createSecureContext, getCiphers, type SecureContextOptions, type SecureVersion } from "node:tls";
import { CometError } from "../base/errors.js";
import { hasCertificate, isSet, type TlsEnd, type TlsOptions } from "./tls-options.js";

/** What the files held. */
export interface TlsFiles {
  readonly key: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly ca: Buffer | undefined;
}

/** Throws COMETMQ_CONFIG that names the file, or the option, that cannot be used. */
export function readTlsFiles(end: TlsEnd, tls: TlsOptions, withTrust: boolean): TlsFiles {
  const read = (name: string, path: string): Buffer => {
    let content: Buffer | undefined;
    try {
      content = tls.readFile?.(path);
    } catch (cause) {
      throw new CometError("COMETMQ_CONFIG", `${end}.${name}: ${path} can not be read.`, { cause });
    }
    if (content === undefined) throw new CometError("COMETMQ_CONFIG", `${end}.${name}: there is no file ${path}.`);
    return content;
  };
  const configured = hasCertificate(end, tls);
  const ca = withTrust && isSet(tls.trustCertPath) ? read("trustCertPath", tls.trustCertPath) : undefined;
  if (ca !== undefined) {
    // Node takes a file without a certificate for no roots at all and says nothing.
    usable(`${end}.trustCertPath: ${tls.trustCertPath} holds no certificate`, () => new X509Certificate(ca));
  }
  return {
    key: configured ? read("keyPath", tls.keyPath!) : undefined,
    cert: configured ? read("certPath", tls.certPath!) : undefined,
    ca,
  };
}

export function sameFiles(a: TlsFiles, b: TlsFiles): boolean {
  const same = (one: Buffer | undefined, other: Buffer | undefined) =>
    one === undefined || other === undefined ? one === other : one.equals(other);
  return same(a.key, b.key) && same(a.cert, b.cert) && same(a.ca, b.ca);
}

/** Throws COMETMQ_CONFIG when key, certificate and bounds do not work together. */
export function secureContextOptions(end: TlsEnd, tls: TlsOptions, files: TlsFiles): SecureContextOptions {
  // A second handshake within a connection is work for nothing, and could bring another certificate than was judged.
  const options: SecureContextOptions = {
    ...versions(tls.protocols),
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  };
  if (files.key !== undefined) options.key = files.key;
  if (files.cert !== undefined) options.cert = files.cert;
  if (files.ca !== undefined) options.ca = files.ca;
  if (files.key !== undefined && isSet(tls.keyPassword)) options.passphrase = tls.keyPassword;
  if (isSet(tls.ciphers)) options.ciphers = ciphers(tls.ciphers);
  usable(`${end}.keyPath and ${end}.certPath can not be used`, () => createSecureContext(options));
  return options;
}

function usable(problem: string, attempt: () => void): void {
  try {
    attempt();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CometError("COMETMQ_CONFIG", `${problem} (${reason}).`, { cause });
  }
}

/** Older versions than 1.2 are not spoken, whatever the options say. */
function versions(protocols: string | undefined): { minVersion: SecureVersion; maxVersion: SecureVersion } {
  const names = isSet(protocols) ? protocols.split(",").map((name) => name.trim()) : ["TLSv1.2", "TLSv1.3"];
  for (const name of names) {
    if (name === "TLSv1.2" || name === "TLSv1.3") continue;
    throw new CometError("COMETMQ_CONFIG", `tls.protocols=${protocols}: expected TLSv1.2, TLSv1.3 or both.`);
  }
  return {
    minVersion: names.includes("TLSv1.2") ? "TLSv1.2" : "TLSv1.3",
    maxVersion: names.includes("TLSv1.3") ? "TLSv1.3" : "TLSv1.2",
  };
}

function ciphers(list: string): string {
  const known = new Set(getCiphers());
  const names = list.split(",").map((name) => openSslName(name.trim()));
  const unknown = names.find((name) => !known.has(name.toLowerCase()));
  if (unknown !== undefined) throw new CometError("COMETMQ_CONFIG", `tls.ciphers: there is no cipher ${unknown}.`);
  return names.join(":");
}

/** `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is `ECDHE-RSA-AES128-GCM-SHA256`; suites of TLS 1.3 have one name. */
function openSslName(name: string): string {
  const [, exchange, cipher] = /^TLS_([A-Z_]+)_WITH_(\w+)$/.exec(name) ?? [];
  if (exchange === undefined || cipher === undefined) return name;
  const short = cipher
    .replace(/AES_(\d+)/, "AES$1")
    .replace("_CBC", "")
    .replace(/POLY1305_SHA256$/, "POLY1305");
  return `${exchange === "RSA" ? "" : `${exchange}-`}${short}`.replaceAll("_", "-");
}
