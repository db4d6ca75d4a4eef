import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { decompressBody } from "#src/record/compression.js";
import { messageOf } from "#src/record/decode.js";
import { encodeRecord } from "#src/record/encode.js";
import { parseHost } from "#src/record/host.js";
import { countMessages, encodeMessageBatch, MessageBatchCursor } from "#src/record/message-batch.js";
import { parseMessageId } from "#src/record/message-id.js";
import { decodeProperties, parseProperties } from "#src/record/properties.js";
import { checkPropertyCrc } from "#src/record/property-crc.js";
import { checkBody, RecordVerdict, RecordView } from "#src/record/record-view.js";
import { isCompressed } from "#src/record/sys-flag.js";
import { DEFAULT_DELAY_LEVELS, deliveryTagsCode, parseDelayLevels } from "#src/record/tags-code.js";
import { type ExpectedLine, expectedLines, extractStore, type GoldenStore, storeNames } from "./golden-store.js";

interface StoreLine extends ExpectedLine {
  readonly type: "store";
  readonly maxPhyOffset: number;
}

interface MessageLine extends ExpectedLine {
  readonly type: "message";
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly commitLogOffset: number;
  readonly size: number;
  readonly recordSha256: string;
  /** Null: there is no such record. An object: what the record says, where it differs from the queue. */
  readonly record?: { readonly topic: string; readonly queueId: number; readonly queueOffset: number } | null;
  readonly magic: string;
  readonly tags: string | null;
  readonly keys: string | null;
  readonly properties: Record<string, string>;
  readonly bodyLength: number;
  readonly bodySha256: string;
  readonly bodyCRC: number;
  readonly sysFlag: number;
  readonly flag: number;
  readonly bornTimestamp: number;
  readonly storeTimestamp: number;
  readonly bornHost: string;
  readonly storeHost: string;
  readonly reconsumeTimes: number;
  readonly preparedTransactionOffset: number;
  readonly msgId: string;
  readonly batchNum?: number;
}

/** A store's commit log as segments in order. */
class Log {
  readonly segments: { readonly base: number; readonly bytes: Buffer; readonly view: DataView }[];

  constructor(store: GoldenStore) {
    const directory = join(store.dir, "store", "commitlog");
    this.segments = readdirSync(directory)
      .sort()
      .map((name) => {
        const bytes = readFileSync(join(directory, name));
        return { base: Number(name), bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
      });
  }

  at(phyOffset: number) {
    return this.segments.find(({ base, bytes }) => phyOffset >= base && phyOffset < base + bytes.length);
  }
}

const delayLevels = parseDelayLevels(DEFAULT_DELAY_LEVELS);
const hex32 = (value: number) => (value >>> 0).toString(16);
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

function logLine(record: RecordView, bytes: Buffer, propertyCrc: boolean) {
  return {
    type: "log",
    offset: record.phyOffset,
    size: record.totalSize,
    magic: hex32(record.magic),
    topic: bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength),
    queueId: record.queueId,
    queueOffset: record.queueOffset,
    sysFlag: record.sysFlag,
    tagsCode: String(deliveryTagsCode(record, bytes, delayLevels)),
    storeTimestamp: record.storeTimestamp,
    crcOk: propertyCrc ? checkPropertyCrc(record, bytes) : checkBody(record, bytes),
  };
}

/** Everything from the log's first byte up to `maxPhyOffset`, as the expected lines have it. */
function walk(log: Log, maxPhyOffset: number, propertyCrc: boolean): object[] {
  const record = new RecordView();
  const lines: object[] = [];
  for (const { base, bytes, view } of log.segments) {
    for (let position = 0; position < bytes.length && base + position < maxPhyOffset; position += record.totalSize) {
      const verdict = record.read(view, position, bytes.length);
      if (verdict === RecordVerdict.RECORD) {
        expect(record.phyOffset).toBe(base + position);
        lines.push(logLine(record, bytes, propertyCrc));
        continue;
      }
      expect(verdict).toBe(RecordVerdict.BLANK);
      const next = base + bytes.length;
      const magic = hex32(record.magic);
      lines.push({ type: "blank", offset: base + position, size: record.totalSize, magic, next });
    }
  }
  return lines;
}

