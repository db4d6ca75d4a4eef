/**
 * A message as one line of JSON, for moving messages between stores and looking at them with other tools. What a line
 * says of the content can be stored again and comes out the same, byte for byte: bodies that are no text are in base64,
 * and so are properties that a map of names and values could not hold (the bytes are lenient, a map is not).
 *
 * Properties about the store itself are left out: offsets and times are other ones in another store.
 */
import { CometError } from "../base/errors.js";
import { hostText, parseHost } from "../record/host.js";
import { createMessageId } from "../record/message-id.js";
import { decodeProperties, encodeProperties } from "../record/properties.js";
import { PropertyName } from "../record/property-names.js";
import type { RecordView } from "../record/record-view.js";
import { BORN_HOST_V6_FLAG, STORE_HOST_V6_FLAG } from "../record/sys-flag.js";

/** How bodies are written: as text where they are some, always in base64, or not at all. */
export type BodyForm = "auto" | "base64" | "none";

export interface MessageLine {
  readonly topic: string;
  readonly queueId: number;
  readonly queueOffset: number;
  readonly phyOffset: number;
  /** The offset message id. */
  readonly msgId: string;
  readonly keys?: string;
  readonly tags?: string;
  readonly flag: number;
  readonly sysFlag: number;
  readonly reconsumeTimes: number;
  readonly preparedTransactionOffset: number;
  readonly bornTime: number;
  readonly bornHost: string;
  readonly storeTime: number;
  readonly storeHost: string;
  readonly properties: Readonly<Record<string, string>>;
  /** The properties' bytes, where `properties` does not give them back. */
  readonly propertiesBase64?: string;
  readonly body?: string;
  readonly bodyBase64?: string;
}

/** Offsets in queues of that store, and a CRC over offsets and times. */
const STORE_PROPERTIES = [`${PropertyName.CRC32}\u0001`, `${PropertyName.INNER_MULTI_QUEUE_OFFSET}\u0001`];

/** The line for the record that `record` has just read from `bytes`. */
export function messageLineOf(record: RecordView, bytes: Buffer, bodyForm: BodyForm): MessageLine {
  const { topicStart, propertiesStart, bodyStart, storeHostStart, storeHostLength } = record;
  const body = bytes.subarray(bodyStart, bodyStart + record.bodyLength);
  const propertyBytes = ownProperties(bytes.subarray(propertiesStart, propertiesStart + record.propertiesLength));
  const properties = decodeProperties(propertyBytes, 0, propertyBytes.length);
  // Names like __proto__ are legal ones: fromEntries defines, it does not assign.
  const shown = Object.fromEntries(properties);
  // Names like 7 come first in an object, whatever their place was.
  const isPlain = encodeProperties(Object.entries(shown)).equals(propertyBytes);
  const keys = properties.get(PropertyName.KEYS);
  const tags = properties.get(PropertyName.TAGS);
  return {
    topic: bytes.toString("utf8", topicStart, topicStart + record.topicLength),
    queueId: record.queueId,
    queueOffset: record.queueOffset,
    phyOffset: record.phyOffset,
    msgId: createMessageId(bytes.subarray(storeHostStart, storeHostStart + storeHostLength), record.phyOffset),
    ...(keys === undefined ? {} : { keys }),
    ...(tags === undefined ? {} : { tags }),
    flag: record.flag,
    // The host bits follow from the hosts.
    sysFlag: record.sysFlag & ~(BORN_HOST_V6_FLAG | STORE_HOST_V6_FLAG),
    reconsumeTimes: record.reconsumeTimes,
    preparedTransactionOffset: record.preparedTransactionOffset,
    bornTime: record.bornTimestamp,
    bornHost: hostText(bytes, record.bornHostStart, record.bornHostLength),
    storeTime: record.storeTimestamp,
    storeHost: hostText(bytes, storeHostStart, storeHostLength),
    properties: shown,
    ...(isPlain ? {} : { propertiesBase64: propertyBytes.toString("base64") }),
    ...bodyOf(body, bodyForm),
  };
}

/** The properties without those that say something about the store they lay in, and byte for byte else. */
function ownProperties(bytes: Buffer): Buffer {
  const pieces = bytes.toString("latin1").split("\u0002");
  const own = pieces.filter((piece) => !STORE_PROPERTIES.some((name) => piece.startsWith(name)));
  return own.length === pieces.length ? bytes : Buffer.from(own.join("\u0002"), "latin1");
}

