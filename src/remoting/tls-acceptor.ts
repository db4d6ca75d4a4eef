/**
 * The TLS end of a listening port: takes accepted sockets and gives back those whose handshake is done and whose
 * certificate will do. Loaded when the first of them comes, or when a certificate is configured, whose files are looked
 * at twice a second, as Apache does (srvutil/FileWatchService.java).
 */
import type { Socket } from "node:net";
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from "node:tls";
import type { Clock, Timer } from "../base/clock.js";
import type { Logger } from "../base/log.js";
import { makeLoopbackCertificate } from "./tls-certificate.js";
import { readTlsFiles, sameFiles, secureContextOptions, type TlsFiles } from "./tls-context.js";
import { hasCertificate, type TlsServerOptions } from "./tls-options.js";

const RELOAD_MS = 500;

export interface TlsAcceptorOptions {
  readonly tls: TlsServerOptions;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onSecure: (socket: TLSSocket) => void;
  /** The socket is about to close, and was not given to `onSecure`. Not called for a client that just leaves. */
  readonly onFailure: (socket: TLSSocket, reason: string) => void;
}

interface OpenSslError extends Error {
  readonly code?: string;
  /** The short one of an error of OpenSSL's: `unsupported protocol`. */
  readonly reason?: string;
}

export class TlsAcceptor {
  readonly #options: TlsAcceptorOptions;
  readonly #server: Server;
  #files: TlsFiles | undefined;
  /** Changed files that cannot be used: what they hold, if they can be read, and whether the log has it. */
  #refused: { readonly files: TlsFiles | undefined; told: boolean } | undefined;
  #reload: Timer | undefined;

  /** Throws COMETMQ_CONFIG. */
  constructor(options: TlsAcceptorOptions) {
    this.#options = options;
    const { tls, clock } = options;
    let context: SecureContextOptions;
    if (hasCertificate("tls.server", tls)) {
      this.#files = this.#readFiles();
      context = secureContextOptions("tls.server", tls, this.#files);
      this.#scheduleReload();
    } else {
      const { key, cert } = makeLoopbackCertificate(clock.nowMs());
      const made = { key: Buffer.from(key), cert: Buffer.from(cert), ca: undefined };
      context = secureContextOptions("tls.server", { ...tls, keyPassword: undefined }, made);
    }
    // Certificates are judged below, where Apache's four combinations can be told apart, before a byte is handed on.
    const asking = { requestCert: this.#asksClients, rejectUnauthorized: false };
    const alpn = tls.alpnProtocols === undefined ? {} : { ALPNProtocols: [...tls.alpnProtocols] };
    this.#server = createServer({ ...context, ...asking, ...alpn });
    this.#server.on("secureConnection", (socket) => this.#secured(socket));
    this.#server.on("tlsClientError", (error: OpenSslError, socket) => {
      if (error.code !== "ECONNRESET") options.onFailure(socket, error.reason ?? error.message);
    });
  }

  /** Nobody reads `socket` any more, and its first bytes are unread. */
  accept(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  close(): void {
    this.#reload?.cancel();
  }

  get #asksClients(): boolean {
    const { needClientAuth = "none" } = this.#options.tls;
    return needClientAuth !== "none";
  }

  #readFiles(): TlsFiles {
    const { tls } = this.#options;
    return readTlsFiles("tls.server", tls, this.#asksClients && tls.authClient === true);
  }

  #secured(socket: TLSSocket): void {
    const reason = this.#objection(socket);
    if (reason === undefined) {
      this.#options.onSecure(socket);
      return;
    }
    this.#options.onFailure(socket, reason);
    socket.on("error", () => {});
    socket.destroy();
  }

  /** What is wrong with the client's certificate, if anything. */
  #objection(socket: TLSSocket): string | undefined {
    const { needClientAuth = "none", authClient = false } = this.#options.tls;
    if (needClientAuth === "none") return undefined;
    if (socket.getPeerX509Certificate() === undefined) {
      return needClientAuth === "require" ? "the client has no certificate" : undefined;
    }
    if (!authClient || socket.authorized) return undefined;
    return `the client's certificate is not trusted: ${socket.authorizationError}`;
  }

  #scheduleReload(): void {
    this.#reload = this.#options.clock.schedule(RELOAD_MS, () => {
      this.#reloadFiles();
      this.#scheduleReload();
    });
  }

  /**
   * New connections get the new certificate. Files that do not fit together are looked at again next time, and complained
   * about when they are the same then: who changes them writes one after the other.
   */
  #reloadFiles(): void {
    const { tls, log } = this.#options;
    let files: TlsFiles | undefined;
    try {
      files = this.#readFiles();
      if (sameFiles(files, this.#files!)) {
        this.#refused = undefined;
        return;
      }
      this.#server.setSecureContext(secureContextOptions("tls.server", tls, files));
      this.#files = files;
      this.#refused = undefined;
      log.info({ certPath: tls.certPath }, "the TLS certificate was read anew");
    } catch (err) {
      const refused = this.#refused;
      if (refused === undefined || !sameOutcome(files, refused.files)) {
        this.#refused = { files, told: false };
      } else if (!refused.told) {
        refused.told = true;
        log.warn({ err }, "changed TLS files can not be used; the certificate from before stays");
      }
    }
  }
}

function sameOutcome(a: TlsFiles | undefined, b: TlsFiles | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameFiles(a, b);
}
