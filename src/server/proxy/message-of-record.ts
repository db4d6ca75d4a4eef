/** A stored message in the terms of the API (proxy/grpc/v2/common/GrpcConverter.java). */
import { hash } from "node:crypto";
import { DigestType, Encoding, MessageType } from "../../grpc/enums.js";
import { fromMs, type Message, type SystemProperties, type Timestamp } from "../../grpc/messages.js";
import { PropertyName } from "../../record/property-names.js";
import { COMPRESSED_FLAG } from "../../record/sys-flag.js";
import type { ProxyRecord } from "./lazy-record.js";
import { isSystemProperty } from "./system-properties.js";

const MS = 1000;

/** What differs from the record for this delivery. */
export interface Delivery {
  /** The topic that was asked for, where the record lies in a retry topic. */
  readonly topic?: string;
  readonly receiptHandle?: string;
  readonly reconsumeTimes?: number;
}

export function messageOfRecord(record: ProxyRecord, delivery: Delivery = {}): Message {
  const userProperties: Record<string, string> = Object.create(null);
  for (const [name, value] of record.properties) if (!isSystemProperty(name)) userProperties[name] = value;
  return {
    topic: { name: delivery.topic ?? record.topic },
    userProperties,
    systemProperties: systemPropertiesOf(record, delivery),
    body: record.body,
  };
}

/** The id that clients know a message by. */
export function messageIdOf({ properties, msgId }: ProxyRecord): string {
  return properties.get(PropertyName.UNIQ_CLIENT_MESSAGE_ID_KEYIDX) ?? msgId;
}

function systemPropertiesOf(record: ProxyRecord, delivery: Delivery): SystemProperties {
  const { properties } = record;
  const keys = properties.get(PropertyName.KEYS);
  const priority = integerOf(properties.get(PropertyName.PRIORITY));
  const dlqTopic = properties.get(PropertyName.DLQ_ORIGIN_TOPIC);
  const dlqMessageId = properties.get(PropertyName.DLQ_ORIGIN_MESSAGE_ID);
  return {
    tag: properties.get(PropertyName.TAGS) ?? null,
    keys: keys === undefined ? [] : keys.split(" "),
    messageId: messageIdOf(record),
    bodyDigest: { type: DigestType.MD5, checksum: md5(record.body) },
    bodyEncoding: (record.sysFlag & COMPRESSED_FLAG) === 0 ? Encoding.IDENTITY : Encoding.GZIP,
    messageType: messageTypeOf(properties),
    bornTimestamp: fromMs(record.bornTimestamp),
    bornHost: properties.get(PropertyName.BORN_HOST) ?? hostOf(record.bornHost),
    storeTimestamp: fromMs(record.storeTimestamp),
    storeHost: record.storeHost,
    deliveryTimestamp: deliveryTimestampOf(record),
    priority: priority !== undefined && priority >= 0 ? priority : null,
    messageGroup: properties.get(PropertyName.SHARDING_KEY) ?? null,
    receiptHandle: delivery.receiptHandle ?? null,
    queueId: record.queueId,
    queueOffset: record.queueOffset,
    deliveryAttempt: (delivery.reconsumeTimes ?? record.reconsumeTimes) + 1,
    traceContext: properties.get(PropertyName.TRACE_CONTEXT) ?? null,
    deadLetterQueue:
      dlqTopic === undefined || dlqMessageId === undefined ? null : { topic: dlqTopic, messageId: dlqMessageId },
  };
}

function messageTypeOf(properties: ReadonlyMap<string, string>): number {
  if (properties.get(PropertyName.TRANSACTION_PREPARED) === "true") return MessageType.TRANSACTION;
  for (const name of [PropertyName.DELAY_TIME_LEVEL, PropertyName.TIMER_DELIVER_MS, PropertyName.TIMER_DELAY_SEC]) {
    if (properties.has(name)) return MessageType.DELAY;
  }
  return properties.has(PropertyName.SHARDING_KEY) ? MessageType.FIFO : MessageType.NORMAL;
}

function deliveryTimestampOf({ properties, storeTimestamp }: ProxyRecord): Timestamp | null {
  const delaySeconds = integerOf(properties.get(PropertyName.TIMER_DELAY_SEC));
  if (delaySeconds !== undefined) return fromMs(storeTimestamp + delaySeconds * MS);
  const deliverMs = integerOf(properties.get(PropertyName.TIMER_DELIVER_MS));
  return deliverMs === undefined ? null : fromMs(deliverMs);
}

function integerOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^-?\d{1,15}$/.test(text)) return undefined;
  return Number(text);
}

/** Hexadecimal digits in upper case, as BinaryUtil has them. */
function md5(body: Buffer): string {
  return hash("md5", body, "hex").toUpperCase();
}

/** Without the port. */
function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":"));
}
