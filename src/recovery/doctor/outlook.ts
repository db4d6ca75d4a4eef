/**
 * What opening a store will make of its log, by recovery's own rules, asked before anything is changed: where the log
 * goes on behind what is no record, where it ends, and what is moved to lost+found then. Nothing is foretold of a log
 * that does not open as it is (holes, odd lengths), nor from where on the device refuses to give bytes.
 */
import { CometError } from "../../base/errors.js";
import { LogCursor } from "../../commitlog/log-cursor.js";
import { SegmentQueue } from "../../commitlog/segment-queue.js";
import type { Disk } from "../../io/disk.js";
import type { RecordView } from "../../record/record-view.js";
import { lastStoreEnd } from "../abort-file.js";
import { StoreCheckpoint } from "../checkpoint.js";
import { Continuation, type EndReason, logBounds, unknownFormat } from "../continuation.js";
import { belongsTo, readDispatchCheckpoint } from "../dispatch-checkpoint.js";
import { judgeTail, type LostTail } from "../lost-tail.js";
import { endsWhole } from "../whole-record.js";
import type { LogLayout } from "./log-files.js";
import type { StoreFacts } from "./store-facts.js";

export interface Ending {
  readonly tail: LostTail;
  readonly reason: EndReason;
  /** How far the log was noted as durable; 0 without a note. */
  readonly notedEnd: number;
  /** Why the store does not open, and nothing is moved. */
  readonly refusal: string | undefined;
}

export class Outlook {
  readonly #segments: SegmentQueue;
  readonly #continuation: Continuation;
  readonly #peek: LogCursor;

  constructor(segments: SegmentQueue, continuation: Continuation) {
    this.#segments = segments;
    this.#continuation = continuation;
    this.#peek = new LogCursor(segments);
  }

  /** The record with which the log goes on; undefined where it ends. */
  next(damageOffset: number, lastStoreTimestamp: number, storeTimestampBefore: number): number | undefined {
    const search = this.#continuation.next(damageOffset, lastStoreTimestamp, storeTimestampBefore);
    let step = search.next();
    while (step.done !== true) step = search.next();
    return step.value;
  }

  /** Whether a walk may begin at the record at `phyOffset`: no damage in front of it ends the log, nor counts behind. */
  mayBeginAt(phyOffset: number): boolean {
    return phyOffset + this.#segments.segmentBytes <= this.#continuation.durableEnd;
  }

  endsWhole(record: RecordView, bytes: Buffer, phyOffset: number): boolean {
    return endsWhole(record, bytes, phyOffset, this.#peek, this.#segments);
  }

  ending(endOffset: number): Ending {
    const { endReason, notedEnd, lastEnd } = this.#continuation;
    const refusal = endOffset === this.#segments.firstOffset ? unknownFormat(this.#segments) : undefined;
    return { tail: judgeTail(this.#segments, endOffset, lastEnd), reason: endReason, notedEnd, refusal };
  }

  close(): void {
    this.#segments.close();
  }
}

/** Undefined where opening would refuse the files of the log. */
export function outlookOf(disk: Disk, { places }: StoreFacts, layout: LogLayout, nowMs: number): Outlook | undefined {
  const { directory, segmentBytes } = layout;
  const segments = new SegmentQueue({ disk, directory, segmentBytes, writable: false });
  try {
    const { bases } = segments.judge();
    if (bases.length === 0) return undefined;
    segments.setRange(bases[0]!, bases.at(-1)! + segmentBytes);
  } catch (error) {
    if (error instanceof CometError) return undefined;
    throw error;
  }
  const checkpoint = StoreCheckpoint.load(disk, places.checkpoint, nowMs);
  checkpoint.close();
  const noted = readDispatchCheckpoint(disk, places.dispatchCheckpoint);
  const isNoted = noted !== undefined && belongsTo(noted, checkpoint);
  const lastEnd = lastStoreEnd(disk, places.abort);
  const bounds = logBounds(segments, lastEnd, isNoted ? noted : undefined, checkpoint.fields);
  return new Outlook(segments, new Continuation(segments, lastEnd, bounds));
}
