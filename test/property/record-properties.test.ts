import fc from "fast-check";
import { expect, test } from "vitest";
import { javaHash } from "#src/base/java-hash.js";
import {
  asciiName,
  decodeProperties,
  encodeProperties,
  findProperty,
  formatProperties,
  PropertyScan,
  parseProperties,
  tagsHash,
  ValueRange,
} from "#src/record/properties.js";

const NAMES = ["a", "ab", "b", "TAGS", "KEYS", "T"];

/** Bytes in which separators and the names looked for are frequent, well formed or not, sometimes no UTF-8 at all. */
const soup = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom("\u0001", "\u0002").map((part) => Buffer.from(part)) },
      { weight: 3, arbitrary: fc.constantFrom(...NAMES).map((part) => Buffer.from(part)) },
      { weight: 2, arbitrary: fc.constantFrom(...NAMES).map((name) => Buffer.from(`${name}\u0001v${name}\u0002`)) },
      { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 5 }).map((part) => Buffer.from(part)) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 4 }).map((part) => Buffer.from(part)) },
    ),
    { maxLength: 20 },
  )
  .map((parts) => Buffer.concat(parts));

/** The bytes with others around them, so that a look outside the range shows. */
function embed(bytes: Buffer): { around: Buffer; start: number; end: number } {
  const before = Buffer.from("TAGS\u0001out");
  const after = Buffer.from("\u0001after\u0002TAGS\u0001out\u0002");
  return { around: Buffer.concat([before, bytes, after]), start: before.length, end: before.length + bytes.length };
}

test("names and values without separators survive", () => {
  const part = fc
    .string({ unit: "binary", minLength: 1, maxLength: 20 })
    .map((text) => text.replaceAll("\u0001", "-").replaceAll("\u0002", "-"));
  fc.assert(
    fc.property(fc.array(fc.tuple(part, part)), (pairs) => {
      const properties = new Map(pairs);
      expect(parseProperties(formatProperties(properties))).toEqual(properties);
      const bytes = encodeProperties(properties);
      expect(decodeProperties(bytes, 0, bytes.length)).toEqual(properties);
    }),
  );
});

test("the bytes are searched as the text is parsed, for any bytes", () => {
  const scan = new PropertyScan(NAMES);
  const words = new PropertyScan(NAMES);
  fc.assert(
    fc.property(soup, (bytes) => {
      const { around, start, end } = embed(bytes);
      const properties = decodeProperties(around, start, end);
      const range = new ValueRange();
      scan.scan(around, start, end);
      words.scanWords(around, new DataView(around.buffer, around.byteOffset, around.length), start, end);
      expect(words.starts).toEqual(scan.starts);
      for (const [index, name] of NAMES.entries()) {
        const expected = properties.get(name);
        expect(findProperty(around, start, end, asciiName(name), range)).toBe(expected !== undefined);
        expect(scan.has(index)).toBe(expected !== undefined);
        expect(scan.text(around, index)).toBe(expected);
        if (expected === undefined) continue;
        expect(around.toString("utf8", range.start, range.end)).toBe(expected);
        expect([scan.starts[index], scan.ends[index]]).toEqual([range.start, range.end]);
        expect(words.ends[index]).toBe(range.end);
        expect(range.start).toBeGreaterThanOrEqual(start);
        expect(range.end).toBeLessThanOrEqual(end);
      }
    }),
    { numRuns: 2000 },
  );
});

test("the tags hash is Java's of the parsed TAGS, 0 without", () => {
  fc.assert(
    fc.property(soup, (bytes) => {
      const { around, start, end } = embed(bytes);
      expect(tagsHash(around, start, end)).toBe(javaHash(decodeProperties(around, start, end).get("TAGS") ?? ""));
    }),
    { numRuns: 1000 },
  );
});

/** Reads properties as MessageDecoder.string2messageProperties is described: cut, judge the piece, last one wins. */
function model(text: string): Map<string, string> {
  const properties = new Map<string, string>();
  for (const piece of text.split("\u0002")) {
    const separator = piece.indexOf("\u0001");
    if (piece.length >= 3 && separator > 0 && separator < piece.length - 1) {
      properties.set(piece.slice(0, separator), piece.slice(separator + 1));
    }
  }
  return properties;
}

test("parsing agrees with the rule it follows, for any text", () => {
  fc.assert(
    fc.property(soup, (bytes) => {
      const text = bytes.toString("utf8");
      expect(parseProperties(text)).toEqual(model(text));
    }),
    { numRuns: 1000 },
  );
});
