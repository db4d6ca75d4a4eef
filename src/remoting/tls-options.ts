/**
 * How TLS is set up at either end. What has a name in Apache's tls.properties has it in the comment
 * (remoting/netty/TlsSystemConfig.java). Nothing here loads node:tls: a process that never meets TLS never pays for it.
 */
import { CometError } from "../base/errors.js";
import type { OptionNames } from "../base/option-names.js";

/** Whether a listening port speaks plain text only, both, or TLS only (tls.server.mode). */
export type TlsMode = "disabled" | "permissive" | "enforcing";

/** PEM files and bounds, for either end. A path that is empty or left out is not set. */
export interface TlsOptions {
  /** tls.server.keyPath, tls.client.keyPath */
  readonly keyPath?: string | undefined;
  /** tls.server.keyPassword, tls.client.keyPassword */
  readonly keyPassword?: string | undefined;
  /** The certificate, then those that lead to its root (tls.server.certPath, tls.client.certPath). */
  readonly certPath?: string | undefined;
  /** Roots that the peer's certificate is judged by; the system's without (tls.server.trustCertPath, tls.client.…). */
  readonly trustCertPath?: string | undefined;
  /** Names between commas, Java's or OpenSSL's (tls.ciphers). */
  readonly ciphers?: string | undefined;
  /** `TLSv1.2`, `TLSv1.3` or both (tls.protocols). */
  readonly protocols?: string | undefined;
  /** Reads the files named above; undefined when there is none. */
  readonly readFile?: ((path: string) => Buffer | undefined) | undefined;
}

/** How a server speaks TLS. */
export interface TlsServerOptions extends TlsOptions {
  /** permissive by default. */
  readonly mode?: TlsMode | undefined;
  /** Asks clients for a certificate (tls.server.need.client.auth); none by default. */
  readonly needClientAuth?: "none" | "optional" | "require" | undefined;
  /** Takes only certificates that lead to a trusted root; without it any will do (tls.server.authClient). */
  readonly authClient?: boolean | undefined;
  /** Lets a loopback port without a certificate make its own (tls.test.mode.enable); true by default, as Apache's. */
  readonly testMode?: boolean | undefined;
  /** What is spoken after the handshake, for clients that ask (ALPN). */
  readonly alpnProtocols?: readonly string[] | undefined;
  /** 10 s for a whole handshake, Netty's. */
  readonly handshakeMsMax?: number | undefined;
  /** 1024 handshakes at a time; further TLS clients are closed at once. */
  readonly handshakesMax?: number | undefined;
}

/** How a client speaks TLS. */
export interface TlsClientOptions extends TlsOptions {
  /** Takes only a server whose certificate leads to a trusted root (tls.client.authServer); false by default, as Apache's. */
  readonly authServer?: boolean | undefined;
}

const TLS_OPTIONS: OptionNames<TlsOptions> = {
  keyPath: true,
  keyPassword: true,
  certPath: true,
  trustCertPath: true,
  ciphers: true,
  protocols: true,
  readFile: true,
};

export const TLS_SERVER_OPTIONS: OptionNames<TlsServerOptions> = {
  ...TLS_OPTIONS,
  mode: true,
  needClientAuth: true,
  authClient: true,
  testMode: true,
  alpnProtocols: true,
  handshakeMsMax: true,
  handshakesMax: true,
};

export const TLS_CLIENT_OPTIONS: OptionNames<TlsClientOptions> = { ...TLS_OPTIONS, authServer: true };

/** Which of the two option sets a sentence is about. */
export type TlsEnd = "tls.server" | "tls.client";

export function isSet(path: string | undefined): path is string {
  return path !== undefined && path !== "";
}

/** Whether a certificate is configured. Throws COMETMQ_CONFIG for half of one. */
export function hasCertificate(end: TlsEnd, tls: TlsOptions): boolean {
  if (isSet(tls.keyPath) === isSet(tls.certPath)) return isSet(tls.certPath);
  throw new CometError("COMETMQ_CONFIG", `${end}.keyPath and ${end}.certPath go together.`);
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^(::ffff:)?127\.\d+\.\d+\.\d+$/i.test(host);
}