function bodyOf(body: Buffer, form: BodyForm): Pick<MessageLine, "body" | "bodyBase64"> {
  if (form === "none") return {};
  if (form === "auto") {
    const text = body.toString("utf8");
    if (Buffer.from(text, "utf8").equals(body)) return { body: text };
  }
  return { bodyBase64: body.toString("base64") };
}

/** What a store needs of a line. */
export interface LineContent {
  readonly topic: string;
  readonly queueId: number;
  readonly flag: number;
  readonly sysFlag: number;
  readonly reconsumeTimes: number;
  readonly preparedTransactionOffset: number;
  readonly bornTime: number;
  readonly bornHost: Buffer;
  readonly storeTime: number;
  readonly storeHost: Buffer;
  readonly properties: Buffer;
  readonly body: Buffer;
}

/** Reads a line that anybody may have written; COMETMQ_BAD_MESSAGE says what is wrong with it. */
export function parseMessageLine(text: string): LineContent {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    throw bad("this is no JSON");
  }
  if (typeof line !== "object" || line === null || Array.isArray(line)) throw bad("this is no object");
  const fields = new Map<string, unknown>(Object.entries(line));
  const topic = fields.get("topic");
  if (typeof topic !== "string" || topic === "") throw bad("topic is missing");
  return {
    topic,
    queueId: integer(fields, "queueId", 0, 2 ** 31 - 1),
    flag: integer(fields, "flag", -(2 ** 31), 2 ** 31 - 1, 0),
    sysFlag: integer(fields, "sysFlag", 0, 2 ** 31 - 1, 0),
    reconsumeTimes: integer(fields, "reconsumeTimes", -(2 ** 31), 2 ** 31 - 1, 0),
    preparedTransactionOffset: integer(fields, "preparedTransactionOffset", -1, Number.MAX_SAFE_INTEGER, 0),
    bornTime: integer(fields, "bornTime", 0, Number.MAX_SAFE_INTEGER, 0),
    bornHost: host(fields, "bornHost"),
    storeTime: integer(fields, "storeTime", 0, Number.MAX_SAFE_INTEGER, 0),
    storeHost: host(fields, "storeHost"),
    properties: propertiesOf(fields),
    body: binary(fields, "bodyBase64") ?? Buffer.from(string(fields, "body") ?? "", "utf8"),
  };
}

type Fields = ReadonlyMap<string, unknown>;

function propertiesOf(fields: Fields): Buffer {
  const whole = binary(fields, "propertiesBase64");
  if (whole !== undefined) return whole;
  const given = fields.get("properties") ?? {};
  if (typeof given !== "object" || Array.isArray(given)) throw bad("properties is no object");
  const properties = Object.entries(given);
  for (const [name, value] of properties) {
    if (typeof value !== "string") throw bad(`the property ${JSON.stringify(name)} is no string`);
    const holdsSeparator = name.includes("\u0001") || name.includes("\u0002") || value.includes("\u0002");
    if (name === "" || value === "" || holdsSeparator) {
      throw bad(`the property ${JSON.stringify(name)} cannot be written`);
    }
  }
  return encodeProperties(properties as [string, string][]);
}

function string(fields: Fields, name: string): string | undefined {
  const value = fields.get(name);
  if (value !== undefined && typeof value !== "string") throw bad(`${name} is no string`);
  return value;
}

function binary(fields: Fields, name: string): Buffer | undefined {
  const value = string(fields, name);
  if (value === undefined) return undefined;
  const bytes = Buffer.from(value, "base64");
  if (bytes.toString("base64") !== value) throw bad(`${name} is no base64`);
  return bytes;
}

function integer(fields: Fields, name: string, min: number, max: number, initial?: number): number {
  const value = fields.get(name) ?? initial;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min || value > max) {
    throw bad(`${name} is no integer from ${min} to ${max}`);
  }
  return value;
}

function host(fields: Fields, name: string): Buffer {
  const parsed = parseHost(string(fields, name) ?? "127.0.0.1:0");
  if (parsed === undefined) throw bad(`${name} is no address and port`);
  return parsed;
}

function bad(what: string): CometError {
  return new CometError("COMETMQ_BAD_MESSAGE", `${what}.`);
}
