import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { HpackDecoder, hpackEncode } from "#src/http2/hpack.js";
import { encodedInteger, HpackCursor } from "#src/http2/hpack-integer.js";
import { huffmanDecode, huffmanEncode } from "#src/http2/huffman.js";

type Pairs = readonly (readonly [string, string])[];

function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s/g, ""), "hex");
}

function decoded(decoder: HpackDecoder, block: Buffer): Pairs | undefined {
  // Behind other bytes, as a block lies in a frame.
  const bytes = Buffer.concat([Buffer.from("?"), block, Buffer.from([0x80])]);
  const headers = decoder.decode(bytes, 1, bytes.length - 1);
  return headers?.fields.map(({ name, value }) => [name, value] as const);
}

const REQUEST: Pairs = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "www.example.com"],
];
const DATE = "Mon, 21 Oct 2013 20:13:21 GMT";
const FIRST_ANSWER: Pairs = [
  [":status", "302"],
  ["cache-control", "private"],
  ["date", DATE],
  ["location", "https://www.example.com"],
];
const THIRD_ANSWER: Pairs = [
  [":status", "200"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
  ["location", "https://www.example.com"],
  ["content-encoding", "gzip"],
  ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
];
const THIRD_REQUEST: Pairs = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/index.html"],
  [":authority", "www.example.com"],
  ["custom-key", "custom-value"],
];
/** RFC 7541, appendix C: blocks of one connection each, and what they mean. */
const EXAMPLES: Readonly<Record<string, readonly (readonly [string, Pairs])[]>> = {
  "C.2.1": [["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", [["custom-key", "custom-header"]]]],
  "C.2.2": [["040c 2f73 616d 706c 652f 7061 7468", [[":path", "/sample/path"]]]],
  "C.2.3": [["1008 7061 7373 776f 7264 0673 6563 7265 74", [["password", "secret"]]]],
  "C.3": [
    ["8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUEST],
    ["8286 84be 5808 6e6f 2d63 6163 6865", [...REQUEST, ["cache-control", "no-cache"]]],
    ["8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", THIRD_REQUEST],
  ],
  "C.4": [
    ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUEST],
    ["8286 84be 5886 a8eb 1064 9cbf", [...REQUEST, ["cache-control", "no-cache"]]],
    ["8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD_REQUEST],
  ],
  // With a table of 256 bytes, which the first block begins with here.
  "C.5": [
    [
      `3fe1 01
       4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
       546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
      FIRST_ANSWER,
    ],
    ["4803 3330 37c1 c0bf", [[":status", "307"], ...FIRST_ANSWER.slice(1)]],
    [
      `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
       6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
       2076 6572 7369 6f6e 3d31`,
      THIRD_ANSWER,
    ],
  ],
  "C.6": [
    [
      `3fe1 01
       4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
       8f0b 97c8 e9ae 82ae 43d3`,
      FIRST_ANSWER,
    ],
    ["4883 640e ffc1 c0bf", [[":status", "307"], ...FIRST_ANSWER.slice(1)]],
    [
      `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
       dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
      THIRD_ANSWER,
    ],
  ],
};

test.each([
  ["C.1.1", 10, 0x1f, "0a"],
  ["C.1.2", 1337, 0x1f, "1f9a0a"],
  ["C.1.3", 42, 0xff, "2a"],
])("RFC 7541, %s", (_name, value, mask, code) => {
  expect(encodedInteger(0, mask, value).toString("hex")).toBe(code);
  // With the bits that are not the integer's, if there are any, and more bytes around it.
  const others = 0xff & ~mask;
  const bytes = Buffer.concat([Buffer.from([0xff]), encodedInteger(others, mask, value), Buffer.from([0xff])]);
  expect(bytes[1]).toBe(others | hex(code)[0]!);
  const cursor = new HpackCursor();
  cursor.at = 1;
  expect(cursor.integer(bytes, bytes.length, mask)).toBe(value);
  expect(cursor).toMatchObject({ at: 1 + code.length / 2, failed: false });
});

test.each(Object.entries(EXAMPLES))("RFC 7541, %s", (_name, blocks) => {
  const decoder = new HpackDecoder();
  for (const [block, fields] of blocks) expect(decoded(decoder, hex(block))).toEqual(fields);
});

test("a block that was seen before means the same only as long as the table is the same", () => {
  const decoder = new HpackDecoder();
  const add = (name: string, value: string) =>
    Buffer.concat([
      Buffer.from([0x40, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]);
  const newest = hex("be");
  expect(decoded(decoder, newest)).toBeUndefined();
  expect(decoded(decoder, add("a", "1"))).toEqual([["a", "1"]]);
  for (let i = 0; i < 3; i++) expect(decoded(decoder, newest)).toEqual([["a", "1"]]);
  expect(decoded(decoder, add("b", "2"))).toEqual([["b", "2"]]);
  for (let i = 0; i < 3; i++) expect(decoded(decoder, newest)).toEqual([["b", "2"]]);
  // A table of nothing, then of something again: both entries are gone.
  expect(decoded(decoder, hex("20 3fe11f 82"))).toEqual([[":method", "GET"]]);
  expect(decoded(decoder, newest)).toBeUndefined();
  // More blocks than are kept, again and again.
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 20; i++) {
      const block = Buffer.concat([hex("0001"), Buffer.from([0x61 + i]), hex("0131")]);
      expect(decoded(decoder, block)).toEqual([[String.fromCharCode(0x61 + i), "1"]]);
    }
  }
});

test("blocks that are none are refused", () => {
  const bad: Readonly<Record<string, string>> = {
    "index 0": "80",
    "an entry that is not there": "c0",
    "an integer without end": "ff808080808080808080",
    "an integer that is cut": "ff80",
    "a string that is cut": "400161",
    "a string longer than its block": "40017f7f",
    "a table larger than allowed": "3fe21f",
    "a size of the table behind a field": "8220",
    "Huffman code with eight bits of padding": "4082ffff0131",
    "the end of Huffman code within it": "4084ffffffff0131",
    "padding that is no padding": "4001610118".replace("0118", "8100"),
  };
  for (const [what, block] of Object.entries(bad)) {
    expect(decoded(new HpackDecoder(), hex(block)), what).toBeUndefined();
  }
});

test("a list that is beyond its bounds is not kept, and the table goes on", () => {
  const decoder = new HpackDecoder();
  const many = Buffer.concat([hex("4001610131"), Buffer.alloc(300, 0xbe)]);
  const headers = decoder.decode(many, 0, many.length)!;
  expect(headers.isBeyond).toBe(true);
  expect(headers.fields.length).toBe(128);
  const large = Buffer.concat([hex("0001627fc9b503"), Buffer.alloc(56_136, 0x78)]);
  const bomb = Buffer.concat([large, large]);
  expect(decoder.decode(bomb, 0, bomb.length)!.isBeyond).toBe(true);
  expect(decoded(decoder, hex("be"))).toEqual([["a", "1"]]);
});

test("Huffman code: any bytes come back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const code = huffmanEncode(bytes);
      const target = Buffer.alloc(2 * code.length + 2);
      const length = huffmanDecode(code, 0, code.length, target);
      expect([...target.subarray(0, length)]).toEqual([...bytes]);
    }),
  );
});

test("what the encoder makes the decoder reads, and no table grows by it", () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
  const value = fc.stringMatching(/^[ -~]{0,200}$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 20 }), (fields) => {
      const decoder = new HpackDecoder();
      const block = hpackEncode(fields);
      expect(decoded(decoder, block)).toEqual(fields);
      expect(decoded(decoder, hex("be"))).toBeUndefined();
    }),
  );
});

test("any bytes are a block or none, and nothing else", () => {
  const decoder = new HpackDecoder();
  for (let i = 0; i < 3000; i++) {
    const bytes = randomBytes(1 + (i % 90));
    decoder.decode(bytes, 0, bytes.length);
  }
});
