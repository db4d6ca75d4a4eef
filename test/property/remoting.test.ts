/**
 * The Remoting codec under random input: what is written is read again in both serialisations, however the stream is
 * cut; damaged frames end in a verdict, without an exception, an endless loop or memory beyond what arrived.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type FastjsonInput, parseFastjson, toFastjson, toPrettyFastjson } from "#src/remoting/fastjson.js";
import { AssemblyBudget } from "#src/remoting/assembly-budget.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const text = fc.string({ unit: "binary", maxLength: 40 });
const name = fc
  .oneof(fc.constantFrom("a", "b", "i", "topic", "__proto__", "constructor"), fc.string({ minLength: 1 }), text)
  .filter((n) => n !== "");

const sample = fc.record({
  opaque: int32,
  type: fc.constantFrom(0 as const, 1 as const),
  code: fc.integer({ min: -32768, max: 32767 }),
  request: fc.boolean(),
  oneway: fc.boolean(),
  remark: fc.option(text, { nil: undefined }),
  // An empty value is null in the binary serialisation.
  fields: fc.uniqueArray(
    fc.tuple(
      name,
      text.filter((value) => value !== ""),
    ),
    { maxLength: 20, selector: ([key]) => key },
  ),
  body: fc.uint8Array({ maxLength: 200 }),
});
type Sample = typeof sample extends fc.Arbitrary<infer T> ? T : never;

function write(writer: FrameWriter, frame: Sample): void {
  if (frame.request) writer.beginRequest(frame.opaque, frame.type, frame.code, frame.oneway);
  else writer.beginResponse(frame.opaque, frame.type, frame.code, frame.remark);
  for (const [key, value] of frame.fields) writer.field(key, value);
  writer.endHeader();
  writer.bodyBytes(frame.body);
  writer.end();
}

function read(decoder: FrameDecoder, header: HeaderView): object {
  const { bytes, headerStart, headerEnd, bodyEnd, serializeType } = decoder;
  expect(header.parse(bytes, headerStart, headerEnd, serializeType)).toBe(true);
  const scratch = Buffer.alloc(4096);
  for (let i = 0; i < header.fieldCount; i++) {
    const count = header.copyValue(i, scratch, 5);
    expect(count).toBeLessThanOrEqual(header.valueBytesMax(i));
    expect(scratch.toString("utf8", 5, 5 + count)).toBe(header.valueText(i));
    expect(header.find(header.keyText(i)) === i || /[^\0-\x7f]/.test(header.keyText(i))).toBe(true);
  }
  const { opaque, code, flag, remark } = header;
  const body = [...bytes.subarray(headerEnd, bodyEnd)];
  return { opaque, code, flag, remark, type: header.serializeType, fields: [...header.fields()], body };
}

function expected(frame: Sample): object {
  const { opaque, code, type, fields, body } = frame;
  const flag = frame.request ? (frame.oneway ? 2 : 0) : 1;
  return { opaque, code, flag, remark: frame.request ? "" : (frame.remark ?? ""), type, fields, body: [...body] };
}

test("what is written is read again, however the stream is cut", () => {
  fc.assert(
    fc.property(
      fc.array(sample, { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      (frames, cuts) => {
        const writer = new FrameWriter();
        for (const frame of frames) write(writer, frame);
        const bytes = Buffer.from(writer.buffer.subarray(0, writer.length));
        const at = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
        const decoder = new FrameDecoder();
        const header = new HeaderView();
        const seen: object[] = [];
        for (let i = 1; i < at.length; i++) {
          decoder.push(Buffer.from(bytes.subarray(at[i - 1], at[i])));
          while (decoder.next() === FrameVerdict.FRAME) seen.push(read(decoder, header));
        }
        expect(seen).toEqual(frames.map(expected));
      },
    ),
    { numRuns: 300 },
  );
});

test("integers are written as JavaScript prints them", () => {
  fc.assert(
    fc.property(fc.oneof(int32, fc.maxSafeInteger()), fc.constantFrom(0 as const, 1 as const), (value, type) => {
      const writer = new FrameWriter();
      writer.beginResponse(0, type, 0);
      writer.integerField("name", value);
      writer.endHeader();
      writer.end();
      const header = new HeaderView();
      expect(header.parse(writer.buffer, 8, writer.length, type)).toBe(true);
      expect(header.text("name")).toBe(String(value));
      expect(header.integer("name")).toBe(value);
    }),
  );
});

test("a JSON header reads as JSON.parse reads it", () => {
  const value = fc.oneof(
    text,
    fc.integer().map(String),
    fc.boolean(),
    int32,
    fc.constant(null),
    fc.double(),
    fc.array(fc.nat()),
  );
  const header = fc.record(
    {
      code: int32,
      flag: int32,
      opaque: int32,
      version: int32,
      remark: fc.option(text),
      other: fc.anything({ maxDepth: 2 }),
      extFields: fc.option(fc.dictionary(name, value, { maxKeys: 10 })),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(header, fc.constantFrom(undefined, 1, "\t"), (object, indent) => {
      const bytes = Buffer.from(JSON.stringify(object, undefined, indent));
      const meant = JSON.parse(bytes.toString()) as Record<string, unknown>;
      const view = new HeaderView();
      expect(view.parse(bytes, 0, bytes.length, 0)).toBe(true);
      for (const key of ["code", "flag", "opaque", "version"] as const) expect(view[key]).toBe(meant[key] ?? 0);
      const replaced = (s: string) => Buffer.from(s).toString();
      const fields = Object.entries((meant.extFields ?? {}) as Record<string, unknown>)
        .filter(([, member]) => member !== null)
        .map(([key, member]) => [key, typeof member === "string" ? replaced(member) : JSON.stringify(member)]);
      expect([...view.fields()]).toEqual(fields);
      expect(view.remark).toBe(replaced((meant.remark as string | null | undefined) ?? ""));
    }),
    { numRuns: 500 },
  );
});

test("a damaged stream ends in a verdict, and takes no memory that did not arrive", () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1, maxLength: 3 }), damage, fc.nat({ max: 64 }), (frames, hits, step) => {
      const writer = new FrameWriter();
      for (const frame of frames) write(writer, frame);
      const bytes = Buffer.from(writer.buffer.subarray(0, writer.length));
      for (const [where, byte] of hits) bytes[where % bytes.length] = byte;
      const budget = new AssemblyBudget();
      const decoder = new FrameDecoder({ budget });
      const header = new HeaderView();
      let frameCount = 0;
      let verdict: FrameVerdict = FrameVerdict.MORE;
      for (let at = 0; at < bytes.length && verdict === FrameVerdict.MORE; at += step + 1) {
        decoder.push(bytes.subarray(at, at + step + 1));
        for (verdict = decoder.next(); verdict === FrameVerdict.FRAME; verdict = decoder.next()) {
          frameCount++;
          if (!header.parse(decoder.bytes, decoder.headerStart, decoder.headerEnd, decoder.serializeType)) continue;
          for (const [key] of header.fields()) {
            header.integer(key);
            header.boolean(key);
          }
          header.remark;
        }
        expect(budget.bytes).toBeLessThanOrEqual(2 * bytes.length + 1024);
      }
      expect(frameCount).toBeLessThanOrEqual(bytes.length / 8);
    }),
    { numRuns: 2000 },
  );
});

test("any bytes are a header or malformed, never an exception, and nothing outside them is read", () => {
  const json = fc.string({
    unit: fc.constantFrom(...'{}[]":,\\u0aflextFieldsco de1-.ntr\u0001é'.split("")),
    maxLength: 60,
  });
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 80 }),
        json.map((s) => Buffer.from(`{"code":1,"extFields":{${s}`)),
        json.map((s) => Buffer.from(s)),
      ),
      fc.uint8Array({ maxLength: 20 }),
      fc.uint8Array({ maxLength: 20 }),
      fc.constantFrom(0, 1),
      (bytes, left, right, type) => {
        const verdicts = [
          [new Uint8Array(0), new Uint8Array(0)],
          [left, right],
        ].map(([before, after]) => {
          const view = new HeaderView();
          const all = Buffer.concat([before!, bytes, after!]);
          const sound = view.parse(all, before!.length, before!.length + bytes.length, type);
          return sound ? JSON.stringify([view.code, view.opaque, view.remark, [...view.fields()]]) : "malformed";
        });
        expect(verdicts[0]).toBe(verdicts[1]);
      },
    ),
    { numRuns: 5000 },
  );
});

test("fastjson values survive writing and reading; integer and object keys too", () => {
  const { value } = fc.letrec<{ value: unknown; key: unknown }>((tie) => ({
    key: fc.oneof(
      text,
      fc.integer(),
      fc.array(fc.tuple(text, fc.integer()), { maxLength: 3 }).map((members) => new Map(members)),
    ),
    value: fc.oneof(
      { maxDepth: 4 },
      text,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.array(fc.tuple(tie("key"), tie("value")), { maxLength: 4 }).map((members) => new Map(members)),
    ),
  }));
  fc.assert(
    fc.property(value, (any) => {
      const written = toFastjson(any as FastjsonInput);
      expect(toFastjson(parseFastjson(written))).toBe(written);
      expect(parseFastjson(written)).toEqual(any);
      expect(parseFastjson(toPrettyFastjson(any as FastjsonInput))).toEqual(any);
    }),
    { numRuns: 500 },
  );
});

test("fastjson takes what JSON.stringify writes, and nothing kills it", () => {
  fc.assert(
    fc.property(fc.json(), (json) => {
      expect(parseFastjson(json)).toBeDefined();
    }),
  );
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(..."{}[]\"':,\\u01-.etruefalsn ".split("")), maxLength: 60 }),
      (odd) => {
        const value = parseFastjson(odd);
        if (value !== undefined) expect(toFastjson(parseFastjson(toFastjson(value)))).toBe(toFastjson(value));
      },
    ),
    { numRuns: 3000 },
  );
});
