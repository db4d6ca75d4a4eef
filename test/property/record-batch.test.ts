import fc from "fast-check";
import { expect, test } from "vitest";
import { countMessages, encodeMessageBatch, MessageBatchCursor } from "#src/record/message-batch.js";
import { decodeProperties } from "#src/record/properties.js";

const part = fc
  .string({ unit: "binary", minLength: 1, maxLength: 8 })
  .map((text) => text.replaceAll("\u0001", "-").replaceAll("\u0002", "-"));
const message = fc.record({
  flag: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  body: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  properties: fc.array(fc.tuple(part, part), { maxLength: 4 }).map((pairs) => new Map(pairs)),
});
const batch = fc.array(message, { maxLength: 6 });

const viewOf = (bytes: Buffer) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function parse(bytes: Buffer, start: number, end: number) {
  const cursor = new MessageBatchCursor();
  cursor.reset(viewOf(bytes), start, end);
  const messages = [];
  while (cursor.next()) {
    const { flag, bodyStart, bodyLength, propertiesStart, propertiesLength } = cursor;
    expect(bodyStart).toBeGreaterThanOrEqual(start + 20);
    expect(bodyLength).toBeGreaterThanOrEqual(0);
    expect(propertiesStart).toBe(bodyStart + bodyLength + 2);
    expect(propertiesLength).toBeGreaterThanOrEqual(0);
    expect(propertiesStart + propertiesLength).toBeLessThanOrEqual(end);
    messages.push({
      flag,
      body: bytes.subarray(bodyStart, bodyStart + bodyLength),
      properties: decodeProperties(bytes, propertiesStart, propertiesStart + propertiesLength),
    });
  }
  return { messages, malformed: cursor.malformed };
}

test("a batch parses to what it was made of, wherever it lies", () => {
  fc.assert(
    fc.property(batch, fc.nat({ max: 9 }), fc.nat({ max: 9 }), (messages, before, after) => {
      const body = encodeMessageBatch(messages);
      const bytes = Buffer.concat([Buffer.alloc(before, 7), body, Buffer.alloc(after, 7)]);
      const end = before + body.length;
      expect(parse(bytes, before, end)).toEqual({ messages, malformed: false });
      expect(countMessages(viewOf(bytes), before, end)).toBe(messages.length);
    }),
  );
});

test("cut anywhere but between two messages it is malformed", () => {
  fc.assert(
    fc.property(batch, (messages) => {
      const body = encodeMessageBatch(messages);
      const boundaries = messages.map((_, i) => encodeMessageBatch(messages.slice(0, i)).length);
      for (let end = 0; end < body.length; end++) {
        const whole = boundaries.indexOf(end);
        expect(countMessages(viewOf(body), 0, end)).toBe(whole);
        expect(parse(body, 0, end).malformed).toBe(whole < 0);
      }
    }),
    { numRuns: 30 },
  );
});

test("overwritten words never let it reach outside", () => {
  const word = fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), fc.integer({ min: -3, max: 80 }));
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 4 }),
      fc.array(fc.tuple(fc.nat(), word)),
      (messages, patches) => {
        const body = encodeMessageBatch(messages);
        for (const [at, value] of patches) body.writeInt32BE(value, at % (body.length - 3));
        const parsed = parse(body, 0, body.length);
        expect(countMessages(viewOf(body), 0, body.length)).toBe(parsed.malformed ? -1 : parsed.messages.length);
      },
    ),
    { numRuns: 1000 },
  );
});

test("after a malformed message the cursor gives nothing until it begins anew", () => {
  const body = encodeMessageBatch([{ body: Buffer.from("x") }]);
  const cursor = new MessageBatchCursor();
  cursor.reset(viewOf(body), 0, body.length - 1);
  expect([cursor.next(), cursor.next(), cursor.malformed]).toEqual([false, false, true]);
  cursor.reset(viewOf(body), 0, body.length);
  expect([cursor.next(), cursor.next(), cursor.malformed]).toEqual([true, false, false]);
});
