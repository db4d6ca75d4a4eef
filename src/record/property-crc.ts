/**
 * The `__CRC32#` property of stores with `enabledAppendPropCRC`: the last 20 bytes of a record, with the CRC-32 of all
 * before them in ten digits, the least significant first (common/message/MessageDecoder.createCrc32).
 */
import { crc32 } from "../base/crc32.js";
import { PROPERTY_CRC_BYTES } from "./layout.js";
import { asciiName, findProperty, ValueRange } from "./properties.js";
import { PropertyName } from "./property-names.js";
import type { RecordView } from "./record-view.js";

const NAME = asciiName(PropertyName.CRC32);
const DIGITS = 10;
const ZERO = 48;

/** Fills the last 20 bytes of the record `bytes[start, end)`, whose other fields are all in place. */
export function writePropertyCrc(bytes: Buffer, start: number, end: number): void {
  let at = end - PROPERTY_CRC_BYTES;
  let crc = crc32(bytes.subarray(start, at)) & 0x7fffffff;
  for (let i = 0; i < NAME.length; i++) bytes[at++] = NAME[i]!;
  bytes[at++] = 1;
  for (let i = 0; i < DIGITS; i++) {
    bytes[at++] = ZERO + (crc % 10);
    crc = Math.trunc(crc / 10);
  }
  bytes[at] = 2;
}

const crcValue = new ValueRange();

/**
 * Whether the record is the one its `__CRC32#` property was made of: the check in place of `checkBody` for stores with
 * `forceVerifyPropCRC`. A record without the property fails. The CRC covers all but the last 20 bytes.
 */
export function checkPropertyCrc(record: RecordView, bytes: Buffer): boolean {
  const { position, totalSize, propertiesStart, propertiesLength } = record;
  if (!findProperty(bytes, propertiesStart, propertiesStart + propertiesLength, NAME, crcValue)) return false;
  // Least significant digit first. Whatever stands there is taken for digits, in 32-bit arithmetic, as Apache does.
  let expected = 0;
  for (let i = crcValue.end - 1; i >= crcValue.start; i--) {
    expected = (Math.imul(expected, 10) + (bytes[i]! - ZERO)) | 0;
  }
  return (crc32(bytes.subarray(position, position + totalSize - PROPERTY_CRC_BYTES)) & 0x7fffffff) === expected;
}
