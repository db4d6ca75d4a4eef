/**
 * UTF-8 as Java's `new String(bytes, UTF_8)` reads it. Well-formed text is the same to everybody; of what is malformed
 * Java makes other counts of U+FFFD than Node: one for a surrogate in three bytes, where Node has three.
 */
const REPLACEMENT = "\ufffd";
const SURROGATE_FIRST = 0xd800;
const SURROGATE_LAST = 0xdfff;

export function javaText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString("utf8", start, end);
  return text.includes(REPLACEMENT) ? lenientText(bytes, start, end) : text;
}

function lenientText(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; ) {
    const wanted = sequenceBytes(bytes[at]!);
    const sound = soundBytes(bytes, at, end, wanted);
    if (sound < wanted || wanted === 0) text += REPLACEMENT;
    else text += characterOf(bytes, at, wanted);
    at += Math.max(1, sound);
  }
  return text;
}

/** How many bytes a sequence has that begins so; 0 when none does. */
function sequenceBytes(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf5 ? 4 : 0;
}

/** How many of the bytes at `at` may belong to one sequence of `wanted` bytes. */
function soundBytes(bytes: Uint8Array, at: number, end: number, wanted: number): number {
  let count = Math.min(1, wanted);
  while (count < wanted && at + count < end && continues(bytes[at]!, count, bytes[at + count]!)) count++;
  return count;
}

/** The second byte must not make the sequence longer than it need be, nor the character too large. */
function continues(first: number, index: number, byte: number): boolean {
  if ((byte & 0xc0) !== 0x80) return false;
  if (index > 1) return true;
  if (first === 0xe0) return byte >= 0xa0;
  if (first === 0xf0) return byte >= 0x90;
  return first !== 0xf4 || byte < 0x90;
}

function characterOf(bytes: Uint8Array, at: number, length: number): string {
  let point = length === 1 ? bytes[at]! : bytes[at]! & (0x7f >> length);
  for (let i = 1; i < length; i++) point = (point << 6) | (bytes[at + i]! & 0x3f);
  return point >= SURROGATE_FIRST && point <= SURROGATE_LAST ? REPLACEMENT : String.fromCodePoint(point);
}
