/**
 * The append side of the log: one thread, one active segment. Records gather in a window and are written by `publish`. What
 * is written becomes visible to other threads when `confirmed` passes it: at once with asynchronous flush, after its
 * fdatasync with synchronous flush, so that nothing is ever read that a crash could still take back from under its
 * acknowledgement.
 */
import type { Clock } from "../base/clock.js";
import type { CometError } from "../base/errors.js";
import { failpoint } from "../base/failpoint.js";
import type { Segment } from "../io/disk.js";
import { BLANK_BYTES_MIN, IPV4_HOST_BYTES, IPV6_HOST_BYTES, PROPERTIES_BYTES_MAX } from "../record/layout.js";
import { isQueued } from "../record/sys-flag.js";
import { recordSize, writeBlank, writeRecord } from "./append.js";
import type { SegmentPreload } from "./preload.js";
import { type MessageInput, type PutResult, PutStatus } from "./message-input.js";
import type { SegmentQueue } from "./segment-queue.js";
import type { SegmentSource } from "./segment-source.js";
import { WriteWindow } from "./write-window.js";

/** Apache's waitTimeout for a segment that is not there yet. */
const SEGMENT_WAIT_MS = 5000;
const AHEAD_BYTES = 64 * 1024 * 1024;
const AHEAD_SEGMENTS_MAX = 8;

export interface CommitLogOptions {
  segments: SegmentQueue;
  source: SegmentSource;
  clock: Clock;
  /** Where the next record goes: the end that recovery found. */
  appendPosition: number;
  /** Store timestamp of the last record in the log: later ones are not before it. */
  lastStoreTimestamp: number;
  /** Largest record, all of it. */
  recordBytesMax: number;
  /** Whole segments that are kept ready behind the active one; 0: the next one from the middle of it on. */
  segmentsAhead?: number;
  preload?: SegmentPreload | undefined;
}

export class CommitLog {
  readonly segments: SegmentQueue;
  readonly #source: SegmentSource;
  readonly #clock: Clock;
  readonly #recordBytesMax: number;
  readonly #segmentsAhead: number;
  readonly #preload: SegmentPreload | undefined;
  readonly #window = new WriteWindow();
  /** Store timestamp of the last record of each segment that was ended by this object, by base offset. */
  readonly #endTimestamps = new Map<number, number>();
  #active: Segment | undefined;
  #appendPosition: number;
  #publishedPosition: number;
  #hasLost = false;
  #requestedEnd = 0;
  #lastStoreTimestamp: number;

  constructor(options: CommitLogOptions) {
    this.segments = options.segments;
    this.#source = options.source;
    this.#clock = options.clock;
    this.#appendPosition = options.appendPosition;
    this.#publishedPosition = options.appendPosition;
    this.#lastStoreTimestamp = options.lastStoreTimestamp;
    this.#recordBytesMax = Math.min(options.recordBytesMax, options.segments.segmentBytes - BLANK_BYTES_MIN);
    this.#segmentsAhead = options.segmentsAhead ?? 0;
    this.#preload = options.preload;
    this.segments.pinFrom(this.segments.baseOf(options.appendPosition));
  }

  /** Log offset just after the last record: where the next one goes. */
  get appendPosition(): number {
    return this.#appendPosition;
  }

  /** Everything below is in the files: others can read it, and it outlives this process. */
  get publishedPosition(): number {
    return this.#publishedPosition;
  }

  /** Records were appended that could not be written: they are not in the log, and the append position is theirs again. */
  get hasLost(): boolean {
    return this.#hasLost;
  }

  /** Store timestamp of the last record; 0 in an empty log. */
  get lastStoreTimestamp(): number {
    return this.#lastStoreTimestamp;
  }

  /** Store timestamp of the last record of a segment, where it is known. */
  endTimestampOf(baseOffset: number): number | undefined {
    return this.#endTimestamps.get(baseOffset);
  }

  /** The segment is deleted. */
  forget(baseOffset: number): void {
    this.#endTimestamps.delete(baseOffset);
  }

  /** Why no segment could be made; undefined while all is well. */
  get segmentFailure(): CometError | undefined {
    return this.#source.failure;
  }

