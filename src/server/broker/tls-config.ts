/**
 * From properties to the TLS of both ends. The names are those of Apache's tls.properties, and of the system properties
 * that Apache reads beside it; CometMQ takes all of them from either file, broker.conf or tls.properties.
 */
import { CometError } from "../../base/errors.js";
import type { TlsClientOptions, TlsServerOptions } from "../../remoting/tls-options.js";
import { type ConfigReading, readBrokerConfig } from "./broker-config.js";
import type { BrokerConfig } from "./broker-options.js";

/** Reads a PEM file; undefined when there is none. */
export interface FileSource {
  readFile(path: string): Buffer | undefined;
}

export function tlsServerOptions(config: BrokerConfig, files: FileSource): TlsServerOptions {
  return {
    mode: config["tls.server.mode"],
    testMode: config["tls.test.mode.enable"],
    keyPath: config["tls.server.keyPath"],
    keyPassword: config["tls.server.keyPassword"],
    certPath: config["tls.server.certPath"],
    trustCertPath: config["tls.server.trustCertPath"],
    needClientAuth: config["tls.server.need.client.auth"],
    authClient: config["tls.server.authClient"],
    ciphers: config["tls.ciphers"],
    protocols: config["tls.protocols"],
    readFile: (path) => files.readFile(path),
  };
}

/** For the connections to name servers: undefined for plain text, which is what Apache does unless its port is enforcing. */
export function tlsClientOptions(
  { config, given }: Pick<ConfigReading, "config"> & Partial<ConfigReading>,
  files: FileSource,
): TlsClientOptions | undefined {
  const told = given?.has("tls.enable") || given?.has("useTLS");
  const enabled = config["tls.enable"] || config.useTLS || (!told && config["tls.server.mode"] === "enforcing");
  if (!enabled) return undefined;
  return {
    keyPath: config["tls.client.keyPath"],
    keyPassword: config["tls.client.keyPassword"],
    certPath: config["tls.client.certPath"],
    trustCertPath: config["tls.client.trustCertPath"],
    authServer: config["tls.client.authServer"],
    ciphers: config["tls.ciphers"],
    protocols: config["tls.protocols"],
    readFile: (path) => files.readFile(path),
  };
}

/** Reads the text of a tls.properties. Throws COMETMQ_CONFIG, also for names that do not belong there. */
export function readTlsProperties(text: string): ConfigReading {
  const reading = readBrokerConfig(text);
  const { unknownNames, given } = reading;
  const stranger = unknownNames[0] ?? [...given].find((name) => !name.startsWith("tls."));
  if (stranger !== undefined) throw new CometError("COMETMQ_CONFIG", `${stranger} is no property of TLS.`);
  return reading;
}
