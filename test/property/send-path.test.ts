/** What the hot path of sending does in one pass equals what the general functions do one after the other. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { PropertyScan } from "#src/record/properties.js";
import { writeMessageIdBytes } from "#src/record/message-id.js";
import { FrameWriter } from "#src/remoting/frame-writer.js";
import { HeaderView } from "#src/remoting/header-view.js";
import { SendAnswers } from "#src/remoting/send-answer.js";
import { copyProperties } from "#src/remoting/sent-properties.js";

const NAMES = ["a", "ab", "b", "TAGS", "KEYS", "T"];

/** Text of a JSON string as it stands in a header: separators and names in it often, any escape at times. */
const jsonText = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom("\\u0001", "\\u0002", "\u0001", "\u0002") },
      { weight: 4, arbitrary: fc.constantFrom(...NAMES) },
      { weight: 2, arbitrary: fc.constantFrom(...NAMES).map((name) => `${name}\\u0001v${name}\\u0002`) },
      {
        weight: 1,
        arbitrary: fc.string({ unit: "binary", maxLength: 5 }).map((text) => JSON.stringify(text).slice(1, -1)),
      },
      { weight: 1, arbitrary: fc.constantFrom("\\u0003", "\\u0011", "\\u1002", "\\\\u0001", "\\n", "\\ud83d\\ude00") },
    ),
    { maxLength: 20 },
  )
  .map((parts) => parts.join(""));

function headerWith(properties: string, isJson: boolean): HeaderView {
  const header = new HeaderView();
  if (isJson) {
    const bytes = Buffer.from(
      `{"code":310,"extFields":{"b":"T","i":"${properties}"},"flag":0,"opaque":1,"version":493}`,
    );
    expect(header.parse(bytes, 0, bytes.length, 0)).toBe(true);
    return header;
  }
  const writer = new FrameWriter();
  writer.request(1, 1, 310, false, { b: "T", i: properties });
  expect(header.parse(writer.buffer, 8, writer.length, 1)).toBe(true);
  return header;
}

test("properties are copied and scanned at once as they are one after the other", () => {
  const [once, apart] = [new PropertyScan(NAMES), new PropertyScan(NAMES)];
  const [copied, expected] = [Buffer.alloc(1024, 7), Buffer.alloc(1024, 7)];
  fc.assert(
    fc.property(jsonText, fc.boolean(), (properties, isJson) => {
      const header = headerWith(properties, isJson);
      const index = header.find("i");
      fc.pre(index >= 0);
      const length = copyProperties(header, index, copied, once);
      expect(length).toBe(header.copyValue(index, expected, 0));
      expect(copied.toString("latin1", 0, length)).toBe(expected.toString("latin1", 0, length));
      apart.scan(expected, 0, length);
      expect(once.starts).toEqual(apart.starts);
      for (const [name] of NAMES.entries()) if (once.has(name)) expect(once.ends[name]).toBe(apart.ends[name]);
    }),
    { numRuns: 2000 },
  );
});

/** What a message is recalled with, where it can be; what lies behind its length is no part of it. */
const handle = fc.option(
  fc.constantFrom(0, 8, 9, 120, 200).map((length) => ({ bytes: Buffer.alloc(length + 3, "aQ_-7="), length })),
  { nil: undefined },
);
const offset = fc.oneof(fc.nat(9), fc.nat(), fc.maxSafeNat());

test("the answer to a send has the bytes that its fields have one by one", () => {
  const answers = new SendAnswers();
  fc.assert(
    fc.property(
      fc.constantFrom("DefaultRegion", 'a "region"', "Größe"),
      fc.boolean(),
      fc.constantFrom(Buffer.from([127, 0, 0, 1, 0, 0, 42, 159]), Buffer.alloc(20, 0xab)),
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      fc.tuple(offset, fc.nat(70_000), offset),
      fc.oneof(
        fc.nat().map((n) => n.toString(16).padStart(32, "0")),
        fc.string({ unit: "binary", maxLength: 40 }),
      ),
      handle,
      (region, traceOn, storeHost, opaque, [phyOffset, queueId, queueOffset], id, recall) => {
        const bytes = Buffer.from(`UNIQ_KEY\u0001${id}\u0002`);
        const [start, end] = [9, bytes.length - 1];
        const expected = new FrameWriter();
        const hexed = Buffer.alloc(32);
        expected.beginResponse(opaque, 0, 0);
        expected.field("MSG_REGION", region);
        expected.field("TRACE_ON", String(traceOn));
        expected.hexField("msgId", hexed, 0, writeMessageIdBytes(hexed, 0, storeHost, phyOffset));
        expected.integerField("queueId", queueId);
        expected.integerField("queueOffset", queueOffset);
        expected.bytesField("transactionId", bytes, start, end);
        if (recall !== undefined) expected.bytesField("recallHandle", recall.bytes, 0, recall.length);
        expected.endHeader();
        expected.end();
        const writer = new FrameWriter();
        writer.response(5, 0, 1, "before");
        const before = writer.length;
        const answer = answers.of(region, traceOn, storeHost);
        const written = answer.write(writer, opaque, phyOffset, queueId, queueOffset, bytes, start, end, recall);
        expect(written).toBe(/^[ !#-[\]-~]*$/.test(id));
        expect(writer.isOpen).toBe(false);
        const text = writer.buffer.toString("latin1", before, writer.length);
        expect(text).toBe(written ? expected.buffer.toString("latin1", 0, expected.length) : "");
        if (written) expect(writer.lastOpaque).toBe(opaque);
      },
    ),
    { numRuns: 1000 },
  );
});

test("an answer to a one-way request is dropped", () => {
  const writer = new FrameWriter();
  writer.mute(7);
  new SendAnswers().of("r", true, Buffer.alloc(8)).write(writer, 7, 1, 2, 3, Buffer.from("id"), 0, 2);
  expect(writer.length).toBe(0);
});

test("answers that follow one another are each as one made alone", () => {
  const host = Buffer.from([127, 0, 0, 1, 0, 0, 42, 159]);
  const near = (bounds: number[]) => fc.tuple(fc.constantFrom(...bounds), fc.nat(6)).map(([bound, n]) => bound - n);
  const number = near([6, 10, 100, 1e6, 1e9, 1e9 + 6, 2 ** 31 - 1]);
  const answer = fc.tuple(
    number,
    near([100, 2 ** 32, 2 ** 32 + 6]),
    near([6, 10, 12]),
    number,
    fc.constantFrom(4, 5),
    handle,
  );
  fc.assert(
    fc.property(fc.array(answer, { minLength: 2, maxLength: 40 }), (rows) => {
      const answers = new SendAnswers();
      const together = new FrameWriter();
      let from = 0;
      for (const [opaque, phyOffset, queueId, queueOffset, idBytes, recall] of rows) {
        const id = Buffer.from(String(opaque).padEnd(idBytes, "x").slice(0, idBytes));
        const given = [opaque, phyOffset, queueId, queueOffset, id, 0, idBytes, recall] as const;
        answers.of("R", true, host).write(together, ...given);
        const alone = new FrameWriter();
        new SendAnswers().of("R", true, host).write(alone, ...given);
        expect(together.buffer.toString("latin1", from, together.length)).toBe(
          alone.buffer.toString("latin1", 0, alone.length),
        );
        from = together.length;
      }
    }),
    { numRuns: 500 },
  );
});
