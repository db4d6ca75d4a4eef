import { describe, expect, test } from "vitest";
import { BufferPool, LARGE_BUFFER_BYTES, SMALL_BUFFER_BYTES } from "#src/remoting/buffer-pool.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";

function written(writer: FrameWriter): Buffer {
  return Buffer.from(writer.buffer.subarray(0, writer.length));
}

/** Text of the header of the only frame. */
function headerText(writer: FrameWriter): string {
  const bytes = written(writer);
  expect(bytes.readInt32BE(0)).toBe(bytes.length - 4);
  return bytes.toString("utf8", 8, 8 + (bytes.readInt32BE(4) & 0xffffff));
}

function decodeAll(
  writer: FrameWriter,
): { opaque: number; code: number; fields: object; remark: string; body: string }[] {
  const decoder = new FrameDecoder();
  const header = new HeaderView();
  decoder.push(written(writer));
  const frames = [];
  while (decoder.next() === FrameVerdict.FRAME) {
    const { bytes, headerStart, headerEnd, bodyEnd, serializeType } = decoder;
    expect(header.parse(bytes, headerStart, headerEnd, serializeType)).toBe(true);
    const { opaque, code, remark } = header;
    const body = bytes.toString("latin1", headerEnd, bodyEnd);
    frames.push({ opaque, code, fields: Object.fromEntries(header.fields()), remark, body });
  }
  return frames;
}

const TYPES = [0, 1] as const;

test("a JSON response is Apache's to the byte", () => {
  const writer = new FrameWriter();
  writer.beginResponse(93, 0, 0);
  writer.integerField("queueId", 3);
  writer.field("msgId", "7F00000100005E240000000000000000");
  writer.endHeader();
  writer.end();
  expect(headerText(writer)).toBe(
    '{"code":0,"extFields":{"queueId":"3","msgId":"7F00000100005E240000000000000000"},"flag":1,"language":"JAVA","opaque":93,"serializeTypeCurrentRPC":"JSON","version":493}',
  );
});

test("a remark stands where Apache has it, escaped", () => {
  const writer = new FrameWriter();
  writer.response(-1, 0, 17, 'No topic "x"\n\u0001');
  expect(headerText(writer)).toBe(
    '{"code":17,"flag":1,"language":"JAVA","opaque":-1,"remark":"No topic \\"x\\"\\n\\u0001","serializeTypeCurrentRPC":"JSON","version":493}',
  );
});

test("language and version of a client are its own", () => {
  const writer = new FrameWriter({ language: 13, version: 400 });
  writer.request(1, 0, 34, true, {});
  expect(headerText(writer)).toBe(
    '{"code":34,"flag":2,"language":"NODE_JS","opaque":1,"serializeTypeCurrentRPC":"JSON","version":400}',
  );
});

describe.each(TYPES)("serialisation %i", (type) => {
  test("fields of every kind; undefined ones are left out", () => {
    const writer = new FrameWriter();
    writer.beginResponse(5, type, 11, "remark é");
    writer.field("none", undefined);
    writer.integerField("noneEither", undefined);
    writer.booleanField("nor", undefined);
    writer.field("text", 'a\u0001b"\\/é中😀\ud800x\u007f');
    writer.field("long", `${"x".repeat(50)}\u0002`);
    writer.field("longPlain", "y".repeat(50));
    for (const value of [
      0,
      9,
      10,
      999999999,
      1e9,
      2147483647,
      2147483648,
      2 ** 53 - 1,
      -1,
      -(2 ** 53 - 1),
      1000000001,
    ]) {
      writer.integerField(`n${value}`, value);
    }
    writer.booleanField("yes", true);
    writer.booleanField("no", false);
    const source = Buffer.from('..plain..é"..');
    writer.bytesField("plain", source, 2, 7);
    writer.bytesField("odd", source, 7, source.length);
    writer.hexField("id", Buffer.from("ff7f0a00017e", "hex"), 1, 6);
    writer.fields({ a: "1", b: 2, c: true, d: undefined });
    writer.endHeader();
    writer.bodyBytes(Buffer.from("0123456789"), 2, 3);
    writer.bodyBytes(new Uint8Array([0x61, 0x62]));
    const at = writer.reserveBody(4);
    writer.buffer.write("wxyz", at, "latin1");
    writer.trimBody(1);
    writer.end();
    const numbers = [
      "0",
      "9",
      "10",
      "999999999",
      "1000000000",
      "2147483647",
      "2147483648",
      "9007199254740991",
      "-1",
      "-9007199254740991",
      "1000000001",
    ];
    expect(decodeAll(writer)).toEqual([
      {
        opaque: 5,
        code: 11,
        remark: "remark é",
        fields: {
          text: 'a\u0001b"\\/é中😀?x\u007f',
          long: `${"x".repeat(50)}\u0002`,
          longPlain: "y".repeat(50),
          ...Object.fromEntries(numbers.map((number) => [`n${number}`, number])),
          yes: "true",
          no: "false",
          plain: "plain",
          odd: '..é"..',
          id: "7F0A00017E",
          a: "1",
          b: "2",
          c: "true",
        },
        body: "234abwxy",
      },
    ]);
  });

  test("many frames one after the other, over every growth of the buffer", () => {
    const writer = new FrameWriter();
    const body = Buffer.alloc(80000, "b");
    for (let i = 0; i < 40; i++) writer.response(i, type, i, undefined, { i }, body.subarray(0, i * 1800));
    const frames = decodeAll(writer);
    expect(frames).toHaveLength(40);
    frames.forEach((frame, i) => {
      expect({ ...frame, body: frame.body.length }).toEqual({
        opaque: i,
        code: i,
        remark: "",
        fields: { i: `${i}` },
        body: i * 1800,
      });
      expect(/^b*$/.test(frame.body)).toBe(true);
    });
    expect(writer.buffer.length).toBeGreaterThan(LARGE_BUFFER_BYTES);
  });

  test("reset drops whole and half-written frames", () => {
    const writer = new FrameWriter();
    writer.response(1, type, 0);
    const mark = writer.mark();
    writer.response(2, type, 0);
    writer.beginResponse(3, type, 0);
    writer.field("x", "y");
    expect(writer.isOpen).toBe(true);
    writer.reset(mark);
    expect(writer.isOpen).toBe(false);
    writer.response(4, type, 0);
    expect(decodeAll(writer).map(({ opaque }) => opaque)).toEqual([1, 4]);
  });

  test("muted responses go, everything else stays", () => {
    const writer = new FrameWriter();
    writer.mute(7);
    writer.response(7, type, 0, undefined, { a: "1" }, Buffer.from("body"));
    writer.response(8, type, 0);
    writer.request(7, type, 40, true, {});
    writer.unmute();
    writer.response(7, type, 1);
    expect(decodeAll(writer).map(({ opaque, code }) => [opaque, code])).toEqual([
      [8, 0],
      [7, 40],
      [7, 1],
    ]);
  });
});

