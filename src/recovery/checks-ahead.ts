/**
 * The walk's handle on the check thread: what that has found out about a record. Everything here may fail or be late,
 * and the walk does the work itself.
 */
import { Worker } from "node:worker_threads";
import type { SegmentQueue } from "../commitlog/segment-queue.js";
import type { Backend, Disk } from "../io/disk.js";
import { IndexedProperties } from "../record/indexed-properties.js";
import { CheckRing } from "./check-ring.js";

export interface CheckTask {
  readonly ring: SharedArrayBuffer;
  readonly backend: Backend;
  readonly directory: string;
  readonly segmentBytes: number;
  readonly firstOffset: number;
  readonly endOffset: number;
}

/** A thread takes some 30 ms to start: for less than this it is not worth it. */
const AHEAD_BYTES_MIN = 64 * 1024 * 1024;
const PROBE_BYTES = 4096;
/** It looks whether it is to stop with every few records. A thread that has not ended by then is ended. */
const END_MS_MAX = 5000;

export class ChecksAhead {
  /** Of the record found last. */
  readonly properties = new IndexedProperties();
  readonly #ring: CheckRing;
  readonly #worker: Worker;
  readonly #ended: Promise<unknown>;

  constructor(task: Omit<CheckTask, "ring">, fromOffset: number) {
    this.#ring = new CheckRing();
    this.#ring.walkOffset = fromOffset;
    this.#worker = new Worker(new URL("./check-worker.js", import.meta.url), {
      name: "cometmq-check",
      workerData: { ...task, ring: this.#ring.buffer } satisfies CheckTask,
    });
    // It may die of anything: then it knows of nothing more.
    this.#worker.on("error", () => {});
    this.#ended = new Promise((resolve) => this.#worker.once("exit", resolve));
  }

  /** The walk has come so far. */
  at(phyOffset: number): void {
    this.#ring.walkOffset = phyOffset;
  }

  /** Whether the record at `phyOffset`, at `position` of its bytes, is known to have a sound body; then `properties` are its. */
  knows(phyOffset: number, position: number): boolean {
    return this.#ring.take(phyOffset, position, this.properties);
  }

  /** When it has ended nothing of the log is mapped by the thread, and files may be cut. */
  async stop(): Promise<void> {
    this.#ring.askStop();
    const timer = setTimeout(() => void this.#worker.terminate(), END_MS_MAX);
    await this.#ended;
    clearTimeout(timer);
  }
}

/** Starts a thread where there is much to check and another thread sees the same files. */
export function checksAhead(disk: Disk, segments: SegmentQueue, fromOffset: number): ChecksAhead | undefined {
  if (!disk.threadable || !hasBytesAt(segments, fromOffset + AHEAD_BYTES_MIN)) return undefined;
  const { directory, segmentBytes, firstOffset, endOffset } = segments;
  return new ChecksAhead({ backend: disk.backend, directory, segmentBytes, firstOffset, endOffset }, fromOffset);
}

function hasBytesAt(segments: SegmentQueue, phyOffset: number): boolean {
  const segment = segments.at(phyOffset);
  if (segment?.whole === undefined) return false;
  const position = phyOffset - segment.baseOffset;
  const probe = segment.read(position, Math.min(PROBE_BYTES, segment.sizeBytes - position));
  return probe.some((byte) => byte !== 0);
}
