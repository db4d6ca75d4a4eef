/**
 * Who sends a request, in its fields (acl/common/AclClientRPCHook.java): the access key, and an HMAC-SHA1 with the secret
 * key over the values of all fields in the order of their names, then the body (AclUtils.java#combineRequestContent).
 */
import { createHmac, createSecretKey } from "node:crypto";
import type { Fields } from "./types.js";

export const ACCESS_KEY = "AccessKey";
export const SECURITY_TOKEN = "SecurityToken";
export const SIGNATURE = "Signature";

/** A user of servers with access control: what signs its requests. The secret key itself is never sent. */
export interface Credentials {
  /** The user's name. */
  readonly accessKey: string;
  /** The user's password. */
  readonly secretKey: string;
  /** Of keys that are lent for a time; signed along with the rest. */
  readonly securityToken?: string | undefined;
}

export type RequestSigner = (fields: Fields, body?: Uint8Array) => Fields;

/** Gives fields their sender and signature. `more` is sent and signed with every request. */
export function requestSigner({ accessKey, secretKey, securityToken }: Credentials, more: Fields = {}): RequestSigner {
  const key = createSecretKey(Buffer.from(secretKey, "utf8"));
  return (fields, body) => {
    const all: Record<string, string> = Object.create(null);
    for (const [name, value] of [...Object.entries(fields), ...Object.entries(more)])
      if (value !== undefined) all[name] = String(value);
    all[ACCESS_KEY] = accessKey;
    if (securityToken !== undefined) all[SECURITY_TOKEN] = securityToken;
    let text = "";
    for (const name of Object.keys(all).sort()) text += all[name]!;
    const hmac = createHmac("sha1", key).update(text, "utf8");
    if (body !== undefined) hmac.update(body);
    all[SIGNATURE] = hmac.digest("base64");
    return all;
  };
}
