/**
 * What every body of a wire benchmark begins with, so that each message can be told from all others and from a damaged
 * one. The rest of the body is letters.
 *
 *   0 CRC-32 u32 of all that follows   4 magic u32   8 run u32   12 number u32   16 due time f64, microseconds
 */
import { crc32 } from "../../base/crc32.js";

export const STAMP_BYTES = 24;
const MAGIC = 0x434d5142;

export const StampVerdict = { MINE: 0, FOREIGN: 1, CORRUPT: 2 } as const;
export type StampVerdict = (typeof StampVerdict)[keyof typeof StampVerdict];

/** A body of that size, to be stamped again and again. */
export function unstampedBody(bodyBytes: number): Buffer {
  const body = Buffer.allocUnsafe(bodyBytes);
  for (let i = 0; i < bodyBytes; i++) body[i] = 97 + ((i * 7 + Math.floor(i / 26)) % 26);
  return body;
}

export function stamp(bytes: Buffer, at: number, bodyBytes: number, run: number, number: number, dueUs: number): void {
  bytes.writeUInt32BE(MAGIC, at + 4);
  bytes.writeUInt32BE(run, at + 8);
  bytes.writeUInt32BE(number, at + 12);
  bytes.writeDoubleBE(dueUs, at + 16);
  bytes.writeUInt32BE(crc32(bytes.subarray(at + 4, at + bodyBytes)), at);
}

/** The stamp of the last body read. */
export class StampView {
  number = 0;
  dueUs = 0;

  /** FOREIGN is a body of somebody else, or of another run. */
  read(bytes: Buffer, at: number, bodyBytes: number, run: number): StampVerdict {
    if (bodyBytes < STAMP_BYTES || bytes.readUInt32BE(at + 4) !== MAGIC || bytes.readUInt32BE(at + 8) !== run) {
      return StampVerdict.FOREIGN;
    }
    if (crc32(bytes.subarray(at + 4, at + bodyBytes)) !== bytes.readUInt32BE(at)) return StampVerdict.CORRUPT;
    this.number = bytes.readUInt32BE(at + 12);
    this.dueUs = bytes.readDoubleBE(at + 16);
    return StampVerdict.MINE;
  }
}
