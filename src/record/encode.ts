/**
 * Makes whole records from plain objects, for tools and tests; the appender writes its own in place. The bytes are those
 * of store/MessageExtEncoder.
 */
import { crc32 } from "../base/crc32.js";
import { assert } from "../base/assert.js";
import { CometError } from "../base/errors.js";
import { writeInt64 } from "../base/int64.js";
import { parseHost } from "./host.js";
import {
  BODY_CRC_POSITION,
  BORN_HOST_POSITION,
  BORN_TIMESTAMP_POSITION,
  FLAG_POSITION,
  IPV6_HOST_BYTES,
  MAGIC_POSITION,
  MAGIC_V1,
  MAGIC_V2,
  magicFor,
  PHY_OFFSET_POSITION,
  PROPERTIES_BYTES_MAX,
  PROPERTY_CRC_BYTES,
  QUEUE_ID_POSITION,
  QUEUE_OFFSET_POSITION,
  recordBytes,
  SYS_FLAG_POSITION,
  TOPIC_BYTES_MAX,
  TOPIC_BYTES_MAX_V1,
  TOTAL_SIZE_POSITION,
} from "./layout.js";
import { encodeProperties } from "./properties.js";
import { writePropertyCrc } from "./property-crc.js";
import { BORN_HOST_V6_FLAG, STORE_HOST_V6_FLAG } from "./sys-flag.js";

/** What a record is made of; what is left out is 0 or empty, hosts 127.0.0.1:0. */
export interface RecordFields {
  readonly topic: string;
  readonly queueId?: number;
  readonly flag?: number;
  /** The host bits follow from the hosts, whatever stands here. */
  readonly sysFlag?: number;
  readonly queueOffset?: number;
  readonly phyOffset?: number;
  readonly bornTimestamp?: number;
  /** `address:port`. */
  readonly bornHost?: string;
  readonly storeTimestamp?: number;
  readonly storeHost?: string;
  readonly reconsumeTimes?: number;
  readonly preparedTransactionOffset?: number;
  readonly body?: Uint8Array;
  /** Names and values, or the bytes as they shall stand in the record. */
  readonly properties?: ReadonlyMap<string, string> | Uint8Array;
  /** Chosen by the topic's length when left out. */
  readonly magic?: number;
  /** Adds the whole-record CRC as the last property. */
  readonly propertyCrc?: boolean;
}

const NO_HOST = "127.0.0.1:0";
const NO_BYTES = new Uint8Array(0);
const PROPERTY_SEPARATOR = 2;

/** Throws COMETMQ_BAD_MESSAGE for what no record can hold. */
export function encodeRecord(fields: RecordFields): Buffer {
  const topic = Buffer.from(fields.topic, "utf8");
  const body = fields.body ?? NO_BYTES;
  const properties = propertiesOf(fields);
  const bornHost = hostOf(fields.bornHost ?? NO_HOST);
  const storeHost = hostOf(fields.storeHost ?? NO_HOST);
  const magic = fields.magic ?? magicFor(topic.length);
  assert(magic === MAGIC_V1 || magic === MAGIC_V2, "a record is V1 or V2");
  const topicBytesMax = magic === MAGIC_V1 ? TOPIC_BYTES_MAX_V1 : TOPIC_BYTES_MAX;
  if (topic.length > topicBytesMax) tooLong("topic", topic.length);
  const crcBytes = fields.propertyCrc ? PROPERTY_CRC_BYTES : 0;
  const propertiesLength = properties.length + crcBytes;
  if (propertiesLength > PROPERTIES_BYTES_MAX) tooLong("properties", propertiesLength);

  const sysFlag = hostFlags(fields.sysFlag ?? 0, bornHost, storeHost);
  const record = Buffer.alloc(recordBytes(magic, sysFlag, body.length, topic.length, propertiesLength));
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  view.setInt32(TOTAL_SIZE_POSITION, record.length);
  view.setInt32(MAGIC_POSITION, magic);
  view.setInt32(BODY_CRC_POSITION, crc32(body) & 0x7fffffff);
  view.setInt32(QUEUE_ID_POSITION, fields.queueId ?? 0);
  view.setInt32(FLAG_POSITION, fields.flag ?? 0);
  writeInt64(view, QUEUE_OFFSET_POSITION, fields.queueOffset ?? 0);
  writeInt64(view, PHY_OFFSET_POSITION, fields.phyOffset ?? 0);
  view.setInt32(SYS_FLAG_POSITION, sysFlag);
  writeInt64(view, BORN_TIMESTAMP_POSITION, fields.bornTimestamp ?? 0);
  let at = BORN_HOST_POSITION;
  record.set(bornHost, at);
  at += bornHost.length;
  writeInt64(view, at, fields.storeTimestamp ?? 0);
  record.set(storeHost, at + 8);
  at += 8 + storeHost.length;
  view.setInt32(at, fields.reconsumeTimes ?? 0);
  writeInt64(view, at + 4, fields.preparedTransactionOffset ?? 0);
  view.setInt32(at + 12, body.length);
  record.set(body, at + 16);
  at += 16 + body.length;
  if (magic === MAGIC_V2) view.setInt16(at, topic.length);
  else view.setInt8(at, topic.length);
  at += magic === MAGIC_V2 ? 2 : 1;
  record.set(topic, at);
  at += topic.length;
  view.setInt16(at, propertiesLength);
  record.set(properties, at + 2);
  if (crcBytes > 0) writePropertyCrc(record, 0, record.length);
  return record;
}

/** A separator is put in front of a whole-record CRC where the properties end without one. */
function propertiesOf({ properties = NO_BYTES, propertyCrc }: RecordFields): Uint8Array {
  const bytes = properties instanceof Uint8Array ? properties : encodeProperties(properties);
  if (!propertyCrc || bytes.length === 0 || bytes.at(-1) === PROPERTY_SEPARATOR) return bytes;
  return Buffer.concat([bytes, Uint8Array.of(PROPERTY_SEPARATOR)]);
}

function hostOf(text: string): Buffer {
  const host = parseHost(text);
  if (host === undefined) throw new CometError("COMETMQ_BAD_MESSAGE", `"${text}" is not an address and a port.`);
  return host;
}

function hostFlags(sysFlag: number, bornHost: Buffer, storeHost: Buffer): number {
  let flags = sysFlag & ~(BORN_HOST_V6_FLAG | STORE_HOST_V6_FLAG);
  if (bornHost.length === IPV6_HOST_BYTES) flags |= BORN_HOST_V6_FLAG;
  if (storeHost.length === IPV6_HOST_BYTES) flags |= STORE_HOST_V6_FLAG;
  return flags;
}

function tooLong(what: string, bytes: number): never {
  throw new CometError("COMETMQ_BAD_MESSAGE", `The ${what} would take ${bytes} bytes, more than a record can hold.`);
}
