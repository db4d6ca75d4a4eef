/**
 * Hashes of index keys: |Java hashCode| of `topic#key`, or of `topic#T#tags` for a tag. The key itself is not stored, so
 * different keys with one hash are told apart only by looking at the messages (store/index/IndexFile#indexKeyHashMethod).
 *
 * hashCode runs from left to right, so a hash is carried on over the parts and no string is made of them.
 */
import { javaHash } from "../base/java-hash.js";
import { javaText } from "../base/java-text.js";

/** What a look-up asks for: a unique key, one of KEYS, or the tags. U and K are the same to the index. */
export type IndexKind = "U" | "K" | "T";

const HASH_SIGN = 0x23;
const LETTER_T = 0x54;

/**
 * Carries `hash` on over the UTF-8 text in `bytes[start, end)`. ASCII is hashed in place; anything else is decoded, for
 * hashCode is about UTF-16 units. Both ends must lie beside ASCII bytes, as they do between separators.
 */
export function extendHash(hash: number, bytes: Buffer, start: number, end: number): number {
  let extended = hash;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    if (byte > 127) return extendHashText(hash, javaText(bytes, start, end));
    extended = (Math.imul(extended, 31) + byte) | 0;
  }
  return extended;
}

function extendHashText(hash: number, text: string): number {
  let extended = hash;
  for (let i = 0; i < text.length; i++) extended = (Math.imul(extended, 31) + text.charCodeAt(i)) | 0;
  return extended;
}

/** Carries `hash` on over `#`. */
export function extendHashSign(hash: number): number {
  return (Math.imul(hash, 31) + HASH_SIGN) | 0;
}

/** Carries `hash` on over `T#`. */
export function extendTagSign(hash: number): number {
  return extendHashSign((Math.imul(hash, 31) + LETTER_T) | 0);
}

/** The hash as it is stored: never negative; -2^31, which has no absolute value, becomes 0. */
export function storedHash(hash: number): number {
  return hash >= 0 ? hash : -hash & 0x7fffffff;
}

export function indexKeyHash(topic: string, key: string, kind: IndexKind): number {
  return storedHash(javaHash(kind === "T" ? `${topic}#T#${key}` : `${topic}#${key}`));
}
