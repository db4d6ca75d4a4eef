/** Options that several verbs share, and what they make of a configuration. */
import { join } from "node:path";
import { InvalidArgumentError } from "commander";
import { CometError } from "../base/errors.js";
import { FileDisk } from "../io/file-disk.js";
import {
  BROKER_NAME,
  type ConfigReading,
  defaultBrokerConfig,
  readBrokerConfig,
} from "../server/broker/broker-config.js";
import type { BrokerConfig } from "../server/broker/broker-options.js";
import { readTlsProperties } from "../server/broker/tls-config.js";
import { printError } from "./output.js";

export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (port < 0 || port > 65535)
    throw new InvalidArgumentError("A port is a number from 0 to 65535; 0 takes a free one.");
  return port;
}

/** Everything of a broker that flags can set; flags win over the file. */
export interface BrokerFlags {
  readonly config?: string;
  readonly data?: string;
  readonly host?: string;
  readonly brokerPort?: number;
  readonly namesrv?: string;
  readonly tlsConfig?: string;
}

export const TLS_CONFIG_FLAG = "--tls-config <file>";
export const TLS_CONFIG_TEXT = "certificates and modes, with the names of Apache's tls.properties";

export function readConfigFile(path: string): string {
  const disk = new FileDisk("file");
  if (disk.isDirectory(path)) throw new CometError("COMETMQ_CONFIG", `${path} is a directory, not a file.`);
  const content = disk.readFile(path);
  if (content === undefined) throw new CometError("COMETMQ_CONFIG", `There is no file ${path}.`);
  return content.toString("utf8");
}

/** Where a broker without a file keeps the settings that administrators have changed. */
function keptConfigPath(storePathRootDir: string): string {
  return join(storePathRootDir, "config", "broker.conf");
}

function keptConfig(path: string): string {
  return new FileDisk("file").readFile(path)?.toString("utf8") ?? "";
}

export function brokerReading(flags: BrokerFlags): ConfigReading {
  const path = flags.config ?? keptConfigPath(flags.data ?? defaultBrokerConfig().storePathRootDir);
  const text = flags.config === undefined ? keptConfig(path) : readConfigFile(path);
  const reading: ConfigReading = { ...readBrokerConfig(text), path };
  for (const name of reading.unknownNames) printError(`cometmq: warning: ${path}: unknown property ${name}`);
  const config = reading.config as { -readonly [Name in keyof BrokerConfig]: BrokerConfig[Name] };
  if (!reading.given.has("brokerName")) config.brokerName = BROKER_NAME;
  if (flags.data !== undefined) config.storePathRootDir = flags.data;
  if (flags.host !== undefined) config.bindAddress = flags.host;
  if (flags.brokerPort !== undefined) config.listenPort = flags.brokerPort;
  if (flags.namesrv !== undefined) config.namesrvAddr = flags.namesrv;
  return flags.tlsConfig === undefined ? reading : withTls(reading, readTlsFile(flags.tlsConfig));
}

/** Of a name server alone: users and policies, which are kept where its other files are. */
export function namesrvReading(file: string | undefined, data: string | undefined): ConfigReading {
  const reading = readBrokerConfig(file === undefined ? "" : readConfigFile(file));
  for (const name of reading.unknownNames) printError(`cometmq: warning: ${file}: unknown property ${name}`);
  const config = reading.config as { -readonly [Name in keyof BrokerConfig]: BrokerConfig[Name] };
  if (data !== undefined && config.authConfigPath === "") config.authConfigPath = data;
  return file === undefined ? reading : { ...reading, path: file };
}

export function readTlsFile(path: string): ConfigReading {
  return readTlsProperties(readConfigFile(path));
}

function withTls(reading: ConfigReading, tls: ConfigReading): ConfigReading {
  const { config } = reading;
  for (const name of tls.given) Object.assign(config, { [name]: tls.config[name as keyof BrokerConfig] });
  return { ...reading, given: new Set([...reading.given, ...tls.given]) };
}
