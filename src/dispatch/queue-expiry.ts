/**
 * Has queues and index follow the beginning of the log after segments were deleted: every queue of the store is looked
 * at, a few at a time, so that dispatch goes on in between. What a killed process left undone, recovery does.
 */
import { failpoint } from "../base/failpoint.js";
import type { ExpiryStep } from "./dispatch.js";
import type { Dispatcher } from "./dispatcher.js";

const STEP_QUEUES = 200;
const STEP_MS = 5;

export interface QueueName {
  readonly topic: string;
  readonly queueId: number;
}

export interface QueueExpiryOptions {
  dispatcher: Dispatcher;
  slotCount: () => number;
  /** The queue that has the slot; undefined where it is nobody's. */
  nameOf: (slot: number) => QueueName | undefined;
  monotonicMs: () => number;
  onStep: (step: ExpiryStep) => void;
}

export class QueueExpiry {
  readonly #options: QueueExpiryOptions;
  #minPhyOffset = 0;
  /** Slot of the next queue to look at, or -1 when there is nothing to do. */
  #nextSlot = -1;

  constructor(options: QueueExpiryOptions) {
    this.#options = options;
  }

  /** The log begins at `minPhyOffset`. A walk under way begins again. */
  begin(minPhyOffset: number): void {
    this.#minPhyOffset = minPhyOffset;
    this.#nextSlot = 0;
  }

  get isActive(): boolean {
    return this.#nextSlot >= 0;
  }

  /** True when there was something to do and more may wait. */
  step(): boolean {
    if (this.#nextSlot < 0) return false;
    const { dispatcher, slotCount, nameOf, monotonicMs, onStep } = this.#options;
    const minPhyOffset = this.#minPhyOffset;
    const end = Math.min(slotCount(), this.#nextSlot + STEP_QUEUES);
    const untilMs = monotonicMs() + STEP_MS;
    const found: number[] = [];
    let queueFiles = 0;
    while (this.#nextSlot < end && (found.length === 0 || monotonicMs() < untilMs)) {
      const slot = this.#nextSlot++;
      const name = nameOf(slot);
      if (name === undefined) continue;
      const { minOffset, deletedFiles } = dispatcher.deleteExpired(name.topic, name.queueId, slot, minPhyOffset);
      found.push(slot, minOffset);
      queueFiles += deletedFiles;
      if (deletedFiles > 0) failpoint("queue-files-delete-after");
    }
    const done = this.#nextSlot >= slotCount();
    const indexFiles = done ? dispatcher.deleteExpiredIndex(minPhyOffset) : 0;
    if (done) this.#nextSlot = -1;
    const minOffsets = Float64Array.from(found);
    onStep({ minOffsets, minPhyOffset: done ? minPhyOffset : undefined, queueFiles, indexFiles });
    return !done;
  }
}
