/**
 * What is fuzzed in this process, parser by parser. `run` takes any bytes; what it throws is a find, but for a CometError.
 * What it returns sums up what became of the input: an input with a new sum is kept to make others of.
 */
import { deflateSync, gzipSync } from "node:zlib";
import { CometError } from "#src/base/errors.js";
import { MemoryDisk } from "#src/io/memory-disk.js";
import { compileFilter, SQL92 } from "#src/filter/message-filter.js";
import { MessageReader } from "#src/grpc/message-reader.js";
import { loadMethods } from "#src/grpc/proto.js";
import { compressBody, decompressBody } from "#src/record/compression.js";
import { decodeRecords } from "#src/record/decode.js";
import { encodeMessageBatch, MessageBatchCursor } from "#src/record/message-batch.js";
import { parseMessageId } from "#src/record/message-id.js";
import {
  decodeProperties,
  encodeProperties,
  findProperty,
  PropertyScan,
  tagsHash,
  ValueRange,
} from "#src/record/properties.js";
import { CompressionType, withCompression } from "#src/record/sys-flag.js";
import { parseFastjson, toFastjson } from "#src/remoting/fastjson.js";
import { AssemblyBudget } from "#src/remoting/assembly-budget.js";
import { FrameDecoder, FrameVerdict } from "#src/remoting/frame-decoder.js";
import { HeaderView } from "#src/remoting/header-view.js";
import { hostPattern } from "#src/server/auth/host-pattern.js";
import { readPlainAcl } from "#src/server/auth/plain-acl.js";
import { policiesJson, PolicyError, readPolicies } from "#src/server/auth/policy.js";
import { readBrokerConfig } from "#src/server/broker/broker-config.js";
import { parseRecallHandle } from "#src/server/broker/timer/recall-handle.js";
import { ProxyError } from "#src/server/proxy/proxy-error.js";
import { decodeReceiptHandle } from "#src/server/proxy/receipt-handle.js";
import { openStore, put, segmentPath } from "../property/store-fixture.js";
import { framed } from "../unit/grpc/framed.js";
import { goldenRequests } from "./mutations.js";

export interface FuzzTarget {
  readonly name: string;
  readonly seeds: () => Buffer[] | Promise<Buffer[]>;
  readonly words?: readonly string[];
  readonly run: (bytes: Buffer) => string | Promise<string>;
}

const BODY_BYTES_MAX = 256 * 1024;
const utf8 = (...texts: string[]) => texts.map((text) => Buffer.from(text));

/** The code of a refusal that is meant; anything else goes on. */
export function meant(error: unknown): string {
  if (error instanceof CometError) return error.code;
  if (error instanceof PolicyError || error instanceof ProxyError) return error.name;
  throw error;
}

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** Chunks that end anywhere, as sockets give them: the first byte says where. */
function framesOf(bytes: Buffer): string {
  const decoder = new FrameDecoder({ frameBytesMax: 1 << 20, budget: new AssemblyBudget(1 << 20) });
  const header = new HeaderView();
  const step = 1 + (bytes[0] ?? 0) * 7;
  let sum = "";
  for (let at = 1; at < bytes.length; at += step) {
    decoder.push(Buffer.from(bytes.subarray(at, at + step)));
    for (;;) {
      const verdict = decoder.next();
      if (verdict === FrameVerdict.MORE) break;
      if (verdict !== FrameVerdict.FRAME) return `${sum}!${verdict}`;
      const { headerStart, headerEnd, bodyEnd } = decoder;
      must(
        headerStart <= headerEnd && headerEnd <= bodyEnd && bodyEnd <= decoder.bytes.length,
        "a frame out of bounds",
      );
      const ok = header.parse(decoder.bytes, headerStart, headerEnd, decoder.serializeType);
      sum += `${decoder.serializeType}${ok ? fieldsOf(header) : "x"},`;
    }
  }
  return `${sum}${decoder.hasBytes}`;
}

