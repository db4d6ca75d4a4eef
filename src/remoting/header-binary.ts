/**
 * The ROCKETMQ serialisation of a header (RocketMQSerializable.java), big-endian:
 *
 *   code i16  language u8  version i16  opaque i32  flag i32  remark length i32, bytes
 *   fields length i32, then for each: name length i16, bytes, value length i32, bytes
 *
 * An empty remark, name or value is Java's null: the field counts as absent.
 */
import type { HeaderView } from "./header-view.js";
import { LanguageCode } from "./language-code.js";

/** Bytes of a header without remark and fields. */
export const BINARY_HEADER_BYTES_MIN = 21;

export function parseBinaryHeader(view: HeaderView, bytes: Buffer, start: number, end: number): boolean {
  if (end - start < BINARY_HEADER_BYTES_MIN) return false;
  view.code = ((bytes[start]! << 24) >> 16) | bytes[start + 1]!;
  const language = bytes[start + 2]!;
  view.language = language > LanguageCode.NODE_JS ? LanguageCode.OTHER : language;
  view.version = ((bytes[start + 3]! << 24) >> 16) | bytes[start + 4]!;
  view.opaque = int32(bytes, start + 5);
  view.flag = int32(bytes, start + 9);
  const remarkBytes = int32(bytes, start + 13);
  if (remarkBytes < 0 || remarkBytes > end - start - BINARY_HEADER_BYTES_MIN) return false;
  let position = start + 17;
  view.remarkStart = position;
  position += remarkBytes;
  view.remarkEnd = position;
  const fieldsBytes = int32(bytes, position);
  position += 4;
  if (fieldsBytes < 0 || fieldsBytes > end - position) return false;
  return parseFields(view, bytes, position, position + fieldsBytes);
}

function parseFields(view: HeaderView, bytes: Buffer, start: number, end: number): boolean {
  let position = start;
  while (position < end) {
    if (end - position < 6) return false;
    const keyBytes = (bytes[position]! << 8) | bytes[position + 1]!;
    const keyStart = position + 2;
    const keyEnd = keyStart + keyBytes;
    if (keyBytes > 32767 || keyEnd + 4 > end) return false;
    const valueBytes = int32(bytes, keyEnd);
    const valueStart = keyEnd + 4;
    if (valueBytes < 0 || valueBytes > end - valueStart) return false;
    position = valueStart + valueBytes;
    if (keyBytes === 0 || valueBytes === 0) continue;
    if (!view.addField(keyStart, keyEnd, valueStart, position, 0)) return false;
  }
  return true;
}

function int32(bytes: Buffer, position: number): number {
  return (bytes[position]! << 24) | (bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!;
}
