/** Whether a record reached the disk with its end: no CRC covers the properties, which come last. */
import { CursorStep, type LogCursor } from "../commitlog/log-cursor.js";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import type { RecordView } from "../record/record-view.js";

/**
 * The last byte of properties is never zero (see CommitLog), unless it did not reach the disk, or the record is Apache's:
 * then another follows. `record` was read from `bytes` and lies at `phyOffset`; `peek` is moved.
 */
export function endsWhole(
  record: RecordView,
  bytes: Buffer,
  phyOffset: number,
  peek: LogCursor,
  { endOffset }: SegmentQueue,
): boolean {
  if (record.propertiesLength === 0 || bytes[record.position + record.totalSize - 1] !== 0) return true;
  peek.seek(phyOffset + record.totalSize);
  return peek.next(endOffset) === CursorStep.RECORD && peek.record.phyOffset === peek.recordOffset;
}
