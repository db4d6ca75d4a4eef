import { expect, test } from "vitest";
import {
  CompressionType,
  clearCompressedFlag,
  compressionType,
  isCompressed,
  isQueued,
  TRANSACTION_COMMIT_TYPE,
  TRANSACTION_NOT_TYPE,
  TRANSACTION_PREPARED_TYPE,
  TRANSACTION_ROLLBACK_TYPE,
  transactionType,
  withCompression,
  withTransactionType,
} from "#src/record/sys-flag.js";

test("the three compression bits say the type; 0 is what old clients write for zlib", () => {
  const types = [0, 1, 2, 3, 4, 5, 6, 7].map((bits) => compressionType((bits << 8) | 0x8ff));
  expect(compressionType(0x1)).toBe(CompressionType.ZLIB);
  expect(types).toEqual([3, 1, 2, 3, undefined, undefined, undefined, undefined]);
});

test("a compression type replaces the one before and leaves the other bits", () => {
  expect(withCompression(0x710, CompressionType.LZ4)).toBe(0x111);
  expect(withCompression(0x2, CompressionType.ZSTD)).toBe(0x203);
  expect(clearCompressedFlag(0x203)).toBe(0x202);
  expect([isCompressed(0x203), isCompressed(0x202)]).toEqual([true, false]);
});

test("prepared and rolled back messages are in no queue", () => {
  expect(transactionType(0xff)).toBe(TRANSACTION_ROLLBACK_TYPE);
  expect(withTransactionType(0xff, TRANSACTION_PREPARED_TYPE)).toBe(0xf7);
  expect(
    [TRANSACTION_NOT_TYPE, TRANSACTION_PREPARED_TYPE, TRANSACTION_COMMIT_TYPE, TRANSACTION_ROLLBACK_TYPE].map((type) =>
      isQueued(type | 0xf3),
    ),
  ).toEqual([true, false, true, false]);
});
