/**
 * Makes access control of the configuration: its tables, those who are to be in them from the start, and the accounts of
 * a plain_acl.yml. Nothing is written until `save`, for whoever opens first does not own the store yet.
 */
import { dirname, join } from "node:path";
import { type Clock, systemClock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import { type Logger, silentLogger } from "../../base/log.js";
import type { Disk } from "../../io/disk.js";
import type { ConfigReading } from "../broker/broker-config.js";
import type { BrokerConfig } from "../broker/broker-options.js";
import { JsonConfigFile, type LoadReport } from "../broker/json-config-file.js";
import { AccessControl, type AccessRules } from "./access-control.js";
import {
  authConfigDirectory,
  checkProviders,
  hasUsers,
  initialUser,
  innerClient,
  isAccessControlled,
  whitelist,
} from "./access-options.js";
import { AclTable, UserTable } from "./access-tables.js";
import { type PlainAcl, readPlainAcl } from "./plain-acl.js";
import { isEmptyAcl } from "./policy.js";
import type { Credentials } from "../../remoting/request-signer.js";
import { User } from "./user.js";

const OWNER_ONLY = 0o600;

export interface AccessOptions {
  readonly reading: Pick<ConfigReading, "config"> & Partial<ConfigReading>;
  /** Without one the tables live in memory only. */
  readonly disk?: Disk | undefined;
  readonly clock?: Clock | undefined;
  readonly log?: Logger | undefined;
}

/** What a server has of it. */
export interface Access {
  readonly control: AccessControl;
  /** False: there are users, and nobody is asked. */
  readonly enforced: boolean;
  /** Puts what the configuration added to the tables on the disk. */
  save(): Promise<void>;
  /** Saves what is not saved yet, for the last time. */
  close(): Promise<void>;
}

/** Undefined where the configuration knows no users. Throws COMETMQ_CONFIG. */
export function openAccess(options: AccessOptions): Access | undefined {
  const { reading, disk, clock = systemClock, log = silentLogger } = options;
  const { config } = reading;
  checkProviders(reading);
  if (!hasUsers(config)) return undefined;
  const fileNamed = (name: string) =>
    disk && new JsonConfigFile(disk, join(authConfigDirectory(config), name), OWNER_ONLY);
  const users = new UserTable({ clock, log, file: fileNamed("users.json") });
  const acls = new AclTable({ clock, log, file: fileNamed("acls.json") });
  for (const report of [users.load(), acls.load()]) if (report !== undefined) tell(log, report);
  for (const credentials of [initialUser(config), innerClient(config)]) addSuper(users, credentials);
  const plain = plainAclOf(reading, disk);
  if (plain !== undefined) takeAccounts(users, acls, plain, config.aclEnable);
  const control = new AccessControl(users, acls, rulesOf(config, plain), clock, log);
  const enforced = isAccessControlled(config);
  if (enforced && users.size === 0) log.warn({}, "access control is on and there is no user: nobody can come in");
  return {
    control,
    enforced,
    async save() {
      await Promise.all([users.saver.saveIfDirty(), acls.saver.saveIfDirty()]);
    },
    async close() {
      await Promise.all([users.saver.close(), acls.saver.close()]);
    },
  };
}

function tell(log: Logger, report: LoadReport): void {
  const fields = { ...report };
  if (report.outcome === "lost") log.error(fields, "users or policies can not be read: there are none");
  else if (report.outcome === "recovered") log.warn(fields, "users or policies were recovered from their backup");
  else if (report.problems.length > 0) log.warn(fields, "users or policies were left out");
}

/** As Apache has it: who is there already stays as he is. */
function addSuper(users: UserTable, credentials: Credentials | undefined): void {
  if (credentials === undefined || users.get(credentials.accessKey) !== undefined) return;
  users.set(new User(credentials.accessKey, credentials.secretKey, "Super"));
}

function rulesOf(config: BrokerConfig, plain: PlainAcl | undefined): AccessRules {
  const white = config.aclEnable ? plain : undefined;
  const accountWhite = (white?.accounts ?? []).flatMap(({ user, white }) =>
    white === undefined ? [] : [[user.username, white] as const],
  );
  return {
    clusterName: config.brokerClusterName,
    authenticationEnabled: isAccessControlled(config),
    authorizationEnabled: config.authorizationEnabled || config.aclEnable,
    authenticationWhitelist: whitelist(config.authenticationWhitelist),
    authorizationWhitelist: whitelist(config.authorizationWhitelist),
    globalWhite: white?.globalWhite ?? [],
    accountWhite: new Map(accountWhite),
  };
}

/** `plain_acl.yml` and what is in `acl`, beside the configuration file. */
function plainAclOf({ config, path }: AccessOptions["reading"], disk: Disk | undefined): PlainAcl | undefined {
  if (!config.aclEnable && !config.migrateAuthFromV1Enabled) return undefined;
  const folder = path === undefined ? authConfigDirectory(config) : dirname(path);
  const isYaml = (name: string) => /\.ya?ml$/.test(name) && name !== "tools.yml";
  const inFolder = disk?.isDirectory(join(folder, "acl")) ? disk.list(join(folder, "acl")).filter(isYaml).sort() : [];
  const paths = [...inFolder.map((name) => join(folder, "acl", name)), join(folder, "plain_acl.yml")];
  const files = paths.flatMap((file) => {
    const content = disk?.readFile(file);
    return content === undefined ? [] : [readPlainAcl(content, file)];
  });
  if (files.length === 0 && config.aclEnable) {
    throw new CometError("COMETMQ_CONFIG", `aclEnable=true: there is no plain_acl.yml in ${folder}.`);
  }
  return {
    accounts: files.flatMap(({ accounts }) => accounts),
    globalWhite: files.flatMap(({ globalWhite }) => globalWhite),
  };
}

/** The first account of a name counts. With `ruling` the file goes before the tables, else whoever is there stays. */
function takeAccounts(users: UserTable, acls: AclTable, { accounts }: PlainAcl, ruling: boolean): void {
  const taken = new Set<string>();
  for (const { user, acl } of accounts) {
    if (taken.has(user.username)) continue;
    taken.add(user.username);
    if (users.get(user.username) !== undefined && !ruling) continue;
    users.set(user);
    if (ruling || !isEmptyAcl(acl)) acls.set(user.username, acl);
  }
}
