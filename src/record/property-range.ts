/** Where a whole record has its properties, for those who want nothing else of it: reads four lengths, makes nothing. */
import {
  BORN_HOST_POSITION,
  bornHostBytes,
  MAGIC_POSITION,
  MAGIC_V1,
  SYS_FLAG_POSITION,
  storeHostBytes,
} from "./layout.js";
import type { ValueRange } from "./properties.js";

/** Puts the place of the properties into `range`; false where the lengths do not add up to a record. */
export function findProperties(record: Buffer, range: ValueRange): boolean {
  range.start = range.end = 0;
  if (record.length < BORN_HOST_POSITION) return false;
  const sysFlag = record.readInt32BE(SYS_FLAG_POSITION);
  // Born timestamp, store timestamp, reconsume times, prepared transaction offset: 8, 4, 8 behind the hosts.
  const bodyLengthAt = BORN_HOST_POSITION + bornHostBytes(sysFlag) + 8 + storeHostBytes(sysFlag) + 12;
  if (bodyLengthAt + 4 > record.length) return false;
  const topicLengthAt = bodyLengthAt + 4 + Math.max(record.readInt32BE(bodyLengthAt), 0);
  const version1 = record.readInt32BE(MAGIC_POSITION) === MAGIC_V1;
  if (topicLengthAt + 2 > record.length) return false;
  const topicLength = version1 ? record.readInt8(topicLengthAt) : record.readInt16BE(topicLengthAt);
  const lengthAt = topicLengthAt + (version1 ? 1 : 2) + topicLength;
  if (topicLength < 0 || lengthAt + 2 > record.length) return false;
  const start = lengthAt + 2;
  const end = start + Math.max(record.readInt16BE(lengthAt), 0);
  if (end > record.length) return false;
  range.start = start;
  range.end = end;
  return true;
}
