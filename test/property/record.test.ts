import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { messageOf } from "#src/record/decode.js";
import { encodeRecord, type RecordFields } from "#src/record/encode.js";
import { BLANK_BYTES_MIN, MAGIC_BLANK, MAGIC_V1, MAGIC_V2, magicFor, recordBytes } from "#src/record/layout.js";
import { checkPropertyCrc } from "#src/record/property-crc.js";
import { checkBody, RecordVerdict, RecordView } from "#src/record/record-view.js";

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const int64 = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1));
const port = fc.nat({ max: 65535 });
const ipv4 = fc.tuple(fc.ipV4(), port).map(([address, at]) => `${address}:${at}`);
/** As Java prints it, and never an IPv4-mapped one. */
const ipv6 = fc
  .tuple(fc.array(fc.integer({ min: 1, max: 0xffff }), { minLength: 8, maxLength: 8 }), port)
  .map(([groups, at]) => `${groups.map((group) => group.toString(16)).join(":")}:${at}`);
const host = fc.oneof(ipv4, ipv6);
const text = fc.string({ unit: "binary", maxLength: 24 });
const topic = fc.oneof(
  text,
  fc.string({ unit: "grapheme-ascii", minLength: 120, maxLength: 135 }),
  fc.string({ unit: "grapheme-ascii", minLength: 250, maxLength: 255 }),
);
const propertyText = text.map((value) => `p${value.replaceAll("\u0001", "").replaceAll("\u0002", "")}`);
const properties = fc.array(fc.tuple(propertyText, propertyText), { maxLength: 6 }).map((pairs) => new Map(pairs));

const fields = fc.record({
  topic,
  queueId: int32,
  flag: int32,
  sysFlag: int32,
  queueOffset: int64,
  phyOffset: int64,
  bornTimestamp: int64,
  bornHost: host,
  storeTimestamp: int64,
  storeHost: host,
  reconsumeTimes: int32,
  preparedTransactionOffset: int64,
  body: fc.uint8Array({ maxLength: 200 }),
  properties,
  propertyCrc: fc.boolean(),
});

const viewOf = (bytes: Buffer) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** All ranges lie inside the record, in order and without gaps. */
function expectRangesInside(record: RecordView, limit: number): void {
  const topicLengthBytes = record.magic === MAGIC_V2 ? 2 : 1;
  expect(record.position + record.totalSize).toBeLessThanOrEqual(limit);
  expect(record.bornHostStart).toBe(record.position + 48);
  expect(record.storeHostStart).toBe(record.bornHostStart + record.bornHostLength + 8);
  expect(record.bodyStart).toBe(record.storeHostStart + record.storeHostLength + 16);
  expect(record.bodyLength).toBeGreaterThanOrEqual(0);
  expect(record.topicStart).toBe(record.bodyStart + record.bodyLength + topicLengthBytes);
  expect(record.topicLength).toBeGreaterThanOrEqual(0);
  expect(record.propertiesStart).toBe(record.topicStart + record.topicLength + 2);
  expect(record.propertiesLength).toBeGreaterThanOrEqual(0);
  expect(record.propertiesStart + record.propertiesLength).toBe(record.position + record.totalSize);
}

/** Whatever the bytes are: reading them does not throw, and what is called a record can be decoded. */
function expectSafe(bytes: Buffer, position: number, limit: number): void {
  const record = new RecordView();
  if (record.read(viewOf(bytes), position, limit) !== RecordVerdict.RECORD) return;
  expectRangesInside(record, limit);
  checkBody(record, bytes);
  checkPropertyCrc(record, bytes);
  expect(messageOf(record, bytes).storeSize).toBe(record.totalSize);
}

