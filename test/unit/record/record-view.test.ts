import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { decodeRecord, decodeRecords } from "#src/record/decode.js";
import { encodeRecord } from "#src/record/encode.js";
import {
  MAGIC_BLANK,
  MAGIC_V1,
  MAGIC_V2,
  PROPERTIES_BYTES_MAX,
  RECORD_BYTES_MIN,
  recordBytes,
} from "#src/record/layout.js";
import { checkPropertyCrc } from "#src/record/property-crc.js";
import { checkBody, RecordVerdict, RecordView } from "#src/record/record-view.js";

const viewOf = (bytes: Buffer) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function verdictOf(bytes: Buffer, position = 0, limit = bytes.length): number {
  return new RecordView().read(viewOf(bytes), position, limit);
}

/** Size and magic, and zeros up to `length`. */
function head(size: number, magic: number, length = 120): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeInt32BE(size, 0);
  bytes.writeInt32BE(magic, 4);
  return bytes;
}

const fields = {
  topic: "TopicTest",
  queueId: 3,
  flag: -2,
  sysFlag: 0x101,
  queueOffset: 0x1_0000_0002,
  phyOffset: 0x12_3456_789a,
  bornTimestamp: 1_762_255_040_133,
  bornHost: "10.1.2.3:40000",
  storeTimestamp: 1_762_255_040_134,
  storeHost: "127.0.0.1:10911",
  reconsumeTimes: 1,
  preparedTransactionOffset: 5,
  body: Buffer.from("Hello"),
  properties: new Map([["TAGS", "TagA"]]),
};

/** `fields` written out by hand, field by field. */
const EXPECTED_V1 = [
  "00000073", // total size 115
  "daa320a7", // magic
  "77d18982", // CRC-32 of "Hello" is f7d18982
  "00000003", // queue id
  "fffffffe", // flag
  "0000000100000002", // queue offset
  "000000123456789a", // physical offset
  "00000101", // sysFlag
  "0000019a4e95ee85", // born timestamp
  "0a01020300009c40", // born host
  "0000019a4e95ee86", // store timestamp
  "7f00000100002a9f", // store host
  "00000001", // reconsume times
  "0000000000000005", // prepared transaction offset
  "0000000548656c6c6f", // body
  "09546f70696354657374", // topic
  "000a54414753015461674102", // properties
].join("");

describe("encodeRecord", () => {
  test("writes a V1 record byte for byte", () => {
    expect(encodeRecord(fields).toString("hex")).toBe(EXPECTED_V1);
  });

  test("takes V2 and a two-byte topic length from 128 bytes on", () => {
    const short = encodeRecord({ topic: "t".repeat(127) });
    const long = encodeRecord({ topic: "t".repeat(128) });
    expect(decodeRecord(short).magic).toBe(MAGIC_V1);
    expect(decodeRecord(long).magic).toBe(MAGIC_V2);
    expect(long.length - short.length).toBe(2);
    expect(long.readInt16BE(long.length - 132)).toBe(128);
    expect(decodeRecord(encodeRecord({ topic: "t", magic: MAGIC_V2 })).topic).toBe("t");
  });

  test("sets the host flags by the hosts, whatever the sysFlag says", () => {
    const record = encodeRecord({ topic: "t", sysFlag: 0x30, bornHost: "[::1]:5", storeHost: "1.2.3.4:6" });
    expect(decodeRecord(record)).toMatchObject({
      sysFlag: 0x10,
      bornHost: "0:0:0:0:0:0:0:1:5",
      storeHost: "1.2.3.4:6",
    });
    expect(record.length).toBe(recordBytes(MAGIC_V1, 0x10, 0, 1, 0));
  });

  test("refuses what a record cannot hold", () => {
    const bad = { code: "COMETMQ_BAD_MESSAGE" };
    expect(() => encodeRecord({ topic: "t".repeat(256) })).toThrow(expect.objectContaining(bad));
    expect(() => encodeRecord({ topic: "t".repeat(128), magic: MAGIC_V1 })).toThrow(expect.objectContaining(bad));
    expect(() => encodeRecord({ topic: "t", storeHost: "localhost:1" })).toThrow(expect.objectContaining(bad));
    const properties = Buffer.alloc(PROPERTIES_BYTES_MAX, "p");
    expect(encodeRecord({ topic: "t", properties }).length).toBe(RECORD_BYTES_MIN + 1 + PROPERTIES_BYTES_MAX);
    expect(() => encodeRecord({ topic: "t", properties, propertyCrc: true })).toThrow(expect.objectContaining(bad));
  });

  test("puts a separator in front of the whole-record CRC where one is missing, and ten digits in reverse", () => {
    const open = encodeRecord({ topic: "t", properties: Buffer.from("a\u0001b"), propertyCrc: true });
    const closed = encodeRecord({ topic: "t", properties: Buffer.from("a\u0001b\u0002"), propertyCrc: true });
    expect(open).toEqual(closed);
    expect(decodeRecord(open).properties.get("a")).toBe("b");
    const last = open.toString("latin1", open.length - 20);
    expect(last.slice(0, 9) + last.slice(19)).toBe("__CRC32#\u0001\u0002");
    const digits = [...last.slice(9, 19)].reverse().join("");
    expect(Number(digits)).toBe(crc32(open.subarray(0, -20)) & 0x7fffffff);
  });
});

