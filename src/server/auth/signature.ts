/**
 * The signature of a request: HMAC-SHA1 with the user's password over the values of its ext fields in the order of their
 * names, then its body (acl/common/AclUtils.java#combineRequestContent, AclSigner.java). Over gRPC it is made of the date
 * alone (DefaultAuthenticationContextBuilder.java).
 */
import { createHmac, type KeyObject, timingSafeEqual } from "node:crypto";
import type { HeaderView } from "../../remoting/header-view.js";
import { versionOrdinal } from "../../remoting/mq-version.js";
import { SIGNATURE } from "../../remoting/request-signer.js";
import type { Request } from "../../remoting/types.js";

/** 4.x clients add this field after they have signed. */
const UNIQUE_MSG_QUERY_FLAG = "_UNIQUE_KEY_QUERY";
const V4_9_3 = versionOrdinal("V4_9_3")!;

/** The signature in Base64, as it stands in the header. */
export function signatureOf(request: Request, key: KeyObject): string {
  const { header, bytes, bodyStart, bodyEnd } = request;
  const hmac = createHmac("sha1", key).update(signedText(header), "utf8");
  if (bodyEnd > bodyStart) hmac.update(bytes.subarray(bodyStart, bodyEnd));
  return hmac.digest("base64");
}

/** By the UTF-16 units of the names, as Java sorts them. The last of equal names counts. */
function signedText(header: HeaderView): string {
  const values = header.fields();
  values.delete(SIGNATURE);
  if (header.version <= V4_9_3) values.delete(UNIQUE_MSG_QUERY_FLAG);
  let text = "";
  for (const name of [...values.keys()].sort()) text += values.get(name)!;
  return text;
}

/** In a time that does not tell how far they agree. */
export function sameSignature(expected: string, given: string): boolean {
  const a = Buffer.from(expected, "utf8");
  const b = Buffer.from(given, "utf8");
  return a.length === b.length && timingSafeEqual(a, b);
}

/** `x-mq-date-time` signed, in hexadecimal, as clients of gRPC send it. */
export function dateSignature(dateTime: string, key: KeyObject): string {
  return createHmac("sha1", key).update(dateTime, "utf8").digest("hex");
}
