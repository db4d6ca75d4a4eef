/**
 * Malformed UTF-8 as Java reads it. The totals were taken from Java 17 (`new String(bytes, UTF_8).hashCode()`), over all
 * sequences of the bytes below, the first byte changing fastest.
 */
import { expect, test } from "vitest";
import { javaHash, javaHashUtf8 } from "#src/base/java-hash.js";
import { javaText } from "#src/base/java-text.js";
import { extendHash } from "#src/index/index-key.js";
import { decodeProperties } from "#src/record/properties.js";

const BYTES = Buffer.from("20417f808f909fa0afb0bfc0c1c2dfe0e1ecedeeeff0f1f3f4f5f7f8fbfcfeff", "hex");
const JAVA_OF_UP_TO_3 = -1407797625;

function hashOfAll(length: number, hash: number): number {
  let all = hash;
  const bytes = Buffer.alloc(length);
  for (let k = 0; k < BYTES.length ** length; k++) {
    for (let i = 0, rest = k; i < length; i++, rest = Math.floor(rest / BYTES.length)) {
      bytes[i] = BYTES[rest % BYTES.length]!;
    }
    all = (Math.imul(all, 31) + javaHashUtf8(bytes, 0, length)) | 0;
  }
  return all;
}

test("all short sequences hash as in Java", () => {
  expect([1, 2, 3].reduce((hash, length) => hashOfAll(length, hash), 0)).toBe(JAVA_OF_UP_TO_3);
});

test.each([
  ["a surrogate in three bytes", "6beda080", "k\ufffd"],
  ["the same, cut off", "6beda0", "k\ufffd"],
  ["the same, then a letter", "eda041", "\ufffdA"],
  ["a byte that begins nothing", "f541", "\ufffdA"],
  ["a form longer than need be", "e08080", "\ufffd\ufffd\ufffd"],
  ["two thirds of a character", "e28241", "\ufffdA"],
  ["a pair of surrogates by one sequence", "f09f9880", "\u{1f600}"],
  ["U+FFFD itself", "efbfbd", "\ufffd"],
])("%s", (_name, hex, text) => {
  const bytes = Buffer.from(`02${hex}01`, "hex");
  expect(javaText(bytes, 1, bytes.length - 1)).toBe(text);
  expect(javaHashUtf8(bytes, 1, bytes.length - 1)).toBe(javaHash(text));
  expect(extendHash(javaHash("T#"), bytes, 1, bytes.length - 1)).toBe(javaHash(`T#${text}`));
});

test("the properties of a record", () => {
  const bytes = Buffer.concat([Buffer.from("KEYS\u0001"), Buffer.from("eda08041", "hex"), Buffer.from("\u0002")]);
  expect(decodeProperties(bytes, 0, bytes.length).get("KEYS")).toBe("\ufffdA");
});