describe.each(storeNames())("store %s", (name) => {
  const store = extractStore(name);
  const log = new Log(store);
  const propertyCrc = store.conf.get("forceVerifyPropCRC") === "true";
  const maxPhyOffset = expectedLines<StoreLine>(name, "store")[0]!.maxPhyOffset;

  test("its log reads as Apache reads it, record by record", () => {
    const expected = expectedLines(name).filter(({ type }) => type === "log" || type === "blank");
    expect(walk(log, maxPhyOffset, propertyCrc)).toEqual(expected);
  });

  test("what follows the end that Apache found is no intact record", () => {
    const segment = log.at(maxPhyOffset);
    if (segment === undefined) return;
    const record = new RecordView();
    const verdict = record.read(segment.view, maxPhyOffset - segment.base, segment.bytes.length);
    const damaged = ["corrupt-tail", "corrupt-middle", "crashed"].includes(name);
    if (!damaged) expect(verdict).toBe(RecordVerdict.END);
    else if (verdict === RecordVerdict.RECORD) expect(checkBody(record, segment.bytes)).toBe(false);
    else expect(verdict).toBe(RecordVerdict.MALFORMED);
  });

  test("its messages decode to what Apache decodes", () => {
    const record = new RecordView();
    for (const line of expectedLines<MessageLine>(name, "message")) {
      const segment = log.at(line.commitLogOffset);
      if (line.record === null) {
        expect(segment).toBeUndefined();
        continue;
      }
      const { base, bytes, view } = segment!;
      expect(record.read(view, line.commitLogOffset - base, bytes.length)).toBe(RecordVerdict.RECORD);
      const message = messageOf(record, bytes);
      const owner = line.record ?? line;
      expect(message).toMatchObject({
        topic: owner.topic,
        queueId: owner.queueId,
        queueOffset: owner.queueOffset,
        phyOffset: line.commitLogOffset,
        storeSize: line.size,
        bodyCrc: line.bodyCRC,
        sysFlag: line.sysFlag,
        flag: line.flag,
        bornTimestamp: line.bornTimestamp,
        storeTimestamp: line.storeTimestamp,
        bornHost: printedHost(line.bornHost),
        storeHost: printedHost(line.storeHost),
        reconsumeTimes: line.reconsumeTimes,
        preparedTransactionOffset: line.preparedTransactionOffset,
        msgId: line.msgId,
      });
      expect(hex32(message.magic)).toBe(line.magic);
      expect(Object.fromEntries(message.properties)).toEqual(line.properties);
      expect(message.properties.get("TAGS") ?? null).toBe(line.tags);
      expect(message.properties.get("KEYS") ?? null).toBe(line.keys);
      expect(message.body.length).toBe(line.bodyLength);
      expect(sha256(message.body)).toBe(line.bodySha256);
      expect(parseMessageId(line.msgId)).toEqual({ storeHost: message.storeHost, phyOffset: line.commitLogOffset });
      expect(parseHost(message.bornHost)).toEqual(
        bytes.subarray(record.bornHostStart, record.bornHostStart + record.bornHostLength),
      );
      if (line.batchNum !== undefined && message.properties.has("INNER_NUM")) {
        expect(countMessages(view, record.bodyStart, record.bodyStart + record.bodyLength)).toBe(line.batchNum);
      }
      const raw = bytes.subarray(record.position, record.position + record.totalSize);
      expect(sha256(raw)).toBe(line.recordSha256);
      if (checkBody(record, bytes)) expect(reencoded(record, bytes)).toEqual(raw);
    }
  });
});

/** `hex address:port printed address` of the expected lines as `printed address:port`. */
function printedHost(text: string): string {
  const [hexAndPort, printed] = text.split(" ");
  return `${printed}:${hexAndPort!.split(":")[1]}`;
}

