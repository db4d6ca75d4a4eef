/**
 * The Huffman code of HPACK (RFC 7541, appendix B). The code is canonical: codes of one length follow each other in the
 * order of their symbols, and shorter ones come first, so that the lengths say everything. Decoding goes by half bytes
 * through a table of states, each an inner node of the code's tree.
 */

const EOS = 256;
/** Of each symbol, in base 36. */
const LENGTHS =
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6" +
  "f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmnlmnnkmmmnmmn" +
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu";
const LENGTH_MAX = 30;
/** Longer padding than a whole byte is an error, and padding is the begin of EOS: ones. */
const PADDING_BITS_MAX = 7;

const EMITS = 0x100;
const FAILS = 0x200;
/** Decoding may end in the state that follows. */
const MAY_END = 0x400;
const STATE_SHIFT = 16;

const lengths = Uint8Array.from(LENGTHS, (digit) => Number.parseInt(digit, 36));
const codes = new Uint32Array(EOS + 1);
const transitions = buildTransitions();

function buildTransitions(): Uint32Array {
  const children: [number, number][] = [[0, 0]];
  const depths = [0];
  const onlyOnes = [true];
  let code = 0;
  for (let length = 1; length <= LENGTH_MAX; length++) {
    code *= 2;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (lengths[symbol] !== length) continue;
      codes[symbol] = code;
      let node = 0;
      for (let bit = length - 1; bit > 0; bit--) {
        const side = (code >>> bit) & 1;
        if (children[node]![side] === 0) {
          children[node]![side] = children.push([0, 0]) - 1;
          depths.push(depths[node]! + 1);
          onlyOnes.push(onlyOnes[node]! && side === 1);
        }
        node = children[node]![side]!;
      }
      // A leaf is -1 - symbol.
      children[node]![code & 1] = -1 - symbol;
      code++;
    }
  }
  const table = new Uint32Array(children.length * 16);
  for (let state = 0; state < children.length; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let entry = 0;
      for (let bit = 3; bit >= 0; bit--) {
        node = children[node]![(nibble >>> bit) & 1]!;
        if (node >= 0) continue;
        const symbol = -1 - node;
        entry |= symbol === EOS ? FAILS : EMITS | symbol;
        node = 0;
      }
      if (onlyOnes[node] && depths[node]! <= PADDING_BITS_MAX) entry |= MAY_END;
      table[state * 16 + nibble] = entry | (node << STATE_SHIFT);
    }
  }
  return table;
}

/** Writes what `bytes` from `start` to `end` mean into `target`, which has room for 8/5 of them; -1 for a code that is none. */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let at = 0;
  let entry = MAY_END;
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!;
    entry = transitions[((entry >>> STATE_SHIFT) << 4) | (byte >>> 4)]!;
    if ((entry & EMITS) !== 0) target[at++] = entry & 0xff;
    else if ((entry & FAILS) !== 0) return -1;
    entry = transitions[((entry >>> STATE_SHIFT) << 4) | (byte & 15)]!;
    if ((entry & EMITS) !== 0) target[at++] = entry & 0xff;
    else if ((entry & FAILS) !== 0) return -1;
  }
  return (entry & MAY_END) === 0 ? -1 : at;
}

export function huffmanEncode(bytes: Uint8Array): Buffer {
  let bitCount = 0;
  for (const byte of bytes) bitCount += lengths[byte]!;
  const encoded = Buffer.alloc((bitCount + 7) >> 3);
  let at = 0;
  const put = (code: number, length: number): void => {
    for (let bit = length - 1; bit >= 0; bit--, at++) {
      if (((code >>> bit) & 1) === 1) encoded[at >> 3]! |= 0x80 >> (at & 7);
    }
  };
  for (const byte of bytes) put(codes[byte]!, lengths[byte]!);
  put(0xff, encoded.length * 8 - bitCount);
  return encoded;
}
