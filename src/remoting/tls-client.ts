/** The calling end of TLS. Loaded by those who use it only. */
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { readTlsFiles, secureContextOptions } from "./tls-context.js";
import { isSet, type TlsClientOptions } from "./tls-options.js";

/** A socket that emits `secureConnect` once the server is known. Throws COMETMQ_CONFIG. */
export function connectTls(host: string, port: number, tls: TlsClientOptions): TLSSocket {
  const socket = connect(connectionOptions(host, port, tls));
  socket.setNoDelay(true);
  return socket;
}

/**
 * The files are read anew each time.
 *
 * With `authServer` the certificate must lead to a trusted root. It must be for the host's name only where those are the
 * system's roots: Apache never asks, for a root of one's own vouches for one's own servers, and theirs vouch for anyone.
 */
export function connectionOptions(host: string, port: number, tls: TlsClientOptions): ConnectionOptions {
  const { authServer = false } = tls;
  const files = readTlsFiles("tls.client", tls, authServer);
  const options: ConnectionOptions = {
    ...secureContextOptions("tls.client", tls, files),
    host,
    port,
    rejectUnauthorized: authServer,
  };
  if (isSet(tls.trustCertPath)) options.checkServerIdentity = () => undefined;
  return options;
}
