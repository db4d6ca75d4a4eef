/** A queue entry together with the record it points at, decoded. */
import { createHash } from "node:crypto";
import { hostAddress, hostPort } from "../../record/host.js";
import { createMessageId } from "../../record/message-id.js";
import { decodeProperties } from "../../record/properties.js";
import { PropertyName } from "../../record/property-names.js";
import type { RecordView } from "../../record/record-view.js";
import { type DumpLine, hex32 } from "./line.js";
import type { QueueEntry, QueueView } from "./queue-view.js";

/** `bytes` is what the log holds at the entry, if anything, and `record` what it decodes to, if it is one. */
export function messageLine(
  { topic, queueId }: QueueView,
  entry: QueueEntry,
  bytes: Buffer | undefined,
  record: RecordView | undefined,
): DumpLine {
  const head: DumpLine = {
    type: "message",
    topic,
    queueId,
    queueOffset: entry.queueOffset,
    commitLogOffset: entry.phyOffset,
    size: entry.sizeBytes,
    tagsCode: entry.tagsCode,
    ...entry.more,
    recordSha256: bytes === undefined ? undefined : sha256(bytes),
  };
  if (bytes === undefined || record === undefined) return { ...head, record: null };
  const { queueOffset } = record;
  const recordTopic = topicOf(record, bytes);
  const isOwn = recordTopic === topic && record.queueId === queueId && queueOffset === entry.queueOffset;
  const own = isOwn ? undefined : { topic: recordTopic, queueId: record.queueId, queueOffset };
  return { ...head, record: own, ...recordMembers(record, bytes) };
}

export function topicOf(record: RecordView, bytes: Buffer): string {
  return bytes.toString("utf8", record.topicStart, record.topicStart + record.topicLength);
}

export function propertiesOf(record: RecordView, bytes: Buffer): Map<string, string> {
  return decodeProperties(bytes, record.propertiesStart, record.propertiesStart + record.propertiesLength);
}

function recordMembers(record: RecordView, bytes: Buffer): Omit<DumpLine, "type"> {
  const { bodyStart, bodyLength, storeHostStart, storeHostLength } = record;
  const properties = propertiesOf(record, bytes);
  return {
    magic: hex32(record.magic),
    tags: properties.get(PropertyName.TAGS) ?? null,
    keys: properties.get(PropertyName.KEYS) ?? null,
    properties: new Map([...properties].sort(([a], [b]) => (a < b ? -1 : 1))),
    bodyLength,
    bodySha256: sha256(bytes.subarray(bodyStart, bodyStart + bodyLength)),
    bodyCRC: record.bodyCrc,
    sysFlag: record.sysFlag,
    flag: record.flag,
    bornTimestamp: record.bornTimestamp,
    storeTimestamp: record.storeTimestamp,
    bornHost: hostMember(bytes, record.bornHostStart, record.bornHostLength),
    storeHost: hostMember(bytes, storeHostStart, storeHostLength),
    reconsumeTimes: record.reconsumeTimes,
    preparedTransactionOffset: record.preparedTransactionOffset,
    msgId: createMessageId(bytes.subarray(storeHostStart, storeHostStart + storeHostLength), record.phyOffset),
  };
}

function hostMember(bytes: Buffer, start: number, length: number): string {
  const address = bytes.toString("hex", start, start + length - 4);
  return `${address}:${hostPort(bytes, start, length)} ${hostAddress(bytes, start, length)}`;
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
