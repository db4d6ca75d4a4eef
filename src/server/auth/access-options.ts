/**
 * The part of the configuration that access control goes by (auth/config/AuthConfig.java), read once at the start, with
 * the credentials in it. Nothing here prints a value: what is wrong is told by the property's name.
 */
import { join } from "node:path";
import { CometError } from "../../base/errors.js";
import { parseFastjson, textIn } from "../../remoting/fastjson.js";
import type { ConfigReading } from "../broker/broker-config.js";
import type { BrokerConfig } from "../broker/broker-options.js";
import type { Credentials } from "../../remoting/request-signer.js";
import { passwordProblem, usernameProblem } from "./user.js";

/** Apache's own classes, by their last name; those of others can not be loaded. */
const PROVIDERS: Readonly<Record<string, RegExp>> = {
  authenticationProvider: /(^|\.)DefaultAuthenticationProvider$/,
  authorizationProvider: /(^|\.)DefaultAuthorizationProvider$/,
  authenticationStrategy: /(^|\.)State(less|ful)AuthenticationStrategy$/,
  authorizationStrategy: /(^|\.)State(less|ful)AuthorizationStrategy$/,
  authenticationMetadataProvider: /(^|\.)(Local|Proxy)AuthenticationMetadataProvider$/,
  authorizationMetadataProvider: /(^|\.)(Local|Proxy)AuthorizationMetadataProvider$/,
};

/** Whether anybody is asked who he is. */
export function isAccessControlled(config: BrokerConfig): boolean {
  return config.authenticationEnabled || config.authorizationEnabled || config.aclEnable;
}

/** Whether there are users at all, to be asked for or to be made ready. */
export function hasUsers(config: BrokerConfig): boolean {
  return isAccessControlled(config) || config.authenticationMetadataProvider !== "" || config.migrateAuthFromV1Enabled;
}

/** Throws COMETMQ_CONFIG for classes that CometMQ can not load. */
export function checkProviders({ config, inert }: Pick<ConfigReading, "config"> & Partial<ConfigReading>): void {
  for (const [name, known] of Object.entries(PROVIDERS)) {
    const given = (config as Readonly<Record<string, unknown>>)[name] ?? inert?.get(name) ?? "";
    const value = String(given).trim();
    if (value === "" || known.test(value)) continue;
    throw new CometError("COMETMQ_CONFIG", `${name}=${value.slice(0, 80)}: CometMQ has Apache's own one only.`);
  }
}

/** Where users.json and acls.json are. */
export function authConfigDirectory(config: BrokerConfig): string {
  return config.authConfigPath === "" ? join(config.storePathRootDir, "config") : config.authConfigPath;
}

/** initAuthenticationUser: a name and a password. Throws COMETMQ_CONFIG. */
export function initialUser(config: BrokerConfig): Credentials | undefined {
  return credentials("initAuthenticationUser", config.initAuthenticationUser, "username", "password");
}

/** innerClientAuthenticationCredentials: who this broker is to others. Throws COMETMQ_CONFIG. */
export function innerClient(config: BrokerConfig): Credentials | undefined {
  const name = "innerClientAuthenticationCredentials";
  return credentials(name, config.innerClientAuthenticationCredentials, "accessKey", "secretKey");
}

function credentials(option: string, text: string, nameMember: string, secretMember: string): Credentials | undefined {
  if (text.trim() === "") return undefined;
  const value = parseFastjson(text);
  const accessKey = textIn(value, nameMember) ?? "";
  const secretKey = textIn(value, secretMember) ?? "";
  if (usernameProblem(accessKey) === undefined && passwordProblem(secretKey) === undefined) {
    return { accessKey, secretKey };
  }
  throw new CometError("COMETMQ_CONFIG", `${option}: expected {"${nameMember}":"…","${secretMember}":"…"}.`);
}

/** Request codes in decimal, or full names of gRPC messages, between commas. */
export function whitelist(text: string): ReadonlySet<string> {
  return new Set(
    text
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== ""),
  );
}