test("half a frame is never taken for a whole one", () => {
  const writer = new FrameWriter();
  writer.beginResponse(1, 0, 0);
  expect(() => writer.beginResponse(2, 0, 0)).toThrow();
  expect(() => writer.end()).toThrow();
  expect(() => writer.detach()).toThrow();
  writer.endHeader();
  expect(() => writer.endHeader()).toThrow();
  expect(() => writer.trimBody(1)).toThrow();
  writer.abandon();
  expect(writer.length).toBe(0);
});

test("field names are escaped once and for all", () => {
  const writer = new FrameWriter();
  writer.response(1, 0, 0, undefined, { 'na"me': "x", 中: "y" });
  expect(decodeAll(writer)[0]!.fields).toEqual({ 'na"me': "x", 中: "y" });
});

test("buffers go back to the pool and come again", () => {
  const pool = new BufferPool();
  const small = pool.take(1);
  expect(small.length).toBe(SMALL_BUFFER_BYTES);
  pool.give(small);
  expect(pool.take(SMALL_BUFFER_BYTES)).toBe(small);
  const large = pool.take(SMALL_BUFFER_BYTES + 1);
  expect(large.length).toBe(LARGE_BUFFER_BYTES);
  pool.give(large);
  expect(pool.take(LARGE_BUFFER_BYTES)).toBe(large);
  const huge = pool.take(LARGE_BUFFER_BYTES + 1);
  expect(huge.length).toBe(LARGE_BUFFER_BYTES + 1);
  pool.give(huge);
  expect(pool.take(LARGE_BUFFER_BYTES + 1)).not.toBe(huge);
  expect(() => pool.give(small.subarray(1))).toThrow();
});

test("a writer borrows its buffer from the pool, and grows without losing a byte", () => {
  const pool = new BufferPool();
  const writer = new FrameWriter({ pool });
  expect(writer.buffer.length).toBe(0);
  writer.response(1, 0, 0);
  const first = writer.buffer;
  writer.response(2, 0, 0, undefined, undefined, Buffer.alloc(SMALL_BUFFER_BYTES));
  expect(writer.buffer).not.toBe(first);
  expect(pool.take(1)).toBe(first);
  expect(decodeAll(writer).map(({ opaque }) => opaque)).toEqual([1, 2]);
  const { length } = writer;
  const detached = writer.detach();
  expect(detached.readInt32BE(0)).toBeGreaterThan(0);
  expect(length).toBeGreaterThan(SMALL_BUFFER_BYTES);
  expect(writer.length).toBe(0);
});

test("a field that can not be written leaves no frame open for those who write next", () => {
  const tooLong = { first: "1", ["x".repeat(32768)]: "y" };
  for (const type of TYPES) {
    const writer = new FrameWriter();
    writer.response(1, type, 0);
    expect(() => writer.request(2, type, 307, false, tooLong)).toThrow(/A field's name has 32768 bytes/);
    expect(() => writer.response(3, type, 0, undefined, tooLong)).toThrow(/A field's name has 32768 bytes/);
    expect(writer.isOpen).toBe(false);
    writer.response(4, type, 0);
    expect(decodeAll(writer).map(({ opaque }) => opaque)).toEqual([1, 4]);
  }
});
