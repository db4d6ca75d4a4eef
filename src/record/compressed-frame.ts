/**
 * How large LZ4 and ZSTD frames become, told from the frames themselves: the decoders for them know no limit, and a few
 * bytes may stand for gigabytes. Only sizes are read here; whether the content is sound the decoders tell.
 * (LZ4 frame format 1.6; Zstandard, RFC 8878)
 */
const LZ4_MAGIC = 0x184d2204;
const LZ4_RAW_BLOCK = 0x80000000;
const LZ4_MATCH_BYTES_MIN = 4;
const TWO_32 = 4294967296;

/** Bytes that the one LZ4 frame `frame` decodes to; stops counting past `limit`. -1 when it is not a whole frame. */
export function lz4FrameBytes(frame: Buffer, limit: number): number {
  if (frame.length < 11 || frame.readUInt32LE(0) !== LZ4_MAGIC) return -1;
  const flags = frame[4]!;
  const blockChecksumBytes = flags & 0x10 ? 4 : 0;
  // Descriptor: flags, block size, content size, dictionary id, header checksum.
  let at = 4 + 2 + (flags & 0x08 ? 8 : 0) + (flags & 0x01 ? 4 : 0) + 1;
  if (at > frame.length) return -1;
  const stated = flags & 0x08 ? frame.readUInt32LE(6) + frame.readUInt32LE(10) * TWO_32 : 0;
  if (stated > limit) return stated;
  let bytes = 0;
  while (at + 4 <= frame.length) {
    const word = frame.readUInt32LE(at);
    at += 4;
    if (word === 0) return at + (flags & 0x04 ? 4 : 0) === frame.length ? bytes : -1;
    const raw = word >= LZ4_RAW_BLOCK;
    const size = raw ? word - LZ4_RAW_BLOCK : word;
    if (size > frame.length - at) return -1;
    const blockBytes = raw ? size : lz4BlockBytes(frame, at, at + size);
    if (blockBytes < 0) return -1;
    bytes += blockBytes;
    if (bytes > limit) return bytes;
    at += size + blockChecksumBytes;
  }
  return -1;
}

/** A block is sequences of literals and a match; the last has literals only. */
function lz4BlockBytes(frame: Buffer, start: number, end: number): number {
  let at = start;
  let bytes = 0;
  while (at < end) {
    const token = frame[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255 && at < end) literals += more = frame[at++]!;
    }
    at += literals;
    bytes += literals;
    if (at >= end) return at === end ? bytes : -1;
    at += 2;
    let match = token & 15;
    if (match === 15) {
      let more = 255;
      while (more === 255 && at < end) match += more = frame[at++]!;
    }
    bytes += match + LZ4_MATCH_BYTES_MIN;
  }
  return -1;
}

const ZSTD_MAGIC = 0xfd2fb528;
const ZSTD_BLOCK_BYTES_MAX = 128 * 1024;
const ZSTD_CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const ZSTD_DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;

/**
 * The most that the one ZSTD frame `frame` can decode to, as if every compressed block were a full one. The content size
 * a frame may state counts for nothing: it is checked when all has been decoded. -1 when it is not a whole frame.
 */
export function zstdFrameBytesMax(frame: Buffer): number {
  if (frame.length < 6 || frame.readUInt32LE(0) !== ZSTD_MAGIC) return -1;
  const checksumBytes = frame[4]! & 0x04 ? 4 : 0;
  const { start, size: sizeBytes } = zstdContentSizeField(frame[4]!);
  let at = start + sizeBytes;
  let bytes = 0;
  while (at + 3 <= frame.length) {
    const header = frame.readUIntLE(at, 3);
    const type = (header >> 1) & 3;
    const size = header >> 3;
    // Raw, run-length (one byte stands for `size`), compressed; 3 is reserved.
    if (type === 3) return -1;
    bytes += type === 2 ? ZSTD_BLOCK_BYTES_MAX : size;
    at += 3 + (type === 1 ? 1 : size);
    if (header & 1) return at + checksumBytes === frame.length ? bytes : -1;
  }
  return -1;
}

/** The content size that a ZSTD frame states, true or not; undefined where it states none. */
export function zstdContentBytes(frame: Buffer): number | undefined {
  const { start, size } = zstdContentSizeField(frame[4]!);
  if (size === 0 || start + size > frame.length) return undefined;
  if (size === 8) return frame.readUInt32LE(start) + frame.readUInt32LE(start + 4) * TWO_32;
  // Sizes of two bytes begin where those of one end.
  return frame.readUIntLE(start, size) + (size === 2 ? 256 : 0);
}

/** It follows descriptor, window and dictionary id. */
function zstdContentSizeField(descriptor: number): { readonly start: number; readonly size: number } {
  const singleSegment = (descriptor & 0x20) !== 0;
  const start = 5 + (singleSegment ? 0 : 1) + ZSTD_DICTIONARY_ID_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3];
  const size = ZSTD_CONTENT_SIZE_BYTES[(descriptor >> 6) as 0 | 1 | 2 | 3] || (singleSegment ? 1 : 0);
  return { start, size };
}
