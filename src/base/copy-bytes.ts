/**
 * Copies `source[start, end)` to `target[at]` and returns where it ends. Short pieces go byte by byte, which is faster
 * than `Buffer.copy` and makes no view for the collector to find.
 */
const SHORT_BYTES = 32;

export function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length > SHORT_BYTES) {
    target.set(new Uint8Array(source.buffer, source.byteOffset + start, length), at);
    return at + length;
  }
  for (let i = 0; i < length; i++) target[at + i] = source[start + i]!;
  return at + length;
}
