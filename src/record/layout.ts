/**
 * Layout of a commit log record, in numbers: magic codes, positions of the fields, limits, sizes. The bytes are those of
 * Apache's store/MessageExtEncoder and common/message/MessageDecoder, all big-endian. The appender writes with these,
 * `record-view.ts` reads with them; nothing here touches bytes.
 *
 *   0 total size · 4 magic · 8 body CRC · 12 queue id · 16 flag · 20 queue offset (8) · 28 physical offset (8) ·
 *   36 sysFlag · 40 born timestamp (8) · 48 born host (8 or 20)
 *   then  store timestamp (8) · store host (8 or 20) · reconsume times (4) · prepared transaction offset (8) ·
 *         body length (4), body · topic length (V1: 1, V2: 2), topic · properties length (2), properties
 */
import { BORN_HOST_V6_FLAG, STORE_HOST_V6_FLAG } from "./sys-flag.js";

/** Magic codes as the int32 that `DataView.getInt32` gives. */
export const MAGIC_V1 = 0xdaa320a7 | 0;
export const MAGIC_V2 = 0xdaa320ab | 0;
/** Marks the rest of a segment that the next record did not fit into. */
export const MAGIC_BLANK = 0xcbd43194 | 0;

export function isKnownMagic(magic: number): boolean {
  return magic === MAGIC_V1 || magic === MAGIC_V2 || magic === MAGIC_BLANK;
}

export const TOTAL_SIZE_POSITION = 0;
export const MAGIC_POSITION = 4;
export const BODY_CRC_POSITION = 8;
export const QUEUE_ID_POSITION = 12;
export const FLAG_POSITION = 16;
export const QUEUE_OFFSET_POSITION = 20;
export const PHY_OFFSET_POSITION = 28;
export const SYS_FLAG_POSITION = 36;
export const BORN_TIMESTAMP_POSITION = 40;
/** The last fixed position: what follows depends on the hosts' lengths. */
export const BORN_HOST_POSITION = 48;

/** An address and a 4-byte port. */
export const IPV4_HOST_BYTES = 8;
export const IPV6_HOST_BYTES = 20;

/** A blank is at least its size and magic; so much stays free behind the last record of a full segment. */
export const BLANK_BYTES_MIN = 8;

/** Where two bytes are needed for the topic's length, the record is a V2 one. */
export const TOPIC_BYTES_MAX_V1 = 127;
/** Retry and DLQ topics may be this long, others 127. */
export const TOPIC_BYTES_MAX = 255;
/** A signed 16-bit length. */
export const PROPERTIES_BYTES_MAX = 32767;

/** `__CRC32#`, 0x01, ten digits, 0x02: the last property of a record with a whole-record CRC. */
export const PROPERTY_CRC_BYTES = 20;

/** All but the hosts, the topic's length and what has a length of its own. */
const FIXED_BYTES = BORN_HOST_POSITION + 8 + 4 + 8 + 4 + 2;

/** The smallest record there can be: V1, IPv4 hosts, no topic, body or properties. */
export const RECORD_BYTES_MIN = FIXED_BYTES + 2 * IPV4_HOST_BYTES + 1;

export function magicFor(topicBytes: number): number {
  return topicBytes > TOPIC_BYTES_MAX_V1 ? MAGIC_V2 : MAGIC_V1;
}

/** Bytes of the length field before the topic. */
export function topicLengthBytes(magic: number): number {
  return magic === MAGIC_V2 ? 2 : 1;
}

/** Bytes of the born host, address and port. */
export function bornHostBytes(sysFlag: number): number {
  return (sysFlag & BORN_HOST_V6_FLAG) === 0 ? IPV4_HOST_BYTES : IPV6_HOST_BYTES;
}

/** Bytes of the store host, address and port. */
export function storeHostBytes(sysFlag: number): number {
  return (sysFlag & STORE_HOST_V6_FLAG) === 0 ? IPV4_HOST_BYTES : IPV6_HOST_BYTES;
}

/** Bytes of the whole record; `sysFlag` says what addresses the hosts are. */
export function recordBytes(
  magic: number,
  sysFlag: number,
  bodyBytes: number,
  topicBytes: number,
  propertiesBytes: number,
): number {
  return (
    FIXED_BYTES +
    bornHostBytes(sysFlag) +
    storeHostBytes(sysFlag) +
    bodyBytes +
    topicLengthBytes(magic) +
    topicBytes +
    propertiesBytes
  );
}