function fieldsOf(header: HeaderView): string {
  for (let i = 0; i < header.fieldCount; i++) {
    const key = header.keyText(i);
    const value = header.valueText(i);
    header.integer(key);
    header.boolean(key);
    must(header.text(key) === undefined || typeof value === "string", "a value is text");
  }
  void header.remark;
  return String(Math.min(header.fieldCount, 20));
}

const range = new ValueRange();
const scan = new PropertyScan(["TAGS", "KEYS", "UNIQ_KEY", "a"]);

function propertiesOf(bytes: Buffer): string {
  const map = decodeProperties(bytes, 0, bytes.length);
  let found = "";
  for (const name of ["TAGS", "KEYS", "a"]) {
    const isThere = findProperty(bytes, 0, bytes.length, Buffer.from(name), range);
    must(!isThere || (range.start <= range.end && range.end <= bytes.length), "a range out of bounds");
    found += isThere ? 1 : 0;
  }
  scan.scan(bytes, 0, bytes.length);
  for (let i = 0; i < 4; i++) found += scan.text(bytes, i) === undefined ? "-" : "+";
  tagsHash(bytes, 0, bytes.length);
  encodeProperties(map);
  return `${Math.min(map.size, 20)} ${found}`;
}

function batchOf(bytes: Buffer): string {
  const cursor = new MessageBatchCursor();
  cursor.reset(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
  let count = 0;
  while (cursor.next()) {
    const { bodyStart, bodyLength, propertiesStart, propertiesLength } = cursor;
    must(bodyStart + bodyLength <= propertiesStart, "a body out of bounds");
    must(propertiesStart + propertiesLength <= bytes.length, "properties out of bounds");
    count++;
  }
  return `${Math.min(count, 50)} ${cursor.malformed}`;
}

const FILTERED = encodeProperties([
  ["a", "3"],
  ["b", "text"],
  ["c", "true"],
  ["d", "1e308"],
  ["TAGS", "x"],
]);

function filterOf(bytes: Buffer): string {
  const filter = compileFilter(SQL92, bytes.toString("utf8"));
  return `${filter.truthOf(FILTERED, 0, FILTERED.length)} ${filter.truthOf(bytes, 0, bytes.length)} ${Math.min(filter.steps, 99).toFixed(0)}`;
}

const SQL_WORDS = [
  ...["AND", "OR", "NOT", "BETWEEN", "IN", "IS", "NULL", "CONTAINS", "STARTSWITH", "ENDSWITH", "TRUE", "FALSE", "LIKE"],
  ...[
    "a",
    "b",
    "c",
    "d",
    "'x'",
    "''",
    "1",
    "-1",
    "1.5",
    "9223372036854775808",
    "1e999",
    "=",
    "<>",
    "<=",
    "(",
    ")",
    ",",
  ],
];

async function bombs(): Promise<Buffer[]> {
  const zeros = Buffer.alloc(8 * 1024 * 1024);
  const small = Buffer.from("some text that is compressed, some text that is compressed");
  const seeds: Buffer[] = [];
  for (const type of Object.values(CompressionType)) {
    for (const body of [small, zeros]) {
      try {
        seeds.push(Buffer.concat([Buffer.from([type]), await compressBody(body, type)]));
      } catch (error) {
        meant(error);
      }
    }
  }
  return seeds;
}

/** The first byte says how. */
async function contentOf(bytes: Buffer): Promise<string> {
  const type = bytes[0] ?? 0;
  const content = await decompressBody(
    bytes.subarray(1),
    withCompression(0, (type & 3) as CompressionType),
    BODY_BYTES_MAX,
  );
  must(content.length <= BODY_BYTES_MAX, "a bomb went off");
  return `${type & 3} ${Math.ceil(Math.log2(content.length + 1))}`;
}

const METHODS = [...loadMethods().values()];

export function protoSeeds(): Buffer[] {
  const topic = { name: "T" };
  const group = { name: "G" };
  const messages = [
    { topic, body: Buffer.from("x"), userProperties: { a: "b" }, systemProperties: { keys: ["k"], tag: "t" } },
  ];
  const all = {
    ...{ topic, group, messages, messageQueue: { topic, id: 1 }, clientType: 1, receiptHandle: "h", messageId: "m" },
    ...{
      entries: [{ messageId: "m", receiptHandle: "h" }],
      settings: { publishing: { topics: [topic] } },
      batchSize: 3,
    },
    ...{ filterExpression: { type: 1, expression: "*" }, invisibleDuration: { seconds: 1 }, offset: 1, resolution: 1 },
  };
  const raw = METHODS.map(({ request }, index) =>
    Buffer.concat([Buffer.from([index, 0]), framedBy(request.encode(all))]),
  );
  const zeros = Buffer.alloc(1024 * 1024);
  return [...raw, squeezed(1, gzipSync(zeros)), squeezed(2, deflateSync(zeros))];
}

function framedBy(message: Buffer, compressed = 0): Buffer {
  const frame = framed(message);
  frame[0] = compressed;
  return frame;
}

function squeezed(encoding: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0, encoding]), framedBy(bytes, 1)]);
}

