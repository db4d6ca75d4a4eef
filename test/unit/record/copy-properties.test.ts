/** Copying properties without some of them, as it is done for a record that goes on elsewhere. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeProperties, encodeProperties, PropertyScan } from "#src/record/properties.js";

const NAMES = ["A", "BB", "REAL_TOPIC", "CRC"];
const scan = new PropertyScan(NAMES);

function without(bytes: Buffer, indexes: readonly number[]): string {
  const before = Buffer.from("xx");
  const given = Buffer.concat([before, bytes, Buffer.from("yy")]);
  const view = new DataView(given.buffer, given.byteOffset, given.length);
  const end = before.length + bytes.length;
  scan.scanWords(given, view, before.length, end);
  const target = Buffer.alloc(bytes.length + 9, 0x7a);
  const to = scan.copyExcept(given, before.length, end, indexes, target, 5);
  expect(target.toString("latin1", to)).toBe("z".repeat(target.length - to));
  return target.toString("utf8", 5, to);
}

test("those that are not named stay as they are, in their order", () => {
  const name = fc.constantFrom(...NAMES, "C", "REAL_TOPICS", "ä");
  const value = fc
    .string({ minLength: 1, maxLength: 9 })
    .filter((text) => !text.includes("\u0001") && !text.includes("\u0002"));
  const pairs = fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 7 });
  const indexes = fc.uniqueArray(fc.nat(NAMES.length - 1));
  fc.assert(
    fc.property(pairs, indexes, fc.boolean(), (properties, dropped, isClosed) => {
      const encoded = encodeProperties(properties);
      const given = isClosed || encoded.length === 0 ? encoded : encoded.subarray(0, -1);
      const names = dropped.map((index) => NAMES[index]);
      const left = properties.filter(([key]) => !names.includes(key));
      expect(without(given, dropped)).toBe(encodeProperties(left).toString());
    }),
  );
});

test("pieces that are no properties go along", () => {
  expect(without(Buffer.from("A\u0001x\u0002alone\u0002BB\u0001y"), [0])).toBe("alone\u0002BB\u0001y\u0002");
  expect(without(Buffer.from("A\u0001x"), [0])).toBe("");
  expect([...decodeProperties(Buffer.from("alone\u0002BB\u0001y\u0002"), 0, 11)]).toEqual([["BB", "y"]]);
});
