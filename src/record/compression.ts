/**
 * Compressed bodies (common/compression): ZLIB with a zlib header, LZ4 and ZSTD as frames, the type in the sysFlag. Only
 * clients and tools need this, the broker hands bodies on as they are; so the codecs are loaded at first use, and who
 * embeds the store never loads them.
 *
 * ZSTD is Node's own where it has one (22.15 and later), else that of WebAssembly.
 */
import { CometError } from "../base/errors.js";
import { lz4FrameBytes, zstdContentBytes, zstdFrameBytesMax } from "./compressed-frame.js";
import { CompressionType, compressionType } from "./sys-flag.js";

/** Apache's default of `compressLevel`; LZ4 has none. */
const DEFAULT_LEVEL = 5;

interface Codec {
  compress(body: Uint8Array, level: number): Promise<Buffer>;
  /** Rejects, or resolves to more than `bytesMax`, where the content is larger. */
  decompress(body: Uint8Array, bytesMax: number): Promise<Buffer>;
}

const codecs = new Map<CompressionType, Promise<Codec>>();

/** Compresses a body; the message then gets `withCompression(sysFlag, type)`. COMETMQ_CODEC_MISSING where it cannot. */
export async function compressBody(body: Uint8Array, type: CompressionType, level = DEFAULT_LEVEL): Promise<Buffer> {
  const codec = await codecFor(type);
  return codec.compress(body, level);
}

/**
 * The content of a compressed body, at most `bytesMax` bytes. `sysFlag` gives the type; whether COMPRESSED_FLAG is set is
 * the caller's to look at. COMETMQ_BAD_MESSAGE when the body is damaged, larger, or of an unknown type;
 * COMETMQ_CODEC_MISSING where the type cannot be read here.
 */
export async function decompressBody(body: Buffer, sysFlag: number, bytesMax: number): Promise<Buffer> {
  const type = compressionType(sysFlag);
  if (type === undefined) throw new CometError("COMETMQ_BAD_MESSAGE", "The body is compressed in an unknown way.");
  if (body.length === 0) return body;
  const codec = await codecFor(type);
  let content: Buffer;
  try {
    content = await codec.decompress(body, bytesMax);
  } catch (error) {
    if (error instanceof CometError) throw error;
    throw new CometError("COMETMQ_BAD_MESSAGE", `The body does not decompress to ${bytesMax} bytes or less.`, {
      cause: error,
    });
  }
  if (content.length > bytesMax) throw tooLarge(bytesMax);
  return content;
}

function codecFor(type: CompressionType): Promise<Codec> {
  let codec = codecs.get(type);
  if (codec === undefined) {
    codec = type === CompressionType.ZLIB ? loadZlib() : type === CompressionType.LZ4 ? loadLz4() : loadZstd();
    codecs.set(type, codec);
    // What is missing now may be there at the next try.
    codec.catch(() => codecs.delete(type));
  }
  return codec;
}

async function loadZlib(): Promise<Codec> {
  const [{ promisify }, { deflate, inflate }] = await Promise.all([import("node:util"), import("node:zlib")]);
  const deflateAsync = promisify<Uint8Array, { level: number }, Buffer>(deflate);
  const inflateAsync = promisify<Uint8Array, { maxOutputLength: number }, Buffer>(inflate);
  return {
    compress: (body, level) => deflateAsync(body, { level }),
    decompress: (body, bytesMax) => inflateAsync(body, { maxOutputLength: Math.max(bytesMax, 1) }),
  };
}

async function loadLz4(): Promise<Codec> {
  const { compressFrame, decompressFrame } = await import("lz4-napi").catch((cause: unknown) => {
    throw missing("LZ4", "lz4-napi", cause);
  });
  return {
    compress: (body) => compressFrame(body),
    async decompress(body, bytesMax) {
      const bytes = lz4FrameBytes(asBuffer(body), bytesMax);
      if (bytes < 0) throw new CometError("COMETMQ_BAD_MESSAGE", "The body is not a whole LZ4 frame.");
      if (bytes > bytesMax) throw tooLarge(bytesMax);
      return decompressFrame(body);
    },
  };
}

type ZstdCall = (body: Uint8Array, options: object, callback: (error: Error | null, result: Buffer) => void) => void;

/** What newer Nodes have and the type declarations of the oldest supported one lack. */
interface NodeZstd {
  readonly zstdCompress?: ZstdCall;
  readonly zstdDecompress?: ZstdCall;
  readonly constants: { readonly ZSTD_c_compressionLevel?: number };
}

async function loadZstd(): Promise<Codec> {
  const [{ promisify }, zlib] = await Promise.all([import("node:util"), import("node:zlib")]);
  const { zstdCompress, zstdDecompress, constants } = zlib as unknown as NodeZstd;
  if (zstdCompress === undefined || zstdDecompress === undefined) return loadWasmZstd();
  const compressAsync = promisify<Uint8Array, object, Buffer>(zstdCompress);
  const decompressAsync = promisify<Uint8Array, object, Buffer>(zstdDecompress);
  return {
    compress: (body, level) => compressAsync(body, { params: { [constants.ZSTD_c_compressionLevel!]: level } }),
    async decompress(body, bytesMax) {
      // Node takes a frame that was cut for a shorter one.
      wholeZstdBytesMax(body);
      return decompressAsync(body, { maxOutputLength: Math.max(bytesMax, 1) });
    },
  };
}

/**
 * Its memory never shrinks, and it believes the size that a frame states: so it gets to see only what fits in the room
 * that is allowed, and no more room than blocks of the frame can fill.
 */
async function loadWasmZstd(): Promise<Codec> {
  const { default: zstd } = await import("@bokuweb/zstd-wasm").catch((cause: unknown) => {
    throw missing("ZSTD", "@bokuweb/zstd-wasm", cause);
  });
  await zstd.init();
  return {
    compress: async (body, level) => asBuffer(zstd.compress(asBuffer(body), level)),
    async decompress(body, bytesMax) {
      const most = wholeZstdBytesMax(body);
      const stated = zstdContentBytes(asBuffer(body));
      if (stated !== undefined && stated > most) throw notWholeZstd();
      if (stated !== undefined && stated > bytesMax) throw tooLarge(bytesMax);
      // One byte of room at least: none at all is taken for no place.
      const defaultHeapSize = Math.max(1, Math.min(most, bytesMax));
      return asBuffer(zstd.decompress(asBuffer(body), { defaultHeapSize }));
    },
  };
}

function wholeZstdBytesMax(body: Uint8Array): number {
  const bytes = zstdFrameBytesMax(asBuffer(body));
  if (bytes < 0) throw notWholeZstd();
  return bytes;
}

function notWholeZstd(): CometError {
  return new CometError("COMETMQ_BAD_MESSAGE", "The body is not a whole ZSTD frame.");
}

function missing(codec: string, packageName: string, cause: unknown): CometError {
  return new CometError("COMETMQ_CODEC_MISSING", `${codec} bodies need the package ${packageName}.`, { cause });
}

function tooLarge(bytesMax: number): CometError {
  return new CometError("COMETMQ_BAD_MESSAGE", `The body has more than the ${bytesMax} bytes allowed.`);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