  /** Appends one record. On PUT_OK `result` is filled; on anything else nothing was written but, perhaps, a blank. */
  append(message: MessageInput, queueOffset: number, result: PutResult): PutStatus {
    const sizeBytes = recordSize(message);
    const refused = this.#check(message, sizeBytes) || this.#makeRoom(sizeBytes);
    if (refused !== PutStatus.PUT_OK) return refused;
    result.storeTimestamp = this.#now();
    result.phyOffset = this.#appendPosition;
    result.queueOffset = queueOffset;
    result.sizeBytes = sizeBytes;
    result.count = 1;
    this.#write(message, sizeBytes, queueOffset, result.storeTimestamp);
    return PutStatus.PUT_OK;
  }

  /**
   * Appends all or nothing, one record after the other in one segment, with consecutive queue offsets: they are published
   * together.
   */
  appendBatch(messages: readonly MessageInput[], queueOffset: number, result: PutResult): PutStatus {
    let totalBytes = 0;
    for (const message of messages) {
      const sizeBytes = recordSize(message);
      const refused = this.#check(message, sizeBytes);
      if (refused !== PutStatus.PUT_OK) return refused;
      // It would take queue offsets that no message gets then.
      if (!isQueued(message.sysFlag)) return PutStatus.MESSAGE_ILLEGAL;
      totalBytes += sizeBytes;
    }
    if (messages.length === 0 || totalBytes > this.#recordBytesMax) return PutStatus.MESSAGE_ILLEGAL;
    const refused = this.#makeRoom(totalBytes);
    if (refused !== PutStatus.PUT_OK) return refused;
    result.storeTimestamp = this.#now();
    result.phyOffset = this.#appendPosition;
    result.queueOffset = queueOffset;
    result.sizeBytes = totalBytes;
    result.count = messages.length;
    const segment = this.#active!;
    const start = this.#reserve(segment, totalBytes);
    const { bytes, view } = this.#window;
    let done = 0;
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]!;
      const sizeBytes = recordSize(message);
      const phyOffset = this.#appendPosition + done;
      writeRecord(bytes, view, start + done, sizeBytes, message, phyOffset, queueOffset + i, result.storeTimestamp);
      done += sizeBytes;
    }
    this.#added(totalBytes);
    return PutStatus.PUT_OK;
  }

  #check(message: MessageInput, sizeBytes: number): PutStatus {
    if (message.propertiesLength > PROPERTIES_BYTES_MAX) return PutStatus.PROPERTIES_SIZE_EXCEEDED;
    if (!(sizeBytes <= this.#recordBytesMax) || !hasItsRanges(message)) return PutStatus.MESSAGE_ILLEGAL;
    const { properties, propertiesStart, propertiesLength } = message;
    // Recovery takes a last record that ends so for one whose end did not reach the disk.
    if (propertiesLength > 0 && properties[propertiesStart + propertiesLength - 1] === 0)
      return PutStatus.MESSAGE_ILLEGAL;
    return PutStatus.PUT_OK;
  }

  /** Store timestamps of one log never decrease, whatever the wall clock does. */
  #now(): number {
    const now = this.#clock.nowMs();
    if (now > this.#lastStoreTimestamp) this.#lastStoreTimestamp = now;
    return this.#lastStoreTimestamp;
  }

  #write(message: MessageInput, sizeBytes: number, queueOffset: number, storeTimestamp: number): void {
    const start = this.#reserve(this.#active!, sizeBytes);
    const { bytes, view } = this.#window;
    writeRecord(bytes, view, start, sizeBytes, message, this.#appendPosition, queueOffset, storeTimestamp);
    this.#added(sizeBytes);
  }

  #reserve(segment: Segment, bytes: number): number {
    if (!this.#window.hasRoom(bytes)) this.publish();
    return this.#window.reserve(segment, this.#appendPosition - segment.baseOffset, bytes);
  }

  #added(bytes: number): void {
    this.#window.added(bytes);
    this.#appendPosition += bytes;
  }

  /**
   * Writes what was appended since the last call, all of it or, if the process is killed meanwhile, nothing. Throws as the
   * disk does; then all of it is lost.
   */
  publish(): void {
    if (this.#publishedPosition === this.#appendPosition) return;
    try {
      this.#window.publish();
    } catch (error) {
      this.#hasLost = true;
      this.#appendPosition = this.#publishedPosition;
      throw error;
    }
    this.#publishedPosition = this.#appendPosition;
  }

  /** Leaves `this.#active` with room for `sizeBytes` and a blank. */
  #makeRoom(sizeBytes: number): PutStatus {
    let active = this.#active;
    if (active !== undefined) {
      const rest = active.baseOffset + active.sizeBytes - this.#appendPosition;
      if (sizeBytes + BLANK_BYTES_MIN <= rest) return PutStatus.PUT_OK;
      if (rest > 0) this.#endSegment(active, rest);
    }
    const base = this.segments.baseOf(this.#appendPosition);
    active = this.segments.at(this.#appendPosition);
    if (active === undefined) {
      const end = base + this.segments.segmentBytes;
      this.#source.request(end);
      if (!this.#source.waitFor(end, SEGMENT_WAIT_MS)) return this.#refusal();
      active = this.segments.add(base);
    }
    this.#active = active;
    this.segments.pinFrom(base);
    this.requestAhead();
    return this.#makeRoom(sizeBytes);
  }

  #endSegment(active: Segment, rest: number): void {
    const segmentEnd = this.#appendPosition + rest;
    // Another writer's record may leave less: that is passed over without one (see LogCursor).
    if (rest >= BLANK_BYTES_MIN) {
      const start = this.#reserve(active, BLANK_BYTES_MIN);
      writeBlank(this.#window.view, start, rest);
      this.#added(BLANK_BYTES_MIN);
    }
    this.publish();
    this.#appendPosition = segmentEnd;
    this.#publishedPosition = segmentEnd;
    this.#endTimestamps.set(active.baseOffset, this.#lastStoreTimestamp);
    failpoint("segment-roll");
  }

  #refusal(): PutStatus {
    this.#active = undefined;
    return this.#source.failure?.code === "COMETMQ_DISK_FULL"
      ? PutStatus.DISK_FULL
      : PutStatus.CREATE_MAPPED_FILE_FAILED;
  }

  /** Asks for files ahead of the append position; cheap, called now and then. */
  requestAhead(): void {
    this.#preload?.advance();
    const { segmentBytes } = this.segments;
    const base = this.segments.baseOf(this.#appendPosition);
    const reach = this.#appendPosition + Math.max(segmentBytes / 2, AHEAD_BYTES);
    const near = Math.min(Math.ceil(reach / segmentBytes) * segmentBytes, base + AHEAD_SEGMENTS_MAX * segmentBytes);
    const end = Math.max(near, base + (1 + this.#segmentsAhead) * segmentBytes);
    if (end <= this.#requestedEnd) return;
    this.#requestedEnd = end;
    this.#source.request(end);
  }

  /** Resolves when the segments ahead are made and in memory, as far as that is wanted and can be done. */
  async whenAheadReady(): Promise<void> {
    if (this.#preload === undefined) return;
    this.requestAhead();
    this.#source.waitFor(this.#requestedEnd, SEGMENT_WAIT_MS);
    await this.#preload.loaded();
  }
}

/** Body and properties lie in their Buffers: what is beside them is nobody's message. */
function hasItsRanges(message: MessageInput): boolean {
  const { body, bodyStart, bodyLength, properties, propertiesStart, propertiesLength, bornHost, storeHost } = message;
  return (
    bodyStart >= 0 &&
    (bodyLength | 0) === bodyLength &&
    bodyLength >= 0 &&
    bodyStart + bodyLength <= body.length &&
    propertiesStart >= 0 &&
    (propertiesLength | 0) === propertiesLength &&
    propertiesLength >= 0 &&
    propertiesStart + propertiesLength <= properties.length &&
    isHost(bornHost.length) &&
    isHost(storeHost.length)
  );
}

function isHost(bytes: number): boolean {
  return bytes === IPV4_HOST_BYTES || bytes === IPV6_HOST_BYTES;
}
