/**
 * Reads the record at a position into number fields, without copying or allocating: the hot path of dispatch and
 * recovery. One RecordView is made and used for every record of a walk.
 *
 * What counts as a record is decided as in Apache's CommitLog.checkMessageAndReturnSize, also where that is lenient: a
 * negative body or properties length is an empty one, a topic may be empty, offsets and timestamps are not judged, and
 * a blank may state any size that does not pass the end.
 */
import { crc32 } from "../base/crc32.js";
import { assert } from "../base/assert.js";
import { readInt64 } from "../base/int64.js";
import {
  BLANK_BYTES_MIN,
  BODY_CRC_POSITION,
  BORN_HOST_POSITION,
  BORN_TIMESTAMP_POSITION,
  bornHostBytes,
  FLAG_POSITION,
  MAGIC_BLANK,
  MAGIC_POSITION,
  MAGIC_V1,
  MAGIC_V2,
  PHY_OFFSET_POSITION,
  QUEUE_ID_POSITION,
  QUEUE_OFFSET_POSITION,
  RECORD_BYTES_MIN,
  SYS_FLAG_POSITION,
  storeHostBytes,
} from "./layout.js";

export const RecordVerdict = {
  /** A whole record whose parts add up; every range lies inside it. The CRCs are not checked. */
  RECORD: 1,
  /** The rest of the segment is unused: the log goes on in the next one. */
  BLANK: 2,
  /** Nothing was written here: the size is 0. */
  END: 3,
  /** `totalSize` bytes from the position on are needed to tell, and `limit` does not allow so many. */
  TRUNCATED: 4,
  /** No record: an unknown magic code, or parts that do not add up to the size. */
  MALFORMED: 5,
} as const;
export type RecordVerdict = (typeof RecordVerdict)[keyof typeof RecordVerdict];

/** The fields of the last record read. `...Start` are positions in the bytes read from, not in the record. */
export class RecordView {
  /** Where the record begins. */
  position = 0;
  /** Of the record or blank; after TRUNCATED what has to be readable. Undefined otherwise. */
  totalSize = 0;
  magic = 0;
  /** Below are the fields of a RECORD; after any other verdict they are those of some earlier one. */
  bodyCrc = 0;
  queueId = 0;
  flag = 0;
  queueOffset = 0;
  phyOffset = 0;
  sysFlag = 0;
  bornTimestamp = 0;
  bornHostStart = 0;
  bornHostLength = 0;
  storeTimestamp = 0;
  storeHostStart = 0;
  storeHostLength = 0;
  reconsumeTimes = 0;
  preparedTransactionOffset = 0;
  bodyStart = 0;
  bodyLength = 0;
  topicStart = 0;
  topicLength = 0;
  propertiesStart = 0;
  propertiesLength = 0;
  /** Body or properties length are stated as less than 0: read as empty, but no writer of records has ever done that. */
  hasNegativeLength = false;

  /** Reads what lies at `position`; only bytes before `limit` are looked at. Never throws for what the bytes are. */
  read(view: DataView, position: number, limit: number): RecordVerdict {
    assert(position >= 0 && limit <= view.byteLength, "a record is read from inside the bytes");
    this.position = position;
    const available = limit - position;
    if (available < BLANK_BYTES_MIN) {
      this.totalSize = BLANK_BYTES_MIN;
      return RecordVerdict.TRUNCATED;
    }
    const totalSize = view.getInt32(position);
    const magic = view.getInt32(position + MAGIC_POSITION);
    this.totalSize = totalSize;
    this.magic = magic;
    if (magic === MAGIC_BLANK) return totalSize <= available ? RecordVerdict.BLANK : RecordVerdict.TRUNCATED;
    if (totalSize === 0) return RecordVerdict.END;
    if ((magic !== MAGIC_V1 && magic !== MAGIC_V2) || totalSize < RECORD_BYTES_MIN) return RecordVerdict.MALFORMED;
    if (totalSize > available) return RecordVerdict.TRUNCATED;
    return this.#readParts(view, position, position + totalSize) ? RecordVerdict.RECORD : RecordVerdict.MALFORMED;
  }

  #readParts(view: DataView, position: number, end: number): boolean {
    const sysFlag = view.getInt32(position + SYS_FLAG_POSITION);
    const bornHostLength = bornHostBytes(sysFlag);
    const storeHostLength = storeHostBytes(sysFlag);
    const storeTimestampAt = position + BORN_HOST_POSITION + bornHostLength;
    const reconsumeTimesAt = storeTimestampAt + 8 + storeHostLength;
    const bodyStart = reconsumeTimesAt + 16;
    const version1 = this.magic === MAGIC_V1;

    // What body, topic and properties may take together.
    let room = end - bodyStart - (version1 ? 1 : 2) - 2;
    if (room < 0) return false;
    const statedBodyLength = view.getInt32(bodyStart - 4);
    const bodyLength = Math.max(statedBodyLength, 0);
    if (bodyLength > room) return false;
    room -= bodyLength;
    const topicLengthAt = bodyStart + bodyLength;
    const topicLength = version1 ? view.getInt8(topicLengthAt) : view.getInt16(topicLengthAt);
    if (topicLength < 0 || topicLength > room) return false;
    const topicStart = topicLengthAt + (version1 ? 1 : 2);
    const statedPropertiesLength = view.getInt16(topicStart + topicLength);
    const propertiesLength = Math.max(statedPropertiesLength, 0);
    if (propertiesLength !== room - topicLength) return false;

    this.bodyCrc = view.getInt32(position + BODY_CRC_POSITION);
    this.queueId = view.getInt32(position + QUEUE_ID_POSITION);
    this.flag = view.getInt32(position + FLAG_POSITION);
    this.queueOffset = readInt64(view, position + QUEUE_OFFSET_POSITION);
    this.phyOffset = readInt64(view, position + PHY_OFFSET_POSITION);
    this.sysFlag = sysFlag;
    this.bornTimestamp = readInt64(view, position + BORN_TIMESTAMP_POSITION);
    this.bornHostStart = position + BORN_HOST_POSITION;
    this.bornHostLength = bornHostLength;
    this.storeTimestamp = readInt64(view, storeTimestampAt);
    this.storeHostStart = storeTimestampAt + 8;
    this.storeHostLength = storeHostLength;
    this.reconsumeTimes = view.getInt32(reconsumeTimesAt);
    this.preparedTransactionOffset = readInt64(view, reconsumeTimesAt + 4);
    this.bodyStart = bodyStart;
    this.bodyLength = bodyLength;
    this.topicStart = topicStart;
    this.topicLength = topicLength;
    this.propertiesStart = topicStart + topicLength + 2;
    this.propertiesLength = propertiesLength;
    this.hasNegativeLength = statedBodyLength < 0 || statedPropertiesLength < 0;
    return true;
  }
}

/** Whether the body is the one its CRC was made of. As with Apache, an empty body passes whatever the CRC says. */
export function checkBody(record: RecordView, bytes: Buffer): boolean {
  const { bodyStart, bodyLength } = record;
  if (bodyLength === 0) return true;
  // Half the price of `subarray`, which makes a Buffer.
  const body = new Uint8Array(bytes.buffer, bytes.byteOffset + bodyStart, bodyLength);
  return (crc32(body) & 0x7fffffff) === record.bodyCrc;
}
