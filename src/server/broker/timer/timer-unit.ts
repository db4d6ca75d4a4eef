/**
 * One entry of the timer log, 52 bytes (store/timer/TimerLog.java): where a waiting message lies in the commit log, and
 * the entry that was put into the same slot of the wheel before it.
 *
 *   0 size 52 | 4 previous position in the slot, -1 none | 12 magic | 16 time of writing | 24 delay from then on
 *   28 log offset | 36 size of the record | 40 hash of the real topic | 44 reserved, 0
 */
import { readInt64, writeInt64 } from "../../../base/int64.js";

export const UNIT_BYTES = 52;
export const NO_POSITION = -1;

/** Bits of the magic word. */
export const UnitMagic = {
  DEFAULT: 1,
  /** The message is put into the timer topic once more, for it waits longer than the wheel reaches. */
  ROLL: 2,
  /** No message: it recalls another one. */
  DELETE: 4,
} as const;

/** What closes a file that has no room for a unit: size of the rest, 0, this. */
export const BLANK_MAGIC = (0xbbccddee ^ (1880681586 + 8)) | 0;
export const BLANK_BYTES = 16;

const PREV_AT = 4;
const MAGIC_AT = 12;
const WRITE_TIME_AT = 16;
const DELAY_AT = 24;
const PHY_OFFSET_AT = 28;
const SIZE_AT = 36;
const HASH_AT = 40;
const RESERVED_AT = 44;

/** Callers keep one and have it filled. */
export class TimerUnit {
  prevPosition = NO_POSITION;
  magic: number = UnitMagic.DEFAULT;
  writeTimeMs = 0;
  /** Which slot it is in, and when it is due: in the broker's own units one less than the due time. */
  timeMs = 0;
  phyOffset = 0;
  sizeBytes = 0;
  topicHash = 0;

  /** False where no unit lies: nothing of the fields counts then. */
  read(view: DataView, at: number): boolean {
    const magic = view.getInt32(at + MAGIC_AT);
    if (view.getInt32(at) !== UNIT_BYTES || (magic | 0xf) !== 0xf) return false;
    this.prevPosition = readInt64(view, at + PREV_AT);
    this.magic = magic;
    this.writeTimeMs = readInt64(view, at + WRITE_TIME_AT);
    this.timeMs = this.writeTimeMs + view.getInt32(at + DELAY_AT);
    this.phyOffset = readInt64(view, at + PHY_OFFSET_AT);
    this.sizeBytes = view.getInt32(at + SIZE_AT);
    this.topicHash = view.getInt32(at + HASH_AT);
    return isOffset(this.phyOffset) && this.sizeBytes > 0 && isOffset(this.timeMs) && isOffset(this.prevPosition + 1);
  }

  write(view: DataView, at: number): void {
    view.setInt32(at, UNIT_BYTES);
    writeInt64(view, at + PREV_AT, this.prevPosition);
    view.setInt32(at + MAGIC_AT, this.magic);
    writeInt64(view, at + WRITE_TIME_AT, this.writeTimeMs);
    view.setInt32(at + DELAY_AT, this.timeMs - this.writeTimeMs);
    writeInt64(view, at + PHY_OFFSET_AT, this.phyOffset);
    view.setInt32(at + SIZE_AT, this.sizeBytes);
    view.setInt32(at + HASH_AT, this.topicHash);
    writeInt64(view, at + RESERVED_AT, 0);
  }
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
