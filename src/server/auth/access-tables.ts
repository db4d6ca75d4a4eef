/**
 * Users and their policies, with the two files they are kept in: `config/users.json` and `config/acls.json`, where Apache
 * has RocksDB folders (auth/authentication/provider/LocalAuthenticationMetadataProvider.java and its counterpart for
 * policies). Only their owner can read the files.
 *
 * A user's policies are taken as a whole or not at all: without the entry that denies, the others would allow too much.
 */
import type { Clock } from "../../base/clock.js";
import type { Logger } from "../../base/log.js";
import type { FastjsonMap } from "../../remoting/fastjson.js";
import { ConfigSaver } from "../broker/config-saver.js";
import { type JsonConfigFile, type LoadReport, savedTable } from "../broker/json-config-file.js";
import { asKey, asMap } from "../protocol/members.js";
import { type Acl, isEmptyAcl, policiesJson, readPolicies } from "./policy.js";
import { passwordProblem, readUserInfo, User, usernameProblem } from "./user.js";

/** With the policies of all, what a client can make the broker keep. */
export const USERS_MAX = 10_000;

interface TableOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Without one the table lives in memory only. */
  readonly file: JsonConfigFile | undefined;
}

export class UserTable {
  readonly saver: ConfigSaver;
  readonly #users = new Map<string, User>();
  readonly #file: JsonConfigFile | undefined;

  constructor({ clock, log, file }: TableOptions) {
    this.#file = file;
    this.saver = new ConfigSaver(file, () => this.#json(), clock, log);
  }

  load(): LoadReport | undefined {
    return loadEach(this.#file, "users", "the user", (username, map) => this.#take(username, map));
  }

  #take(username: string, map: FastjsonMap): void {
    const { password, userType, userStatus } = readUserInfo(map);
    const problem = usernameProblem(username) ?? passwordProblem(password);
    if (problem !== undefined) throw new Error(problem);
    if (userType === undefined || userStatus === undefined) throw new Error("userType or userStatus is missing");
    this.#users.set(username, new User(username, password, userType, userStatus));
  }

  get size(): number {
    return this.#users.size;
  }

  get(username: string): User | undefined {
    return this.#users.get(username);
  }

  set(user: User): void {
    this.#users.set(user.username, user);
    this.saver.markDirty();
  }

  delete(username: string): void {
    if (this.#users.delete(username)) this.saver.markDirty();
  }

  /** Those whose name contains `filter`. */
  list(filter: string): User[] {
    return [...this.#users.values()].filter(({ username }) => username.includes(filter));
  }

  #json() {
    const users = [...this.#users].map(([name, { password, userType, userStatus }]) => {
      return [name, { password, userType, userStatus }] as const;
    });
    return { users: new Map(users) };
  }
}

export class AclTable {
  readonly saver: ConfigSaver;
  readonly #acls = new Map<string, Acl>();
  readonly #file: JsonConfigFile | undefined;

  constructor({ clock, log, file }: TableOptions) {
    this.#file = file;
    this.saver = new ConfigSaver(file, () => this.#json(), clock, log);
  }

  load(): LoadReport | undefined {
    return loadEach(this.#file, "acls", "the policies of the user", (username, map) => {
      this.#acls.set(username, readPolicies(map));
    });
  }

  get(username: string): Acl | undefined {
    return this.#acls.get(username);
  }

  /** One without entries is none. */
  set(username: string, acl: Acl): void {
    if (isEmptyAcl(acl)) this.#acls.delete(username);
    else this.#acls.set(username, acl);
    this.saver.markDirty();
  }

  delete(username: string): void {
    if (this.#acls.delete(username)) this.saver.markDirty();
  }

  entries(): IterableIterator<[string, Acl]> {
    return this.#acls.entries();
  }

  #json() {
    return { acls: new Map([...this.#acls].map(([name, acl]) => [name, { policies: policiesJson(acl) ?? [] }])) };
  }
}

/** Takes what a file has of each user; what cannot be taken is left out by name. */
function loadEach(
  file: JsonConfigFile | undefined,
  member: string,
  what: string,
  take: (username: string, map: FastjsonMap) => void,
): LoadReport | undefined {
  return file?.load((content, omissions) => {
    for (const [key, value] of savedTable(content, member, omissions)) {
      let username = "without a name";
      try {
        username = asKey(key, member);
        take(username, asMap(value, member));
      } catch (error) {
        omissions.drop(`${what} ${username}`, error);
      }
    }
  });
}
