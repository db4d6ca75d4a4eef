/** Inputs of the parsers' fuzzers: the kept ones, and what is made of them by changing bytes, words and text. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Dice, HOSTILE_VALUES } from "./mutations.js";

const CORPUS = join(import.meta.dirname, "corpus");
const BYTES_MAX = 64 * 1024;
const WORDS = [0, 1, -1, 127, 128, 255, 256, 32767, 32768, 65535, 2 ** 31 - 1, -(2 ** 31), 0x00ffffff, 0x01000000];

/** Inputs that once did something that no other does: replayed on each run, and what new ones are made of. */
export function keptInputs(target: string): Buffer[] {
  const folder = join(CORPUS, target);
  mkdirSync(folder, { recursive: true });
  return readdirSync(folder)
    .sort()
    .map((name) => readFileSync(join(folder, name)));
}

/** The name that `bytes` are kept under. */
export function keep(target: string, bytes: Buffer): string {
  const name = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  writeFileSync(join(CORPUS, target, name), bytes);
  return join("test", "fuzz", "corpus", target, name);
}

/** `one`, changed in one to five places; what is put in may be of `other`, or one of the target's own `words`. */
export function changed(dice: Dice, one: Buffer, other: Buffer, words: readonly string[]): Buffer {
  let bytes: Buffer = Buffer.from(one);
  for (let edits = 1 + dice.below(5); edits > 0; edits--) bytes = edited(dice, bytes, other, words);
  return bytes.subarray(0, BYTES_MAX);
}

function edited(dice: Dice, bytes: Buffer, other: Buffer, words: readonly string[]): Buffer {
  const at = dice.below(bytes.length + 1);
  const upTo = at + dice.below(bytes.length - at + 1);
  const insert = (piece: Buffer, to = at) => Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(to)]);
  switch (dice.below(11)) {
    case 0:
      if (at < bytes.length) bytes[at] = dice.below(256);
      return bytes;
    case 1:
      if (at < bytes.length) bytes[at]! ^= 1 << dice.below(8);
      return bytes;
    case 2:
      if (at + 4 <= bytes.length) bytes.writeInt32BE(dice.one(WORDS), at);
      return bytes;
    case 3:
      if (at + 2 <= bytes.length) bytes.writeInt16BE((dice.one(WORDS) << 16) >> 16, at);
      return bytes;
    case 4:
      return insert(Buffer.alloc(0), Math.min(upTo, at + 8));
    case 5:
      return bytes.subarray(0, at);
    case 6:
      return insert(Buffer.concat(Array.from({ length: 1 + dice.below(4) }, () => bytes.subarray(at, upTo))), upTo);
    case 7: {
      const from = dice.below(other.length + 1);
      return insert(other.subarray(from, from + dice.below(other.length - from + 1)), dice.rarely(2) ? at : upTo);
    }
    case 8:
      return insert(Buffer.from(dice.one(HOSTILE_VALUES)));
    case 9:
      return insert(
        Buffer.alloc(dice.one([1, 3, 16, 300, 5000]), dice.one(["(", "[", "\0", "\u0001", "9", " ", "x", "é"])),
      );
    default:
      return words.length === 0 ? insert(Buffer.from([dice.below(256)])) : insert(Buffer.from(` ${dice.one(words)} `));
  }
}