describe("an encoded record", () => {
  test("reads back field by field, wherever it lies", () => {
    fc.assert(
      fc.property(
        fields,
        fc.uint8Array({ maxLength: 20 }),
        fc.uint8Array({ maxLength: 20 }),
        (given, before, after) => {
          const encoded = encodeRecord(given);
          const bytes = Buffer.concat([before, encoded, after]);
          const record = new RecordView();
          expect(record.read(viewOf(bytes), before.length, bytes.length)).toBe(RecordVerdict.RECORD);
          expectRangesInside(record, bytes.length);
          expect(checkBody(record, bytes)).toBe(true);
          expect(checkPropertyCrc(record, bytes)).toBe(given.propertyCrc);
          const { body, propertyCrc, sysFlag, properties: given_, ...same } = given;
          const message = messageOf(record, bytes);
          expect(message).toMatchObject(same);
          expect(message.storeSize).toBe(encoded.length);
          expect(message.magic).toBe(magicFor(Buffer.byteLength(given.topic)));
          expect(message.sysFlag & ~0x30).toBe(sysFlag & ~0x30);
          expect(message.body).toEqual(Buffer.from(body));
          message.properties.delete("__CRC32#");
          expect(message.properties).toEqual(given_);
          expect(encoded.length).toBe(
            recordBytes(message.magic, message.sysFlag, body.length, record.topicLength, record.propertiesLength),
          );
        },
      ),
    );
  });

  test("is truncated, and says how much it needs, at every shorter limit", () => {
    fc.assert(
      fc.property(fields, fc.nat({ max: 5 }), (given, before) => {
        const encoded = encodeRecord(given);
        const bytes = Buffer.concat([Buffer.alloc(before, 0xaa), encoded]);
        const record = new RecordView();
        for (let limit = before; limit < bytes.length; limit++) {
          expect(record.read(viewOf(bytes), before, limit)).toBe(RecordVerdict.TRUNCATED);
          expect(record.totalSize).toBe(limit - before < BLANK_BYTES_MIN ? BLANK_BYTES_MIN : encoded.length);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("half written, with zeros behind, passes no check of its CRCs", () => {
    fc.assert(
      fc.property(fields, fc.nat(), (given, cut) => {
        const encoded = encodeRecord({ ...given, propertyCrc: true });
        const torn = Buffer.from(encoded).fill(0, cut % encoded.length);
        fc.pre(!torn.equals(encoded));
        const record = new RecordView();
        if (record.read(viewOf(torn), 0, torn.length) === RecordVerdict.RECORD) {
          expect(checkPropertyCrc(record, torn)).toBe(false);
        }
      }),
    );
  });

  test("with one bit flipped is told by its whole-record CRC", () => {
    fc.assert(
      fc.property(fields, fc.nat(), (given, at) => {
        const bytes = encodeRecord({ ...given, propertyCrc: true });
        const bit = at % (bytes.length * 8);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        const record = new RecordView();
        if (record.read(viewOf(bytes), 0, bytes.length) === RecordVerdict.RECORD) {
          expect(checkPropertyCrc(record, bytes)).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("with one bit of the body flipped is told by the body CRC", () => {
    fc.assert(
      fc.property(fields, fc.uint8Array({ minLength: 1, maxLength: 100 }), fc.nat(), (given, body, at) => {
        const bytes = encodeRecord({ ...given, body });
        const record = new RecordView();
        expect(record.read(viewOf(bytes), 0, bytes.length)).toBe(RecordVerdict.RECORD);
        const bit = at % (body.length * 8);
        bytes[record.bodyStart + (bit >> 3)]! ^= 1 << (bit & 7);
        expect(record.read(viewOf(bytes), 0, bytes.length)).toBe(RecordVerdict.RECORD);
        expect(checkBody(record, bytes)).toBe(false);
      }),
    );
  });
});

test("records and a blank that follow one another are walked by their sizes", () => {
  fc.assert(
    fc.property(fc.array(fields, { maxLength: 8 }), fc.integer({ min: 8, max: 64 }), (list, blankBytes) => {
      const blank = Buffer.alloc(blankBytes);
      blank.writeInt32BE(blankBytes, 0);
      blank.writeInt32BE(MAGIC_BLANK, 4);
      const bytes = Buffer.concat([...list.map((given: RecordFields) => encodeRecord(given)), blank]);
      const record = new RecordView();
      const topics: string[] = [];
      let position = 0;
      while (record.read(viewOf(bytes), position, bytes.length) === RecordVerdict.RECORD) {
        topics.push(messageOf(record, bytes).topic);
        position += record.totalSize;
      }
      expect(topics).toEqual(list.map((given) => given.topic));
      expect(record.read(viewOf(bytes), position, bytes.length)).toBe(RecordVerdict.BLANK);
      expect(position + record.totalSize).toBe(bytes.length);
    }),
  );
});

describe("hostile bytes", () => {
  const word = fc.oneof(
    int32,
    fc.integer({ min: 0, max: 300 }),
    fc.constantFrom(MAGIC_V1, MAGIC_V2, MAGIC_BLANK, 0, -1, 2 ** 31 - 1, -(2 ** 31)),
  );

  test("are never a record that reaches outside, whatever they are", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        word,
        fc.constantFrom(MAGIC_V1, MAGIC_V2),
        (given, size, magic) => {
          const bytes = Buffer.concat([Buffer.alloc(8), given]);
          bytes.writeInt32BE(size, 0);
          bytes.writeInt32BE(magic, 4);
          expectSafe(bytes, 0, bytes.length);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("made of a record by overwriting words of it are never a record that reaches outside", () => {
    const patch = fc.tuple(fc.nat(), word);
    fc.assert(
      fc.property(
        fields,
        fc.array(patch, { minLength: 1, maxLength: 4 }),
        fc.nat({ max: 40 }),
        (given, patches, more) => {
          const bytes = Buffer.concat([encodeRecord(given), Buffer.alloc(more, 1)]);
          for (const [at, value] of patches) bytes.writeInt32BE(value, at % (bytes.length - 3));
          expectSafe(bytes, 0, bytes.length);
          expectSafe(bytes, 0, bytes.length - more);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("in the length fields never make parts that do not add up", () => {
    fc.assert(
      fc.property(fields, fc.constantFrom("size", "body", "topic", "properties"), int32, (given, which, value) => {
        const bytes = encodeRecord(given);
        const record = new RecordView();
        record.read(viewOf(bytes), 0, bytes.length);
        if (which === "size") bytes.writeInt32BE(value, 0);
        else if (which === "body") bytes.writeInt32BE(value, record.bodyStart - 4);
        else if (which === "properties") bytes.writeInt16BE(value >> 16, record.propertiesStart - 2);
        else bytes[record.topicStart - 1] = value;
        expectSafe(bytes, 0, bytes.length);
      }),
      { numRuns: 1000 },
    );
  });
});
