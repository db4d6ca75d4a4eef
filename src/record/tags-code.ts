/**
 * The tags code that dispatch writes into a queue entry (CommitLog.checkMessageAndReturnSize): Java's hash of the tag,
 * or, for a message that waits in a queue of SCHEDULE_TOPIC_XXXX, the time when it is due. On disk it is an int64; a hash
 * is an int32 and a time below 2^53, so here it is a plain number.
 */
import { CometError } from "../base/errors.js";
import type { IndexedProperties } from "./indexed-properties.js";
import { asciiName, findProperty, tagsHash, ValueRange } from "./properties.js";
import { PropertyName } from "./property-names.js";
import type { RecordView } from "./record-view.js";

export const SCHEDULE_TOPIC = "SCHEDULE_TOPIC_XXXX";
/** Apache's default of `messageDelayLevel`. */
export const DEFAULT_DELAY_LEVELS = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

/** Delays in ms; level n is at index n - 1. */
export type DelayLevels = readonly number[];

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** Parses an option like `1s 5s 1m 2h`. */
export function parseDelayLevels(text: string): DelayLevels {
  return text.split(" ").map((part) => {
    const match = /^(\d{1,9})([smhd])$/.exec(part);
    if (match === null)
      throw new CometError("COMETMQ_CONFIG", `messageDelayLevel has "${part}" where a delay like 10s belongs.`);
    return Number(match[1]) * UNIT_MS.get(match[2]!)!;
  });
}

/** When a message of a level from 1 on is due; levels above the last count as the last. */
export function deliverTimestamp(levels: DelayLevels, level: number, storeTimestamp: number): number {
  return storeTimestamp + (levels[Math.min(level, levels.length) - 1] ?? 1000);
}

const SCHEDULE_TOPIC_BYTES = asciiName(SCHEDULE_TOPIC);
const DELAY_NAME = asciiName(PropertyName.DELAY_TIME_LEVEL);
const delayValue = new ValueRange();

/** The tags code of the record that `record` has just read from `bytes`; `scanned` has been through its properties. */
export function deliveryTagsCode(
  record: RecordView,
  bytes: Buffer,
  levels: DelayLevels,
  scanned?: IndexedProperties,
): number {
  const { propertiesStart, propertiesLength } = record;
  if (isScheduled(record, bytes)) {
    const level = delayLevel(bytes, propertiesStart, propertiesStart + propertiesLength);
    if (level > 0 && levels.length > 0) return deliverTimestamp(levels, level, record.storeTimestamp);
  }
  if (scanned !== undefined) return scanned.tagsHash(bytes);
  return tagsHash(bytes, propertiesStart, propertiesStart + propertiesLength);
}

function isScheduled(record: RecordView, bytes: Buffer): boolean {
  if (record.topicLength !== SCHEDULE_TOPIC_BYTES.length) return false;
  for (let i = 0; i < SCHEDULE_TOPIC_BYTES.length; i++) {
    if (bytes[record.topicStart + i] !== SCHEDULE_TOPIC_BYTES[i]) return false;
  }
  return true;
}

/** Property DELAY as a number; 0 without one. Apache takes a record for broken when it is not an int32, here it is 0. */
function delayLevel(bytes: Buffer, start: number, end: number): number {
  if (!findProperty(bytes, start, end, DELAY_NAME, delayValue)) return 0;
  const text = bytes.toString("latin1", delayValue.start, delayValue.end);
  const level = /^[+-]?\d+$/.test(text) ? Number(text) : 0;
  return level <= 0x7fffffff ? level : 0;
}