/** The first byte names the method, the second the encoding. */
function messagesOf(bytes: Buffer): string {
  const { name, request } = METHODS[(bytes[0] ?? 0) % METHODS.length]!;
  const encoding = ["identity", "gzip", "deflate", "br"][(bytes[1] ?? 0) & 3]!;
  const reader = new MessageReader(BODY_BYTES_MAX, { bytes: 0, bytesMax: 1 << 20 }, encoding);
  let sum = `${name} ${encoding}`;
  const problem = reader.push(Buffer.from(bytes.subarray(2)), (message) => {
    must(message.length <= BODY_BYTES_MAX, "a message beyond its bound");
    try {
      sum += ` ${Object.keys(request.decode(message)).sort().join()}`;
    } catch (error) {
      // protobufjs has no error of its own for bytes that are no message.
      must(error instanceof Error && !/stack|undefined|not a function/i.test(error.message), String(error));
      sum += " !";
    }
  });
  return `${sum} ${problem}`;
}

function jsonOf(bytes: Buffer): string {
  const value = parseFastjson(bytes);
  if (value === undefined) return "none";
  const written = toFastjson(value);
  must(parseFastjson(written) !== undefined, "what is written can be read");
  if (!(value instanceof Map)) return typeof value;
  const acl = policiesJson(readPolicies(value));
  return `map ${acl?.length}`;
}

async function writtenRecords(): Promise<Buffer[]> {
  const disk = new MemoryDisk();
  const store = await openStore(disk, 64 * 1024);
  for (let i = 0; i < 5; i++) put(store, `T${i % 2}`, 0, Buffer.from(`body ${i}`), { KEYS: `k${i}` });
  const bytes = disk.readFile(segmentPath(64 * 1024, 0))!.subarray(0, store.maxPhyOffset);
  await store.close();
  return [Buffer.from(bytes)];
}

function recordsOf(bytes: Buffer): string {
  return String(decodeRecords(bytes).length);
}

function handlesOf(bytes: Buffer): string {
  const text = bytes.toString("latin1");
  const pattern = hostPattern(text);
  pattern?.("10.0.0.1");
  return `${parseMessageId(text) === undefined} ${parseRecallHandle(text) === undefined} ${pattern === undefined} ${receipt(text)}`;
}

function receipt(text: string): string {
  try {
    return typeof decodeReceiptHandle(text);
  } catch (error) {
    return meant(error);
  }
}