describe("RecordView", () => {
  test("reads the fields of a record that does not lie at the beginning", () => {
    const bytes = Buffer.concat([Buffer.alloc(7), Buffer.from(EXPECTED_V1, "hex")]);
    const record = new RecordView();
    expect(record.read(viewOf(bytes), 7, bytes.length)).toBe(RecordVerdict.RECORD);
    expect({ ...record }).toEqual({
      position: 7,
      totalSize: 115,
      magic: MAGIC_V1,
      bodyCrc: 0x77d18982,
      queueId: 3,
      flag: -2,
      queueOffset: 0x1_0000_0002,
      phyOffset: 0x12_3456_789a,
      sysFlag: 0x101,
      bornTimestamp: 1_762_255_040_133,
      bornHostStart: 55,
      bornHostLength: 8,
      storeTimestamp: 1_762_255_040_134,
      storeHostStart: 71,
      storeHostLength: 8,
      reconsumeTimes: 1,
      preparedTransactionOffset: 5,
      bodyStart: 95,
      bodyLength: 5,
      topicStart: 101,
      topicLength: 9,
      propertiesStart: 112,
      propertiesLength: 10,
      hasNegativeLength: false,
    });
  });

  test("tells zeros, and a record whose size was not written yet, from damage", () => {
    expect(verdictOf(head(0, 0))).toBe(RecordVerdict.END);
    expect(verdictOf(head(0, MAGIC_V1))).toBe(RecordVerdict.END);
    expect(verdictOf(head(115, 0))).toBe(RecordVerdict.MALFORMED);
    expect(verdictOf(head(115, 0x12345678))).toBe(RecordVerdict.MALFORMED);
    expect(verdictOf(head(-1, MAGIC_V1))).toBe(RecordVerdict.MALFORMED);
    expect(verdictOf(head(RECORD_BYTES_MIN - 1, MAGIC_V1))).toBe(RecordVerdict.MALFORMED);
    expect(verdictOf(head(RECORD_BYTES_MIN, MAGIC_V1))).toBe(RecordVerdict.RECORD);
    expect(verdictOf(head(RECORD_BYTES_MIN, MAGIC_V2))).toBe(RecordVerdict.MALFORMED);
    expect(verdictOf(head(RECORD_BYTES_MIN + 1, MAGIC_V2))).toBe(RecordVerdict.RECORD);
  });

  test("takes a blank of any size up to the limit, as Apache does", () => {
    expect(verdictOf(head(120, MAGIC_BLANK))).toBe(RecordVerdict.BLANK);
    expect(verdictOf(head(8, MAGIC_BLANK, 8))).toBe(RecordVerdict.BLANK);
    expect(verdictOf(head(0, MAGIC_BLANK))).toBe(RecordVerdict.BLANK);
    expect(verdictOf(head(121, MAGIC_BLANK))).toBe(RecordVerdict.TRUNCATED);
  });

  test("says how many bytes it needs", () => {
    const bytes = encodeRecord(fields);
    const record = new RecordView();
    expect(record.read(viewOf(bytes), 0, 7)).toBe(RecordVerdict.TRUNCATED);
    expect(record.totalSize).toBe(8);
    expect(record.read(viewOf(bytes), 0, bytes.length - 1)).toBe(RecordVerdict.TRUNCATED);
    expect(record.totalSize).toBe(bytes.length);
    expect(record.read(viewOf(bytes), bytes.length, bytes.length)).toBe(RecordVerdict.TRUNCATED);
  });

  test("takes a negative body or properties length for none, as Apache does, but not a negative topic length", () => {
    const empty = encodeRecord({ topic: "t" });
    const negative = Buffer.from(empty);
    negative.writeInt32BE(-7, 84);
    negative.writeInt16BE(-1, negative.length - 2);
    const record = new RecordView();
    expect(record.read(viewOf(negative), 0, negative.length)).toBe(RecordVerdict.RECORD);
    expect([record.bodyLength, record.propertiesLength]).toEqual([0, 0]);
    expect(checkBody(record, negative)).toBe(true);
    expect(record.hasNegativeLength).toBe(true);
    negative[88] = 0xff;
    expect(verdictOf(negative)).toBe(RecordVerdict.MALFORMED);
    const longTopic = encodeRecord({ topic: "t".repeat(200) });
    longTopic.writeInt16BE(-200, 88);
    expect(verdictOf(longTopic)).toBe(RecordVerdict.MALFORMED);
  });

  test("never looks past the bytes for a part that a length puts there", () => {
    const bytes = encodeRecord({ topic: "topic", body: Buffer.alloc(9), properties: Buffer.from("a\u0001b") });
    const longTopic = encodeRecord({ topic: "topic", magic: MAGIC_V2, body: Buffer.alloc(9) });
    for (const record of [bytes, longTopic]) {
      for (let bodyLength = 0; bodyLength < record.length; bodyLength++) {
        record.writeInt32BE(bodyLength, 84);
        expect(verdictOf(record)).toBe(bodyLength === 9 ? RecordVerdict.RECORD : RecordVerdict.MALFORMED);
      }
    }
    for (const sysFlag of [0x10, 0x20, 0x30]) {
      const hosts = head(RECORD_BYTES_MIN, MAGIC_V1, RECORD_BYTES_MIN);
      hosts.writeInt32BE(sysFlag, 36);
      expect(verdictOf(hosts)).toBe(RecordVerdict.MALFORMED);
    }
  });

  test("refuses parts that add up to less or more than the size", () => {
    const bytes = Buffer.concat([encodeRecord(fields), Buffer.alloc(4)]);
    for (const size of [113, 114, 116, 119]) {
      bytes.writeInt32BE(size, 0);
      expect(verdictOf(bytes)).toBe(RecordVerdict.MALFORMED);
    }
    bytes.writeInt32BE(115, 0);
    expect(verdictOf(bytes)).toBe(RecordVerdict.RECORD);
  });
});

