/**
 * The check thread of recovery: goes ahead of the walk, checks bodies against their CRCs and scans properties. It only
 * saves the walk that work: the walk reads every record itself, and does what it finds no row for. So no record is too
 * odd to be left out here, and where this thread is too slow it leaves out a stretch, which the walk does meanwhile.
 */
import { workerData } from "node:worker_threads";
import { failpoint } from "../base/failpoint.js";
import { CursorStep, LogCursor } from "../commitlog/log-cursor.js";
import { SegmentQueue } from "../commitlog/segment-queue.js";
import { FileDisk } from "../io/file-disk.js";
import { IndexedProperties } from "../record/indexed-properties.js";
import { checkBody } from "../record/record-view.js";
import { CheckRing } from "./check-ring.js";
import type { CheckTask } from "./checks-ahead.js";

const BATCH_RECORDS = 128;
/** Nearer than this the walk would come upon records at work here. */
const LEAD_BYTES_MIN = 128 * 1024;
/** What is left to the walk then. */
const LEFT_BYTES = 256 * 1024;
const PAUSE_MS = 1;

function checkAhead(task: CheckTask): void {
  const { directory, segmentBytes, firstOffset, endOffset } = task;
  const ring = new CheckRing(task.ring);
  const segments = new SegmentQueue({ disk: new FileDisk(task.backend), directory, segmentBytes, writable: false });
  segments.setRange(firstOffset, endOffset);
  const cursor = new LogCursor(segments);
  const properties = new IndexedProperties();
  while (!ring.stopAsked) {
    failpoint("recovery-check");
    const { walkOffset } = ring;
    if (cursor.offset < walkOffset) cursor.seek(walkOffset);
    if (cursor.offset - walkOffset < LEAD_BYTES_MIN) leaveOut(cursor, cursor.offset + LEFT_BYTES, endOffset);
    let count = 0;
    while (count < BATCH_RECORDS && ring.hasRoom && cursor.next(endOffset) === CursorStep.RECORD) {
      const { record, recordOffset, bytes, view } = cursor;
      count++;
      if (!checkBody(record, bytes)) continue;
      properties.scanWords(bytes, view, record.propertiesStart, record.propertiesStart + record.propertiesLength);
      ring.put(recordOffset, record.position, properties);
    }
    ring.tell();
    // No room, or the log ends here; where it goes on behind damage, the walk finds the place.
    if (count === 0) ring.pause(PAUSE_MS);
  }
  segments.close();
}

function leaveOut(cursor: LogCursor, toOffset: number, endOffset: number): void {
  while (cursor.offset < toOffset && cursor.next(endOffset) === CursorStep.RECORD);
}

checkAhead(workerData as CheckTask);
