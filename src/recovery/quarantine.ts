/**
 * Fillers: records that a repair puts in place of damaged bytes, so that whoever walks the log, Apache's recovery
 * included, comes to what follows. A filler is a whole record of a topic of its own; its transaction type is "rolled
 * back", so no dispatcher makes a queue entry or an index entry of it, and its body is the damaged bytes as they were,
 * but for those that its own fields took.
 */
import { assert } from "../base/assert.js";
import { PROPERTY_CRC_BYTES, RECORD_BYTES_MIN } from "../record/layout.js";
import { encodeRecord } from "../record/encode.js";
import type { RecordView } from "../record/record-view.js";
import { TRANSACTION_ROLLBACK_TYPE, transactionType } from "../record/sys-flag.js";

/** The prefix makes it one of Apache's system topics, to which no client can send. */
export const QUARANTINE_TOPIC = "rmq_sys_quarantine";
/** For stretches that the full name does not fit into: the smallest record of a message has a topic of one letter. */
const SHORT_TOPIC = "q";
const SHORT_BYTES_MAX = RECORD_BYTES_MIN + QUARANTINE_TOPIC.length + PROPERTY_CRC_BYTES;

/** Bodies are held in memory by whoever reads them, so a long stretch becomes several fillers. */
const FILLER_BYTES_MAX = 1024 * 1024;

/** The fillable lengths begin here. */
export function fillerBytesMin(propertyCrc: boolean): number {
  return RECORD_BYTES_MIN + SHORT_TOPIC.length + (propertyCrc ? PROPERTY_CRC_BYTES : 0);
}

export function isFiller(record: RecordView, bytes: Buffer): boolean {
  if (transactionType(record.sysFlag) !== TRANSACTION_ROLLBACK_TYPE) return false;
  const topic = bytes.toString("latin1", record.topicStart, record.topicStart + record.topicLength);
  return topic === QUARANTINE_TOPIC || (topic === SHORT_TOPIC && record.totalSize < SHORT_BYTES_MAX);
}

/** Lengths of the fillers for a stretch: each long enough, together exactly `lengthBytes`. */
export function fillerLengths(lengthBytes: number, propertyCrc: boolean): number[] {
  assert(lengthBytes >= fillerBytesMin(propertyCrc), "a filler needs room");
  const lengths: number[] = [];
  for (let left = lengthBytes; left > 0; left -= lengths.at(-1)!) {
    const isLast = left <= FILLER_BYTES_MAX;
    lengths.push(isLast ? left : Math.min(FILLER_BYTES_MAX, left - FILLER_BYTES_MAX / 2));
  }
  return lengths;
}

/** The filler for `damaged`, which begins at `phyOffset` of the log. */
export function encodeFiller(damaged: Buffer, phyOffset: number, storeTimestamp: number, propertyCrc: boolean): Buffer {
  const around = RECORD_BYTES_MIN + (propertyCrc ? PROPERTY_CRC_BYTES : 0);
  const topic = damaged.length >= around + QUARANTINE_TOPIC.length ? QUARANTINE_TOPIC : SHORT_TOPIC;
  const bodyBytes = damaged.length - around - topic.length;
  // The body's bytes stay where they were: in front of it are all fields but topic and properties.
  const bodyStart = RECORD_BYTES_MIN - 3;
  return encodeRecord({
    topic,
    sysFlag: TRANSACTION_ROLLBACK_TYPE,
    phyOffset,
    bornTimestamp: storeTimestamp,
    storeTimestamp,
    body: damaged.subarray(bodyStart, bodyStart + bodyBytes),
    propertyCrc,
  });
}