describe("CRCs", () => {
  test("an empty body passes whatever its CRC says", () => {
    const bytes = encodeRecord({ topic: "t" });
    bytes.writeInt32BE(12345, 8);
    const record = new RecordView();
    record.read(viewOf(bytes), 0, bytes.length);
    expect(checkBody(record, bytes)).toBe(true);
  });

  test("the whole-record CRC covers offsets and timestamps, and a record without one fails", () => {
    const bytes = encodeRecord({ ...fields, propertyCrc: true });
    const record = new RecordView();
    record.read(viewOf(bytes), 0, bytes.length);
    expect(checkPropertyCrc(record, bytes)).toBe(true);
    bytes[35]! ^= 1;
    expect(checkPropertyCrc(record, bytes)).toBe(false);
    const without = encodeRecord(fields);
    record.read(viewOf(without), 0, without.length);
    expect(checkPropertyCrc(record, without)).toBe(false);
  });
});

describe("decodeRecord", () => {
  test("gives the record as an object", () => {
    expect(decodeRecord(encodeRecord(fields))).toEqual({
      ...fields,
      storeSize: 115,
      magic: MAGIC_V1,
      bodyCrc: 0x77d18982,
      msgId: "7F00000100002A9F000000123456789A",
    });
  });

  test("throws where there is no whole record", () => {
    const bytes = encodeRecord(fields);
    const bad = expect.objectContaining({ code: "COMETMQ_BAD_MESSAGE" });
    expect(() => decodeRecord(bytes.subarray(0, -1))).toThrow(bad);
    expect(() => decodeRecord(bytes, 1)).toThrow(bad);
    expect(() => decodeRecord(Buffer.alloc(200))).toThrow(bad);
  });

  test("of several stops before the first that is none", () => {
    const two = Buffer.concat([encodeRecord({ topic: "a" }), encodeRecord({ topic: "b" })]);
    const topics = (bytes: Buffer) => decodeRecords(bytes).map(({ topic }) => topic);
    expect(topics(two)).toEqual(["a", "b"]);
    expect(topics(two.subarray(0, -1))).toEqual(["a"]);
    expect(topics(Buffer.alloc(0))).toEqual([]);
  });
});
