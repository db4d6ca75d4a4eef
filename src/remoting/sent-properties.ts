/**
 * The properties of a message that is sent, out of its header: escapes are undone, the bytes copied and looked through in
 * one pass, for this is done to every message.
 */
import type { PropertyScan } from "../record/properties.js";
import type { HeaderView } from "./header-view.js";

const NAME_VALUE_SEPARATOR = 1;
const PROPERTY_SEPARATOR = 2;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
const ZERO = 0x30;
/** Of `\u0001`. */
const ESCAPE_BYTES = 6;

/** Writes the value of field `index` at the beginning of `target` and has `scan` look through it; returns its length. */
export function copyProperties(header: HeaderView, index: number, target: Buffer, scan: PropertyScan): number {
  const { bytes } = header;
  const end = header.valueEnd[index]!;
  const escaped = header.escaped[index] === 1;
  let at = 0;
  let nameStart = 0;
  let nameEnd = -1;
  scan.clear();
  for (let position = header.valueStart[index]!; position < end; ) {
    let byte = bytes[position++]!;
    if (byte > PROPERTY_SEPARATOR && byte !== BACKSLASH) {
      target[at++] = byte;
      continue;
    }
    if (byte === BACKSLASH && escaped) {
      byte = separatorAt(bytes, position);
      if (byte === 0) return copyWithAnyEscapes(header, index, target, scan);
      position += ESCAPE_BYTES - 1;
    }
    if (byte === NAME_VALUE_SEPARATOR) {
      if (nameEnd < 0) nameEnd = at;
    } else if (byte === PROPERTY_SEPARATOR) {
      if (nameEnd >= 0) scan.take(target, nameStart, nameEnd, at);
      nameStart = at + 1;
      nameEnd = -1;
    }
    target[at++] = byte;
  }
  if (nameEnd >= 0) scan.take(target, nameStart, nameEnd, at);
  return at;
}

/** The separator whose escape goes on at `position`, behind the backslash; 0 for any other escape. */
function separatorAt(bytes: Buffer, position: number): number {
  const isSmall = bytes[position + 1] === ZERO && bytes[position + 2] === ZERO && bytes[position + 3] === ZERO;
  if (bytes[position] !== LOWER_U || !isSmall) return 0;
  const value = bytes[position + 4]! - ZERO;
  return value === NAME_VALUE_SEPARATOR || value === PROPERTY_SEPARATOR ? value : 0;
}

function copyWithAnyEscapes(header: HeaderView, index: number, target: Buffer, scan: PropertyScan): number {
  const length = header.copyValue(index, target, 0);
  scan.scan(target, 0, length);
  return length;
}
