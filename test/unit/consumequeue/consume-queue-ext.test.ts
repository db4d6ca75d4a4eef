import { describe, expect, it } from "vitest";
import { ConsumeQueueExt, emptyExtUnit, extPosition } from "#src/consumequeue/consume-queue-ext.js";
import { FileCache } from "#src/consumequeue/file-cache.js";
import { MemoryDisk } from "#src/io/memory-disk.js";

const HIGH = -(2 ** 31);

function ext(content: Buffer): ConsumeQueueExt {
  const disk = new MemoryDisk();
  disk.writeAtomically("/e/00000000000000000064", content);
  return new ConsumeQueueExt(new FileCache(disk, 2), "/e", 64);
}

function unit(size: number, bitmapLength: number, bitmap = ""): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeInt16BE(size, 0);
  bytes.writeBigInt64BE(-5n, 2);
  bytes.writeBigInt64BE(1762507040971n, 10);
  bytes.writeInt16BE(bitmapLength, 18);
  bytes.write(bitmap, 20, "hex");
  return bytes;
}

describe("extended queue", () => {
  it("finds a unit by its address", () => {
    const into = emptyExtUnit();
    expect(ext(unit(24, 4, "01020304")).get(HIGH, 64, into)).toBe(true);
    expect(into).toEqual({
      sizeBytes: 24,
      tagsCodeHigh: -1,
      tagsCodeLow: -5,
      storeTimestamp: 1762507040971,
      bitmap: Buffer.from("01020304", "hex"),
    });
    expect(ext(unit(20, 0)).get(HIGH, 64, into)).toBe(true);
    expect(into.bitmap).toBeUndefined();
    expect(extPosition(HIGH + 1, -1)).toBe(2 ** 32 + 2 ** 32 - 1);
  });

  it("is false for tags codes that are none, and for what does not fit", () => {
    const into = emptyExtUnit();
    expect(ext(unit(20, 0)).get(0, 64, into)).toBe(false);
    expect(ext(unit(20, 0)).get(-1, -5, into)).toBe(false);
    expect(ext(unit(20, 0)).get(HIGH, 0, into)).toBe(false);
    expect(ext(unit(20, 0)).get(HIGH, 64 + 50, into)).toBe(false);
    expect(ext(unit(20, 0)).get(-2, 0, into)).toBe(false);
    expect(ext(unit(-1, 0)).get(HIGH, 64, into)).toBe(false);
    expect(ext(unit(0, 0)).get(HIGH, 64, into)).toBe(false);
    expect(ext(unit(24, 5)).get(HIGH, 64, into)).toBe(false);
    expect(ext(unit(32767, 32747)).get(HIGH, 64, into)).toBe(false);
  });
});
