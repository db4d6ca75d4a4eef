/**
 * Writes records field by field on their way into the active segment: the one hot encoder of the store. The layout is that
 * of store/MessageExtEncoder; `record/layout.ts` names the parts.
 */
import { crc32 } from "../base/crc32.js";
import { copyBytes } from "../base/copy-bytes.js";
import { writeInt64 } from "../base/int64.js";
import {
  BODY_CRC_POSITION,
  BORN_HOST_POSITION,
  BORN_TIMESTAMP_POSITION,
  FLAG_POSITION,
  IPV4_HOST_BYTES,
  IPV6_HOST_BYTES,
  MAGIC_BLANK,
  MAGIC_POSITION,
  MAGIC_V2,
  magicFor,
  PHY_OFFSET_POSITION,
  QUEUE_ID_POSITION,
  QUEUE_OFFSET_POSITION,
  RECORD_BYTES_MIN,
  SYS_FLAG_POSITION,
  TOPIC_BYTES_MAX_V1,
} from "../record/layout.js";
import { BORN_HOST_V6_FLAG, STORE_HOST_V6_FLAG } from "../record/sys-flag.js";
import type { MessageInput } from "./message-input.js";

/** Everything but hosts, topic length, topic, body and properties. */
const FIXED_BYTES = RECORD_BYTES_MIN - 2 * IPV4_HOST_BYTES - 1;

/** Bytes the record of `message` takes in the log. */
export function recordSize(message: MessageInput): number {
  const topicBytes = message.queue.topicBytes.length;
  return (
    FIXED_BYTES +
    message.bornHost.length +
    message.storeHost.length +
    (topicBytes > TOPIC_BYTES_MAX_V1 ? 2 : 1) +
    topicBytes +
    message.bodyLength +
    message.propertiesLength
  );
}

/**
 * Writes the record at `bytes[start]`, which lies at `phyOffset` of the log. `sizeBytes` is `recordSize(message)`, and
 * that much room is there.
 */
export function writeRecord(
  bytes: Buffer,
  view: DataView,
  start: number,
  sizeBytes: number,
  message: MessageInput,
  phyOffset: number,
  queueOffset: number,
  storeTimestamp: number,
): void {
  const { queue, bornHost, storeHost, bodyLength, propertiesLength } = message;
  let sysFlag = message.sysFlag & ~(BORN_HOST_V6_FLAG | STORE_HOST_V6_FLAG);
  if (bornHost.length === IPV6_HOST_BYTES) sysFlag |= BORN_HOST_V6_FLAG;
  if (storeHost.length === IPV6_HOST_BYTES) sysFlag |= STORE_HOST_V6_FLAG;

  view.setInt32(start + QUEUE_ID_POSITION, queue.queueId);
  view.setInt32(start + FLAG_POSITION, message.flag);
  writeInt64(view, start + QUEUE_OFFSET_POSITION, queueOffset);
  writeInt64(view, start + PHY_OFFSET_POSITION, phyOffset);
  view.setInt32(start + SYS_FLAG_POSITION, sysFlag);
  writeInt64(view, start + BORN_TIMESTAMP_POSITION, message.bornTimestamp);
  let at = copyShort(bytes, start + BORN_HOST_POSITION, bornHost);
  writeInt64(view, at, storeTimestamp);
  at = copyShort(bytes, at + 8, storeHost);
  view.setInt32(at, message.reconsumeTimes);
  writeInt64(view, at + 4, message.preparedTransactionOffset);
  view.setInt32(at + 12, bodyLength);
  at += 16;
  if (bodyLength > 0) {
    view.setInt32(start + BODY_CRC_POSITION, writeBody(bytes, at, message));
    at += bodyLength;
  } else {
    view.setInt32(start + BODY_CRC_POSITION, 0);
  }
  const topicLength = queue.topicBytes.length;
  const magic = magicFor(topicLength);
  if (magic === MAGIC_V2) view.setInt16(at++, topicLength);
  else bytes[at] = topicLength;
  at = copyShort(bytes, at + 1, queue.topicBytes);
  view.setInt16(at, propertiesLength);
  if (propertiesLength > 0) {
    const { properties, propertiesStart } = message;
    copyBytes(bytes, at + 2, properties, propertiesStart, propertiesStart + propertiesLength);
  }
  view.setInt32(start + MAGIC_POSITION, magic);
  view.setInt32(start, sizeBytes);
}

/** Copies the body to `bytes[at]`; its CRC. */
function writeBody(bytes: Buffer, at: number, message: MessageInput): number {
  const { body, bodyStart, bodyLength, bodyCrc } = message;
  const isKnown = bodyCrc !== undefined && bodyCrc >= 0;
  if (isKnown && body === bytes) {
    bytes.copyWithin(at, bodyStart, bodyStart + bodyLength);
    return bodyCrc;
  }
  // A plain view: that of a Buffer takes three times as long to make.
  const view = new Uint8Array(body.buffer, body.byteOffset + bodyStart, bodyLength);
  bytes.set(view, at);
  return isKnown ? bodyCrc : crc32(view) & 0x7fffffff;
}

/** A loop beats `set` for the few bytes of hosts and topics. */
function copyShort(target: Buffer, at: number, source: Buffer): number {
  for (let i = 0; i < source.length; i++) target[at + i] = source[i]!;
  return at + source.length;
}

/** Fills the rest of a segment: its size and the blank magic; what follows stays as it is. */
export function writeBlank(view: DataView, start: number, restBytes: number): void {
  view.setInt32(start + MAGIC_POSITION, MAGIC_BLANK);
  view.setInt32(start, restBytes);
}
