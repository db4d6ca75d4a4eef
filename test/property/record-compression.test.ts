import fc from "fast-check";
import { expect, test } from "vitest";
import { lz4FrameBytes, zstdFrameBytesMax } from "#src/record/compressed-frame.js";
import { compressBody, decompressBody } from "#src/record/compression.js";
import { CompressionType, withCompression } from "#src/record/sys-flag.js";

/** From noise to long runs, so that all kinds of blocks and matches occur. */
const content = fc
  .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 400 })), { maxLength: 6 })
  .map((runs) => Buffer.concat(runs.map(([bytes, times]) => Buffer.concat(Array<Uint8Array>(times).fill(bytes)))));

test.each([
  ["ZLIB", CompressionType.ZLIB],
  ["LZ4", CompressionType.LZ4],
  ["ZSTD", CompressionType.ZSTD],
])("%s bodies come back, and not a byte more than allowed is given", async (_, type) => {
  await fc.assert(
    fc.asyncProperty(content, async (body) => {
      const compressed = await compressBody(body, type);
      const sysFlag = withCompression(0, type);
      expect((await decompressBody(compressed, sysFlag, body.length)).equals(body)).toBe(true);
      if (body.length < 2) return;
      await expect(decompressBody(compressed, sysFlag, body.length - 1)).rejects.toMatchObject({
        code: "COMETMQ_BAD_MESSAGE",
      });
    }),
  );
});

test("the size of an LZ4 frame is told without decoding it", async () => {
  await fc.assert(
    fc.asyncProperty(content, async (body) => {
      const frame = await compressBody(body, CompressionType.LZ4);
      expect(lz4FrameBytes(frame, Number.MAX_SAFE_INTEGER)).toBe(body.length);
      for (const cut of [1, 4, frame.length >> 1]) {
        expect(lz4FrameBytes(frame.subarray(0, frame.length - cut), Number.MAX_SAFE_INTEGER)).toBe(-1);
      }
    }),
  );
});

test("any bytes behind the magic are sized without reading past them", () => {
  const hostile = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(hostile, fc.constantFrom(0x184d2204, 0xfd2fb528), (bytes, magic) => {
      const frame = Buffer.concat([Buffer.alloc(4), bytes]);
      frame.writeUInt32LE(magic, 0);
      expect(lz4FrameBytes(frame, 2 ** 40)).toBeGreaterThanOrEqual(-1);
      expect(zstdFrameBytesMax(frame)).toBeGreaterThanOrEqual(-1);
    }),
    { numRuns: 2000 },
  );
});
