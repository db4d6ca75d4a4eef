import { javaText } from "./java-text.js";

/** Java's `String.hashCode`: s[0]*31^(n-1) + … over UTF-16 units, in 32-bit arithmetic. */
export function javaHash(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash;
}

/**
 * `javaHash` of the UTF-8 text in `bytes[start, end)`. ASCII is hashed in place; anything else is decoded first, so the
 * answer is that of Java's decoder, malformed text included.
 */
export function javaHashUtf8(bytes: Buffer, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    if (byte > 127) return javaHash(javaText(bytes, start, end));
    hash = (Math.imul(hash, 31) + byte) | 0;
  }
  return hash;
}
