import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { framed, MessageReader } from "#src/grpc/message-reader.js";

function reader(encoding = "identity", messageBytesMax = 1000, bytesMax = 10_000) {
  const budget = { bytes: 0, bytesMax };
  return { budget, reader: new MessageReader(messageBytesMax, budget, encoding) };
}

test("however the bytes are cut, the messages are the same, and nothing stays behind", () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 });
  const messages = fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 10 });
  fc.assert(
    fc.property(messages, cuts, (sent, sizes) => {
      const bytes = Buffer.concat(sent.map((message) => framed(Buffer.from(message))));
      const { budget, reader: made } = reader("identity", 1000, 100_000);
      const got: Buffer[] = [];
      for (let at = 0, i = 0; at < bytes.length; i++) {
        const size = sizes[i % sizes.length]!;
        expect(made.push(bytes.subarray(at, at + size), (message) => got.push(Buffer.from(message)))).toBeUndefined();
        at += size;
      }
      expect(got.map((message) => [...message])).toEqual(sent.map((message) => [...message]));
      expect(made.isInside).toBe(false);
      expect(budget.bytes).toBe(0);
    }),
  );
});

test("compressed messages are made plain, as large as others may be", () => {
  const compressed = (body: Buffer) => {
    const frame = framed(gzipSync(body));
    frame[0] = 1;
    return frame;
  };
  const got: string[] = [];
  const take = (message: Buffer) => void got.push(message.toString());
  expect(reader("gzip").reader.push(compressed(Buffer.from("hello")), take)).toBeUndefined();
  expect(got).toEqual(["hello"]);
  expect(reader("gzip").reader.push(compressed(Buffer.alloc(5000)), take)).toBe("too large");
  expect(reader("identity").reader.push(compressed(Buffer.from("x")), take)).toBe("malformed");
  expect(reader("zstd").reader.push(compressed(Buffer.from("x")), take)).toBe("unknown encoding");
  const broken = framed(Buffer.from("no gzip"));
  broken[0] = 1;
  expect(reader("gzip").reader.push(broken, take)).toBe("malformed");
});

test("a length is judged before its bytes are there, and what is held is bounded over all", () => {
  const prefix = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]);
  expect(reader().reader.push(prefix, () => {})).toBe("too large");
  const { budget, reader: first } = reader("identity", 1000, 600);
  const second = new MessageReader(1000, budget, "identity");
  const half = framed(Buffer.alloc(900)).subarray(0, 400);
  expect(first.push(half, () => {})).toBeUndefined();
  expect(second.push(half, () => {})).toBe("no room");
  second.release();
  first.release();
  expect(budget.bytes).toBe(0);
});
