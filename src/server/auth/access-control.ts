/**
 * Who may do what: says of each request whether it is let in (auth/authentication/chain/DefaultAuthenticationHandler.java,
 * auth/authorization/chain/UserAuthorizationHandler.java). Every request is verified, also after the first of a connection:
 * Apache's "stateful" strategy, which is not, takes one white-listed request for a password.
 *
 * A stranger is not told whether a user exists; the log is.
 */
import { createSecretKey } from "node:crypto";
import { randomBytes } from "node:crypto";
import type { Clock } from "../../base/clock.js";
import { CometError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { hostOf } from "../../remoting/address-range.js";
import { requestCodeName } from "../../remoting/codes.js";
import type { Connection, Request } from "../../remoting/types.js";
import type { AclTable, UserTable } from "./access-tables.js";
import type { HostPattern } from "./host-pattern.js";
import { type Need, NO_POLICIES, objection } from "./policy.js";
import { RefusalLog } from "./refusal-log.js";
import { needsOf } from "./request-needs.js";
import { ACCESS_KEY, SIGNATURE } from "../../remoting/request-signer.js";
import { sameSignature, signatureOf } from "./signature.js";
import type { User } from "./user.js";

const NAME_CHARS_MAX = 255;
const NOT_VERIFIED = "check signature failed.";

export interface AccessRules {
  readonly clusterName: string;
  readonly authenticationEnabled: boolean;
  readonly authorizationEnabled: boolean;
  /** Request codes, or names of gRPC messages. */
  readonly authenticationWhitelist: ReadonlySet<string>;
  readonly authorizationWhitelist: ReadonlySet<string>;
  /** Of plain_acl.yml, as long as it rules (aclEnable). */
  readonly globalWhite: readonly HostPattern[];
  readonly accountWhite: ReadonlyMap<string, HostPattern>;
}

/** Thrown to whoever is refused; the message is for them. */
export class AccessDenied extends Error {
  override readonly name = "AccessDenied";
}

/** Who signed a request, and how it can be found out. */
export interface Claim {
  /** Empty where the request names nobody. */
  readonly username: string;
  /** Undefined where there is none. */
  readonly signature: string | undefined;
  /** What it should be. */
  readonly expected: (user: Pick<User, "key">) => string;
}

export class AccessControl {
  readonly users: UserTable;
  readonly acls: AclTable;
  readonly rules: AccessRules;
  readonly #refusals: RefusalLog;
  /** Stands in for the key of a user who does not exist, so that the answer takes as long. */
  readonly #nobody = { key: createSecretKey(randomBytes(20)) };

  constructor(users: UserTable, acls: AclTable, rules: AccessRules, clock: Clock, log: Logger) {
    this.users = users;
    this.acls = acls;
    this.rules = rules;
    this.#refusals = new RefusalLog(clock, log);
  }

  /** Undefined when the request is let in, else what its sender is told. `asked` is what is found out only later. */
  refusalOf(
    request: Request,
    connection: Connection,
    asked: () => readonly Need[] = () => needsOf(request, this.rules.clusterName),
  ): string | undefined {
    const host = hostOf(connection.remoteAddress);
    try {
      this.admit(String(request.header.code), claimOf(request), host, asked);
      return undefined;
    } catch (error) {
      if (error instanceof AccessDenied) return this.#told(request.header.code, host, error);
      if (!(error instanceof CometError)) throw error;
      return this.#told(request.header.code, host, new AccessDenied("parse authorization context error."));
    }
  }

  #told(code: number, host: string, error: AccessDenied): string {
    this.#refusals.add(requestCodeName(code), host, String(error.cause ?? error.message));
    return error.message;
  }

  /** The same for a call that is no Remoting request. Throws AccessDenied. */
  admit(rpcCode: string, claim: Claim, host: string, asked: () => readonly Need[]): void {
    const { rules } = this;
    if (rules.globalWhite.some((white) => white(host))) return;
    if (rules.accountWhite.get(claim.username)?.(host) === true && this.users.get(claim.username) !== undefined) return;
    let user: User | undefined;
    if (!rules.authenticationWhitelist.has(rpcCode)) user = this.verified(claim);
    if (!rules.authorizationEnabled || rules.authorizationWhitelist.has(rpcCode)) return;
    user ??= this.verified(claim);
    if (user.isSuper) return;
    const acl = this.acls.get(user.username) ?? NO_POLICIES;
    for (const need of asked()) {
      const why = objection(acl, need, host);
      if (why === undefined) continue;
      const what = `${need.type}:${shorten(need.name)}`;
      throw new AccessDenied(`User:${user.username} has no permission to access ${what} from ${host}, ${why}`);
    }
  }

  /** Notes a refusal of a call that is no Remoting request. */
  noteRefusal(rpcName: string, host: string, error: AccessDenied): void {
    this.#refusals.add(rpcName, host, String(error.cause ?? error.message));
  }

  /** The user who signed. Throws AccessDenied. */
  verified(claim: Claim): User {
    const { username, signature } = claim;
    if (username === "") throw new AccessDenied("username cannot be null.");
    const user = username.length > NAME_CHARS_MAX ? undefined : this.users.get(username);
    const matches = sameSignature(claim.expected(user ?? this.#nobody), signature ?? "");
    if (user === undefined) throw new AccessDenied(NOT_VERIFIED, { cause: `there is no user ${shorten(username)}` });
    if (!matches) throw new AccessDenied(NOT_VERIFIED, { cause: `the signature is not that of ${username}` });
    if (user.userStatus === "disable") throw new AccessDenied(`User:${username} is disabled.`);
    return user;
  }

  /** Who signed `request`, if that can be told; also for requests that need not be signed. */
  signerOf(request: Request): User | undefined {
    try {
      return this.verified(claimOf(request));
    } catch (error) {
      if (error instanceof AccessDenied) return undefined;
      throw error;
    }
  }
}

function claimOf(request: Request): Claim {
  const { header } = request;
  return {
    username: header.text(ACCESS_KEY) ?? "",
    signature: header.text(SIGNATURE),
    expected: ({ key }) => signatureOf(request, key),
  };
}

function shorten(text: string): string {
  return text.length > NAME_CHARS_MAX ? `${text.slice(0, NAME_CHARS_MAX)}…` : text;
}
