/**
 * CRC-32 (that of zlib) over message bodies: with the processor's instructions for it where the optional package
 * `@node-rs/crc32` loads, which halves its time for a body of 1 KB, else by Node's zlib.
 */
import { crc32 as zlibCrc32 } from "node:zlib";
import { loadOptional } from "./optional-package.js";

interface NativeCrc32 {
  crc32(bytes: Uint8Array): number;
}

/** An unsigned 32-bit number. */
export const crc32: (bytes: Uint8Array) => number = loadOptional<NativeCrc32>("@node-rs/crc32")?.crc32 ?? zlibCrc32;
