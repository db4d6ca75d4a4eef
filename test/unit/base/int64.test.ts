import fc from "fast-check";
import { expect, test } from "vitest";
import { readInt64, readInt64Bytes, writeInt64 } from "#src/base/int64.js";
import { loadPosition, SHARED_POSITION_WORDS, storePosition } from "#src/base/shared-position.js";

const safe = fc.oneof(
  fc.maxSafeInteger(),
  fc.constantFrom(0, -1, 1, 2 ** 32 - 1, 2 ** 32, -(2 ** 32), -(2 ** 31), 2 ** 53 - 1),
);

test("every safe integer survives eight bytes, and the bytes are those of a big-endian int64", () => {
  fc.assert(
    fc.property(safe, (value) => {
      const view = new DataView(new ArrayBuffer(8));
      writeInt64(view, 0, value);
      expect(view.getBigInt64(0)).toBe(BigInt(value));
      expect(readInt64(view, 0)).toBe(value);
      expect(readInt64Bytes(new Uint8Array(view.buffer), 0)).toBe(value);
    }),
  );
});

test("a shared position holds every offset, across carries of the low word in any order", () => {
  const words = new Int32Array(new SharedArrayBuffer(4 * (SHARED_POSITION_WORDS + 1)));
  fc.assert(
    fc.property(
      fc.array(
        fc.nat({ max: 2 ** 31 - 1 }).map((n) => n * 2 ** 21 + (n % 7)),
        { minLength: 1 },
      ),
      (values) => {
        for (const value of values) {
          storePosition(words, 1, value);
          expect(loadPosition(words, 1)).toBe(value);
        }
      },
    ),
  );
});
