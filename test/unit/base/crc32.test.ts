import { crc32 as zlibCrc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32 } from "#src/base/crc32.js";
import { loadOptional } from "#src/base/optional-package.js";

test("the CRC is zlib's, whichever implementation was found", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(64), (bytes, from) => {
      const part = bytes.subarray(Math.min(from, bytes.length));
      expect(crc32(part)).toBe(zlibCrc32(part));
    }),
  );
});

test("a package that is not there is no error", () => {
  expect(loadOptional("cometmq-has-no-such-package")).toBeUndefined();
});