/** The same record made anew from its decoded fields; its properties as they are, for they need not be well formed. */
function reencoded(record: RecordView, bytes: Buffer): Buffer {
  const { magic, bornTimestamp, storeTimestamp, ...fields } = messageOf(record, bytes);
  const end = record.propertiesStart + record.propertiesLength;
  const propertyCrc = fields.properties.has("__CRC32#");
  const properties = bytes.subarray(record.propertiesStart, propertyCrc ? end - 20 : end);
  return encodeRecord({ ...fields, magic, bornTimestamp, storeTimestamp, properties, propertyCrc });
}

test("bodies that Apache compressed come back, whatever the codec", async () => {
  const text = "CometMQ and RocketMQ read the same bytes. ".repeat(40);
  const log = new Log(extractStore("clean"));
  const compressed = expectedLines<MessageLine>("clean", "message").filter((line) => isCompressed(line.sysFlag));
  expect(compressed.map(({ sysFlag }) => sysFlag)).toEqual([0x301, 0x101, 0x201, 0x001]);
  for (const line of compressed) {
    const { base, bytes, view } = log.at(line.commitLogOffset)!;
    const record = new RecordView();
    record.read(view, line.commitLogOffset - base, bytes.length);
    const { body } = messageOf(record, bytes);
    expect((await decompressBody(body, line.sysFlag, text.length)).toString()).toBe(text);
    await expect(decompressBody(body, line.sysFlag, text.length - 1)).rejects.toMatchObject({
      code: "COMETMQ_BAD_MESSAGE",
    });
  }
});

describe.each(["json", "rocketmq"])("batches in %s frames", (serialization) => {
  interface Frame {
    readonly name: string;
    readonly hex: string;
    readonly bodyLen: number;
  }
  const lines = readFileSync(join(import.meta.dirname, "data", "frames", `${serialization}.jsonl`), "utf8").split("\n");
  const batches = lines
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Frame)
    .filter(({ name }) => name === "SEND_BATCH_MESSAGE(320).request");

  test("a body that Apache's client encoded parses, and is the same when encoded again", () => {
    expect(batches.length).toBeGreaterThan(0);
    for (const { hex, bodyLen } of batches) {
      const frame = Buffer.from(hex, "hex");
      const start = frame.length - bodyLen;
      const cursor = new MessageBatchCursor();
      cursor.reset(new DataView(frame.buffer, frame.byteOffset, frame.length), start, frame.length);
      const messages = [];
      while (cursor.next()) {
        const { flag, bodyStart, bodyLength, propertiesStart, propertiesLength } = cursor;
        const properties = decodeProperties(frame, propertiesStart, propertiesStart + propertiesLength);
        expect([...properties.keys()]).toContain("UNIQ_KEY");
        messages.push({ flag, body: frame.subarray(bodyStart, bodyStart + bodyLength), properties });
      }
      expect(cursor.malformed).toBe(false);
      expect(messages.length).toBeGreaterThan(1);
      expect(encodeMessageBatch(messages)).toEqual(frame.subarray(start));
    }
  });
});

test("parsing property text is case for case what Apache's broker made of the malformed ones", () => {
  const special = expectedLines<MessageLine>("clean", "message").filter(
    ({ topic, queueId }) => topic === "Special" && queueId === 2,
  );
  const written = [
    "a\u0001b\u0002",
    "a\u0001b",
    "a\u0001\u0002c\u0001d\u0002",
    "\u0001v\u0002TAGS\u0001T9\u0002",
    "noseparator\u0002KEYS\u0001rawkey\u0002",
    "a\u0001b\u0001c\u0002",
    "\u0002\u0002x\u0001y\u0002",
    "TAGS\u0001AaAa\u0002TAGS\u0001BBBB\u0002",
    "KEYS\u0001 k1  k2 \u0002",
  ];
  expect(written.map((text) => Object.fromEntries(parseProperties(text)))).toEqual(
    special.map(({ properties }) => properties),
  );
});