function settingsOf(bytes: Buffer): string {
  let sum = "";
  try {
    const { config, unknownNames } = readBrokerConfig(bytes.toString("utf8"));
    sum = `${Object.keys(config).length} ${unknownNames.length > 0}`;
  } catch (error) {
    sum = meant(error);
  }
  return `${sum} ${readPlainAcl(bytes, "plain_acl.yml").accounts.length}`;
}

const ACL = {
  policies: [
    {
      policyType: "Custom",
      entries: [{ resource: "Topic:t*", actions: ["Pub"], sourceIps: ["10.0.0.0/8"], decision: "Allow" }],
    },
  ],
};

export const TARGETS: readonly FuzzTarget[] = [
  {
    name: "frames",
    seeds: () => goldenRequests().map(({ bytes }, index) => Buffer.concat([Buffer.from([index]), bytes, bytes])),
    words: ['"topic":"x"', '"extFields":{', '"\\u0074"', "\\ud800", "null", "-0", "1e5"],
    run: framesOf,
  },
  {
    name: "properties",
    seeds: () => [
      FILTERED,
      Buffer.from("KEYS\u0001k\u0002TAGS\u0001t\u0002"),
      Buffer.from("a\u0001\u0002\u0002b\u0001"),
    ],
    words: ["TAGS", "KEYS", "\u0001", "\u0002"],
    run: propertiesOf,
  },
  {
    name: "batches",
    seeds: () =>
      [1, 3, 40].map((count) => {
        const one = { body: Buffer.from("body"), properties: [["a", "b"]] as [string, string][] };
        return encodeMessageBatch(Array.from({ length: count }, () => one));
      }),
    run: batchOf,
  },
  {
    name: "sql",
    seeds: () =>
      utf8(
        "a > 1 AND b = 'text' OR NOT (c = TRUE)",
        "a BETWEEN 1 AND 5 AND b IN ('x','text') AND d IS NOT NULL",
        "b CONTAINS 'ex' AND b STARTSWITH 't' OR b NOT ENDSWITH 'z'",
        `${"(".repeat(60)}a = 1${")".repeat(60)}`,
      ),
    words: SQL_WORDS,
    run: filterOf,
  },
  { name: "compressed", seeds: bombs, run: contentOf },
  { name: "protobufs", seeds: protoSeeds, run: messagesOf },
  {
    name: "json",
    seeds: () => [
      Buffer.from(JSON.stringify(ACL)),
      ...goldenRequests().map(({ body }) => body),
      ...utf8('{1:[true,null,{"a":"\\u0000"}]}'),
    ],
    words: [
      '"a":',
      "{",
      "}",
      "[",
      "]",
      "1e400",
      "-",
      "\\u",
      '"policies"',
      '"entries"',
      '"sourceIps":["1.2.3.*"]',
      "1L",
      "'x'",
    ],
    run: jsonOf,
  },
  {
    name: "handles",
    seeds: () =>
      utf8(
        "7F00000100002A9F0000000000000000",
        "10.0.1-5.{7,9}",
        "::1",
        "0 1700000000000 30000 0 0 broker-a 0 5 100 ",
        Buffer.from("v1 T broker-a 1700000000000 K").toString("base64url"),
      ),
    words: [" ", "-", "*", "{1,2}", "::", "/8"],
    run: handlesOf,
  },
  {
    name: "settings",
    seeds: () =>
      utf8(
        "brokerName=a\nlistenPort = 10911\n# x\nflushDiskType\\\n=SYNC_FLUSH\nstorePathRootDir:/x\\u0041\n",
        "globalWhiteRemoteAddresses:\n- 10.0.0.*\naccounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n  admin: false\n  defaultTopicPerm: DENY\n  topicPerms:\n  - topicA=DENY\n  groupPerms:\n  - g=SUB\n",
      ),
    words: ["&a", "*a", "<<: *a", "!!binary", "accounts:", "- ", "\n", "admin: true", "\\u", "=", "maxMessageSize"],
    run: settingsOf,
  },
  { name: "records", seeds: writtenRecords, run: recordsOf },
];
