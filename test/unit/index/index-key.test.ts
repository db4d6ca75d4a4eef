import fc from "fast-check";
import { expect, test } from "vitest";
import { javaHash } from "#src/base/java-hash.js";
import { extendHash, extendHashSign, extendTagSign, indexKeyHash, storedHash } from "#src/index/index-key.js";

test("a hash carried on over the parts is that of the whole key", () => {
  const text = fc.oneof(fc.string({ unit: "grapheme" }), fc.string());
  fc.assert(
    fc.property(text, text, (topic, key) => {
      const bytes = Buffer.from(`|${topic}|${key}|`);
      const topicEnd = 1 + Buffer.byteLength(topic);
      const topicHash = extendHashSign(extendHash(0, bytes, 1, topicEnd));
      const keyEnd = bytes.length - 1;
      expect(topicHash).toBe(javaHash(`${topic}#`));
      expect(storedHash(extendHash(topicHash, bytes, topicEnd + 1, keyEnd))).toBe(indexKeyHash(topic, key, "K"));
      const tagHash = extendHash(extendTagSign(topicHash), bytes, topicEnd + 1, keyEnd);
      expect(storedHash(tagHash)).toBe(indexKeyHash(topic, key, "T"));
    }),
  );
});

test("hashes are those of Java", () => {
  // Printed by Java: "hello#world".hashCode(), and that of a key with an umlaut and a surrogate pair.
  expect(javaHash("hello#world")).toBe(1879993505);
  expect(indexKeyHash("hello", "world", "U")).toBe(1879993505);
  expect(indexKeyHash("Thema", "Schlüssel😀", "K")).toBe(775599404);
  expect(indexKeyHash("AaAa", "x", "K")).toBe(indexKeyHash("BBBB", "x", "K"));
  expect(indexKeyHash("a", "T#b", "K")).toBe(indexKeyHash("a", "b", "T"));
});

test("a hash without an absolute value is stored as 0", () => {
  expect(storedHash(-(2 ** 31))).toBe(0);
  expect(storedHash(-1)).toBe(1);
  expect(storedHash(-(2 ** 31) + 1)).toBe(2 ** 31 - 1);
  expect(storedHash(2 ** 31 - 1)).toBe(2 ** 31 - 1);
  expect(storedHash(0)).toBe(0);
});
