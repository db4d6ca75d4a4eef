import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { lz4FrameBytes, zstdFrameBytesMax } from "#src/record/compressed-frame.js";
import { compressBody, decompressBody } from "#src/record/compression.js";
import { CompressionType } from "#src/record/sys-flag.js";

const BAD = { code: "COMETMQ_BAD_MESSAGE" };
const content = Buffer.from("CometMQ and RocketMQ read the same bytes. ".repeat(40));

/** Made by Apache's own compressors: 100 bytes that count 0 to 6 over and over. */
const APACHE_LZ4 = "04224d18607073110000007f0001020304050607004550040506000100000000";
const APACHE_ZSTD = "28b52ffd005875000038000102030405060100aaa91801";
const APACHE_CONTENT = Buffer.from(Array.from({ length: 100 }, (_, i) => i % 7));

describe("decompressBody", () => {
  test("refuses a compression type nobody defined", async () => {
    await expect(decompressBody(content, 0x401, 1000)).rejects.toMatchObject(BAD);
  });

  test("leaves an empty body as it is, whatever the type", async () => {
    for (const sysFlag of [0x1, 0x101, 0x201, 0x301]) {
      expect(await decompressBody(Buffer.alloc(0), sysFlag, 0)).toHaveLength(0);
    }
  });

  test("reads a frame of Apache's LZ4 compressor", async () => {
    expect(await decompressBody(Buffer.from(APACHE_LZ4, "hex"), 0x101, 100)).toEqual(APACHE_CONTENT);
  });

  test.each([0x101, 0x301])("refuses damaged and cut bodies of sysFlag %i", async (sysFlag) => {
    const body = await compressBody(content, sysFlag === 0x101 ? CompressionType.LZ4 : CompressionType.ZLIB);
    expect(await decompressBody(body, sysFlag, content.length)).toEqual(content);
    await expect(decompressBody(body.subarray(0, -1), sysFlag, 1e6)).rejects.toMatchObject(BAD);
    await expect(decompressBody(body.subarray(1), sysFlag, 1e6)).rejects.toMatchObject(BAD);
    await expect(decompressBody(content, sysFlag, 1e6)).rejects.toMatchObject(BAD);
  });

  test("refuses a body that grows past the limit", async () => {
    for (const [type, sysFlag] of [
      [CompressionType.LZ4, 0x101],
      [CompressionType.ZLIB, 0x301],
    ] as const) {
      const bomb = await compressBody(Buffer.alloc(20_000_000), type);
      expect(bomb.length).toBeLessThan(100_000);
      await expect(decompressBody(bomb, sysFlag, 100_000)).rejects.toMatchObject(BAD);
    }
  });
});

describe("ZSTD", () => {
  const SYS_FLAG = 0x201;

  test("reads frames of Apache's ZSTD compressor, which state no size", async () => {
    expect(await decompressBody(Buffer.from(APACHE_ZSTD, "hex"), SYS_FLAG, 100)).toEqual(APACHE_CONTENT);
    await expect(decompressBody(Buffer.from(APACHE_ZSTD, "hex"), SYS_FLAG, 99)).rejects.toMatchObject(BAD);
  });

  test("bodies come back, damaged and cut ones are refused", async () => {
    const body = await compressBody(content, CompressionType.ZSTD);
    expect(body.length).toBeLessThan(content.length / 10);
    expect(await decompressBody(body, SYS_FLAG, content.length)).toEqual(content);
    await expect(decompressBody(body, SYS_FLAG, content.length - 1)).rejects.toMatchObject(BAD);
    await expect(decompressBody(body.subarray(0, -1), SYS_FLAG, 1e6)).rejects.toMatchObject(BAD);
    await expect(decompressBody(body.subarray(1), SYS_FLAG, 1e6)).rejects.toMatchObject(BAD);
    await expect(decompressBody(content, SYS_FLAG, 1e6)).rejects.toMatchObject(BAD);
  });

  test("an empty body has a frame, too", async () => {
    const body = await compressBody(Buffer.alloc(0), CompressionType.ZSTD);
    expect(await decompressBody(body, SYS_FLAG, 0)).toHaveLength(0);
  });

  test("a body that grows past the limit is refused, with a stated size and without, and is given no room", async () => {
    const bomb = await compressBody(Buffer.alloc(20_000_000), CompressionType.ZSTD);
    expect(bomb.length).toBeLessThan(5000);
    const unstated = unstatedZstd(100 * 1024 * 1024);
    await compressBody(content, CompressionType.ZSTD);
    const before = process.memoryUsage().rss;
    await expect(decompressBody(bomb, SYS_FLAG, 100_000)).rejects.toMatchObject(BAD);
    await expect(decompressBody(unstated, SYS_FLAG, 100_000)).rejects.toMatchObject(BAD);
    expect(process.memoryUsage().rss - before).toBeLessThan(60_000_000);
    expect(await decompressBody(unstated, SYS_FLAG, 100 * 1024 * 1024)).toHaveLength(100 * 1024 * 1024);
  });

  test("a frame that states more than its blocks can hold is refused", async () => {
    // 2 GiB stated, three bytes there.
    const liar = Buffer.from("28b52ffda0ffffff7f190000414243", "hex");
    await expect(decompressBody(liar, SYS_FLAG, 2 ** 31)).rejects.toMatchObject(BAD);
  });
});

