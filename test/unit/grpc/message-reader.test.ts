import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CallStream } from "#src/grpc/call-stream.js";
import { MessageReader } from "#src/grpc/message-reader.js";
import { loadMethods } from "#src/grpc/proto.js";
import type { GrpcPeer } from "#src/grpc/types.js";
import type { Stream } from "#src/http2/stream.js";
import { FakeClock } from "../broker/harness.js";
import { framed } from "./framed.js";

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

/** A call whose request comes in these pieces, each received where the one before was; the messages at its end. */
function received(...pieces: Buffer[]): Buffer[] {
  const messages: Buffer[] = [];
  const limits = { clock: new FakeClock(), messageBytesMax: 100_000, budget: { bytes: 0, bytesMax: 1_000_000 } };
  const stream = { headers: { get: () => "" }, queuedBytes: 0 } as unknown as Stream;
  const [method] = loadMethods().values();
  const call = new CallStream(stream, {} as GrpcPeer, limits, method!.response);
  call.read({ received: (_, bytes) => void messages.push(bytes), ended: () => {} });
  const where = Buffer.alloc(Math.max(...pieces.map(({ length }) => length)));
  for (const piece of pieces) {
    piece.copy(where);
    call.received(where.subarray(0, piece.length), false);
    where.fill(0xff);
  }
  call.requestEnded();
  return messages;
}

test("a message is good until its call has ended, and copied once at most", () => {
  const sent = ["a", "b", "c"].map((letter) => Buffer.alloc(20_000, letter));
  const bytes = Buffer.concat(sent.map(framed));
  for (const cut of [0, 3, 100, 20_005, 20_007, 30_000, 40_010, 50_000, bytes.length]) {
    const messages = received(bytes.subarray(0, cut), bytes.subarray(cut));
    expect(messages.map((message, i) => message.equals(sent[i]!))).toEqual([true, true, true]);
  }
  // Those that were gathered lie one behind the other where they were gathered.
  const [a, b, c] = received(bytes.subarray(0, 100), bytes.subarray(100));
  expect(new Set([a!.buffer, b!.buffer, c!.buffer]).size).toBe(1);
});
