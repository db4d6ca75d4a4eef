/**
 * `config/timercheck` (store/timer/TimerCheckpoint.java), 4096 bytes: how far the timers are. Seven int64 are Apache's:
 *
 *   0 first slot that may have something left | 8 end of the timer log | 16 and 24 next offset of the timer topic's queue
 *   (a slave's, the master's) | 32 data version: state version, time, counter
 *
 * Behind them lies what Apache leaves as it is, to be believed only as long as the first three are still those that it
 * was written with: how far the messages of that slot, and of the ones begun after it, are delivered.
 *
 *   256 mark | 264 the three | 288 time and 296 position in the timer log of the first message not delivered | 304 log
 *   offset below which all messages were put into the topic again
 */
import { readInt64, writeInt64 } from "../../../base/int64.js";
import type { Disk, DiskFile } from "../../../io/disk.js";
import { type DataVersion, nextDataVersion } from "../../protocol/data-version.js";

const FILE_BYTES = 4096;
const MARK_AT = 256;
const MARK = Buffer.from("COMETMQT");
export const TIMER_CHECK_WIRE_BYTES = 56;

export interface TimerProgress {
  readonly readTimeMs: number;
  readonly logPosition: number;
  readonly queueOffset: number;
  /** Undefined where Apache was the last to write. */
  readonly within: WithinSlots | undefined;
}

/** Everything before this in the order of (due time, position), and before `logPosition`, is delivered. */
export interface WithinSlots {
  readonly dueMs: number;
  readonly position: number;
  readonly movedBelow: number;
}

export class TimerCheckpoint {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #directory: string;
  readonly #bytes = Buffer.alloc(FILE_BYTES);
  readonly #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, FILE_BYTES);
  #file: DiskFile | undefined;

  constructor(disk: Disk, directory: string, path: string) {
    this.#disk = disk;
    this.#directory = directory;
    this.#path = path;
  }

  /** Undefined when there is no such file, or one that cannot be a checkpoint. */
  read(): TimerProgress | undefined {
    const content = this.#disk.readFile(this.#path);
    if (content === undefined || content.length < TIMER_CHECK_WIRE_BYTES) return undefined;
    this.#bytes.fill(0);
    content.copy(this.#bytes, 0, 0, FILE_BYTES);
    const view = this.#view;
    const [readTimeMs, logPosition, ownOffset, masterOffset] = [0, 8, 16, 24].map((at) => readInt64(view, at));
    if (![readTimeMs, logPosition, ownOffset, masterOffset].every(isOffset)) return undefined;
    const queueOffset = Math.min(ownOffset!, masterOffset!);
    const isOurs =
      this.#bytes.compare(MARK, 0, 8, MARK_AT, MARK_AT + 8) === 0 &&
      readInt64(view, MARK_AT + 8) === readTimeMs &&
      readInt64(view, MARK_AT + 16) === logPosition &&
      readInt64(view, MARK_AT + 24) === queueOffset;
    const [dueMs, position, movedBelow] = [32, 40, 48].map((at) => readInt64(view, MARK_AT + at));
    const within = isOurs ? { dueMs: dueMs!, position: position!, movedBelow: movedBelow! } : undefined;
    return { readTimeMs: readTimeMs!, logPosition: logPosition!, queueOffset, within };
  }

  /** What `write` puts down, also where nothing was written yet. */
  set({ readTimeMs, logPosition, queueOffset, within }: TimerProgress, nowMs: number): void {
    const view = this.#view;
    const before: DataVersion = {
      stateVersion: readInt64(view, 32),
      timestamp: readInt64(view, 40),
      counter: readInt64(view, 48),
    };
    const { stateVersion, timestamp, counter } = nextDataVersion(before, nowMs);
    const values = [readTimeMs, logPosition, queueOffset, queueOffset, stateVersion, timestamp, counter];
    values.forEach((value, i) => {
      writeInt64(view, i * 8, value);
    });
    MARK.copy(this.#bytes, MARK_AT);
    const { dueMs, position, movedBelow } = within ?? { dueMs: 0, position: 0, movedBelow: 0 };
    [readTimeMs, logPosition, queueOffset, dueMs, position, movedBelow].forEach((value, i) => {
      writeInt64(view, MARK_AT + 8 + i * 8, value);
    });
  }

  /** One sector: it is there whole or not at all. Answers the file to sync; throws as the disk does. */
  write(): DiskFile {
    if (this.#file === undefined) {
      this.#disk.makeDirectory(this.#directory);
      this.#file = this.#disk.openFile(this.#path, true);
    }
    this.#file.writeAt(this.#bytes, 0, FILE_BYTES, 0);
    return this.#file;
  }

  /** As code 60 answers it. */
  wire(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, TIMER_CHECK_WIRE_BYTES));
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

function isOffset(value: number | undefined): boolean {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0;
}