/** A frame of zeros: runs of a block each, without a content size. */
function unstatedZstd(contentBytes: number): Buffer {
  const block = 128 * 1024;
  const count = contentBytes / block;
  const frame = Buffer.alloc(6 + 4 * count);
  Buffer.from("28b52ffd0058", "hex").copy(frame);
  for (let i = 0; i < count; i++) frame.writeUIntLE((block << 3) | 2 | (i === count - 1 ? 1 : 0), 6 + 4 * i, 3);
  return frame;
}

describe("sizes told from the frame", () => {
  const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

  test("LZ4: what literals, matches and raw blocks come to", () => {
    expect(lz4FrameBytes(hex(APACHE_LZ4), 1e9)).toBe(100);
    expect(lz4FrameBytes(hex("04224d18 60 70 73 03000080 414243 00000000"), 1e9)).toBe(3);
    // A match of 4 + 15 + 255 + 255 + 0, then one literal.
    expect(lz4FrameBytes(hex("04224d18 60 70 73 09000000 1f41 0100 ffff00 1042 00000000"), 1e9)).toBe(1 + 529 + 1);
    expect(lz4FrameBytes(hex("04224d18 60 70 73 00000000"), 1e9)).toBe(0);
  });

  test("LZ4: a stated size beyond the limit is enough", () => {
    const stated = hex("04224d18 68 70 ffffffffff000000 00 00000000");
    expect(lz4FrameBytes(stated, 1000)).toBe(2 ** 40 - 1);
  });

  test("LZ4: what is no whole frame has no size", () => {
    expect(lz4FrameBytes(hex("04224d19 60 70 73 00000000"), 1e9)).toBe(-1);
    expect(lz4FrameBytes(hex("04224d18 60 70 73 00000000 00"), 1e9)).toBe(-1);
    expect(lz4FrameBytes(hex("04224d18 60 70 73 ffffff7f 41"), 1e9)).toBe(-1);
    expect(lz4FrameBytes(hex("04224d18 60 70 73 02000000 f041 00000000"), 1e9)).toBe(-1);
  });

  test("ZSTD: raw and run-length blocks count what they give, compressed ones 128 KiB", () => {
    // One raw block of 3 bytes; the same stated as a single segment.
    expect(zstdFrameBytesMax(hex("28b52ffd 00 58 190000 414243"))).toBe(3);
    expect(zstdFrameBytesMax(hex("28b52ffd 20 03 190000 414243"))).toBe(3);
    // A run of 100,000, then an empty last block, and a checksum.
    expect(zstdFrameBytesMax(hex("28b52ffd 04 58 02350c 41 010000 00000000"))).toBe(100_000);
    expect(zstdFrameBytesMax(hex("28b52ffd 00 58 150000 4142"))).toBe(128 * 1024);
    expect(zstdFrameBytesMax(hex("28b52ffd 00 58 170000 4142"))).toBe(-1);
    expect(zstdFrameBytesMax(hex("28b52ffd 00 58 190000 4142"))).toBe(-1);
    expect(zstdFrameBytesMax(hex("28b52ffd 00 58 180000 414243"))).toBe(-1);
  });
});

test("the codec of a type is loaded at its first use, not before", () => {
  const script = `
    const { createRequire } = await import("node:module");
    const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes("lz4-napi"));
    const { compressBody } = await import("#src/record/compression.js");
    const seen = [loaded()];
    await compressBody(Buffer.from("x"), 3);
    seen.push(loaded());
    await compressBody(Buffer.from("x"), 1);
    seen.push(loaded());
    process.stdout.write(seen.join());`;
  const root = new URL("../../..", import.meta.url);
  const output = execFileSync(process.execPath, ["--input-type=module", "--eval", script], { cwd: root });
  expect(output.toString()).toBe("false,false,true");
});
