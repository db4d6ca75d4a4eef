import { describe, expect, it } from "vitest";
import {
  isBlankUnit,
  isExtAddress,
  isTagsHash,
  tagsCodeOf,
  UNIT_BYTES,
  UnitBatch,
  unitCounts,
  writeUnit,
} from "#src/consumequeue/unit.js";

function unit(phyOffset: number, sizeBytes: number, tagsCode: number): DataView {
  const view = new DataView(new ArrayBuffer(UNIT_BYTES));
  writeUnit(view, 0, phyOffset, sizeBytes, tagsCode);
  return view;
}

describe("unit", () => {
  it("is written as Apache writes it", () => {
    const bytes = Buffer.from(unit(2 ** 40 + 5, 300, -2).buffer);
    expect(bytes.toString("hex")).toBe("0000010000000005" + "0000012c" + "fffffffffffffffe");
    expect(Buffer.from(unit(0, 2 ** 31 - 1, 0).buffer).toString("hex")).toBe(
      "00000000000000007fffffff0000000000000000",
    );
  });

  it("keeps tags codes exact: hashes, times and the edges of int32", () => {
    const batch = new UnitBatch(1);
    for (const code of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 1762255371552, -(2 ** 31) - 1, 2 ** 53 - 1]) {
      batch.count = 0;
      batch.take(unit(1, 1, code), 0, 1);
      expect(tagsCodeOf(batch.tagsCodeHigh[0]!, batch.tagsCodeLow[0]!)).toBe(code);
      expect(isTagsHash(batch.tagsCodeHigh[0]!, batch.tagsCodeLow[0]!, code)).toBe(code === (code | 0));
      expect(isExtAddress(batch.tagsCodeHigh[0]!, batch.tagsCodeLow[0]!)).toBe(code <= -(2 ** 31) - 1);
    }
    expect(isTagsHash(1, 7, 7)).toBe(false);
    expect(isExtAddress(-(2 ** 31), 20)).toBe(true);
  });

  it("counts with an offset of 0 or more and a size above 0", () => {
    expect(unitCounts(unit(0, 1, 0), 0)).toBe(true);
    expect(unitCounts(unit(0, 0, 0), 0)).toBe(false);
    expect(unitCounts(unit(-1, 1, 0), 0)).toBe(false);
    expect(unitCounts(unit(5, -1, 0), 0)).toBe(false);
    expect(isBlankUnit(unit(0, 2 ** 31 - 1, 0), 0)).toBe(true);
    expect(isBlankUnit(unit(2 ** 32, 2 ** 31 - 1, 0), 0)).toBe(false);
  });
});
