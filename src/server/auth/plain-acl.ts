/**
 * plain_acl.yml, in which 4.x keeps accounts and what they may do, read into today's users and policies
 * (auth/migration/AuthMigrator.java, migration/v1/PlainPermissionManager.java). Where a permission is none that 4.x knows,
 * it denies, as it did there.
 */
import { createRequire } from "node:module";
import { CometError } from "../../base/errors.js";
import { type HostPattern, hostPattern } from "./host-pattern.js";
import type { Acl, PolicyEntry } from "./policy.js";
import type { Action, Resource } from "./resource.js";
import { passwordProblem, User, usernameProblem } from "./user.js";

/** Loaded where there is such a file, which is seldom. */
const requireYaml = createRequire(import.meta.url);

const ACCOUNTS_MAX = 10_000;
const FILE_BYTES_MAX = 16_777_216;

export interface PlainAccount {
  readonly user: User;
  readonly acl: Acl;
  /** Requests that come from there are neither checked for a signature nor for permissions. */
  readonly white: HostPattern | undefined;
}

export interface PlainAcl {
  readonly accounts: readonly PlainAccount[];
  /** Hosts that are asked for nothing at all. */
  readonly globalWhite: readonly HostPattern[];
}

/** Throws COMETMQ_CONFIG that names the file and what is wrong, never a secret. */
export function readPlainAcl(content: Buffer, path: string): PlainAcl {
  const wrong = (what: string, cause?: unknown) => new CometError("COMETMQ_CONFIG", `${path}: ${what}.`, { cause });
  if (content.length > FILE_BYTES_MAX) throw wrong("it is too long");
  const { parse } = requireYaml("yaml") as typeof import("yaml");
  let file: unknown;
  try {
    // As Apache's beans take them, values are text: a password of digits keeps all of them. Warnings quote what they are about.
    const options = { schema: "failsafe", logLevel: "error", maxAliasCount: 100, prettyErrors: false } as const;
    file = parse(content.toString("utf8"), options);
  } catch {
    // What the parser says quotes the line, which may hold a secret.
    throw wrong("it is not YAML");
  }
  const root = isNothing(file) ? {} : file;
  if (!isRecord(root)) throw wrong("it is no map");
  const list = isNothing(root.accounts) ? [] : root.accounts;
  const addresses = isNothing(root.globalWhiteRemoteAddresses) ? [] : root.globalWhiteRemoteAddresses;
  if (!Array.isArray(list) || !Array.isArray(addresses))
    throw wrong("accounts or globalWhiteRemoteAddresses is no list");
  if (list.length > ACCOUNTS_MAX) throw wrong(`it has more than ${ACCOUNTS_MAX} accounts`);
  const accounts = list.map((account, index) => {
    try {
      return readAccount(account);
    } catch (error) {
      throw wrong(`account ${index + 1}: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
  const globalWhite = addresses.map((address) => {
    const pattern = hostPattern(String(address));
    if (pattern === undefined) throw wrong(`globalWhiteRemoteAddresses: ${String(address).slice(0, 80)} is no address`);
    return pattern;
  });
  return { accounts, globalWhite };
}

/** All scalars are text here, those that stand for nothing as well. */
function isNothing(value: unknown): boolean {
  return value === undefined || value === null || value === "" || value === "~" || value === "null";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readAccount(account: unknown): PlainAccount {
  if (!isRecord(account)) throw new Error("it is no map");
  const accessKey = scalar(account.accessKey);
  const secretKey = scalar(account.secretKey);
  const problem = usernameProblem(accessKey) ?? passwordProblem(secretKey);
  if (problem !== undefined) throw new Error(problem.replace("username", "accessKey").replace("password", "secretKey"));
  const address = scalar(account.whiteRemoteAddress).trim();
  const white = address === "" ? undefined : hostPattern(address);
  if (address !== "" && white === undefined) throw new Error("whiteRemoteAddress is no address");
  const isAdmin = /^(true|yes|on)$/i.test(scalar(account.admin));
  return { user: new User(accessKey, secretKey, isAdmin ? "Super" : "Normal"), acl: readPermissions(account), white };
}

function scalar(value: unknown): string {
  return typeof value === "string" && !isNothing(value) ? value : "";
}

function readPermissions(account: Record<string, unknown>): Acl {
  const Custom = [
    ...listed("topicPerms", account.topicPerms, "Topic"),
    ...listed("groupPerms", account.groupPerms, "Group"),
  ];
  const Default = [...byDefault(account.defaultTopicPerm, "Topic"), ...byDefault(account.defaultGroupPerm, "Group")];
  return { Custom, Default };
}

function listed(member: string, list: unknown, type: "Topic" | "Group"): PolicyEntry[] {
  if (isNothing(list)) return [];
  if (!Array.isArray(list)) throw new Error(`${member} is no list`);
  return list.map((line) => {
    const [name = "", permission, ...rest] = String(line).split("=");
    if (permission === undefined || rest.length > 0) throw new Error(`${member} holds what is no name=permission`);
    return entry({ type, pattern: "LITERAL", name: name.trim() }, permission);
  });
}

function byDefault(permission: unknown, type: "Topic" | "Group"): PolicyEntry[] {
  const text = scalar(permission);
  return text.trim() === "" ? [] : [entry({ type, pattern: "ANY", name: "" }, text)];
}

const PERMISSIONS: Readonly<Record<string, readonly Action[]>> = {
  PUB: ["Pub"],
  SUB: ["Sub"],
  "PUB|SUB": ["Pub", "Sub"],
  "SUB|PUB": ["Pub", "Sub"],
};

function entry(resource: Resource, permission: string): PolicyEntry {
  const key = permission.trim();
  const actions = Object.hasOwn(PERMISSIONS, key) ? PERMISSIONS[key] : undefined;
  return actions === undefined
    ? { resource, actions: ["All"], sourceIps: [], decision: "Deny" }
    : { resource, actions, sourceIps: [], decision: "Allow" };
}
